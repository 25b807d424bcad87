/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initial sequence numbers that carry a half-open connection (RFC 4987 3.6): 24 bits of keyed hash, and in the
 * low byte, masked by the top one, the peer's window scale and MSS from tables of eight, SACK-permitted, and
 * the parity of the epoch. Every SYN-ACK of ours uses one, whether or not the syncache has an entry for it.
 */
#ifndef GREYLINE_TCP_COOKIE_H
#define GREYLINE_TCP_COOKIE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/siphash.h"

struct tcp_tuple;

struct cookie_options {
        uint16_t mss;
        bool has_scale;
        uint8_t scale;
        bool has_sack;
};

/* The ISN for a SYN with irs; options are rounded down to what a cookie can say. */
uint32_t cookie_build(const struct siphash_key *key, const struct tcp_tuple *tuple, uint32_t irs,
                      const struct cookie_options *options, uint64_t now_ms);

/* Is isn one of ours for this tuple and irs, not older than two epochs? Fills *ret if so. */
bool cookie_check(const struct siphash_key *key, const struct tcp_tuple *tuple, uint32_t irs, uint32_t isn,
                  uint64_t now_ms, struct cookie_options *ret);

#endif
