/* SPDX-License-Identifier: Apache-2.0 */
#include "control/policy/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define HOSTNAME_MAX 253
#define LABEL_MAX    63
#define NAME_MAX_LEN 63
#define KEY_MAX      48 /* value_distance() looks no further */

/* Digits without sign, at least one; *ret_end is what follows. False on overflow. */
static bool read_digits(const char *text, const char **ret_end, int64_t *ret)
{
        int64_t value = 0;

        if (*text < '0' || *text > '9')
                return false;
        for (; *text >= '0' && *text <= '9'; text++) {
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, *text - '0', &value))
                        return false;
        }
        *ret_end = text;
        *ret = value;
        return true;
}

struct unit {
        const char *name;
        int64_t factor;
};

static bool read_units(const char *text, const struct unit *units, unsigned count, int64_t *ret)
{
        const char *unit;
        int64_t value;

        if (!read_digits(text, &unit, &value))
                return false;
        for (unsigned i = 0; i < count; i++) {
                if (strcmp(unit, units[i].name) != 0)
                        continue;
                if (__builtin_mul_overflow(value, units[i].factor, &value))
                        return false;
                *ret = value;
                return true;
        }
        return false;
}

bool value_bool(const char *text, bool *ret)
{
        static const char *const words[2][3] = { { "false", "no", "off" }, { "true", "yes", "on" } };

        for (unsigned i = 0; i < 2; i++) {
                for (unsigned k = 0; k < 3; k++) {
                        if (strcmp(text, words[i][k]) == 0) {
                                *ret = i == 1;
                                return true;
                        }
                }
        }
        return false;
}

bool value_integer(const char *text, int64_t *ret)
{
        bool is_negative = *text == '-';
        const char *end;
        int64_t value;

        if (!read_digits(text + is_negative, &end, &value) || *end != '\0')
                return false;
        *ret = is_negative ? -value : value;
        return true;
}

bool value_count(const char *text, int64_t *ret)
{
        static const struct unit units[] = {
                { "", 1 }, { "k", 1000 }, { "M", 1000000 }, { "G", 1000000000 }
        };

        return read_units(text, units, ARRAY_LEN(units), ret);
}

bool value_size(const char *text, int64_t *ret)
{
        static const struct unit units[] = {
                { "", 1 },         { "B", 1 },        { "kB", 1 << 10 },
                { "MB", 1 << 20 }, { "GB", 1 << 30 }, { "TB", 1ll << 40 },
        };

        return read_units(text, units, ARRAY_LEN(units), ret);
}

bool value_duration(const char *text, int64_t *ret_ms)
{
        static const struct unit units[] = {
                { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
        };

        if (strcmp(text, "0") == 0) {
                *ret_ms = 0;
                return true;
        }
        return read_units(text, units, ARRAY_LEN(units), ret_ms);
}

static bool is_label_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_';
}

bool value_hostname(const char *text, char *buf)
{
        size_t len = strlen(text), label = 0;

        if (len == 0 || len > HOSTNAME_MAX)
                return false;
        for (size_t i = 0; i <= len; i++) {
                if (i < len && is_label_char(text[i])) {
                        label++;
                        continue;
                }
                if ((i < len && text[i] != '.') || label == 0 || label > LABEL_MAX || text[i - 1] == '-' ||
                    text[i - label] == '-')
                        return false;
                label = 0;
        }
        for (size_t i = 0; i <= len; i++)
                buf[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
        return true;
}

bool value_is_name(const char *text)
{
        size_t len = strlen(text);

        if (len == 0 || len > NAME_MAX_LEN || *text == '-' || *text == '_' || *text == '.')
                return false;
        for (size_t i = 0; i < len; i++) {
                if (!is_label_char(text[i]) && text[i] != '.')
                        return false;
        }
        return true;
}

bool value_is_ascii(const char *text, size_t max)
{
        size_t len = strlen(text);

        if (len == 0 || len > max)
                return false;
        for (size_t i = 0; i < len; i++) {
                if (text[i] < ' ' || text[i] > '~')
                        return false;
        }
        return true;
}

bool value_interface(const char *text, struct addr *ret, uint8_t *ret_prefix_len)
{
        const char *slash = strchr(text, '/'), *end;
        char host[ADDR_TEXT_MAX];
        struct addr addr;
        int64_t len;

        if (!slash || (size_t)(slash - text) >= sizeof(host))
                return false;
        memcpy(host, text, (size_t)(slash - text));
        host[slash - text] = '\0';
        if (addr_parse(host, &addr) < 0 || !read_digits(slash + 1, &end, &len) || *end != '\0')
                return false;
        if (len < 1 || len > (addr_is_v4(&addr) ? 32 : 128))
                return false;
        *ret = addr;
        *ret_prefix_len = (uint8_t)(addr_is_v4(&addr) ? len + 96 : len);
        return true;
}

bool value_address_port(const char *text, uint16_t port_default, struct addr *ret, uint16_t *ret_port)
{
        bool is_bracketed = *text == '[';
        const char *end = is_bracketed ? strchr(text, ']') : strchr(text, ':'), *rest;
        char host[ADDR_TEXT_MAX];
        int64_t port = port_default;
        struct addr addr;
        size_t len;

        /* More than one colon without brackets: an IPv6 address without a port. */
        if (!is_bracketed && (!end || strchr(end + 1, ':')))
                end = text + strlen(text);
        text += is_bracketed;
        if (!end || (size_t)(end - text) >= sizeof(host))
                return false;
        len = (size_t)(end - text);
        memcpy(host, text, len);
        host[len] = '\0';
        rest = end + is_bracketed;
        if (addr_parse(host, &addr) < 0 || (is_bracketed && addr_is_v4(&addr)))
                return false;
        if (*rest != '\0') {
                if (*rest != ':' || !read_digits(rest + 1, &rest, &port) || *rest != '\0')
                        return false;
        }
        if (port < 1 || port > 65535)
                return false;
        *ret = addr;
        *ret_port = (uint16_t)port;
        return true;
}

static bool read_code(const char *text, size_t len, uint32_t *ret)
{
        char host[ADDR_TEXT_MAX];
        struct in_addr v4;

        if (len >= sizeof(host))
                return false;
        memcpy(host, text, len);
        host[len] = '\0';
        if (inet_pton(AF_INET, host, &v4) != 1)
                return false;
        *ret = ntohl(v4.s_addr);
        return *ret >> 24 == 127;
}

bool value_codes(const char *text, uint32_t *ret_from, uint32_t *ret_to)
{
        const char *dash = strchr(text, '-'), *end;
        uint32_t from, to;
        int64_t last;

        if (!read_code(text, dash ? (size_t)(dash - text) : strlen(text), &from))
                return false;
        to = from;
        if (dash && strchr(dash, '.')) {
                if (!read_code(dash + 1, strlen(dash + 1), &to))
                        return false;
        } else if (dash) {
                if (!read_digits(dash + 1, &end, &last) || *end != '\0' || last > 255)
                        return false;
                to = (from & 0xffffff00u) | (uint32_t)last;
        }
        if (to < from)
                return false;
        *ret_from = from;
        *ret_to = to;
        return true;
}

bool value_enhanced(const char *text, uint8_t ret[3])
{
        uint8_t parts[3];
        int64_t part;

        for (unsigned i = 0; i < 3; i++) {
                if (!read_digits(text, &text, &part) || part > 255 || *text != (i < 2 ? '.' : '\0'))
                        return false;
                parts[i] = (uint8_t)part;
                text++;
        }
        memcpy(ret, parts, sizeof(parts));
        return true;
}

unsigned value_distance(const char *a, const char *b, unsigned limit)
{
        size_t a_len = strlen(a), b_len = strlen(b);
        unsigned row[KEY_MAX + 1];

        if (a_len > KEY_MAX || b_len > KEY_MAX)
                return limit + 1;
        for (unsigned k = 0; k <= b_len; k++)
                row[k] = k;
        for (unsigned i = 1; i <= a_len; i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (unsigned k = 1; k <= b_len; k++) {
                        unsigned replaced = diagonal + (a[i - 1] != b[k - 1]);

                        diagonal = row[k];
                        row[k] = MIN(MIN(row[k], row[k - 1]) + 1, replaced);
                }
        }
        return MIN(row[b_len], limit + 1);
}
