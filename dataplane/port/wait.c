/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One epoll set a worker: its queues' interrupts or sockets, and its bells. DPDK's wrapper of epoll is used since an
 * interrupt's descriptor must be read in the driver's own way before it can ring again.
 */
#include "dataplane/port/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_interrupts.h>

#include "dataplane/port/private.h"

#define EVENTS_MAX     16
#define BLIND_SLEEP_MS 1
#define SLEEP_MS_MAX   60000u
#define IS_QUEUE       ((void *)UINTPTR_MAX)

struct port_wait {
        int epoll;
        unsigned worker;
        unsigned n_interrupts;
        uint16_t interrupts[PORT_MAX]; /* DPDK ids of the ports whose queue has one */
        bool is_blind;
        struct rte_epoll_event events[PORT_MAX + PORT_WAIT_BELLS_MAX]; /* rte_epoll keeps pointers into it */
        unsigned n_events;
};

static int watch_fd(struct port_wait *wait, int fd, void *data)
{
        struct rte_epoll_event *event = &wait->events[wait->n_events];

        event->epdata.event = EPOLLIN;
        event->epdata.data = data;
        if (rte_epoll_ctl(wait->epoll, EPOLL_CTL_ADD, fd, event) < 0)
                return -errno;
        wait->n_events++;
        return 0;
}

/* Watch the worker's queue of the port by the best means there is. */
static int watch_queue(struct port_wait *wait, const struct port *port)
{
        if (port->rx_fd[wait->worker] >= 0)
                return watch_fd(wait, port->rx_fd[wait->worker], IS_QUEUE);
        if (port->rx_interrupts &&
            rte_eth_dev_rx_intr_ctl_q(port->dpdk_id, (uint16_t)wait->worker, wait->epoll, RTE_INTR_EVENT_ADD,
                                      IS_QUEUE) == 0) {
                wait->interrupts[wait->n_interrupts++] = port->dpdk_id;
                return 0;
        }
        wait->is_blind = true;
        return 0;
}

int port_wait_new(struct port_wait **ret, struct port *const *ports, unsigned n_ports, unsigned worker,
                  const int *bells, unsigned n_bells, char reterr[PORT_ERROR_MAX])
{
        struct port_wait *wait;
        int r = 0;

        if (n_ports > PORT_MAX || n_bells > PORT_WAIT_BELLS_MAX || worker >= PORT_WORKERS_MAX)
                return port_fail(reterr, -EINVAL, "worker %u: too many ports or bells to wait for", worker);
        wait = calloc(1, sizeof(*wait));
        if (!wait)
                return port_fail(reterr, -ENOMEM, "worker %u: no memory", worker);
        wait->worker = worker;
        wait->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (wait->epoll < 0)
                r = -errno;
        for (unsigned i = 0; r == 0 && i < n_ports; i++)
                if (port_has_queue(ports[i], worker))
                        r = watch_queue(wait, ports[i]);
        for (unsigned i = 0; r == 0 && i < n_bells; i++)
                r = watch_fd(wait, bells[i], (void *)(uintptr_t)PORT_WAIT_BELL(i));
        if (r < 0) {
                port_wait_free(wait);
                return port_fail(reterr, r, "worker %u: cannot wait for its queues and bells: %s", worker,
                                 strerror(-r));
        }
        *ret = wait;
        return 0;
}

void port_wait_free(struct port_wait *wait)
{
        if (!wait)
                return;
        for (unsigned i = 0; i < wait->n_interrupts; i++)
                (void)rte_eth_dev_rx_intr_ctl_q(wait->interrupts[i], (uint16_t)wait->worker, wait->epoll,
                                                RTE_INTR_EVENT_DEL, IS_QUEUE);
        if (wait->epoll >= 0)
                close(wait->epoll);
        free(wait);
}

void port_wait_arm(struct port_wait *wait)
{
        for (unsigned i = 0; i < wait->n_interrupts; i++)
                (void)rte_eth_dev_rx_intr_enable(wait->interrupts[i], (uint16_t)wait->worker);
}

void port_wait_disarm(struct port_wait *wait)
{
        for (unsigned i = 0; i < wait->n_interrupts; i++)
                (void)rte_eth_dev_rx_intr_disable(wait->interrupts[i], (uint16_t)wait->worker);
}

unsigned port_wait(struct port_wait *wait, uint64_t timeout_us)
{
        struct rte_epoll_event events[EVENTS_MAX];
        uint64_t timeout_ms = MIN(timeout_us / 1000 + (timeout_us % 1000 != 0), SLEEP_MS_MAX);
        unsigned result = 0;
        int n;

        if (wait->is_blind)
                timeout_ms = MIN(timeout_ms, BLIND_SLEEP_MS);
        n = rte_epoll_wait_interruptible(wait->epoll, events, EVENTS_MAX, (int)timeout_ms);
        for (int i = 0; i < n; i++)
                result |= events[i].epdata.data == IS_QUEUE ? PORT_WAIT_PACKETS
                                                            : (unsigned)(uintptr_t)events[i].epdata.data;
        port_wait_disarm(wait);
        return result;
}

bool port_wait_is_blind(const struct port_wait *wait)
{
        return wait->is_blind;
}
