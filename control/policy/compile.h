/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One compilation: the trees, what has been decoded from them so far, and the errors. Private to
 * control/policy: decode.c fills structs by the rows of the schema, lists.c, zones.c and policies.c walk what
 * is more than a mapping of values, check.c looks across keys, build.c lays the image out, compile.c says in which order.
 */
#ifndef GREYLINE_CONTROL_POLICY_COMPILE_H
#define GREYLINE_CONTROL_POLICY_COMPILE_H

#include "control/policy/networks.h"
#include "control/policy/policy.h"
#include "control/policy/schema.h"
#include "control/policy/tree.h"

#define COMPILE_PATH_MAX 256
#define COMPILE_TEXTS_AT ((uint32_t)((sizeof(struct image) + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN))

/* Elements of one table of the image, each with the node it came from. */
struct compile_table {
        uint8_t *items;
        const struct tree_node **nodes;
        size_t each;
        uint32_t count, room, max;
};

struct compile {
        struct tree tree;
        const struct tree_node *root;
        const struct policy_options *options;
        struct image image; /* the single settings, in place; sections are filled by build.c */

        struct compile_table ports, addresses, listeners, fronts, certificates, pools, servers, zones, codes,
            policies, domains, resolvers;
        struct networks networks;
        struct networks_flat flat;
        struct policy_zone_book zone_book; /* given back to the caller on success */
        uint32_t *slots;                   /* of the domains, slots_count of them */
        uint32_t slots_count;

        uint8_t *texts; /* the blob; its first byte will be at COMPILE_TEXTS_AT in the image */
        size_t texts_len, texts_room;

        char path[COMPILE_PATH_MAX]; /* of the key at hand: "policies.strict.greylist.block" */
        size_t path_len;

        const struct tree_node *locked; /* list of keys that only the policy "default" may set, or NULL */
        size_t locked_from; /* where in path the key of a policy begins; 0: nothing is locked here */
};

/* ---- path and errors -------------------------------------------------------------------------------- */

/* Go down to a key or item; give what it returns to compile_leave(). */
size_t compile_enter(struct compile *compile, const char *key);
size_t compile_enter_item(struct compile *compile, uint32_t i);
void compile_leave(struct compile *compile, size_t mark);

/* An error at a node, under the path at hand. */
void compile_error(struct compile *compile, const struct tree_node *at, const char *format, ...) PRINTF(3, 4);

/* "expected X; found Y" for a value that does not fit its row. */
void compile_misfit(struct compile *compile, const struct schema_row *row, const struct tree_node *node);

/* ---- memory ----------------------------------------------------------------------------------------- */

void compile_table_init(struct compile_table *table, size_t each, uint32_t max);

/* A new zeroed element, or NULL: no memory, or (an error was added) more than the table takes. */
void *compile_table_add(struct compile *compile, struct compile_table *table, const struct tree_node *node);
void compile_table_done(struct compile_table *table);

#define COMPILE_ITEM(compile, table, type, i) (&((type *)(void *)(compile)->table.items)[i])

/* Keep a string in the image. */
struct image_text compile_text(struct compile *compile, const char *text);

/* Read it again: valid until the next compile_text(). */
const char *compile_string(const struct compile *compile, struct image_text text);

/* ---- decode.c --------------------------------------------------------------------------------------- */

/* Give every plain value of the schema its default, in mappings below as well. */
void decode_defaults(struct compile *compile, const struct schema *schema, void *base);

/*
 * Read the plain values of a mapping, and of mappings below. Unknown keys, wrong values and missing required
 * keys are errors. Rows of other types are left to the caller, who finds them by tree_get().
 */
void decode_map(struct compile *compile, const struct schema *schema, const struct tree_node *map,
                void *base);

/* Has the operator locked the key at hand against all policies but "default"? */
bool decode_is_locked(const struct compile *compile);

/* ---- lists.c, zones.c, policies.c ---------------------------------------------------------------------- */

void compile_ports(struct compile *compile);
void compile_listeners(struct compile *compile); /* after ports and policies */
void compile_networks(struct compile *compile);
void compile_resolvers(struct compile *compile);
void compile_pools(struct compile *compile);
void compile_zones(struct compile *compile);
void compile_policies(struct compile *compile); /* after zones */
void compile_domains(struct compile *compile);  /* after pools and policies */

/* The index of a name in a table whose elements begin with it, or -1. */
int compile_find(const struct compile *compile, const struct compile_table *table, const char *name);

/* ---- check.c, build.c ------------------------------------------------------------------------------- */

/* What no single value shows: order of thresholds, addresses on ports, ways to the servers. */
void compile_check(struct compile *compile);

/* Lay the image out. Returns 0, -ENOMEM, or -E2BIG. */
int compile_build(struct compile *compile, void **ret_image, size_t *ret_len) MUST_CHECK;

#endif
