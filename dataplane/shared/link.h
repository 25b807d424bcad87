/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page and the rings that the dataplane and control share: file "link" in the run directory.
 *
 * The dataplane makes a new file at each start (rename over the old one), control attaches to whatever file
 * is there and notices a new one by its generation. Control may die and come back at any time: unread
 * questions and log records wait in the rings, and it goes on with them.
 *
 * Bells are FIFOs in the run directory ("bell.control", "bell.main", "bell.worker.N"), opened read-write and
 * non-blocking by both sides, so that they survive a restart of either and need no descriptor passing. One
 * byte is written only when the reader says that it sleeps (ring.h).
 */
#ifndef GREYLINE_SHARED_LINK_H
#define GREYLINE_SHARED_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/counters.h"
#include "dataplane/shared/msg.h"
#include "dataplane/shared/ring.h"

#define LINK_WORKERS_MAX  64u
#define LINK_BACKENDS_MAX 256u

#define LINK_ASK_SLOTS    8192u
#define LINK_ANSWER_SLOTS 8192u
#define LINK_LOG_SLOTS    8192u

enum link_backend_state {
        LINK_BACKEND_UNKNOWN,
        LINK_BACKEND_UP,
        LINK_BACKEND_DOWN,
};

/* One backend server as the dataplane sees it. Writer: the dataplane; reader: control. */
struct link_backend {
        struct addr addr;
        uint16_t port;
        uint16_t pool;                 /* index of the pool in the image */
        _Atomic uint32_t state;        /* enum link_backend_state */
        _Atomic uint32_t sessions;     /* open now */
        _Atomic uint32_t failures;     /* in a row */
        _Atomic uint64_t transactions; /* messages accepted by it */
        _Atomic uint64_t changed_sec;  /* wall clock of the last change of state */
};

/*
 * The page at the start of the file. Each field says who writes it; the other side only reads, and checks.
 */
struct link_page {
        uint32_t magic;
        uint32_t version;            /* LINK_VERSION */
        uint64_t generation;         /* random, new at every dataplane start */
        uint32_t workers;            /* 1 to LINK_WORKERS_MAX */
        int32_t dataplane_pid;
        uint64_t started_sec;        /* wall clock */

        /* dataplane: rw, control: ro */
        _Alignas(64) _Atomic uint64_t dataplane_beat_ms; /* monotonic clock of the last housekeeping turn */
        _Atomic uint32_t image_loaded;                   /* generation of the policy image in use, 0: none */
        _Atomic uint32_t image_refused;                  /* generation of the last image refused, 0: none */
        char image_error[256];                           /* why; written before image_refused */
        _Atomic uint32_t ready;                          /* 1 when every worker serves */
        _Atomic uint32_t backends;                       /* entries used below */
        struct link_backend backend[LINK_BACKENDS_MAX];

        /* control: rw, dataplane: ro */
        _Alignas(64) _Atomic uint64_t control_beat_ms; /* monotonic clock of control's last turn */
        _Atomic uint32_t image_wanted;                 /* generation of the image file to load (paths.h) */
        _Atomic uint32_t draining;                     /* 1: take no new sessions */

        /* Per worker; counters are written by the worker alone with plain stores of aligned words. */
        _Alignas(64) uint64_t counters[LINK_WORKERS_MAX][COUNTER_MAX];
};

/* One side's view. Private; caller's memory. */
struct link {
        struct link_page *page;
        size_t bytes;    /* of the mapping */
        uint64_t generation;
        uint32_t workers;
        uint8_t *rings;  /* where the rings begin in the mapping */
};

/*
 * Make the file and map it (the dataplane, once, at start): fallocate, map, lock where allowed, format, then
 * rename into place. workers: 1 to LINK_WORKERS_MAX. Returns 0 or a negative errno. link_done() unmaps.
 */
int link_create(struct link *link, const char *run_dir, uint32_t workers) MUST_CHECK;

/* Map the file that is there (control). Returns 0, -ENOENT, -EPROTO for another version, or another errno. */
int link_attach(struct link *link, const char *run_dir) MUST_CHECK;

/* Is the file in the run directory another one than this mapping (the dataplane was restarted)? */
bool link_is_stale(const struct link *link, const char *run_dir);

void link_done(struct link *link);

/* The memory of one worker's rings, for ring_attach_*(): the geometry is LINK_*_SLOTS by the message size. */
void *link_ask_ring(const struct link *link, uint32_t worker);
void *link_answer_ring(const struct link *link, uint32_t worker);
void *link_log_ring(const struct link *link, uint32_t worker);

/*
 * Open a bell, making the FIFO when it is not there. name: "control", "main" or "worker.N".
 * Returns a descriptor (O_RDWR | O_NONBLOCK | O_CLOEXEC; poll it for POLLIN), or a negative errno.
 */
int link_bell_open(const char *run_dir, const char *name) MUST_CHECK;

/* Wake the reader. One system call; a full FIFO is fine: the reader has been woken already. */
void link_bell_ring(int bell);

/* Take every byte out, so that the next poll sleeps. */
void link_bell_clear(int bell);

#endif
