/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internet checksum (RFC 1071). A sum is carried unfolded in 64 bits, over 16-bit words as they lie in memory: the
 * one's complement sum does not care about byte order as long as the result is stored as it was summed.
 */
#ifndef GREYLINE_PORT_CHECKSUM_H
#define GREYLINE_PORT_CHECKSUM_H

#include <stdint.h>
#include <string.h>

#include "dataplane/port/packet.h"
#include "dataplane/shared/addr.h"

/* Add len bytes that begin at an even offset of what is summed. */
static inline uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t len)
{
        uint64_t word = 0;

        for (; len >= 8; len -= 8, bytes += 8) {
                memcpy(&word, bytes, 8);
                sum += (word & 0xffffffffu) + (word >> 32);
        }
        if (len > 0) {
                word = 0;
                memcpy(&word, bytes, len); /* the padding of an odd end is zero, as RFC 1071 wants */
                sum += (word & 0xffffffffu) + (word >> 32);
        }
        return sum;
}

/* The 16 bits of a sum, not inverted; for a stored checksum see checksum_finish(). */
static inline uint16_t checksum_fold(uint64_t sum)
{
        sum = (sum & 0xffffffffu) + (sum >> 32);
        sum = (sum & 0xffffu) + (sum >> 16);
        sum = (sum & 0xffffu) + (sum >> 16);
        sum = (sum & 0xffffu) + (sum >> 16);
        return (uint16_t)sum;
}

/* What goes into the header field, by memcpy(): the bytes are in order as they are. */
static inline uint16_t checksum_finish(uint64_t sum)
{
        return (uint16_t)~checksum_fold(sum);
}

/* The sum of the pseudo header of TCP, ICMPv6 and the like (RFC 9293 3.1, RFC 8200 8.1); both addresses of one family. */
static inline uint64_t checksum_pseudo(const struct addr *src, const struct addr *dst, uint8_t protocol,
                                       uint32_t l4_len)
{
        uint8_t tail[8] = { (uint8_t)(l4_len >> 24),
                            (uint8_t)(l4_len >> 16),
                            (uint8_t)(l4_len >> 8),
                            (uint8_t)l4_len,
                            0,
                            0,
                            0,
                            protocol };
        unsigned skip = addr_is_v4(dst) ? 12 : 0;
        uint64_t sum = checksum_add(0, tail, sizeof(tail));

        sum = checksum_add(sum, src->bytes + skip, sizeof(src->bytes) - skip);
        return checksum_add(sum, dst->bytes + skip, sizeof(dst->bytes) - skip);
}

/* The sum of all bytes of a packet and its further segments. */
static inline uint64_t checksum_packet(uint64_t sum, const struct packet *packet)
{
        bool is_odd = false;

        for (const struct rte_mbuf *segment = &packet->mbuf; segment; segment = segment->next) {
                const uint8_t *bytes = rte_pktmbuf_mtod(segment, const uint8_t *);

                if (is_odd) /* its words are the other way round */
                        sum += __builtin_bswap16(checksum_fold(checksum_add(0, bytes, segment->data_len)));
                else
                        sum = checksum_add(sum, bytes, segment->data_len);
                is_odd ^= segment->data_len & 1;
        }
        return sum;
}

#endif
