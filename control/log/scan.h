/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for an explain id in the log file and its predecessors. Reads much: for a helper thread. */
#ifndef GREYLINE_CONTROL_LOG_SCAN_H
#define GREYLINE_CONTROL_LOG_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "control/log/file.h"
#include "dataplane/shared/explain_id.h"

#define LOG_SCAN_BYTES_MAX (256u << 20) /* the newest so many bytes are searched */
#define LOG_SCAN_LINE_MAX  16384u

/*
 * Find the newest line with this id. file: only its path and keep are read.
 * line: set on success, ended by NUL, without a newline. May block.
 * Returns 0, -ENOENT when no line has it, or another negative errno.
 */
int log_scan(const struct log_file *file, const char id[EXPLAIN_ID_LEN],
             char line[LOG_SCAN_LINE_MAX]) MUST_CHECK;

#endif
