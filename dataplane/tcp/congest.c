/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/congest.h"

#include "dataplane/tcp/conn.h"

/* RFC 9438 4.6, 5.1: beta 0.7, C 0.4; 4.3: alpha = 3 (1 - beta) / (1 + beta) = 9 / 17. */
#define BETA(window) ((uint32_t)((uint64_t)(window) * 7 / 10))
#define CUBE_SPAN_MS 60000 /* farther from its middle the curve is cut off: 86,400 segments up or down */

static uint32_t initial_window(const struct tcp_conn *conn)
{
        uint32_t mss = conn->mss;

        return MIN(TCP_WINDOW_INITIAL_SEGMENTS * mss, MAX(2 * mss, TCP_WINDOW_INITIAL_BYTES));
}

void congest_start(struct tcp_conn *conn, bool syn_lost)
{
        conn->cwnd = syn_lost ? conn->mss : initial_window(conn);
        conn->ssthresh = TCP_WINDOW_LIMIT;
}

/* --- the curve ------------------------------------------------------------------------------------------ */

uint32_t congest_cube_root(uint64_t value)
{
        uint64_t root = 0;

        /* A binary digit at a time: (root + 1)^3 - root^3 = 3 root (root + 1) + 1 is what the next one takes. */
        for (int shift = 63; shift >= 0; shift -= 3) {
                uint64_t next;

                root *= 2;
                next = 3 * root * (root + 1) + 1;
                if (value >> shift >= next) {
                        value -= next << shift;
                        root++;
                }
        }
        return (uint32_t)root;
}

/* A stage of congestion avoidance begins: where the curve reaches w_max (RFC 9438 4.2, 4.8, 4.10). */
static void begin_stage(struct tcp_conn *conn, uint32_t now_ms)
{
        struct tcp_flight *flight = conn->flight;
        uint32_t k_ms;

        if (flight->w_max < conn->cwnd)
                flight->w_max = conn->cwnd;
        if (flight->w_prior == 0)
                flight->w_prior = conn->cwnd;
        /* K = cubic root of (W_max - cwnd) / C, in segments and seconds: (K ms)^3 = bytes * 10^9 / (0.4 mss). */
        k_ms = congest_cube_root((uint64_t)(flight->w_max - conn->cwnd) * 2500000000u / conn->mss);
        flight->w_est = conn->cwnd;
        flight->w_max_ms = now_ms + k_ms;
        flight->acked_ms = now_ms;
}

/* W_cubic, after_ms after now: C (t - K)^3 + W_max. */
static uint32_t curve(const struct tcp_conn *conn, uint32_t now_ms, uint32_t after_ms)
{
        int32_t t_ms = (int32_t)(now_ms + after_ms - conn->flight->w_max_ms);
        uint64_t span_ms = (uint64_t)MIN(t_ms < 0 ? -(int64_t)t_ms : t_ms, CUBE_SPAN_MS);
        uint64_t bytes = span_ms * span_ms * span_ms / 1000000 * conn->mss / 2500;

        if (t_ms >= 0)
                return (uint32_t)MIN(conn->flight->w_max + bytes, TCP_WINDOW_LIMIT);
        /* Cut off on the left it says nothing, and the window of Reno is what counts. */
        return bytes < conn->flight->w_max && span_ms < CUBE_SPAN_MS ? conn->flight->w_max - (uint32_t)bytes : 0;
}

/* part of the window, rounded: nothing is lost where single bytes matter. */
static uint32_t share(uint64_t bytes, uint32_t acked, uint64_t window)
{
        return (uint32_t)((bytes * acked + window / 2) / window);
}

static void avoid(struct tcp_conn *conn, uint32_t acked, uint32_t now_ms)
{
        struct tcp_flight *flight = conn->flight;
        uint32_t target;

        acked = MIN(acked, conn->cwnd);
        flight->w_est += flight->w_est < flight->w_prior ? share(9u * conn->mss, acked, 17ull * conn->cwnd)
                                                         : share(conn->mss, acked, conn->cwnd);
        flight->w_est = MIN(flight->w_est, TCP_WINDOW_LIMIT);
        if (curve(conn, now_ms, 0) < flight->w_est) { /* 4.3 */
                conn->cwnd = MAX(conn->cwnd, flight->w_est);
                return;
        }
        target = curve(conn, now_ms, conn->srtt_us / 1000);
        target = MIN(MAX(target, conn->cwnd), conn->cwnd + conn->cwnd / 2); /* 4.2 */
        conn->cwnd += share(target - conn->cwnd, acked, conn->cwnd);        /* 4.4, 4.5 */
}

void congest_acked(struct tcp_conn *conn, uint32_t acked, uint32_t flight, uint32_t now_ms)
{
        struct tcp_flight *state = conn->flight;

        if (conn->cwnd < conn->ssthresh) {
                /* In slow start the window doubles per round trip: half of it in use is full use. */
                if (flight < conn->cwnd / 2)
                        return;
                conn->cwnd += MIN(acked, 2u * conn->mss);
        } else {
                if (state->w_est == 0)
                        begin_stage(conn, now_ms);
                if (!(conn->flags & CONN_CWND_FULL) && flight + conn->mss < conn->cwnd) {
                        state->w_max_ms += now_ms - state->acked_ms;
                        state->acked_ms = now_ms;
                        return;
                }
                state->acked_ms = now_ms;
                avoid(conn, acked, now_ms);
        }
        conn->cwnd = MIN(conn->cwnd, TCP_WINDOW_LIMIT);
}

/* --- events --------------------------------------------------------------------------------------------- */

static void cut(struct tcp_conn *conn, uint32_t flight, uint32_t segments_min)
{
        struct tcp_flight *state = conn->flight;

        /* Fast convergence (4.7): a maximum lower than the last one leaves room for others. */
        state->w_max = conn->cwnd < state->w_max ? (uint32_t)((uint64_t)conn->cwnd * 17 / 20) : conn->cwnd;
        state->w_prior = conn->cwnd;
        state->w_est = 0;
        conn->ssthresh = MAX(BETA(flight), 2u * conn->mss);
        conn->cwnd = MAX(BETA(flight), segments_min * conn->mss);
}

void congest_loss(struct tcp_conn *conn, uint32_t flight)
{
        cut(conn, flight, 2);
}

void congest_marked(struct tcp_conn *conn, uint32_t flight)
{
        cut(conn, flight, 1);
}

void congest_timeout(struct tcp_conn *conn, uint32_t flight, bool again)
{
        if (!again) {
                conn->ssthresh = MAX(BETA(flight), 2u * conn->mss);
                conn->flight->w_prior = conn->cwnd;
        }
        conn->flight->w_max = 0; /* the next stage begins with K = 0 at what the window is then (4.8) */
        conn->flight->w_est = 0;
        conn->cwnd = conn->mss;
}

void congest_idle(struct tcp_conn *conn)
{
        conn->cwnd = MIN(conn->cwnd, initial_window(conn));
        conn->flight->w_est = 0;
}
