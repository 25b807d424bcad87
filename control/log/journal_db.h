/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite file of the journal; journal_db.c is the only file that knows SQLite. For the helper thread. */
#ifndef GREYLINE_CONTROL_LOG_JOURNAL_DB_H
#define GREYLINE_CONTROL_LOG_JOURNAL_DB_H

#include "control/log/journal.h"

struct journal_db;

/*
 * Open or make the file. One that is damaged is moved aside to PATH.broken and begun anew.
 * Returns 0 or a negative errno; text says why in one line.
 */
int journal_db_open(struct journal_db **ret, const char *path, uint64_t entries_max, char *text,
                    size_t text_size) MUST_CHECK;
void journal_db_close(struct journal_db *db);

/* Write a batch in one transaction and keep the bound. Returns 0, or -EIO and nothing was written. */
int journal_db_write(struct journal_db *db, const struct journal_row *rows, uint32_t rows_used) MUST_CHECK;

/* Returns the number of rows, at most filter->limit, or -EIO. */
int journal_db_query(struct journal_db *db, const struct journal_filter *filter,
                     struct journal_row *ret_rows) MUST_CHECK;

uint64_t journal_db_rows(const struct journal_db *db);

/* SQLite's words for the last failure. */
const char *journal_db_error(struct journal_db *db);

#endif
