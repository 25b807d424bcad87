/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port: one DPDK device, opened by name, with as many queues as the workers need and the device has.
 *
 * main calls, in this order and before it starts the workers: port_eal_build(), port_eal_start(),
 * port_pool_new() for each worker, port_open() for each device, port_start() for each. A device is always
 * named to the EAL (a vdev, or a PCI address on the allow list); the PCI bus is never scanned, so a management
 * NIC is never taken away from the kernel. The workers then use burst.h and wait.h; none of the functions here
 * is for them, except the inline ones.
 *
 * Every function that can fail writes one line for people into reterr: what failed, and what to do about it.
 */
#ifndef GREYLINE_PORT_PORT_H
#define GREYLINE_PORT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/packet.h"
#include "dataplane/port/steer.h"
#include "dataplane/shared/bug.h"

#define PORT_MAX         8u   /* ports of one dataplane */
#define PORT_WORKERS_MAX 64u  /* as LINK_WORKERS_MAX */
#define PORT_ERROR_MAX   256u /* a line for people */
#define PORT_NAME_MAX    32u
#define PORT_DEVICE_MAX  256u
#define PORT_BURST_MAX   32u /* packets of one receive or transmit call */

/* One device as the policy names it. */
struct port_device {
        const char *name; /* what the operator calls it: "front" */
        /* "net_af_packet0,iface=gl-front", or a PCI address "0000:01:00.0" with or without arguments */
        const char *device;
        uint16_t mtu; /* of IP, 1280 to 9000 */
};

struct port_eal_settings {
        const char *program;     /* argv[0] */
        const char *file_prefix; /* distinct for each instance on one machine: "greyline-mx1" */
        const struct port_device *devices;
        unsigned n_devices; /* 0 to PORT_MAX */
        unsigned workers;   /* 1 to PORT_WORKERS_MAX */
        /* a CPU for each worker, or NULL: spread over the CPUs we may use */
        const int *cpus;
        /* false: ordinary memory, for tests and for machines without a NIC */
        bool hugepages;
        unsigned memory_mb; /* for pools and rings; at least 16 */
};

/* The EAL's argument vector and the text it points into. Caller's memory; about 4 kB. */
struct port_eal_args {
        int argc;
        char *argv[40];
        unsigned used; /* of text */
        char text[4096];
};

/*
 * Build the argument vector. Worker W runs on lcore PORT_LCORE(W), main on lcore 0; several lcores may share a
 * CPU. A net_af_packet device gets "qpairs=" for the workers, and larger frames for a large MTU, where its
 * string does not say otherwise. Pure: looks at nothing but its arguments and the CPUs this process may use.
 * Returns 0, or -EINVAL with reterr set.
 */
int port_eal_build(struct port_eal_args *ret, const struct port_eal_settings *settings,
                   char reterr[PORT_ERROR_MAX]) MUST_CHECK;

#define PORT_LCORE(worker) ((worker) + 1u)

/* Start the EAL. Once in a process. Blocks for about 0.3 s. Returns 0 or a negative errno with reterr set. */
int port_eal_start(struct port_eal_args *args, char reterr[PORT_ERROR_MAX]) MUST_CHECK;

/* Free hugepages of the default size in MB, 0 when there are none: what hugepages and memory_mb can ask for. */
unsigned port_hugepages_free_mb(void);

/* Give every device and all EAL memory back. Last call before exit. */
void port_eal_stop(void);

/*
 * A pool of packets whose buffers take a frame of this MTU, on NUMA node `node` (-1: any).
 * Returns NULL with reterr set when the memory does not suffice. Freed by port_eal_stop().
 */
struct rte_mempool *port_pool_new(const char *name, unsigned packets, uint16_t mtu, int node,
                                  char reterr[PORT_ERROR_MAX]);

struct port_settings {
        struct port_device device;
        /* its place in the caller's table, 0 to PORT_MAX-1: packet_meta.port */
        uint16_t index;
        unsigned workers;
        struct rte_mempool *const *pools; /* one for each worker: what its queue receives into */
        /* a NIC with RSS gets this key and table; read only during the call */
        const struct steer *steer;
        bool rx_interrupts; /* use them where the driver has them (idle: adaptive) */
};

/* An open port. Written by port_open() and port_start(), then read-only and shared by the workers. */
struct port {
        uint16_t index;
        uint16_t dpdk_id;
        uint16_t rx_queues; /* 1 to workers: queue Q is polled by worker Q alone */
        /* the same number; a worker without one hands frames to port_tx_worker() */
        uint16_t tx_queues;
        uint16_t mtu;
        int node; /* NUMA node, -1 unknown */
        uint8_t mac[6];
        bool rx_l4_checksum; /* the device checks TCP checksums and says so for each packet */
        bool tx_l4_checksum; /* the device finishes TCP checksums: ip_interface.tx_l4_checksum */
        bool tx_multi_segs;  /* the device sends chains; otherwise burst_tx() makes them one segment */
        bool rx_interrupts;  /* a queue's interrupt can be waited for */
        int rx_fd[PORT_WORKERS_MAX]; /* a socket that becomes readable with the queue, -1: none */
        /* frames of workers without a queue on their way to queue 0; NULL when all have one */
        struct rte_ring *tx_ring;
        char name[PORT_NAME_MAX];
        char device[PORT_DEVICE_MAX]; /* the EAL's name of it: the part before the first comma */
};

/*
 * Open and configure the device: queues, offloads, MTU, RSS. A device that has fewer queues than there are
 * workers gets as many as it has: the workers without a queue get their packets by hand-over (steer.h) and
 * send through worker 0.
 * Returns 0 or a negative errno with reterr set ("no such interface", "no permission", "buffers too small").
 */
int port_open(struct port *ret, const struct port_settings *settings, char reterr[PORT_ERROR_MAX]) MUST_CHECK;

/* Let it receive and send. Returns 0 or a negative errno with reterr set. */
int port_start(struct port *port, char reterr[PORT_ERROR_MAX]) MUST_CHECK;

/* Stop and close it; no worker may use it any more. */
void port_close(struct port *port);

/* Does this worker have queues of its own? Without them it never calls burst_rx(). */
static inline bool port_has_queue(const struct port *port, unsigned worker)
{
        return worker < port->rx_queues;
}

/* The worker whose transmit queue takes this worker's frames: wake it after a burst_tx() that returned true. */
static inline unsigned port_tx_worker(const struct port *port, unsigned worker)
{
        return worker < port->tx_queues ? worker : 0;
}

#endif
