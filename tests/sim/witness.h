/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a link from outside, and knows nothing of what is inside an endpoint: of every connection it keeps what each
 * end has sent and what has reached the other, and says when an end does what no TCP may do:
 *
 *   acknowledge, or report by SACK, what has not reached it; take an acknowledgement back
 *   report as duplicate what has reached it once, or anywhere but in the first block (RFC 2883)
 *   move the right edge of its window to the left (RFC 9293 SHLD-14)
 *   send beyond the window it was told, probes of one byte excepted, or longer segments than it was told (RFC 6691)
 *   have more in flight than an initial window and all that was acknowledged allow (RFC 5681, 6928)
 *   send anything after its FIN, or move the FIN
 *   send its first unacknowledged byte again and again without backing off (RFC 6298 5.5)
 *   leave data without any answer for half a second (RFC 9293 MUST-40), but with an ACK from long ago (RFC 5961 5)
 *   mark as ECN capable what is not new data, or was not agreed on; echo congestion that nothing has experienced (RFC 3168)
 *   let its timestamps go back, or echo one that it has not seen (RFC 7323 4)
 *
 * One of the ports of each connection is 25. Connections of which it has not seen the beginning, that have seen a RST,
 * or whose ends do not agree about the beginning, are let go.
 */
#ifndef GREYLINE_SIM_WITNESS_H
#define GREYLINE_SIM_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

struct packet;
struct witness;

/* must_answer: nobody runs out of packets, so data is answered. */
struct witness *witness_new(bool must_answer);
void witness_free(struct witness *witness);

/* A packet leaves an endpoint; one reaches the other. Only read; data begins at the TCP header. */
void witness_sent(struct witness *witness, struct packet *packet, uint64_t now_us);
void witness_delivered(struct witness *witness, struct packet *packet, uint64_t now_us);

/* The first thing that was wrong up to now_us, in words, or NULL. */
const char *witness_check(struct witness *witness, uint64_t now_us);

#endif
