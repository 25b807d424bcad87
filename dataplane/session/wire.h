/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's bytes, in clear or through TLS: what the rest of the session reads and writes. The backend's
 * connection is used directly.
 *
 * A TLS connection that has ended in any way (close_notify, cut off, altered bytes) looks like a client that has said
 * its last: what was decrypted before is read, then session.eof is set. Output that finds no room sets
 * session.closing, as a reply does.
 */
#ifndef GREYLINE_SESSION_WIRE_H
#define GREYLINE_SESSION_WIRE_H

#include "dataplane/session/internal.h"

/*
 * The first unread bytes that lie together; NULL and 0 for none. In TLS it is all that is decrypted: as much as
 * TLS_PLAIN_MAX, which is more than a command line. Valid until the next call for this session.
 */
const uint8_t *wire_peek(struct sessions *ss, struct session *s, uint32_t *ret_len);

/* Bytes that can be read now; 0 only when there is nothing. In TLS there may be more behind them. */
uint32_t wire_bytes(struct sessions *ss, struct session *s);

/* Copy up to len unread bytes from the front without consuming. Returns how many. */
uint32_t wire_copy(struct sessions *ss, struct session *s, void *bytes, uint32_t len);

/* Done with the first len bytes. */
void wire_consume(struct sessions *ss, struct session *s, uint32_t len);

/* Append the first len unread bytes to a backend's queue and consume them. Returns how many moved. */
uint32_t wire_move(struct sessions *ss, struct session *s, struct tcp_handle to, uint32_t len);

/* Send a copy, all or nothing. */
bool wire_send(struct sessions *ss, struct session *s, const void *bytes, uint32_t len) MUST_CHECK;

/* Hand what TLS has to say to tcp. False: no room, and the session is closing. */
bool wire_flush(struct sessions *ss, struct session *s);

/* The end: after what was said, or at once. */
void wire_close(struct sessions *ss, struct session *s, bool at_once);

#endif
