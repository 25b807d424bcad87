/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/policy/limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "dataplane/shared/bug.h"

#define SLOTS_PER_BUCKET 4u
#define OPEN_BITS        20u /* more connections than one node holds */
#define MINUTE_BITS      20u
#define RATE_BITS        24u

/*
 * The state word: open | minute | opened in that minute. A slot whose open is zero and whose minute is over
 * belongs to nobody.
 */
struct slot {
        _Atomic uint64_t network; /* keyed hash, never 0 */
        _Atomic uint64_t state;
};

struct limits {
        struct siphash_key key;
        uint32_t buckets; /* a power of two */
        struct slot *slots;
};

static uint64_t state_open(uint64_t state)
{
        return state >> (MINUTE_BITS + RATE_BITS);
}

static uint64_t state_minute(uint64_t state)
{
        return state >> RATE_BITS & ((1u << MINUTE_BITS) - 1);
}

static uint64_t state_rate(uint64_t state)
{
        return state & ((1u << RATE_BITS) - 1);
}

static uint64_t state_make(uint64_t open, uint64_t minute, uint64_t rate)
{
        return open << (MINUTE_BITS + RATE_BITS) | minute << RATE_BITS | MIN(rate, (1u << RATE_BITS) - 1);
}

struct limits *limits_new(uint32_t networks, const struct siphash_key *key)
{
        struct limits *limits = calloc(1, sizeof(*limits));
        uint32_t buckets = 16;

        if (limits == NULL)
                return NULL;
        while (buckets < networks / SLOTS_PER_BUCKET && buckets < 1u << 28)
                buckets *= 2;
        limits->key = *key;
        limits->buckets = buckets;
        limits->slots = aligned_alloc(64, (size_t)buckets * SLOTS_PER_BUCKET * sizeof(struct slot));
        if (limits->slots == NULL) {
                free(limits);
                return NULL;
        }
        memset(limits->slots, 0, (size_t)buckets * SLOTS_PER_BUCKET * sizeof(struct slot));
        return limits;
}

void limits_free(struct limits *limits)
{
        if (limits == NULL)
                return;
        free(limits->slots);
        free(limits);
}

static uint64_t network_hash(const struct limits *limits, const struct addr *network)
{
        uint64_t hash = siphash(&limits->key, network->bytes, sizeof(network->bytes));

        return hash == 0 ? 1 : hash;
}

static struct slot *bucket_of(const struct limits *limits, uint64_t hash)
{
        return limits->slots + (hash >> 32 & (limits->buckets - 1)) * SLOTS_PER_BUCKET;
}

static struct slot *find(const struct limits *limits, uint64_t hash)
{
        struct slot *bucket = bucket_of(limits, hash);

        for (unsigned i = 0; i < SLOTS_PER_BUCKET; i++) {
                if (atomic_load_explicit(&bucket[i].network, memory_order_acquire) == hash)
                        return &bucket[i];
        }
        return NULL;
}

static struct slot *claim(const struct limits *limits, uint64_t hash, uint64_t minute)
{
        struct slot *bucket = bucket_of(limits, hash);

        for (unsigned i = 0; i < SLOTS_PER_BUCKET; i++) {
                uint64_t owner = atomic_load(&bucket[i].network);
                uint64_t state = atomic_load(&bucket[i].state);

                if (owner != 0 && (state_open(state) != 0 || state_minute(state) == minute))
                        continue;
                if (atomic_compare_exchange_strong(&bucket[i].network, &owner, hash))
                        return &bucket[i];
        }
        return NULL;
}

void limits_prefetch(const struct limits *limits, const struct addr *network)
{
        __builtin_prefetch(bucket_of(limits, network_hash(limits, network)), 1);
}

enum limits_verdict limits_open(struct limits *limits, const struct addr *network, uint32_t open_max,
                                uint32_t rate_max, uint32_t now_sec, uint32_t *ret_slot)
{
        uint64_t hash = network_hash(limits, network);
        uint64_t minute = now_sec / 60 & ((1u << MINUTE_BITS) - 1);
        struct slot *slot;
        uint64_t state, next;

again:
        *ret_slot = LIMITS_NO_SLOT; /* also after an undo: what was given back is not the caller's to close */
        slot = find(limits, hash);
        if (slot == NULL)
                slot = claim(limits, hash, minute);
        if (slot == NULL)
                return LIMITS_UNCOUNTED;
        state = atomic_load(&slot->state);
        do {
                uint64_t rate = state_minute(state) == minute ? state_rate(state) : 0;

                if (open_max != 0 && state_open(state) >= open_max)
                        return LIMITS_TOO_MANY;
                if (rate_max != 0 && rate >= rate_max)
                        return LIMITS_TOO_FAST;
                if (state_open(state) >= (1u << OPEN_BITS) - 1)
                        return LIMITS_UNCOUNTED;
                next = state_make(state_open(state) + 1, minute, rate + 1);
        } while (!atomic_compare_exchange_weak(&slot->state, &state, next));

        *ret_slot = (uint32_t)(slot - limits->slots);
        if (atomic_load(&slot->network) != hash) {
                /* The slot was free for a moment and another network took it: undo and look again. */
                limits_close(limits, *ret_slot);
                goto again;
        }
        return LIMITS_OPEN;
}

void limits_close(struct limits *limits, uint32_t slot)
{
        uint64_t state;

        if (slot == LIMITS_NO_SLOT)
                return;
        BUG_ON_HOT(slot >= limits->buckets * SLOTS_PER_BUCKET);
        state = atomic_load(&limits->slots[slot].state);
        BUG_ON_HOT(state_open(state) == 0);
        atomic_fetch_sub(&limits->slots[slot].state, 1ull << (MINUTE_BITS + RATE_BITS));
}

uint32_t limits_count(const struct limits *limits, const struct addr *network)
{
        struct slot *slot = find(limits, network_hash(limits, network));

        return slot ? (uint32_t)state_open(atomic_load(&slot->state)) : 0;
}
