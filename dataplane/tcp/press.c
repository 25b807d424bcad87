/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/press.h"

#include "dataplane/tcp/limits.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/reorder.h"
#include "dataplane/tcp/send.h"

/* How long a connection may go without progress while packets are short, in milliseconds. */
static uint32_t patience_ms(const struct tcp_conn *conn, enum press level)
{
        enum { UNOWNED, CLIENT, OURS };
        /* A peer that lost two packets in a row has been silent for 3 s (RFC 6298); a backend may be at its disks. */
        static const uint32_t patience[PRESS_COUNT][3] = {
                [PRESS_TAKE] = { [UNOWNED] = 5000, [CLIENT] = 20000, [OURS] = 60000 },
                [PRESS_HARD] = { [UNOWNED] = 1000, [CLIENT] = 5000, [OURS] = 20000 },
        };

        if (conn->flags & CONN_ORPHAN)
                return patience[level][UNOWNED];
        return patience[level][conn->flags & CONN_ACTIVE ? OURS : CLIENT];
}

static void take_from(struct tcp *tcp, struct tcp_conn *conn, enum press level)
{
        if (!(conn->generation & 1) || conn->flight == &flight_none || conn->state == TCP_ST_CLOSED)
                return;
        reorder_forget(tcp, conn);
        if (conn->flight->send.head &&
            (uint32_t)tcp->now_ms - conn->flight->progress_ms >= patience_ms(conn, level)) {
                tcp_count(tcp, COUNTER_tcp_victims);
                if (conn_is_synchronized(conn))
                        output_reset(tcp, conn);
                conn_over(tcp, conn, TCP_EV_TIMEOUT);
                return;
        }
        flight_rest(tcp, conn);
}

void press_tick(struct tcp *tcp)
{
        enum press level = press_level(tcp);

        if (level < PRESS_TAKE || tcp->now_ms < tcp->press_due_ms)
                return;
        tcp->press_due_ms = tcp->now_ms + 1;
        for (unsigned left = MIN(TCP_PRESS_STEP, tcp->conns_fresh); left > 0 && level >= PRESS_TAKE; left--) {
                if (tcp->press_hand >= tcp->conns_fresh)
                        tcp->press_hand = 0;
                take_from(tcp, &tcp->conns[tcp->press_hand++], level);
                level = press_level(tcp);
        }
}

uint64_t press_due_ms(const struct tcp *tcp)
{
        return press_level(tcp) >= PRESS_TAKE ? tcp->press_due_ms : UINT64_MAX;
}
