/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of the dataplane's start and stop, each one function, in the order in which main.c calls them. Every
 * step that fails has written one line for people to reterr that says what to do.
 */
#ifndef GREYLINE_START_H
#define GREYLINE_START_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/worker.h"

#define START_ERROR_MAX 512u
#define START_PATH_MAX  512u

struct start_options {
        const char *run_dir;
        const char *state_dir;
        const char *keys_dir; /* shared with greyline-keys */
        int node_id;      /* 0 to 63; -1: as the policy says */
        const char *user; /* to become after the start, NULL: stay */
};

/* A device that the policy names, opened once however many of the policy's ports (VLANs) lie on it. */
struct start_devices {
        struct port_device device[PORT_MAX];
        struct port port[PORT_MAX];
        unsigned n;
        struct ip_interface interfaces[IP_INTERFACES_MAX];
        unsigned n_interfaces;
        uint8_t device_of[IMAGE_PORTS_MAX]; /* port of the image -> device */
};

/* Make the run directory and refuse to be the second one in it. */
int start_run_dir(const struct start_options *options, char reterr[START_ERROR_MAX]) MUST_CHECK;

/* Make what is shared with greyline-keys. Without it all goes on but STARTTLS: then it says why. */
void start_keys(struct dataplane *dataplane, const struct start_options *options);

/*
 * Wait for a policy and put it in force: STATE/policy/current.image. Says once that it waits.
 * stop: ends the wait when it becomes true (-EINTR).
 */
int start_policy(struct dataplane *dataplane, const struct start_options *options, const _Atomic bool *stop,
                 char reterr[START_ERROR_MAX]) MUST_CHECK;

/* Map the greylist and the client table, making them when they are not there. */
int start_tables(struct dataplane *dataplane, const struct start_options *options,
                 char reterr[START_ERROR_MAX]) MUST_CHECK;

/* Start the EAL, open and start every device of the policy. */
int start_devices(struct dataplane *dataplane, struct start_devices *devices, const char *program,
                  struct rte_mempool *pools[PORT_WORKERS_MAX], uint32_t *ret_packets,
                  char reterr[START_ERROR_MAX]) MUST_CHECK;

/* The link page and one worker for each core. */
int start_workers(struct dataplane *dataplane, const struct start_devices *devices,
                  const struct start_options *options, struct rte_mempool *const *pools, uint32_t packets,
                  char reterr[START_ERROR_MAX]) MUST_CHECK;

#endif
