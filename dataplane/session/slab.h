/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small blocks of different lengths from one bounded piece of memory: what sessions keep of their clients' words.
 * Pages of 4 kB, each cut into blocks of one class; a page whose blocks are all free serves any class again. Memory
 * is touched when it is first used, and a block is a number of 32 bits, not a pointer.
 *
 * Full: the last eighth of the pages is for blocks of SLAB_SHORT_MAX bytes or less, so that clients with long names
 * are refused before those with names as usual; when that is used up too, slab_take() gives nothing.
 */
#ifndef GREYLINE_SESSION_SLAB_H
#define GREYLINE_SESSION_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"

#define SLAB_NONE      UINT32_MAX
#define SLAB_MAX       1024u /* bytes of the largest block */
#define SLAB_SHORT_MAX 128u

struct slab;

/* bytes: rounded up to whole pages, at least 16. Allocates; NULL when memory is short. */
struct slab *slab_new(size_t bytes) MUST_CHECK;
void slab_free(struct slab *slab);

/* A block of at least bytes, 1 to SLAB_MAX; its contents are undefined. SLAB_NONE: there is none. */
uint32_t slab_take(struct slab *slab, size_t bytes) MUST_CHECK;
void slab_give(struct slab *slab, uint32_t block);

/* Where it lies, 8-byte aligned, until it is given back. */
void *slab_at(const struct slab *slab, uint32_t block);

/* How large a block for so many bytes is: its class. */
size_t slab_class_bytes(size_t bytes);

/* Bytes of all blocks that are taken. */
size_t slab_used_bytes(const struct slab *slab);

static inline void slab_prefetch(const struct slab *slab, uint32_t block)
{
        if (block != SLAB_NONE)
                __builtin_prefetch(slab_at(slab, block), 1);
}

#endif
