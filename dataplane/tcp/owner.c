/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of a connection does with it as a whole: open, give up, ask. And what the network says by ICMP. */
#include <errno.h>
#include <string.h>

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/listen.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/path_mtu.h"
#include "dataplane/tcp/recv.h"
#include "dataplane/tcp/rexmit.h"
#include "dataplane/tcp/send.h"
#include "dataplane/tcp/timewait.h"

/* RFC 6528: a clock of 4 microseconds, plus what only we can compute from the tuple. */
static uint32_t choose_isn(const struct tcp *tcp, const struct tcp_tuple *tuple)
{
        return (uint32_t)siphash(&tcp->isn_key, tuple, sizeof(*tuple)) + (uint32_t)(tcp->now_us / 4);
}

int tcp_connect(struct tcp *tcp, const struct addr *local, uint16_t local_port, const struct addr *remote,
                uint16_t remote_port, uint64_t owner, uint64_t now_us, struct tcp_handle *ret)
{
        struct tcp_tuple tuple;
        struct tcp_conn *conn;
        uint32_t index = 0, iss_after = 0;
        uint64_t hash;
        bool reused = false;

        tcp_clock_set(tcp, now_us);
        tuple = (struct tcp_tuple){ *remote, *local, remote_port, local_port };
        hash = tcp_tuple_hash(tcp, &tuple);
        switch (tcp_find(tcp, &tuple, hash, &index)) {
        case TCP_KIND_NONE:
                break;
        case TCP_KIND_TIMEWAIT:
                reused = timewait_reuse(tcp, index, &iss_after);
                if (reused)
                        break;
                return -EADDRINUSE;
        default:
                return -EADDRINUSE;
        }
        conn = conn_new(tcp, &tuple, hash);
        if (!conn) {
                tcp_count(tcp, COUNTER_tcp_connections_full);
                return -ENOSPC;
        }
        conn->iss = choose_isn(tcp, &tuple);
        if (reused && SEQ_BEFORE_EQ(conn->iss, iss_after))
                conn->iss = iss_after + 0x10000;
        conn->snd_una = conn->snd_nxt = conn->snd_max = conn->iss;
        conn->snd_end = conn->iss + 1;
        conn->ts_offset = tcp_timestamp_offset(tcp, &tuple);
        conn->owner = owner;
        flight_take(tcp, conn);
        conn->flags = CONN_ACTIVE | CONN_SYN_OUT | CONN_TIMESTAMPS | CONN_SACK | CONN_SCALE;
        conn->flags |= tcp->set.no_ecn ? 0 : CONN_ECN;
        conn_state_set(conn, TCP_ST_SYN_SENT);
        conn_output_want(tcp, conn);
        tcp_count(tcp, COUNTER_tcp_connects);
        *ret = (struct tcp_handle){ conn_index(tcp, conn), conn->generation };
        return 0;
}

void tcp_close(struct tcp *tcp, struct tcp_handle handle)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (!conn)
                return;
        if (conn->state == TCP_ST_CLOSED) { /* over, and the owner has been or is about to be told */
                conn_free(tcp, conn);
                return;
        }
        if (conn->state == TCP_ST_SYN_SENT) {
                conn->flags |= CONN_ORPHAN;
                conn_over(tcp, conn, TCP_EV_CLOSED);
                return;
        }
        tcp_shutdown(tcp, handle);
        conn->flags |= CONN_ORPHAN;
        conn->drained = 0;
        conn->flags &= ~CONN_WANT_ROOM;
        conn->events = 0;
        if (ilist_node_is_on(&conn->on_events))
                ilist_remove(&tcp->events, handle.index);
        recv_discard(tcp, conn);
        conn_timer_clear(conn, TIMER_LIFE);
        if (conn->state == TCP_ST_FIN_WAIT_2)
                conn_timer_set(tcp, conn, TIMER_LIFE, (uint32_t)(tcp->set.drain_us / 1000));
}

void tcp_abort(struct tcp *tcp, struct tcp_handle handle)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (!conn)
                return;
        if (conn->state == TCP_ST_CLOSED) {
                conn_free(tcp, conn);
                return;
        }
        if (conn_is_synchronized(conn))
                output_reset(tcp, conn);
        conn->flags |= CONN_ORPHAN;
        conn_over(tcp, conn, TCP_EV_RESET);
}

bool tcp_owner_set(struct tcp *tcp, struct tcp_handle handle, uint64_t owner)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (conn)
                conn->owner = owner;
        return conn != NULL;
}

bool tcp_info(const struct tcp *tcp, struct tcp_handle handle, struct tcp_info *ret)
{
        const struct tcp_conn *conn = conn_lookup(tcp, handle);
        uint32_t queued;

        if (!conn)
                return false;
        queued = send_queued(conn);
        *ret = (struct tcp_info){
                .local = conn->tuple.local,
                .remote = conn->tuple.remote,
                .local_port = conn->tuple.local_port,
                .remote_port = conn->tuple.remote_port,
                .state = conn->state,
                .from_cookie = conn->flags & CONN_COOKIE,
                .has_timestamps = conn->flags & CONN_TIMESTAMPS,
                .has_sack = conn->flags & CONN_SACK,
                .has_ecn = conn->flags & CONN_ECN,
                .send_scale = conn->snd_scale,
                .recv_scale = conn->flags & CONN_SCALE ? tcp->recv_scale : 0,
                .mss = conn->mss,
                .rtt_us = conn->srtt_us,
                .rto_us = rexmit_rto_ms(conn) * 1000,
                .cwnd = conn->cwnd,
                .ssthresh = conn->ssthresh,
                .recv_bytes = conn->flight->recv_bytes,
                .unsent_bytes = SEQ_BEFORE(conn->snd_max, conn->snd_end) ? MIN(queued, conn->snd_end - conn->snd_max) : 0,
                .bytes_in = (uint64_t)conn->wheel.user[0] << 32 | conn_in_low(conn),
                .bytes_acked = (uint64_t)conn->wheel.user[1] << 32 | conn_acked_low(conn),
        };
        ret->unacked_bytes = queued - ret->unsent_bytes;
        return true;
}

uint32_t tcp_send_unacked(const struct tcp *tcp, struct tcp_handle handle)
{
        const struct tcp_conn *conn = conn_lookup(tcp, handle);

        return conn ? send_queued(conn) : 0;
}

/* RFC 1191, 8201: smaller segments from now on, and what was too big again at once. */
static void too_big(struct tcp *tcp, struct tcp_conn *conn, uint16_t mtu)
{
        bool v4 = addr_is_v4(&conn->tuple.remote);

        if (mtu < (v4 ? TCP_PMTU_MIN_V4 : TCP_PMTU_MIN_V6) || conn->state < TCP_ST_ESTABLISHED ||
            !path_mtu_limit(tcp, conn, mtu))
                return;
        path_mtu_said(tcp, &conn->tuple.remote, mtu);
        rexmit_go_back(tcp, conn);
        conn_output_want(tcp, conn);
        tcp_count(tcp, COUNTER_tcp_mtu_shrunk);
}

void tcp_icmp_error(struct tcp *tcp, const struct tcp_icmp_quote *quote, uint64_t now_us)
{
        struct tcp_tuple tuple;
        struct tcp_conn *conn;
        uint32_t index = 0;

        tcp_clock_set(tcp, now_us);
        tuple = (struct tcp_tuple){ quote->remote, quote->local, quote->remote_port, quote->local_port };
        if (tcp_find(tcp, &tuple, tcp_tuple_hash(tcp, &tuple), &index) != TCP_KIND_CONN)
                return;
        conn = &tcp->conns[index];
        /* RFC 5927 4: whoever does not see our segments cannot quote one that is in flight. */
        if (SEQ_BEFORE(quote->seq, conn->snd_una) || SEQ_AFTER_EQ(quote->seq, conn->snd_max)) {
                tcp_count(tcp, COUNTER_tcp_icmp_ignored);
                return;
        }
        if (quote->kind == TCP_ICMP_TOO_BIG)
                too_big(tcp, conn, quote->mtu);
        else if (quote->kind == TCP_ICMP_PORT_UNREACHABLE && conn->state == TCP_ST_SYN_SENT)
                conn_over(tcp, conn, TCP_EV_REFUSED);
}
