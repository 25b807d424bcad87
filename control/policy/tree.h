/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML as a tree in which every node knows its file, line and column, with the memory that belongs to one
 * compilation and the list of errors that it fills. Knows nothing of keys or images.
 */
#ifndef GREYLINE_CONTROL_POLICY_TREE_H
#define GREYLINE_CONTROL_POLICY_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/policy/policy.h"

#define TREE_DEPTH_MAX   12u      /* of lists and mappings in each other */
#define TREE_NODES_MAX   6000000u /* with each alias counted as all it stands for */
#define TREE_ANCHORS_MAX 64u
#define TREE_FILES_MAX   2u /* the operator's and the site's */

enum tree_kind {
        TREE_SCALAR,
        TREE_LIST,
        TREE_MAP,
};

/* Owned by the tree. A scalar that is empty and not quoted stands for nothing: tree_is_nothing(). */
struct tree_node {
        enum tree_kind kind;
        uint32_t file;   /* index into tree->files */
        uint32_t line;   /* from 1 */
        uint32_t column; /* from 1, in characters */
        bool quoted;
        uint32_t count;           /* items of a list, pairs of a mapping */
        uint32_t weight;          /* nodes in it, itself included */
        const char *text;         /* scalar: without control characters, with a NUL */
        struct tree_node **items; /* list: the items; mapping: the values */
        struct tree_node **keys;  /* mapping: the keys, all scalars, all different */
        struct tree_node *next;   /* while reading: the item before */
};

struct tree {
        const char *files[TREE_FILES_MAX]; /* names for errors; owned by the caller */
        struct tree_node *roots[TREE_FILES_MAX];
        struct policy_errors *errors;
        bool no_memory; /* an allocation failed: what was made is not whole */
        struct tree_chunk *chunks;
};

/* errors is emptied. tree_done() frees every node and allocation. */
void tree_init(struct tree *tree, struct policy_errors *errors);
void tree_done(struct tree *tree);

/* Zeroed memory that lives as long as the tree, or NULL (and no_memory is set). */
void *tree_alloc(struct tree *tree, size_t bytes);

/* Add "file:line:column: key: message". at is NULL for the file as a whole; key may be "". */
void tree_error(struct tree *tree, const struct tree_node *at, const char *key, const char *format, ...)
    PRINTF(4, 5);

/* The same for a line of another file, such as a list of networks. */
void tree_error_at(struct tree *tree, const char *file, uint32_t line, uint32_t column, const char *key,
                   const char *format, ...) PRINTF(6, 7);

/*
 * Read one YAML document into tree->roots[file]. name: for errors. Errors are added to the tree's.
 * Returns 0, -EINVAL (errors were added), -ENOMEM.
 */
int tree_read(struct tree *tree, uint32_t file, const char *name, const char *yaml, size_t len) MUST_CHECK;

/* The value of a key, or NULL. map may be NULL or no mapping: then NULL as well. */
const struct tree_node *tree_get(const struct tree_node *map, const char *key);

/* Nothing was written behind the key: an empty mapping, list or the default. */
bool tree_is_nothing(const struct tree_node *node);

/*
 * Put what "over" lacks from "under" into it: keys of the two mappings, and, for keys named in deep (ends
 * with NULL), what the mappings behind them lack, at every depth.
 */
void tree_merge(struct tree *tree, struct tree_node *over, const struct tree_node *under,
                const char *const *deep);

#endif
