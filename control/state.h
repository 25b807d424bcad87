/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must outlive a process: the mapped tables, their snapshot on disk, and the exchange with other
 * nodes.
 */
#ifndef GREYLINE_CONTROL_STATE_H
#define GREYLINE_CONTROL_STATE_H

#include "control/control.h"

/*
 * Map both tables, making them when there are none, in the sizes of the policy; load the snapshot into a
 * greylist that is new. Says on stderr why it failed. May block.
 */
int state_open(struct control *control) MUST_CHECK;
void state_close(struct control *control);

/* Begin snapshots at their interval, and the exchange with Redis. A Redis that is away is no failure. */
int state_start(struct control *control) MUST_CHECK;

/* Stop both. Waits for a snapshot that is being written, then writes the last one. */
void state_stop(struct control *control);

/* Follow a new policy; before: the one that was in force, or NULL. */
void state_use_image(struct control *control, const struct image *before);

/* Write a snapshot in the helper's thread, unless one is being written. */
void state_snapshot(struct control *control);

/* How the exchange is, as one value; null when the policy has none. */
void state_put_redis(struct json *json, const char *key, const struct control *control);

/* How the greylist's facts are read under the policy at this index (0 where there is none). */
struct grey_params state_grey_params(const struct control *control, uint16_t policy);

#endif
