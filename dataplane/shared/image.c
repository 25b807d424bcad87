/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups in a policy image that image_check() has proved. Nothing here checks again, allocates or fails.
 */
#include "dataplane/shared/image.h"

#include <arpa/inet.h>
#include <string.h>

#include "dataplane/shared/siphash.h"

#define DOMAIN_MAX 253 /* RFC 1035 3.1: 255 bytes on the wire */

/* Not secrets: they find damage and spread the domains. Whoever can write an image can compute them too. */
static const struct siphash_key checksum_key = { { 0x677265796c696e65ull, 0x696d6167652d3031ull } };
static const struct siphash_key domain_key = { { 0x646f6d61696e2d6bull, 0x65792d6f662d3031ull } };

static const void *table(const struct image *image, struct image_section section)
{
        return (const uint8_t *)image + section.offset;
}

uint64_t image_checksum(const struct image *image)
{
        const size_t after = offsetof(struct image, checksum) + sizeof(image->checksum);
        const uint64_t parts[2] = {
                siphash(&checksum_key, image, offsetof(struct image, checksum)),
                siphash(&checksum_key, (const uint8_t *)image + after, image->bytes - after),
        };

        return siphash(&checksum_key, parts, sizeof(parts));
}

uint64_t image_domain_hash(const char *name, size_t len)
{
        return siphash(&domain_key, name, len);
}

/* The last piece in [low, high] that begins at or before the address; piece low does. */
static uint32_t find_v4(const uint32_t *starts, uint32_t low, uint32_t high, uint32_t address)
{
        while (low < high) {
                uint32_t middle = low + (high - low + 1) / 2;

                if (starts[middle] <= address)
                        low = middle;
                else
                        high = middle - 1;
        }
        return low;
}

static uint32_t find_v6(const struct image_v6 *starts, uint32_t high, struct image_v6 address)
{
        uint32_t low = 0;

        while (low < high) {
                uint32_t middle = low + (high - low + 1) / 2;
                const struct image_v6 *start = &starts[middle];

                if (start->high < address.high || (start->high == address.high && start->low <= address.low))
                        low = middle;
                else
                        high = middle - 1;
        }
        return low;
}

static uint64_t read_be64(const uint8_t *bytes)
{
        uint64_t value = 0;

        for (unsigned i = 0; i < 8; i++)
                value = value << 8 | bytes[i];
        return value;
}

enum image_class image_lookup_network(const struct image *image, const struct addr *addr)
{
        const struct image_networks *networks = &image->networks;
        const uint8_t *classes;
        uint32_t piece;

        if (addr_is_v4(addr)) {
                const uint32_t *index = table(image, networks->v4_index);
                uint32_t address = ntohl(addr_v4_be(addr));
                /* A shift of 64 bits leaves room for an index of one slot, a shift by 32. */
                uint32_t slot = (uint32_t)((uint64_t)address >> (32 - networks->v4_index_bits));

                piece = find_v4(table(image, networks->v4_starts), index[slot], index[slot + 1], address);
                classes = table(image, networks->v4_classes);
        } else {
                struct image_v6 address = { read_be64(addr->bytes), read_be64(addr->bytes + 8) };

                piece = find_v6(table(image, networks->v6_starts), networks->v6_starts.count - 1, address);
                classes = table(image, networks->v6_classes);
        }
        return (enum image_class)classes[piece];
}

static const struct image_domain *find_domain(const struct image *image, const char *name, size_t len)
{
        const uint32_t *slots = table(image, image->domain_slots);
        uint32_t mask = image->domain_slots.count - 1;
        uint32_t slot = (uint32_t)image_domain_hash(name, len);

        for (unsigned i = 0; i < IMAGE_PROBES_MAX; i++, slot++) {
                uint32_t number = slots[slot & mask];
                const struct image_domain *domain;

                if (number == 0)
                        return NULL;
                domain = image_domain(image, number - 1);
                if (domain->name.len == len && memcmp(image_string(image, domain->name), name, len) == 0)
                        return domain;
        }
        return NULL;
}

bool image_lookup_domain(const struct image *image, const char *name, size_t len, uint16_t *ret_policy,
                         uint16_t *ret_pool)
{
        const struct image_domain *domain;
        char lower[DOMAIN_MAX];

        /* A client may send "*.example.org" as a domain: it must not find the wildcard's own record. */
        if (len == 0 || len > DOMAIN_MAX || image->domains.count == 0 || name[0] == '*')
                return false;
        for (size_t i = 0; i < len; i++)
                lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
        domain = find_domain(image, lower, len);
        /* The byte before a dot belongs to a label that is done with, so "*.parent" is made in place. */
        for (size_t i = 1; !domain && i < len; i++) {
                if (lower[i] != '.')
                        continue;
                lower[i - 1] = '*';
                domain = find_domain(image, lower + i - 1, len - (i - 1));
        }
        if (!domain)
                return false;
        *ret_policy = domain->policy;
        *ret_pool = domain->pool;
        return true;
}

const struct image_listener *image_lookup_listener(const struct image *image, const struct addr *addr,
                                                   uint16_t tcp_port)
{
        for (uint32_t i = 0; i < image->listeners.count; i++) {
                const struct image_listener *listener = image_listener(image, i);

                if (listener->tcp_port != tcp_port)
                        continue;
                for (uint32_t k = 0; k < listener->fronts.count; k++) {
                        if (addr_is_equal(&image_front(image, listener->fronts.first + k)->addr, addr))
                                return listener;
                }
        }
        return NULL;
}

const struct image_address *image_lookup_address(const struct image *image, const struct addr *addr)
{
        for (uint32_t i = 0; i < image->addresses.count; i++) {
                if (addr_is_equal(&image_address(image, i)->addr, addr))
                        return image_address(image, i);
        }
        return NULL;
}

const struct image_zone *image_lookup_zone(const struct image *image, uint32_t number)
{
        for (uint32_t i = 0; i < image->zones.count; i++) {
                if (image_zone(image, i)->number == number)
                        return image_zone(image, i);
        }
        return NULL;
}

static void number_text(uint32_t value, char text[12])
{
        unsigned len = 1, at;

        for (uint32_t rest = value; rest >= 10; rest /= 10)
                len++;
        text[len] = '\0';
        at = len;
        do {
                text[--at] = (char)('0' + value % 10);
                value /= 10;
        } while (at > 0);
}

/* The value of the placeholder at text, and how many bytes of the text it takes; NULL when it is none. */
static const char *placeholder(const char *text, const struct image_values *values, char number[12],
                               size_t *ret_taken)
{
        const struct {
                const char *name;
                const char *value;
        } known[] = {
                { "{seconds}", number },
                { "{zone}", values->zone },
                { "{client}", values->client },
                { "{host}", values->host },
        };

        for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
                size_t len = strlen(known[i].name);

                if (strncmp(text, known[i].name, len) != 0)
                        continue;
                if (i == 0)
                        number_text(values->seconds, number);
                *ret_taken = len;
                return known[i].value ? known[i].value : "";
        }
        return NULL;
}

size_t image_fill(const struct image *image, struct image_text text, const struct image_values *values,
                  char *buf, size_t size)
{
        const char *at = image_string(image, text);
        char number[12];
        size_t len = 0;

        if (size == 0)
                return 0;
        while (*at != '\0' && len < size - 1) {
                size_t taken;
                const char *value = *at == '{' ? placeholder(at, values, number, &taken) : NULL;

                if (!value) {
                        size_t run = 1 + strcspn(at + 1, "{");

                        run = MIN(run, size - 1 - len);
                        memcpy(buf + len, at, run);
                        len += run;
                        at += run;
                        continue;
                }
                at += taken;
                while (*value != '\0' && len < size - 1) {
                        buf[len++] = *value >= ' ' && *value <= '~' ? *value : '?';
                        value++;
                }
        }
        buf[len] = '\0';
        return len;
}
