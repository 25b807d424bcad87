/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/header.h"

#include <string.h>

#define OPTION_END            0
#define OPTION_NOP            1
#define OPTION_MSS            2
#define OPTION_SCALE          3
#define OPTION_SACK_PERMITTED 4
#define OPTION_SACK           5
#define OPTION_TIMESTAMP      8

#define IP_PROTOCOL_TCP 6

static inline uint16_t get16(const uint8_t *at)
{
        return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get32(const uint8_t *at)
{
        uint32_t word;

        memcpy(&word, at, 4);
        return __builtin_bswap32(word);
}

static inline uint8_t *put16(uint8_t *at, uint16_t value)
{
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
        return at + 2;
}

static inline uint8_t *put32(uint8_t *at, uint32_t value)
{
        value = __builtin_bswap32(value);
        memcpy(at, &value, 4);
        return at + 4;
}

/* One option of len bytes in all. A known kind with a length that is not its own is skipped like an unknown one. */
static void parse_option(const uint8_t *at, uint8_t len, struct tcp_header *ret)
{
        switch (at[0]) {
        case OPTION_MSS:
                if (len == 4 && ret->flags & TCP_FLAG_SYN)
                        ret->mss = get16(at + 2) ? get16(at + 2) : 1;
                break;
        case OPTION_SCALE:
                if (len == 3 && ret->flags & TCP_FLAG_SYN) {
                        ret->has_scale = true;
                        ret->scale = MIN(at[2], TCP_SCALE_MAX);
                }
                break;
        case OPTION_SACK_PERMITTED:
                if (len == 2 && ret->flags & TCP_FLAG_SYN)
                        ret->has_sack_permitted = true;
                break;
        case OPTION_SACK:
                if ((len - 2) % 8 != 0)
                        break;
                ret->blocks = 0;
                for (unsigned i = 2; i < len && ret->blocks < TCP_SACK_BLOCKS_MAX; i += 8)
                        ret->block[ret->blocks++] = (struct tcp_block){ get32(at + i), get32(at + i + 4) };
                break;
        case OPTION_TIMESTAMP:
                if (len != 10)
                        break;
                ret->has_timestamp = true;
                ret->ts_value = get32(at + 2);
                ret->ts_echo = get32(at + 6);
                break;
        default:
                break;
        }
}

enum tcp_parse tcp_header_parse(const uint8_t *bytes, size_t len, struct tcp_header *ret)
{
        unsigned header_len;

        if (len < TCP_HEADER_MIN)
                return TCP_PARSE_TRUNCATED;
        header_len = (bytes[12] >> 4) * 4u;
        if (header_len < TCP_HEADER_MIN)
                return TCP_PARSE_BAD_OFFSET;
        if (header_len > len)
                return TCP_PARSE_TRUNCATED;
        ret->src_port = get16(bytes);
        ret->dst_port = get16(bytes + 2);
        if (ret->src_port == 0 || ret->dst_port == 0)
                return TCP_PARSE_BAD_PORT;
        ret->seq = get32(bytes + 4);
        ret->ack = get32(bytes + 8);
        ret->header_len = (uint8_t)header_len;
        ret->flags = bytes[13];
        ret->window = get16(bytes + 14);
        ret->mss = 0;
        ret->scale = 0;
        ret->blocks = 0;
        ret->ts_value = ret->ts_echo = 0;
        ret->has_scale = ret->has_sack_permitted = ret->has_timestamp = false;
        for (unsigned at = TCP_HEADER_MIN; at < header_len;) {
                uint8_t option_len;

                if (bytes[at] == OPTION_END)
                        break;
                if (bytes[at] == OPTION_NOP) {
                        at++;
                        continue;
                }
                if (at + 1 >= header_len)
                        return TCP_PARSE_BAD_OPTION;
                option_len = bytes[at + 1];
                if (option_len < 2 || at + option_len > header_len)
                        return TCP_PARSE_BAD_OPTION;
                parse_option(bytes + at, option_len, ret);
                at += option_len;
        }
        return TCP_PARSE_OK;
}

static unsigned options_len(const struct tcp_header *header)
{
        unsigned len = 0;

        if (header->mss)
                len += 4;
        if (header->has_scale)
                len += 4;
        if (header->has_timestamp)
                len += TCP_TIMESTAMP_BYTES;
        if (header->has_sack_permitted)
                len += header->has_timestamp ? 0 : 4; /* takes the place of the timestamp's two NOPs */
        return len;
}

static unsigned blocks_that_fit(const struct tcp_header *header)
{
        unsigned room = TCP_HEADER_MAX - TCP_HEADER_MIN - options_len(header);

        return header->blocks && room >= 12 ? MIN((unsigned)header->blocks, (room - 4) / 8) : 0;
}

uint8_t tcp_header_len(const struct tcp_header *header)
{
        unsigned blocks = blocks_that_fit(header);

        return (uint8_t)(TCP_HEADER_MIN + options_len(header) + (blocks ? 4 + 8 * blocks : 0));
}

uint8_t tcp_header_build(const struct tcp_header *header, uint8_t *bytes)
{
        uint8_t len = tcp_header_len(header);
        unsigned blocks = blocks_that_fit(header);
        uint8_t *at = bytes;

        at = put16(at, header->src_port);
        at = put16(at, header->dst_port);
        at = put32(at, header->seq);
        at = put32(at, header->flags & TCP_FLAG_ACK ? header->ack : 0);
        *at++ = (uint8_t)(len / 4 << 4);
        *at++ = header->flags;
        at = put16(at, header->window);
        at = put32(at, 0); /* checksum, urgent pointer */
        if (header->mss) {
                *at++ = OPTION_MSS;
                *at++ = 4;
                at = put16(at, header->mss);
        }
        if (header->has_timestamp || header->has_sack_permitted) {
                *at++ = header->has_sack_permitted ? OPTION_SACK_PERMITTED : OPTION_NOP;
                *at++ = header->has_sack_permitted ? 2 : OPTION_NOP;
        }
        if (header->has_timestamp) {
                *at++ = OPTION_TIMESTAMP;
                *at++ = 10;
                at = put32(at, header->ts_value);
                at = put32(at, header->ts_echo);
        } else if (header->has_sack_permitted) {
                *at++ = OPTION_NOP;
                *at++ = OPTION_NOP;
        }
        if (header->has_scale) {
                *at++ = OPTION_NOP;
                *at++ = OPTION_SCALE;
                *at++ = 3;
                *at++ = header->scale;
        }
        if (blocks) {
                *at++ = OPTION_NOP;
                *at++ = OPTION_NOP;
                *at++ = OPTION_SACK;
                *at++ = (uint8_t)(2 + 8 * blocks);
                for (unsigned i = 0; i < blocks; i++) {
                        at = put32(at, header->block[i].start);
                        at = put32(at, header->block[i].end);
                }
        }
        BUG_ON_HOT(at != bytes + len);
        return len;
}

uint64_t tcp_sum_add(uint64_t sum, const void *bytes, size_t len, bool odd)
{
        const uint8_t *at = bytes;
        uint64_t part = 0;
        uint32_t word;

        /* 32-bit words into 64 bits cannot overflow below 16 GB. */
        for (; len >= 16; len -= 16, at += 16) {
                uint32_t words[4];

                memcpy(words, at, 16);
                part += (uint64_t)words[0] + words[1] + words[2] + words[3];
        }
        for (; len >= 4; len -= 4, at += 4) {
                memcpy(&word, at, 4);
                part += word;
        }
        word = 0;
        memcpy(&word, at, len);
        part += word;
        if (odd) {
                /* Bytes one place further on: the folded sum turned round (RFC 1071 2B). */
                part = (part & 0xffffffff) + (part >> 32);
                part = (part & 0xffff) + (part >> 16);
                part = (part & 0xffff) + (part >> 16);
                part = (part & 0xffff) + (part >> 16);
                part = __builtin_bswap16((uint16_t)part);
        }
        return sum + part;
}

uint64_t tcp_sum_pseudo(const struct addr *src, const struct addr *dst, uint32_t len)
{
        uint32_t tail[2] = { __builtin_bswap32(len), __builtin_bswap32(IP_PROTOCOL_TCP) };
        uint64_t sum = 0;

        if (addr_is_v4(src)) {
                sum = (uint64_t)addr_v4_be(src) + addr_v4_be(dst);
        } else {
                sum = tcp_sum_add(sum, src->bytes, sizeof(src->bytes), false);
                sum = tcp_sum_add(sum, dst->bytes, sizeof(dst->bytes), false);
        }
        return sum + tail[0] + tail[1];
}

uint16_t tcp_sum_fold(uint64_t sum)
{
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffffffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)sum;
}

void tcp_header_checksum_set(uint8_t *bytes, uint16_t checksum_be)
{
        memcpy(bytes + 16, &checksum_be, 2);
}
