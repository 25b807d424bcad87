/* SPDX-License-Identifier: Apache-2.0 */
/* Large pages for the big arrays of workers: a cold element costs one miss instead of a walk through page tables. */
#ifndef GREYLINE_SHARED_PAGES_H
#define GREYLINE_SHARED_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGES_LARGE ((uintptr_t)2 << 20)

/* Ask for large pages where memory spans whole ones. Best effort: the kernel may have none. */
static inline void pages_want_large(void *memory, size_t bytes)
{
        uintptr_t first = ((uintptr_t)memory + PAGES_LARGE - 1) & ~(PAGES_LARGE - 1);
        uintptr_t end = ((uintptr_t)memory + bytes) & ~(PAGES_LARGE - 1);

        if (first < end)
                (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
}

#endif
