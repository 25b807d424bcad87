/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of sessions: opened by a client's handshake, moved on by events, answers and timers, ended in one
 * place. internal.h says which file does what.
 */
#include "dataplane/session/wire.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/pages.h"

#define TICK_MAX       256u /* timers run in one turn */
#define KEPT_BYTES     192u /* of texts, for each session: two that are as long as usual */
#define DECISION_SHARE 4u   /* decisions for each so many sessions, beside one for each backend connection */
#define ASK_SHARE      4u   /* one in so many can wait for answers */
#define ASKS_MIN       64u

static const struct siphash_key *derive_key(uint64_t random, struct siphash_key *key)
{
        key->word[0] = random;
        key->word[1] = random * 0x9e3779b97f4a7c15ull + 1;
        return key;
}

static bool allocate(struct sessions *ss, const struct sessions_settings *settings)
{
        struct siphash_key key;

        if (!indices_init(&ss->opens, settings->sessions_max) || !indices_init(&ss->legs, settings->legs_max) ||
            !indices_init(&ss->decisions, settings->legs_max + settings->sessions_max / DECISION_SHARE))
                return false;
        ss->session = pages_take(ss->opens.max * sizeof(*ss->session));
        ss->leg = pages_take(ss->legs.max * sizeof(*ss->leg));
        ss->decision = pages_take(ss->decisions.max * sizeof(*ss->decision));
        ss->kept = slab_new((size_t)ss->opens.max * KEPT_BYTES);
        ss->asks = asks_new(ss->opens.max / ASK_SHARE + ASKS_MIN, derive_key(settings->random, &key));
        if (!ss->session || !ss->leg || !ss->decision || !ss->kept || !ss->asks)
                return false;
        POISON(ss->decision, ss->decisions.max * sizeof(*ss->decision));
        if (settings->tls_max == 0)
                return true;
        ss->tls = tls_pool_new(settings->tls_max, settings->secret);
        ss->tls_max = settings->tls_max;
        ss->handshake = pages_take(settings->tls_max * sizeof(*ss->handshake));
        return ss->tls && ss->handshake;
}

/* The longest pass window of all policies: what the token buckets refill against. */
static uint32_t window_max(const struct image *image)
{
        uint32_t window_sec = 1;

        for (uint32_t i = 0; i < image->policies.count; i++)
                window_sec = MAX(window_sec, image_policy(image, i)->greylist.window_sec);
        return window_sec;
}

struct sessions *sessions_new(const struct sessions_settings *settings, const struct runtime *runtime)
{
        struct sessions *ss = calloc(1, sizeof(*ss));

        if (ss == NULL)
                return NULL;
        ss->worker = settings->worker;
        ss->workers = settings->workers;
        ss->tcp = settings->tcp;
        ss->steer = settings->steer;
        ss->grey = settings->grey;
        ss->clients = settings->clients;
        ss->limits = settings->limits;
        ss->backends = settings->backends;
        ss->counters = settings->counters;
        ss->node_id = settings->node_id;
        ss->now_us = settings->now_us;
        ss->wall_us = settings->wall_us;
        ss->wall_sec = (uint32_t)(settings->wall_us / 1000000);
        ss->runtime = runtime;
        ss->image = runtime->image;
        ss->sequence = (uint32_t)settings->random;
        ss->next_port = (uint16_t)(settings->random >> 32);
        if (!allocate(ss, settings) ||
            ring_attach_writer(&ss->ask_ring, settings->ask_ring, LINK_ASK_SLOTS, sizeof(struct msg_ask)) < 0 ||
            ring_attach_writer(&ss->log_ring, settings->log_ring, LINK_LOG_SLOTS, sizeof(struct msg_log)) < 0) {
                sessions_free(ss);
                return NULL;
        }
        ss->keys_beat_ms = settings->keys_beat_ms;
        ss->has_keys_ring = settings->keys_ring &&
                            ring_attach_writer(&ss->keys_ring, settings->keys_ring, KEYS_SLOTS,
                                               sizeof(struct keys_request)) == 0;
        ilist_init(&ss->beginning, ss->handshake, sizeof(*ss->handshake));
        ilist_init(&ss->finishing, ss->handshake, sizeof(*ss->handshake));
        wheel_init(&ss->wheel, &ss->session[0].timer, sizeof(struct session), ss->now_us / 1000);
        grey_tokens_init(&ss->tokens, grey_table_entries(ss->grey), window_max(ss->image), ss->workers,
                         ss->wall_sec);
        return ss;
}

void sessions_free(struct sessions *ss)
{
        if (ss == NULL)
                return;
        for (uint32_t i = 0; ss->session && i < ss->opens.fresh; i++) {
                if (ss->session[i].phase != PHASE_FREE)
                        tls_close(tls_of(ss, &ss->session[i]));
        }
        tls_pool_free(ss->tls);
        asks_free(ss->asks);
        slab_free(ss->kept);
        if (ss->decision)
                UNPOISON(ss->decision, ss->decisions.max * sizeof(*ss->decision));
        if (ss->leg)
                UNPOISON(ss->leg, ss->legs.max * sizeof(*ss->leg));
        pages_give(ss->session, ss->opens.max * sizeof(*ss->session));
        pages_give(ss->leg, ss->legs.max * sizeof(*ss->leg));
        pages_give(ss->decision, ss->decisions.max * sizeof(*ss->decision));
        pages_give(ss->handshake, ss->tls_max * sizeof(*ss->handshake));
        indices_done(&ss->opens);
        indices_done(&ss->legs);
        indices_done(&ss->decisions);
        free(ss);
}

/* --- what is in force ----------------------------------------------------------------------------------------- */

static bool is_listening(const struct sessions *ss, const struct addr *addr, uint16_t port)
{
        for (unsigned i = 0; i < ss->n_listening; i++) {
                if (ss->listening_port[i] == port && addr_is_equal(&ss->listening[i], addr))
                        return true;
        }
        return false;
}

static void listen_at(struct sessions *ss, const struct addr *addr, uint16_t port)
{
        if (ss->n_listening == IMAGE_ADDRESSES_MAX || tcp_listen(ss->tcp, addr, port, 0) < 0) {
                count(ss, COUNTER_listen_failed);
                return;
        }
        ss->listening[ss->n_listening] = *addr;
        ss->listening_port[ss->n_listening++] = port;
}

/* Take clients at the addresses of the new image and nowhere else; sessions that are open go on. */
static void follow_listeners(struct sessions *ss)
{
        /* First those that are left: the endpoint takes only so many. */
        for (unsigned i = ss->n_listening; i-- > 0;) {
                if (image_lookup_listener(ss->image, &ss->listening[i], ss->listening_port[i]))
                        continue;
                tcp_unlisten(ss->tcp, &ss->listening[i], ss->listening_port[i]);
                ss->n_listening--;
                ss->listening[i] = ss->listening[ss->n_listening];
                ss->listening_port[i] = ss->listening_port[ss->n_listening];
        }
        for (uint32_t l = 0; l < ss->image->listeners.count; l++) {
                const struct image_listener *listener = image_listener(ss->image, l);

                for (uint32_t f = 0; f < listener->fronts.count; f++) {
                        const struct addr *addr = &image_front(ss->image, listener->fronts.first + f)->addr;

                        if (!is_listening(ss, addr, listener->tcp_port))
                                listen_at(ss, addr, listener->tcp_port);
                }
        }
        ss->generation = ss->image->generation;
}

void sessions_begin(struct sessions *ss, const struct runtime *runtime, bool draining, uint64_t now_us,
                    uint64_t wall_us)
{
        ss->runtime = runtime;
        ss->image = runtime->image;
        ss->draining = draining;
        ss->now_us = now_us;
        ss->wall_us = wall_us;
        ss->wall_sec = (uint32_t)(wall_us / 1000000);
        if (ss->tls)
                tls_pool_time(ss->tls, ss->wall_sec);
        if (ss->generation != ss->image->generation)
                follow_listeners(ss);
}

const struct image_listener *session_listener(const struct sessions *ss, const struct session *s)
{
        return image_lookup_listener(ss->image, &s->front, s->front_port);
}

uint16_t session_policy(const struct sessions *ss, const struct session *s)
{
        const struct image_listener *listener = session_listener(ss, s);

        return listener ? listener->policy : 0;
}

const char *session_hostname(const struct sessions *ss, const struct session *s)
{
        const struct image_listener *listener = session_listener(ss, s);

        return image_string(ss->image, listener ? listener->hostname : ss->image->node.hostname);
}

struct client_facts session_facts(struct sessions *ss, struct session *s, struct client_answers *answers)
{
        client_table_lookup_near(ss->clients, &s->peer, ss->wall_sec, &s->client_line, answers);
        return (struct client_facts){
                .class = (enum image_class)s->class,
                .is_v4 = addr_is_v4(&s->peer),
                .at_deadline = s->at_deadline || s->answered,
                .failed = s->failed,
                .answers = answers,
        };
}

/* --- phases and timers ----------------------------------------------------------------------------------------- */

void session_phase(struct sessions *ss, struct session *s, enum session_phase phase, uint64_t timeout_ms)
{
        uint64_t due_ms = (ss->now_us + timeout_ms * 1000 + 999) / 1000;

        if (s->phase == PHASE_HELD && phase != PHASE_HELD)
                ss->held--;
        if (s->phase != PHASE_HELD && phase == PHASE_HELD)
                ss->held++;
        s->phase = (uint8_t)phase;
        s->due_ms = (uint32_t)due_ms;
        /* Later than the armed time: left for the early expiry to find. Sooner: moved. */
        if (wheel_node_is_armed(&s->timer)) {
                if ((int32_t)(s->due_ms - s->timer.due_ms) >= 0)
                        return;
                wheel_remove(&ss->wheel, index_of(ss, s));
        }
        wheel_add(&ss->wheel, index_of(ss, s), due_ms);
}

void session_await_command(struct sessions *ss, struct session *s)
{
        session_phase(ss, s, PHASE_COMMAND, ss->image->limits.command_timeout_ms);
}

static void client_timed_out(struct sessions *ss, struct session *s)
{
        say_reply(ss, s, SMTP_REPLY_TIMEOUT, RULE_timeout, NULL, NULL);
        count(ss, COUNTER_client_timeouts);
        session_end(ss, s, RULE_timeout, false);
}

static void session_expired(struct sessions *ss, struct session *s)
{
        switch ((enum session_phase)s->phase) {
        case PHASE_GREET:
                greet_continue(ss, s);
                break;
        case PHASE_ANSWERS:
                s->at_deadline = true;
                asks_leave(ss->asks, s->ask, index_of(ss, s));
                count(ss, COUNTER_answers_late);
                command_judge_recipient(ss, s);
                break;
        case PHASE_BACKEND:
        case PHASE_END:
                leg_timeout(ss, s);
                break;
        case PHASE_DATA:
                if (ss->leg[s->leg].stalled_us != 0) {
                        leg_timeout(ss, s); /* it is the backend that takes no more */
                        break;
                }
                client_timed_out(ss, s);
                break;
        case PHASE_COMMAND:
        case PHASE_DISCARD:
        case PHASE_HELD:
                client_timed_out(ss, s);
                break;
        case PHASE_TLS:
                starttls_expired(ss, s);
                break;
        case PHASE_FREE:
        case PHASE_GREY:
        case PHASES:
                break;
        }
}

void sessions_tick(struct sessions *ss)
{
        uint64_t now_ms = ss->now_us / 1000;

        starttls_turn(ss);
        for (unsigned i = 0; i < TICK_MAX; i++) {
                uint32_t index = wheel_next(&ss->wheel, now_ms);
                struct session *s;
                int32_t left_ms;

                if (index == WHEEL_NONE)
                        break;
                s = &ss->session[index];
                if (s->phase == PHASE_FREE)
                        continue;
                left_ms = (int32_t)(s->due_ms - (uint32_t)now_ms);
                if (left_ms > 0) {
                        wheel_add(&ss->wheel, index, now_ms + (uint32_t)left_ms);
                        continue;
                }
                session_expired(ss, s);
                /* A phase that was not left would never be looked at again. */
                if (s->phase != PHASE_FREE && !wheel_node_is_armed(&s->timer))
                        wheel_add(&ss->wheel, index, now_ms + (uint32_t)MAX((int32_t)(s->due_ms - (uint32_t)now_ms), 1));
        }
        crowd_turn(ss);
        if (ss->worker == 0)
                probe_run(ss);
}

uint64_t sessions_due_us(const struct sessions *ss)
{
        uint64_t due_ms = wheel_due_ms(&ss->wheel);
        uint64_t due_us = MIN(due_ms == UINT64_MAX ? UINT64_MAX : due_ms * 1000, crowd_due_us(ss));

        if (starttls_is_due(ss))
                return ss->now_us;
        if (ss->worker != 0)
                return due_us;
        for (unsigned i = 0; i < PROBES_MAX; i++) {
                if (ss->probe[i].is_used)
                        due_us = MIN(due_us, ss->probe[i].due_us);
        }
        for (uint32_t i = 0; i < ss->image->servers.count; i++) {
                uint16_t backend = ss->runtime->server_map[i];

                if (backend != BACKEND_NONE)
                        due_us = MIN(due_us, atomic_load(&ss->backends->backend[backend].probe_due_us));
        }
        return due_us;
}

/* --- events ---------------------------------------------------------------------------------------------------- */

static void client_lost(struct sessions *ss, struct session *s)
{
        if (s->phase == PHASE_END) {
                /* The backend has the final dot: its word is waited for, whoever still listens (RFC 1047). */
                s->client_gone = true;
                return;
        }
        session_end(ss, s, RULE_client_lost, true);
}

static void client_event(struct sessions *ss, struct session *s, const struct tcp_event *event)
{
        if (event->bits & TCP_EV_FINAL) {
                /* A final event ends the handle with the next one: what can still be read is read first. */
                if (event->bits & TCP_EV_CLOSED && (s->phase == PHASE_DATA || s->phase == PHASE_DISCARD))
                        stream_run(ss, s);
                if (s->phase != PHASE_FREE)
                        client_lost(ss, s);
                return;
        }
        if (event->bits & TCP_EV_EOF)
                s->eof = true;
        switch ((enum session_phase)s->phase) {
        case PHASE_GREET:
                greet_input(ss, s);
                break;
        case PHASE_COMMAND:
        case PHASE_HELD:
                command_run(ss, s);
                break;
        case PHASE_DATA:
        case PHASE_DISCARD:
                stream_run(ss, s);
                break;
        case PHASE_TLS:
                starttls_input(ss, s);
                break;
        default:
                break; /* what came stays in the queue until the present command is answered */
        }
}

static void prefetch_bytes(const void *from, size_t bytes)
{
        for (size_t at = 0; at < bytes; at += 64)
                __builtin_prefetch((const uint8_t *)from + at, 1);
}

static void prefetch_opened(struct sessions *ss, const struct tcp_coming *coming, unsigned ahead)
{
        const struct image_limits *limits = &ss->image->limits;
        struct addr network = addr_network(&coming->remote, limits->v4_prefix, limits->v6_prefix);
        uint32_t index = indices_peek(&ss->opens, ahead);

        limits_prefetch(ss->limits, &network);
        if (index != INDEX_NONE)
                prefetch_bytes(&ss->session[index], sizeof(struct session));
}

void sessions_prefetch(struct sessions *ss)
{
        struct tcp_coming coming[SESSIONS_AHEAD];
        unsigned n = tcp_coming_events(ss->tcp, coming, SESSIONS_AHEAD), opened = 0;
        /* Refusals at the greeting are recorded with the client's name. */
        bool names = image_policy(ss->image, 0)->reject_at == IMAGE_REJECT_AT_BANNER;

        for (unsigned i = 0; i < n; i++) {
                uint32_t index = (uint32_t)coming[i].owner;

                if (coming[i].bits & TCP_EV_OPENED) {
                        prefetch_opened(ss, &coming[i], opened++);
                        client_table_prefetch(ss->clients, &coming[i].remote);
                } else if (coming[i].owner >> 32 == OWNER_CLIENT && index < ss->opens.fresh) {
                        prefetch_bytes(&ss->session[index], sizeof(struct session));
                }
        }
        /* By now the first sessions are here, and say where to look on. */
        for (unsigned i = 0; i < n; i++) {
                uint32_t index = (uint32_t)coming[i].owner;

                if (coming[i].bits & TCP_EV_OPENED) {
                        if (names)
                                client_table_prefetch_name(ss->clients, &coming[i].remote);
                } else if (coming[i].owner >> 32 == OWNER_CLIENT && index < ss->opens.fresh) {
                        client_table_prefetch_near(ss->clients, ss->session[index].client_line);
                        slab_prefetch(ss->kept, ss->session[index].texts);
                }
        }
}

void session_event(struct sessions *ss, const struct tcp_event *event)
{
        uint32_t index = (uint32_t)event->owner;

        if (event->bits & TCP_EV_OPENED) {
                struct session *s = greet_open(ss, event);

                /* A fast client has said something, or gone, by the time its handshake is told. */
                if (s && s->phase != PHASE_FREE && event->bits & ~TCP_EV_OPENED)
                        client_event(ss, s, event);
                return;
        }
        switch ((enum owner_kind)(event->owner >> 32)) {
        case OWNER_CLIENT:
                if (index < ss->opens.fresh && ss->session[index].phase != PHASE_FREE)
                        client_event(ss, &ss->session[index], event);
                break;
        case OWNER_LEG:
                if (index < ss->legs.fresh && ss->leg[index].is_used)
                        leg_event(ss, &ss->leg[index], event);
                break;
        case OWNER_PROBE:
                if (index < PROBES_MAX && ss->probe[index].is_used)
                        probe_event(ss, &ss->probe[index], event);
                break;
        }
}

/* Has mail of the client's network passed the greylist before? Such clients are asked about first. */
static bool passed_before(const struct sessions *ss, const struct session *s)
{
        const struct image_greylist *greylist = &image_policy(ss->image, session_policy(ss, s))->greylist;
        struct addr network = addr_network(&s->peer, greylist->v4_prefix, greylist->v6_prefix);
        struct grey_query query = { .key = grey_key_exempt(&ss->grey->key, &network) };

        grey_table_lookup(ss->grey, &query, 1);
        return query.facts.kind != GREY_KIND_NONE;
}

void session_ask(struct sessions *ss, struct session *s)
{
        struct client_answers answers;
        struct client_facts facts = session_facts(ss, s, &answers);
        uint32_t index = index_of(ss, s), forgotten;
        bool complete = true, is_asked;
        struct msg_ask *ask;

        if (s->class != IMAGE_CLASS_NONE || s->answered || asks_is_waiting(ss->asks, s->ask, index))
                return;
        for (uint32_t i = 0; i < ss->image->policies.count && complete; i++)
                complete = client_is_complete(ss->image, image_policy(ss->image, i), &facts);
        /* What is stale still counts, and is asked for again meanwhile. */
        if (complete && !answers.ptr_stale && answers.zones_stale == 0)
                return;
        is_asked = asks_wait(ss->asks, &s->ask, index, &s->peer, ss->now_us, &forgotten);
        counter_add(ss->counters, COUNTER_asks_forgotten, forgotten);
        if (!is_asked)
                return;
        ask = ring_write_slot(&ss->ask_ring);
        if (ask == NULL) {
                count(ss, COUNTER_asks_lost);
                return;
        }
        *ask = (struct msg_ask){
                .kind = MSG_ASK_CLIENT,
                .worker = ss->worker,
                .client = s->peer,
                .serial = s->id,
                .known_before = passed_before(ss, s),
        };
        ring_write_commit(&ss->ask_ring);
        ss->asked = true;
        count(ss, COUNTER_asks_sent);
}

void sessions_answer(struct sessions *ss, const struct msg_answer *answer)
{
        uint32_t index;

        if (answer->kind != MSG_ANSWER_CLIENT) {
                count(ss, COUNTER_answers_bad);
                return;
        }
        /* Each session leaves the question before it goes on, so the first one is another every time. */
        while ((index = asks_first(ss->asks, &answer->client)) != ASK_NONE) {
                struct session *s = &ss->session[index];

                asks_leave(ss->asks, s->ask, index);
                s->answered = true;
                if (s->phase == PHASE_GREET)
                        greet_continue(ss, s);
                else if (s->phase == PHASE_ANSWERS)
                        command_judge_recipient(ss, s);
        }
}

void sessions_judge(struct sessions *ss)
{
        /* A verdict can bring the next pipelined recipient here at once: go on until all have been judged. */
        while (ss->n_judged != 0) {
                struct judged batch[JUDGE_BATCH];
                unsigned n = ss->n_judged;

                memcpy(batch, ss->judged, n * sizeof(batch[0]));
                ss->n_judged = 0;
                for (unsigned i = 0; i < n; i++) {
                        struct grey_answer answer =
                            grey_ask_judge(&batch[i].ask, ss->grey, &ss->tokens, ss->image, ss->wall_sec);

                        command_grey(ss, &batch[i], &answer);
                }
        }
}

bool sessions_publish(struct sessions *ss)
{
        bool sleeps = false;

        if (ss->asked)
                sleeps |= ring_write_publish(&ss->ask_ring);
        if (ss->logged)
                sleeps |= ring_write_publish(&ss->log_ring);
        ss->asked = ss->logged = false;
        return sleeps;
}

uint32_t sessions_open(const struct sessions *ss)
{
        return indices_used(&ss->opens);
}

void sessions_held(const struct sessions *ss, struct sessions_held *ret)
{
        *ret = (struct sessions_held){
                .sessions = indices_used(&ss->opens),
                .legs = indices_used(&ss->legs),
                .decisions = indices_used(&ss->decisions),
                .asking = asks_waiting(ss->asks),
                .texts_bytes = slab_used_bytes(ss->kept),
        };
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void forget_judged(struct sessions *ss, uint32_t index)
{
        for (unsigned i = 0; i < ss->n_judged; i++) {
                if (ss->judged[i].session == index)
                        ss->judged[i--] = ss->judged[--ss->n_judged];
        }
}

/* Is a message on its way to the backend, or about to be? Then nothing more may be said there: not even QUIT. */
static bool is_in_message(const struct session *s)
{
        return s->phase == PHASE_DATA || s->phase == PHASE_DISCARD ||
               (s->phase == PHASE_BACKEND && smtp_pending(&s->smtp) == SMTP_ACT_DATA);
}

/* Has the client not taken the last 250 to a message? Ending at once throws it away (RFC 1047). */
static bool is_unseen(const struct sessions *ss, const struct session *s)
{
        struct tcp_info info;

        return s->has_accepted && tcp_info(ss->tcp, s->client, &info) &&
               (int32_t)(s->accepted_end - (uint32_t)info.bytes_acked) > 0;
}

/*
 * Does the session end without its client's QUIT or an error of it? Then nobody learns what becomes of the words that are
 * still on their way: who has not taken them in all the time that a command may take, or has closed its side, may not at all.
 */
static bool is_given_up(enum rule rule, bool at_once)
{
        return at_once || rule == RULE_timeout || rule == RULE_client_lost || rule == RULE_overload;
}

void session_end(struct sessions *ss, struct session *s, enum rule rule, bool at_once)
{
        uint32_t index = index_of(ss, s);
        struct record record = {
                .kind = MSG_LOG_SESSION,
                .rule = rule,
                .policy = session_policy(ss, s),
        };

        if (is_given_up(rule, at_once) && is_unseen(ss, s)) {
                record.flags = MSG_LOG_AMBIGUOUS;
                count(ss, COUNTER_messages_ambiguous);
        }
        record_write(ss, s, &record);
        if (s->leg != NONE)
                leg_close(ss, s, is_in_message(s));
        starttls_leave(ss, s);
        wire_close(ss, s, at_once);
        if (ss->tls)
                counter_set(ss->counters, COUNTER_tls_open, tls_pool_used(ss->tls));
        session_phase(ss, s, PHASE_FREE, 0);
        wheel_remove(&ss->wheel, index);
        asks_leave(ss->asks, s->ask, index);
        limits_close(ss->limits, s->limits_slot);
        forget_judged(ss, index);
        texts_forget(ss, s);
        decision_end(ss, s);
        indices_give(&ss->opens, index);
        count(ss, COUNTER_sessions_closed);
        counter_set(ss->counters, COUNTER_sessions_open, sessions_open(ss));
}
