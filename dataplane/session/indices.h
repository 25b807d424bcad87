/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which elements of a fixed array are free: those given back, last first, then those never used. So an array costs
 * memory only as far as it was ever used at one time.
 */
#ifndef GREYLINE_SESSION_INDICES_H
#define GREYLINE_SESSION_INDICES_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/pages.h"

#define INDEX_NONE UINT32_MAX

struct indices {
        uint32_t max;
        uint32_t fresh; /* elements from here on were never taken */
        uint32_t given; /* length of the stack */
        uint32_t *stack;
};

/* Allocates. False when memory is short. */
static inline bool indices_init(struct indices *indices, uint32_t max)
{
        *indices = (struct indices){ .max = max, .stack = pages_take(max * sizeof(uint32_t)) };
        return indices->stack != NULL;
}

static inline void indices_done(struct indices *indices)
{
        pages_give(indices->stack, indices->max * sizeof(uint32_t));
        indices->stack = NULL;
}

static inline uint32_t indices_used(const struct indices *indices)
{
        return indices->fresh - indices->given;
}

/* The element that the take after `ahead` others will get, if nothing is given back; INDEX_NONE: none. */
static inline uint32_t indices_peek(const struct indices *indices, uint32_t ahead)
{
        if (ahead < indices->given)
                return indices->stack[indices->given - 1 - ahead];
        ahead -= indices->given;
        return ahead < indices->max - indices->fresh ? indices->fresh + ahead : INDEX_NONE;
}

/* INDEX_NONE: all are taken. */
static inline uint32_t indices_take(struct indices *indices)
{
        uint32_t index = indices_peek(indices, 0);

        if (indices->given > 0)
                indices->given--;
        else if (index != INDEX_NONE)
                indices->fresh++;
        return index;
}

static inline void indices_give(struct indices *indices, uint32_t index)
{
        BUG_ON_HOT(index >= indices->fresh || indices->given >= indices->fresh);
        indices->stack[indices->given++] = index;
}

#endif
