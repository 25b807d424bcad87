/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TIME-WAIT in one cache line: who, both next sequence numbers, the peer's last timestamp. All wait equally
 * long, so they lie in one list in order of expiry; when there is no room the oldest leaves.
 */
#ifndef GREYLINE_TCP_TIMEWAIT_H
#define GREYLINE_TCP_TIMEWAIT_H

#include <stdbool.h>
#include <stdint.h>

struct tcp;
struct tcp_conn;
struct tcp_segment;
struct tcp_tuple;

/* Room for max entries, at least 1. Returns 0 or -ENOMEM. May allocate. */
int timewait_new(struct tcp *tcp, uint32_t max);
void timewait_free(struct tcp *tcp);
uint32_t timewait_len(const struct tcp *tcp);

const struct tcp_tuple *timewait_tuple(const struct tcp *tcp, uint32_t index);
void timewait_prefetch(const struct tcp *tcp, uint32_t index);

uint64_t timewait_due_ms(const struct tcp *tcp);

/* Forget what has waited long enough, at most max entries. Returns how many. */
unsigned timewait_tick(struct tcp *tcp, unsigned max);

/* The connection's place in the table goes to a new entry. */
void timewait_enter(struct tcp *tcp, struct tcp_conn *conn);

/*
 * A segment for entry index. Returns true for a SYN that may begin a new connection (RFC 6191, RFC 9293
 * 3.6.1): the entry is gone, *ret_iss_after set, the packet still the caller's. Else false, packet taken.
 */
bool timewait_input(struct tcp *tcp, uint32_t index, struct tcp_segment *segment, uint32_t *ret_iss_after);

/*
 * tcp_connect() wants this entry's tuple. Returns true when timestamps tell old segments from new ones: the
 * entry is gone, *ret_iss_after set.
 */
bool timewait_reuse(struct tcp *tcp, uint32_t index, uint32_t *ret_iss_after);

#endif
