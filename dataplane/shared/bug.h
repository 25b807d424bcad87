/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks on ourselves. BUG_ON stays in release builds; BUG_ON_HOT is for packet paths and compiled in for
 * tests (-Dhot_checks=true). Nothing that a peer sends may reach either: a peer's fault is an enum verdict,
 * and a verdict is a counter.
 */
#ifndef GREYLINE_SHARED_BUG_H
#define GREYLINE_SHARED_BUG_H

#include <stdio.h>
#include <stdlib.h>

#define BUG_ON(condition)                                                                                    \
        do {                                                                                                 \
                if (__builtin_expect(!!(condition), 0)) {                                                    \
                        fprintf(stderr, "bug: %s:%d: %s\n", __FILE__, __LINE__, #condition);                 \
                        abort();                                                                             \
                }                                                                                            \
        } while (0)

#ifdef GREYLINE_HOT_CHECKS
#define BUG_ON_HOT(condition) BUG_ON(condition)
#else
#define BUG_ON_HOT(condition) ((void)sizeof(!!(condition)))
#endif

#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))
#define ARRAY_LEN(a)    (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK      __attribute__((warn_unused_result))
#define COLD            __attribute__((noinline, cold))
#define PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))

#endif
