/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A single-writer, single-reader ring of fixed-size slots in memory that two processes map.
 *
 * Neither end trusts the other: each keeps its own copy of the geometry and of its own index, and an index
 * that the other end wrote is used only after it was checked against the geometry. An end that dies leaves
 * nothing locked; its successor attaches and goes on where the shared index says.
 *
 * The reader's sleep flag saves the bell: a writer rings (see link.h) only when ring_write_publish() says
 * that the reader may be asleep, and so at most once a burst.
 */
#ifndef GREYLINE_SHARED_RING_H
#define GREYLINE_SHARED_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring_shared; /* what lies in the shared memory */

/* One end. Private to its process and thread; caller's memory; nothing to free. */
struct ring {
        struct ring_shared *shared;
        uint32_t slot_bytes; /* a multiple of 8 */
        uint32_t slots;      /* a power of two */
        uint64_t own;        /* this end's index: slots written, or slots read */
        uint64_t other;      /* the other end's index as last read and checked */
};

/* Bytes of shared memory that a ring needs; a multiple of 64. slots: a power of two, 2 to 2^24. */
size_t ring_bytes(uint32_t slots, uint32_t slot_bytes);

/* Lay out an empty ring in zeroed memory of ring_bytes(), aligned to 64. */
void ring_format(void *memory, uint32_t slots, uint32_t slot_bytes);

/*
 * Attach an end to a formatted ring. The geometry comes from the caller (who knows the layout), and the
 * ring must agree. An index in memory that makes no sense empties the ring.
 * Returns 0, or -EPROTO when the memory holds no such ring.
 */
int ring_attach_writer(struct ring *ring, void *memory, uint32_t slots, uint32_t slot_bytes);
int ring_attach_reader(struct ring *ring, void *memory, uint32_t slots, uint32_t slot_bytes);

/*
 * The next free slot to fill in place, or NULL when the ring is full (the caller counts what it drops).
 * Repeated calls before ring_write_commit() return the same slot.
 */
void *ring_write_slot(struct ring *ring);

/* Take the slot as written. The reader sees it after ring_write_publish(). */
void ring_write_commit(struct ring *ring);

/* Publish everything committed. Returns true when the reader sleeps and the caller should ring its bell. */
bool ring_write_publish(struct ring *ring);

/*
 * The oldest unread slot, or NULL when there is none. The bytes are the other process's and may change
 * under the reader: copy a slot before checking it.
 */
const void *ring_read_slot(struct ring *ring);

/* How many slots are unread now, 0 to slots. */
uint32_t ring_read_waiting(struct ring *ring);

/* Done with the slot: it belongs to the writer again. */
void ring_read_release(struct ring *ring);

/*
 * Say that the reader is about to sleep. Returns false when something came in meanwhile: then do not sleep.
 */
bool ring_read_may_sleep(struct ring *ring);

/* The reader is awake again. */
void ring_read_awake(struct ring *ring);

#endif
