/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/bridge/wire.h"

#include <stdlib.h>
#include <string.h>

#include "tests/system/bridge/frame.h"

#define FLIGHT_MAX  16384u /* frames under way: about 24 MB at most; more are lost, as in a full router */
#define ETHER_BYTES 14u

struct flying {
        uint64_t at_us, serial;
        uint32_t slot;
};

struct slot {
        uint16_t len;
        uint8_t direction;
        uint8_t bytes[WIRE_FRAME_MAX];
};

struct wire {
        struct link_profile profile;
        struct dice dice;
        struct wire_stats stats;
        struct wire_rule rules[WIRE_RULES_MAX];
        unsigned rules_len;
        bool is_bad[2];
        uint64_t free_at_us[2]; /* per direction, with a rate: when the wire is free again */
        uint64_t serial;
        uint32_t last; /* slot that wire_receive() gave out, or FLIGHT_MAX */
        uint32_t free_len, heap_len;
        uint32_t free[FLIGHT_MAX];
        struct flying heap[FLIGHT_MAX]; /* the earliest first */
        struct slot slots[FLIGHT_MAX];
};

struct wire *wire_new(uint64_t seed)
{
        struct wire *wire = calloc(1, sizeof(*wire));

        if (!wire)
                return NULL;
        wire->dice.state = seed;
        wire->last = FLIGHT_MAX;
        while (wire->free_len < FLIGHT_MAX) {
                wire->free[wire->free_len] = wire->free_len;
                wire->free_len++;
        }
        return wire;
}

void wire_free(struct wire *wire)
{
        free(wire);
}

void wire_profile_set(struct wire *wire, const struct link_profile *profile)
{
        wire->profile = *profile;
        wire->is_bad[0] = wire->is_bad[1] = false;
}

bool wire_rule_add(struct wire *wire, const struct wire_rule *rule)
{
        if (wire->rules_len == WIRE_RULES_MAX)
                return false;
        wire->rules[wire->rules_len++] = *rule;
        return true;
}

void wire_rules_clear(struct wire *wire)
{
        wire->rules_len = 0;
}

const struct wire_stats *wire_stats(const struct wire *wire)
{
        return &wire->stats;
}

/* --- the heap of frames under way ------------------------------------------------------------------------- */

static bool is_earlier(const struct flying *a, const struct flying *b)
{
        return a->at_us != b->at_us ? a->at_us < b->at_us : a->serial < b->serial;
}

static void heap_push(struct wire *wire, struct flying flying)
{
        struct flying *heap = wire->heap;
        uint32_t at = wire->heap_len++;

        for (; at > 0 && is_earlier(&flying, &heap[(at - 1) / 2]); at = (at - 1) / 2)
                heap[at] = heap[(at - 1) / 2];
        heap[at] = flying;
}

static struct flying heap_pop(struct wire *wire)
{
        struct flying *heap = wire->heap;
        struct flying first = heap[0], moved = heap[--wire->heap_len];
        uint32_t at = 0, child;

        while ((child = 2 * at + 1) < wire->heap_len) {
                if (child + 1 < wire->heap_len && is_earlier(&heap[child + 1], &heap[child]))
                        child++;
                if (!is_earlier(&heap[child], &moved))
                        break;
                heap[at] = heap[child];
                at = child;
        }
        heap[at] = moved;
        return first;
}

/* --- what becomes of a frame ------------------------------------------------------------------------------ */

static bool fits(const struct wire_rule *rule, unsigned direction, const struct frame_view *view)
{
        return rule->count > 0 && view->is_tcp && rule->direction == direction &&
               (rule->flags < 0 || rule->flags == view->flags) && view->len >= rule->len_min &&
               view->len <= rule->len_max &&
               (rule->port == 0 || rule->port == view->port[0] || rule->port == view->port[1]);
}

/* The first rule that fits and has something left to do, or NULL. */
static const struct wire_rule *use_rule(struct wire *wire, unsigned direction, const struct frame_view *view)
{
        for (unsigned i = 0; i < wire->rules_len; i++) {
                if (!fits(&wire->rules[i], direction, view))
                        continue;
                wire->rules[i].count--;
                wire->stats.ruled++;
                return &wire->rules[i];
        }
        return NULL;
}

static bool is_lost(struct wire *wire, unsigned direction)
{
        const struct link_profile *profile = &wire->profile;

        if (profile->good_to_bad &&
            dice_permille(&wire->dice, wire->is_bad[direction] ? profile->bad_to_good : profile->good_to_bad))
                wire->is_bad[direction] = !wire->is_bad[direction];
        if (profile->good_to_bad && wire->is_bad[direction] && dice_permille(&wire->dice, profile->bad_loss))
                return true;
        return dice_permille(&wire->dice, profile->loss);
}

/* Wait for the frames before it, where the link has a rate. Returns false when the queue is full. */
static bool queue_up(struct wire *wire, unsigned direction, size_t len, uint64_t now_us,
                     uint64_t *ret_wait_us)
{
        const struct link_profile *profile = &wire->profile;
        uint64_t start_us = MAX(wire->free_at_us[direction], now_us);

        *ret_wait_us = 0;
        if (!profile->bytes_ms)
                return true;
        if (start_us - now_us > profile->queue_ms * 1000ull)
                return false;
        *ret_wait_us = start_us - now_us;
        wire->free_at_us[direction] = start_us + len * 1000ull / profile->bytes_ms;
        return true;
}

static struct slot *fly(struct wire *wire, unsigned direction, const uint8_t *bytes, size_t len,
                        uint64_t at_us)
{
        struct slot *slot;
        uint32_t index;

        if (wire->free_len == 0) {
                wire->stats.overflow++;
                return NULL;
        }
        index = wire->free[--wire->free_len];
        slot = &wire->slots[index];
        slot->len = (uint16_t)len;
        slot->direction = (uint8_t)direction;
        memcpy(slot->bytes, bytes, len);
        at_us += wire->profile.delay_us + dice_below(&wire->dice, wire->profile.jitter_us + 1);
        heap_push(wire, (struct flying){ at_us, wire->serial++, index });
        return slot;
}

void wire_send(struct wire *wire, unsigned direction, const uint8_t *bytes, size_t len, uint64_t now_us)
{
        const struct link_profile *profile = &wire->profile;
        const struct wire_rule *rule;
        struct frame_view view;
        struct slot *slot;
        uint64_t wait_us;

        wire->stats.frames++;
        if (len > WIRE_FRAME_MAX) {
                wire->stats.oversize++;
                return;
        }
        frame_read(bytes, len, &view);
        rule = use_rule(wire, direction, &view);
        if ((rule && rule->action == WIRE_DROP) || !queue_up(wire, direction, len, now_us, &wait_us) ||
            is_lost(wire, direction)) {
                wire->stats.lost++;
                return;
        }
        if (dice_permille(&wire->dice, profile->reorder)) {
                wait_us += dice_below(&wire->dice, 4 * profile->delay_us + 1000);
                wire->stats.reordered++;
        }
        if (dice_permille(&wire->dice, profile->duplicate) &&
            fly(wire, direction, bytes, len, now_us + wait_us))
                wire->stats.duplicated++;
        slot = fly(wire, direction, bytes, len, now_us + wait_us);
        if (!slot)
                return;
        if (rule && rule->action == WIRE_WINDOW)
                frame_window_set(slot->bytes, &view, rule->window);
        if (rule && rule->action == WIRE_MARK && frame_mark(slot->bytes))
                wire->stats.marked++;
        /* ARP has no checksum of its own: on a real link the frame's would have caught the bit. */
        if (view.is_ip && dice_permille(&wire->dice, profile->corrupt)) {
                uint32_t bit = dice_below(&wire->dice, (uint32_t)(len - ETHER_BYTES) * 8u);

                slot->bytes[ETHER_BYTES + bit / 8] ^= (uint8_t)(1u << (bit % 8));
                wire->stats.corrupted++;
        }
}

const uint8_t *wire_receive(struct wire *wire, uint64_t now_us, unsigned *ret_direction, size_t *ret_len)
{
        const struct slot *slot;

        if (wire->last < FLIGHT_MAX)
                wire->free[wire->free_len++] = wire->last;
        wire->last = FLIGHT_MAX;
        if (wire->heap_len == 0 || wire->heap[0].at_us > now_us)
                return NULL;
        wire->last = heap_pop(wire).slot;
        slot = &wire->slots[wire->last];
        *ret_direction = slot->direction;
        *ret_len = slot->len;
        return slot->bytes;
}

uint64_t wire_due_us(const struct wire *wire)
{
        return wire->heap_len > 0 ? wire->heap[0].at_us : UINT64_MAX;
}
