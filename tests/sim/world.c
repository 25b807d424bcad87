/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "dataplane/shared/counters.h"
#include "dataplane/tcp/tcp.h"
#include "tests/sim/check.h"
#include "tests/sim/witness.h"

#define CONNECTIONS_MAX 16
#define CLIENT          0
#define SERVER          1
#define TALK_TURNS      5
#define PORT            25
#define GIVE_UP_US      (60ull * 1000000) /* a client that hears nothing at all for so long goes away */
#define TIMEWAIT_US     (60ull * 1000000)
#define END_US          (3ull * 3600 * 1000000)

enum fate {
        FATE_RUNNING,
        FATE_ENDED,  /* final event CLOSED, or its owner left it */
        FATE_BROKEN, /* RESET, TIMEOUT, REFUSED */
};

/* One side of one connection, as its owner sees it. */
struct side {
        struct tcp_handle conn;
        bool opened, eof, shut, is_server;
        enum fate fate;
        enum world_close close;
        uint32_t to_send, sent, received;
        uint32_t turn;                /* WORLD_TALK */
        uint32_t expect;              /* bytes of the peer's, all in all; UINT32_MAX: as many as come */
        uint64_t stream, peer_stream; /* what the bytes are made of */
        uint64_t pause_until_us;      /* does not read before */
        uint64_t abort_at_us;         /* 0: never */
        uint64_t heard_us;
        uint64_t over_us; /* when its fate was known, 0: not yet */
        uint32_t events;
};

struct world {
        const struct world_script *script;
        struct world_result *result;
        struct rte_mempool *pool;
        struct tcp *tcp[2];
        struct sim_link *link;
        struct witness *witness;
        uint64_t opened[2]; /* connections that each end has said to be open */
        struct dice dice;
        uint64_t now_us, began_us;
        struct side side[2][CONNECTIONS_MAX];
        uint16_t client_port[CONNECTIONS_MAX];
};

static uint8_t byte_of(uint64_t stream, uint32_t at)
{
        return (uint8_t)((at * 2654435761u >> 11) ^ (stream >> (at % 29)));
}

static void wrong(struct world *world, const char *what)
{
        if (world->result->wrong)
                return;
        snprintf(world->result->text, sizeof(world->result->text), "%s", what);
        world->result->wrong = world->result->text;
}

/* --- owners --------------------------------------------------------------------------------------------- */

static void leave(struct world *world, struct side *side)
{
        tcp_close(world->tcp[side->is_server], side->conn);
        side->fate = FATE_ENDED;
}

static uint32_t talk_len(const struct side *side, uint32_t turn)
{
        return 10 + (uint32_t)(side->stream >> (turn % 8)) % 120;
}

/* Send what there is room for. */
static void owner_send(struct world *world, struct side *side)
{
        struct tcp *tcp = world->tcp[side->is_server];
        uint8_t bytes[6000];

        while (side->sent < side->to_send) {
                uint32_t len =
                    1 + dice_below(&world->dice, dice_below(&world->dice, 4) ? 600 : sizeof(bytes));

                len = MIN(len, side->to_send - side->sent);
                for (uint32_t i = 0; i < len; i++)
                        bytes[i] = byte_of(side->stream, side->sent + i);
                if (!tcp_send_copy(tcp, side->conn, bytes, len))
                        return;
                side->sent += len;
        }
}

/* Read and verify, by pieces of random size; sometimes stop for a while. */
static void owner_read(struct world *world, struct side *side)
{
        struct tcp *tcp = world->tcp[side->is_server];
        const uint8_t *bytes;
        uint32_t len;

        while (world->now_us >= side->pause_until_us &&
               (bytes = tcp_recv_peek(tcp, side->conn, &len)) != NULL) {
                len = 1 + dice_below(&world->dice, len);
                if (side->close == WORLD_RELAY && side->is_server) {
                        len = tcp_send_move(tcp, side->conn, side->conn, len);
                        if (len == 0)
                                return;
                        side->received += len;
                        side->sent += len;
                        side->to_send = side->sent;
                        continue;
                }
                for (uint32_t i = 0; i < len; i++)
                        if (bytes[i] != byte_of(side->peer_stream, side->received + i))
                                wrong(world, "a byte is not what was sent");
                if (tcp_recv_consume(tcp, side->conn, len) != len)
                        wrong(world, "peeked bytes could not be consumed");
                side->received += len;
                if (side->received > side->expect)
                        wrong(world, "more bytes came than were sent");
                if (world->script->read_pause_us && dice_permille(&world->dice, 100))
                        side->pause_until_us =
                            world->now_us + dice_below(&world->dice, 2 * world->script->read_pause_us);
        }
}

/* Turns of WORLD_TALK: who has heard the other's turn out says his; the server has the first and the last word. */
static void owner_talk(struct side *side, const struct side *other)
{
        uint32_t heard = 0;

        for (uint32_t turn = 0; turn < TALK_TURNS; turn++) {
                bool mine = (turn % 2 == 0) == side->is_server;

                if (mine && side->turn == turn) {
                        side->to_send += talk_len(side, turn);
                        side->turn++;
                } else if (!mine && side->turn == turn) {
                        heard += talk_len(other, turn);
                        if (side->received < heard)
                                return;
                        side->turn++;
                } else if (!mine) {
                        heard += talk_len(other, turn);
                }
        }
}

static bool is_done(const struct side *side)
{
        return side->sent == side->to_send && (side->close != WORLD_TALK || side->turn == TALK_TURNS);
}

/* Does this side's owner finish sending now? */
static bool wants_shutdown(const struct side *side)
{
        if (!is_done(side) || side->shut)
                return false;
        switch (side->close) {
        case WORLD_CLIENT_FIRST:
        case WORLD_CLIENT_LEAVES:
        case WORLD_CLIENT_ABORTS:
        case WORLD_RELAY:
                return side->is_server ? side->eof : side->close != WORLD_CLIENT_LEAVES;
        case WORLD_SERVER_FIRST:
        case WORLD_SERVER_ABORTS:
        case WORLD_TALK:
                return side->is_server || side->eof;
        case WORLD_SERVER_LEAVES:
                return !side->is_server && side->eof;
        default:
                return true;
        }
}

static bool wants_to_leave(const struct side *side)
{
        if (!is_done(side))
                return false;
        if (side->close == WORLD_CLIENT_LEAVES)
                return !side->is_server && side->received == side->expect;
        return side->close == WORLD_SERVER_LEAVES && side->is_server;
}

static void owner_act(struct world *world, struct side *side, const struct side *other)
{
        struct tcp *tcp = world->tcp[side->is_server];

        if (side->fate != FATE_RUNNING || !side->opened)
                return;
        if (side->abort_at_us && world->now_us >= side->abort_at_us) {
                tcp_abort(tcp, side->conn);
                side->fate = FATE_ENDED;
                return;
        }
        if (!side->is_server && world->now_us >= side->heard_us + GIVE_UP_US && side->received == 0 &&
            other->to_send > 0) {
                tcp_abort(tcp, side->conn);
                side->fate = FATE_BROKEN;
                return;
        }
        owner_read(world, side);
        if (side->close == WORLD_TALK)
                owner_talk(side, other);
        owner_send(world, side);
        if (wants_to_leave(side)) {
                leave(world, side);
        } else if (wants_shutdown(side)) {
                tcp_shutdown(tcp, side->conn);
                side->shut = true;
        }
}

static void take_event(struct world *world, bool is_server, const struct tcp_event *event)
{
        struct side *side = NULL;

        world->opened[is_server] += !!(event->bits & (TCP_EV_OPENED | TCP_EV_CONNECTED));
        if (event->bits & TCP_EV_OPENED) {
                struct tcp_info info;

                if (!tcp_info(world->tcp[is_server], event->conn, &info))
                        wrong(world, "a connection that opened is not known");
                for (unsigned i = 0; i < world->script->connections; i++)
                        if (world->client_port[i] == info.remote_port)
                                side = &world->side[SERVER][i];
                if (side && side->opened && side->fate != FATE_RUNNING && world->script->syncache_max) {
                        /* While cookies are in use, a late segment with one opens what was closed already. */
                        tcp_abort(world->tcp[is_server], event->conn);
                        return;
                }
                if (!side || side->opened || event->listener_id != 77) {
                        wrong(world, "a connection opened that nobody made");
                        return;
                }
                side->conn = event->conn;
                side->opened = true;
                tcp_owner_set(world->tcp[is_server], event->conn, (uint64_t)(uintptr_t)side);
        } else {
                side = (struct side *)(uintptr_t)event->owner;
        }
        if (side->fate != FATE_RUNNING) {
                wrong(world, "an event about a connection that was given up");
                return;
        }
        side->events |= event->bits;
        if (event->bits & TCP_EV_CONNECTED)
                side->opened = true;
        if (event->bits & (TCP_EV_DATA | TCP_EV_CONNECTED))
                side->heard_us = world->now_us;
        if (event->bits & TCP_EV_FINAL)
                side->pause_until_us = 0;
        if (side->opened)
                owner_read(world, side);
        if (event->bits & TCP_EV_EOF) {
                if (tcp_recv_bytes(world->tcp[is_server], side->conn) > 0)
                        wrong(world, "EOF before everything was read");
                side->eof = true;
        }
        if (event->bits & TCP_EV_CLOSED) {
                struct tcp_info info;

                if (!side->eof || !side->shut)
                        wrong(world, "CLOSED before both sides had finished");
                if (!tcp_info(world->tcp[is_server], side->conn, &info) || info.unacked_bytes ||
                    info.unsent_bytes)
                        wrong(world, "CLOSED with bytes on their way");
                side->fate = FATE_ENDED;
        } else if (event->bits & TCP_EV_FINAL) {
                side->fate = FATE_BROKEN;
        }
}

/* --- the loop ------------------------------------------------------------------------------------------- */

static void run_owners(struct world *world)
{
        for (unsigned end = 0; end < 2; end++) {
                struct tcp_event event;

                while (tcp_next_event(world->tcp[end], &event))
                        take_event(world, end, &event);
        }
        for (unsigned i = 0; i < world->script->connections; i++) {
                owner_act(world, &world->side[CLIENT][i], &world->side[SERVER][i]);
                owner_act(world, &world->side[SERVER][i], &world->side[CLIENT][i]);
        }
}

static uint64_t next_due_us(const struct world *world)
{
        uint64_t due_us = link_due_us(world->link);

        for (unsigned end = 0; end < 2; end++) {
                due_us = MIN(due_us, tcp_next_due_us(world->tcp[end]));
                for (unsigned i = 0; i < world->script->connections; i++) {
                        const struct side *side = &world->side[end][i];

                        if (side->fate != FATE_RUNNING || !side->opened)
                                continue;
                        if (side->pause_until_us > world->now_us)
                                due_us = MIN(due_us, side->pause_until_us);
                        if (side->abort_at_us > world->now_us)
                                due_us = MIN(due_us, side->abort_at_us);
                        if (!side->is_server && side->received == 0 &&
                            side->heard_us + GIVE_UP_US > world->now_us)
                                due_us = MIN(due_us, side->heard_us + GIVE_UP_US);
                }
        }
        return due_us;
}

static void deliver(struct world *world)
{
        struct packet *burst[2][32], *packet;
        struct tcp_icmp_quote quote;
        unsigned n[2] = { 0, 0 };
        enum link_what what;

        while (n[0] < 32 && n[1] < 32 &&
               (what = link_receive(world->link, world->now_us, &packet, &quote)) != LINK_NOTHING) {
                const struct addr *to = what == LINK_PACKET ? &packet_meta(packet)->dst : &quote.local;
                unsigned end = to->bytes[15] == 2 ? SERVER : CLIENT;

                if (what == LINK_PACKET)
                        burst[end][n[end]++] = packet;
                else
                        tcp_icmp_error(world->tcp[end], &quote, world->now_us);
        }
        for (unsigned end = 0; end < 2; end++)
                tcp_input(world->tcp[end], burst[end], n[end], world->now_us);
}

static void transmit(struct world *world)
{
        struct packet *burst[16];
        unsigned n;

        for (unsigned end = 0; end < 2; end++)
                while ((n = tcp_output(world->tcp[end], burst, 1 + dice_below(&world->dice, 16),
                                       world->now_us)) > 0)
                        for (unsigned i = 0; i < n; i++)
                                link_send(world->link, burst[i], false, world->now_us);
}

static bool is_over(const struct world *world)
{
        for (unsigned end = 0; end < 2; end++) {
                struct tcp_stats stats;

                tcp_stats(world->tcp[end], &stats);
                if (stats.connections || stats.syncache || stats.timewait)
                        return false;
        }
        return link_due_us(world->link) == UINT64_MAX;
}

static void check(struct world *world)
{
        uint32_t buffers[2] = { link_held(world->link), link_held(world->link) };
        uint32_t in_use = rte_mempool_in_use_count(world->pool);
        const char *what = NULL;

        for (unsigned end = 0; end < 2 && !what; end++)
                what = sim_check(world->tcp[end], true, buffers);
        if (!what)
                what = witness_check(world->witness, world->now_us);
        if (!what && (in_use < buffers[0] || in_use > buffers[1]))
                what = "a packet was lost between the queues";
        if (what)
                wrong(world, what);
}

static void step(struct world *world)
{
        deliver(world);
        for (unsigned end = 0; end < 2; end++)
                tcp_tick(world->tcp[end], world->now_us);
        run_owners(world);
        transmit(world);
        /* What was found out while transmitting is told before the invariants are looked at. */
        run_owners(world);
        transmit(world);
        check(world);
        for (unsigned i = 0; i < 2 * CONNECTIONS_MAX; i++) {
                struct side *side = &world->side[i % 2][i / 2];

                if (side->fate != FATE_RUNNING && side->over_us == 0)
                        side->over_us = world->now_us;
        }
}

static void open_all(struct world *world)
{
        const struct world_script *script = world->script;
        struct addr client, server;

        BUG_ON(addr_parse(script->v6 ? "2001:2::1" : "198.18.0.1", &client) < 0);
        BUG_ON(addr_parse(script->v6 ? "2001:2::2" : "198.18.0.2", &server) < 0);
        BUG_ON(tcp_listen(world->tcp[SERVER], &server, PORT, 77) < 0);
        for (unsigned i = 0; i < script->connections; i++) {
                struct side *c = &world->side[CLIENT][i], *s = &world->side[SERVER][i];

                c->close =
                    script->close < WORLD_CLOSES ? script->close : dice_below(&world->dice, WORLD_CLOSES);
                s->close = c->close;
                s->is_server = true;
                c->stream = s->peer_stream = dice_roll(&world->dice);
                s->stream = c->peer_stream = dice_roll(&world->dice);
                if (c->close != WORLD_TALK) {
                        c->to_send = dice_below(&world->dice, script->client_bytes + 1);
                        s->to_send = dice_below(&world->dice, script->server_bytes + 1);
                }
                c->expect = s->to_send;
                s->expect = c->to_send;
                if (c->close == WORLD_SERVER_LEAVES) /* within what a server that left still swallows */
                        c->to_send = s->expect = MIN(c->to_send, 100000u);
                if (c->close == WORLD_RELAY) {
                        s->to_send = 0;
                        c->expect = c->to_send;
                        c->peer_stream = c->stream;
                } else if (c->close == WORLD_TALK) {
                        c->expect = s->expect = UINT32_MAX;
                } else if (c->close == WORLD_CLIENT_ABORTS) {
                        c->abort_at_us = 1 + dice_below(&world->dice, 3000000);
                } else if (c->close == WORLD_SERVER_ABORTS) {
                        s->abort_at_us = 1 + dice_below(&world->dice, 3000000);
                }
                world->client_port[i] = (uint16_t)(20000 + 37 * i);
                BUG_ON(tcp_connect(world->tcp[CLIENT], &client, world->client_port[i], &server, PORT,
                                   (uint64_t)(uintptr_t)c, world->now_us, &c->conn) < 0);
        }
}

/*
 * How long a connection may take on a link that loses nothing, whose owners read at once: some round trips, as many more
 * as the smallest window is filled, and the delays of ACKs. 0: no word about that.
 */
static uint64_t time_allowed_us(const struct world_script *script, uint64_t bytes)
{
        const struct link_profile *p = &script->profile;
        uint64_t round_us = 2ull * (p->delay_us + p->jitter_us) + 50000,
                 window = script->window_bytes ? script->window_bytes : 8192;

        if (p->loss || p->good_to_bad || p->corrupt || p->reorder || p->duplicate || p->bytes_ms || p->mtu ||
            p->mtu_later || p->dead_from_us || p->drop_mask || script->read_pause_us || script->syncache_max)
                return 0;
        return 5000000 + 3 * round_us * (20 + bytes / (window / 2));
}

static void judge_time(struct world *world, const struct side *c, const struct side *s)
{
        uint64_t allowed_us = time_allowed_us(world->script, (uint64_t)c->sent + s->sent);
        uint64_t first_us = MIN(c->over_us, s->over_us), last_us = MAX(c->over_us, s->over_us);

        if (allowed_us == 0 || !s->opened)
                return;
        if (last_us > world->began_us + allowed_us)
                wrong(world, "it took far too long");
        if (last_us > first_us + allowed_us)
                wrong(world, "one end did not hear of the end of the other");
}

/* Did the connection do what its script says? */
static void judge(struct world *world, unsigned i)
{
        const struct side *c = &world->side[CLIENT][i], *s = &world->side[SERVER][i];
        bool abort = c->close == WORLD_CLIENT_ABORTS || c->close == WORLD_SERVER_ABORTS;

        if (c->fate == FATE_RUNNING || (s->opened && s->fate == FATE_RUNNING)) {
                wrong(world, "an owner still waits");
                return;
        }
        judge_time(world, c, s);
        if (abort) {
                world->result->whole++;
                return;
        }
        if (c->fate == FATE_BROKEN || s->fate == FATE_BROKEN || !s->opened) {
                world->result->broken++;
                return;
        }
        if (c->close != WORLD_SERVER_LEAVES && s->received != c->sent)
                wrong(world, "both ended in order, but the server does not have everything");
        if (c->received != s->sent)
                wrong(world, "both ended in order, but the client does not have everything");
        world->result->whole++;
}

/* On a link that loses nothing: nothing that keeps its order is sent again, and TIME-WAIT is all that stays for a while. */
static void judge_calm(struct world *world)
{
        uint64_t allowed_us = time_allowed_us(world->script, 0), last_us = 0;

        if (allowed_us == 0)
                return;
        for (unsigned i = 0; i < 2 * CONNECTIONS_MAX; i++)
                last_us = MAX(last_us, world->side[i % 2][i / 2].over_us);
        if (world->now_us > last_us + allowed_us + TIMEWAIT_US)
                wrong(world, "something stays far too long");
        for (unsigned end = 0; end < 2; end++)
                if (world->script->profile.jitter_us == 0 &&
                    world->result->counters[end][COUNTER_tcp_retransmits] > 0)
                        wrong(world, "something was sent again, and nothing was lost");
}

/* Each end has counted what the wire and its owners have seen. */
static void judge_counters(struct world *world)
{
        const struct link_stats *stats = &world->result->link;

        for (unsigned end = 0; end < 2; end++) {
                const uint64_t *counters = world->result->counters[end];
                enum link_way out = end == CLIENT ? LINK_UP : LINK_DOWN,
                              in = end == CLIENT ? LINK_DOWN : LINK_UP;

                if (counters[COUNTER_tcp_segments_out] != stats->sent[out] ||
                    counters[COUNTER_tcp_segments_in] != stats->delivered[in])
                        wrong(world, "segments are miscounted");
        }
        if (world->result->counters[SERVER][COUNTER_tcp_accepted] != world->opened[SERVER] ||
            world->result->counters[CLIENT][COUNTER_tcp_connects] != world->script->connections ||
            world->opened[CLIENT] > world->script->connections)
                wrong(world, "connections are miscounted");
}

static void make_endpoints(struct world *world)
{
        const struct world_script *script = world->script;

        for (unsigned end = 0; end < 2; end++) {
                struct tcp_settings set = {
                        .pool = world->pool,
                        .counters = world->result->counters[end],
                        .connections_max = 64,
                        .syncache_max = script->syncache_max,
                        .timewait_max = 32,
                        .window_bytes = script->window_bytes,
                        .window_max_bytes = 256 << 10,
                        .send_bytes_max = 64 << 10,
                        .drain_us =
                            40000000, /* longer than the longest message takes with the smallest window */
                        .keepalive_us = 40000000,
                        .linear_only = script->linear_only,
                };

                for (unsigned i = 0; i < sizeof(set.secret); i++)
                        set.secret[i] = (uint8_t)dice_roll(&world->dice);
                world->tcp[end] = tcp_new(&set);
                BUG_ON(!world->tcp[end]);
        }
}

void world_run(struct rte_mempool *pool, const struct world_script *script, struct world_result *ret)
{
        struct world *world = calloc(1, sizeof(*world));

        BUG_ON(!world || script->connections > CONNECTIONS_MAX);
        memset(ret, 0, sizeof(*ret));
        world->script = script;
        world->result = ret;
        world->pool = pool;
        world->dice.state = script->seed;
        world->now_us = 1000000 + dice_below(&world->dice, 1u << 31);
        world->witness = witness_new(true);
        world->link = link_new(pool, &script->profile, script->syncache_max ? NULL : world->witness,
                               dice_roll(&world->dice), script->trace);
        make_endpoints(world);
        tcp_tick(world->tcp[0], world->now_us);
        tcp_tick(world->tcp[1], world->now_us);
        open_all(world);
        for (unsigned i = 0; i < script->connections; i++)
                for (unsigned end = 0; end < 2; end++)
                        if (world->side[end][i].abort_at_us)
                                world->side[end][i].abort_at_us += world->now_us;
        ret->end_us = world->began_us = world->now_us;
        for (uint64_t steps = 0; !ret->wrong; steps++) {
                uint64_t due_us;

                step(world);
                if (is_over(world))
                        break;
                due_us = next_due_us(world);
                if (due_us == UINT64_MAX || due_us > ret->end_us + END_US || steps > 2000000) {
                        wrong(world, "it does not end");
                        break;
                }
                world->now_us = MAX(world->now_us, due_us);
        }
        ret->end_us = world->now_us - ret->end_us;
        for (unsigned i = 0; i < script->connections; i++)
                judge(world, i);
        ret->link = *link_stats(world->link);
        judge_counters(world);
        judge_calm(world);
        tcp_free(world->tcp[0]);
        tcp_free(world->tcp[1]);
        link_free(world->link);
        witness_free(world->witness);
        free(world);
        if (rte_mempool_in_use_count(pool) != 0 && !ret->wrong)
                ret->wrong = "packets are left over";
}
