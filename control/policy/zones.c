/* SPDX-License-Identifier: Apache-2.0 */
/* Zones and their numbers. */
#include <string.h>

#include "control/policy/compile.h"
#include "control/policy/value.h"
#include "dataplane/shared/siphash.h"

/* Longer than any answer is kept (zones[].ttl_max is at most 7 days), stale ones included. */
#define ZONE_REST_SEC (8u * 86400)

uint64_t policy_zone_key(const char *domain, const struct image_codes *codes, uint32_t count)
{
        static const struct siphash_key key = { { 0x7a6f6e652d6b6579ull, 0x2d666f722d6c6966ull } };
        const uint64_t parts[2] = {
                siphash(&key, domain, strlen(domain)),
                siphash(&key, codes, count * sizeof(*codes)),
        };
        uint64_t hash = siphash(&key, parts, sizeof(parts));

        return hash ? hash : 1;
}

static void zone_codes(struct compile *compile, const struct tree_node *map, struct image_zone *zone)
{
        const struct schema_row *row = schema_find(&schema_zone, "listed");
        const struct tree_node *list = tree_get(map, row->key);
        const struct tree_node single = { .kind = TREE_SCALAR,
                                          .text = "127.0.0.2-11",
                                          .line = map->line,
                                          .column = map->column,
                                          .file = map->file };
        bool is_list = list && list->kind == TREE_LIST;
        uint32_t count = is_list ? list->count : 1;
        size_t mark = compile_enter(compile, row->key);

        zone->codes.first = compile->codes.count;
        for (uint32_t i = 0; i < count; i++) {
                const struct tree_node *item = is_list ? list->items[i] : list ? list : &single;
                struct image_codes read, *codes;

                if (item->kind != TREE_SCALAR || !value_codes(item->text, &read.from, &read.to)) {
                        compile_misfit(compile, row, item);
                        continue;
                }
                if (read.to >= 0x7fffff00u) {
                        compile_error(compile, item,
                                      "expected no answer in 127.255.255.0/24: these are errors of a zone");
                        continue;
                }
                codes = compile_table_add(compile, &compile->codes, map);
                if (codes)
                        *codes = read;
        }
        zone->codes.count = compile->codes.count - zone->codes.first;
        if (count == 0)
                compile_misfit(compile, row, list);
        compile_leave(compile, mark);
}

static int find_key(const struct policy_zone_book *book, uint64_t key)
{
        for (unsigned i = 0; i < IMAGE_ZONES_MAX; i++) {
                if (book->entry[i].key == key)
                        return (int)i;
        }
        return -1;
}

/* A number for a new zone: a free one, or the one that has rested longest, or -1. taken: bit per number. */
static int find_number(const struct policy_zone_book *book, uint32_t taken, uint64_t now_sec)
{
        int oldest = -1;

        for (unsigned i = 0; i < IMAGE_ZONES_MAX; i++) {
                const struct policy_zone_entry *entry = &book->entry[i];

                if (taken & 1u << i)
                        continue;
                if (entry->key == 0)
                        return (int)i;
                if (entry->unused_since_sec == 0 || entry->unused_since_sec + ZONE_REST_SEC > now_sec)
                        continue;
                if (oldest < 0 || entry->unused_since_sec < book->entry[oldest].unused_since_sec)
                        oldest = (int)i;
        }
        return oldest;
}

static uint64_t key_of(const struct compile *compile, const struct image_zone *zone)
{
        static const struct image_codes none; /* every code of it was refused: there may be no table at all */
        const struct image_codes *codes =
            zone->codes.count == 0 ? &none : COMPILE_ITEM(compile, codes, struct image_codes, zone->codes.first);

        return policy_zone_key(compile_string(compile, zone->domain), codes, zone->codes.count);
}

static bool is_repeated(const uint64_t *keys, uint32_t i)
{
        for (uint32_t k = 0; k < i; k++) {
                if (keys[k] == keys[i])
                        return true;
        }
        return false;
}

static void give_new_number(struct compile *compile, uint32_t i, uint64_t key, uint32_t *taken)
{
        struct image_zone *zone = COMPILE_ITEM(compile, zones, struct image_zone, i);
        int number = find_number(&compile->zone_book, *taken, compile->options->now_sec);
        struct policy_zone_entry *entry;

        if (number < 0) {
                compile_error(compile, compile->zones.nodes[i],
                              "no number is free for this zone: 32 others were in use within 8 days");
                return;
        }
        entry = &compile->zone_book.entry[number];
        *entry = (struct policy_zone_entry){ .key = key };
        snprintf(entry->name, sizeof(entry->name), "%.63s", compile_string(compile, zone->name));
        zone->number = (uint8_t)number;
        *taken |= 1u << number;
}

/* Zones that have a number keep it; then the new ones get theirs. */
static void give_numbers(struct compile *compile)
{
        uint64_t keys[IMAGE_ZONES_MAX];
        uint32_t taken = 0, waiting = 0;

        for (uint32_t i = 0; i < compile->zones.count; i++) {
                struct image_zone *zone = COMPILE_ITEM(compile, zones, struct image_zone, i);
                int number;

                keys[i] = key_of(compile, zone);
                number = find_key(&compile->zone_book, keys[i]);
                if (is_repeated(keys, i)) {
                        compile_error(compile, compile->zones.nodes[i],
                                      "expected each zone with the same answers once");
                } else if (number < 0) {
                        waiting |= 1u << i;
                } else {
                        compile->zone_book.entry[number].unused_since_sec = 0;
                        zone->number = (uint8_t)number;
                        taken |= 1u << number;
                }
        }
        for (uint32_t i = 0; i < compile->zones.count; i++) {
                if (waiting & 1u << i)
                        give_new_number(compile, i, keys[i], &taken);
        }
}

void compile_zones(struct compile *compile)
{
        const struct tree_node *list = tree_get(compile->root, "zones");
        size_t mark = compile_enter(compile, "zones");

        if (list && list->kind != TREE_LIST) {
                if (!tree_is_nothing(list))
                        compile_misfit(compile, schema_find(&schema_root, "zones"), list);
                list = NULL;
        }
        for (uint32_t i = 0; list && i < list->count; i++) {
                size_t item_mark = compile_enter_item(compile, i);
                struct image_zone *zone = compile_table_add(compile, &compile->zones, list->items[i]);

                if (zone) {
                        decode_defaults(compile, &schema_zone, zone);
                        decode_map(compile, &schema_zone, list->items[i], zone);
                        if (zone->name.len == 0)
                                zone->name = zone->domain;
                        zone_codes(compile, list->items[i], zone);
                }
                compile_leave(compile, item_mark);
        }
        if (compile->options->zones)
                compile->zone_book = *compile->options->zones;
        give_numbers(compile);
        compile_leave(compile, mark);
}
