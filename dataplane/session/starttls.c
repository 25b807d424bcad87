/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From STARTTLS to the end of the handshake (RFC 3207). What the client sent behind the command is thrown away
 * before the first octet of TLS is looked at: there is no way from there into the encrypted session.
 *
 * A handshake costs 0.2 to 0.5 ms, as much as hundreds of packets. Those that have something to do wait in a queue,
 * and a turn of the worker takes one step of one of them: a flood of handshakes makes handshakes slow, not the rest.
 */
#include "dataplane/session/wire.h"

#include <string.h>

#define HANDSHAKE_TIMEOUT_MS 30000u /* of the client; a half-open handshake costs more than an idle session */

/* The certificates that this client may use now, NULL: none. */
static struct tls_set *set_of(const struct sessions *ss, const struct image_listener *listener)
{
        struct tls_set *set;

        if (listener == NULL || listener->tls == IMAGE_TLS_OFF || ss->tls == NULL)
                return NULL;
        set = ss->runtime->tls[listener - image_listener(ss->image, 0)];
        return set && tls_set_is_valid(set, ss->wall_sec) ? set : NULL;
}

uint32_t starttls_ext(const struct sessions *ss, const struct session *s, bool *ret_required)
{
        const struct image_listener *listener;

        *ret_required = false;
        if (ss->image->certificates.count == 0 || smtp_is_tls(&s->smtp))
                return SMTP_EXT_DEFAULT;
        listener = session_listener(ss, s);
        *ret_required = listener && listener->tls == IMAGE_TLS_REQUIRED;
        return SMTP_EXT_DEFAULT | (set_of(ss, listener) ? SMTP_EXT_STARTTLS : 0);
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
        session_phase(ss, s, PHASE_TLS, HANDSHAKE_TIMEOUT_MS);
        return true;
}

void starttls_input(struct sessions *ss, struct session *s)
{
        if (!ilist_node_is_on(&ss->handshake[s->tls].node))
                ilist_push(&ss->handshakes, s->tls);
}

void starttls_leave(struct sessions *ss, struct session *s)
{
        if (s->tls != NONE && ilist_node_is_on(&ss->handshake[s->tls].node))
                ilist_remove(&ss->handshakes, s->tls);
}

/* Give the handshake what has come. A client has one signature of ours in all of it. */
static void step(struct sessions *ss, struct session *s)
{
        struct tls_conn *tls = tls_of(ss, s);

        while (tls_state(tls) == TLS_ST_HANDSHAKE) {
                uint32_t len;
                const uint8_t *bytes = tcp_recv_peek(ss->tcp, s->client, &len);
                size_t used = len == 0 ? 0 : tls_input(tls, bytes, len);

                tcp_recv_consume(ss->tcp, s->client, (uint32_t)used);
                if (used == 0)
                        break;
        }
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
        };

        count(ss, counters[tls_fault(tls_of(ss, s))]);
}

void starttls_turn(struct sessions *ss)
{
        struct session *s;

        if (ss->handshakes.head == ILIST_NONE)
                return;
        s = &ss->session[ss->handshake[ss->handshakes.head].session];
        ilist_remove(&ss->handshakes, ss->handshakes.head);
        step(ss, s);
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
