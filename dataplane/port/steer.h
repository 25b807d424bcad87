/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose packet is it: the owner of a connection as a pure function of its 4-tuple.
 *
 * The function is Toeplitz (the one that NICs compute for RSS) over remote address, local address, remote
 * port and local port, then a table of STEER_RETA workers. A NIC that is given the same key and table only
 * makes it likely that a packet arrives where it belongs; every received frame is still asked about here, since
 * fragments, ICMP errors, single-queue devices and NICs without RSS deliver elsewhere.
 *
 * The key is drawn at start: with a known one a stranger could choose ports that all fall to one worker.
 */
#ifndef GREYLINE_PORT_STEER_H
#define GREYLINE_PORT_STEER_H

#include <stdint.h>

#include "dataplane/shared/addr.h"

#define STEER_KEY_BYTES   40u  /* the longest input is 36 bytes, and the window is 4 */
#define STEER_RETA        128u /* entries; a power of two */
#define STEER_INPUT_BYTES 36u

/* Made once by main, then read-only and shared by all workers. */
struct steer {
        uint32_t workers;
        uint8_t key[STEER_KEY_BYTES];
        uint8_t reta[STEER_RETA]; /* hash, low bits -> worker */
        /* the hash of each half byte at each place; XOR of them is Toeplitz */
        uint32_t table[STEER_INPUT_BYTES * 2][16];
};

/* What steer_frame() says instead of a worker's number. */
enum steer_verdict {
        /* nobody's in particular (echo, other protocols, malformed): whoever received it goes on with it */
        STEER_ANY = -1,
        /* ARP or ND: whoever received it answers; the others get a copy marked PACKET_LEARN_ONLY */
        STEER_ALL = -2,
};

/* Prepare the tables. workers: 1 to 64. key: random bytes. */
void steer_init(struct steer *steer, unsigned workers, const uint8_t key[STEER_KEY_BYTES]);

/* The Toeplitz hash of a connection, as a NIC with this key computes it from a packet of the remote end. Ports in host order. */
uint32_t steer_hash(const struct steer *steer, const struct addr *local, uint16_t local_port,
                    const struct addr *remote, uint16_t remote_port);

/* The worker that owns the connection. */
unsigned steer_tuple_owner(const struct steer *steer, const struct addr *local, uint16_t local_port,
                           const struct addr *remote, uint16_t remote_port);

/*
 * The worker that a received Ethernet frame belongs to (0 to workers-1), or an enum steer_verdict.
 *   TCP            by its 4-tuple
 *   ICMP error     by the TCP header it quotes, ends exchanged: the owner of the connection that it is about
 *   fragment       by addresses and id, so that all pieces meet at one worker
 * bytes: len readable bytes from the Ethernet header on; any content, any length. Safe on a worker.
 */
int steer_frame(const struct steer *steer, const uint8_t *bytes, uint32_t len);

/*
 * A local port with which a connection to (remote, remote_port) comes back to this worker: the first one at or
 * after `start`, in the range first..last, around. The caller goes on at the next one when it is in use.
 * Expected work: as many hashes as there are workers. Returns 0 when the range holds none.
 */
uint16_t steer_local_port(const struct steer *steer, unsigned worker, const struct addr *local,
                          const struct addr *remote, uint16_t remote_port, uint16_t first, uint16_t last,
                          uint16_t start);

#endif
