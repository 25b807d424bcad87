/* SPDX-License-Identifier: Apache-2.0 */
/* Samples, percentiles and the lines that tests/perf/run reads: one JSON object each. */
#ifndef GREYLINE_PERF_FIGURE_H
#define GREYLINE_PERF_FIGURE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <x86intrin.h>

#include "dataplane/shared/bug.h"

static inline _Noreturn void PRINTF(1, 2) give_up(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fprintf(stderr, "\n");
        exit(1);
}

/* Samples beyond the bound are not kept. */
struct samples {
        double *value;
        size_t n, max;
};

static inline struct samples samples_new(size_t max)
{
        return (struct samples){ .value = malloc(max * sizeof(double)), .max = max };
}

static inline void samples_add(struct samples *samples, double value)
{
        if (samples->n < samples->max)
                samples->value[samples->n++] = value;
}

static inline int samples_compare(const void *a, const void *b)
{
        double left = *(const double *)a, right = *(const double *)b;

        return (left > right) - (left < right);
}

/* Sorts. percent: 0 to 100. 0 without samples. */
static inline double samples_percentile(struct samples *samples, unsigned percent)
{
        if (samples->n == 0)
                return 0;
        qsort(samples->value, samples->n, sizeof(double), samples_compare);
        return samples->value[(samples->n - 1) * percent / 100];
}

static inline void figure_print(const char *name, const char *unit, struct samples *samples)
{
        printf("{\"name\": \"%s\", \"unit\": \"%s\", \"p10\": %.2f, \"p50\": %.2f, \"p90\": %.2f, \"samples\": %zu}\n",
               name, unit, samples_percentile(samples, 10), samples_percentile(samples, 50),
               samples_percentile(samples, 90), samples->n);
        fflush(stdout);
}

static inline void figure_value(const char *name, const char *unit, double value)
{
        printf("{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.3f}\n", name, unit, value);
        fflush(stdout);
}

/* Nothing of what came before is still going on, and nothing of what comes later has begun. */
static inline uint64_t ticks(void)
{
        uint64_t now;

        _mm_lfence();
        now = __rdtsc();
        _mm_lfence();
        return now;
}

/* xorshift64*: the rig's own, so that every run does the same. */
static inline uint64_t random_next(uint64_t *state)
{
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return *state * 0x2545f4914f6cdd1dull;
}

#endif
