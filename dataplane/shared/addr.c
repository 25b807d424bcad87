/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

int addr_parse(const char *text, struct addr *ret)
{
        struct in_addr v4;
        struct addr addr;

        if (inet_pton(AF_INET, text, &v4) == 1) {
                *ret = addr_from_v4_be(v4.s_addr);
                return 0;
        }
        if (inet_pton(AF_INET6, text, addr.bytes) != 1)
                return -EINVAL;
        *ret = addr;
        return 0;
}

int addr_parse_prefix(const char *text, struct addr *ret, uint8_t *ret_prefix_len)
{
        const char *slash = strchr(text, '/');
        char host[ADDR_TEXT_MAX];
        struct addr addr, masked;
        size_t host_len = slash ? (size_t)(slash - text) : strlen(text);
        unsigned long len, len_max;
        char *end;

        if (host_len >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, host_len);
        host[host_len] = '\0';
        if (addr_parse(host, &addr) < 0)
                return -EINVAL;
        len_max = addr_is_v4(&addr) ? 32 : 128;
        len = len_max;
        if (slash) {
                if (slash[1] < '0' || slash[1] > '9')
                        return -EINVAL;
                len = strtoul(slash + 1, &end, 10);
                if (*end != '\0' || len > len_max)
                        return -EINVAL;
        }
        len += 128 - len_max;
        masked = addr_mask(&addr, (uint8_t)len);
        if (!addr_is_equal(&masked, &addr))
                return -EINVAL;
        *ret = addr;
        *ret_prefix_len = (uint8_t)len;
        return 0;
}

/* By hand: inet_ntop() goes through the printf family, and workers write an address for each refusal and each XCLIENT. */
static const char *v4_text(const uint8_t bytes[4], char buf[ADDR_TEXT_MAX])
{
        char *at = buf;

        for (unsigned i = 0; i < 4; i++) {
                unsigned byte = bytes[i];

                if (byte >= 100)
                        *at++ = (char)('0' + byte / 100);
                if (byte >= 10)
                        *at++ = (char)('0' + byte / 10 % 10);
                *at++ = (char)('0' + byte % 10);
                *at++ = i < 3 ? '.' : '\0';
        }
        return buf;
}

const char *addr_text(const struct addr *addr, char buf[ADDR_TEXT_MAX])
{
        if (addr_is_v4(addr))
                return v4_text(addr->bytes + 12, buf);
        return inet_ntop(AF_INET6, addr->bytes, buf, ADDR_TEXT_MAX);
}

struct addr addr_mask(const struct addr *addr, uint8_t prefix_len)
{
        struct addr masked = *addr;

        for (unsigned i = 0; i < 16; i++) {
                unsigned bit = i * 8;

                if (bit >= prefix_len)
                        masked.bytes[i] = 0;
                else if (prefix_len - bit < 8)
                        masked.bytes[i] &= (uint8_t)(0xff << (8 - (prefix_len - bit)));
        }
        return masked;
}

struct addr addr_network(const struct addr *addr, uint8_t v4_len, uint8_t v6_len)
{
        if (addr_is_v4(addr))
                return addr_mask(addr, (uint8_t)(96 + MIN(v4_len, 32)));
        return addr_mask(addr, v6_len);
}
