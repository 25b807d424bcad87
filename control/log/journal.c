/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/journal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/helper.h"
#include "control/log/journal_db.h"
#include "control/log/record.h"

#define BATCH_MAX 256u

struct journal {
        struct helper *helper;
        char path[512];
        uint64_t entries_max;
        struct journal_db *db; /* the helper's thread */
        struct helper_job flush;
        bool is_flushing; /* the loop's thread */

        pthread_mutex_t lock; /* guards the queue and the counts */
        struct journal_row *queue;
        uint32_t queue_first, queue_used;
        struct journal_stats stats;
};

struct query {
        struct journal *journal;
        struct helper_job job;
        struct journal_filter filter;
        journal_fn fn;
        void *arg;
        char error[768];
        struct journal_row *rows;
        int rows_used;
};

struct journal *journal_new(struct loop *loop, const char *path, uint64_t entries_max)
{
        struct journal *journal = calloc(1, sizeof(*journal));

        if (journal == NULL)
                return NULL;
        pthread_mutex_init(&journal->lock, NULL);
        snprintf(journal->path, sizeof(journal->path), "%s", path);
        journal->entries_max = MAX(entries_max, 16u);
        journal->queue = calloc(JOURNAL_QUEUE_MAX, sizeof(*journal->queue));
        journal->helper = journal->queue ? helper_new(loop, "journal") : NULL;
        if (journal->helper == NULL) {
                free(journal->queue);
                free(journal);
                return NULL;
        }
        return journal;
}

/* In the helper's thread. A file that could not be opened is tried again with the next batch. */
static int open_db(struct journal *journal, char *text, size_t text_size)
{
        if (journal->db)
                return 0;
        return journal_db_open(&journal->db, journal->path, journal->entries_max, text, text_size);
}

static uint32_t take_batch(struct journal *journal, struct journal_row batch[BATCH_MAX])
{
        uint32_t n;

        pthread_mutex_lock(&journal->lock);
        n = MIN(journal->queue_used, BATCH_MAX);
        for (uint32_t i = 0; i < n; i++)
                batch[i] = journal->queue[(journal->queue_first + i) % JOURNAL_QUEUE_MAX];
        journal->queue_first = (journal->queue_first + n) % JOURNAL_QUEUE_MAX;
        journal->queue_used -= n;
        pthread_mutex_unlock(&journal->lock);
        return n;
}

static void flush_run(void *arg)
{
        static struct journal_row batch[BATCH_MAX]; /* one journal helper a process */
        struct journal *journal = arg;
        char text[256];
        uint32_t n;

        while ((n = take_batch(journal, batch)) > 0) {
                int r = open_db(journal, text, sizeof(text));

                if (r == 0)
                        r = journal_db_write(journal->db, batch, n);
                pthread_mutex_lock(&journal->lock);
                if (r < 0)
                        journal->stats.dropped += n;
                if (journal->db)
                        journal->stats.rows = journal_db_rows(journal->db);
                pthread_mutex_unlock(&journal->lock);
        }
}

void journal_free(struct journal *journal)
{
        if (journal == NULL)
                return;
        helper_free(journal->helper);
        flush_run(journal); /* what came in after the last batch; the thread has ended */
        journal_db_close(journal->db);
        pthread_mutex_destroy(&journal->lock);
        free(journal->queue);
        free(journal);
}

static void flush_done(void *arg);

static void flush(struct journal *journal)
{
        if (journal->is_flushing)
                return;
        journal->flush.run = flush_run;
        journal->flush.done = flush_done;
        journal->flush.arg = journal;
        journal->is_flushing = helper_submit(journal->helper, &journal->flush) == 0;
}

static void flush_done(void *arg)
{
        struct journal *journal = arg;
        bool is_more;

        journal->is_flushing = false;
        pthread_mutex_lock(&journal->lock);
        is_more = journal->queue_used > 0;
        pthread_mutex_unlock(&journal->lock);
        if (is_more)
                flush(journal);
}

static void copy_path(char ret[JOURNAL_PATH_MAX], const struct msg_log *record, enum log_text text)
{
        size_t len;
        const char *bytes = log_record_text(record, text, &len);

        len = MIN(len, JOURNAL_PATH_MAX - 1);
        memcpy(ret, bytes, len);
        ret[len] = '\0';
}

void journal_note(struct journal *journal, const struct msg_log *record)
{
        uint32_t at_sec = (uint32_t)(record->at_us / 1000000u);
        struct journal_row *row;
        bool is_pass = record->grey == MSG_GREY_PASS;

        if (record->kind != MSG_LOG_RCPT || record->grey_key == 0)
                return;
        if (!is_pass && record->grey != MSG_GREY_NEW && record->grey != MSG_GREY_RESTART)
                return;
        pthread_mutex_lock(&journal->lock);
        if (journal->queue_used == JOURNAL_QUEUE_MAX) {
                journal->stats.dropped++;
        } else {
                row = &journal->queue[(journal->queue_first + journal->queue_used++) % JOURNAL_QUEUE_MAX];
                row->key = record->grey_key;
                row->client = record->client;
                copy_path(row->sender, record, LOG_TEXT_SENDER);
                copy_path(row->recipient, record, LOG_TEXT_RECIPIENT);
                row->first_sec = is_pass ? 0 : at_sec;
                row->passed_sec = is_pass ? at_sec : 0;
                journal->stats.noted++;
        }
        pthread_mutex_unlock(&journal->lock);
        flush(journal);
}

static void query_run(void *arg)
{
        struct query *query = arg;
        struct journal *journal = query->journal;

        flush_run(journal); /* what was noted before the question belongs to the answer */
        query->rows_used = open_db(journal, query->error, sizeof(query->error));
        if (query->rows_used < 0)
                return;
        query->rows_used = journal_db_query(journal->db, &query->filter, query->rows);
        if (query->rows_used < 0)
                snprintf(query->error, sizeof(query->error), "%s: %s", journal->path,
                         journal_db_error(journal->db));
}

static void query_done(void *arg)
{
        struct query *query = arg;
        bool is_good = query->rows_used >= 0;

        query->fn(query->arg, query->rows, is_good ? (uint32_t)query->rows_used : 0,
                  is_good ? NULL : query->error);
        free(query->rows);
        free(query);
}

int journal_query(struct journal *journal, const struct journal_filter *filter, journal_fn fn, void *arg)
{
        struct query *query = calloc(1, sizeof(*query));
        int r = -ENOMEM;

        if (query == NULL)
                return r;
        query->journal = journal;
        query->filter = *filter;
        query->filter.limit = MAX(1u, MIN(filter->limit, JOURNAL_ROWS_MAX));
        query->fn = fn;
        query->arg = arg;
        query->job = (struct helper_job){ .run = query_run, .done = query_done, .arg = query };
        query->rows = calloc(query->filter.limit, sizeof(*query->rows));
        if (query->rows)
                r = helper_submit(journal->helper, &query->job);
        if (r < 0) {
                free(query->rows);
                free(query);
        }
        return r;
}

struct journal_stats journal_stats(const struct journal *journal)
{
        struct journal *unlocked = (struct journal *)journal; /* the lock is no part of its value */
        struct journal_stats stats;

        pthread_mutex_lock(&unlocked->lock);
        stats = journal->stats;
        pthread_mutex_unlock(&unlocked->lock);
        return stats;
}
