/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections on their way in: listeners, the syncache (64 bytes a half-open connection, which sends its
 * SYN-ACK again, since an SMTP client that lost its last ACK waits for our greeting), and cookies when the
 * cache is full (RFC 4987).
 */
#ifndef GREYLINE_TCP_LISTEN_H
#define GREYLINE_TCP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

struct tcp;
struct tcp_conn;
struct tcp_segment;
struct tcp_tuple;

/* Room for max entries. Returns 0 or -ENOMEM. May allocate. */
int syncache_new(struct tcp *tcp, uint32_t max);
void syncache_free(struct tcp *tcp);
uint32_t syncache_len(const struct tcp *tcp);

const struct tcp_tuple *syncache_tuple(const struct tcp *tcp, uint32_t index);
void syncache_prefetch(const struct tcp *tcp, uint32_t index);

/* When a SYN-ACK is due to be sent again, in ms; UINT64_MAX: never. */
uint64_t syncache_due_ms(const struct tcp *tcp);

/* Send again or forget what is due, at most max entries. Returns how many it handled. */
unsigned syncache_tick(struct tcp *tcp, unsigned max);

/*
 * A segment that no connection, entry or TIME-WAIT claims. iss_after: for a SYN that takes the place of a
 * TIME-WAIT, its snd_nxt, so that our ISN comes after it (RFC 9293 3.6.1); else NULL. Takes the packet, unless
 * it returns a new connection (from a cookie), to which the segment is then to be given.
 */
struct tcp_conn *listen_input(struct tcp *tcp, struct tcp_segment *segment, const uint32_t *iss_after);

/* A segment for syncache entry index. Takes the packet, unless it returns a new connection: as above. */
struct tcp_conn *syncache_input(struct tcp *tcp, uint32_t index, struct tcp_segment *segment);

/* Does a listener take connections there? */
bool listen_is_there(const struct tcp *tcp, const struct tcp_tuple *tuple);

/* This tuple's timestamp clock starts here (RFC 7323 5.4). */
uint32_t tcp_timestamp_offset(const struct tcp *tcp, const struct tcp_tuple *tuple);

#endif
