/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive and transmit bursts of one worker on one port. Safe on a worker: nothing here blocks, allocates
 * (but for making one segment of a chain where the device cannot send chains) or logs.
 */
#ifndef GREYLINE_PORT_BURST_H
#define GREYLINE_PORT_BURST_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"

/*
 * Take up to max (at most PORT_BURST_MAX) frames from the worker's queue of the port; 0 where it has none.
 * Each packet's data begins at its Ethernet header; its meta is cleared but for port, vlan (a tag that the
 * device has stripped) and PACKET_L4_CHECKSUM_OK. The caller owns them. Counts rx_packets in `counters`.
 */
unsigned burst_rx(const struct port *port, unsigned worker, struct packet **ret, unsigned max,
                  uint64_t *counters);

/*
 * Send n frames (as ip_next_frames() gives them); all of them are taken. What the device does not take within a
 * bounded number of tries is dropped and counted (tx_full), so a stuck device never stops a worker.
 * Returns true when the frames were put on their way to another worker, port_tx_worker(), which should be woken.
 */
bool burst_tx(const struct port *port, unsigned worker, struct packet **packets, unsigned n,
              uint64_t *counters);

/*
 * Send what other workers have handed over for this worker's queue. Called by every worker once a turn; does
 * nothing where all workers have queues, or on another worker than the one that sends for them.
 * Returns the number of frames taken from the hand-over ring.
 */
unsigned burst_tx_handed(const struct port *port, unsigned worker, uint64_t *counters);

#endif
