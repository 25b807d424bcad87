/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of a worker: one word each, written by that worker alone, read by control for /metrics.
 * counters.def is the only list; docs/COUNTERS.md and the Prometheus text are made from it.
 */
#ifndef GREYLINE_SHARED_COUNTERS_H
#define GREYLINE_SHARED_COUNTERS_H

#include <stdint.h>

enum counter {
#define COUNTER(name, unit, help) COUNTER_##name,
#include "dataplane/shared/counters.def"
#undef COUNTER
        COUNTER_USED,
        COUNTER_MAX = 512, /* room in the shared page, so that a new counter does not change its layout */
};

struct counter_info {
        const char *name; /* in lower case, as Prometheus shows it after "greyline_" */
        const char *unit; /* "total" for counters, "now" for gauges */
        const char *help;
};

extern const struct counter_info counter_infos[COUNTER_USED];

/* Add to a counter of this worker's row: a plain store, since nobody else writes it. */
static inline void counter_add(uint64_t *row, enum counter counter, uint64_t n)
{
        __atomic_store_n(&row[counter], row[counter] + n, __ATOMIC_RELAXED);
}

static inline void counter_inc(uint64_t *row, enum counter counter)
{
        counter_add(row, counter, 1);
}

static inline void counter_set(uint64_t *row, enum counter counter, uint64_t value)
{
        __atomic_store_n(&row[counter], value, __ATOMIC_RELAXED);
}

#endif
