/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health checks: a short SMTP dialogue with each server of the policy in force, by worker 0, as often as its
 * pool says. A server that answers is up; what it does to real clients counts as well (leg.c).
 */
#include "dataplane/session/internal.h"

#include <string.h>

#define NOT_UP_MS 1000u /* between checks of a server that is not up */

static void identity_of(struct sessions *ss, const struct probe *probe, struct dialogue_identity *ret)
{
        struct tcp_info info;

        *ret = (struct dialogue_identity){
                /* Without a client there is nobody to announce, but a PROXY listener wants its header. */
                .mode = probe->identity == IMAGE_IDENTITY_PROXY ? IMAGE_IDENTITY_PROXY : IMAGE_IDENTITY_NONE,
                .helo = image_string(ss->image, ss->image->node.hostname),
                .host = "",
                .hostname = image_string(ss->image, ss->image->node.hostname),
        };
        if (tcp_info(ss->tcp, probe->conn, &info)) {
                ret->client = info.local;
                ret->front = info.remote;
                ret->client_port = info.local_port;
                ret->front_port = info.remote_port;
        }
}

static void finish(struct sessions *ss, struct probe *probe, bool is_good, const char *why)
{
        struct backend *backend = &ss->backends->backend[probe->backend];
        bool changed;

        if (is_good) {
                size_t len;
                const char *bytes;

                dialogue_quit(&probe->dialogue);
                bytes = dialogue_out(&probe->dialogue, &len);
                if (!tcp_send_copy(ss->tcp, probe->conn, bytes, (uint32_t)len))
                        count(ss, COUNTER_replies_lost);
                tcp_close(ss->tcp, probe->conn);
                changed = backend_answered(backend, ss->wall_sec);
        } else {
                tcp_abort(ss->tcp, probe->conn);
                changed = backend_failed(backend, probe->fall, ss->wall_sec);
        }
        if (changed)
                record_backend(ss, backend, is_good, why);
        probe->is_used = false;
}

static void start(struct sessions *ss, uint16_t backend, const struct image_pool *pool)
{
        for (unsigned i = 0; i < PROBES_MAX; i++) {
                struct probe *probe = &ss->probe[i];

                if (probe->is_used)
                        continue;
                if (backend_connect(ss, backend, owner_cookie(OWNER_PROBE, i), &probe->conn) < 0)
                        return; /* no way there at present: the next turn tries again */
                probe->is_used = true;
                probe->backend = backend;
                probe->fall = pool->fall;
                probe->identity = pool->identity;
                probe->due_us = ss->now_us + (pool->connect_timeout_ms + (uint64_t)pool->reply_timeout_ms) * 1000;
                count(ss, COUNTER_backend_probes);
                return;
        }
}

static bool is_probed(const struct sessions *ss, uint16_t backend)
{
        for (unsigned i = 0; i < PROBES_MAX; i++) {
                if (ss->probe[i].is_used && ss->probe[i].backend == backend)
                        return true;
        }
        return false;
}

/* A server that is not up is asked every second: mail waits for it. */
static uint32_t interval_ms(const struct backend *backend, const struct image_pool *pool)
{
        bool is_up = atomic_load_explicit(&backend->state, memory_order_relaxed) == LINK_BACKEND_UP;

        return MAX(is_up ? pool->check_interval_ms : MIN(pool->check_interval_ms, NOT_UP_MS), 100u);
}

void probe_run(struct sessions *ss)
{
        for (unsigned i = 0; i < PROBES_MAX; i++) {
                if (ss->probe[i].is_used && ss->probe[i].due_us <= ss->now_us)
                        finish(ss, &ss->probe[i], false, "no answer to a health check");
        }
        for (uint32_t i = 0; i < ss->image->servers.count; i++) {
                const struct image_pool *pool = image_pool(ss->image, image_server(ss->image, i)->pool);
                uint16_t index = ss->runtime->server_map[i];
                struct backend *backend;

                if (index == BACKEND_NONE)
                        continue;
                backend = &ss->backends->backend[index];
                if (atomic_load_explicit(&backend->probe_due_us, memory_order_relaxed) > ss->now_us)
                        continue;
                atomic_store_explicit(&backend->probe_due_us, ss->now_us + interval_ms(backend, pool) * 1000ull,
                                      memory_order_relaxed);
                if (!is_probed(ss, index))
                        start(ss, index, pool);
        }
}

void probe_event(struct sessions *ss, struct probe *probe, const struct tcp_event *event)
{
        struct dialogue_identity identity;

        if (probe->conn.index != event->conn.index || probe->conn.generation != event->conn.generation)
                return;
        identity_of(ss, probe, &identity);
        if (event->bits & TCP_EV_CONNECTED)
                dialogue_open(&probe->dialogue, &identity);
        for (;;) {
                enum dialogue_step step;
                enum dialogue_event said;
                uint32_t len;
                size_t used, out;
                const uint8_t *bytes = tcp_recv_peek(ss->tcp, probe->conn, &len);
                const char *reply;

                if (len == 0)
                        break;
                said = dialogue_input(&probe->dialogue, &identity, bytes, len, &used, &step);
                tcp_recv_consume(ss->tcp, probe->conn, (uint32_t)used);
                reply = dialogue_out(&probe->dialogue, &out);
                if (said == DIALOGUE_EV_READY) {
                        finish(ss, probe, true, "answers a health check");
                        return;
                }
                if (said != DIALOGUE_EV_MORE) {
                        finish(ss, probe, false, "refuses a health check");
                        return;
                }
                if (out != 0 && !tcp_send_copy(ss->tcp, probe->conn, reply, (uint32_t)out))
                        count(ss, COUNTER_replies_lost);
        }
        if (event->bits & (TCP_EV_FINAL | TCP_EV_EOF))
                finish(ss, probe, false,
                       event->bits & TCP_EV_REFUSED ? "connection refused" : "connection lost in a health check");
}
