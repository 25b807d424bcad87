/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/flight.h"

#include <errno.h>
#include <string.h>

#include "dataplane/shared/pages.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/loss.h"
#include "dataplane/tcp/send.h"

const struct tcp_flight flight_none = { .board = BOARD_NONE };

int flight_pool_new(struct tcp *tcp, uint32_t max)
{
        tcp->flights_max = max;
        tcp->flights = pages_take((size_t)max * sizeof(struct tcp_flight));
        return tcp->flights ? 0 : -ENOMEM;
}

void flight_pool_free(struct tcp *tcp)
{
        pages_give(tcp->flights, (size_t)tcp->flights_max * sizeof(struct tcp_flight));
        tcp->flights = NULL;
}

struct tcp_flight *flight_take(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_flight *flight;

        if (conn->flight != &flight_none)
                return conn->flight;
        if (tcp->flights_free) {
                flight = tcp->flights_free;
                tcp->flights_free = flight->next_free;
        } else {
                BUG_ON(tcp->flights_fresh == tcp->flights_max);
                flight = &tcp->flights[tcp->flights_fresh++];
        }
        memset(flight, 0, sizeof(*flight));
        flight->board = BOARD_NONE;
        flight->progress_ms = (uint32_t)tcp->now_ms;
        /* All that was sent is acknowledged: any duplicate is news (RFC 6582 3.2 (2)). */
        flight->recover = conn->snd_una - 1;
        conn->flight = flight;
        tcp->flights_used++;
        return flight;
}

static bool is_needed(const struct tcp_conn *conn)
{
        const struct tcp_flight *flight = conn->flight;

        if (flight->recv.head)
                return true;
        if (conn->state == TCP_ST_CLOSED) /* send and reorder have been flushed */
                return false;
        return flight->reorder.head || conn->snd_una != send_end(conn) || conn->flags & (CONN_FIN_HELD | CONN_DSACK);
}

void flight_rest(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_flight *flight = conn->flight;

        if (flight == &flight_none || is_needed(conn))
                return;
        loss_forget(tcp, conn);
        conn_timer_clear(conn, TIMER_REXMIT);
        conn->flags &= ~CONN_FLIGHT_FLAGS;
        conn->flight = (struct tcp_flight *)(uintptr_t)&flight_none;
        flight->next_free = tcp->flights_free;
        tcp->flights_free = flight;
        tcp->flights_used--;
}
