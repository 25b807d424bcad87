/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What routers have said about the way to a peer: the path MTU by remote address, for the connections that come
 * next, and the connections that send less than their peer would take, so that they grow again (RFC 1191 6.3,
 * RFC 8201 5.3).
 *
 * Only tcp_icmp_error() writes here, after the quoted sequence number was found in flight; so who cannot see
 * our segments can neither lower an entry nor push one out. What is known is forgotten PATH_MTU_AGE_SEC after it
 * was last said: the next segment is as large as the peer allows, and a router that still cannot take it says so.
 *
 * Bounds: PATH_MTU_SETS sets of PATH_MTU_WAYS entries under a keyed hash, where the one said longest ago makes
 * room; PATH_MTU_SMALL_MAX connections that wait to grow, and one that finds no place there stays small until it
 * ends. Forgetting costs a peer one more ICMP message, never a connection.
 */
#ifndef GREYLINE_TCP_PATH_MTU_H
#define GREYLINE_TCP_PATH_MTU_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"

#define PATH_MTU_AGE_SEC   600u /* ten minutes (RFC 1191 6.3, RFC 8201 5.3) */
#define PATH_MTU_SETS      256u
#define PATH_MTU_WAYS      4u
#define PATH_MTU_SMALL_MAX 1024u
#define PATH_MTU_TICK_MAX  32u /* connections that grow in one path_mtu_tick() */

struct tcp;
struct tcp_conn;

/* Allocates tcp->path_mtu. Returns 0 or -ENOMEM. */
int path_mtu_new(struct tcp *tcp) MUST_CHECK;
void path_mtu_free(struct tcp *tcp);

/*
 * A router has said that packets to remote may have mtu bytes, of which the caller is convinced. While an older
 * word is still good the smaller one counts: two paths may lead there.
 */
void path_mtu_said(struct tcp *tcp, const struct addr *remote, uint16_t mtu);

/* The path MTU to remote in bytes, or 0: nothing is known. */
uint16_t path_mtu_lookup(const struct tcp *tcp, const struct addr *remote);

/*
 * Let a connection, its handshake done, send no packet of more than mtu bytes; it grows again by itself.
 * mtu 0: nothing is known. Returns whether conn->mss became smaller.
 */
bool path_mtu_limit(struct tcp *tcp, struct tcp_conn *conn, uint16_t mtu);

/* Let those grow whose path is no longer known to be narrow. Bounded work. */
void path_mtu_tick(struct tcp *tcp);

#endif
