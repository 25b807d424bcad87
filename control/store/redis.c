/* SPDX-License-Identifier: Apache-2.0 */
#include "control/store/redis.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/store/merge.h"
#include "control/store/redis_wire.h"
#include "dataplane/shared/secret.h"

/* What one turn does at most, so that each part gets its share and Redis a bounded load. */
#define PUSH_BATCHES      16u    /* of WIRE_BATCH_MAX entries */
#define PUSH_LOOK         65536u /* words of the bitmap looked at */
#define PUSH_READ         262144u /* buckets read in a turn: 16 MiB */
#define CHANGES_CALLS     8u
#define SCAN_CALLS_GAP    64u /* pages a turn after a gap: all of Redis in some 15 s */
#define SCAN_EVERY_TURNS  5u  /* else one page in so many turns */
#define META_EVERY_SEC    10
#define BACKOFF_MIN_MS    250u
#define BACKOFF_MAX_MS    30000u
#define TIMEOUT_MS        2000u
#define TURN_MS           200u
#define BATCH_BUCKETS_MAX (WIRE_BATCH_MAX / GREY_BUCKET_ENTRIES)

struct redis {
        struct redis_conf conf; /* its texts are ours */
        struct grey_table *table;
        pthread_t thread;
        char node[17]; /* random: which changes in the streams are our own */

        /* under lock: the thread writes, anybody reads */
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct redis_status status;
        int fd; /* -1: none */
        bool stop;
        bool woken;
        bool resend_wanted;

        /* the thread's own */
        struct redis_wire *wire;
        struct redis_status now; /* copied to status after each turn */
        struct wire_id id[WIRE_STREAMS];
        struct wire_rows rows;
        uint64_t epoch;       /* of the Redis last seen; 0: none yet */
        uint64_t push_cursor;   /* bucket, of the marked ones */
        uint64_t resend_cursor; /* bucket: the next of all that are to be sent again; the table's number: none */
        unsigned scan_hash;   /* next to look through */
        unsigned scan_left;   /* hashes to look through since the last gap */
        char scan_cursor[WIRE_CURSOR_MAX];
        uint32_t backoff_ms;
        int64_t connect_at_ms, meta_at_ms; /* monotonic */
        uint64_t turns;
        bool clock_off;
        bool write_refused; /* Redis is full or read-only: still read */
};

/* --- small things --------------------------------------------------------------------------------------- */

static int64_t monotonic_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t wall_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint32_t wall_sec(void)
{
        return (uint32_t)(wall_us() / 1000000);
}

static uint64_t random_number(void)
{
        uint64_t number = 0;

        while (number == 0) {
                if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
                        number = (uint64_t)wall_us() ^ (uint64_t)getpid() << 40;
        }
        return number;
}

static void publish(struct redis *redis)
{
        pthread_mutex_lock(&redis->lock);
        redis->status = redis->now;
        pthread_mutex_unlock(&redis->lock);
}

static void set_fd(struct redis *redis, int fd)
{
        pthread_mutex_lock(&redis->lock);
        redis->fd = fd;
        pthread_mutex_unlock(&redis->lock);
}

/* A policy forgets it, or its wait would start again: not worth sending. */
static bool is_dead(const struct redis *redis, const struct grey_facts *facts, uint32_t now_sec)
{
        uint32_t wait_sec;
        enum grey_verdict verdict = grey_judge(facts, &redis->conf.params, now_sec, &wait_sec);

        return verdict == GREY_NEW || verdict == GREY_RESTART;
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static void disconnect(struct redis *redis)
{
        set_fd(redis, -1);
        wire_close(redis->wire);
        redis->wire = NULL;
        redis->now.failures++;
        redis->backoff_ms = MIN(MAX(redis->backoff_ms * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
        /* A quarter of it at random, so that the nodes of a cluster do not all come back at once. */
        redis->connect_at_ms = monotonic_ms() + redis->backoff_ms * 3 / 4 +
                               (int64_t)(random_number() % (redis->backoff_ms / 4 + 1));
        if (redis->now.state != REDIS_OTHER_SECRET && redis->now.state != REDIS_REFUSED)
                redis->now.state = REDIS_CONNECTING;
}

/* Everything in Redis is to be looked through; ours is to be sent as well where Redis may have lost it. */
static int begin_resync(struct redis *redis, bool send_all)
{
        redis->now.gaps++;
        redis->now.looked_through = 0;
        redis->scan_hash = (unsigned)(random_number() % WIRE_HASHES);
        redis->scan_left = WIRE_HASHES;
        strcpy(redis->scan_cursor, "0");
        if (send_all)
                redis->resend_cursor = 0;
        /* The ends first, then the whole: a change in between is seen twice, not missed. */
        return wire_tails(redis->wire, redis->id, redis->now.error);
}

/* Secret, epoch and clock. */
static int check_meta(struct redis *redis)
{
        uint64_t epoch = 0;
        int64_t time_us = 0, before_us = wall_us(), off_ms;
        int r = wire_meta(redis->wire, secret_check(&redis->table->key), random_number(), &epoch, &time_us,
                          redis->now.error);

        if (r < 0)
                return r;
        redis->meta_at_ms = monotonic_ms() + META_EVERY_SEC * 1000;
        off_ms = (time_us - (before_us + wall_us()) / 2) / 1000;
        redis->now.clock_off_ms = off_ms;
        redis->clock_off =
            off_ms > REDIS_CLOCK_OFF_MAX_SEC * 1000 || off_ms < -REDIS_CLOCK_OFF_MAX_SEC * 1000;
        if (redis->clock_off)
                snprintf(redis->now.error, sizeof(redis->now.error),
                         "this node's clock is %.0f s off that of Redis: set the clocks (NTP)",
                         (double)off_ms / 1000);
        if (epoch != redis->epoch) { /* our first time, or Redis was emptied or restarted */
                r = begin_resync(redis, true);
                if (r == 0)
                        redis->epoch = epoch;
        }
        return r;
}

static int connect_now(struct redis *redis)
{
        const struct wire_conf conf = {
                .host = redis->conf.host,
                .port = redis->conf.port,
                .unix_path = redis->conf.unix_path,
                .user = redis->conf.user,
                .password_file = redis->conf.password_file,
                .prefix = redis->conf.prefix,
                .node = redis->node,
                .timeout_ms = redis->conf.timeout_ms,
        };
        uint64_t known_epoch = redis->epoch;
        int r = wire_open(&redis->wire, &conf, redis->now.error);

        if (r < 0) {
                redis->wire = NULL;
                redis->now.state = r == -EACCES ? REDIS_REFUSED : REDIS_CONNECTING;
                return r;
        }
        set_fd(redis, wire_fd(redis->wire));
        r = check_meta(redis);
        if (r == 0 && known_epoch == redis->epoch)
                r = begin_resync(redis,
                                 false); /* what was missed meanwhile; our own changes are still marked */
        if (r == 0) {
                redis->now.connects++;
                if (!redis->clock_off)
                        redis->now.error[0] = '\0';
        }
        return r;
}

/* --- a turn --------------------------------------------------------------------------------------------- */

/* What came in goes into the table, if it can be believed. */
static void take_rows(struct redis *redis, bool sweep, struct grey_row *dead, unsigned *dead_n)
{
        uint32_t now_sec = wall_sec();

        for (unsigned i = 0; i < redis->rows.n; i++) {
                const struct grey_row *row = &redis->rows.row[i];
                enum merge_verdict verdict = merge_check(&row->facts, now_sec);
                enum grey_record record;

                if (verdict != MERGE_OK) {
                        *(verdict == MERGE_FUTURE ? &redis->now.future : &redis->now.garbage) += 1;
                        continue;
                }
                if (sweep && *dead_n < WIRE_BATCH_MAX && is_dead(redis, &row->facts, now_sec)) {
                        dead[(*dead_n)++] = *row;
                        continue;
                }
                record = grey_table_merge(redis->table, row->key, &row->facts, &redis->conf.params, now_sec);
                redis->now.taken += record == GREY_RECORD_WRITTEN || record == GREY_RECORD_EVICTED;
                redis->now.no_room += record == GREY_RECORD_FULL;
        }
        redis->now.garbage += redis->rows.garbage;
        redis->rows.n = 0;
        redis->rows.garbage = 0;
}

/* The next bucket to be sent: a marked one, or the next of all. */
static bool next_bucket(struct redis *redis, bool is_resend, uint64_t *ret)
{
        if (!is_resend)
                return grey_table_take_mark(redis->table, &redis->push_cursor, PUSH_LOOK, ret);
        if (redis->resend_cursor >= redis->table->buckets)
                return false;
        *ret = redis->resend_cursor++;
        return true;
}

/*
 * Up to one batch of buckets that hold something, reading *read_left at most. Returns how many; those in which
 * there is nothing to send need not be put back either.
 */
static unsigned collect(struct redis *redis, bool is_resend, unsigned *read_left,
                        uint64_t bucket[BATCH_BUCKETS_MAX], struct grey_row row[WIRE_BATCH_MAX], unsigned *ret_rows)
{
        uint32_t now_sec = wall_sec();
        unsigned buckets = 0, rows = 0;

        while (buckets < BATCH_BUCKETS_MAX && *read_left > 0 && next_bucket(redis, is_resend, &bucket[buckets])) {
                unsigned before = rows, n = grey_table_read_bucket(redis->table, bucket[buckets], &row[rows]);

                --*read_left;
                for (unsigned i = rows, end = rows + n; i < end; i++) {
                        /* A time that no peer would believe is not worth sending either. */
                        if (!is_dead(redis, &row[i].facts, now_sec) &&
                            merge_check(&row[i].facts, now_sec) == MERGE_OK)
                                row[rows++] = row[i];
                }
                buckets += rows > before;
        }
        if (redis->push_cursor >= redis->table->buckets)
                redis->push_cursor = 0;
        *ret_rows = rows;
        return buckets;
}

/* What changed goes first, so that it never waits for millions that are sent again; those get one batch of a turn for sure. */
static int push(struct redis *redis)
{
        uint64_t bucket[BATCH_BUCKETS_MAX];
        struct grey_row row[WIRE_BATCH_MAX];
        unsigned buckets, rows, none = 0, read_left = PUSH_READ;
        int r = 0;

        for (unsigned batch = 0; batch < PUSH_BATCHES && r == 0; batch++) {
                bool is_resend = batch + 1 == PUSH_BATCHES;

                buckets = collect(redis, is_resend, &read_left, bucket, row, &rows);
                if (buckets == 0)
                        buckets = collect(redis, !is_resend, &read_left, bucket, row, &rows);
                if (buckets == 0)
                        break;
                r = wire_put(redis->wire, row, rows, wall_sec() + MERGE_AHEAD_MAX_SEC + 4,
                             redis->conf.params.life_sec + redis->conf.params.window_sec, &redis->rows,
                             redis->now.error);
                if (r < 0) { /* none of it counts as sent: merging twice does no harm */
                        for (unsigned i = 0; i < buckets; i++)
                                grey_table_mark(redis->table, bucket[i]);
                } else {
                        redis->now.sent += rows;
                }
                take_rows(redis, false, NULL, &none); /* where Redis knew more */
        }
        return r;
}

static int pull(struct redis *redis)
{
        bool more = true, trimmed = false;
        unsigned none = 0;
        int r = 0;

        for (unsigned call = 0; call < CHANGES_CALLS && more && r == 0; call++) {
                r = wire_changes(redis->wire, redis->id, &redis->rows, &more, redis->now.error);
                take_rows(redis, false, NULL, &none);
        }
        if (r == 0 && more) { /* far behind: perhaps too far */
                r = wire_is_trimmed(redis->wire, redis->id, &trimmed, redis->now.error);
                if (r == 0 && trimmed)
                        r = begin_resync(redis, false);
        }
        return r;
}

/* A page of Redis; what nobody needs any more is deleted on the way. */
static int look_through(struct redis *redis)
{
        struct grey_row dead[WIRE_BATCH_MAX];
        unsigned dead_n = 0;
        int r = wire_scan(redis->wire, redis->scan_hash, redis->scan_cursor, &redis->rows, redis->now.error);

        take_rows(redis, !redis->clock_off && !redis->write_refused, dead, &dead_n);
        if (r == 0 && dead_n > 0) {
                r = wire_drop(redis->wire, dead, dead_n, redis->now.error);
                redis->now.swept += r == 0 ? dead_n : 0;
                r = r == -EACCES ? 0 : r; /* push() will say it */
        }
        if (r < 0)
                return r;
        if (strcmp(redis->scan_cursor, "0") == 0) {
                redis->scan_hash = (redis->scan_hash + 1) % WIRE_HASHES;
                redis->scan_left -= redis->scan_left > 0;
                redis->now.looked_through = 1000 - redis->scan_left * 1000 / WIRE_HASHES;
        }
        return 0;
}

static int exchange(struct redis *redis)
{
        unsigned pages;
        int r = 0;

        if (monotonic_ms() >= redis->meta_at_ms)
                r = check_meta(redis);
        if (r == 0)
                r = pull(redis);
        pages = redis->scan_left > 0 ? SCAN_CALLS_GAP : redis->turns % SCAN_EVERY_TURNS == 0;
        while (r == 0 && pages-- > 0)
                r = look_through(redis);
        if (r == 0 && !redis->clock_off) {
                r = push(redis);
                redis->write_refused = r == -EACCES;
        }
        return r == -EACCES && redis->write_refused ? 0 : r;
}

static void turn(struct redis *redis)
{
        int r;

        redis->turns++;
        if (!redis->wire) {
                if (monotonic_ms() < redis->connect_at_ms)
                        return;
                r = connect_now(redis);
        } else {
                r = exchange(redis);
        }
        if (r == 0) {
                redis->backoff_ms = 0;
                redis->now.last_ok_sec = wall_sec();
                redis->now.state = redis->clock_off       ? REDIS_CLOCK_OFF
                                   : redis->write_refused ? REDIS_REFUSED
                                   : redis->scan_left > 0 ? REDIS_SYNCING
                                                          : REDIS_UP;
                if (redis->now.state == REDIS_UP)
                        redis->now.error[0] = '\0';
                return;
        }
        if (r == -EAGAIN) /* its scripts were forgotten and are there again */
                return;
        if (r == -EKEYREJECTED || r == -EACCES) {
                redis->now.state = r == -EACCES ? REDIS_REFUSED : REDIS_OTHER_SECRET;
                redis->backoff_ms = MAX(redis->backoff_ms, 2000);
        }
        disconnect(redis);
}

static void *run(void *arg)
{
        struct redis *redis = arg;
        struct timespec until;
        sigset_t all;
        bool stop = false;

        /* Signals are for the loop; and hiredis writes without MSG_NOSIGNAL. */
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, NULL);
        while (!stop) {
                turn(redis);
                publish(redis);
                clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_nsec += (long)(redis->conf.turn_ms % 1000) * 1000000;
                until.tv_sec += redis->conf.turn_ms / 1000 + until.tv_nsec / 1000000000;
                until.tv_nsec %= 1000000000;
                pthread_mutex_lock(&redis->lock);
                while (!redis->stop && !redis->woken &&
                       pthread_cond_timedwait(&redis->wake, &redis->lock, &until) != ETIMEDOUT)
                        ;
                redis->woken = false;
                if (redis->resend_wanted)
                        redis->resend_cursor = 0;
                redis->resend_wanted = false;
                stop = redis->stop;
                pthread_mutex_unlock(&redis->lock);
        }
        set_fd(redis, -1);
        wire_close(redis->wire);
        return NULL;
}

/* --- from outside --------------------------------------------------------------------------------------- */

static void copy_text(const char **text)
{
        if (*text)
                *text = strdup(*text);
}

static void free_redis(struct redis *redis)
{
        free((char *)(uintptr_t)redis->conf.host);
        free((char *)(uintptr_t)redis->conf.unix_path);
        free((char *)(uintptr_t)redis->conf.user);
        free((char *)(uintptr_t)redis->conf.password_file);
        free((char *)(uintptr_t)redis->conf.prefix);
        free(redis->rows.row);
        free(redis);
}

struct redis *redis_new(const struct redis_conf *conf, struct grey_table *table)
{
        struct redis *redis = calloc(1, sizeof(*redis));
        pthread_condattr_t attr;

        if (!redis)
                return NULL;
        redis->conf = *conf;
        if (!redis->conf.prefix)
                redis->conf.prefix = "greyline";
        copy_text(&redis->conf.host);
        copy_text(&redis->conf.unix_path);
        copy_text(&redis->conf.user);
        copy_text(&redis->conf.password_file);
        copy_text(&redis->conf.prefix);
        redis->conf.timeout_ms = conf->timeout_ms ? conf->timeout_ms : TIMEOUT_MS;
        redis->conf.turn_ms = conf->turn_ms ? conf->turn_ms : TURN_MS;
        redis->table = table;
        redis->resend_cursor = table->buckets; /* until the first connect says otherwise */
        redis->fd = -1;
        strcpy(redis->scan_cursor, "0");
        merge_build_key(random_number(), redis->node);
        redis->rows.row = calloc(WIRE_ROWS_MAX, sizeof(struct grey_row));
        pthread_mutex_init(&redis->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&redis->wake, &attr);
        pthread_condattr_destroy(&attr);
        if (!redis->rows.row || !redis->conf.prefix || (!redis->conf.host && !redis->conf.unix_path) ||
            pthread_create(&redis->thread, NULL, run, redis) != 0) {
                free_redis(redis);
                return NULL;
        }
        return redis;
}

void redis_free(struct redis *redis)
{
        if (!redis)
                return;
        pthread_mutex_lock(&redis->lock);
        redis->stop = true;
        if (redis->fd >= 0)
                shutdown(redis->fd, SHUT_RDWR); /* ends the wait for a reply */
        pthread_cond_signal(&redis->wake);
        pthread_mutex_unlock(&redis->lock);
        pthread_join(redis->thread, NULL);
        pthread_mutex_destroy(&redis->lock);
        pthread_cond_destroy(&redis->wake);
        free_redis(redis);
}

void redis_status(struct redis *redis, struct redis_status *ret)
{
        pthread_mutex_lock(&redis->lock);
        *ret = redis->status;
        pthread_mutex_unlock(&redis->lock);
}

const char *redis_state_text(enum redis_state state)
{
        static const char *const text[] = {
                [REDIS_CONNECTING] = "connecting",
                [REDIS_SYNCING] = "syncing",
                [REDIS_UP] = "up",
                [REDIS_CLOCK_OFF] = "clock off",
                [REDIS_OTHER_SECRET] = "other secret",
                [REDIS_REFUSED] = "refused",
        };

        return text[state];
}

void redis_wake(struct redis *redis)
{
        pthread_mutex_lock(&redis->lock);
        redis->woken = true;
        pthread_cond_signal(&redis->wake);
        pthread_mutex_unlock(&redis->lock);
}

void redis_resend(struct redis *redis)
{
        pthread_mutex_lock(&redis->lock);
        redis->resend_wanted = true;
        pthread_mutex_unlock(&redis->lock);
}
