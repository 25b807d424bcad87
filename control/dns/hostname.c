/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/hostname.h"

#include <libpsl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HOSTNAME_MAX 253u
#define LABEL_MAX    63u

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool dns_hostname_is_valid(const char *name)
{
        unsigned labels = 0, label_len = 0;
        bool all_digits = true;
        size_t len = strlen(name);

        if (len == 0 || len > HOSTNAME_MAX)
                return false;
        for (size_t i = 0; i <= len; i++) {
                char c = name[i];

                if (c == '.' || c == '\0') {
                        if (label_len == 0 || label_len > LABEL_MAX || name[i - 1] == '-')
                                return false;
                        labels++;
                        if (c == '.') {
                                label_len = 0;
                                all_digits = true;
                        }
                        continue;
                }
                if (!is_digit(c) && !is_letter(c) && c != '_' && (c != '-' || label_len == 0))
                        return false;
                all_digits = all_digits && is_digit(c);
                label_len++;
        }
        return labels >= 2 && !all_digits;
}

/*
 * Octets as the runs of digits in the name, each with at most three digits, in a row. A run of six, nine or
 * twelve digits counts as padded octets.
 */
static unsigned octet_runs(const char *name, uint8_t octets[64])
{
        unsigned used = 0;

        for (const char *at = name; *at != '\0' && used < 60;) {
                size_t run = 0;

                while (is_digit(at[run]))
                        run++;
                if (run == 0) {
                        at++;
                        continue;
                }
                for (size_t i = 0; i < run && used < 64;) {
                        size_t width = run <= 3 ? run : 3;
                        unsigned value = 0;

                        if (run - i < width || (run > 3 && run % 3 != 0))
                                break;
                        for (size_t digit = 0; digit < width; digit++)
                                value = value * 10 + (unsigned)(at[i + digit] - '0');
                        if (value <= 255)
                                octets[used++] = (uint8_t)value;
                        i += width;
                }
                at += run;
        }
        return used;
}

/* Three octets of four in a row, forwards or backwards, are no accident; two in a row are, now and then. */
static bool has_octets(const char *name, const uint8_t v4[4])
{
        uint8_t octets[64];
        unsigned used = octet_runs(name, octets);

        for (unsigned i = 0; i + 3 <= used; i++) {
                const uint8_t *o = octets + i;

                for (unsigned from = 0; from <= 1; from++) {
                        const uint8_t *v = v4 + from;

                        if (o[0] == v[0] && o[1] == v[1] && o[2] == v[2])
                                return true;
                        if (o[0] == v[2] && o[1] == v[1] && o[2] == v[0])
                                return true;
                }
        }
        return false;
}

/* The name's hex digits without what joins them hold these digits? Letters beyond f part two runs. */
static bool has_hex(const char *name, const char *digits)
{
        char run[HOSTNAME_MAX + 1];
        unsigned used = 0;

        for (const char *at = name;; at++) {
                if (is_hex(*at) && used < HOSTNAME_MAX) {
                        run[used++] = *at;
                        continue;
                }
                if (*at == '-' || (*at == '.' && used > 0))
                        continue;
                run[used] = '\0';
                if (strstr(run, digits) != NULL)
                        return true;
                used = 0;
                if (*at == '\0')
                        return false;
        }
}

bool dns_hostname_has_addr(const char *name, const struct addr *addr)
{
        char digits[33], reversed[33];

        if (addr_is_v4(addr)) {
                const uint8_t *v4 = addr->bytes + 12;

                snprintf(digits, sizeof(digits), "%02x%02x%02x%02x", v4[0], v4[1], v4[2], v4[3]);
                snprintf(reversed, sizeof(reversed), "%02x%02x%02x%02x", v4[3], v4[2], v4[1], v4[0]);
                return has_octets(name, v4) || has_hex(name, digits) || has_hex(name, reversed);
        }
        for (unsigned i = 0; i < 16; i++)
                snprintf(digits + 2 * i, 3, "%02x", addr->bytes[i]);
        for (unsigned i = 0; i < 32; i++)
                reversed[i] = digits[31 - i];
        reversed[32] = '\0';
        /* The interface part alone is enough where it is no small number that any host may have as its name. */
        return has_hex(name, digits) || has_hex(name, reversed) ||
               (memcmp(addr->bytes + 8, (const uint8_t[6]){ 0 }, 6) != 0 &&
                (has_hex(name, digits + 16) || has_hex(name, digits + 12)));
}

bool dns_hostname_is_dynamic(const char *name)
{
        static const char *const words[] = {
                "adsl",     "broadband", "cable",   "catv",      "client",   "cpe",    "cust",
                "customer", "dhcp",      "dial",    "dialin",    "dialup",   "dip",    "docsis",
                "dsl",      "dyn",       "dynamic", "dynamicip", "dynip",    "fibre",  "fiber",
                "ftth",     "gprs",      "home",    "hsd",       "lte",      "mobile", "modem",
                "nat",      "pool",      "pools",   "ppp",       "pppoe",    "res",    "residential",
                "user",     "vdsl",      "vps",     "wimax",     "wireless", "wlan",   "xdsl",
        };
        char word[32];
        unsigned len = 0;

        for (const char *at = name;; at++) {
                if (is_letter(*at)) {
                        if (len < sizeof(word) - 1)
                                word[len++] = *at;
                        continue;
                }
                word[len] = '\0';
                for (unsigned i = 0; len > 0 && i < ARRAY_LEN(words); i++)
                        if (strcmp(word, words[i]) == 0)
                                return true;
                len = 0;
                if (*at == '\0')
                        return false;
        }
}

const struct psl_ctx_st *dns_hostname_suffixes(void)
{
        return psl_builtin();
}

const char *dns_hostname_pool(const struct psl_ctx_st *psl, const char *name, const struct addr *addr)
{
        /* Anybody can rent a machine with a name of these, and two tenants have nothing in common. */
        static const char *const rented[] = {
                "amazonaws.com",         "azure.com",         "cloudapp.net",
                "googleusercontent.com", "linode.com",        "linodeusercontent.com",
                "vultrusercontent.com",  "your-server.de",    "ovh.net",
                "kimsufi.com",           "contaboserver.net", "hosted-by-vdsina.com",
                "secureserver.net",      "digitalocean.com",
        };
        const char *domain;

        if (psl == NULL || dns_hostname_has_addr(name, addr) || dns_hostname_is_dynamic(name))
                return NULL;
        domain = psl_registrable_domain(psl, name);
        if (domain == NULL)
                return NULL;
        for (unsigned i = 0; i < ARRAY_LEN(rented); i++)
                if (strcmp(domain, rented[i]) == 0)
                        return NULL;
        return domain;
}
