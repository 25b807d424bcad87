/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sixteen bytes of shared memory that are read whole and replaced whole. Every CPU with AVX makes an aligned
 * 16-byte vector load atomic (Intel SDM 3A, 9.1.1; AMD APM 2, 7.3.2); word16_supported() checks that at
 * start. Inline assembly, because compilers may split the intrinsic into two loads of 8, and
 * __atomic_load_n() of 16 bytes is a locked write, which would make every reader take the cache line for
 * itself.
 */
#ifndef GREYLINE_SHARED_WORD16_H
#define GREYLINE_SHARED_WORD16_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cpuid.h>
#include <emmintrin.h>

struct word16 {
        uint64_t low;
        uint64_t high;
} __attribute__((aligned(16)));

/* Can this CPU do it? */
static inline bool word16_supported(void)
{
        unsigned a, b, c, d;

        return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX) && (c & bit_CMPXCHG16B);
}

/* Read the whole word. Later reads are not moved before it. */
static inline struct word16 word16_load(const struct word16 *at)
{
        struct word16 word;

#ifdef GREY_TABLE_TORN_LOAD
        /* For one test only, which must fail with it: what a compiler may make of the intrinsic. */
        word.low = *(const volatile uint64_t *)&at->low;
        word.high = *(const volatile uint64_t *)&at->high;
#else
        __m128i vector;

        __asm__ volatile("movdqa %1, %0" : "=x"(vector) : "m"(*at) : "memory");
        memcpy(&word, &vector, sizeof(word));
#endif
        return word;
}

/* Replace *at by want if it is still have. A full barrier. Returns whether it was. */
static inline bool word16_cas(struct word16 *at, struct word16 have, struct word16 want)
{
        bool done;

        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*at), "+a"(have.low), "+d"(have.high)
                         : "b"(want.low), "c"(want.high)
                         : "memory");
        return done;
}

#endif
