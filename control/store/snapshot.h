/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greylist on disk: what an appliance without Redis keeps over a restart of the machine. Taken without
 * stopping the workers, each entry read whole; the file appears under its name only when it is complete and on
 * the disk. Its form does not depend on the table's layout or size: blocks of rows, each compressed and
 * checksummed by itself, so that a damaged block costs its own rows and nothing else.
 *
 * Both functions take as long as the disk does: for a helper thread, or for the start.
 */
#ifndef GREYLINE_CONTROL_STORE_SNAPSHOT_H
#define GREYLINE_CONTROL_STORE_SNAPSHOT_H

#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/grey_table.h"

struct snapshot_stats {
        uint64_t entries;  /* written, or taken into the table */
        uint64_t dead;     /* past their use: left out */
        uint64_t refused;  /* rows that no entry can say or with a time ahead of the clock */
        uint64_t no_room;  /* both buckets full of passed entries */
        uint64_t bytes;    /* of the file */
        uint32_t made_sec; /* wall clock when it was taken */
};

/*
 * Write the table to path. Returns 0 or a negative errno; the earlier file stays on failure.
 * params  what no policy has a use for any more is left out: give the longest window and life
 */
int snapshot_save(const struct grey_table *table, const char *path, const struct grey_params *params,
                  uint32_t now_sec, struct snapshot_stats *ret) MUST_CHECK;

/*
 * Take the entries at path into the table (maximum of each register; not marked as changed).
 * Returns 0; -ENOENT when there is none; -EKEYREJECTED when it was taken with another secret; -EBADMSG when it
 * is damaged (ret says what could be taken all the same) or no snapshot at all; or another negative errno.
 * *ret is set in any case.
 */
int snapshot_load(struct grey_table *table, const char *path, const struct grey_params *params,
                  uint32_t now_sec, struct snapshot_stats *ret) MUST_CHECK;

#endif
