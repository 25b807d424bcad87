/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a Redis server, and what is said over it: the only file that knows hiredis and the keys in
 * Redis. Blocking, under a deadline for each call; for the thread of redis.c.
 *
 * The server is not trusted: a reply of another form than expected is counted and skipped or ends the
 * connection, and the bytes and elements of one call's replies are bounded.
 */
#ifndef GREYLINE_CONTROL_STORE_REDIS_WIRE_H
#define GREYLINE_CONTROL_STORE_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/grey_table.h"

#define WIRE_STREAMS    64u   /* change streams; a key's top six bits choose */
#define WIRE_HASHES     4096u /* hashes that hold the entries; the top twelve bits choose */
#define WIRE_BATCH_MAX  256u  /* entries of one wire_put() */
#define WIRE_ROWS_MAX   8192u /* entries that one call may bring */
#define WIRE_ID_MAX     48    /* "1700000000000-0" */
#define WIRE_CURSOR_MAX 24

struct redis_wire;

/* Position in a change stream: the id of the last change seen. */
struct wire_id {
        char text[WIRE_ID_MAX];
};

/* Is a later than b? Both as Redis writes them: "milliseconds-sequence". */
static inline bool wire_id_is_after(const char *a, const char *b)
{
        uint64_t a_ms = strtoull(a, NULL, 10), b_ms = strtoull(b, NULL, 10);

        if (a_ms != b_ms)
                return a_ms > b_ms;
        return strtoull(strchr(a, '-') + 1, NULL, 10) > strtoull(strchr(b, '-') + 1, NULL, 10);
}

/* What a call brought. row[] has room for WIRE_ROWS_MAX. */
struct wire_rows {
        struct grey_row *row;
        unsigned n;
        uint64_t garbage; /* replies or entries of no known form, counted up */
};

struct wire_conf {
        const char *host; /* NULL: unix_path */
        uint16_t port;
        const char *unix_path;
        const char *user;
        const char *password_file;
        const char *prefix;
        const char *node; /* tells our own changes from those of others */
        uint32_t timeout_ms;
};

/*
 * Connect, authenticate and load the scripts. conf's strings must outlive the connection.
 * All calls return 0 or
 *   -EIO          the connection is of no use any more (broken, too slow, or garbage): close it
 *   -EACCES       the server refuses (AUTH, full, read-only, Cluster): the connection is fine
 *   -EAGAIN       it had forgotten our scripts: they are there again, repeat
 *   -EKEYREJECTED only wire_meta(): the nodes there have another secret
 * and reterr says why in one line, where it is not 0.
 */
int wire_open(struct redis_wire **ret, const struct wire_conf *conf, char reterr[200]) MUST_CHECK;
void wire_close(struct redis_wire *wire);

/* The socket, for shutdown(2) by another thread. */
int wire_fd(const struct redis_wire *wire);

/*
 * Whose Redis is it, and what time is it there? Sets the secret's check value and an epoch where there is none
 * (an emptied Redis gets a new epoch; what is returned also changes when Redis was restarted).
 * new_epoch      random, used if there is none
 */
int wire_meta(struct redis_wire *wire, uint64_t key_check, uint64_t new_epoch, uint64_t *ret_epoch,
              int64_t *ret_time_us, char reterr[200]) MUST_CHECK;

/*
 * Merge n (up to WIRE_BATCH_MAX) entries into Redis and announce those that changed there.
 * latest_sec     what says a later time in Redis is overwritten, not merged
 * life_sec       a hash nobody writes to for so long expires
 * rows           what Redis knows now about each, in any order
 */
int wire_put(struct redis_wire *wire, const struct grey_row *row, unsigned n, uint32_t latest_sec,
             uint32_t life_sec, struct wire_rows *rows, char reterr[200]) MUST_CHECK;

/* Delete entries that still say exactly this. */
int wire_drop(struct redis_wire *wire, const struct grey_row *row, unsigned n, char reterr[200]) MUST_CHECK;

/* Where the change streams end now. */
int wire_tails(struct redis_wire *wire, struct wire_id id[WIRE_STREAMS], char reterr[200]) MUST_CHECK;

/*
 * Read on in the change streams, leaving out our own changes, and move id on.
 * ret_more       some stream had more than one call brings
 */
int wire_changes(struct redis_wire *wire, struct wire_id id[WIRE_STREAMS], struct wire_rows *rows,
                 bool *ret_more, char reterr[200]) MUST_CHECK;

/* Was some stream trimmed beyond id (changes were missed)? */
int wire_is_trimmed(struct redis_wire *wire, const struct wire_id id[WIRE_STREAMS], bool *ret_trimmed,
                    char reterr[200]) MUST_CHECK;

/* One page of one hash (0 to WIRE_HASHES - 1). cursor: "0" to begin, "0" again after the last page. */
int wire_scan(struct redis_wire *wire, unsigned hash, char cursor[WIRE_CURSOR_MAX], struct wire_rows *rows,
              char reterr[200]) MUST_CHECK;

#endif
