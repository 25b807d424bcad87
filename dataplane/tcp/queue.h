/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of one-segment packets, linked by packet_meta.next. Owns what is in it. */
#ifndef GREYLINE_TCP_QUEUE_H
#define GREYLINE_TCP_QUEUE_H

#include "dataplane/port/packet.h"

struct packet_queue {
        struct packet *head, *tail;
};

static inline struct packet *packet_next(struct packet *packet)
{
        return packet_meta(packet)->next;
}

static inline uint32_t packet_seq(struct packet *packet)
{
        return packet_meta(packet)->seq;
}

static inline uint32_t packet_seq_end(struct packet *packet)
{
        return packet_meta(packet)->seq + packet_len(packet);
}

static inline void queue_push(struct packet_queue *queue, struct packet *packet)
{
        packet_meta(packet)->next = NULL;
        if (queue->tail)
                packet_meta(queue->tail)->next = packet;
        else
                queue->head = packet;
        queue->tail = packet;
}

static inline struct packet *queue_pop(struct packet_queue *queue)
{
        struct packet *packet = queue->head;

        if (!packet)
                return NULL;
        queue->head = packet_next(packet);
        if (!queue->head)
                queue->tail = NULL;
        packet_meta(packet)->next = NULL;
        return packet;
}

/* Put packet behind prev (NULL: in front). */
static inline void queue_insert(struct packet_queue *queue, struct packet *prev, struct packet *packet)
{
        if (!prev) {
                packet_meta(packet)->next = queue->head;
                queue->head = packet;
        } else {
                packet_meta(packet)->next = packet_next(prev);
                packet_meta(prev)->next = packet;
        }
        if (queue->tail == prev)
                queue->tail = packet;
}

#endif
