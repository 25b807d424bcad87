/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend connection of a session: which server, fail-over while no recipient was accepted, the dialogue's
 * events, its timeouts. A server that fails before it knows who the client is has failed us: the next one is
 * tried. Afterwards its refusal is the answer to the recipient.
 */
#include "dataplane/session/internal.h"

#include <errno.h>
#include <string.h>

#define LOCAL_PORT_FIRST 10240u
#define LOCAL_PORT_LAST  65535u
#define LOCAL_PORT_TRIES 64u
#define TRIES_MAX        64u

static struct backend *backend_of(struct sessions *ss, const struct leg *leg)
{
        return &ss->backends->backend[leg->backend];
}

static struct session *session_of(struct sessions *ss, const struct leg *leg)
{
        return &ss->session[leg->session];
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static bool is_on_link(const struct image_address *ours, const struct addr *remote)
{
        struct addr a = addr_mask(&ours->addr, ours->prefix_len), b = addr_mask(remote, ours->prefix_len);

        return addr_is_v4(&ours->addr) == addr_is_v4(remote) && addr_is_equal(&a, &b);
}

static bool is_routed(const struct image *image, const struct image_address *ours, const struct addr *remote)
{
        static const struct addr none;
        const struct image_port *port = image_port(image, ours->port);
        const struct addr *gateway = addr_is_v4(remote) ? &port->gateway_v4 : &port->gateway_v6;

        return addr_is_v4(&ours->addr) == addr_is_v4(remote) && !addr_is_equal(gateway, &none);
}

/*
 * Our address towards a server: one of the network that it is in, else one with a gateway. Where the operator
 * gives several, each worker has its own, as far as they last.
 */
static bool local_address(const struct sessions *ss, const struct addr *remote, struct addr *ret)
{
        for (int pass = 0; pass < 2; pass++) {
                unsigned found = 0, wanted = 0;

                for (int take = 0; take < 2; take++) {
                        unsigned at = 0;

                        for (uint32_t i = 0; i < ss->image->addresses.count; i++) {
                                const struct image_address *ours = image_address(ss->image, i);

                                if (pass == 0 ? !is_on_link(ours, remote) : !is_routed(ss->image, ours, remote))
                                        continue;
                                if (take && at == wanted) {
                                        *ret = ours->addr;
                                        return true;
                                }
                                at++;
                        }
                        found = at;
                        if (found == 0)
                                break;
                        wanted = ss->worker % found;
                }
        }
        return false;
}

int backend_connect(struct sessions *ss, uint16_t index, uint64_t owner, struct tcp_handle *ret)
{
        const struct backend *backend = &ss->backends->backend[index];
        struct addr local;
        int r = -EADDRNOTAVAIL;

        if (!local_address(ss, &backend->addr, &local))
                return r;
        for (unsigned i = 0; i < LOCAL_PORT_TRIES; i++) {
                uint16_t port = steer_local_port(ss->steer, ss->worker, &local, &backend->addr,
                                                 backend->tcp_port, LOCAL_PORT_FIRST, LOCAL_PORT_LAST,
                                                 ss->next_port);

                if (port == 0)
                        return -EADDRNOTAVAIL;
                ss->next_port = port == LOCAL_PORT_LAST ? LOCAL_PORT_FIRST : (uint16_t)(port + 1);
                r = tcp_connect(ss->tcp, &local, port, &backend->addr, backend->tcp_port, owner, ss->now_us, ret);
                if (r != -EADDRINUSE)
                        break;
        }
        if (r == 0)
                count(ss, COUNTER_backend_connects);
        return r;
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

static void identity_of(struct sessions *ss, const struct session *s, const struct leg *leg,
                        struct client_answers *answers, struct dialogue_identity *ret)
{
        const struct texts *texts = texts_of(ss, s);

        client_table_lookup(ss->clients, &s->peer, ss->wall_sec, answers);
        *ret = (struct dialogue_identity){
                .mode = (enum image_identity)leg->identity,
                .client = s->peer,
                .front = s->front,
                .client_port = s->peer_port,
                .front_port = s->front_port,
                .is_ehlo = texts->is_ehlo,
                .helo = texts_helo(texts),
                .host = answers->name,
                .hostname = session_hostname(ss, s),
        };
}

static void flush(struct sessions *ss, struct leg *leg)
{
        size_t len;
        const char *bytes = dialogue_out(&leg->dialogue, &len);

        /* No room can only mean that packets have run out: the reply timeout then ends the wait. */
        if (len != 0 && !tcp_send_copy(ss->tcp, leg->conn, bytes, (uint32_t)len))
                count(ss, COUNTER_replies_lost);
}

static struct leg *take_leg(struct sessions *ss, struct session *s, uint16_t pool_index)
{
        const struct image_pool *pool = image_pool(ss->image, pool_index);
        uint32_t index;
        struct leg *leg;

        index = indices_take(&ss->legs);
        if (index == INDEX_NONE)
                return NULL;
        leg = &ss->leg[index];
        UNPOISON(leg, sizeof(*leg));
        memset(leg, 0, offsetof(struct leg, recipient));
        leg->is_used = true;
        leg->session = index_of(ss, s);
        leg->backend = BACKEND_NONE;
        leg->pool = pool_index;
        leg->generation = ss->image->generation;
        leg->identity = pool->identity;
        leg->down_code = pool->down_code;
        leg->fall = pool->fall;
        leg->connect_timeout_ms = pool->connect_timeout_ms;
        leg->reply_timeout_ms = pool->reply_timeout_ms;
        leg->end_timeout_ms = pool->end_timeout_ms;
        s->leg = index;
        counter_set(ss->counters, COUNTER_legs_open, indices_used(&ss->legs));
        return leg;
}

static void give_leg(struct sessions *ss, struct leg *leg)
{
        struct session *s = session_of(ss, leg);

        if (leg->backend != BACKEND_NONE)
                backend_give(backend_of(ss, leg));
        s->leg = NONE;
        leg->is_used = false;
        leg->session = NONE;
        leg_poison(leg);
        indices_give(&ss->legs, (uint32_t)(leg - ss->leg));
        counter_set(ss->counters, COUNTER_legs_open, indices_used(&ss->legs));
}

/* Which place in its pool a server has: the bit of `tried`. */
static uint64_t place_bit(const struct sessions *ss, const struct leg *leg, uint16_t server)
{
        uint32_t place = server - image_pool(ss->image, leg->pool)->servers.first;

        return place < 64 ? 1ull << place : 0;
}

/* For balance hash: the same for all of a client's network, of either family. */
static uint64_t network_hash(const struct addr *peer)
{
        struct addr network = addr_network(peer, 24, 64);
        uint64_t halves[2];

        memcpy(halves, network.bytes, sizeof(halves));
        halves[0] = (halves[0] ^ halves[0] >> 29) * 0xbf58476d1ce4e5b9ull;
        return (halves[0] ^ halves[0] >> 32 ^ halves[1]) * 0x9e3779b97f4a7c15ull;
}

/* Begin a connection to the next server that was not tried. False: there is none. */
static bool try_next(struct sessions *ss, struct session *s, struct leg *leg)
{
        uint64_t hash = network_hash(&s->peer);

        if (leg->generation != ss->image->generation)
                return false; /* the pool is another now: the client comes again */
        while (leg->tries++ < TRIES_MAX) {
                uint16_t server = backends_choose(ss->backends, ss->image, ss->runtime->server_map, leg->pool,
                                                  hash, leg->tried);

                if (server == BACKEND_NONE)
                        return false;
                leg->tried |= place_bit(ss, leg, server);
                leg->backend = ss->runtime->server_map[server];
                leg->connected = leg->ready = false;
                if (backend_connect(ss, leg->backend, owner_cookie(OWNER_LEG, (uint32_t)(leg - ss->leg)),
                                    &leg->conn) == 0) {
                        backend_take(backend_of(ss, leg));
                        session_phase(ss, s, PHASE_BACKEND, leg->connect_timeout_ms);
                        return true;
                }
                leg->backend = BACKEND_NONE;
        }
        return false;
}

static enum smtp_reply none_left(struct sessions *ss, const struct leg *leg)
{
        count(ss, COUNTER_backend_none);
        return leg->down_code == 421 ? SMTP_REPLY_BACKEND_DOWN_CLOSE : SMTP_REPLY_BACKEND_DOWN;
}

/* The server is of no use for this recipient: take the next, or give up. */
static void next_server(struct sessions *ss, struct session *s, struct leg *leg, enum smtp_reply reply)
{
        tcp_abort(ss->tcp, leg->conn);
        backend_give(backend_of(ss, leg));
        leg->backend = BACKEND_NONE;
        if (try_next(ss, s, leg))
                return;
        if (reply == SMTP_REPLY_BACKEND_DOWN)
                reply = none_left(ss, leg);
        give_leg(ss, leg);
        command_backend_lost(ss, s, reply, RULE_backend_down);
}

/* A failure that is the server's: refused, silent, not SMTP, or it does not take our word for the client. */
static void server_failed(struct sessions *ss, struct session *s, struct leg *leg, const char *why)
{
        struct backend *backend = backend_of(ss, leg);

        count(ss, COUNTER_backend_failures);
        if (backend_failed(backend, leg->fall, ss->wall_sec))
                record_backend(ss, backend, false, why);
        next_server(ss, s, leg, SMTP_REPLY_BACKEND_DOWN);
}

/* Say the recipient, with MAIL before the first. */
static void say_recipient(struct sessions *ss, struct session *s, struct leg *leg)
{
        const struct texts *texts = texts_of(ss, s);
        const struct smtp_path *recipient = &decision_of(ss, s)->recipient;

        if (leg->in_transaction) {
                dialogue_rcpt(&leg->dialogue, recipient);
        } else {
                struct smtp_path sender;
                struct dialogue_mail mail = {
                        .sender = &sender,
                        .has_size = texts->has_size,
                        .has_body = texts->has_body,
                        .is_8bit = texts->is_8bit,
                        .size = texts->size,
                };

                texts_sender_path(texts, &sender);
                dialogue_mail(&leg->dialogue, &mail, recipient);
        }
        flush(ss, leg);
        session_phase(ss, s, PHASE_BACKEND, leg->reply_timeout_ms);
}

/* Can the connection that is there take this transaction? */
static bool is_of_use(const struct sessions *ss, const struct session *s, const struct leg *leg, uint16_t pool)
{
        const struct texts *texts = texts_of(ss, s);

        if (leg->pool != pool || leg->generation != ss->image->generation)
                return false;
        /* A parameter that came with this MAIL, not with the one that the server was chosen for. */
        return leg->in_transaction || dialogue_may_take(&leg->dialogue, texts->has_size, texts->has_body);
}

enum smtp_reply leg_recipient(struct sessions *ss, struct session *s, uint16_t pool)
{
        struct leg *leg = leg_of(ss, s);
        enum smtp_reply reply;

        if (leg && !is_of_use(ss, s, leg, pool)) {
                leg_close(ss, s, false); /* nobody is accepted on it yet: command.c has checked */
                leg = NULL;
        }
        if (leg) {
                say_recipient(ss, s, leg);
                return SMTP_REPLY_NONE;
        }
        leg = take_leg(ss, s, pool);
        if (leg == NULL) {
                count(ss, COUNTER_legs_refused);
                return SMTP_REPLY_BACKEND_DOWN;
        }
        if (try_next(ss, s, leg))
                return SMTP_REPLY_NONE;
        reply = none_left(ss, leg);
        give_leg(ss, leg);
        return reply;
}

void leg_data(struct sessions *ss, struct session *s)
{
        struct leg *leg = leg_of(ss, s);

        dialogue_data(&leg->dialogue);
        flush(ss, leg);
        session_phase(ss, s, PHASE_BACKEND, leg->reply_timeout_ms);
}

void leg_reset(struct sessions *ss, struct session *s)
{
        struct leg *leg = leg_of(ss, s);

        if (leg == NULL || !leg->in_transaction)
                return;
        leg->in_transaction = false;
        leg->recipients = leg->dues = 0;
        if (leg->dialogue.expects >= DIALOGUE_EXPECTS_MAX - 2) {
                leg_close(ss, s, false); /* it owes too many replies: a new connection is simpler */
                return;
        }
        dialogue_rset(&leg->dialogue);
        flush(ss, leg);
}

void leg_accepted(struct sessions *ss, struct session *s, const struct decision *decision)
{
        const struct image_policy *policy =
            image_policy(ss->image, MIN(decision->policy, ss->image->policies.count - 1));
        struct leg *leg = leg_of(ss, s);

        if (leg->recipients == 0)
                leg->bare_reject = leg->long_reject = false;
        leg->recipients++;
        leg->bare_reject |= policy->bare_newline == IMAGE_BARE_NEWLINE_REJECT;
        leg->long_reject |= policy->long_lines == IMAGE_LONG_LINES_REJECT;
        leg->policy = decision->policy;
        leg->score = decision->verdict.score;
        leg->recipient_len = decision->recipient.len;
        memcpy(leg->recipient, decision->recipient.text, decision->recipient.len);
        if (!decision->has_due)
                return;
        if (leg->dues == DUES_MAX) /* more than can be kept: count it now */
                grey_due_record(&decision->due, ss->grey, ss->image, ss->wall_sec);
        else
                leg->due[leg->dues++] = decision->due;
}

void leg_close(struct sessions *ss, struct session *s, bool at_once)
{
        struct leg *leg = leg_of(ss, s);

        if (!at_once && leg->ready) {
                dialogue_quit(&leg->dialogue);
                flush(ss, leg);
                tcp_close(ss->tcp, leg->conn);
        } else {
                tcp_abort(ss->tcp, leg->conn);
        }
        give_leg(ss, leg);
}

/* --- what comes from the backend ------------------------------------------------------------------------------------ */

/* The connection is gone or useless. Nothing of the message may count as accepted. */
static void leg_lost(struct sessions *ss, struct session *s, struct leg *leg, const char *why)
{
        bool has_recipients = leg->recipients > 0;

        if (!leg->ready) {
                server_failed(ss, s, leg, why);
                return;
        }
        count(ss, COUNTER_backend_lost);
        switch ((enum session_phase)s->phase) {
        case PHASE_BACKEND:
                leg_close(ss, s, true);
                s->transaction_dead = has_recipients;
                command_backend_lost(ss, s, SMTP_REPLY_BACKEND_LOST, RULE_backend_lost);
                break;
        case PHASE_DATA:
                stream_discard(ss, s, SMTP_REPLY_BACKEND_LOST, 0, RULE_backend_lost);
                break;
        case PHASE_END:
                stream_ended(ss, s, 0, why, strlen(why));
                break;
        default:
                /* Nobody waits for it. With recipients accepted on it the transaction cannot go on. */
                leg_close(ss, s, true);
                s->transaction_dead = has_recipients;
                break;
        }
}

static void opening_refused(struct sessions *ss, struct session *s, struct leg *leg)
{
        const struct smtp_answer *answer = &leg->dialogue.answer;
        char text[SMTP_ANSWER_TEXT_MAX + 1];
        uint16_t code = answer->code, len = answer->text_len;

        if (!dialogue_is_known(&leg->dialogue, (enum image_identity)leg->identity) || code < 400) {
                server_failed(ss, s, leg, answer->text);
                return;
        }
        memcpy(text, answer->text, len);
        leg_close(ss, s, true);
        command_backend_said(ss, s, code, text, len);
}

static void opening_done(struct sessions *ss, struct session *s, struct leg *leg)
{
        const struct texts *texts = texts_of(ss, s);
        struct backend *backend = backend_of(ss, leg);

        if (backend_answered(backend, ss->wall_sec))
                record_backend(ss, backend, true, "answers");
        if (!dialogue_may_take(&leg->dialogue, texts->has_size, texts->has_body)) {
                next_server(ss, s, leg, SMTP_REPLY_BACKEND_KEYWORD);
                return;
        }
        leg->ready = true;
        say_recipient(ss, s, leg);
}

static void mail_answered(struct sessions *ss, struct session *s, struct leg *leg)
{
        const struct smtp_answer *answer = &leg->dialogue.answer;
        bool is_pipelined = leg->dialogue.expects > 0;

        leg->in_transaction = answer->code == 250;
        if (leg->in_transaction) {
                if (!is_pipelined)
                        say_recipient(ss, s, leg);
                return;
        }
        leg->mail_code = answer->code < 400 ? 451 : answer->code; /* 251 would pass for an accepted recipient */
        leg->mail_len = answer->text_len;
        memcpy(leg->mail_text, answer->text, answer->text_len);
        if (is_pipelined)
                leg->mail_refused = true;
        else
                command_backend_said(ss, s, leg->mail_code, leg->mail_text, leg->mail_len);
}

static void step_answered(struct sessions *ss, struct session *s, struct leg *leg, enum dialogue_step step)
{
        const struct smtp_answer *answer = &leg->dialogue.answer;

        switch (step) {
        case DIALOGUE_STEP_MAIL:
                mail_answered(ss, s, leg);
                break;
        case DIALOGUE_STEP_RCPT:
                if (leg->mail_refused) {
                        leg->mail_refused = false;
                        command_backend_said(ss, s, leg->mail_code, leg->mail_text, leg->mail_len);
                } else {
                        command_backend_said(ss, s, answer->code, answer->text, answer->text_len);
                }
                break;
        case DIALOGUE_STEP_DATA:
                command_backend_said(ss, s, answer->code, answer->text, answer->text_len);
                break;
        case DIALOGUE_STEP_END:
                stream_ended(ss, s, answer->code, answer->text, answer->text_len);
                break;
        case DIALOGUE_STEP_RSET:
                if (answer->code != 250)
                        leg_lost(ss, s, leg, "RSET refused");
                break;
        case DIALOGUE_STEP_QUIT:
        case DIALOGUE_STEP_NONE:
                break;
        }
}

/* What came is no reply to anything. In the middle of a message it can be a refusal that did not wait. */
static void not_expected(struct sessions *ss, struct session *s, struct leg *leg)
{
        const struct smtp_answer *answer = &leg->dialogue.answer;

        if (s->phase == PHASE_DATA && answer->error == SMTP_ANSWER_OK && answer->code >= 400 &&
            answer->code != 421) {
                stream_discard(ss, s, SMTP_REPLY_NONE, answer->code, RULE_backend_refused);
                return;
        }
        count(ss, COUNTER_backend_garbage);
        leg_lost(ss, s, leg, "not SMTP");
}

/* Read replies until there are none. Any of them may close the leg, or give it to the next server. */
static void read_replies(struct sessions *ss, struct leg *leg)
{
        struct session *s = session_of(ss, leg);
        uint32_t owner = leg->session;
        struct tcp_handle conn = leg->conn;
        struct client_answers answers;
        struct dialogue_identity identity;

        identity_of(ss, s, leg, &answers, &identity);
        for (;;) {
                enum dialogue_step step;
                enum dialogue_event event;
                uint32_t len;
                size_t used;
                const uint8_t *bytes = tcp_recv_peek(ss->tcp, conn, &len);

                if (len == 0)
                        return;
                event = dialogue_input(&leg->dialogue, &identity, bytes, len, &used, &step);
                tcp_recv_consume(ss->tcp, conn, (uint32_t)used);
                flush(ss, leg);
                switch (event) {
                case DIALOGUE_EV_MORE:
                        if (!leg->ready)
                                session_phase(ss, s, PHASE_BACKEND, leg->reply_timeout_ms);
                        break;
                case DIALOGUE_EV_READY:
                        opening_done(ss, s, leg);
                        break;
                case DIALOGUE_EV_REPLY:
                        step_answered(ss, s, leg, step);
                        break;
                case DIALOGUE_EV_REFUSED:
                        opening_refused(ss, s, leg);
                        break;
                case DIALOGUE_EV_GARBAGE:
                        not_expected(ss, s, leg);
                        break;
                }
                if (leg->session != owner || leg->conn.index != conn.index ||
                    leg->conn.generation != conn.generation)
                        return;
        }
}

void leg_event(struct sessions *ss, struct leg *leg, const struct tcp_event *event)
{
        struct session *s = session_of(ss, leg);
        uint32_t owner = leg->session;

        if (leg->conn.index != event->conn.index || leg->conn.generation != event->conn.generation)
                return;
        if (event->bits & TCP_EV_CONNECTED && !leg->connected) {
                struct client_answers answers;
                struct dialogue_identity identity;

                leg->connected = true;
                identity_of(ss, s, leg, &answers, &identity);
                dialogue_open(&leg->dialogue, &identity);
                flush(ss, leg);
                session_phase(ss, s, PHASE_BACKEND, leg->reply_timeout_ms);
        }
        if (event->recv_bytes > 0 && leg->connected)
                read_replies(ss, leg);
        if (leg->session != owner || leg->conn.index != event->conn.index ||
            leg->conn.generation != event->conn.generation)
                return;
        if (event->bits & (TCP_EV_FINAL | TCP_EV_EOF)) {
                leg_lost(ss, s, leg,
                         event->bits & TCP_EV_REFUSED   ? "connection refused"
                         : event->bits & TCP_EV_TIMEOUT ? "timed out"
                                                        : "connection lost");
                return;
        }
        if (event->bits & TCP_EV_ROOM && s->phase == PHASE_DATA)
                stream_run(ss, s);
}

void leg_timeout(struct sessions *ss, struct session *s)
{
        struct leg *leg = leg_of(ss, s);

        leg_lost(ss, s, leg, leg->connected ? "no reply in time" : "no connection in time");
}
