/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend servers: which are up, how many sessions each has, which one takes the next session.
 *
 * One table for all workers, of the dataplane's own memory. Entries are found by address, port and pool and so
 * outlive a policy push; workers change their counts by single atomic operations, main adds entries when a
 * policy is published. What the operator sees is a copy of it in the link page (backends_publish()).
 *
 * Health: `fall` failures in a row (connect, banner, EHLO, XCLIENT; a probe that fails counts the same) take a
 * server down, one complete SMTP opening brings it back. A server that is down is tried by probes, every second,
 * and where no other is up by one session of each worker at a time: the first mail after it came back need not wait for a probe.
 */
#ifndef GREYLINE_RELAY_BACKEND_H
#define GREYLINE_RELAY_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/image.h"
#include "dataplane/shared/link.h"

#define BACKEND_NONE UINT16_MAX

struct backend {
        struct addr addr;
        uint16_t tcp_port;
        uint16_t pool;                 /* index in the image that is published now */
        _Atomic uint32_t state;        /* enum link_backend_state */
        _Atomic uint32_t sessions;     /* connections open or opening, of clients, not of probes */
        _Atomic uint32_t failures;     /* in a row */
        _Atomic uint64_t transactions; /* messages accepted */
        _Atomic uint64_t changed_sec;  /* wall clock */
        _Atomic uint64_t probe_due_us; /* when the next probe may start */
};

struct backends {
        _Atomic uint32_t count;
        struct backend backend[LINK_BACKENDS_MAX];
};

/*
 * Give every server of the image an entry, and write its number to ret_map[server]. Entries that no image
 * names any more stay (a session may still use one) until the table is full; then servers without an entry get
 * BACKEND_NONE and take no sessions (IMAGE_SERVERS_MAX equals the table's size, so a push can only come to
 * that when backends were exchanged many times). Main only.
 */
void backends_apply(struct backends *backends, const struct image *image, uint16_t ret_map[IMAGE_SERVERS_MAX]);

/*
 * The server of a pool for the next session.
 * map          of backends_apply() for this image
 * network_hash for balance hash: any hash of the client's network
 * tried        bit per server of the pool (by its place in the pool, the first 64): not these
 * Returns the server's index in the image, or BACKEND_NONE when there is none to try. Safe on a worker.
 */
uint16_t backends_choose(const struct backends *backends, const struct image *image,
                         const uint16_t map[IMAGE_SERVERS_MAX], uint16_t pool, uint64_t network_hash,
                         uint64_t tried);

/* A connection was begun, or ended. */
void backend_take(struct backend *backend);
void backend_give(struct backend *backend);

/* How an opening went. Returns true when the server's state changed by it. Safe on a worker. */
bool backend_failed(struct backend *backend, uint32_t fall, uint64_t now_sec);
bool backend_answered(struct backend *backend, uint64_t now_sec);

/* Copy the table for the operator. Main only. */
void backends_publish(const struct backends *backends, struct link_page *page);

#endif
