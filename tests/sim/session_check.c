/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "dataplane/session/internal.h"
#include "dataplane/tcp/conn.h"
#include "tests/sim/check.h"

/* Does a connection of the endpoint belong to this owner, and know it? */
static bool owns(const struct sessions *ss, struct tcp_handle handle, enum owner_kind kind, uint32_t index)
{
        const struct tcp_conn *conn = conn_lookup(ss->tcp, handle);

        return conn && conn->owner == owner_cookie(kind, index);
}

static bool needs_leg(const struct session *s)
{
        return s->phase == PHASE_BACKEND || s->phase == PHASE_DATA || s->phase == PHASE_DISCARD ||
               s->phase == PHASE_END;
}

static const char *check_session(const struct sessions *ss, uint32_t index, uint32_t *owned)
{
        const struct session *s = &ss->session[index];

        if (!wheel_node_is_armed(&s->timer))
                return "a session has no timer";
        if ((int32_t)(s->due_ms + 3 - (uint32_t)(ss->now_us / 1000)) < 0)
                return "a session's deadline has passed";
        if ((int32_t)(s->due_ms - s->timer.due_ms) < 0)
                return "a session's timer comes after its deadline";
        if (s->phase == PHASE_GREY)
                return "a recipient was left over by the greylist's pass";
        if (!s->client_gone) {
                if (!owns(ss, s->client, OWNER_CLIENT, index))
                        return "a session's client is not its own";
                (*owned)++;
        } else if (s->phase != PHASE_END) {
                return "a session without a client waits for nothing";
        }
        if (needs_leg(s) && s->leg == NONE)
                return "a session waits for a backend that it does not have";
        if (s->leg != NONE &&
            (s->leg >= ss->legs.fresh || !ss->leg[s->leg].is_used || ss->leg[s->leg].session != index))
                return "a session's backend connection is not its own";
        if ((s->decision != NONE) != (s->phase == PHASE_ANSWERS || (s->phase == PHASE_BACKEND &&
                                                                   smtp_pending(&s->smtp) == SMTP_ACT_RCPT)))
                return "a recipient is remembered that is not being decided, or the other way round";
        if (s->limits_slot != LIMITS_NO_SLOT) {
                const struct image_limits *limits = &ss->image->limits;
                struct addr network = addr_network(&s->peer, limits->v4_prefix, limits->v6_prefix);

                if (limits_count(ss->limits, &network) == 0)
                        return "a session is not counted for its network";
        }
        return NULL;
}

static const char *check_free(const struct sessions *ss)
{
        uint32_t used = 0, deciding = 0;

        for (uint32_t i = 0; i < ss->opens.fresh; i++) {
                used += ss->session[i].phase != PHASE_FREE;
                deciding += ss->session[i].phase != PHASE_FREE && ss->session[i].decision != NONE;
        }
        if (used != indices_used(&ss->opens))
                return "a session is neither free nor open";
        if (deciding != indices_used(&ss->decisions))
                return "a decision is nobody's";
        for (uint32_t i = 0; i < ss->opens.given; i++) {
                if (ss->session[ss->opens.stack[i]].phase != PHASE_FREE)
                        return "an open session is among the free ones";
                for (uint32_t j = 0; j < i; j++)
                        if (ss->opens.stack[i] == ss->opens.stack[j])
                                return "a session is free twice";
        }
        for (uint32_t i = 0; i < ss->legs.given; i++)
                if (ss->leg[ss->legs.stack[i]].is_used)
                        return "a used backend connection is among the free ones";
        return NULL;
}

static const char *check_legs(const struct sessions *ss, uint32_t *owned)
{
        uint32_t used = 0, of_backend[LINK_BACKENDS_MAX] = { 0 };

        for (uint32_t i = 0; i < ss->legs.fresh; i++) {
                const struct leg *leg = &ss->leg[i];

                if (!leg->is_used)
                        continue;
                used++;
                if (leg->session >= ss->opens.fresh || ss->session[leg->session].leg != i)
                        return "a backend connection is not its session's";
                if (leg->backend != BACKEND_NONE)
                        of_backend[leg->backend]++;
                if (leg->conn.generation == 0) {
                        if (ss->session[leg->session].phase != PHASE_DISCARD)
                                return "a backend connection is gone, and its session does not know";
                        continue;
                }
                if (!owns(ss, leg->conn, OWNER_LEG, i))
                        return "a backend connection is not its own";
                (*owned)++;
        }
        if (used != indices_used(&ss->legs))
                return "backend connections are miscounted";
        for (uint32_t i = 0; i < ss->image->servers.count; i++) {
                uint16_t backend = ss->runtime->server_map[i];

                if (backend != BACKEND_NONE &&
                    atomic_load(&ss->backends->backend[backend].sessions) != of_backend[backend])
                        return "a backend's sessions are miscounted";
        }
        return NULL;
}

/* Every connection that somebody owns is owned by one of ours. */
static const char *check_owned(const struct sessions *ss, uint32_t owned)
{
        uint32_t found = 0;

        for (unsigned i = 0; i < PROBES_MAX; i++) {
                if (!ss->probe[i].is_used)
                        continue;
                if (!owns(ss, ss->probe[i].conn, OWNER_PROBE, i))
                        return "a health check's connection is not its own";
                owned++;
        }
        for (uint32_t i = 0; i < ss->tcp->conns_fresh; i++)
                found += ss->tcp->conns[i].generation & 1 && !(ss->tcp->conns[i].flags & CONN_ORPHAN);
        return found == owned ? NULL : "a connection is owned by nobody who knows it";
}

const char *sim_check_sessions(const struct sessions *ss)
{
        uint32_t owned = 0, armed = 0, open = indices_used(&ss->opens);
        const char *wrong;

        for (uint32_t i = 0; i < ss->opens.fresh; i++) {
                armed += wheel_node_is_armed(&ss->session[i].timer);
                wrong = ss->session[i].phase == PHASE_FREE ? NULL : check_session(ss, i, &owned);
                if (wrong)
                        return wrong;
        }
        if (ss->counters[COUNTER_sessions_opened] != ss->counters[COUNTER_sessions_closed] + open ||
            ss->counters[COUNTER_sessions_open] != open ||
            ss->counters[COUNTER_legs_open] != indices_used(&ss->legs))
                return "opened is not closed and open";
        if (open == 0 && slab_used_bytes(ss->kept) != 0)
                return "texts are left over";
        wrong = check_free(ss);
        if (!wrong)
                wrong = check_legs(ss, &owned);
        if (!wrong)
                wrong = check_owned(ss, owned);
        return wrong ? wrong : sim_check_wheel(&ss->wheel, armed);
}
