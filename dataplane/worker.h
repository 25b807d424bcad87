/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker: a core's loop over everything that belongs to it. main makes all workers before it starts any.
 */
#ifndef GREYLINE_WORKER_H
#define GREYLINE_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/ip/ip.h"
#include "dataplane/keyring.h"
#include "dataplane/port/port.h"
#include "dataplane/port/wait.h"
#include "dataplane/publish.h"
#include "dataplane/session/session.h"
#include "dataplane/shared/link.h"
#include "dataplane/shared/secret.h"
#include "dataplane/tcp/tcp.h"

/* What all workers share; made by main, read-only while they run but for the atomics. */
struct dataplane {
        unsigned workers;
        uint8_t node_id;
        struct worker *worker[PORT_WORKERS_MAX];
        struct port *ports[PORT_MAX];
        unsigned n_ports;
        struct steer steer;
        struct publish *publish;
        struct keyring keyring;
        struct link link;
        struct grey_table grey;
        struct client_table clients;
        struct limits *limits;
        struct backends backends;
        struct secret secret; /* of the cluster */
        int bell_control, bell_main;
        _Atomic bool stopping;
        _Atomic bool draining;
};

struct worker;

struct worker_settings {
        unsigned index;
        struct rte_mempool *pool;
        const struct ip_interface *interfaces;
        unsigned n_interfaces;
        uint32_t connections_max;
        uint32_t sessions_max;
        uint32_t packets_max; /* of the pool */
        const char *run_dir;
        uint64_t now_us;
        uint64_t wall_us;
        uint8_t secret[32];   /* random, of this start and worker */
};

/*
 * Everything a worker owns. The dataplane's ports are started, its link is there, its first policy is in force.
 * Allocates. Returns NULL with reterr set.
 */
struct worker *worker_new(struct dataplane *dataplane, const struct worker_settings *settings,
                          char reterr[PORT_ERROR_MAX]);

void worker_free(struct worker *worker);

/*
 * One turn at the given times: receive, act, answer, transmit. Returns how much there was to do. worker_run() does
 * nothing else while there is work; a rig that has its own clock calls it in place of worker_run().
 */
unsigned worker_turn(struct worker *worker, uint64_t now_us, uint64_t wall_us);

/* The loop, until dataplane->stopping. On the worker's lcore; arg is the struct worker. Returns 0. */
int worker_run(void *arg);

/* Wake a sleeping worker: after a change of what it looks at only when awake. Any thread. */
void worker_wake(struct worker *worker);

/* What it holds now: for rigs that look for leaks. On its own thread, or when it does not run. */
struct worker_held {
        struct tcp_stats tcp;
        struct sessions_held sessions;
};
void worker_held(const struct worker *worker, struct worker_held *ret);

/* Sessions open on it now. */
uint32_t worker_sessions(const struct worker *worker);

/* The clocks as workers use them. */
uint64_t worker_clock_us(void);
uint64_t worker_wall_us(void);

#endif
