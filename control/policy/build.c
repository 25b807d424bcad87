/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of the image: header, texts, then each table at the next multiple of IMAGE_ALIGN. */
#include <errno.h>
#include <string.h>

#include "control/policy/compile.h"

/* A table of the image: where its section is, and what goes into it. */
struct part {
        size_t section; /* offset in struct image */
        const void *items;
        uint32_t count;
        size_t each;
};

#define PARTS 19

static void gather(const struct compile *compile, struct part parts[PARTS])
{
        const struct networks_flat *flat = &compile->flat;
        const struct {
                size_t section;
                const struct compile_table *table;
        } tables[] = {
                { offsetof(struct image, ports), &compile->ports },
                { offsetof(struct image, addresses), &compile->addresses },
                { offsetof(struct image, listeners), &compile->listeners },
                { offsetof(struct image, fronts), &compile->fronts },
                { offsetof(struct image, certificates), &compile->certificates },
                { offsetof(struct image, pools), &compile->pools },
                { offsetof(struct image, servers), &compile->servers },
                { offsetof(struct image, zones), &compile->zones },
                { offsetof(struct image, codes), &compile->codes },
                { offsetof(struct image, policies), &compile->policies },
                { offsetof(struct image, domains), &compile->domains },
                { offsetof(struct image, dns.resolvers), &compile->resolvers },
        };
        const struct part rest[] = {
                { offsetof(struct image, domain_slots), compile->slots, compile->slots_count, 4 },
                { offsetof(struct image, networks.v4_starts), flat->v4_starts, flat->v4_count, 4 },
                { offsetof(struct image, networks.v4_classes), flat->v4_classes, flat->v4_count, 1 },
                { offsetof(struct image, networks.v4_index), flat->v4_index, (1u << flat->v4_index_bits) + 1,
                  4 },
                { offsetof(struct image, networks.v6_starts), flat->v6_starts, flat->v6_count,
                  sizeof(struct image_v6) },
                { offsetof(struct image, networks.v6_classes), flat->v6_classes, flat->v6_count, 1 },
        };

        static_assert(ARRAY_LEN(tables) + ARRAY_LEN(rest) + 1 == PARTS, "texts come first");
        parts[0] =
            (struct part){ offsetof(struct image, texts), compile->texts, (uint32_t)compile->texts_len, 1 };
        for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
                parts[1 + i] = (struct part){ tables[i].section, tables[i].table->items,
                                              tables[i].table->count, tables[i].table->each };
        memcpy(parts + 1 + ARRAY_LEN(tables), rest, sizeof(rest));
}

static uint64_t align(uint64_t offset)
{
        return (offset + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
}

int compile_build(struct compile *compile, void **ret_image, size_t *ret_len)
{
        struct part parts[PARTS];
        uint64_t bytes = COMPILE_TEXTS_AT;
        struct image *image;

        gather(compile, parts);
        for (unsigned i = 0; i < PARTS; i++) {
                const struct image_section section = { (uint32_t)bytes, parts[i].count };

                memcpy((uint8_t *)&compile->image + parts[i].section, &section, sizeof(section));
                bytes = align(bytes + parts[i].count * parts[i].each);
                if (bytes > IMAGE_BYTES_MAX)
                        return -E2BIG;
        }
        image = aligned_alloc(IMAGE_ALIGN, bytes);
        if (!image)
                return -ENOMEM;
        memset(image, 0, bytes);
        *image = compile->image;
        for (unsigned i = 0; i < PARTS; i++) {
                struct image_section section;

                memcpy(&section, (const uint8_t *)image + parts[i].section, sizeof(section));
                if (section.count > 0)
                        memcpy((uint8_t *)image + section.offset, parts[i].items,
                               section.count * parts[i].each);
        }
        image->networks.v4_index_bits = compile->flat.v4_index_bits;
        image->magic = IMAGE_MAGIC;
        image->layout = IMAGE_LAYOUT;
        image->generation = compile->options->generation;
        image->bytes = bytes;
        image->compiled_sec = compile->options->now_sec;
        image->checksum = image_checksum(image);
        *ret_image = image;
        *ret_len = bytes;
        return 0;
}
