/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What greyline-keys does all day: keep to the list of keys, answer each worker's requests in turn, sleep. It attaches to
 * whatever file is in the keys directory and notices a new one; requests that wait in the rings when it starts are
 * answered.
 */
#ifndef GREYLINE_KEYS_SERVE_H
#define GREYLINE_KEYS_SERVE_H

#include "control/keys/store.h"
#include "dataplane/shared/keys.h"

struct server {
        const char *dir;
        struct keys_link link; /* page NULL: not attached */
        struct ring requests[KEYS_WORKERS_MAX], answers[KEYS_WORKERS_MAX];
        int worker_bell[KEYS_WORKERS_MAX]; /* -1: not opened yet */
        uint32_t workers;
        uint32_t list_done; /* the list that store is about */
        bool has_list;
        uint64_t looked_ms; /* for a new file */
        struct store store;
};

/* dir: must outlive it. */
void serve_init(struct server *server, const char *dir);

/*
 * One turn: a sign of life, a new file or list when there is one, and at most one request of each worker.
 * now_ms: the monotonic clock. Returns how many requests there were: 0, and serve_may_sleep() may be asked.
 */
unsigned serve_turn(struct server *server, uint64_t now_ms);

/* Say to all workers that their bell is wanted. False: something came in meanwhile. */
bool serve_may_sleep(struct server *server);
void serve_awake(struct server *server);

/* Say that nobody is here any more, let go of the file and wipe the keys. */
void serve_done(struct server *server);

#endif
