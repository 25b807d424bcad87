/* SPDX-License-Identifier: Apache-2.0 */
/* Model backends: mail servers that mostly do what they should, and write down what they keep. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/session_world.h"

#define IDLE_US                                                                                              \
        (400ull *                                                                                            \
         1000000) /* a server that hears nothing for so long leaves; the network may have lost our RST */

enum stage {
        STAGE_BANNER,
        STAGE_EHLO,
        STAGE_XCLIENT,
        STAGE_MAIL,
        STAGE_RCPT,
        STAGE_DATA,
        STAGE_BODY,
        STAGE_DOT,
        STAGE_KEPT,
        STAGE_RSET,
        STAGES,
};

enum fault {
        FAULT_HANG,
        FAULT_CLOSE,
        FAULT_RESET,
        FAULT_SLOW,  /* the right reply, but late */
        FAULT_PAUSE, /* reads nothing for a while */
        FAULT_4XX,
        FAULT_5XX,
        FAULT_421,
        FAULT_GARBAGE,
        FAULT_ODD, /* a code that is none of this command's, and no refusal */
        FAULTS,
};

struct connection {
        struct tcp_handle conn;
        bool is_over, is_hung, in_data, in_transaction, fault_done, has_fault, eof;
        enum stage fault_stage;
        enum fault fault;
        uint32_t fault_at;      /* bytes of the message, of STAGE_BODY */
        uint64_t idle_us;       /* when it has heard nothing for too long */
        uint64_t reset_at_us;   /* whatever it is doing; 0: never */
        uint64_t wait_until_us; /* reads and says nothing before */
        char late[128];         /* what it says then */
        unsigned client_port, client, message;
        unsigned recipients;         /* accepted for this message, as bits */
        struct sim_attempt *attempt; /* of this message, once it is whole */
        size_t len;
        char text[SIM_LINE_MAX]; /* not yet parsed */
        char *data;
        size_t data_len, data_room;
};

struct sim_backends {
        struct outage {
                struct addr addr;
                uint64_t from_us, until_us;
                bool is_out;
        } outage[2];
        unsigned used;
        struct connection connection[SIM_BACKENDS_MAX];
};

struct sim_backends *sim_backends_new(struct sim_world *world)
{
        struct sim_backends *backends = calloc(1, sizeof(*backends));

        BUG_ON(!backends);
        for (unsigned i = 0; i < ARRAY_LEN(backends->outage); i++) {
                struct outage *outage = &backends->outage[i];

                BUG_ON(addr_parse(i == 0 ? "198.19.0.10" : "198.19.0.11", &outage->addr) < 0);
                outage->from_us = outage->until_us = UINT64_MAX;
                if (!world->script->outages || dice_below(&world->dice, 2))
                        continue;
                outage->from_us = world->now_us + dice_below(&world->dice, 900000000);
                outage->until_us = outage->from_us + dice_below(&world->dice, 400000000);
        }
        return backends;
}

void sim_backends_free(struct sim_backends *backends)
{
        for (unsigned i = 0; i < backends->used; i++)
                free(backends->connection[i].data);
        free(backends);
}

static void say(struct sim_world *world, struct connection *b, const char *text)
{
        if (*text && !b->is_over && !tcp_send_copy(world->backend_tcp, b->conn, text, (uint32_t)strlen(text)))
                b->is_hung = true;
}

static void leave(struct sim_world *world, struct connection *b, bool at_once)
{
        if (b->is_over)
                return;
        b->is_over = true;
        if (at_once)
                tcp_abort(world->backend_tcp, b->conn);
        else
                tcp_close(world->backend_tcp, b->conn);
}

/* The fault of this connection, if this is its stage. */
static bool take_fault(struct connection *b, enum stage stage)
{
        if (!b->has_fault || b->fault_done || b->fault_stage != stage)
                return false;
        b->fault_done = true;
        return true;
}

static void wait_some(struct sim_world *world, struct connection *b)
{
        b->wait_until_us =
            world->now_us + 1 + dice_below(&world->dice, dice_below(&world->dice, 4) ? 5000000 : 120000000);
}

/* Answer at a stage, or do what the fault says. Returns whether the right answer was, or will be, given. */
static bool answer(struct sim_world *world, struct connection *b, enum stage stage, const char *right)
{
        if (!take_fault(b, stage)) {
                say(world, b, right);
                return true;
        }
        sim_trace(world, "backend of port %u: fault %u at stage %u", b->client_port, b->fault, stage);
        switch (b->fault) {
        case FAULT_HANG:
                b->is_hung = true;
                return false;
        case FAULT_CLOSE:
        case FAULT_RESET:
                leave(world, b, b->fault == FAULT_RESET);
                return false;
        case FAULT_SLOW:
                snprintf(b->late, sizeof(b->late), "%s", right);
                wait_some(world, b);
                return true;
        case FAULT_4XX:
                say(world, b, "450 4.2.0 not now\r\n");
                return false;
        case FAULT_5XX:
                say(world, b, "550 5.1.1 never\r\n");
                return false;
        case FAULT_421:
                say(world, b, "421 4.3.2 closing\r\n");
                leave(world, b, false);
                return false;
        case FAULT_GARBAGE:
                say(world, b, "what\r\n");
                return false;
        case FAULT_ODD:
                say(world, b,
                    stage == STAGE_DATA || dice_below(&world->dice, 2) ? "299 2.0.0 as you like\r\n"
                                                                       : "354 more\r\n");
                return false;
        default:
                say(world, b, right);
                wait_some(world, b);
                return true;
        }
}

static struct sim_attempt *find_attempt(struct sim_world *world, const struct connection *b)
{
        for (unsigned i = 0; i < world->attempts; i++)
                if (world->attempt[i].port == b->client_port && world->attempt[i].client == b->client &&
                    world->attempt[i].message == b->message)
                        return &world->attempt[i];
        return NULL;
}

/* The whole message is there: write it down. */
static void keep(struct sim_world *world, struct connection *b)
{
        struct sim_attempt *attempt = b->attempt;
        size_t len = 0;
        char *want;

        sim_trace(world, "backend keeps %zu bytes of client %u, message %u, port %u", b->data_len, b->client,
                  b->message, b->client_port);
        if (!attempt) {
                sim_wrong(world, "a message was kept that nobody tried to send", "port %u", b->client_port);
                return;
        }
        if (b->recipients == 0 || b->recipients != attempt->taken)
                sim_wrong(world, "a message was kept for other recipients than its client knows",
                          "port %u message %u: %x, told %x", b->client_port, b->message, b->recipients,
                          attempt->taken);
        attempt->kept++;
        attempt->is_certain = !b->has_fault && b->reset_at_us == 0;
        if (!attempt->sent_whole)
                sim_wrong(world, "a message was kept that its client has not sent whole",
                          "port %u message %u", b->client_port, b->message);
        want = sim_message(world->script, b->client, b->message, &len);
        if (len != b->data_len || memcmp(want, b->data ? b->data : "", len) != 0)
                sim_wrong(world, "what was kept is not what was sent",
                          "port %u message %u: %zu bytes, sent %zu", b->client_port, b->message, b->data_len,
                          len);
        free(want);
}

static void line(struct sim_world *world, struct connection *b, const char *text)
{
        char right[64];

        if (strncmp(text, "EHLO ", 5) == 0) {
                answer(world, b, STAGE_EHLO,
                       "250-back\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 XCLIENT NAME ADDR PORT "
                       "PROTO HELO\r\n");
        } else if (strncmp(text, "XCLIENT ", 8) == 0) {
                const char *port = strstr(text, " PORT=");

                b->client_port = port ? (unsigned)atoi(port + 6) : 0;
                answer(world, b, STAGE_XCLIENT, "220 again\r\n");
        } else if (strncmp(text, "MAIL FROM:<c", 12) == 0) {
                if (sscanf(text, "MAIL FROM:<c%u.m%u@", &b->client, &b->message) != 2)
                        sim_wrong(world, "a backend was told an unknown sender", "%.100s", text);
                if (b->in_transaction)
                        sim_wrong(world, "a backend was told a sender in the middle of a transaction",
                                  "%.100s", text);
                b->recipients = 0;
                b->in_transaction = answer(world, b, STAGE_MAIL, "250 2.1.0 sender ok\r\n");
        } else if (strncmp(text, "RCPT TO:<u", 10) == 0) {
                unsigned number = (unsigned)atoi(text + 10);

                snprintf(right, sizeof(right), "250 2.1.5 u%u is welcome\r\n", number);
                if (answer(world, b, STAGE_RCPT, right))
                        b->recipients |= 1u << number;
        } else if (strcmp(text, "DATA") == 0) {
                b->data_len = 0;
                b->in_data = answer(world, b, STAGE_DATA, "354 go\r\n");
        } else if (strcmp(text, "RSET") == 0) {
                b->in_transaction = false;
                answer(world, b, STAGE_RSET, "250 2.0.0 reset\r\n");
        } else if (strcmp(text, "QUIT") == 0) {
                say(world, b, "221 2.0.0 bye\r\n");
                leave(world, b, false);
        } else {
                sim_wrong(world, "a backend was told what it does not know", "%.100s", text);
        }
}

/* What a fault says to the message. */
static uint16_t code_of(enum fault fault)
{
        return fault == FAULT_4XX ? 450 : fault == FAULT_5XX ? 550 : fault == FAULT_421 ? 421 : 0;
}

static void end_of_message(struct sim_world *world, struct connection *b)
{
        char right[64];

        b->in_data = b->in_transaction = false;
        b->attempt = find_attempt(world, b);
        if (b->has_fault && !b->fault_done && b->fault_stage == STAGE_DOT && b->fault != FAULT_SLOW &&
            b->fault != FAULT_PAUSE) {
                if (b->attempt)
                        b->attempt->said = code_of(b->fault);
                answer(world, b, STAGE_DOT, "");
                return;
        }
        keep(world, b);
        if (b->attempt)
                b->attempt->said = 250;
        snprintf(right, sizeof(right), "250 2.0.0 kept c%u.m%u.p%u\r\n", b->client, b->message,
                 b->client_port);
        /* Having kept it, a server may fail in any way but by saying that it has not. */
        answer(world, b, b->has_fault && b->fault_stage == STAGE_DOT ? STAGE_DOT : STAGE_KEPT, right);
}

/* One line of the message, with its CR LF; only CR LF . CR LF ends it. */
static void body(struct sim_world *world, struct connection *b, const char *text, size_t len)
{
        if (len == 3 && memcmp(text, ".\r\n", 3) == 0) {
                end_of_message(world, b);
                return;
        }
        if (b->data_len + len > b->data_room) {
                b->data_room = 2 * b->data_room + len + 4096;
                b->data = realloc(b->data, b->data_room);
                BUG_ON(!b->data);
        }
        memcpy(b->data + b->data_len, text, len);
        b->data_len += len;
        if (b->has_fault && b->fault_stage == STAGE_BODY && b->data_len > b->fault_at) {
                if (b->fault == FAULT_SLOW)
                        b->fault = FAULT_PAUSE;
                /* Who has refused a message in its middle does not keep it at its end. */
                if (!answer(world, b, STAGE_BODY, ""))
                        b->is_hung = true;
        }
}

static void read_all(struct sim_world *world, struct connection *b)
{
        while (!b->is_over && !b->is_hung && world->now_us >= b->wait_until_us) {
                uint32_t got = tcp_recv_copy(world->backend_tcp, b->conn, b->text + b->len,
                                             (uint32_t)(sizeof(b->text) - b->len));
                char *end, one[SIM_LINE_MAX + 1];
                size_t len;

                tcp_recv_consume(world->backend_tcp, b->conn, got);
                b->len += got;
                end = memmem(b->text, b->len, "\r\n", 2);
                if (!end) {
                        if (b->len == sizeof(b->text))
                                sim_wrong(world, "a backend got an endless line", "port %u", b->client_port);
                        if (got == 0 || b->len == sizeof(b->text))
                                return;
                        continue;
                }
                len = (size_t)(end + 2 - b->text);
                memcpy(one, b->text, len);
                one[len] = '\0';
                b->len -= len;
                memmove(b->text, b->text + len, b->len);
                if (b->in_data) {
                        body(world, b, one, len);
                } else {
                        one[len - 2] = '\0';
                        line(world, b, one);
                }
        }
}

static void roll_fault(struct sim_world *world, struct connection *b)
{
        const struct sim_script *script = world->script;

        b->has_fault = dice_permille(&world->dice, script->backend_faults);
        b->fault_stage = (enum stage)dice_below(&world->dice, STAGES);
        b->fault = (enum fault)dice_below(&world->dice, b->fault_stage == STAGE_KEPT ? FAULT_4XX : FAULTS);
        b->fault_at = dice_below(&world->dice, dice_below(&world->dice, 2) ? 300 : script->message_bytes / 2);
        if (dice_permille(&world->dice, script->backend_faults / 4))
                b->reset_at_us = world->now_us + 1 + dice_below(&world->dice, 20000000);
}

void sim_backends_event(struct sim_world *world, const struct tcp_event *event)
{
        struct sim_backends *backends = world->backends;
        struct connection *b;

        if (event->bits & TCP_EV_OPENED) {
                if (backends->used == SIM_BACKENDS_MAX) {
                        tcp_abort(world->backend_tcp, event->conn);
                        return;
                }
                b = &backends->connection[backends->used++];
                b->conn = event->conn;
                tcp_owner_set(world->backend_tcp, b->conn, backends->used);
                roll_fault(world, b);
                answer(world, b, STAGE_BANNER, "220 back ESMTP\r\n");
        } else {
                b = &backends->connection[event->owner - 1];
        }
        if (b->is_over)
                return;
        b->idle_us = world->now_us + IDLE_US;
        read_all(world, b);
        if (b->in_data && !b->is_over && !b->is_hung && !b->eof && event->bits & TCP_EV_EOF)
                sim_wrong(world, "a half message was ended in order", "port %u", b->client_port);
        b->eof |= (event->bits & (TCP_EV_EOF | TCP_EV_FINAL)) != 0;
        if (event->bits & TCP_EV_FINAL || (b->eof && !b->is_over && world->now_us >= b->wait_until_us))
                leave(world, b, event->bits & TCP_EV_FINAL || b->is_hung);
}

/* A server that is out refuses connections; those that it has go on. */
static void follow_outages(struct sim_world *world)
{
        for (unsigned i = 0; i < ARRAY_LEN(world->backends->outage); i++) {
                struct outage *outage = &world->backends->outage[i];
                bool is_out = world->now_us >= outage->from_us && world->now_us < outage->until_us;

                if (is_out == outage->is_out)
                        continue;
                outage->is_out = is_out;
                BUG_ON(is_out ? tcp_unlisten(world->backend_tcp, &outage->addr, 25) < 0
                              : tcp_listen(world->backend_tcp, &outage->addr, 25, 0) < 0);
        }
}

void sim_backends_act(struct sim_world *world)
{
        follow_outages(world);
        for (unsigned i = 0; i < world->backends->used; i++) {
                struct connection *b = &world->backends->connection[i];

                if (b->is_over)
                        continue;
                if ((b->reset_at_us && world->now_us >= b->reset_at_us) || world->now_us >= b->idle_us) {
                        leave(world, b, true);
                        continue;
                }
                if (b->wait_until_us && world->now_us >= b->wait_until_us) {
                        b->wait_until_us = 0;
                        if (b->late[0])
                                say(world, b, b->late);
                        b->late[0] = '\0';
                        read_all(world, b);
                        if (b->eof)
                                leave(world, b, false);
                }
        }
}

uint64_t sim_backends_due_us(const struct sim_world *world)
{
        uint64_t due_us = UINT64_MAX;

        for (unsigned i = 0; i < world->backends->used; i++) {
                const struct connection *b = &world->backends->connection[i];

                if (b->is_over)
                        continue;
                due_us = MIN(due_us, b->idle_us);
                if (b->reset_at_us)
                        due_us = MIN(due_us, b->reset_at_us);
                if (b->wait_until_us)
                        due_us = MIN(due_us, b->wait_until_us);
        }
        return due_us;
}
