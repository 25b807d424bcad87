/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy in force: read from a file that control wrote, checked as a stranger's, given to the workers by one
 * pointer, and freed when no worker can hold the old one any more (rte_rcu_qsbr). Nobody waits: main polls.
 *
 * Main reads and publishes; each worker asks for the pointer once a turn and says before it asks that it holds
 * nothing any more. A sleeping worker is offline.
 */
#ifndef GREYLINE_PUBLISH_H
#define GREYLINE_PUBLISH_H

#include <stdint.h>

#include "dataplane/keyring.h"
#include "dataplane/relay/backend.h"
#include "dataplane/session/session.h"
#include "dataplane/shared/bug.h"

struct publish;

/* workers: how many threads will use it. keyring: outlives it. Allocates; NULL when memory is short. */
struct publish *publish_new(unsigned workers, struct keyring *keyring);
void publish_free(struct publish *publish);

/*
 * Read an image file, check it, and put it in force.
 * generation  what the image must be; 0: whatever it is
 * reason      one line for people, set on failure; IMAGE_REASON_MAX
 * Certificates that cannot be used are a failure (-EACCES), but not with generation 0: a start goes on without
 * STARTTLS at that listener, and reason says why; it is "" when all is well.
 * May block. Returns 0, or a negative errno: then what was in force stays.
 */
int publish_load(struct publish *publish, const char *path, uint32_t generation, struct backends *backends,
                 char reason[IMAGE_REASON_MAX]) MUST_CHECK;

/*
 * Read the certificates again where their files have changed, and put them in force with the same policy.
 * reason  as above; "" when all listeners have theirs
 * May block. Returns 1 when something changed, 0 when not, or a negative errno: those that are in force stay.
 */
int publish_certs(struct publish *publish, char reason[IMAGE_REASON_MAX]) MUST_CHECK;

/* Free what no worker holds any more. */
void publish_reclaim(struct publish *publish);

/* What is in force; NULL before the first load. Main may keep it until its next publish_load(). */
const struct runtime *publish_current(const struct publish *publish);

/* --- workers ----------------------------------------------------------------------------------------------------- */

void publish_register(struct publish *publish, unsigned worker);
void publish_unregister(struct publish *publish, unsigned worker);

/* Between two turns: no pointer from before is held. */
void publish_quiescent(struct publish *publish, unsigned worker);

void publish_sleep(struct publish *publish, unsigned worker);
void publish_wake(struct publish *publish, unsigned worker);

#endif
