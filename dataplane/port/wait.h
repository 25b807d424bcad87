/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an idle worker sleeps until a frame comes to one of its queues, a bell rings, or time is up.
 *
 * A queue wakes its worker by the driver's receive interrupt where there is one (NICs, net_tap), else by the
 * kernel socket below the driver (net_af_packet, net_af_xdp). Where there is neither (net_ring, net_memif),
 * the worker sleeps for a millisecond at a time: some per cent of a core, and said by port_wait_is_blind().
 *
 * The order that loses no wake-up: say that you sleep (ring.h), port_wait_arm(), poll everything once more, and
 * when all was empty port_wait(); otherwise port_wait_disarm().
 */
#ifndef GREYLINE_PORT_WAIT_H
#define GREYLINE_PORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"

#define PORT_WAIT_BELLS_MAX 8u

struct port_wait; /* one worker's; made and used by that worker's thread or by main before it starts */

/*
 * Prepare to wait for the worker's queues of these started ports and for n_bells further descriptors (readable).
 * ports: must outlive it. Allocates. Returns 0 or a negative errno with reterr set.
 */
int port_wait_new(struct port_wait **ret, struct port *const *ports, unsigned n_ports, unsigned worker,
                  const int *bells, unsigned n_bells, char reterr[PORT_ERROR_MAX]) MUST_CHECK;

void port_wait_free(struct port_wait *wait);

/* Ask the queues to wake us; no system call where sockets do that by themselves. */
void port_wait_arm(struct port_wait *wait);
void port_wait_disarm(struct port_wait *wait);

#define PORT_WAIT_PACKETS 0x0001u
#define PORT_WAIT_BELL(i) (0x0002u << (i))

/*
 * Sleep, at most timeout_us (rounded up to whole milliseconds; at most a minute), then disarm.
 * Returns a set of PORT_WAIT_*, 0 when the time is up. A bell that rang is still to be cleared by its owner.
 */
unsigned port_wait(struct port_wait *wait, uint64_t timeout_us);

/* Is there a queue that cannot wake us, so that port_wait() sleeps in steps of a millisecond? */
bool port_wait_is_blind(const struct port_wait *wait);

#endif
