/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/timewait.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/shared/pages.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/listen.h"
#include "dataplane/tcp/output.h"

struct timewait_entry {
        struct tcp_tuple tuple;
        uint32_t snd_nxt, rcv_nxt;
        uint32_t ts_recent, ts_offset;
        struct ilist_node node;
        uint32_t due_ms : 31, has_timestamps : 1; /* due time in units of 2 ms */
};
static_assert(sizeof(struct timewait_entry) == 64, "one cache line");

struct timewait {
        struct timewait_entry *entries;
        size_t bytes;
        uint32_t max, fresh, free, used;
        struct ilist wait; /* in order of due time */
};

int timewait_new(struct tcp *tcp, uint32_t max)
{
        struct timewait *wait = calloc(1, sizeof(*wait));

        if (!wait)
                return -ENOMEM;
        wait->bytes = (size_t)max * sizeof(struct timewait_entry);
        wait->entries = pages_take(wait->bytes);
        if (!wait->entries) {
                free(wait);
                return -ENOMEM;
        }
        wait->max = max;
        wait->free = ILIST_NONE;
        ilist_init(&wait->wait, &wait->entries[0].node, sizeof(struct timewait_entry));
        tcp->timewait = wait;
        return 0;
}

void timewait_free(struct tcp *tcp)
{
        if (!tcp->timewait)
                return;
        pages_give(tcp->timewait->entries, tcp->timewait->bytes);
        free(tcp->timewait);
        tcp->timewait = NULL;
}

uint32_t timewait_len(const struct tcp *tcp)
{
        return tcp->timewait->used;
}

const struct tcp_tuple *timewait_tuple(const struct tcp *tcp, uint32_t index)
{
        return &tcp->timewait->entries[index].tuple;
}

void timewait_prefetch(const struct tcp *tcp, uint32_t index)
{
        __builtin_prefetch(&tcp->timewait->entries[index]);
}

/* --- the list ------------------------------------------------------------------------------------------- */

static void remove_entry(struct tcp *tcp, uint32_t index)
{
        struct timewait *wait = tcp->timewait;
        struct timewait_entry *entry = &wait->entries[index];

        table_remove(&tcp->table, tcp_tuple_hash(tcp, &entry->tuple), tcp_value(TCP_KIND_TIMEWAIT, index));
        ilist_remove(&wait->wait, index);
        entry->node.next = wait->free;
        wait->free = index;
        wait->used--;
        counter_set(tcp->counters, COUNTER_tcp_timewait, wait->used);
}

static void start_wait(struct tcp *tcp, uint32_t index)
{
        tcp->timewait->entries[index].due_ms = (uint32_t)((tcp->now_ms + tcp->set.timewait_us / 1000 + 1) / 2) & INT32_MAX;
        ilist_push(&tcp->timewait->wait, index);
}

static uint64_t due_of(const struct tcp *tcp, const struct timewait_entry *entry)
{
        uint32_t ahead = (entry->due_ms - (uint32_t)(tcp->now_ms / 2)) & INT32_MAX;

        /* More than half of the range ahead is in the past. */
        return ahead > INT32_MAX / 2 ? tcp->now_ms : tcp->now_ms / 2 * 2 + 2ull * ahead;
}

uint64_t timewait_due_ms(const struct tcp *tcp)
{
        uint32_t head = tcp->timewait->wait.head;

        return head == ILIST_NONE ? UINT64_MAX : due_of(tcp, &tcp->timewait->entries[head]);
}

unsigned timewait_tick(struct tcp *tcp, unsigned max)
{
        unsigned done = 0;

        while (done < max && timewait_due_ms(tcp) <= tcp->now_ms) {
                remove_entry(tcp, tcp->timewait->wait.head);
                done++;
        }
        return done;
}

void timewait_enter(struct tcp *tcp, struct tcp_conn *conn)
{
        struct timewait *wait = tcp->timewait;
        struct timewait_entry *entry;
        uint32_t index;
        bool found;

        if (wait->free == ILIST_NONE && wait->fresh == wait->max) {
                tcp_count(tcp, COUNTER_tcp_timewait_evicted);
                remove_entry(tcp, wait->wait.head);
        }
        index = wait->free != ILIST_NONE ? wait->free : wait->fresh++;
        entry = &wait->entries[index];
        if (index == wait->free)
                wait->free = entry->node.next;
        entry->tuple = conn->tuple;
        entry->snd_nxt = conn->snd_max;
        entry->rcv_nxt = conn->rcv_nxt;
        entry->ts_recent = conn->ts_recent;
        entry->ts_offset = conn->ts_offset;
        entry->has_timestamps = !!(conn->flags & CONN_TIMESTAMPS);
        wait->used++;
        found = table_replace(&tcp->table, tcp_tuple_hash(tcp, &conn->tuple),
                              tcp_value(TCP_KIND_CONN, conn_index(tcp, conn)), tcp_value(TCP_KIND_TIMEWAIT, index));
        BUG_ON(!found);
        start_wait(tcp, index);
        counter_set(tcp->counters, COUNTER_tcp_timewait, wait->used);
}

/* --- segments ------------------------------------------------------------------------------------------- */

static void send_ack(struct tcp *tcp, const struct timewait_entry *entry, struct tcp_segment *segment)
{
        struct tcp_header header = {
                .seq = entry->snd_nxt,
                .ack = entry->rcv_nxt,
                .flags = TCP_FLAG_ACK,
                .has_timestamp = entry->has_timestamps,
                .ts_value = (uint32_t)tcp->now_ms + entry->ts_offset,
                .ts_echo = entry->ts_recent,
        };

        output_control(tcp, segment->packet, &entry->tuple, &header);
        segment->packet = NULL;
}

static bool is_new_connection(const struct timewait_entry *entry, const struct tcp_header *header)
{
        if (entry->has_timestamps && header->has_timestamp) {
                if (header->ts_value != entry->ts_recent)
                        return SEQ_AFTER(header->ts_value, entry->ts_recent);
        }
        return SEQ_AFTER(header->seq, entry->rcv_nxt);
}

bool timewait_input(struct tcp *tcp, uint32_t index, struct tcp_segment *segment, uint32_t *ret_iss_after)
{
        struct timewait_entry *entry = &tcp->timewait->entries[index];
        const struct tcp_header *header = &segment->header;
        bool says_something = segment->len > 0 || header->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN);

        if (header->flags & TCP_FLAG_RST) { /* RFC 1337: not to be ended from outside */
                packet_free(segment->packet);
                segment->packet = NULL;
                return false;
        }
        /* Where nobody listens (we were the client) a SYN begins nothing, and must not end the wait either. */
        if ((header->flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN && is_new_connection(entry, header) &&
            listen_is_there(tcp, &entry->tuple)) {
                *ret_iss_after = entry->snd_nxt;
                remove_entry(tcp, index);
                return true;
        }
        if (header->flags & TCP_FLAG_FIN && header->seq + segment->len + 1 == entry->rcv_nxt) {
                /* Our last ACK was lost: say it again, and wait anew. */
                ilist_remove(&tcp->timewait->wait, index);
                start_wait(tcp, index);
        } else if (says_something && !output_may_stray(tcp)) {
                says_something = false;
        }
        /* A bare ACK gets no answer: two ends would answer each other for ever. */
        if (says_something) {
                send_ack(tcp, entry, segment);
        } else {
                packet_free(segment->packet);
                segment->packet = NULL;
        }
        return false;
}

bool timewait_reuse(struct tcp *tcp, uint32_t index, uint32_t *ret_iss_after)
{
        struct timewait_entry *entry = &tcp->timewait->entries[index];

        if (!entry->has_timestamps)
                return false;
        *ret_iss_after = entry->snd_nxt;
        remove_entry(tcp, index);
        return true;
}
