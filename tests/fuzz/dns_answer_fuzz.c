/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of DNS answers. The first byte chooses what was asked; the rest is the message. Whatever comes,
 * the counts stay within their bounds and every name that is let through is a host's.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "control/dns/answer.h"
#include "control/dns/hostname.h"
#include "dataplane/shared/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        static const struct {
                const char *name;
                enum dns_type type;
        } asked[] = {
                { "2.0.0.127.bl.test", DNS_TYPE_A },
                { "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR },
                { "mail.example.org", DNS_TYPE_AAAA },
        };
        static struct dns_answer answer;
        unsigned choice;

        if (len == 0)
                return 0;
        choice = bytes[0] % ARRAY_LEN(asked);
        dns_answer_parse(bytes + 1, len - 1, asked[choice].name, asked[choice].type, &answer);
        BUG_ON(answer.status == DNS_TIMEOUT || answer.status > DNS_MALFORMED);
        BUG_ON(answer.addrs_used > DNS_ADDRS_MAX || answer.names_used > DNS_PTRS_MAX);
        BUG_ON(answer.status == DNS_FOUND &&
               answer.addrs_used + answer.names_used + answer.names_refused == 0);
        for (unsigned i = 0; answer.status == DNS_FOUND && i < answer.names_used; i++)
                BUG_ON(!dns_hostname_is_valid(answer.names[i]));
        return 0;
}
