/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML events (libyaml, used here only) to a tree. Everything is bounded: bytes, depth, nodes, anchors. An
 * anchor is known only when what it names is complete, so nothing can contain itself; an alias counts as all
 * that it stands for, so a small file cannot unfold into a large one. Tags and further documents are refused.
 */
#include "control/policy/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* A list or mapping that is not closed yet. */
struct frame {
        struct tree_node *node;
        struct tree_node *last; /* newest child; the others hang on next */
        uint32_t children;      /* keys and values both counted */
        char anchor[64];
};

struct reader {
        struct tree *tree;
        uint32_t file;
        struct frame stack[TREE_DEPTH_MAX];
        unsigned depth;
        struct tree_node *root;
        uint32_t nodes;
        unsigned anchors;
        struct {
                char name[64];
                struct tree_node *node;
        } anchor[TREE_ANCHORS_MAX];
};

static int refuse(struct reader *reader, const yaml_mark_t *mark, const char *message)
{
        tree_error_at(reader->tree, reader->tree->files[reader->file], (uint32_t)mark->line + 1,
                      (uint32_t)mark->column + 1, "", "%s", message);
        return -EINVAL;
}

static struct tree_node *node_new(struct reader *reader, enum tree_kind kind, const yaml_mark_t *mark)
{
        struct tree_node *node = tree_alloc(reader->tree, sizeof(*node));

        if (!node)
                return NULL;
        node->kind = kind;
        node->file = reader->file;
        node->line = (uint32_t)mark->line + 1;
        node->column = (uint32_t)mark->column + 1;
        node->weight = 1;
        return node;
}

static int anchor_add(struct reader *reader, const char *name, struct tree_node *node,
                      const yaml_mark_t *mark)
{
        if (!name || *name == '\0')
                return 0;
        if (reader->anchors == TREE_ANCHORS_MAX || strlen(name) >= sizeof(reader->anchor[0].name))
                return refuse(reader, mark, "expected at most 64 anchors with names below 64 characters");
        strcpy(reader->anchor[reader->anchors].name, name);
        reader->anchor[reader->anchors++].node = node;
        return 0;
}

/* Hang a complete node into the innermost open list or mapping. */
static int add_child(struct reader *reader, struct tree_node *node, const yaml_mark_t *mark)
{
        struct frame *frame;

        if (node->weight > TREE_NODES_MAX - reader->nodes)
                return refuse(reader, mark, "expected a smaller file: too many values");
        if (reader->depth == 0) {
                reader->root = node;
                return 0;
        }
        frame = &reader->stack[reader->depth - 1];
        if (frame->node->kind == TREE_MAP && frame->children % 2 == 0 && node->kind != TREE_SCALAR)
                return refuse(reader, mark, "expected a plain key, not a list or mapping");
        node->next = frame->last;
        frame->last = node;
        frame->children++;
        frame->node->weight += node->weight;
        return 0;
}

static int by_text(const void *a, const void *b)
{
        const struct tree_node *x = *(struct tree_node *const *)a, *y = *(struct tree_node *const *)b;
        int order = strcmp(x->text, y->text);

        if (order != 0)
                return order;
        if (x->line != y->line)
                return x->line < y->line ? -1 : 1;
        return x->column < y->column ? -1 : x->column > y->column;
}

static int find_duplicates(struct reader *reader, const struct tree_node *map)
{
        struct tree_node **sorted;

        if (map->count < 2)
                return 0;
        sorted = malloc(map->count * sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        memcpy(sorted, map->keys, map->count * sizeof(*sorted));
        qsort(sorted, map->count, sizeof(*sorted), by_text);
        for (uint32_t i = 1; i < map->count; i++) {
                if (strcmp(sorted[i]->text, sorted[i - 1]->text) == 0)
                        tree_error(reader->tree, sorted[i], sorted[i]->text,
                                   "expected each key once; it is in line %u already", sorted[i - 1]->line);
        }
        free(sorted);
        return 0;
}

/* The children of a frame, so far a chain from the last to the first, become arrays. */
static int close_frame(struct reader *reader, const yaml_mark_t *mark)
{
        struct frame *frame = &reader->stack[--reader->depth];
        struct tree_node *node = frame->node, *child = frame->last;
        bool is_map = node->kind == TREE_MAP;
        int r;

        node->count = is_map ? frame->children / 2 : frame->children;
        node->items = tree_alloc(reader->tree, (size_t)node->count * sizeof(*node->items));
        if (is_map)
                node->keys = tree_alloc(reader->tree, (size_t)node->count * sizeof(*node->keys));
        if (reader->tree->no_memory)
                return -ENOMEM;
        for (uint32_t i = node->count; i-- > 0;) {
                node->items[i] = child;
                child = child->next;
                if (is_map) {
                        node->keys[i] = child;
                        child = child->next;
                }
        }
        if (is_map) {
                r = find_duplicates(reader, node);
                if (r < 0)
                        return r;
        }
        r = anchor_add(reader, frame->anchor, node, mark);
        return r < 0 ? r : add_child(reader, node, mark);
}

static int open_frame(struct reader *reader, enum tree_kind kind, const char *anchor, const char *tag,
                      const yaml_mark_t *mark)
{
        struct frame *frame;

        if (tag)
                return refuse(reader, mark, "expected no tag: types come from the keys");
        if (reader->depth == TREE_DEPTH_MAX)
                return refuse(reader, mark, "expected fewer lists and mappings in each other");
        frame = &reader->stack[reader->depth];
        *frame = (struct frame){ .node = node_new(reader, kind, mark) };
        if (!frame->node)
                return -ENOMEM;
        if (anchor) {
                if (strlen(anchor) >= sizeof(frame->anchor))
                        return refuse(reader, mark, "expected an anchor below 64 characters");
                strcpy(frame->anchor, anchor);
        }
        reader->nodes++;
        reader->depth++;
        return 0;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event)
{
        const uint8_t *value = event->data.scalar.value;
        size_t len = event->data.scalar.length;
        struct tree_node *node;
        char *text;
        int r;

        if (event->data.scalar.tag)
                return refuse(reader, &event->start_mark, "expected no tag: types come from the keys");
        for (size_t i = 0; i < len; i++) {
                if (value[i] < ' ' || value[i] == 0x7f)
                        return refuse(reader, &event->start_mark,
                                      "expected text of one line without control characters");
        }
        node = node_new(reader, TREE_SCALAR, &event->start_mark);
        text = tree_alloc(reader->tree, len + 1);
        if (!node || !text)
                return -ENOMEM;
        memcpy(text, value, len);
        node->text = text;
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        reader->nodes++;
        r = anchor_add(reader, (const char *)event->data.scalar.anchor, node, &event->start_mark);
        return r < 0 ? r : add_child(reader, node, &event->start_mark);
}

static int read_alias(struct reader *reader, const yaml_event_t *event)
{
        const char *name = (const char *)event->data.alias.anchor;

        /* The newest of a name counts: YAML allows an anchor to be set again. */
        for (unsigned i = reader->anchors; i-- > 0;) {
                struct tree_node *copy;

                if (strcmp(reader->anchor[i].name, name) != 0)
                        continue;
                copy = tree_alloc(reader->tree, sizeof(*copy));
                if (!copy)
                        return -ENOMEM;
                *copy = *reader->anchor[i].node;
                if (copy->weight > TREE_NODES_MAX - reader->nodes)
                        return refuse(reader, &event->start_mark, "expected a smaller file: too many values");
                reader->nodes += copy->weight;
                return add_child(reader, copy, &event->start_mark);
        }
        return refuse(reader, &event->start_mark, "expected an anchor that was completed before this alias");
}

static int read_event(struct reader *reader, const yaml_event_t *event)
{
        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (reader->root)
                        return refuse(reader, &event->start_mark, "expected one document in the file");
                return 0;
        case YAML_SCALAR_EVENT:
                return read_scalar(reader, event);
        case YAML_ALIAS_EVENT:
                return read_alias(reader, event);
        case YAML_SEQUENCE_START_EVENT:
                return open_frame(reader, TREE_LIST, (const char *)event->data.sequence_start.anchor,
                                  (const char *)event->data.sequence_start.tag, &event->start_mark);
        case YAML_MAPPING_START_EVENT:
                return open_frame(reader, TREE_MAP, (const char *)event->data.mapping_start.anchor,
                                  (const char *)event->data.mapping_start.tag, &event->start_mark);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                return close_frame(reader, &event->start_mark);
        default:
                return 0;
        }
}

static int read_failed(struct reader *reader, const yaml_parser_t *parser)
{
        const yaml_mark_t *mark = &parser->problem_mark;
        char message[200];

        if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (parser->error == YAML_READER_ERROR) {
                snprintf(message, sizeof(message), "expected UTF-8 text: %s at byte %zu",
                         parser->problem ? parser->problem : "unreadable", parser->problem_offset);
                return refuse(reader, &(yaml_mark_t){ 0 }, message);
        }
        snprintf(message, sizeof(message), "expected YAML: %s%s%s",
                 parser->problem ? parser->problem : "unreadable", parser->context ? ", " : "",
                 parser->context ? parser->context : "");
        return refuse(reader, mark, message);
}

int tree_read(struct tree *tree, uint32_t file, const char *name, const char *yaml, size_t len)
{
        struct reader *reader;
        yaml_parser_t parser;
        bool at_end = false;
        int r = 0;

        tree->files[file] = name;
        if (len > POLICY_FILE_MAX) {
                tree_error_at(tree, name, 1, 1, "", "expected at most %u bytes; found %zu", POLICY_FILE_MAX,
                              len);
                return -EINVAL;
        }
        reader = tree_alloc(tree, sizeof(*reader));
        if (!reader || !yaml_parser_initialize(&parser))
                return -ENOMEM;
        reader->tree = tree;
        reader->file = file;
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, len);
        while (r == 0 && !at_end) {
                yaml_event_t event;

                if (!yaml_parser_parse(&parser, &event)) {
                        r = read_failed(reader, &parser);
                        break;
                }
                at_end = event.type == YAML_STREAM_END_EVENT;
                r = read_event(reader, &event);
                yaml_event_delete(&event);
        }
        yaml_parser_delete(&parser);
        if (r < 0)
                return r;
        if (!reader->root || reader->root->kind != TREE_MAP) {
                tree_error_at(tree, name, 1, 1, "",
                              "expected a mapping of keys such as node, listeners and domains");
                return -EINVAL;
        }
        tree->roots[file] = reader->root;
        return 0;
}
