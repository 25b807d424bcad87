/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/congest.h"

#include "dataplane/tcp/conn.h"

static uint32_t initial_window(const struct tcp_conn *conn)
{
        uint32_t mss = conn->mss;

        return MIN(TCP_WINDOW_INITIAL_SEGMENTS * mss, MAX(2 * mss, TCP_WINDOW_INITIAL_BYTES));
}

static uint32_t half(const struct tcp_conn *conn, uint32_t flight)
{
        return MAX(flight / 2, 2u * conn->mss);
}

void congest_start(struct tcp_conn *conn, bool syn_lost)
{
        conn->cwnd = syn_lost ? conn->mss : initial_window(conn);
        conn->ssthresh = TCP_WINDOW_LIMIT;
}

void congest_acked(struct tcp_conn *conn, uint32_t acked, uint32_t flight)
{
        if (conn->cwnd < conn->ssthresh) {
                /* In slow start the window doubles per round trip: half of it in use is full use. */
                if (flight < conn->cwnd / 2)
                        return;
                conn->cwnd += MIN(acked, 2u * conn->mss);
        } else {
                if (flight + conn->mss < conn->cwnd)
                        return;
                conn->cwnd += MAX((uint32_t)((uint64_t)conn->mss * MIN(acked, 2u * conn->mss) / conn->cwnd), 1u);
        }
        conn->cwnd = MIN(conn->cwnd, TCP_WINDOW_LIMIT);
}

void congest_loss(struct tcp_conn *conn, uint32_t flight)
{
        conn->ssthresh = half(conn, flight);
        conn->cwnd = conn->ssthresh;
}

void congest_timeout(struct tcp_conn *conn, uint32_t flight, bool again)
{
        if (!again)
                conn->ssthresh = half(conn, flight);
        conn->cwnd = conn->mss;
}

void congest_idle(struct tcp_conn *conn)
{
        conn->cwnd = MIN(conn->cwnd, initial_window(conn));
}
