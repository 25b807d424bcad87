/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/packet.h"
#include "dataplane/tcp/header.h"
#include "dataplane/tcp/seq.h"

#define SERVER_PORT  25u
#define ANSWER_US    500000u /* RFC 9293 MUST-40 */
#define RANGES_MAX   256u
#define WINDOW_BYTES 14600u /* RFC 6928 */
#define WINDOW_SLACK 6000u  /* limited transmit, recovery, and the segment that may go beyond */
#define REPEATS_FREE                                                                                         \
        8u /* of the first byte without progress: probes, fast retransmit, echoes of doubled ACKs */

struct range {
        uint32_t start, end;
};

/* Sorted, apart. */
struct ranges {
        unsigned len;
        bool is_lossy; /* more pieces than can be kept: no word about them */
        struct range range[RANGES_MAX];
};

/* One end of a connection. Offsets count from its own ISN, or, where said, from the other's. */
struct half {
        bool has_isn, has_isn_arrived, has_fin;
        uint32_t isn;
        uint32_t sent;  /* the highest end */
        uint32_t fin;   /* where the FIN is */
        uint32_t mss;   /* in its SYN as it arrived, 0: not yet */
        bool has_scale; /* there as well */
        uint8_t scale;
        /* Of the other's bytes: */
        bool has_acked;
        uint32_t acked, edge; /* what it said last, and the furthest */
        /* What has arrived of its words about the other's bytes: */
        uint32_t heard_ack, heard_edge, heard_window; /* the last: the largest window */
        uint32_t ts, ts_arrived; /* newest of its timestamps */
        bool has_ts, has_ts_arrived;
        bool wants_ecn, wants_ecn_arrived; /* in the last SYN that it sent; in any that has arrived */
        bool was_marked;  /* some of its data has arrived with congestion experienced */
        struct ranges arrived, twice; /* of its bytes: what has reached the other end, and what has more than once */
        uint64_t owes_us;                 /* since when it owes an answer, 0: it does not */
        /* Its first unacknowledged byte: */
        uint32_t head;
        unsigned head_times;
        uint64_t head_since_us;
};

struct flow {
        uint16_t port;
        bool is_over;
        struct half half[2]; /* the server's, the client's */
};

struct witness {
        const char *wrong;
        char text[200];
        bool must_answer;
        uint64_t check_us; /* when an answer may be overdue next */
        unsigned len, room;
        struct flow **flows;
        uint32_t of_port[65536]; /* 1 + place in flows */
};

struct witness *witness_new(bool must_answer)
{
        struct witness *witness = calloc(1, sizeof(*witness));

        BUG_ON(!witness);
        witness->must_answer = must_answer;
        witness->check_us = UINT64_MAX;
        return witness;
}

void witness_free(struct witness *witness)
{
        for (unsigned i = 0; i < witness->len; i++)
                free(witness->flows[i]);
        free(witness->flows);
        free(witness);
}

static void wrong(struct witness *witness, const struct flow *flow, unsigned which, const char *what)
{
        if (witness->wrong)
                return;
        snprintf(witness->text, sizeof(witness->text), "seen on the wire: port %u, %s: %s", flow->port,
                 which == 0 ? "server" : "client", what);
        witness->wrong = witness->text;
}

static struct flow *flow_of(struct witness *witness, uint16_t port)
{
        if (witness->of_port[port])
                return witness->flows[witness->of_port[port] - 1];
        if (witness->len == witness->room) {
                witness->room = witness->room * 2 + 16;
                witness->flows = realloc(witness->flows, witness->room * sizeof(struct flow *));
                BUG_ON(!witness->flows);
        }
        witness->flows[witness->len] = calloc(1, sizeof(struct flow));
        BUG_ON(!witness->flows[witness->len]);
        witness->flows[witness->len]->port = port;
        witness->of_port[port] = ++witness->len;
        return witness->flows[witness->len - 1];
}

/* --- what has arrived ----------------------------------------------------------------------------------- */

static void add_range(struct ranges *set, uint32_t start, uint32_t end)
{
        struct range *r = set->range;
        unsigned first = 0, last;

        if (start == end)
                return;
        while (first < set->len && r[first].end < start)
                first++;
        for (last = first; last < set->len && r[last].start <= end;)
                last++;
        if (first == last) {
                if (set->len == RANGES_MAX) {
                        set->is_lossy = true;
                        return;
                }
                memmove(&r[first + 1], &r[first], (set->len - first) * sizeof(*r));
                r[first] = (struct range){ start, end };
                set->len++;
                return;
        }
        r[first].start = MIN(r[first].start, start);
        r[first].end = MAX(r[last - 1].end, end);
        memmove(&r[first + 1], &r[last], (set->len - last) * sizeof(*r));
        set->len -= last - first - 1;
}

static void arrive(struct half *half, uint32_t start, uint32_t end)
{
        for (unsigned i = 0; i < half->arrived.len; i++) {
                uint32_t from = MAX(start, half->arrived.range[i].start), to = MIN(end, half->arrived.range[i].end);

                if (from < to)
                        add_range(&half->twice, from, to);
        }
        half->twice.is_lossy |= half->arrived.is_lossy;
        add_range(&half->arrived, start, end);
}

static bool is_in(const struct ranges *set, uint32_t start, uint32_t end)
{
        for (unsigned i = 0; i < set->len; i++)
                if (set->range[i].start <= start && end <= set->range[i].end)
                        return true;
        return set->is_lossy;
}

static uint32_t count_arrived(const struct half *half)
{
        uint32_t bytes = 0;

        for (unsigned i = 0; i < half->arrived.len; i++)
                bytes += half->arrived.range[i].end - half->arrived.range[i].start;
        return half->arrived.is_lossy ? half->sent : bytes;
}

/* --- one segment ---------------------------------------------------------------------------------------- */

struct segment {
        struct tcp_header header;
        uint32_t len;
        struct flow *flow;
        unsigned which; /* of the sender */
        struct half *from, *to;
};

/* Read a packet. False: nothing to say about it. */
static bool read_segment(struct witness *witness, struct packet *packet, struct segment *ret)
{
        if (tcp_header_parse(packet_data(packet), packet_len(packet), &ret->header) != TCP_PARSE_OK)
                return false;
        ret->len = packet_len(packet) - ret->header.header_len;
        ret->which = ret->header.src_port == SERVER_PORT ? 0 : 1;
        ret->flow = flow_of(witness, ret->which == 0 ? ret->header.dst_port : ret->header.src_port);
        ret->from = &ret->flow->half[ret->which];
        ret->to = &ret->flow->half[!ret->which];
        return true;
}

/* A SYN, or nothing of this connection is known. False: the segment is not to be judged. */
static bool look_at_beginning(const struct segment *segment)
{
        const struct tcp_header *header = &segment->header;
        struct half *from = segment->from;

        if (header->flags & TCP_FLAG_SYN) {
                if (!from->has_isn) {
                        from->has_isn = true;
                        from->isn = header->seq;
                } else if (from->isn != header->seq) {
                        segment->flow->is_over =
                            true; /* another beginning: who means which is not seen from here */
                }
        }
        if (header->flags & TCP_FLAG_RST)
                segment->flow->is_over = true;
        return !segment->flow->is_over && from->has_isn;
}

static uint32_t edge_of(const struct segment *segment, uint32_t ack)
{
        bool is_scaled =
            segment->from->has_scale && segment->to->has_scale && !(segment->header.flags & TCP_FLAG_SYN);

        return ack + ((uint32_t)segment->header.window << (is_scaled ? segment->from->scale : 0));
}

static void check_blocks(struct witness *witness, const struct segment *segment)
{
        const struct tcp_header *header = &segment->header;
        const struct half *to = segment->to;
        struct range block[TCP_SACK_BLOCKS_MAX];
        unsigned n = header->blocks;

        for (unsigned i = 0; i < n; i++) {
                block[i] = (struct range){ header->block[i].start - to->isn, header->block[i].end - to->isn };
                if (!is_in(&to->arrived, block[i].start, block[i].end))
                        wrong(witness, segment->flow, segment->which, "its SACK reports what has not reached it");
        }
        /* RFC 2883 5: only the first block may report what came twice. */
        for (unsigned i = 0; i < n; i++) {
                bool is_acked = block[i].start < header->ack - to->isn;
                bool is_inside = i == 0 && n > 1 && block[1].start <= block[0].start && block[0].end <= block[1].end;

                if (i > 0 && is_acked)
                        wrong(witness, segment->flow, segment->which, "its SACK reports what is acknowledged");
                if ((is_acked || is_inside) && !is_in(&to->twice, block[i].start, block[i].end))
                        wrong(witness, segment->flow, segment->which, "it reports as come twice what came once");
        }
}

static void check_ack(struct witness *witness, const struct segment *segment)
{
        const struct tcp_header *header = &segment->header;
        struct half *from = segment->from, *to = segment->to;
        uint32_t ack = header->ack - to->isn, edge = edge_of(segment, ack);

        if (!(header->flags & TCP_FLAG_ACK) || !to->has_isn)
                return;
        from->owes_us = 0;
        if (!is_in(&to->arrived, 0, ack))
                wrong(witness, segment->flow, segment->which, "it acknowledges what has not reached it");
        if (from->has_acked && ack < from->acked)
                wrong(witness, segment->flow, segment->which, "it takes an acknowledgement back");
        check_blocks(witness, segment);
        /* By less than a unit it may, where the scale rounds (RFC 7323 2.4). After the other's FIN nothing can come any more. */
        if (from->has_acked && edge + (1u << from->scale) <= from->edge && !(to->has_fin && ack > to->fin))
                wrong(witness, segment->flow, segment->which, "its window's right edge moves left");
        from->has_acked = true;
        from->acked = ack;
        from->edge = MAX(from->edge, edge);
}

/* Its first byte again: twice as long after the last time each time, up to a minute. */
static void check_repeats(struct witness *witness, const struct segment *segment, uint32_t start,
                          uint64_t now_us)
{
        struct half *from = segment->from;
        unsigned allowed = REPEATS_FREE;

        if (start != segment->to->heard_ack)
                return;
        if (start != from->head || from->head_times == 0) {
                from->head = start;
                from->head_times = 0;
                from->head_since_us = now_us;
        }
        from->head_times++;
        for (uint64_t ms = 1000; ms <= (now_us - from->head_since_us) / 1000; ms += MIN(ms + 1000, 50000u))
                allowed++;
        if (from->head_times > allowed)
                wrong(witness, segment->flow, segment->which,
                      "it sends the same again and again without backing off");
}

static void check_data(struct witness *witness, const struct segment *segment, uint64_t now_us)
{
        const struct tcp_header *header = &segment->header;
        struct half *from = segment->from;
        bool is_syn = header->flags & TCP_FLAG_SYN, is_fin = header->flags & TCP_FLAG_FIN;
        uint32_t start = header->seq - from->isn, end = start + segment->len;
        uint32_t heard_ack = segment->to->heard_ack, heard_edge = segment->to->heard_edge;

        if (segment->len > 0 && !is_syn) {
                /* RFC 6691: the option does not count the options, the payload does. */
                if (segment->to->mss && segment->len + header->header_len - TCP_HEADER_MIN > segment->to->mss)
                        wrong(witness, segment->flow, segment->which,
                              "its segment is longer than the other end takes");
                if (end > heard_edge && segment->len > 1)
                        wrong(witness, segment->flow, segment->which, "it sends beyond the window");
                /* Whatever has arrived may have been told by a duplicate ACK or SACK, and be no more in flight. */
                if (end > heard_ack + WINDOW_BYTES + count_arrived(from) + WINDOW_SLACK)
                        wrong(witness, segment->flow, segment->which, "it has more in flight than it may");
        }
        if (from->has_fin && ((segment->len > 0 && end > from->fin) || (is_fin && end != from->fin)))
                wrong(witness, segment->flow, segment->which, "it sends after its FIN, or another FIN");
        if (is_fin) {
                if (end < from->sent && !from->has_fin)
                        wrong(witness, segment->flow, segment->which, "its FIN comes before its data");
                from->has_fin = true;
                from->fin = end;
        }
        if (segment->len > 0 || is_fin)
                check_repeats(witness, segment, start, now_us);
        from->sent = MAX(from->sent, end + is_syn + is_fin);
}

static bool is_ecn_setup(const struct tcp_header *header)
{
        unsigned both = header->flags & (TCP_FLAG_ECE | TCP_FLAG_CWR);

        return both == (header->flags & TCP_FLAG_ACK ? TCP_FLAG_ECE : TCP_FLAG_ECE | TCP_FLAG_CWR);
}

/* RFC 3168: only new data of connections that agreed on it may be marked, and only a mark that has come may be echoed. */
static void check_ecn(struct witness *witness, const struct segment *segment, unsigned ecn)
{
        const struct tcp_header *header = &segment->header;
        unsigned both = header->flags & (TCP_FLAG_ECE | TCP_FLAG_CWR);
        struct half *from = segment->from, *to = segment->to;
        bool is_new = segment->len > 0 && header->seq - from->isn >= from->sent;

        if (header->flags & TCP_FLAG_SYN) {
                from->wants_ecn = is_ecn_setup(header);
                if (ecn)
                        wrong(witness, segment->flow, segment->which, "its SYN is ECN capable");
                return;
        }
        if (ecn && (!is_new || !from->wants_ecn || !to->wants_ecn_arrived))
                wrong(witness, segment->flow, segment->which, "what is no new data, or not agreed on, is ECN capable");
        if (both & TCP_FLAG_ECE && !to->was_marked)
                wrong(witness, segment->flow, segment->which, "it echoes congestion that nothing has experienced");
        if (both & TCP_FLAG_CWR && !is_new)
                wrong(witness, segment->flow, segment->which, "it says CWR with what is no new data");
}

static void check_timestamp(struct witness *witness, const struct segment *segment)
{
        const struct tcp_header *header = &segment->header;
        struct half *from = segment->from, *to = segment->to;

        if (!header->has_timestamp)
                return;
        if (from->has_ts && SEQ_BEFORE(header->ts_value, from->ts))
                wrong(witness, segment->flow, segment->which, "its timestamp goes back");
        if (header->flags & TCP_FLAG_ACK &&
            (!to->has_ts_arrived || SEQ_AFTER(header->ts_echo, to->ts_arrived)))
                wrong(witness, segment->flow, segment->which,
                      "it echoes a timestamp that has not reached it");
        from->has_ts = true;
        from->ts = header->ts_value;
}

void witness_sent(struct witness *witness, struct packet *packet, uint64_t now_us)
{
        struct segment segment;

        if (!read_segment(witness, packet, &segment) || !look_at_beginning(&segment))
                return;
        check_timestamp(witness, &segment);
        check_ecn(witness, &segment, packet_meta(packet)->ecn);
        check_ack(witness, &segment);
        check_data(witness, &segment, now_us);
}

void witness_delivered(struct witness *witness, struct packet *packet, uint64_t now_us)
{
        struct segment segment;
        const struct tcp_header *header = &segment.header;
        struct half *from, *to;
        uint32_t start, end;
        bool is_ancient = false;

        if (!read_segment(witness, packet, &segment) || segment.flow->is_over || !segment.from->has_isn)
                return;
        from = segment.from;
        to = segment.to;
        start = header->seq - from->isn;
        end = start + segment.len + !!(header->flags & TCP_FLAG_SYN) + !!(header->flags & TCP_FLAG_FIN);
        if (header->flags & TCP_FLAG_SYN) {
                from->has_isn_arrived = true;
                from->wants_ecn_arrived |= is_ecn_setup(header);
                from->mss = header->mss ? header->mss : TCP_MSS_DEFAULT_V4;
                from->has_scale = header->has_scale;
                from->scale = header->scale;
        }
        arrive(from, start, end);
        from->was_marked |= segment.len > 0 && packet_meta(packet)->ecn == TCP_ECN_CE;
        if (header->has_timestamp &&
            (!from->has_ts_arrived || SEQ_AFTER(header->ts_value, from->ts_arrived))) {
                from->has_ts_arrived = true;
                from->ts_arrived = header->ts_value;
        }
        if (header->flags & TCP_FLAG_ACK && to->has_isn) {
                uint32_t ack = header->ack - to->isn;

                /* RFC 5961 5: dropped, and answered within the limit of challenge ACKs. */
                is_ancient = ack + from->heard_window < from->heard_ack;
                from->heard_ack = MAX(from->heard_ack, ack);
                from->heard_edge = MAX(from->heard_edge, edge_of(&segment, ack));
                from->heard_window = MAX(from->heard_window, edge_of(&segment, ack) - ack);
        }
        if (segment.len > 0 && !is_ancient && witness->must_answer && to->has_acked && to->owes_us == 0) {
                to->owes_us = now_us;
                witness->check_us = MIN(witness->check_us, now_us + ANSWER_US);
        }
}

static void look_for_debts(struct witness *witness, uint64_t now_us)
{
        witness->check_us = UINT64_MAX;
        for (unsigned i = 0; i < witness->len; i++) {
                const struct flow *flow = witness->flows[i];

                for (unsigned which = 0; which < 2 && !flow->is_over; which++) {
                        const struct half *half = &flow->half[which];

                        if (half->owes_us == 0)
                                continue;
                        if (now_us > half->owes_us + ANSWER_US)
                                wrong(witness, flow, which, "it does not answer to data");
                        witness->check_us = MIN(witness->check_us, half->owes_us + ANSWER_US);
                }
        }
}

const char *witness_check(struct witness *witness, uint64_t now_us)
{
        if (now_us > witness->check_us)
                look_for_debts(witness, now_us);
        return witness->wrong;
}
