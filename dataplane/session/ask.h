/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open questions of one worker: which sessions wait for answers about which address. One question per address
 * is on its way however many sessions wait; one that was not answered for a second is asked again by the next
 * session that comes (control may have been restarted). Who waits too long is the session's timer's matter.
 *
 * Full: the oldest question is forgotten, with all who wait for it. Their timers run on, and by then the answers may
 * lie in the client table all the same.
 */
#ifndef GREYLINE_SESSION_ASK_H
#define GREYLINE_SESSION_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/siphash.h"

#define ASK_NONE UINT32_MAX

struct asks;

/* waiters: how many sessions can wait at one time. Allocates; NULL when memory is short. */
struct asks *asks_new(uint32_t waiters, const struct siphash_key *key);
void asks_free(struct asks *asks);

/*
 * A session, which is not waiting yet, waits for answers about addr. *waiter is its place here, the session's to
 * keep: ASK_NONE before the first time, and then whatever was written there.
 * ret_forgotten: set to how many others wait no longer because there was no room.
 * Returns true when the question must be sent now.
 */
bool asks_wait(struct asks *asks, uint32_t *waiter, uint32_t session, const struct addr *addr, uint64_t now_us,
               uint32_t *ret_forgotten);

/* It waits no longer. Does nothing when it does not wait. */
void asks_leave(struct asks *asks, uint32_t waiter, uint32_t session);

bool asks_is_waiting(const struct asks *asks, uint32_t waiter, uint32_t session);

/* A session that waits for this address, or ASK_NONE. */
uint32_t asks_first(const struct asks *asks, const struct addr *addr);

/* How many wait. */
uint32_t asks_waiting(const struct asks *asks);

#endif
