/* SPDX-License-Identifier: Apache-2.0 */
/* A doubly linked list of array elements by 32-bit index: half of what pointers cost, and nothing dangles. */
#ifndef GREYLINE_TCP_ILIST_H
#define GREYLINE_TCP_ILIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ILIST_NONE UINT32_MAX
#define ILIST_OFF  (UINT32_MAX - 1) /* node.prev: in no list */

struct ilist_node {
        uint32_t next, prev;
};

struct ilist {
        uint8_t *nodes; /* the node inside element 0 */
        size_t stride;  /* size of an element */
        uint32_t head, tail;
};

static inline struct ilist_node *ilist_at(const struct ilist *list, uint32_t index)
{
        return (struct ilist_node *)(void *)(list->nodes + index * list->stride);
}

static inline void ilist_init(struct ilist *list, void *first, size_t stride)
{
        list->nodes = first;
        list->stride = stride;
        list->head = list->tail = ILIST_NONE;
}

static inline void ilist_node_init(struct ilist_node *node)
{
        node->next = ILIST_NONE;
        node->prev = ILIST_OFF;
}

static inline bool ilist_node_is_on(const struct ilist_node *node)
{
        return node->prev != ILIST_OFF;
}

/* Append element index, which is in no list. */
static inline void ilist_push(struct ilist *list, uint32_t index)
{
        struct ilist_node *node = ilist_at(list, index);

        node->next = ILIST_NONE;
        node->prev = list->tail;
        if (list->tail != ILIST_NONE)
                ilist_at(list, list->tail)->next = index;
        else
                list->head = index;
        list->tail = index;
}

/* Take element index out of this list, which it is in. */
static inline void ilist_remove(struct ilist *list, uint32_t index)
{
        struct ilist_node *node = ilist_at(list, index);

        if (node->prev != ILIST_NONE)
                ilist_at(list, node->prev)->next = node->next;
        else
                list->head = node->next;
        if (node->next != ILIST_NONE)
                ilist_at(list, node->next)->prev = node->prev;
        else
                list->tail = node->prev;
        ilist_node_init(node);
}

#endif
