/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/reorder.h"

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/press.h"

static void drop(struct tcp *tcp, struct packet *packet)
{
        packet_free(packet);
        tcp_count(tcp, COUNTER_tcp_reorder_drops);
}

/* Pieces with a gap between them. */
static unsigned count_ranges(const struct tcp_conn *conn)
{
        unsigned ranges = 0;
        struct packet *prev = NULL;

        for (struct packet *packet = conn->flight->reorder.head; packet; packet = packet_next(packet)) {
                if (!prev || packet_seq_end(prev) != packet_seq(packet))
                        ranges++;
                prev = packet;
        }
        return ranges;
}

/* The last kept packet that begins at or before seq, or NULL. */
static struct packet *find_prev(const struct tcp_conn *conn, uint32_t seq)
{
        struct packet *prev = NULL;

        /* Nearly always a segment continues the last one. */
        if (conn->flight->reorder.tail && SEQ_BEFORE_EQ(packet_seq(conn->flight->reorder.tail), seq))
                return conn->flight->reorder.tail;
        for (struct packet *packet = conn->flight->reorder.head; packet && SEQ_BEFORE_EQ(packet_seq(packet), seq);
             packet = packet_next(packet))
                prev = packet;
        return prev;
}

bool reorder_overlap(const struct tcp_conn *conn, uint32_t seq, uint32_t end, struct tcp_block *ret)
{
        struct packet *packet = conn->flight->reorder.head;

        while (packet && SEQ_BEFORE_EQ(packet_seq_end(packet), seq))
                packet = packet_next(packet);
        if (!packet || SEQ_AFTER_EQ(packet_seq(packet), end))
                return false;
        ret->start = SEQ_MAX(packet_seq(packet), seq);
        do
                ret->end = packet_seq_end(packet);
        while ((packet = packet_next(packet)) != NULL && packet_seq(packet) == ret->end);
        ret->end = SEQ_MIN(ret->end, end);
        return true;
}

void reorder_insert(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, struct packet *packet)
{
        struct packet *prev = find_prev(conn, seq);
        struct packet *next = prev ? packet_next(prev) : conn->flight->reorder.head;
        uint32_t end = seq + packet_len(packet);
        bool joins;

        flight_take(tcp, conn)->reorder_newest = seq;
        if (prev && SEQ_AFTER(packet_seq_end(prev), seq)) {
                if (SEQ_AFTER_EQ(packet_seq_end(prev), end)) {
                        packet_free(packet);
                        return;
                }
                packet_pull(packet, (uint16_t)(packet_seq_end(prev) - seq));
                seq = packet_seq_end(prev);
        }
        /* What would lie over or behind the next kept bytes comes again if it is needed. */
        if (next && SEQ_AFTER(end, packet_seq(next))) {
                end = packet_seq(next);
                if (end == seq) {
                        packet_free(packet);
                        return;
                }
                packet_trim(packet, (uint16_t)(end - seq));
        }
        joins = prev && packet_seq_end(prev) == seq;
        if (joins && packet_len(packet) < TCP_COPY_BREAK && !packet_is_shared(prev) &&
            packet_tailroom(prev) >= packet_len(packet)) {
                memcpy(packet_append(prev, packet_len(packet)), packet_data(packet), packet_len(packet));
                packet_free(packet);
                return;
        }
        /* The last quarter of the budget is for bytes in order: those can be delivered and freed. */
        if (conn->flight->reorder_len >= TCP_REORDER_PACKETS_MAX ||
            press_level(tcp) >= PRESS_TAKE) {
                drop(tcp, packet);
                return;
        }
        if (!joins && !(next && packet_seq(next) == end) && count_ranges(conn) >= TCP_REORDER_RANGES_MAX) {
                drop(tcp, packet);
                return;
        }
        packet_meta(packet)->seq = seq;
        queue_insert(&conn->flight->reorder, prev, packet);
        conn->flight->reorder_len++;
        tcp->held++;
}

struct packet *reorder_next(struct tcp *tcp, struct tcp_conn *conn)
{
        struct packet *packet;

        while ((packet = conn->flight->reorder.head) != NULL && SEQ_BEFORE_EQ(packet_seq(packet), conn->rcv_nxt)) {
                queue_pop(&conn->flight->reorder);
                conn->flight->reorder_len--;
                tcp->held--;
                if (SEQ_BEFORE(conn->rcv_nxt, packet_seq_end(packet))) {
                        packet_pull(packet, (uint16_t)(conn->rcv_nxt - packet_seq(packet)));
                        return packet;
                }
                packet_free(packet);
        }
        return NULL;
}

void reorder_forget(struct tcp *tcp, struct tcp_conn *conn)
{
        struct packet *packet;

        if (conn->flight->reorder_len == 0)
                return;
        while ((packet = queue_pop(&conn->flight->reorder)) != NULL) {
                tcp->held--;
                drop(tcp, packet);
        }
        conn->flight->reorder_len = 0;
}

unsigned reorder_blocks(const struct tcp_conn *conn, struct tcp_block *ret, unsigned max)
{
        struct tcp_block block = { 0, 0 };
        unsigned n = 0;
        bool newest_found = false;

        if (max == 0)
                return 0;
        for (struct packet *packet = conn->flight->reorder.head; packet;) {
                bool is_newest;

                block.start = packet_seq(packet);
                do {
                        block.end = packet_seq_end(packet);
                        packet = packet_next(packet);
                } while (packet && packet_seq(packet) == block.end);
                is_newest = SEQ_BEFORE_EQ(block.start, conn->flight->reorder_newest) &&
                            SEQ_BEFORE(conn->flight->reorder_newest, block.end);
                if (is_newest && n > 0) {
                        /* To the front; the last of the others makes room where all places are taken. */
                        n = MIN(n, max - 1);
                        for (unsigned i = n; i > 0; i--)
                                ret[i] = ret[i - 1];
                        ret[0] = block;
                        n++;
                } else if (n < max) {
                        ret[n++] = block;
                }
                newest_found |= is_newest;
                if (newest_found && n == max)
                        break;
        }
        return n;
}
