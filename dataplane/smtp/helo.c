/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/helo.h"

#include <string.h>
#include <strings.h>

#include "dataplane/smtp/ascii.h"
#include "dataplane/smtp/path.h"

/* Parse text that need not be NUL-ended. */
static bool parse_addr(const char *text, size_t len, struct addr *ret)
{
        char copy[ADDR_TEXT_MAX];

        if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len))
                return false;
        memcpy(copy, text, len);
        copy[len] = '\0';
        return addr_parse(copy, ret) == 0;
}

/* The address between the brackets of a literal in its normal form. */
static bool literal_addr(const char *domain, size_t len, struct addr *ret)
{
        static const char tag[] = "[IPv6:";
        size_t skip = len > sizeof(tag) && memcmp(domain, tag, sizeof(tag) - 1) == 0 ? sizeof(tag) - 1 : 1;

        return len > skip + 1 && parse_addr(domain + skip, len - skip - 1, ret);
}

static bool is_ours(const char *name, size_t len, const struct smtp_helo_name *ours, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (ours[i].len == len && strncasecmp(ours[i].name, name, len) == 0)
                        return true;
        return false;
}

enum smtp_helo smtp_helo_check(const char *name, size_t len, const struct addr *client,
                               const struct addr *front, const struct smtp_helo_name *ours, size_t n)
{
        char domain[SMTP_DOMAIN_MAX + 1];
        size_t domain_len;
        struct addr addr;
        bool is_bare = parse_addr(name, len, &addr);

        if (is_bare && front && addr_is_equal(&addr, front))
                return SMTP_HELO_OURS;
        if (is_bare)
                return SMTP_HELO_BARE_IP;
        /* A dot at the end says "fully qualified" in DNS; many clients write it. */
        if (len > 1 && name[len - 1] == '.' && name[len - 2] != '.')
                len--;
        if (smtp_domain_parse(name, len, domain, &domain_len) != SMTP_PATH_OK)
                return SMTP_HELO_SYNTAX;
        if (domain[0] == '[') {
                if (!literal_addr(domain, domain_len, &addr))
                        return SMTP_HELO_SYNTAX;
                if (front && addr_is_equal(&addr, front))
                        return SMTP_HELO_OURS;
                return client && addr_is_equal(&addr, client) ? SMTP_HELO_LITERAL : SMTP_HELO_LITERAL_OTHER;
        }
        if (is_ours(domain, domain_len, ours, n))
                return SMTP_HELO_OURS;
        return memchr(domain, '.', domain_len) ? SMTP_HELO_FQDN : SMTP_HELO_SHORT;
}

const char *smtp_helo_verdict_name(enum smtp_helo helo)
{
        static const char *const names[] = {
                [SMTP_HELO_FQDN] = "fqdn",
                [SMTP_HELO_LITERAL] = "literal",
                [SMTP_HELO_LITERAL_OTHER] = "literal of another address",
                [SMTP_HELO_SHORT] = "no dot in the name",
                [SMTP_HELO_BARE_IP] = "address without brackets",
                [SMTP_HELO_OURS] = "our own name",
                [SMTP_HELO_SYNTAX] = "not a host name",
        };

        return (unsigned int)helo < ARRAY_LEN(names) ? names[helo] : "?";
}
