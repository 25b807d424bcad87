/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "dataplane/shared/bug.h"

#define RING_MAGIC     0x474c524eu
#define RING_SLOTS_MAX (1u << 24)

struct ring_shared {
        uint32_t magic;
        uint32_t slots;
        uint32_t slot_bytes;
        _Alignas(64) _Atomic uint64_t written; /* the writer's; the reader reads it */
        _Alignas(64) _Atomic uint64_t read;    /* the reader's; the writer reads it */
        _Alignas(64) _Atomic uint32_t asleep;  /* the reader's; the writer reads and clears it */
        _Alignas(64) uint8_t bytes[];
};

size_t ring_bytes(uint32_t slots, uint32_t slot_bytes)
{
        size_t bytes = sizeof(struct ring_shared) + (size_t)slots * slot_bytes;

        return (bytes + 63) & ~(size_t)63;
}

void ring_format(void *memory, uint32_t slots, uint32_t slot_bytes)
{
        struct ring_shared *shared = memory;

        BUG_ON(slots < 2 || slots > RING_SLOTS_MAX || (slots & (slots - 1)) != 0 || slot_bytes % 8 != 0);
        shared->slots = slots;
        shared->slot_bytes = slot_bytes;
        atomic_store(&shared->written, 0);
        atomic_store(&shared->read, 0);
        atomic_store(&shared->asleep, 0);
        shared->magic = RING_MAGIC;
}

static int attach(struct ring *ring, void *memory, uint32_t slots, uint32_t slot_bytes)
{
        struct ring_shared *shared = memory;

        if (shared->magic != RING_MAGIC || shared->slots != slots || shared->slot_bytes != slot_bytes)
                return -EPROTO;
        ring->shared = shared;
        ring->slots = slots;
        ring->slot_bytes = slot_bytes;
        return 0;
}

int ring_attach_writer(struct ring *ring, void *memory, uint32_t slots, uint32_t slot_bytes)
{
        int r = attach(ring, memory, slots, slot_bytes);

        if (r < 0)
                return r;
        ring->own = atomic_load(&ring->shared->written);
        ring->other = atomic_load(&ring->shared->read);
        if (ring->own - ring->other > slots)
                ring->other = ring->own;
        return 0;
}

int ring_attach_reader(struct ring *ring, void *memory, uint32_t slots, uint32_t slot_bytes)
{
        int r = attach(ring, memory, slots, slot_bytes);

        if (r < 0)
                return r;
        ring->own = atomic_load(&ring->shared->read);
        ring->other = atomic_load(&ring->shared->written);
        if (ring->other - ring->own > slots) {
                ring->own = ring->other;
                atomic_store(&ring->shared->read, ring->own);
        }
        return 0;
}

static void *slot_at(struct ring *ring, uint64_t index)
{
        return ring->shared->bytes + (index & (ring->slots - 1)) * ring->slot_bytes;
}

void *ring_write_slot(struct ring *ring)
{
        if (ring->own - ring->other >= ring->slots) {
                uint64_t read = atomic_load_explicit(&ring->shared->read, memory_order_acquire);

                /* A reader cannot have read what was not written, nor be more than a ring behind. */
                if (ring->own - read > ring->slots)
                        return NULL;
                ring->other = read;
                if (ring->own - read == ring->slots)
                        return NULL;
        }
        return slot_at(ring, ring->own);
}

void ring_write_commit(struct ring *ring)
{
        BUG_ON_HOT(ring->own - ring->other >= ring->slots);
        ring->own++;
}

bool ring_write_publish(struct ring *ring)
{
        atomic_store_explicit(&ring->shared->written, ring->own, memory_order_release);
        /* Order the index before the flag: the reader does the reverse in ring_read_may_sleep(). */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&ring->shared->asleep, memory_order_relaxed) == 0)
                return false;
        return atomic_exchange(&ring->shared->asleep, 0) != 0;
}

const void *ring_read_slot(struct ring *ring)
{
        if (ring->own == ring->other) {
                uint64_t written = atomic_load_explicit(&ring->shared->written, memory_order_acquire);

                if (written - ring->own > ring->slots)
                        return NULL;
                ring->other = written;
                if (ring->own == written)
                        return NULL;
        }
        return slot_at(ring, ring->own);
}

uint32_t ring_read_waiting(struct ring *ring)
{
        uint64_t written = atomic_load_explicit(&ring->shared->written, memory_order_acquire);

        if (written - ring->own <= ring->slots)
                ring->other = written;
        return (uint32_t)(ring->other - ring->own);
}

void ring_read_release(struct ring *ring)
{
        BUG_ON_HOT(ring->own == ring->other);
        ring->own++;
        atomic_store_explicit(&ring->shared->read, ring->own, memory_order_release);
}

bool ring_read_may_sleep(struct ring *ring)
{
        atomic_store(&ring->shared->asleep, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (ring_read_slot(ring) == NULL)
                return true;
        ring_read_awake(ring);
        return false;
}

void ring_read_awake(struct ring *ring)
{
        atomic_store_explicit(&ring->shared->asleep, 0, memory_order_relaxed);
}
