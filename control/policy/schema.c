/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about rows. The rows themselves are in schema_node.c (what the machine is) and schema_policy.c
 * (what is decided).
 */
#include "control/policy/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "control/policy/value.h"

const struct schema_row *schema_find(const struct schema *schema, const char *key)
{
        for (unsigned i = 0; i < schema->count; i++) {
                if (strcmp(schema->rows[i].key, key) == 0)
                        return &schema->rows[i];
        }
        return NULL;
}

const char *schema_nearest(const struct schema *schema, const char *key)
{
        const char *nearest = NULL;
        unsigned best = strlen(key) < 5 ? 2 : 3; /* one letter of a short key, two of a longer one */

        for (unsigned i = 0; i < schema->count; i++) {
                unsigned distance = value_distance(key, schema->rows[i].key, best);

                if (distance < best) {
                        best = distance;
                        nearest = schema->rows[i].key;
                }
        }
        return nearest;
}

/* A number in the largest unit that leaves it whole. */
static const char *with_unit(int64_t value, enum schema_type type, char buf[32])
{
        static const struct {
                const char *name;
                int64_t factor;
        } times[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } },
          sizes[] = {
                  { "TB", 1ll << 40 }, { "GB", 1 << 30 }, { "MB", 1 << 20 }, { "kB", 1 << 10 }, { "", 1 }
          };
        bool is_size = type == SCHEMA_SIZE;

        if (type == SCHEMA_TIME_SEC)
                value *= 1000;
        else if (type != SCHEMA_TIME_MS && !is_size) {
                snprintf(buf, 32, "%" PRId64, value);
                return buf;
        }
        for (unsigned i = 0; i < ARRAY_LEN(times); i++) {
                int64_t factor = is_size ? sizes[i].factor : times[i].factor;

                if (value == 0 || value % factor != 0)
                        continue;
                snprintf(buf, 32, "%" PRId64 "%s", value / factor, is_size ? sizes[i].name : times[i].name);
                return buf;
        }
        return strcpy(buf, "0");
}

static const char *expected_enum(const struct schema_row *row, char *buf, size_t size)
{
        size_t len = (size_t)snprintf(buf, size, "one of ");
        const char *between = "";

        for (unsigned i = 0; row->names[i]; i++) {
                if (row->allowed != 0 && (row->allowed & 1u << i) == 0)
                        continue;
                if (len < size)
                        len += (size_t)snprintf(buf + len, size - len, "%s%s", between, row->names[i]);
                between = ", ";
        }
        return buf;
}

static const char *expected_number(const struct schema_row *row, const char *what, char *buf, size_t size)
{
        char min[32], max[32];
        const char *example = row->fallback ? row->fallback : row->example;

        snprintf(buf, size, "%s from %s to %s%s%s", what, with_unit(row->min, row->type, min),
                 with_unit(row->max, row->type, max), example ? ", such as " : "", example ? example : "");
        return buf;
}

const char *schema_expected(const struct schema_row *row, char *buf, size_t size)
{
        static const char *const plain[] = {
                [SCHEMA_BOOL] = "true or false",
                [SCHEMA_NAME] = "a name of letters, digits, '-', '_' and '.', at most 63",
                [SCHEMA_HOSTNAME] = "a host name in ASCII such as mx.example.net",
                [SCHEMA_PATH] = "the path of a file",
                [SCHEMA_ADDRESS] = "an IPv4 or IPv6 address",
                [SCHEMA_ENHANCED] = "an enhanced status code such as 4.7.1",
                [SCHEMA_INTERFACES] = "a list of addresses with prefix, such as 198.18.0.25/16",
                [SCHEMA_GATEWAYS] = "an address, or a list of one IPv4 and one IPv6 address",
                [SCHEMA_FRONTS] = "a list of addresses",
                [SCHEMA_NETWORKS] = "a list of prefixes such as 192.0.2.0/24, or {file: PATH}",
                [SCHEMA_CODES] = "a list of answers such as 127.0.0.2 or 127.0.0.2-11",
                [SCHEMA_RESOLVERS] = "a list of addresses such as 127.0.0.1 or 127.0.0.1:5353",
                [SCHEMA_POOL] = "the name of a pool",
                [SCHEMA_POLICY] = "the name of a policy",
                [SCHEMA_KEYS] = "a list of keys of a policy such as greylist.block",
                [SCHEMA_MAP] = "a mapping of keys",
                [SCHEMA_LIST] = "a list of mappings",
                [SCHEMA_NAMED] = "a mapping of names",
        };

        switch (row->type) {
        case SCHEMA_ENUM:
                return expected_enum(row, buf, size);
        case SCHEMA_INTEGER:
                return expected_number(row, "a number", buf, size);
        case SCHEMA_COUNT:
                return expected_number(row, "a count", buf, size);
        case SCHEMA_SIZE:
                return expected_number(row, "a size", buf, size);
        case SCHEMA_TIME_MS:
                return expected_number(row, "a duration", buf, size);
        case SCHEMA_TIME_SEC:
                return expected_number(row, "a duration in whole seconds", buf, size);
        case SCHEMA_ASCII:
                snprintf(buf, size, "ASCII text of %" PRId64 " to %" PRId64 " characters", row->min,
                         row->max);
                return buf;
        default:
                snprintf(buf, size, "%s", plain[row->type]);
                return buf;
        }
}

bool schema_is_policy_key(const char *path)
{
        const struct schema *schema = &schema_policy;
        char rest[128], *key = rest;

        if (strlen(path) >= sizeof(rest))
                return false;
        strcpy(rest, path);
        for (;;) {
                char *dot = strchr(key, '.');
                const struct schema_row *row;

                if (dot)
                        *dot = '\0';
                row = schema_find(schema, key);
                if (!row)
                        return false;
                /* Names of zones have dots of their own and may come and go: any is fine. */
                if (!dot || row->type == SCHEMA_NAMED)
                        return true;
                if (row->type != SCHEMA_MAP)
                        return false;
                schema = row->below;
                key = dot + 1;
        }
}
