/* SPDX-License-Identifier: Apache-2.0 */
/* Pools of packets, the only place where they are made: programs and tests alike. */
#ifndef GREYLINE_PORT_POOL_H
#define GREYLINE_PORT_POOL_H

#include <stdint.h>

#include "dataplane/port/packet.h"

/*
 * A pool of packets with room for buffer bytes behind the headroom, on a NUMA node (-1: any).
 * In a build with AddressSanitizer free packets are poisoned (pool.c).
 * Returns NULL with rte_errno set. Freed by rte_mempool_free(), or with the EAL.
 */
struct rte_mempool *pool_new(const char *name, unsigned packets, uint16_t buffer, int node);

#endif
