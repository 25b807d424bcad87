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

/*
 * bytes of zeros that cost memory only where they are used. NULL: there is no room in the address space.
 * pages_give() takes NULL too.
 */
static inline void *pages_take(size_t bytes)
{
        void *memory =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
                return NULL;
        pages_want_large(memory, bytes);
        return memory;
}

static inline void pages_give(void *memory, size_t bytes)
{
        if (memory)
                munmap(memory, bytes);
}

#endif
