/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012): the keyed hash of every table whose keys a stranger chooses.
 * The short form costs as much as an unkeyed one here (docs/PERFORMANCE.md), so no table uses anything less.
 */
#ifndef GREYLINE_SHARED_SIPHASH_H
#define GREYLINE_SHARED_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
        uint64_t word[2];
};

/* Hash len bytes. Safe on a worker: reads only what it is given. */
uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len);

#endif
