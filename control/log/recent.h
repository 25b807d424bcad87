/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last records that told a client an explain id, in memory, found by that id. A ring with a hash beside
 * it: the oldest goes first. What is older is looked for in the log files (scan.h).
 */
#ifndef GREYLINE_CONTROL_LOG_RECENT_H
#define GREYLINE_CONTROL_LOG_RECENT_H

#include <stdint.h>

#include "dataplane/shared/explain_id.h"
#include "dataplane/shared/msg.h"

struct log_recent;

/* records: how many are kept, a power of two, at 1 kB each. Returns NULL when there is no memory. */
struct log_recent *log_recent_new(uint32_t records);
void log_recent_free(struct log_recent *recent);

/* Keep a copy of a checked record; one without an id is ignored. */
void log_recent_add(struct log_recent *recent, const struct msg_log *record);

/* id: in the form in which ids are written (upper case). Returns NULL when it is not there (any more). */
const struct msg_log *log_recent_lookup(const struct log_recent *recent, const char id[EXPLAIN_ID_LEN]);

#endif
