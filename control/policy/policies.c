/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies with what they inherit, and domains. A policy in the image is a full record: it begins as a copy
 * of the one it inherits, then its own keys are read over it.
 */
#include <string.h>

#include "control/policy/compile.h"
#include "control/policy/value.h"

#define INHERIT_MAX 16 /* policies in a chain */

enum progress {
        PROGRESS_NONE,
        PROGRESS_BEGUN, /* met again: the chain is a circle */
        PROGRESS_DONE,
};

static void zone_override(struct compile *compile, const struct tree_node *key, const struct tree_node *value,
                          struct image_policy *policy)
{
        int found = compile_find(compile, &compile->zones, key->text);
        struct schema_zone_override override;
        uint32_t number, bit;

        if (decode_is_locked(compile)) {
                compile_error(compile, key, "expected only in policy default, which locks it");
                return;
        }
        if (found < 0) {
                compile_error(compile, key, "expected the name of a zone");
                return;
        }
        number = COMPILE_ITEM(compile, zones, struct image_zone, found)->number;
        bit = 1u << number;
        override = (struct schema_zone_override){
                .enabled = (policy->zones_used & bit) != 0,
                .smtp_blocking = (policy->zones_blocking & bit) != 0,
                .points = policy->zone_points[number],
        };
        decode_map(compile, &schema_policy_zone, value, &override);
        policy->zones_used = override.enabled ? policy->zones_used | bit : policy->zones_used & ~bit;
        policy->zones_blocking = override.enabled && override.smtp_blocking ? policy->zones_blocking | bit
                                                                            : policy->zones_blocking & ~bit;
        policy->zone_points[number] = override.points;
}

static void zone_overrides(struct compile *compile, const struct tree_node *map, struct image_policy *policy)
{
        const struct tree_node *zones = tree_get(map, "zones");
        size_t mark = compile_enter(compile, "zones");

        if (zones && zones->kind != TREE_MAP && !tree_is_nothing(zones))
                compile_misfit(compile, schema_find(&schema_policy, "zones"), zones);
        for (uint32_t i = 0; zones && zones->kind == TREE_MAP && i < zones->count; i++) {
                size_t zone_mark = compile_enter(compile, zones->keys[i]->text);

                zone_override(compile, zones->keys[i], zones->items[i], policy);
                compile_leave(compile, zone_mark);
        }
        compile_leave(compile, mark);
}

/* What policy "default" has before its own keys are read. */
static void set_defaults(struct compile *compile, struct image_policy *policy)
{
        decode_defaults(compile, &schema_policy, policy);
        for (uint32_t i = 0; i < compile->zones.count; i++) {
                const struct image_zone *zone = COMPILE_ITEM(compile, zones, struct image_zone, i);

                policy->zones_used |= 1u << zone->number;
                policy->zones_blocking |= (uint32_t)zone->smtp_blocking << zone->number;
                policy->zone_points[zone->number] = zone->points;
        }
}

static void check_locked(struct compile *compile, const struct tree_node *map, bool is_default)
{
        const struct schema_row *row = schema_find(&schema_policy, "locked");
        const struct tree_node *list = tree_get(map, row->key);
        size_t mark = compile_enter(compile, row->key);

        if (list && !is_default) {
                compile_error(compile, list, "expected only in policy default");
        } else if (list && list->kind != TREE_LIST) {
                compile_misfit(compile, row, list);
        } else if (list) {
                for (uint32_t i = 0; i < list->count; i++) {
                        const struct tree_node *item = list->items[i];

                        if (item->kind != TREE_SCALAR || !schema_is_policy_key(item->text))
                                compile_misfit(compile, row, item);
                }
                compile->locked = list;
        }
        compile_leave(compile, mark);
}

static bool compile_policy(struct compile *compile, uint32_t i, uint8_t *progress, unsigned depth);

/* The index of the policy that this one inherits, made first; -1 (an error was added) for none. */
static int make_parent(struct compile *compile, const struct tree_node *map, uint8_t *progress,
                       unsigned depth)
{
        const struct tree_node *node = tree_get(map, "inherit");
        int parent = 0;
        size_t mark;
        bool is_made;

        if (!node)
                return 0;
        parent = node->kind == TREE_SCALAR ? compile_find(compile, &compile->policies, node->text) : -1;
        is_made = parent >= 0 && compile_policy(compile, (uint32_t)parent, progress, depth + 1);
        if (is_made)
                return parent;
        mark = compile->path_len;
        compile_enter(compile, "inherit");
        if (parent < 0)
                compile_misfit(compile, schema_find(&schema_policy, "inherit"), node);
        else
                compile_error(compile, node,
                              "expected policies that do not inherit each other, at most %d deep",
                              INHERIT_MAX);
        compile_leave(compile, mark);
        return -1;
}

/* Make policy i, once. False: it cannot be made, because it inherits itself. */
static bool compile_policy(struct compile *compile, uint32_t i, uint8_t *progress, unsigned depth)
{
        struct image_policy *policy = COMPILE_ITEM(compile, policies, struct image_policy, i);
        const struct tree_node *map = compile->policies.nodes[i];
        struct image_text name = policy->name;
        char outer[COMPILE_PATH_MAX];
        int parent = -1;

        if (progress[i] == PROGRESS_DONE)
                return true;
        if (progress[i] == PROGRESS_BEGUN || depth == INHERIT_MAX)
                return false;
        progress[i] = PROGRESS_BEGUN;
        /* A parent is made while its child's path is at hand: each begins at "policies" again. */
        strcpy(outer, compile->path);
        compile_leave(compile, 0);
        compile_enter(compile, "policies");
        compile_enter(compile, compile_string(compile, name));
        if (i > 0)
                parent = make_parent(compile, map, progress, depth);
        if (parent >= 0)
                *policy = *COMPILE_ITEM(compile, policies, struct image_policy, parent);
        else
                set_defaults(compile, policy);
        policy->name = name;
        check_locked(compile, map, i == 0);
        compile->locked_from = i > 0 ? compile->path_len + 1 : 0;
        decode_map(compile, &schema_policy, map, policy);
        zone_overrides(compile, map, policy);
        compile->locked_from = 0;
        if (i == 0 && tree_get(map, "inherit")) {
                compile_enter(compile, "inherit");
                compile_error(compile, tree_get(map, "inherit"), "expected not in policy default");
        }
        strcpy(compile->path, outer);
        compile->path_len = strlen(outer);
        progress[i] = PROGRESS_DONE;
        return true;
}

static bool add_policy(struct compile *compile, const char *name, const struct tree_node *node)
{
        struct image_policy *policy = compile_table_add(compile, &compile->policies, node);

        if (policy)
                policy->name = compile_text(compile, name);
        return policy;
}

void compile_policies(struct compile *compile)
{
        const struct tree_node *map = tree_get(compile->root, "policies");
        const struct tree_node *usual = tree_get(map, "default");
        size_t mark = compile_enter(compile, "policies");
        uint8_t *progress;

        if (map && map->kind != TREE_MAP && !tree_is_nothing(map))
                compile_misfit(compile, schema_find(&schema_root, "policies"), map);
        if (map && map->kind != TREE_MAP)
                map = NULL;
        if (!usual) {
                struct tree_node *empty = tree_alloc(&compile->tree, sizeof(*empty));

                if (!empty)
                        return;
                *empty = *compile->root;
                empty->count = 0;
                usual = empty;
        }
        /* "default" is number 0, wherever it stands. */
        if (!add_policy(compile, "default", usual))
                return;
        for (uint32_t i = 0; map && i < map->count; i++) {
                const char *name = map->keys[i]->text;

                if (strcmp(name, "default") == 0)
                        continue;
                if (!value_is_name(name))
                        compile_error(compile, map->keys[i],
                                      "expected a name of letters, digits, '-', '_' and '.'");
                else if (!add_policy(compile, name, map->items[i]))
                        break;
        }
        progress = tree_alloc(&compile->tree, compile->policies.count);
        for (uint32_t i = 0; progress && i < compile->policies.count; i++)
                compile_policy(compile, i, progress, 0);
        compile_leave(compile, mark);
}

/* ---- domains ---------------------------------------------------------------------------------------- */

/* The index of a name, or the usual one where there is no key; -1 (an error was or will be added) otherwise. */
static int reference(struct compile *compile, const struct tree_node *map, const char *key,
                     const struct compile_table *table, int usual)
{
        const struct tree_node *node = tree_get(map, key);
        int found = node && node->kind == TREE_SCALAR ? compile_find(compile, table, node->text) : -1;
        size_t mark;

        if (found >= 0 || (!node && usual >= 0))
                return found >= 0 ? found : usual;
        mark = compile_enter(compile, key);
        if (node)
                compile_misfit(compile, schema_find(&schema_domain, key), node);
        else if (table->count > 0)
                compile_error(compile, map, "missing; expected the name of one of the %u pools",
                              table->count);
        compile_leave(compile, mark);
        return -1;
}

static void compile_domain(struct compile *compile, const struct tree_node *key,
                           const struct tree_node *value)
{
        bool is_wildcard = strncmp(key->text, "*.", 2) == 0;
        struct image_domain *domain;
        char name[256] = "*.";
        int pool, policy;

        if (!value_hostname(key->text + 2 * is_wildcard, name + 2 * is_wildcard)) {
                compile_error(compile, key,
                              "expected a domain such as example.org, or *.example.org for all below it");
                return;
        }
        decode_map(compile, &schema_domain, value, &(struct image_domain){ 0 });
        pool = reference(compile, value, "pool", &compile->pools, compile->pools.count == 1 ? 0 : -1);
        policy = reference(compile, value, "policy", &compile->policies, 0);
        domain = compile_table_add(compile, &compile->domains, key);
        if (!domain || pool < 0 || policy < 0)
                return;
        domain->name = compile_text(compile, name);
        domain->pool = (uint16_t)pool;
        domain->policy = (uint16_t)policy;
}

/* Put every domain into slots of its own; false: some are too far from where their search begins. */
static bool fill_slots(struct compile *compile, uint32_t *slots, uint32_t count)
{
        for (uint32_t i = 0; i < compile->domains.count; i++) {
                const struct image_domain *domain = COMPILE_ITEM(compile, domains, struct image_domain, i);
                const char *name = compile_string(compile, domain->name);
                uint32_t slot = (uint32_t)image_domain_hash(name, domain->name.len);
                unsigned probes = 0;

                if (domain->name.len == 0)
                        continue;
                for (; slots[slot & (count - 1)] != 0; slot++) {
                        uint32_t other = slots[slot & (count - 1)] - 1;

                        if (++probes == IMAGE_PROBES_MAX)
                                return false;
                        if (strcmp(compile_string(
                                       compile,
                                       COMPILE_ITEM(compile, domains, struct image_domain, other)->name),
                                   name) == 0)
                                compile_error(compile, compile->domains.nodes[i],
                                              "expected each domain once; %s is there already", name);
                }
                slots[slot & (count - 1)] = i + 1;
        }
        return true;
}

static void make_slots(struct compile *compile)
{
        uint32_t count = 1;

        while (count < 2 * compile->domains.count)
                count *= 2;
        for (;; count *= 2) {
                uint32_t *slots = calloc(count, sizeof(*slots));

                /* At a sixteenth full a run of 64 cannot come about by chance. */
                if (!slots || count > 32 * IMAGE_DOMAINS_MAX) {
                        free(slots);
                        compile->tree.no_memory = true;
                        return;
                }
                if (fill_slots(compile, slots, count)) {
                        compile->slots = slots;
                        compile->slots_count = count;
                        return;
                }
                free(slots);
                if (compile->tree.errors->count > 0)
                        return;
        }
}

void compile_domains(struct compile *compile)
{
        const struct tree_node *map = tree_get(compile->root, "domains");
        size_t mark = compile_enter(compile, "domains");

        if (map && map->kind != TREE_MAP) {
                compile_misfit(compile, schema_find(&schema_root, "domains"), map);
                map = NULL;
        }
        for (uint32_t i = 0; map && i < map->count; i++) {
                size_t name_mark = compile_enter(compile, map->keys[i]->text);

                compile_domain(compile, map->keys[i], map->items[i]);
                compile_leave(compile, name_mark);
        }
        make_slots(compile);
        compile_leave(compile, mark);
}
