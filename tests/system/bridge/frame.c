/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/bridge/frame.h"

#include <string.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define PROTOCOL_TCP   6
#define ETHER_BYTES    14u
#define IPV6_BYTES     40u
#define TCP_BYTES      20u

static uint16_t get16(const uint8_t *at)
{
        return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
}

/* Where TCP begins and ends inside the frame. Returns false when it is no whole TCP segment. */
static bool find_tcp(const uint8_t *bytes, size_t len, size_t *ret_at, size_t *ret_end)
{
        const uint8_t *ip = bytes + ETHER_BYTES;
        size_t room = len - ETHER_BYTES, header_len, total;

        if (get16(bytes + 12) == ETHERTYPE_IPV4) {
                if (room < 20 || ip[9] != PROTOCOL_TCP || (get16(ip + 6) & 0x3fff) != 0)
                        return false;
                header_len = (ip[0] & 15u) * 4u;
                total = get16(ip + 2);
        } else {
                if (room < IPV6_BYTES || ip[6] != PROTOCOL_TCP)
                        return false;
                header_len = IPV6_BYTES;
                total = IPV6_BYTES + get16(ip + 4);
        }
        if (total > room || total < header_len + TCP_BYTES)
                return false;
        *ret_at = ETHER_BYTES + header_len;
        *ret_end = ETHER_BYTES + total;
        return true;
}

void frame_read(const uint8_t *bytes, size_t len, struct frame_view *ret)
{
        size_t at, end, header_len;

        memset(ret, 0, sizeof(*ret));
        if (len < ETHER_BYTES)
                return;
        ret->is_ip = get16(bytes + 12) == ETHERTYPE_IPV4 || get16(bytes + 12) == ETHERTYPE_IPV6;
        if (!ret->is_ip || !find_tcp(bytes, len, &at, &end))
                return;
        header_len = (bytes[at + 12] >> 4) * 4u;
        if (header_len < TCP_BYTES || at + header_len > end)
                return;
        ret->is_tcp = true;
        ret->port[0] = get16(bytes + at);
        ret->port[1] = get16(bytes + at + 2);
        ret->flags = bytes[at + 13] & (FRAME_FIN | FRAME_SYN | FRAME_RST | FRAME_ACK);
        ret->len = (uint32_t)(end - at - header_len);
        ret->tcp_at = at;
}

bool frame_mark(uint8_t *bytes)
{
        uint8_t *ip = bytes + ETHER_BYTES;
        uint16_t was = get16(ip), is;
        uint32_t sum;

        if (get16(bytes + 12) == ETHERTYPE_IPV6) {
                if (!(was & 0x0030))
                        return false;
                put16(ip, was | 0x0030);
                return true;
        }
        if (!(was & 3))
                return false;
        is = was | 3;
        sum = (uint16_t)~get16(ip + 10) + (uint32_t)(uint16_t)~was + is; /* RFC 1624 */
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        put16(ip, is);
        put16(ip + 10, (uint16_t)~sum);
        return true;
}

void frame_window_set(uint8_t *bytes, const struct frame_view *view, uint16_t window)
{
        uint8_t *tcp = bytes + view->tcp_at;
        /* RFC 1624: the new sum from the old one and the word that changed. */
        uint32_t sum = (uint16_t)~get16(tcp + 16) + (uint32_t)(uint16_t)~get16(tcp + 14) + window;

        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        put16(tcp + 14, window);
        put16(tcp + 16, (uint16_t)~sum);
}
