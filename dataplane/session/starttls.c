/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From STARTTLS to the end of the handshake (RFC 3207). What the client sent behind the command is thrown away
 * before the first octet of TLS is looked at: there is no way from there into the encrypted session.
 *
 * A step of a handshake costs 0.1 to 0.2 ms, as much as hundreds of packets. Those that have something to do wait in two
 * queues, and a turn of the worker takes one step of one of them: a flood of handshakes makes handshakes slow, not the
 * rest. Those that have had their signature, or need none, stand apart: what they lack needs no slot, and the work that
 * was done for them would be lost behind a crowd that waits for one.
 *
 * A handshake that needs a signature leaves the queue until greyline-keys has answered, at most KEYS_WAIT_MS: then the
 * connection is dropped. Of those that wait there are KEYS_IN_FLIGHT; more begin when one has its answer.
 */
#include "dataplane/session/wire.h"

#include <string.h>

/* Of the client; a half-open handshake costs more than an idle session. */
#define HELLO_TIMEOUT_MS  20000u /* until it has said enough for our signature, or for all without one */
#define FINISH_TIMEOUT_MS 10000u /* from the signature to the end */

/* The certificates that this client may use now, NULL: none, or nobody would sign. */
static struct tls_set *set_of(const struct sessions *ss, const struct image_listener *listener)
{
        struct tls_set *set;

        if (listener == NULL || listener->tls == IMAGE_TLS_OFF || ss->tls == NULL ||
            !ss->has_keys_ring || !keys_is_up(ss->keys_beat_ms, ss->now_us / 1000))
                return NULL;
        set = ss->runtime->tls[listener - image_listener(ss->image, 0)];
        return set && tls_set_is_valid(set, ss->wall_sec) ? set : NULL;
}

uint32_t starttls_ext(const struct sessions *ss, const struct session *s, bool *ret_required, bool *ret_down)
{
        const struct image_listener *listener;
        bool is_there;

        *ret_required = *ret_down = false;
        if (ss->image->certificates.count == 0 || smtp_is_tls(&s->smtp))
                return SMTP_EXT_DEFAULT;
        listener = session_listener(ss, s);
        is_there = set_of(ss, listener) != NULL;
        *ret_required = listener && listener->tls == IMAGE_TLS_REQUIRED;
        *ret_down = !is_there && listener && listener->tls != IMAGE_TLS_OFF && listener->certificates.count != 0;
        return SMTP_EXT_DEFAULT | (is_there ? SMTP_EXT_STARTTLS : 0);
}

static void forget(struct sessions *ss, struct session *s)
{
        if (s->leg != NONE)
                leg_close(ss, s, false);
        s->transaction_dead = s->mark_header = false;
        texts_forget(ss, s);
}

bool starttls_begin(struct sessions *ss, struct session *s)
{
        struct tls_set *set = set_of(ss, session_listener(ss, s));
        struct tls_conn *conn = set ? tls_open(ss->tls, set) : NULL;

        if (conn == NULL) {
                count(ss, COUNTER_tls_unavailable);
                smtp_decide(&s->smtp, SMTP_REFUSE);
                say_reply(ss, s, SMTP_REPLY_TLS_UNAVAILABLE, RULE_tls_required, NULL, NULL);
                return false;
        }
        say_reply(ss, s, smtp_decide(&s->smtp, SMTP_ACCEPT), RULE_none, NULL, NULL);
        tcp_recv_consume(ss->tcp, s->client, tcp_recv_bytes(ss->tcp, s->client));
        forget(ss, s);
        s->tls = tls_conn_index(conn);
        ss->handshake[s->tls].session = index_of(ss, s);
        ilist_node_init(&ss->handshake[s->tls].node);
        counter_set(ss->counters, COUNTER_tls_open, tls_pool_used(ss->tls));
        if (s->closing) {
                session_end(ss, s, RULE_overload, true);
                return true;
        }
        session_phase(ss, s, PHASE_TLS, HELLO_TIMEOUT_MS);
        return true;
}

static struct ilist *queue_of(struct sessions *ss, const struct handshake *handshake)
{
        return handshake->is_signed ? &ss->finishing : &ss->beginning;
}

void starttls_input(struct sessions *ss, struct session *s)
{
        struct handshake *handshake = &ss->handshake[s->tls];

        if (ilist_node_is_on(&handshake->node))
                return;
        handshake->is_signed = tls_is_signed(tls_of(ss, s));
        ilist_push(queue_of(ss, handshake), s->tls);
}

void starttls_leave(struct sessions *ss, struct session *s)
{
        if (s->tls != NONE && ilist_node_is_on(&ss->handshake[s->tls].node))
                ilist_remove(queue_of(ss, &ss->handshake[s->tls]), s->tls);
}

/* Give the handshake what has come. A client has one signature of ours in all of it. */
static void step(struct sessions *ss, struct session *s)
{
        struct tls_conn *tls = tls_of(ss, s);
        bool was_waiting = tls_is_waiting(tls);

        while (tls_state(tls) == TLS_ST_HANDSHAKE && !tls_is_waiting(tls)) {
                uint32_t len;
                const uint8_t *bytes = tcp_recv_peek(ss->tcp, s->client, &len);
                size_t used = len == 0 ? 0 : tls_input(tls, bytes, len);

                tcp_recv_consume(ss->tcp, s->client, (uint32_t)used);
                if (used == 0)
                        break;
        }
        /* From the question on: what the client says meanwhile must not make it hold its slot longer. */
        if (!was_waiting && tls_is_waiting(tls))
                session_phase(ss, s, PHASE_TLS, KEYS_WAIT_MS);
        if (s->eof && tls_state(tls) == TLS_ST_HANDSHAKE)
                tls_input_end(tls);
        (void)wire_flush(ss, s);
}

static void count_failure(struct sessions *ss, const struct session *s)
{
        static const enum counter counters[TLS_FAULTS] = {
                [TLS_FAULT_NONE] = COUNTER_tls_truncated,
                [TLS_FAULT_PROTOCOL] = COUNTER_tls_fail_protocol,
                [TLS_FAULT_VERSION] = COUNTER_tls_fail_version,
                [TLS_FAULT_NO_SHARED] = COUNTER_tls_fail_no_shared,
                [TLS_FAULT_ALERT] = COUNTER_tls_fail_alert,
                [TLS_FAULT_LOCAL] = COUNTER_tls_fail_local,
                [TLS_FAULT_KEY] = COUNTER_tls_fail_key,
        };

        count(ss, counters[tls_fault(tls_of(ss, s))]);
}

/* What a step has come to. */
static void conclude(struct sessions *ss, struct session *s)
{
        if (s->closing) {
                session_end(ss, s, RULE_overload, true);
                return;
        }
        switch (tls_state(tls_of(ss, s))) {
        case TLS_ST_HANDSHAKE:
                return;
        case TLS_ST_OPEN:
        case TLS_ST_CLOSED:
                count(ss, COUNTER_tls_handshakes);
                if (tls_is_resumed(tls_of(ss, s)))
                        count(ss, COUNTER_tls_resumed);
                session_await_command(ss, s);
                command_run(ss, s);
                return;
        case TLS_ST_TRUNCATED:
        case TLS_ST_FAILED:
                count_failure(ss, s);
                session_end(ss, s, RULE_tls_handshake, false); /* an alert may be on its way */
                return;
        }
}

/*
 * Whose turn it is, by index of its TLS connection; ILIST_NONE: nobody can go on. The queues take turns, and while all
 * slots for signatures are taken it is always the second one's.
 */
static uint32_t next_due(const struct sessions *ss)
{
        uint32_t beginning = ss->beginning.head, finishing = ss->finishing.head;

        if (beginning == ILIST_NONE || tls_is_busy(ss->tls))
                return finishing;
        return finishing == ILIST_NONE || !ss->began ? beginning : finishing;
}

bool starttls_is_due(const struct sessions *ss)
{
        return next_due(ss) != ILIST_NONE;
}

void starttls_turn(struct sessions *ss)
{
        uint32_t index = next_due(ss);
        struct session *s;

        if (index == ILIST_NONE)
                return;
        s = &ss->session[ss->handshake[index].session];
        ss->began = !ss->handshake[index].is_signed;
        starttls_leave(ss, s);
        step(ss, s);
        conclude(ss, s);
}

void starttls_expired(struct sessions *ss, struct session *s)
{
        /* Nothing can be said that the client would read. */
        if (tls_is_waiting(tls_of(ss, s))) {
                count(ss, COUNTER_tls_sign_late);
                session_end(ss, s, RULE_tls_handshake, false);
        } else {
                count(ss, COUNTER_client_timeouts);
                session_end(ss, s, RULE_timeout, false);
        }
}

/* --- greyline-keys ---------------------------------------------------------------------------------------------- */

void sessions_signed(struct sessions *ss, const struct keys_answer *answer)
{
        struct tls_conn *conn = ss->tls ? tls_answer(ss->tls, answer) : NULL;
        struct session *s;

        if (conn == NULL) {
                count(ss, COUNTER_tls_sign_stray);
                return;
        }
        s = &ss->session[ss->handshake[tls_conn_index(conn)].session];
        /* Ours: no session gives up its TLS but by tls_close(). */
        BUG_ON(tls_of(ss, s) != conn || s->phase != PHASE_TLS);
        starttls_leave(ss, s); /* what the client has said meanwhile is taken here */
        session_phase(ss, s, PHASE_TLS, FINISH_TIMEOUT_MS);
        (void)tls_input(conn, NULL, 0);
        step(ss, s);
        conclude(ss, s);
}

bool sessions_ask_keys(struct sessions *ss)
{
        struct keys_request *slot, request;
        unsigned n = 0;

        if (ss->tls == NULL || !ss->has_keys_ring)
                return false;
        /* No room: greyline-keys is far behind; what waits here is asked when there is, or given up by its session. */
        while ((slot = ring_write_slot(&ss->keys_ring)) != NULL && tls_next_request(ss->tls, &request)) {
                request.asked_ms = (uint32_t)(ss->now_us / 1000);
                memcpy(slot, &request, sizeof(*slot));
                ring_write_commit(&ss->keys_ring);
                n++;
        }
        return n != 0 && ring_write_publish(&ss->keys_ring);
}

void sessions_stop(struct sessions *ss)
{
        if (ss->tls)
                tls_pool_stop(ss->tls);
}
