/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open questions of one worker: which sessions wait for answers about which address. One question per address
 * is on its way however many sessions wait; one that was not answered for a second is asked again by the next
 * session that comes (control may have been restarted). Who waits too long is the session's timer's matter.
 */
#ifndef GREYLINE_SESSION_ASK_H
#define GREYLINE_SESSION_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/siphash.h"

#define ASK_NONE UINT32_MAX

struct asks;

/* sessions: how many can wait, each for one address. Allocates; NULL when memory is short. */
struct asks *asks_new(uint32_t sessions, const struct siphash_key *key);
void asks_free(struct asks *asks);

/*
 * Session (0 to sessions-1, not waiting yet) waits for answers about addr.
 * Returns true when the question must be sent now.
 */
bool asks_wait(struct asks *asks, uint32_t session, const struct addr *addr, uint64_t now_us);

/* It waits no longer. Does nothing when it does not wait. */
void asks_leave(struct asks *asks, uint32_t session);

bool asks_is_waiting(const struct asks *asks, uint32_t session);

/* The first session that waits for this address, or ASK_NONE; then the one behind a session. */
uint32_t asks_first(const struct asks *asks, const struct addr *addr);
uint32_t asks_next(const struct asks *asks, uint32_t session);

#endif
