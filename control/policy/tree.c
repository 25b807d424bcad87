/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, errors and lookups of a tree (tree.h); reading YAML is read.c. */
#include "control/policy/tree.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)

struct tree_chunk {
        struct tree_chunk *next;
        size_t used, room;
        _Alignas(16) uint8_t bytes[];
};

void tree_init(struct tree *tree, struct policy_errors *errors)
{
        *tree = (struct tree){ .errors = errors };
        errors->count = 0;
        errors->dropped = 0;
}

void tree_done(struct tree *tree)
{
        struct tree_chunk *chunk = tree->chunks;

        while (chunk) {
                struct tree_chunk *next = chunk->next;

                free(chunk);
                chunk = next;
        }
        tree->chunks = NULL;
}

void *tree_alloc(struct tree *tree, size_t bytes)
{
        struct tree_chunk *chunk = tree->chunks;
        void *ret;

        if (bytes > SIZE_MAX / 2)
                goto no_memory;
        bytes = (bytes + 15) & ~(size_t)15;
        if (!chunk || bytes > chunk->room - chunk->used) {
                size_t room = MAX(bytes, CHUNK_BYTES);

                chunk = malloc(sizeof(*chunk) + room);
                if (!chunk)
                        goto no_memory;
                *chunk = (struct tree_chunk){ .next = tree->chunks, .room = room };
                tree->chunks = chunk;
        }
        ret = chunk->bytes + chunk->used;
        chunk->used += bytes;
        return memset(ret, 0, bytes);
no_memory:
        tree->no_memory = true;
        return NULL;
}

static void add_error(struct tree *tree, const char *file, uint32_t line, uint32_t column, const char *key,
                      const char *format, va_list args)
{
        struct policy_errors *errors = tree->errors;
        char message[200];
        char *text;

        if (errors->count == POLICY_ERRORS_MAX) {
                errors->dropped++;
                return;
        }
        text = errors->text[errors->count++];
        vsnprintf(message, sizeof(message), format, args);
        snprintf(text, POLICY_ERROR_TEXT_MAX, "%.120s:%u:%u: %.150s%s%s", file, line, column, key,
                 *key ? ": " : "", message);
}

void tree_error(struct tree *tree, const struct tree_node *at, const char *key, const char *format, ...)
{
        const char *file = tree->files[at ? at->file : 0];
        va_list args;

        va_start(args, format);
        add_error(tree, file ? file : "policy", at ? at->line : 1, at ? at->column : 1, key, format, args);
        va_end(args);
}

void tree_error_at(struct tree *tree, const char *file, uint32_t line, uint32_t column, const char *key,
                   const char *format, ...)
{
        va_list args;

        va_start(args, format);
        add_error(tree, file, line, column, key, format, args);
        va_end(args);
}

const struct tree_node *tree_get(const struct tree_node *map, const char *key)
{
        if (!map || map->kind != TREE_MAP)
                return NULL;
        for (uint32_t i = 0; i < map->count; i++) {
                if (strcmp(map->keys[i]->text, key) == 0)
                        return map->items[i];
        }
        return NULL;
}

bool tree_is_nothing(const struct tree_node *node)
{
        return node->kind == TREE_SCALAR && !node->quoted &&
               (node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static bool is_in(const char *const *names, const char *name)
{
        for (; *names; names++) {
                if (strcmp(*names, name) == 0)
                        return true;
        }
        return false;
}

static struct tree_node *find(const struct tree_node *map, const char *key)
{
        return (struct tree_node *)tree_get(map, key);
}

void tree_merge(struct tree *tree, struct tree_node *over, const struct tree_node *under,
                const char *const *deep)
{
        struct tree_node **keys, **items;
        uint32_t count = over->count;

        keys = tree_alloc(tree, ((size_t)over->count + under->count) * sizeof(*keys));
        items = tree_alloc(tree, ((size_t)over->count + under->count) * sizeof(*items));
        if (!keys || !items)
                return;
        if (count > 0) {
                memcpy(keys, over->keys, count * sizeof(*keys));
                memcpy(items, over->items, count * sizeof(*items));
        }
        for (uint32_t i = 0; i < under->count; i++) {
                const char *key = under->keys[i]->text;
                struct tree_node *both = find(over, key);

                if (!both) {
                        keys[count] = under->keys[i];
                        items[count++] = under->items[i];
                } else if (both->kind == TREE_MAP && under->items[i]->kind == TREE_MAP &&
                           (!deep || is_in(deep, key))) {
                        /* NULL below the first level: everything in such a mapping is merged. */
                        tree_merge(tree, both, under->items[i], NULL);
                }
        }
        over->keys = keys;
        over->items = items;
        over->count = count;
}
