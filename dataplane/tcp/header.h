/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP header and its options: bytes to struct, struct to bytes, and the checksum. Knows no connection. */
#ifndef GREYLINE_TCP_HEADER_H
#define GREYLINE_TCP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"
#include "dataplane/tcp/limits.h"

/* The two bits of the IP header (RFC 3168 5), in packet meta. */
#define TCP_ECN_NOT 0u
#define TCP_ECN_ECT 2u /* ECT(0) */
#define TCP_ECN_CE  3u

#define TCP_FLAG_FIN 0x01u
#define TCP_FLAG_SYN 0x02u
#define TCP_FLAG_RST 0x04u
#define TCP_FLAG_PSH 0x08u
#define TCP_FLAG_ACK 0x10u
#define TCP_FLAG_URG 0x20u
#define TCP_FLAG_ECE 0x40u /* RFC 3168 */
#define TCP_FLAG_CWR 0x80u

struct tcp_block {
        uint32_t start, end; /* [start, end) */
};

/* Host order throughout. */
struct tcp_header {
        uint32_t seq, ack;
        uint16_t src_port, dst_port;
        uint16_t window; /* as on the wire, not scaled */
        uint8_t flags;
        uint8_t header_len;
        uint16_t mss;       /* 0: no option */
        uint8_t scale;      /* meaningful with has_scale; at most TCP_SCALE_MAX */
        bool has_scale;
        bool has_sack_permitted;
        bool has_timestamp;
        uint8_t blocks;     /* SACK blocks */
        uint32_t ts_value, ts_echo;
        struct tcp_block block[TCP_SACK_BLOCKS_MAX];
};

enum tcp_parse {
        TCP_PARSE_OK,
        TCP_PARSE_TRUNCATED,  /* shorter than its header says */
        TCP_PARSE_BAD_OFFSET, /* data offset below 5 */
        TCP_PARSE_BAD_OPTION, /* an option's length is 0, 1 or past the header (RFC 9293 MUST-7) */
        TCP_PARSE_BAD_PORT,   /* port 0 */
};

/* Read a header. *ret is complete only on TCP_PARSE_OK. Unknown options are skipped (MUST-6). */
enum tcp_parse tcp_header_parse(const uint8_t *bytes, size_t len, struct tcp_header *ret) MUST_CHECK;

/* Bytes that tcp_header_build() writes for this header: a multiple of 4, at most TCP_HEADER_MAX. */
uint8_t tcp_header_len(const struct tcp_header *header);

/*
 * Write the header with a zero checksum field; bytes has room for tcp_header_len(). SACK blocks that would
 * not fit are left out. header_len of the input is not read. Returns the length.
 */
uint8_t tcp_header_build(const struct tcp_header *header, uint8_t *bytes);

/* Add bytes to a checksum in progress; odd: an odd number of bytes went before. Start with 0. */
uint64_t tcp_sum_add(uint64_t sum, const void *bytes, size_t len, bool odd);

/* The sum of the pseudo header for a segment of len bytes, header included. */
uint64_t tcp_sum_pseudo(const struct addr *src, const struct addr *dst, uint32_t len);

/* Fold to 16 bits in network order, not complemented. */
uint16_t tcp_sum_fold(uint64_t sum);

/* Put a checksum, in network order, into a built header. */
void tcp_header_checksum_set(uint8_t *bytes, uint16_t checksum_be);

#endif
