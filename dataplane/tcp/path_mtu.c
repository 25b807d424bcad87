/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/path_mtu.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/tcp/conn.h"

struct path {
        struct addr remote;
        uint32_t said_sec; /* when the word was last heard */
        uint16_t mtu;      /* 0: a free place */
};

/* A connection that sends less than its peer takes. All wait equally long, so the ring is ordered by due_sec. */
struct small {
        uint32_t index, generation;
        uint32_t due_sec;
        uint16_t mss; /* what it had before, options deducted */
};

struct path_mtu {
        struct path paths[PATH_MTU_SETS][PATH_MTU_WAYS];
        struct small small[PATH_MTU_SMALL_MAX];
        uint32_t first, count; /* of small */
};

int path_mtu_new(struct tcp *tcp)
{
        tcp->path_mtu = calloc(1, sizeof(*tcp->path_mtu));
        return tcp->path_mtu ? 0 : -ENOMEM;
}

void path_mtu_free(struct tcp *tcp)
{
        free(tcp->path_mtu);
}

static uint32_t now_sec(const struct tcp *tcp)
{
        return (uint32_t)(tcp->now_ms / 1000);
}

static struct path *set_of(const struct tcp *tcp, const struct addr *remote)
{
        return tcp->path_mtu->paths[siphash(&tcp->table_key, remote, sizeof(*remote)) % PATH_MTU_SETS];
}

static bool is_good(const struct tcp *tcp, const struct path *path)
{
        return path->mtu != 0 && now_sec(tcp) - path->said_sec < PATH_MTU_AGE_SEC;
}

void path_mtu_said(struct tcp *tcp, const struct addr *remote, uint16_t mtu)
{
        struct path *set = set_of(tcp, remote), *place = &set[0];

        for (unsigned i = 0; i < PATH_MTU_WAYS; i++) {
                if (is_good(tcp, &set[i]) && addr_is_equal(&set[i].remote, remote)) {
                        set[i].mtu = MIN(set[i].mtu, mtu);
                        set[i].said_sec = now_sec(tcp);
                        return;
                }
                if (is_good(tcp, place) &&
                    (!is_good(tcp, &set[i]) || now_sec(tcp) - set[i].said_sec > now_sec(tcp) - place->said_sec))
                        place = &set[i];
        }
        *place = (struct path){ .remote = *remote, .said_sec = now_sec(tcp), .mtu = mtu };
}

uint16_t path_mtu_lookup(const struct tcp *tcp, const struct addr *remote)
{
        const struct path *set = set_of(tcp, remote);

        for (unsigned i = 0; i < PATH_MTU_WAYS; i++)
                if (is_good(tcp, &set[i]) && addr_is_equal(&set[i].remote, remote))
                        return set[i].mtu;
        return 0;
}

/* --- connections ---------------------------------------------------------------------------------------- */

static uint16_t mss_of(const struct tcp_conn *conn, uint16_t mtu)
{
        uint32_t overhead = addr_is_v4(&conn->tuple.remote) ? TCP_IPV4_OVERHEAD : TCP_IPV6_OVERHEAD;

        overhead += conn->flags & CONN_TIMESTAMPS ? TCP_TIMESTAMP_BYTES : 0;
        return (uint16_t)(mtu - overhead);
}

/* Another size from now on. Not even after a timeout is the window smaller than one segment (RFC 5681 3.1). */
static void set_mss(struct tcp_conn *conn, uint16_t mss)
{
        conn->mss = mss;
        conn->cwnd = MAX(conn->cwnd, (uint32_t)mss);
}

static void wait_to_grow(struct tcp *tcp, const struct tcp_conn *conn, uint16_t mss)
{
        struct path_mtu *all = tcp->path_mtu;

        all->small[(all->first + all->count) % PATH_MTU_SMALL_MAX] =
            (struct small){ .index = conn_index(tcp, conn),
                            .generation = conn->generation,
                            .due_sec = now_sec(tcp) + PATH_MTU_AGE_SEC,
                            .mss = mss };
        all->count++;
}

bool path_mtu_limit(struct tcp *tcp, struct tcp_conn *conn, uint16_t mtu)
{
        if (mtu == 0 || mss_of(conn, mtu) >= conn->mss)
                return false;
        if (!(conn->flags & CONN_SMALL) && tcp->path_mtu->count < PATH_MTU_SMALL_MAX) {
                wait_to_grow(tcp, conn, conn->mss);
                conn->flags |= CONN_SMALL;
        }
        set_mss(conn, mss_of(conn, mtu));
        return true;
}

void path_mtu_tick(struct tcp *tcp)
{
        struct path_mtu *all = tcp->path_mtu;

        for (unsigned i = 0; i < PATH_MTU_TICK_MAX && all->count > 0; i++) {
                struct small small = all->small[all->first];
                struct tcp_conn *conn = &tcp->conns[small.index];
                uint16_t mtu;

                if ((int32_t)(now_sec(tcp) - small.due_sec) < 0)
                        break;
                all->first = (all->first + 1) % PATH_MTU_SMALL_MAX;
                all->count--;
                if (conn->generation != small.generation || conn->state < TCP_ST_ESTABLISHED)
                        continue;
                mtu = path_mtu_lookup(tcp, &conn->tuple.remote);
                set_mss(conn, mtu ? MIN(small.mss, mss_of(conn, mtu)) : small.mss);
                if (conn->mss < small.mss) {
                        wait_to_grow(tcp, conn, small.mss); /* said again meanwhile */
                        continue;
                }
                conn->flags &= ~CONN_SMALL;
                tcp_count(tcp, COUNTER_tcp_mtu_grown);
        }
}
