/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/wheel.h"

#include "dataplane/shared/bug.h"

#define GROUP_BITS   6
#define AHEAD_MAX_MS (1ull << 30)

static inline struct wheel_node *node_at(const struct wheel *wheel, uint32_t index)
{
        return (struct wheel_node *)(void *)(wheel->nodes + index * wheel->stride);
}

void wheel_init(struct wheel *wheel, void *first, size_t stride, uint64_t now_ms)
{
        wheel->now_ms = now_ms;
        wheel->nodes = first;
        wheel->stride = stride;
        for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
                wheel->used[level] = 0;
                for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
                        wheel->head[level][slot] = WHEEL_NONE;
        }
}

void wheel_add(struct wheel *wheel, uint32_t index, uint64_t due_ms)
{
        struct wheel_node *node = node_at(wheel, index);
        unsigned level = 0, slot;
        uint32_t *head;

        BUG_ON_HOT(wheel_node_is_armed(node));
        if (due_ms < wheel->now_ms)
                due_ms = wheel->now_ms;
        if (due_ms > wheel->now_ms + AHEAD_MAX_MS)
                due_ms = wheel->now_ms + AHEAD_MAX_MS;
        if (due_ms != wheel->now_ms)
                level = (63u - (unsigned)__builtin_clzll(due_ms ^ wheel->now_ms)) / GROUP_BITS;
        slot = (due_ms >> (level * GROUP_BITS)) & (WHEEL_SLOTS - 1);
        head = &wheel->head[level][slot];
        node->next = *head;
        node->prev = WHEEL_NONE;
        node->due_ms = (uint32_t)due_ms;
        node->place = (uint16_t)(level * WHEEL_SLOTS + slot);
        if (*head != WHEEL_NONE)
                node_at(wheel, *head)->prev = index;
        *head = index;
        wheel->used[level] |= 1ull << slot;
}

void wheel_remove(struct wheel *wheel, uint32_t index)
{
        struct wheel_node *node = node_at(wheel, index);
        unsigned level, slot;

        if (!wheel_node_is_armed(node))
                return;
        level = node->place / WHEEL_SLOTS;
        slot = node->place % WHEEL_SLOTS;
        if (node->next != WHEEL_NONE)
                node_at(wheel, node->next)->prev = node->prev;
        if (node->prev != WHEEL_NONE) {
                node_at(wheel, node->prev)->next = node->next;
        } else {
                wheel->head[level][slot] = node->next;
                if (node->next == WHEEL_NONE)
                        wheel->used[level] &= ~(1ull << slot);
        }
        node->place = WHEEL_OFF;
}

/*
 * The slot whose time comes first, over all levels; of equal ones the highest level, since it may hold nodes
 * that belong before those of the lower ones. A slot is emptied node by node, so the work between two due
 * nodes is bounded; now does not pass the beginning of a slot that is not empty.
 */
static bool find_first(const struct wheel *wheel, unsigned *ret_level, uint64_t *ret_at_ms)
{
        uint64_t first_ms = UINT64_MAX;

        for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
                unsigned shift = level * GROUP_BITS;
                uint64_t at_ms;

                if (!wheel->used[level])
                        continue;
                at_ms = (wheel->now_ms & ~((1ull << (shift + GROUP_BITS)) - 1)) |
                        (uint64_t)__builtin_ctzll(wheel->used[level]) << shift;
                if (at_ms > first_ms)
                        continue;
                first_ms = at_ms;
                *ret_level = level;
                *ret_at_ms = at_ms;
        }
        return first_ms != UINT64_MAX;
}

uint32_t wheel_next(struct wheel *wheel, uint64_t now_ms)
{
        unsigned level = 0;
        uint64_t at_ms = 0;

        while (find_first(wheel, &level, &at_ms) && at_ms <= now_ms) {
                uint32_t index = wheel->head[level][(at_ms >> (level * GROUP_BITS)) & (WHEEL_SLOTS - 1)];
                struct wheel_node *node = node_at(wheel, index);
                uint64_t due_ms;

                if (node->next != WHEEL_NONE)
                        __builtin_prefetch(node_at(wheel, node->next));
                wheel->now_ms = MAX(wheel->now_ms, at_ms);
                wheel_remove(wheel, index);
                due_ms = wheel->now_ms + (int64_t)(int32_t)(node->due_ms - (uint32_t)wheel->now_ms);
                if (due_ms <= wheel->now_ms)
                        return index;
                wheel_add(wheel, index, due_ms);
        }
        if (now_ms > wheel->now_ms)
                wheel->now_ms = now_ms;
        return WHEEL_NONE;
}

uint64_t wheel_due_ms(const struct wheel *wheel)
{
        unsigned level = 0;
        uint64_t at_ms = 0;

        return find_first(wheel, &level, &at_ms) ? at_ms : UINT64_MAX;
}
