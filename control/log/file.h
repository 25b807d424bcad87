/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log file: whole lines, rotated by size (FILE, FILE.1 the newest of the old ones, FILE.2 ...). A failure
 * is counted and returned, never fatal; the next write tries again from the start.
 */
#ifndef GREYLINE_CONTROL_LOG_FILE_H
#define GREYLINE_CONTROL_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"

#define LOG_FILE_KEEP_MAX 100u

/* Private but for the counts; caller's memory. */
struct log_file {
        char path[512];
        int fd; /* -1: not open */
        uint64_t bytes;
        uint64_t rotate_bytes; /* 0: never rotated */
        uint32_t keep;         /* old files kept */
        uint64_t lines;
        uint64_t rotations;
        uint64_t failures;
        int last_error; /* negative errno of the last write; 0: it worked */
};

/* Opens nothing yet. Returns 0 or -ENAMETOOLONG. */
int log_file_init(struct log_file *file, const char *path, uint64_t rotate_bytes, uint32_t keep) MUST_CHECK;

/*
 * Append whole lines (text ends in a newline). Either everything is in the file afterwards or nothing.
 * Returns 0 or a negative errno.
 */
int log_file_write(struct log_file *file, const char *text, size_t len, uint32_t lines) MUST_CHECK;

/* Close, so that the next write opens the path anew (someone has moved the file). */
void log_file_close(struct log_file *file);

/* The path of old file n (1 is the newest), or of the file itself for 0. */
void log_file_path(const struct log_file *file, uint32_t n, char *path, size_t size);

#endif
