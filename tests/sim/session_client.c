/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model clients: senders that try each message until it is taken or refused for good, with the patience of RFC 5321, and
 * that go away, fall silent or lose their path at random moments.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/session_world.h"

#define PATIENCE_US    (600ull * 1000000)  /* for any reply, and for room to send */
#define SILENCE_US     (1300ull * 1000000) /* by then a session with a client that says nothing is over */
#define RECIPIENTS_MAX 3u
#define EXPECTS_MAX    8u
#define FIRST_PORT     20000u

enum stage {
        STAGE_BANNER,
        STAGE_EHLO,
        STAGE_RSET,
        STAGE_MAIL,
        STAGE_RCPT,
        STAGE_DATA,
        STAGE_BODY,
        STAGE_DOT,
        STAGE_QUIT,
        STAGES
};

/* What a client does, at one stage or one moment, instead of going on. */
enum whim { WHIM_ABORT, WHIM_CLOSE, WHIM_SILENT, WHIM_SHUTDOWN, WHIM_ABORT_AT, WHIMS };

enum message_state { MESSAGE_WAITS, MESSAGE_TAKEN, MESSAGE_REFUSED };

struct client {
        struct addr addr;
        unsigned number;
        unsigned messages, connections;
        enum message_state message[SIM_MESSAGES_MAX];
        uint64_t next_us; /* of the next connection; 0 while there is one, UINT64_MAX: none to come */

        /* The connection. */
        struct tcp_handle conn;
        uint16_t port;
        bool is_open, is_pipelining, is_silent;
        bool waits_for_end; /* has been told goodbye, and wants to see the end */
        bool has_whim;
        enum whim whim;
        enum stage whim_stage;
        uint32_t whim_bytes;         /* of STAGE_BODY */
        uint64_t whim_us;            /* of WHIM_ABORT_AT */
        uint64_t death_us, alive_us; /* in between nothing passes in one direction */
        bool death_to_client;
        enum stage expect[EXPECTS_MAX]; /* replies to come */
        unsigned about[EXPECTS_MAX];    /* which recipient */
        unsigned expects;
        uint32_t tried;              /* messages of this connection, as bits */
        struct sim_attempt *attempt; /* the message under way */
        unsigned recipients, taken;
        uint64_t deadline_us;
        char *data;
        size_t data_len, data_sent;
        bool in_body;
        size_t len;
        char text[SIM_LINE_MAX];
};

struct sim_clients {
        unsigned count;
        uint16_t next_port;
        struct client client[SIM_CLIENTS_MAX];
};

char *sim_message(const struct sim_script *script, unsigned client, unsigned message, size_t *ret_len)
{
        struct dice dice = { .state = script->seed ^ (client * 1000003u + message * 7919u + 17) };
        uint32_t kind = dice_below(&dice, 8);
        uint32_t want = kind == 0  ? 0
                        : kind < 6 ? dice_below(&dice, 4000)
                                   : dice_below(&dice, script->message_bytes + 1);
        char *bytes = malloc(want + 1024);
        size_t len = 0;

        BUG_ON(!bytes);
        while (len < want) {
                uint32_t line_len = dice_below(&dice, dice_below(&dice, 5) ? 80 : 900);

                if (dice_below(&dice, 6) == 0) {
                        bytes[len++] = '.';
                        bytes[len++] = '.';
                }
                for (uint32_t i = 0; i < line_len; i++)
                        bytes[len++] = (char)('a' + (i * 7 + line_len + client + message) % 26);
                bytes[len++] = '\r';
                bytes[len++] = '\n';
        }
        *ret_len = len;
        return bytes;
}

struct sim_clients *sim_clients_new(struct sim_world *world)
{
        struct sim_clients *clients = calloc(1, sizeof(*clients));

        BUG_ON(!clients);
        clients->count = world->script->clients;
        clients->next_port = FIRST_PORT;
        for (unsigned i = 0; i < clients->count; i++) {
                struct client *c = &clients->client[i];
                char text[ADDR_TEXT_MAX];

                snprintf(text, sizeof(text), "198.18.%u.1", 10 + i);
                BUG_ON(addr_parse(text, &c->addr) < 0);
                c->number = i;
                c->messages = 1 + dice_below(&world->dice, world->script->messages ? world->script->messages
                                                                                   : SIM_MESSAGES_MAX);
                c->next_us = world->now_us + dice_below(&world->dice, 20000000);
        }
        return clients;
}

void sim_clients_free(struct sim_clients *clients)
{
        for (unsigned i = 0; i < clients->count; i++)
                free(clients->client[i].data);
        free(clients);
}

/* --- one connection ------------------------------------------------------------------------------------------------- */

static bool has_work(const struct client *c)
{
        for (unsigned i = 0; i < c->messages; i++)
                if (c->message[i] == MESSAGE_WAITS)
                        return true;
        return false;
}

/* The connection is over for the client: when is the next one? */
static void ended(struct sim_world *world, struct client *c)
{
        sim_trace(world, "client %u port %u: over", c->number, c->port);
        c->is_open = false;
        free(c->data);
        c->data = NULL;
        c->attempt = NULL;
        c->next_us = UINT64_MAX;
        if (has_work(c) && c->connections < SIM_CONNECTIONS_MAX)
                c->next_us = world->now_us + 245000000 + dice_below(&world->dice, 200000000);
}

static void leave(struct sim_world *world, struct client *c, bool at_once)
{
        if (at_once)
                tcp_abort(world->client_tcp, c->conn);
        else
                tcp_close(world->client_tcp, c->conn);
        ended(world, c);
}

/* The whim of this connection, if this is its moment. True: it goes no further. */
static bool has_whim(struct sim_world *world, struct client *c, enum stage stage)
{
        if (!c->has_whim || c->whim_stage != stage || c->whim == WHIM_ABORT_AT || c->is_silent)
                return false;
        sim_trace(world, "client %u port %u: whim %u at stage %u", c->number, c->port, c->whim, stage);
        if (stage == STAGE_DOT && c->whim == WHIM_ABORT) {
                /* At once would throw the dot away: after it, and about when the reply comes. */
                c->whim = WHIM_ABORT_AT;
                c->whim_us =
                    world->now_us + 1 + dice_below(&world->dice, 3 * (world->script->front.delay_us + 20000));
                return false;
        }
        switch (c->whim) {
        case WHIM_ABORT:
        case WHIM_CLOSE:
                if (c->attempt)
                        c->attempt->is_deaf = c->whim == WHIM_CLOSE;
                leave(world, c, c->whim == WHIM_ABORT);
                return true;
        case WHIM_SHUTDOWN:
                tcp_shutdown(world->client_tcp, c->conn);
                /* fall through */
        default:
                c->is_silent = true;
                c->deadline_us = world->now_us + SILENCE_US;
                return true;
        }
}

static void connect_now(struct sim_world *world, struct client *c)
{
        const struct sim_script *script = world->script;
        struct dice *dice = &world->dice;
        struct addr front;

        BUG_ON(addr_parse("198.18.0.25", &front) < 0);
        c->port = world->clients->next_port++;
        if (tcp_connect(world->client_tcp, &c->addr, c->port, &front, 25, c->number + 1, world->now_us,
                        &c->conn) < 0) {
                c->next_us = world->now_us + 60000000;
                return;
        }
        c->connections++;
        c->next_us = 0;
        c->is_open = true;
        c->is_silent = c->in_body = c->waits_for_end = false;
        c->is_pipelining = dice_below(dice, 2);
        c->len = 0;
        c->tried = 0;
        c->expects = 1;
        c->expect[0] = STAGE_BANNER;
        c->deadline_us = world->now_us + PATIENCE_US;
        c->has_whim = dice_permille(dice, script->client_faults);
        c->whim = (enum whim)dice_below(dice, WHIMS);
        c->whim_stage = (enum stage)dice_below(dice, STAGES);
        c->whim_bytes = dice_below(dice, dice_below(dice, 2) ? 500 : script->message_bytes);
        c->whim_us = world->now_us + 1 + dice_below(dice, 10000000);
        c->death_us = c->alive_us = UINT64_MAX;
        if (dice_permille(dice, script->deaths)) {
                c->death_us = world->now_us + dice_below(dice, 4000000);
                if (dice_below(dice, 2))
                        c->alive_us = c->death_us + dice_below(dice, 200000000);
                c->death_to_client = dice_below(dice, 2);
        }
}

static void expect(struct client *c, enum stage stage)
{
        BUG_ON(c->expects == EXPECTS_MAX);
        c->about[c->expects] = 0;
        c->expect[c->expects++] = stage;
}

/* The reply that came is the answer to the oldest command. */
static enum stage take_expected(struct client *c, unsigned *ret_about)
{
        enum stage stage = c->expect[0];

        *ret_about = c->about[0];
        c->expects--;
        memmove(c->expect, c->expect + 1, c->expects * sizeof(c->expect[0]));
        memmove(c->about, c->about + 1, c->expects * sizeof(c->about[0]));
        return stage;
}

/* Say a command whose reply is awaited. False: the connection is over, or the client says no more. */
static bool say(struct sim_world *world, struct client *c, enum stage stage, const char *text)
{
        if (!c->is_open || c->is_silent || has_whim(world, c, stage))
                return false;
        if (!tcp_send_copy(world->client_tcp, c->conn, text, (uint32_t)strlen(text))) {
                leave(world, c, true); /* commands are few: no room means that the connection is gone */
                return false;
        }
        expect(c, stage);
        return true;
}

static bool say_recipient(struct sim_world *world, struct client *c, unsigned which)
{
        char text[64];

        snprintf(text, sizeof(text), "RCPT TO:<u%u@example.org>\r\n", which);
        if (!say(world, c, STAGE_RCPT, text))
                return false;
        c->about[c->expects - 1] = which;
        return true;
}

/* The next message that this connection has not tried, or goodbye. */
static void next_message(struct sim_world *world, struct client *c)
{
        char text[64];
        bool is_first = c->tried == 0;

        free(c->data);
        c->data = NULL;
        c->attempt = NULL;
        for (unsigned i = 0; i < c->messages; i++) {
                if (c->message[i] != MESSAGE_WAITS || c->tried & 1u << i)
                        continue;
                c->tried |= 1u << i;
                c->attempt = &world->attempt[world->attempts++];
                *c->attempt = (struct sim_attempt){
                        .client = c->number, .message = i, .port = c->port, .nth = c->connections
                };
                c->data = sim_message(world->script, c->number, i, &c->data_len);
                c->data_sent = 0;
                memcpy(c->data + c->data_len, ".\r\n", 3);
                c->data_len += 3;
                c->recipients = 1 + (c->number + i) % RECIPIENTS_MAX;
                c->taken = 0;
                if (!is_first && !say(world, c, STAGE_RSET, "RSET\r\n"))
                        return;
                snprintf(text, sizeof(text), "MAIL FROM:<c%u.m%u@s.test>\r\n", c->number, i);
                if (!say(world, c, STAGE_MAIL, text) || !c->is_pipelining)
                        return;
                for (unsigned r = 0; r < c->recipients; r++)
                        if (!say_recipient(world, c, r))
                                return;
                say(world, c, STAGE_DATA, "DATA\r\n");
                return;
        }
        say(world, c, STAGE_QUIT, "QUIT\r\n");
}

/* As much of the message as there is room for. */
static void send_body(struct sim_world *world, struct client *c)
{
        while (c->is_open && c->in_body && !c->is_silent && c->data_sent < c->data_len) {
                uint32_t len = 1 + dice_below(&world->dice, 9000);
                uint32_t room = tcp_send_room(world->client_tcp, c->conn);

                len = (uint32_t)MIN(c->data_len - c->data_sent, len);
                if (c->has_whim && c->whim_stage == STAGE_BODY && c->data_sent + len >= c->whim_bytes &&
                    has_whim(world, c, STAGE_BODY))
                        return;
                len = MIN(len, room);
                if (len == 0) {
                        tcp_room_want(world->client_tcp, c->conn);
                        return;
                }
                if (c->data_sent + len == c->data_len)
                        c->attempt->sent_whole = true;
                if (!tcp_send_copy(world->client_tcp, c->conn, c->data + c->data_sent, len))
                        return;
                c->data_sent += len;
                c->deadline_us = world->now_us + PATIENCE_US;
        }
        if (!c->is_open || !c->in_body || c->is_silent || c->data_sent < c->data_len)
                return;
        c->in_body = false;
        expect(c, STAGE_DOT);
        has_whim(world, c, STAGE_DOT);
}

/* What a reply says about the message, whether the client goes on or not. text: all of it. */
static void note_reply(struct sim_world *world, struct client *c, enum stage stage, unsigned about,
                       unsigned code, const char *text)
{
        struct sim_attempt *attempt = c->attempt;
        char want[64];

        if (stage == STAGE_RCPT && code == 250) {
                snprintf(want, sizeof(want), " u%u is welcome", about);
                if (!strstr(text, want))
                        sim_wrong(world, "a reply to another command", "port %u, recipient %u: %.60s",
                                  c->port, about, text);
                if (attempt)
                        attempt->taken |= 1u << about;
        }
        if (stage != STAGE_DOT)
                return;
        attempt->told = (uint16_t)code;
        if (code == 250) {
                snprintf(want, sizeof(want), " kept c%u.m%u.p%u", c->number, attempt->message, c->port);
                if (!strstr(text, want))
                        sim_wrong(world, "a reply to another message", "port %u, message %u: %.60s", c->port,
                                  attempt->message, text);
                c->message[attempt->message] = MESSAGE_TAKEN;
        } else if (code >= 500) {
                c->message[attempt->message] = MESSAGE_REFUSED;
        }
}

static void take_reply(struct sim_world *world, struct client *c, unsigned code, const char *text)
{
        enum stage stage;
        unsigned about;

        if (c->expects == 0) {
                /* Only goodbye may come unasked, and nothing after it. */
                if (code != 421 || c->waits_for_end)
                        sim_wrong(world, "a reply to nothing", "port %u: %.60s", c->port, text);
                if (!c->is_silent)
                        leave(world, c, false);
                return;
        }
        stage = take_expected(c, &about);
        note_reply(world, c, stage, about, code, text);
        if (c->is_silent)
                return;
        c->deadline_us = world->now_us + PATIENCE_US;
        sim_trace(world, "client %u port %u: stage %u is told %u", c->number, c->port, stage, code);
        if (stage == STAGE_DOT) {
                next_message(world, c);
        } else if (stage == STAGE_QUIT && c->number % 2) {
                c->waits_for_end = true;
        } else if (code == 421 || stage == STAGE_QUIT) {
                leave(world, c, false);
        } else if (stage == STAGE_BANNER && code == 220) {
                say(world, c, STAGE_EHLO, "EHLO c.test\r\n");
        } else if (stage == STAGE_EHLO && code == 250) {
                next_message(world, c);
        } else if (stage <= STAGE_EHLO) {
                say(world, c, STAGE_QUIT, "QUIT\r\n");
        } else if (stage == STAGE_MAIL && !c->is_pipelining) {
                if (code == 250)
                        say_recipient(world, c, 0);
                else
                        next_message(world, c);
        } else if (stage == STAGE_RCPT) {
                c->taken += code == 250;
                c->recipients--;
                if (c->is_pipelining)
                        return;
                if (c->recipients > 0)
                        say_recipient(world, c, c->recipients);
                else if (c->taken > 0)
                        say(world, c, STAGE_DATA, "DATA\r\n");
                else
                        next_message(world, c);
        } else if (stage == STAGE_DATA && code == 354) {
                if (c->taken == 0)
                        sim_wrong(world, "a message is wanted that nobody takes", "port %u", c->port);
                c->in_body = true;
                send_body(world, c);
        } else if (stage == STAGE_DATA) {
                next_message(world, c);
        }
}

static void read_replies(struct sim_world *world, struct client *c)
{
        while (c->is_open) {
                uint32_t got = tcp_recv_copy(world->client_tcp, c->conn, c->text + c->len,
                                             (uint32_t)(sizeof(c->text) - c->len));
                char *end, text[200];
                unsigned code;
                bool is_last;

                tcp_recv_consume(world->client_tcp, c->conn, got);
                c->len += got;
                end = memmem(c->text, c->len, "\r\n", 2);
                if (!end) {
                        if (got == 0 || c->len == sizeof(c->text))
                                return;
                        continue;
                }
                code = (unsigned)atoi(c->text);
                is_last = end - c->text < 4 || c->text[3] != '-';
                if (code < 200 || code > 599)
                        sim_wrong(world, "a client was told what is not SMTP", "port %u: %.40s", c->port,
                                  c->text);
                snprintf(text, sizeof(text), "%.*s", (int)(end - c->text), c->text);
                c->len -= (size_t)(end + 2 - c->text);
                memmove(c->text, end + 2, c->len);
                if (is_last)
                        take_reply(world, c, code, text);
        }
}

/* --- the world's view ----------------------------------------------------------------------------------------------- */

void sim_clients_event(struct sim_world *world, const struct tcp_event *event)
{
        struct client *c = &world->clients->client[event->owner - 1];

        if (!c->is_open || c->conn.index != event->conn.index || c->conn.generation != event->conn.generation)
                return;
        if (event->bits & TCP_EV_CONNECTED && has_whim(world, c, STAGE_BANNER) && !c->is_open)
                return;
        read_replies(world, c);
        if (!c->is_open)
                return;
        send_body(world, c);
        if (c->is_open && event->bits & (TCP_EV_EOF | TCP_EV_FINAL))
                leave(world, c, event->bits & TCP_EV_FINAL);
}

void sim_clients_act(struct sim_world *world)
{
        for (unsigned i = 0; i < world->clients->count; i++) {
                struct client *c = &world->clients->client[i];

                if (!c->is_open) {
                        if (c->next_us <= world->now_us)
                                connect_now(world, c);
                } else if (c->has_whim && c->whim == WHIM_ABORT_AT && world->now_us >= c->whim_us) {
                        sim_trace(world, "client %u port %u: goes away", c->number, c->port);
                        leave(world, c, true);
                } else if (world->now_us >= c->deadline_us) {
                        struct addr network = addr_network(&c->addr, 24, 64);

                        sim_trace(world, "client %u port %u: has waited long enough", c->number, c->port);
                        if (c->is_silent && limits_count(world->limits, &network) != 0)
                                sim_wrong(world, "a session with a silent client does not end", "port %u",
                                          c->port);
                        leave(world, c, true);
                }
        }
}

uint64_t sim_clients_due_us(const struct sim_world *world)
{
        uint64_t due_us = UINT64_MAX;

        for (unsigned i = 0; i < world->clients->count; i++) {
                const struct client *c = &world->clients->client[i];

                if (!c->is_open) {
                        due_us = MIN(due_us, c->next_us);
                        continue;
                }
                due_us = MIN(due_us, c->deadline_us);
                if (c->has_whim && c->whim == WHIM_ABORT_AT)
                        due_us = MIN(due_us, c->whim_us);
        }
        return due_us;
}

bool sim_clients_are_done(const struct sim_world *world)
{
        for (unsigned i = 0; i < world->clients->count; i++)
                if (world->clients->client[i].is_open || world->clients->client[i].next_us != UINT64_MAX)
                        return false;
        return true;
}

bool sim_clients_drop(const struct sim_world *world, const struct addr *client, uint16_t port, bool to_client)
{
        for (unsigned i = 0; i < world->clients->count; i++) {
                const struct client *c = &world->clients->client[i];

                if (c->port == port && addr_is_equal(&c->addr, client) && world->now_us >= c->death_us &&
                    world->now_us < c->alive_us && c->death_to_client == to_client)
                        return true;
        }
        return false;
}

unsigned sim_clients_messages(const struct sim_world *world)
{
        unsigned count = 0;

        for (unsigned i = 0; i < world->clients->count; i++)
                count += world->clients->client[i].messages;
        return count;
}

bool sim_clients_delivered(const struct sim_world *world, unsigned client, unsigned message)
{
        return world->clients->client[client].message[message] == MESSAGE_TAKEN ||
               message >= world->clients->client[client].messages;
}
