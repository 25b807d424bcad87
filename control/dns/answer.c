/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are compared in wire form with letters in lower case: as text, a dot inside a label could pass for
 * the end of one. A compression pointer must lead backwards (RFC 1035 4.1.4 speaks of a prior occurrence), so
 * no message can make the reader go round.
 */
#include "control/dns/answer.h"

#include <string.h>

#include "control/dns/hostname.h"

#define HEADER_LEN   12u
#define WIRE_MAX     255u /* RFC 1035 2.3.4 */
#define LABEL_MAX    63u
#define CLASS_IN     1u
#define RCODE_NONE   3u /* NXDOMAIN */
#define FLAG_ANSWER  0x80u
#define FLAG_CUT     0x02u
#define OPCODE_MASK  0x78u
#define TTL_SIGN_BIT 0x80000000u

struct reader {
        const uint8_t *message;
        size_t len;
        size_t at;
        bool bad;
};

struct wire {
        uint8_t bytes[WIRE_MAX + 1];
        unsigned len; /* with the root label */
};

struct record {
        struct wire owner;
        uint16_t type, class;
        uint32_t ttl_sec;
        size_t data_at;
        uint16_t data_len;
};

static bool has(struct reader *reader, size_t bytes)
{
        if (reader->len - reader->at < bytes)
                reader->bad = true;
        return !reader->bad;
}

static uint16_t read_u16(struct reader *reader)
{
        const uint8_t *at = reader->message + reader->at;

        if (!has(reader, 2))
                return 0;
        reader->at += 2;
        return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read_u32(struct reader *reader)
{
        uint32_t high = read_u16(reader);

        return high << 16 | read_u16(reader);
}

static uint8_t lower(uint8_t c)
{
        return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

/* Add one label; false when the name gets longer than a name can be. */
static bool add_label(struct wire *wire, const uint8_t *label, unsigned len)
{
        if (wire->len + len + 1 > WIRE_MAX)
                return false;
        wire->bytes[wire->len++] = (uint8_t)len;
        for (unsigned i = 0; i < len; i++)
                wire->bytes[wire->len++] = lower(label[i]);
        return true;
}

static void read_name(struct reader *reader, struct wire *ret)
{
        size_t at = reader->at, lowest = reader->at;
        bool jumped = false;

        ret->len = 0;
        for (;;) {
                uint8_t len;

                if (at >= reader->len)
                        break;
                len = reader->message[at];
                if (len == 0) {
                        ret->bytes[ret->len++] = 0;
                        if (!jumped)
                                reader->at = at + 1;
                        return;
                }
                if (len <= LABEL_MAX) {
                        if (reader->len - at < len + 1u || !add_label(ret, reader->message + at + 1, len))
                                break;
                        at += len + 1u;
                        continue;
                }
                if ((len & 0xc0) != 0xc0 || reader->len - at < 2)
                        break;
                if (!jumped)
                        reader->at = at + 2;
                jumped = true;
                at = (size_t)(len & 0x3f) << 8 | reader->message[at + 1];
                if (at >= lowest)
                        break;
                lowest = at;
        }
        reader->bad = true;
        ret->len = 0;
}

/* The text of a question as wire; false when it is no name. */
static bool wire_from_text(struct wire *wire, const char *text)
{
        wire->len = 0;
        while (*text != '\0') {
                size_t len = strcspn(text, ".");

                if (len == 0 || len > LABEL_MAX || !add_label(wire, (const uint8_t *)text, (unsigned)len))
                        return false;
                text += len;
                if (*text == '.')
                        text++;
        }
        wire->bytes[wire->len++] = 0;
        return true;
}

static bool wire_is_equal(const struct wire *a, const struct wire *b)
{
        return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* A name as text, only where it is a host's: nothing else may reach tables, logs and people. */
static bool host_text(const struct wire *wire, char text[DNS_NAME_MAX])
{
        unsigned used = 0;

        for (unsigned at = 0; wire->bytes[at] != 0; at += wire->bytes[at] + 1u) {
                if (used > 0)
                        text[used++] = '.';
                if (memchr(wire->bytes + at + 1, '.', wire->bytes[at]) != NULL)
                        return false; /* as text it would pass for two labels */
                memcpy(text + used, wire->bytes + at + 1, wire->bytes[at]);
                used += wire->bytes[at];
        }
        text[used] = '\0';
        return strlen(text) == used && dns_hostname_is_valid(text);
}

static bool read_record(struct reader *reader, struct record *ret)
{
        read_name(reader, &ret->owner);
        ret->type = read_u16(reader);
        ret->class = read_u16(reader);
        ret->ttl_sec = read_u32(reader);
        if (ret->ttl_sec & TTL_SIGN_BIT)
                ret->ttl_sec = 0; /* RFC 2181, 8 */
        ret->data_len = read_u16(reader);
        ret->data_at = reader->at;
        if (!has(reader, ret->data_len))
                return false;
        reader->at += ret->data_len;
        return true;
}

/* A name that fills the data of a record exactly. */
static bool data_name(const struct reader *reader, const struct record *record, struct wire *ret)
{
        struct reader data = *reader;

        data.at = record->data_at;
        read_name(&data, ret);
        return !data.bad && data.at == record->data_at + record->data_len;
}

static void keep_addr(const struct reader *reader, const struct record *record, struct dns_answer *ret)
{
        unsigned want = record->type == DNS_TYPE_A ? 4 : 16;
        const uint8_t *data = reader->message + record->data_at;
        uint32_t v4_be;

        if (record->data_len != want) {
                ret->status = DNS_MALFORMED;
                return;
        }
        if (ret->addrs_used == DNS_ADDRS_MAX) {
                ret->cut = true;
                return;
        }
        if (want == 4) {
                memcpy(&v4_be, data, sizeof(v4_be));
                ret->addrs[ret->addrs_used++] = addr_from_v4_be(v4_be);
        } else {
                memcpy(ret->addrs[ret->addrs_used++].bytes, data, 16);
        }
}

static void keep_ptr(const struct reader *reader, const struct record *record, struct dns_answer *ret)
{
        struct wire name;

        if (!data_name(reader, record, &name)) {
                ret->status = DNS_MALFORMED;
                return;
        }
        if (ret->names_used == DNS_PTRS_MAX)
                ret->cut = true;
        else if (host_text(&name, ret->names[ret->names_used]))
                ret->names_used++;
        else
                ret->names_refused++;
}

/*
 * One pass over the answer section: keep the records of owner. An alias found on the way replaces owner for
 * the next pass. Returns true when there was one.
 */
static bool pass(struct reader answers, unsigned records, struct wire *owner, enum dns_type type,
                 struct dns_answer *ret)
{
        struct record record;
        struct wire alias;
        bool aliased = false;

        for (unsigned i = 0; i < records; i++) {
                if (!read_record(&answers, &record)) {
                        ret->status = DNS_MALFORMED;
                        return false;
                }
                if (record.class != CLASS_IN || !wire_is_equal(&record.owner, owner))
                        continue;
                if (record.type != type && record.type != DNS_TYPE_CNAME)
                        continue;
                ret->ttl_sec = MIN(ret->ttl_sec, record.ttl_sec);
                if (record.type == DNS_TYPE_PTR)
                        keep_ptr(&answers, &record, ret);
                else if (record.type == type)
                        keep_addr(&answers, &record, ret);
                else if (!aliased)
                        aliased = data_name(&answers, &record, &alias);
                if (ret->status == DNS_MALFORMED)
                        return false;
        }
        if (aliased)
                *owner = alias;
        return aliased;
}

/* How long an absence may be remembered (RFC 2308, 5). */
static uint32_t absence_ttl(struct reader reader, unsigned records)
{
        struct record record;
        struct wire name;

        for (unsigned i = 0; i < records && read_record(&reader, &record); i++) {
                struct reader data = reader;
                uint32_t minimum = 0;

                if (record.type != DNS_TYPE_SOA || record.class != CLASS_IN)
                        continue;
                data.at = record.data_at;
                data.len = record.data_at + record.data_len;
                read_name(&data, &name);
                read_name(&data, &name);
                for (unsigned field = 0; field < 5; field++)
                        minimum = read_u32(&data); /* the fifth is the minimum */
                if (!data.bad)
                        return MIN(record.ttl_sec, minimum);
        }
        return DNS_TTL_NONE_DEFAULT;
}

static unsigned bounded(unsigned records, struct dns_answer *ret)
{
        if (records > DNS_RECORDS_MAX)
                ret->cut = true;
        return MIN(records, DNS_RECORDS_MAX);
}

static void read_answers(struct reader *reader, unsigned answers, unsigned authority, struct wire *owner,
                         enum dns_type type, bool exists, struct dns_answer *ret)
{
        unsigned kept = bounded(answers, ret), aliases = 0;
        struct record record;

        ret->ttl_sec = UINT32_MAX;
        if (exists) {
                while (pass(*reader, kept, owner, type, ret))
                        if (++aliases > DNS_ALIASES_MAX)
                                ret->status = DNS_MALFORMED;
                        else if (ret->addrs_used + ret->names_used + ret->names_refused > 0)
                                break;
                if (ret->status == DNS_MALFORMED)
                        return;
                if (ret->addrs_used + ret->names_used + ret->names_refused > 0) {
                        ret->status = DNS_FOUND;
                        return;
                }
        }
        for (unsigned i = 0; i < kept; i++)
                if (!read_record(reader, &record))
                        return;
        ret->status = DNS_NONE;
        /* Behind a cut answer section the authority is out of reach. */
        ret->ttl_sec = MIN(ret->ttl_sec, kept < answers ? DNS_TTL_NONE_DEFAULT
                                                        : absence_ttl(*reader, bounded(authority, ret)));
}

void dns_answer_parse(const uint8_t *message, size_t len, const char *name, enum dns_type type,
                      struct dns_answer *ret)
{
        struct reader reader = { .message = message, .len = len, .at = HEADER_LEN };
        unsigned questions, answers, authority, rcode;
        struct wire owner, asked;

        memset(ret, 0, offsetof(struct dns_answer, addrs));
        ret->names_used = 0;
        ret->names_refused = 0;
        ret->status = DNS_MALFORMED;
        if (len < HEADER_LEN || (message[2] & FLAG_ANSWER) == 0 || (message[2] & OPCODE_MASK) != 0)
                return;
        rcode = message[3] & 0x0fu;
        if ((rcode != 0 && rcode != RCODE_NONE) || (message[2] & FLAG_CUT) != 0) {
                ret->status = DNS_FAILED;
                return;
        }
        questions = (unsigned)message[4] << 8 | message[5];
        answers = (unsigned)message[6] << 8 | message[7];
        authority = (unsigned)message[8] << 8 | message[9];
        if (questions != 1 || !wire_from_text(&owner, name))
                return;
        read_name(&reader, &asked);
        if (read_u16(&reader) != type || read_u16(&reader) != CLASS_IN || reader.bad ||
            !wire_is_equal(&asked, &owner))
                return;
        ret->status = DNS_NONE;
        read_answers(&reader, answers, authority, &owner, type, rcode == 0, ret);
        if (reader.bad)
                ret->status = DNS_MALFORMED;
}
