/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefixes nest or are disjoint. Sorted by start and length, one pass with a stack of the prefixes that are
 * open meets every place where the class may change.
 */
#include "control/policy/networks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"

#define NESTED_MAX (129 * 3) /* open at one time: every length, each in every class */

typedef unsigned __int128 address_number; /* the one typedef: the standard has no name for it */

/* Pieces as they are found; the starts are 128 bits wide for both families. */
struct pieces {
        address_number *starts;
        uint8_t *classes;
        uint32_t count;
};

int networks_add(struct networks *networks, const struct addr *addr, uint8_t prefix_len,
                 enum image_class class)
{
        if (networks->count == POLICY_LIST_MAX)
                return -ENOSPC;
        if (networks->count == networks->room) {
                uint32_t room = networks->room ? networks->room * 2 : 64;
                struct network *entries = realloc(networks->entries, room * sizeof(*entries));

                if (!entries)
                        return -ENOMEM;
                networks->entries = entries;
                networks->room = room;
        }
        networks->entries[networks->count++] = (struct network){ *addr, prefix_len, (uint8_t) class };
        return 0;
}

void networks_done(struct networks *networks)
{
        free(networks->entries);
        *networks = (struct networks){ 0 };
}

static int by_place(const void *a, const void *b)
{
        const struct network *x = a, *y = b;
        int order = memcmp(x->addr.bytes, y->addr.bytes, sizeof(x->addr.bytes));

        if (order != 0)
                return order;
        if (x->prefix_len != y->prefix_len)
                return x->prefix_len - y->prefix_len;
        return x->class - y->class;
}

static address_number number_of(const struct addr *addr)
{
        address_number number = 0;

        for (unsigned i = 0; i < 16; i++)
                number = number << 8 | addr->bytes[i];
        return number;
}

static void add_piece(struct pieces *pieces, address_number start, uint8_t class)
{
        /* A longer prefix that begins at the same address takes the place of the shorter one. */
        if (pieces->starts[pieces->count - 1] == start)
                pieces->count--;
        if (pieces->count > 0 && pieces->classes[pieces->count - 1] == class)
                return;
        pieces->starts[pieces->count] = start;
        pieces->classes[pieces->count++] = class;
}

static void cut(const struct network *entries, uint32_t count, address_number first, address_number last,
                struct pieces *ret)
{
        struct {
                address_number end;
                uint8_t class;
        } open[NESTED_MAX + 1];
        unsigned depth = 1;

        open[0].end = last;
        open[0].class = IMAGE_CLASS_NONE;
        ret->starts[0] = first;
        ret->classes[0] = IMAGE_CLASS_NONE;
        ret->count = 1;
        for (uint32_t i = 0; i < count; i++) {
                address_number start = number_of(&entries[i].addr);
                uint8_t host_bits = (uint8_t)(128 - entries[i].prefix_len);

                if (i > 0 && by_place(&entries[i], &entries[i - 1]) == 0)
                        continue;
                for (; open[depth - 1].end < start; depth--)
                        add_piece(ret, open[depth - 1].end + 1, open[depth - 2].class);
                BUG_ON(depth > NESTED_MAX);
                open[depth].end =
                    host_bits == 128 ? ~(address_number)0 : start + (((address_number)1 << host_bits) - 1);
                open[depth].class = entries[i].class;
                add_piece(ret, start, open[depth++].class);
        }
        for (; depth > 1; depth--) {
                if (open[depth - 1].end < last)
                        add_piece(ret, open[depth - 1].end + 1, open[depth - 2].class);
        }
}

/* The shortest index with a few pieces behind each slot; a small list gets a small one. */
static int make_index(struct networks_flat *flat)
{
        uint32_t bits = 0, piece = 0;

        while (bits < IMAGE_NETWORK_BITS_MAX && (8u << bits) < flat->v4_count)
                bits++;
        flat->v4_index = malloc(((1u << bits) + 1) * sizeof(*flat->v4_index));
        if (!flat->v4_index)
                return -ENOMEM;
        flat->v4_index_bits = bits;
        for (uint32_t i = 0; i < 1u << bits; i++) {
                uint64_t start = (uint64_t)i << (32 - bits);

                while (piece + 1 < flat->v4_count && flat->v4_starts[piece + 1] <= start)
                        piece++;
                flat->v4_index[i] = piece;
        }
        flat->v4_index[1u << bits] = flat->v4_count - 1;
        return 0;
}

static int copy_v4(const struct pieces *pieces, struct networks_flat *ret)
{
        ret->v4_count = pieces->count;
        ret->v4_starts = malloc(pieces->count * sizeof(*ret->v4_starts));
        ret->v4_classes = malloc(pieces->count);
        if (!ret->v4_starts || !ret->v4_classes)
                return -ENOMEM;
        for (uint32_t i = 0; i < pieces->count; i++)
                ret->v4_starts[i] = (uint32_t)pieces->starts[i];
        memcpy(ret->v4_classes, pieces->classes, pieces->count);
        return make_index(ret);
}

static int copy_v6(const struct pieces *pieces, struct networks_flat *ret)
{
        ret->v6_count = pieces->count;
        ret->v6_starts = malloc(pieces->count * sizeof(*ret->v6_starts));
        ret->v6_classes = malloc(pieces->count);
        if (!ret->v6_starts || !ret->v6_classes)
                return -ENOMEM;
        for (uint32_t i = 0; i < pieces->count; i++) {
                ret->v6_starts[i].high = (uint64_t)(pieces->starts[i] >> 64);
                ret->v6_starts[i].low = (uint64_t)pieces->starts[i];
        }
        memcpy(ret->v6_classes, pieces->classes, pieces->count);
        return 0;
}

int networks_flatten(struct networks *networks, struct networks_flat *ret)
{
        const address_number v4_first = (address_number)0xffff << 32;
        struct networks_flat flat = { 0 };
        struct pieces pieces = { 0 };
        struct network *v4 = NULL;
        uint32_t v4_count = 0, v6_count = 0;
        int r = -ENOMEM;

        /* Each prefix opens and closes at most one piece; one more is there from the start. */
        pieces.starts = malloc((2 * (size_t)networks->count + 1) * sizeof(*pieces.starts));
        pieces.classes = malloc(2 * (size_t)networks->count + 1);
        v4 = malloc(((size_t)networks->count + 1) * sizeof(*v4));
        if (!pieces.starts || !pieces.classes || !v4)
                goto out;
        if (networks->count > 0)
                qsort(networks->entries, networks->count, sizeof(*networks->entries), by_place);
        for (uint32_t i = 0; i < networks->count; i++) {
                const struct network *entry = &networks->entries[i];

                if (addr_is_v4(&entry->addr) && entry->prefix_len >= 96)
                        v4[v4_count++] = *entry;
                else
                        networks->entries[v6_count++] = *entry;
        }
        cut(v4, v4_count, v4_first, v4_first + UINT32_MAX, &pieces);
        r = copy_v4(&pieces, &flat);
        if (r < 0)
                goto out;
        cut(networks->entries, v6_count, 0, ~(address_number)0, &pieces);
        r = copy_v6(&pieces, &flat);
        if (r < 0)
                goto out;
        *ret = flat;
        flat = (struct networks_flat){ 0 };
out:
        /* The entries were moved apart by family; the list is used up. */
        networks->count = 0;
        networks_flat_done(&flat);
        free(pieces.starts);
        free(pieces.classes);
        free(v4);
        return r;
}

void networks_flat_done(struct networks_flat *flat)
{
        free(flat->v4_starts);
        free(flat->v4_classes);
        free(flat->v4_index);
        free(flat->v6_starts);
        free(flat->v6_classes);
        *flat = (struct networks_flat){ 0 };
}
