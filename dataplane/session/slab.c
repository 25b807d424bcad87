/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/session/slab.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/pages.h"
#include "dataplane/shared/poison.h"

#define PAGE_BYTES  4096u
#define PAGE_NONE   UINT32_MAX
#define PAGES_MIN   16u
#define SLOT_BITS   8u /* of a block's number; the page is above them */
#define SLOT_NONE   UINT16_MAX
#define SHORT_SHARE 8u /* of all pages, one in so many is for short blocks */

static const uint16_t class_bytes[] = { 32, 48, 64, 96, 128, 192, 256, 384, 576, 1024 };
#define CLASSES ARRAY_LEN(class_bytes)
static_assert(PAGE_BYTES / 32 <= 1u << SLOT_BITS, "a slot's number fits");

/* A page: which of its slots are free. Kept aside, so that blocks fill their pages. */
struct page {
        uint32_t next, prev; /* pages of the class with a free slot, or free pages by next */
        uint16_t used;       /* slots taken */
        uint16_t fresh;      /* slots from here on were never taken */
        uint16_t free;       /* first of the slots given back, each holds the next; SLOT_NONE */
        uint8_t class;
};
static_assert(sizeof(struct page) == 16, "four in a thousand of what it describes");

struct slab {
        uint8_t *memory;
        struct page *page;
        uint32_t pages, fresh, free; /* pages from fresh on were never used; free: list of those that were */
        uint32_t used;               /* pages that hold blocks */
        size_t used_bytes;
        uint32_t partial[CLASSES];   /* pages with a free slot */
};

struct slab *slab_new(size_t bytes)
{
        struct slab *slab = calloc(1, sizeof(*slab));
        size_t pages = MAX((bytes + PAGE_BYTES - 1) / PAGE_BYTES, PAGES_MIN);

        if (slab == NULL || pages >= 1u << (32 - SLOT_BITS)) {
                free(slab);
                return NULL;
        }
        slab->pages = (uint32_t)pages;
        slab->free = PAGE_NONE;
        for (unsigned i = 0; i < CLASSES; i++)
                slab->partial[i] = PAGE_NONE;
        slab->memory = pages_take(pages * PAGE_BYTES);
        slab->page = pages_take(pages * sizeof(struct page));
        if (slab->memory == NULL || slab->page == NULL) {
                slab_free(slab);
                return NULL;
        }
        POISON(slab->memory, pages * PAGE_BYTES);
        return slab;
}

void slab_free(struct slab *slab)
{
        if (slab == NULL)
                return;
        if (slab->memory)
                UNPOISON(slab->memory, (size_t)slab->pages * PAGE_BYTES);
        pages_give(slab->memory, (size_t)slab->pages * PAGE_BYTES);
        pages_give(slab->page, (size_t)slab->pages * sizeof(struct page));
        free(slab);
}

static unsigned class_of(size_t bytes)
{
        unsigned class = 0;

        BUG_ON_HOT(bytes == 0 || bytes > SLAB_MAX);
        while (class_bytes[class] < bytes)
                class++;
        return class;
}

size_t slab_class_bytes(size_t bytes)
{
        return class_bytes[class_of(bytes)];
}

size_t slab_used_bytes(const struct slab *slab)
{
        return slab->used_bytes;
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static uint16_t slots_of(const struct page *page)
{
        return (uint16_t)(PAGE_BYTES / class_bytes[page->class]);
}

static void partial_push(struct slab *slab, uint32_t at)
{
        struct page *page = &slab->page[at];
        uint32_t *head = &slab->partial[page->class];

        page->prev = PAGE_NONE;
        page->next = *head;
        if (*head != PAGE_NONE)
                slab->page[*head].prev = at;
        *head = at;
}

static void partial_remove(struct slab *slab, uint32_t at)
{
        struct page *page = &slab->page[at];

        if (page->prev != PAGE_NONE)
                slab->page[page->prev].next = page->next;
        else
                slab->partial[page->class] = page->next;
        if (page->next != PAGE_NONE)
                slab->page[page->next].prev = page->prev;
}

/* An empty page for this class, first of its list. PAGE_NONE: none is left for it. */
static uint32_t page_take(struct slab *slab, unsigned class)
{
        uint32_t kept = class_bytes[class] > SLAB_SHORT_MAX ? slab->pages / SHORT_SHARE : 0;
        uint32_t at = slab->free;

        if (slab->used + kept >= slab->pages)
                return PAGE_NONE;
        if (at != PAGE_NONE)
                slab->free = slab->page[at].next;
        else
                at = slab->fresh++;
        slab->page[at] = (struct page){ .free = SLOT_NONE, .class = (uint8_t)class };
        slab->used++;
        partial_push(slab, at);
        return at;
}

static void page_give(struct slab *slab, uint32_t at)
{
        partial_remove(slab, at);
        slab->page[at].next = slab->free;
        slab->free = at;
        slab->used--;
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static uint8_t *slot_at(const struct slab *slab, uint32_t at, uint32_t slot)
{
        return slab->memory + (size_t)at * PAGE_BYTES + slot * class_bytes[slab->page[at].class];
}

uint32_t slab_take(struct slab *slab, size_t bytes)
{
        unsigned class = class_of(bytes);
        uint32_t at = slab->partial[class];
        struct page *page;
        uint16_t slot;

        if (at == PAGE_NONE)
                at = page_take(slab, class);
        if (at == PAGE_NONE)
                return SLAB_NONE;
        page = &slab->page[at];
        slot = page->free != SLOT_NONE ? page->free : page->fresh++;
        UNPOISON(slot_at(slab, at, slot), class_bytes[class]);
        if (slot == page->free)
                memcpy(&page->free, slot_at(slab, at, slot), sizeof(page->free));
        if (++page->used == slots_of(page))
                partial_remove(slab, at);
        slab->used_bytes += class_bytes[class];
        return at << SLOT_BITS | slot;
}

void slab_give(struct slab *slab, uint32_t block)
{
        uint32_t at = block >> SLOT_BITS;
        struct page *page = &slab->page[at];
        uint16_t slot = (uint16_t)(block & ((1u << SLOT_BITS) - 1));
        uint8_t *memory = slot_at(slab, at, slot);

        BUG_ON_HOT(at >= slab->pages || page->used == 0 || slot >= page->fresh);
        memcpy(memory, &page->free, sizeof(page->free));
        POISON(memory, class_bytes[page->class]);
        page->free = slot;
        if (page->used == slots_of(page))
                partial_push(slab, at);
        slab->used_bytes -= class_bytes[page->class];
        if (--page->used == 0)
                page_give(slab, at);
}

void *slab_at(const struct slab *slab, uint32_t block)
{
        return slot_at(slab, block >> SLOT_BITS, block & ((1u << SLOT_BITS) - 1));
}
