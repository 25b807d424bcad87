/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: who the triplets of the greylist are. The table holds hashes only; here the addresses of first
 * defers and of passes stand beside the key, in SQLite, so that people can list and find them. Bounded: the
 * ones not seen for longest go first. Nothing depends on it but the display: when the disk is full or the
 * file broken, entries are lost and counted, and mail goes on. With hashed privacy there is no journal.
 *
 * All SQLite work is done by a helper thread; the functions here are for the loop's thread and never wait.
 */
#ifndef GREYLINE_CONTROL_LOG_JOURNAL_H
#define GREYLINE_CONTROL_LOG_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "control/loop.h"
#include "dataplane/shared/addr.h"
#include "dataplane/shared/msg.h"

#define JOURNAL_QUEUE_MAX 4096u /* entries waiting to be written */
#define JOURNAL_PATH_MAX  321u  /* a mail address with its NUL */
#define JOURNAL_ROWS_MAX  1000u /* one answer has at most so many */

struct journal;

struct journal_row {
        uint64_t key; /* in the greylist table */
        struct addr client;
        char sender[JOURNAL_PATH_MAX];
        char recipient[JOURNAL_PATH_MAX];
        uint32_t first_sec;  /* the present wait began; 0: not seen here */
        uint32_t passed_sec; /* last pass by a retry; 0: none */
};

/* What to list; the conditions that are set must all hold. The newest come first. */
struct journal_filter {
        char domain[256];              /* of sender or recipient; "" for any; case does not count */
        char sender[JOURNAL_PATH_MAX]; /* "" for any; case does not count */
        char recipient[JOURNAL_PATH_MAX];
        bool has_client;
        struct addr client;        /* a network: */
        uint8_t client_prefix_len; /* in the 128-bit form */
        bool has_key;
        uint64_t key;
        uint32_t limit; /* 1 to JOURNAL_ROWS_MAX */
};

/* error: NULL, or one line for people. rows and error live until the call returns. */
typedef void (*journal_fn)(void *arg, const struct journal_row *rows, uint32_t rows_used, const char *error);

struct journal_stats {
        uint64_t noted;
        uint64_t dropped; /* the queue was full, or SQLite refused */
        uint64_t rows;
};

/* entries_max: rows kept. Opens nothing yet, so a broken file is no failure. Returns NULL without memory. */
struct journal *journal_new(struct loop *loop, const char *path, uint64_t entries_max);

/* Writes what is queued, and so may block. NULL is fine. */
void journal_free(struct journal *journal);

/* Take note of a checked record, when it is one of those that are kept. */
void journal_note(struct journal *journal, const struct msg_log *record);

/* Look up rows; fn is called later, once. Returns 0 or -EAGAIN when too many questions are under way. */
int journal_query(struct journal *journal, const struct journal_filter *filter, journal_fn fn,
                  void *arg) MUST_CHECK;

struct journal_stats journal_stats(const struct journal *journal);

#endif
