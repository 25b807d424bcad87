/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/client_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dataplane/shared/mapped_file.h"
#include "dataplane/shared/secret.h"
#include "dataplane/shared/word16.h"

#define CLIENT_MAGIC   0x474c434cu
#define CLIENT_VERSION 1u

#define ZONES_CELL  16u /* zones in one cell */
#define CAS_TRIES   64u /* control is the only writer: even one failure is a broken file */
#define PTR_TAG_MAX ((1u << 28) - 1)

/*
 * address: the 16 bytes of struct addr, all zero when the line is free.
 * zones:   low: 4 bits a zone; high: expiry in the low half, tag in the high half.
 * ptr:     low: pool; high: expiry in the low half, then 4 bits of state, then a tag of 28 bits.
 */
struct client_line {
        struct word16 address;
        struct word16 zones[2];
        struct word16 ptr;
} __attribute__((aligned(64)));
static_assert(sizeof(struct client_line) == 64, "one cache line");

struct client_name {
        uint64_t checksum; /* keyed, over the address and the name */
        uint8_t len;
        char text[CLIENT_NAME_MAX];
} __attribute__((aligned(64)));
static_assert(sizeof(struct client_name) == 128, "two cache lines");

struct client_header {
        struct mapped_header mapped;
};

/* --- opening -------------------------------------------------------------------------------------------- */

static uint64_t sets_for(uint64_t entries)
{
        return (entries * 5 / 3 + CLIENT_LINE_WAYS - 1) / CLIENT_LINE_WAYS; /* 60 % of the lines used */
}

static uint64_t lines_bytes(uint64_t sets)
{
        return sets * CLIENT_LINE_WAYS * sizeof(struct client_line);
}

static uint64_t file_bytes(uint64_t sets)
{
        return MAPPED_HEADER_BYTES + lines_bytes(sets) + sets * CLIENT_LINE_WAYS * sizeof(struct client_name);
}

int client_table_open(struct client_table *table, const char *path, uint64_t entries_wanted,
                      const struct siphash_key *key, bool *ret_made)
{
        struct mapped_header want = { .magic = CLIENT_MAGIC, .version = CLIENT_VERSION };
        struct mapped_file file;
        uint8_t *bytes;
        int r;

        if (!word16_supported())
                return -EOPNOTSUPP;
        if (entries_wanted < CLIENT_TABLE_ENTRIES_MIN || entries_wanted > CLIENT_TABLE_ENTRIES_MAX)
                return -EINVAL;
        want.count = sets_for(entries_wanted);
        want.bytes = file_bytes(want.count);
        want.key_check = secret_check(key);
        r = mapped_file_open(&file, path, &want, true, ret_made);
        if (r < 0)
                return r;
        if (file.head.count < sets_for(CLIENT_TABLE_ENTRIES_MIN) ||
            file.head.count > sets_for(CLIENT_TABLE_ENTRIES_MAX) ||
            file.head.bytes != file_bytes(file.head.count)) {
                mapped_file_close(&file);
                return -EPROTO;
        }
        bytes = (uint8_t *)file.memory;
        table->header = (struct client_header *)bytes;
        table->sets = file.head.count;
        table->line = (struct client_line *)(bytes + MAPPED_HEADER_BYTES);
        table->name = (struct client_name *)(bytes + MAPPED_HEADER_BYTES + lines_bytes(table->sets));
        table->bytes = file.bytes;
        table->key = *key;
        return 0;
}

void client_table_close(struct client_table *table)
{
        struct mapped_file file = { .memory = (struct mapped_header *)table->header, .bytes = table->bytes };

        if (table->header)
                mapped_file_close(&file);
        memset(table, 0, sizeof(*table));
}

/* --- finding -------------------------------------------------------------------------------------------- */

static uint64_t hash_address(const struct client_table *table, const struct addr *addr)
{
        return siphash(&table->key, addr->bytes, sizeof(addr->bytes));
}

static uint64_t first_line(const struct client_table *table, uint64_t hash)
{
        return (uint64_t)((unsigned __int128)hash * table->sets >> 64) * CLIENT_LINE_WAYS;
}

/* The set comes from the upper bits of the hash, the tag from the lower ones. */
static uint32_t tag_of(uint64_t hash)
{
        return (uint32_t)hash;
}

static struct word16 address_word(const struct addr *addr)
{
        struct word16 word;

        memcpy(&word, addr->bytes, sizeof(word));
        return word;
}

static bool is_same(struct word16 a, struct word16 b)
{
        return a.low == b.low && a.high == b.high;
}

static bool is_free(struct word16 address)
{
        return address.low == 0 && address.high == 0;
}

/* The line of addr, or -1. */
static int64_t find_line(const struct client_table *table, const struct addr *addr, uint64_t hash)
{
        uint64_t first = first_line(table, hash);
        struct word16 want = address_word(addr);

        if (is_free(want))
                return -1;
        for (unsigned way = 0; way < CLIENT_LINE_WAYS; way++) {
                if (is_same(word16_load(&table->line[first + way].address), want))
                        return (int64_t)(first + way);
        }
        return -1;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static uint64_t name_checksum(const struct client_table *table, const struct addr *addr, const char *text,
                              size_t len)
{
        uint8_t message[16 + CLIENT_NAME_MAX];

        memcpy(message, addr->bytes, 16);
        memcpy(message + 16, text, len);
        return siphash(&table->key, message, 16 + len);
}

/* Copied word by word before it is checked: control may be writing it right now. */
static void read_name(const struct client_table *table, uint64_t line, const struct addr *addr,
                      struct client_answers *ret)
{
        const uint64_t *from = (const uint64_t *)&table->name[line];
        union {
                struct client_name name;
                uint64_t words[sizeof(struct client_name) / 8];
        } copy;

        for (unsigned i = 0; i < ARRAY_LEN(copy.words); i++)
                copy.words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        if (copy.name.len == 0 || copy.name.len > CLIENT_NAME_MAX)
                return;
        if (copy.name.checksum != name_checksum(table, addr, copy.name.text, copy.name.len))
                return;
        memcpy(ret->name, copy.name.text, copy.name.len);
        ret->name[copy.name.len] = '\0';
        ret->name_len = copy.name.len;
}

static void read_zones(struct word16 cell, unsigned index, uint32_t now_sec, struct client_answers *ret)
{
        uint32_t expire_sec = (uint32_t)cell.high;

        ret->zones_expire_sec[index] = expire_sec;
        if (cell.low == 0x1111111111111111ull * CLIENT_ZONE_CLEAR) { /* nearly every client that is no spammer */
                ret->zones_known |= 0xffffu << (index * ZONES_CELL);
                ret->zones_stale |= expire_sec <= now_sec ? 0xffffu << (index * ZONES_CELL) : 0;
                return;
        }
        for (unsigned i = 0; i < ZONES_CELL; i++) {
                unsigned result = cell.low >> (4 * i) & 15;
                uint32_t bit = 1u << (index * ZONES_CELL + i);

                if (result == CLIENT_ZONE_UNKNOWN || result > CLIENT_ZONE_ERROR)
                        continue;
                ret->zones_known |= bit;
                ret->zones_listed |= result == CLIENT_ZONE_LISTED ? bit : 0;
                ret->zones_error |= result == CLIENT_ZONE_ERROR ? bit : 0;
                ret->zones_stale |= expire_sec <= now_sec ? bit : 0;
        }
}

static bool is_zones_of(struct word16 cell, uint64_t hash)
{
        return (uint32_t)cell.high != 0 && cell.high >> 32 == tag_of(hash);
}

static bool is_ptr_of(struct word16 cell, uint64_t hash)
{
        return (uint32_t)cell.high != 0 && cell.high >> 36 == (tag_of(hash) & PTR_TAG_MAX);
}

void client_table_prefetch(const struct client_table *table, const struct addr *addr)
{
        uint64_t first = first_line(table, hash_address(table, addr));

        for (unsigned way = 0; way < CLIENT_LINE_WAYS; way++)
                __builtin_prefetch(&table->line[first + way]);
}

/* Everything but the name. near: the line to look at first. Returns the line, or -1. */
static int64_t read_line(const struct client_table *table, const struct addr *addr, uint32_t now_sec,
                         uint64_t near, struct client_answers *ret)
{
        uint64_t hash = hash_address(table, addr);
        struct word16 want = address_word(addr), cell;
        int64_t line = (int64_t)near;

        /* The address is compared, so a wrong hint costs time only. */
        if (near >= table->sets * CLIENT_LINE_WAYS || is_free(want) ||
            !is_same(word16_load(&table->line[near].address), want))
                line = find_line(table, addr, hash);

        memset(ret, 0, offsetof(struct client_answers, name));
        ret->name[0] = '\0';
        if (line < 0)
                return -1;
        ret->found = true;
        for (unsigned index = 0; index < 2; index++) {
                cell = word16_load(&table->line[line].zones[index]);
                if (is_zones_of(cell, hash))
                        read_zones(cell, index, now_sec, ret);
        }
        cell = word16_load(&table->line[line].ptr);
        if (is_ptr_of(cell, hash) && (cell.high >> 32 & 15) <= CLIENT_PTR_ERROR) {
                ret->ptr = cell.high >> 32 & 15;
                ret->ptr_expire_sec = (uint32_t)cell.high;
                ret->ptr_stale = ret->ptr_expire_sec <= now_sec;
                ret->pool = ret->ptr == CLIENT_PTR_CONFIRMED ? cell.low : 0;
        }
        return line;
}

bool client_table_lookup(const struct client_table *table, const struct addr *addr, uint32_t now_sec,
                         struct client_answers *ret)
{
        int64_t line = read_line(table, addr, now_sec, CLIENT_LINE_NONE, ret);

        if (line >= 0 && ret->ptr == CLIENT_PTR_CONFIRMED)
                read_name(table, (uint64_t)line, addr, ret);
        return line >= 0;
}

bool client_table_lookup_near(const struct client_table *table, const struct addr *addr, uint32_t now_sec,
                              uint32_t *line, struct client_answers *ret)
{
        int64_t found = read_line(table, addr, now_sec, *line, ret);

        *line = found >= 0 && found < CLIENT_LINE_NONE ? (uint32_t)found : CLIENT_LINE_NONE;
        return found >= 0;
}

void client_table_name(const struct client_table *table, const struct addr *addr, uint32_t line,
                       struct client_answers *ret)
{
        if (ret->ptr == CLIENT_PTR_CONFIRMED && line < table->sets * CLIENT_LINE_WAYS)
                read_name(table, line, addr, ret);
}

void client_table_prefetch_near(const struct client_table *table, uint32_t line)
{
        const uint8_t *name;

        if (line >= table->sets * CLIENT_LINE_WAYS)
                return;
        name = (const uint8_t *)&table->name[line];
        __builtin_prefetch(&table->line[line]);
        __builtin_prefetch(name);
        __builtin_prefetch(name + 64);
}

void client_table_prefetch_name(const struct client_table *table, const struct addr *addr)
{
        int64_t line = find_line(table, addr, hash_address(table, addr));

        if (line >= 0)
                client_table_prefetch_near(table, (uint32_t)MIN(line, CLIENT_LINE_NONE));
}

/* --- writing: control ----------------------------------------------------------------------------------- */

/* Only control writes; a swap that keeps failing means that somebody else does, and is given up. */
static void replace(struct word16 *at, struct word16 want)
{
        for (unsigned tries = 0; tries < CAS_TRIES; tries++) {
                if (word16_cas(at, word16_load(at), want))
                        return;
        }
}

static void write_name(struct client_table *table, uint64_t line, const struct addr *addr, const char *text,
                       size_t len)
{
        uint64_t *to = (uint64_t *)&table->name[line];
        union {
                struct client_name name;
                uint64_t words[sizeof(struct client_name) / 8];
        } copy = { 0 };

        if (len > 0) {
                copy.name.len = (uint8_t)len;
                memcpy(copy.name.text, text, len);
                copy.name.checksum = name_checksum(table, addr, text, len);
        }
        for (unsigned i = 0; i < ARRAY_LEN(copy.words); i++)
                __atomic_store_n(&to[i], copy.words[i], __ATOMIC_RELAXED);
}

/* When nothing of the line will be fresh any more; a cell of a former tenant counts for nothing. */
static uint32_t line_expiry(const struct client_table *table, uint64_t line)
{
        struct word16 address = word16_load(&table->line[line].address), cell;
        uint32_t latest = 0;
        struct addr addr;
        uint64_t hash;

        memcpy(addr.bytes, &address, sizeof(addr.bytes));
        hash = hash_address(table, &addr);
        for (unsigned index = 0; index < 2; index++) {
                cell = word16_load(&table->line[line].zones[index]);
                if (is_zones_of(cell, hash))
                        latest = MAX(latest, (uint32_t)cell.high);
        }
        cell = word16_load(&table->line[line].ptr);
        if (is_ptr_of(cell, hash))
                latest = MAX(latest, (uint32_t)cell.high);
        return latest;
}

/*
 * The line to write to: that of addr, else a free one, else the one that expires first, made free. In that
 * order (address away, cells empty, address written) no reader sees one address with another's answers.
 */
static uint64_t take_line(struct client_table *table, const struct addr *addr, uint64_t hash,
                          uint32_t now_sec, enum client_write *ret_write)
{
        uint64_t first = first_line(table, hash), best = first;
        int64_t found = find_line(table, addr, hash);
        uint32_t expiry, best_expiry = UINT32_MAX;

        *ret_write = CLIENT_WRITE_DONE;
        if (found >= 0)
                return (uint64_t)found;
        for (unsigned way = 0; way < CLIENT_LINE_WAYS; way++) {
                if (is_free(word16_load(&table->line[first + way].address))) {
                        best = first + way;
                        best_expiry = 0;
                        break;
                }
                expiry = line_expiry(table, first + way);
                if (expiry < best_expiry) {
                        best = first + way;
                        best_expiry = expiry;
                }
        }
        if (best_expiry > now_sec)
                *ret_write = CLIENT_WRITE_EVICTED;
        replace(&table->line[best].address, (struct word16){ 0 });
        replace(&table->line[best].zones[0], (struct word16){ 0 });
        replace(&table->line[best].zones[1], (struct word16){ 0 });
        replace(&table->line[best].ptr, (struct word16){ 0 });
        write_name(table, best, addr, "", 0);
        replace(&table->line[best].address, address_word(addr));
        return best;
}

enum client_write client_table_write_zones(struct client_table *table, const struct addr *addr,
                                           uint32_t zones, enum client_zone result, uint32_t expire_sec,
                                           uint32_t now_sec)
{
        uint64_t hash = hash_address(table, addr), line;
        enum client_write write;

        BUG_ON((unsigned)result > CLIENT_ZONE_ERROR);
        if (is_free(address_word(addr)))
                return CLIENT_WRITE_DONE; /* "::" is no client */
        line = take_line(table, addr, hash, now_sec, &write);
        expire_sec = MAX(expire_sec, 1);
        for (unsigned index = 0; index < 2; index++) {
                struct word16 cell = word16_load(&table->line[line].zones[index]);
                uint32_t of_cell = zones >> (index * ZONES_CELL) & 0xffff, expiry = expire_sec;

                if (of_cell == 0)
                        continue;
                if (is_zones_of(cell, hash) && (uint32_t)cell.high > now_sec)
                        expiry = MIN(expiry, (uint32_t)cell.high);
                else
                        cell.low = 0;
                for (unsigned i = 0; i < ZONES_CELL; i++) {
                        if (of_cell & 1u << i)
                                cell.low = (cell.low & ~(15ull << (4 * i))) | (uint64_t)result << (4 * i);
                }
                cell.high = (uint64_t)tag_of(hash) << 32 | expiry;
                replace(&table->line[line].zones[index], cell);
        }
        return write;
}

enum client_write client_table_set_zones(struct client_table *table, const struct addr *addr, uint32_t clear,
                                         uint32_t listed, uint32_t expire_sec, uint32_t now_sec)
{
        uint64_t hash = hash_address(table, addr), line;
        enum client_write write;

        if (is_free(address_word(addr)))
                return CLIENT_WRITE_DONE;
        line = take_line(table, addr, hash, now_sec, &write);
        for (unsigned index = 0; index < 2; index++) {
                struct word16 cell = { .high = (uint64_t)tag_of(hash) << 32 | MAX(expire_sec, 1) };

                for (unsigned i = 0; i < ZONES_CELL; i++) {
                        uint32_t bit = 1u << (index * ZONES_CELL + i);

                        if (listed & bit)
                                cell.low |= (uint64_t)CLIENT_ZONE_LISTED << (4 * i);
                        else if (clear & bit)
                                cell.low |= (uint64_t)CLIENT_ZONE_CLEAR << (4 * i);
                }
                if (cell.low != 0)
                        replace(&table->line[line].zones[index], cell);
        }
        return write;
}

enum client_write client_table_write_ptr(struct client_table *table, const struct addr *addr,
                                         enum client_ptr ptr, uint64_t pool, const char *name,
                                         size_t name_len, uint32_t expire_sec, uint32_t now_sec)
{
        uint64_t hash = hash_address(table, addr), line;
        bool confirmed = ptr == CLIENT_PTR_CONFIRMED;
        enum client_write write;
        struct word16 cell;

        BUG_ON((unsigned)ptr > CLIENT_PTR_ERROR);
        if (is_free(address_word(addr)))
                return CLIENT_WRITE_DONE;
        line = take_line(table, addr, hash, now_sec, &write);
        write_name(table, line, addr, name, confirmed && name_len <= CLIENT_NAME_MAX ? name_len : 0);
        cell.low = confirmed ? pool : 0;
        cell.high = (uint64_t)(tag_of(hash) & PTR_TAG_MAX) << 36 | (uint64_t)ptr << 32 | MAX(expire_sec, 1);
        replace(&table->line[line].ptr, cell);
        return write;
}

bool client_table_remove(struct client_table *table, const struct addr *addr)
{
        int64_t line = find_line(table, addr, hash_address(table, addr));

        if (line < 0)
                return false;
        replace(&table->line[line].address, (struct word16){ 0 });
        return true;
}

bool client_table_at_end(const struct client_table *table, uint64_t cursor)
{
        return cursor >= table->sets * CLIENT_LINE_WAYS;
}

bool client_table_next(const struct client_table *table, uint64_t *cursor, uint64_t look, struct addr *ret)
{
        while (!client_table_at_end(table, *cursor) && look-- > 0) {
                struct word16 address = word16_load(&table->line[(*cursor)++].address);

                if (is_free(address))
                        continue;
                memcpy(ret->bytes, &address, sizeof(ret->bytes));
                return true;
        }
        return false;
}
