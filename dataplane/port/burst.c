/* SPDX-License-Identifier: Apache-2.0 */
/* Bursts in and out of a device's queues, and the ring by which workers without a queue send. */
#include "dataplane/port/burst.h"

#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include "dataplane/port/wire.h"
#include "dataplane/shared/counters.h"

#define TX_TRIES      4u   /* calls without progress before the rest is dropped */
#define PREFETCH      4u   /* frames ahead */
#define TX_HANDED_MAX 512u /* frames of other workers sent in one turn */

unsigned burst_rx(const struct port *port, unsigned worker, struct packet **ret, unsigned max,
                  uint64_t *counters)
{
        unsigned n;

        if (!port_has_queue(port, worker))
                return 0;
        n = rte_eth_rx_burst(port->dpdk_id, (uint16_t)worker, (struct rte_mbuf **)ret,
                             (uint16_t)MIN(max, PORT_BURST_MAX));
        if (n == 0)
                return 0;
        counter_add(counters, COUNTER_rx_packets, n);
        for (unsigned i = 0; i < n && i < PREFETCH; i++)
                rte_prefetch0(packet_data(ret[i]));
        for (unsigned i = 0; i < n; i++) {
                const struct rte_mbuf *mbuf = &ret[i]->mbuf;
                struct packet_meta *meta = packet_meta(ret[i]);

                if (i + PREFETCH < n)
                        rte_prefetch0(packet_data(ret[i + PREFETCH]));
                memset(meta, 0, sizeof(*meta));
                meta->port = port->index;
                if (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
                        meta->vlan = mbuf->vlan_tci & WIRE_VLAN_ID;
                if (port->rx_l4_checksum &&
                    (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
                        meta->flags = PACKET_L4_CHECKSUM_OK;
        }
        return n;
}

/* Put frames of several segments into one; those that do not fit are dropped. Returns how many are left. */
static unsigned linearise(struct packet **packets, unsigned n, uint64_t *counters)
{
        unsigned kept = 0;

        for (unsigned i = 0; i < n; i++) {
                if (packets[i]->mbuf.nb_segs > 1 && rte_pktmbuf_linearize(&packets[i]->mbuf) < 0) {
                        counter_inc(counters, COUNTER_tx_linearise_failed);
                        packet_free(packets[i]);
                        continue;
                }
                packets[kept++] = packets[i];
        }
        return kept;
}

static void drop(struct packet **packets, unsigned n, enum counter counter, uint64_t *counters)
{
        for (unsigned i = 0; i < n; i++)
                packet_free(packets[i]);
        counter_add(counters, counter, n);
}

static void send_queue(const struct port *port, unsigned queue, struct packet **packets, unsigned n,
                       uint64_t *counters)
{
        unsigned sent = 0;

        if (!port->tx_multi_segs)
                n = linearise(packets, n, counters);
        for (unsigned tries = 0; sent < n && tries < TX_TRIES;) {
                unsigned taken = rte_eth_tx_burst(port->dpdk_id, (uint16_t)queue,
                                                  (struct rte_mbuf **)packets + sent, (uint16_t)(n - sent));

                sent += taken;
                if (taken == 0)
                        tries++;
        }
        counter_add(counters, COUNTER_tx_packets, sent);
        if (sent < n)
                drop(packets + sent, n - sent, COUNTER_tx_full, counters);
}

bool burst_tx(const struct port *port, unsigned worker, struct packet **packets, unsigned n,
              uint64_t *counters)
{
        unsigned taken;

        if (n == 0)
                return false;
        if (worker < port->tx_queues) {
                send_queue(port, worker, packets, n, counters);
                return false;
        }
        taken = rte_ring_enqueue_burst(port->tx_ring, (void *const *)packets, n, NULL);
        if (taken < n)
                drop(packets + taken, n - taken, COUNTER_tx_full, counters);
        return taken > 0;
}

unsigned burst_tx_handed(const struct port *port, unsigned worker, uint64_t *counters)
{
        struct packet *packets[PORT_BURST_MAX];
        unsigned total = 0, n;

        if (!port->tx_ring || worker != 0)
                return 0;
        do {
                n = rte_ring_dequeue_burst(port->tx_ring, (void **)packets, PORT_BURST_MAX, NULL);
                send_queue(port, 0, packets, n, counters);
                total += n;
        } while (n == PORT_BURST_MAX && total < TX_HANDED_MAX);
        return total;
}
