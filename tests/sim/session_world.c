/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/session_world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_mempool.h>

#include "control/policy/policy.h"
#include "dataplane/shared/paths.h"
#include "tests/sim/check.h"
#include "tests/sim/witness.h"

#define WALL_US 1795500000000000ull
#define END_US  (8ull * 3600 * 1000000)
#define QUIET_US                                                                                             \
        (1300ull * 1000000) /* after the last client has gone: every deadline of a session, and TIME-WAIT */
#define STEPS_MAX    3000000u
#define SESSIONS_MAX 32u

/* What only the loop needs: the world of the parts first. */
struct rig {
        struct sim_world world;
        struct rte_mempool *pool;
        uint64_t wall_us;
        struct image *image;
        struct runtime runtime;
        struct link link;
        struct grey_table grey;
        struct client_table known;
        struct backends *backends;
        struct steer steer;
        struct sessions *sessions;
        struct sim_link *front, *back;
        struct witness *witness[2]; /* of front and back */
        uint64_t counters[3][COUNTER_MAX];
        uint64_t done_us; /* since when no client is there any more, 0: some are */
};

static const struct siphash_key key = { { 7, 8 } };

void sim_wrong(struct sim_world *world, const char *what, const char *format, ...)
{
        va_list args;

        if (world->result->wrong)
                return;
        world->result->wrong = what;
        va_start(args, format);
        vsnprintf(world->result->detail, sizeof(world->result->detail), format, args);
        va_end(args);
}

void sim_trace(const struct sim_world *world, const char *format, ...)
{
        va_list args;

        if (!world->script->trace)
                return;
        printf("%10.3f ", (double)world->now_us / 1000);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf("\n");
}

/* --- making it ------------------------------------------------------------------------------------------------------ */

static void make_policy(struct rig *rig)
{
        static const char site[] =
            "node: {hostname: mx.greyline.test}\n"
            "ports: [{name: front, device: x, addresses: [198.18.0.25/16]},\n"
            "        {name: back, device: y, addresses: [198.19.0.25/16]}]\n"
            "dns: {resolvers: [127.0.0.1]}\n"
            "pools: {main: {identity: xclient, servers: [{address: 198.19.0.10}, {address: 198.19.0.11}]}}\n"
            "domains: {example.org: {pool: main}}\n"
            "policies: {default: {greylist: {enabled: %s, block: 4m, window: 360m}}}\n";
        static struct policy_errors errors;
        const struct policy_options options = { .generation = 1, .now_sec = (uint32_t)(WALL_US / 1000000) };
        char text[1200], yaml[1500];
        void *image = NULL;
        size_t len = 0;

        snprintf(text, sizeof(text), site, rig->world.script->no_greylist ? "false" : "true");
        snprintf(yaml, sizeof(yaml), "%slisteners: [{name: mx, front: [198.18.0.25], greet_delay: %s}]\n",
                 text, rig->world.script->greet_delay ? "3s" : "0s");
        if (policy_compile_text("sim.yaml", yaml, strlen(yaml), NULL, &options, &errors, &image, &len) < 0) {
                printf("%s\n", errors.text[0]);
                abort();
        }
        rig->image = image;
        rig->runtime.image = image;
        backends_apply(rig->backends, rig->image, rig->runtime.server_map);
}

static struct tcp *make_tcp(struct rig *rig, unsigned which)
{
        struct tcp_settings settings = {
                .pool = rig->pool,
                .counters = rig->counters[which],
                .connections_max = 64,
                .packets_held_max = which == 0 ? rig->world.script->packets_held : 4000,
        };
        struct tcp *tcp;

        for (unsigned i = 0; i < sizeof(settings.secret); i++)
                settings.secret[i] = (uint8_t)dice_roll(&rig->world.dice);
        tcp = tcp_new(&settings);
        BUG_ON(!tcp);
        tcp_tick(tcp, rig->world.now_us);
        return tcp;
}

/* What control would have found out about each client: nothing against it. */
static void make_known(struct rig *rig)
{
        uint32_t now_sec = (uint32_t)(rig->wall_us / 1000000);

        for (unsigned i = 0; i < rig->world.script->clients; i++) {
                char text[ADDR_TEXT_MAX];
                struct addr addr;

                snprintf(text, sizeof(text), "198.18.%u.1", 10 + i);
                BUG_ON(addr_parse(text, &addr) < 0);
                client_table_write_zones(&rig->known, &addr, UINT32_MAX, CLIENT_ZONE_CLEAR, now_sec + 90000,
                                         now_sec);
                client_table_write_ptr(&rig->known, &addr, CLIENT_PTR_CONFIRMED, 0, "host.client.test", 16,
                                       now_sec + 90000, now_sec);
        }
}

static void make_sessions(struct rig *rig)
{
        struct sessions_settings settings = {
                .workers = 1,
                .tcp = rig->world.ours,
                .steer = &rig->steer,
                .grey = &rig->grey,
                .clients = &rig->known,
                .limits = rig->world.limits,
                .backends = rig->backends,
                .ask_ring = link_ask_ring(&rig->link, 0),
                .log_ring = link_log_ring(&rig->link, 0),
                .counters = rig->counters[0],
                .sessions_max = SESSIONS_MAX,
                .legs_max = rig->world.script->legs,
                .now_us = rig->world.now_us,
                .wall_us = rig->wall_us,
                .random = dice_roll(&rig->world.dice),
        };

        rig->sessions = sessions_new(&settings, &rig->runtime);
        BUG_ON(!rig->sessions);
}

static void make(struct rig *rig, const char *dir)
{
        const struct sim_script *script = rig->world.script;
        static const char *const files[] = { PATHS_GREY_TABLE, PATHS_CLIENT_TABLE, PATHS_LINK };
        static const char *const servers[] = { "198.19.0.10", "198.19.0.11" };
        uint8_t steer_key[STEER_KEY_BYTES] = { 1, 2, 3 };
        char path[3][256];

        for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
                snprintf(path[i], sizeof(path[i]), "%s/%s", dir, files[i]);
                (void)unlink(path[i]);
        }
        rig->backends = calloc(1, sizeof(*rig->backends));
        BUG_ON(!rig->backends);
        make_policy(rig);
        BUG_ON(link_create(&rig->link, dir, 1) < 0);
        BUG_ON(grey_table_open(&rig->grey, path[0], 4096, &key, NULL) < 0);
        BUG_ON(client_table_open(&rig->known, path[1], 4096, &key, NULL) < 0);
        rig->world.limits = limits_new(64, &key);
        BUG_ON(!rig->world.limits);
        steer_init(&rig->steer, 1, steer_key);
        rig->world.ours = make_tcp(rig, 0);
        rig->world.client_tcp = make_tcp(rig, 1);
        rig->world.backend_tcp = make_tcp(rig, 2);
        for (unsigned i = 0; i < ARRAY_LEN(servers); i++) {
                struct addr addr;

                BUG_ON(addr_parse(servers[i], &addr) < 0 ||
                       tcp_listen(rig->world.backend_tcp, &addr, 25, 0) < 0);
        }
        make_known(rig);
        make_sessions(rig);
        for (unsigned i = 0; i < 2; i++)
                rig->witness[i] = witness_new(script->packets_held >= 1000);
        rig->front =
            link_new(rig->pool, &script->front, rig->witness[0], dice_roll(&rig->world.dice), script->trace);
        rig->back =
            link_new(rig->pool, &script->back, rig->witness[1], dice_roll(&rig->world.dice), script->trace);
        rig->world.clients = sim_clients_new(&rig->world);
        rig->world.backends = sim_backends_new(&rig->world);
}

static void unmake(struct rig *rig)
{
        tcp_free(rig->world.ours);
        tcp_free(rig->world.client_tcp);
        tcp_free(rig->world.backend_tcp);
        link_free(rig->front);
        link_free(rig->back);
        witness_free(rig->witness[0]);
        witness_free(rig->witness[1]);
        sessions_free(rig->sessions);
        limits_free(rig->world.limits);
        client_table_close(&rig->known);
        grey_table_close(&rig->grey);
        link_done(&rig->link);
        free(rig->image);
        free(rig->backends);
        sim_clients_free(rig->world.clients);
        sim_backends_free(rig->world.backends);
}

/* --- the loop ------------------------------------------------------------------------------------------------------- */

static bool is_in_back(const struct addr *addr)
{
        return addr_v4_be(addr) == 0 || ((const uint8_t *)addr->bytes)[13] == 19;
}

static void deliver(struct rig *rig)
{
        struct sim_world *world = &rig->world;
        struct sim_link *links[] = { rig->front, rig->back };
        struct addr ours[2];
        struct tcp_icmp_quote quote;
        struct packet *packet;
        enum link_what what;

        BUG_ON(addr_parse("198.18.0.25", &ours[0]) < 0 || addr_parse("198.19.0.25", &ours[1]) < 0);
        for (unsigned i = 0; i < 2; i++) {
                while ((what = link_receive(links[i], world->now_us, &packet, &quote)) != LINK_NOTHING) {
                        bool is_ours = addr_is_equal(
                            what == LINK_PACKET ? &packet_meta(packet)->dst : &quote.local, &ours[i]);
                        struct tcp *to = is_ours  ? world->ours
                                         : i == 0 ? world->client_tcp
                                                  : world->backend_tcp;

                        if (what == LINK_PACKET)
                                tcp_input(to, &packet, 1, world->now_us);
                        else
                                tcp_icmp_error(to, &quote, world->now_us);
                }
        }
}

static void transmit_one(struct rig *rig, struct packet *packet, bool from_ours)
{
        const struct packet_meta *meta = packet_meta(packet);
        bool is_back = is_in_back(&meta->dst);
        const uint8_t *bytes = packet_data(packet);
        uint16_t src_port = (uint16_t)(bytes[0] << 8 | bytes[1]),
                 dst_port = (uint16_t)(bytes[2] << 8 | bytes[3]);

        bool is_cut = !is_back && sim_clients_drop(&rig->world, from_ours ? &meta->dst : &meta->src,
                                                   from_ours ? dst_port : src_port, from_ours);

        link_send(is_back ? rig->back : rig->front, packet, is_cut, rig->world.now_us);
}

static void transmit(struct rig *rig)
{
        struct tcp *ends[] = { rig->world.ours, rig->world.client_tcp, rig->world.backend_tcp };
        struct packet *packets[32];
        unsigned n;

        for (unsigned end = 0; end < ARRAY_LEN(ends); end++)
                while ((n = tcp_output(ends[end], packets, 32, rig->world.now_us)) > 0)
                        for (unsigned i = 0; i < n; i++)
                                transmit_one(rig, packets[i], end == 0);
}

/* The worker's turn, then the models'. */
static void turn(struct rig *rig)
{
        struct sim_world *world = &rig->world;
        struct tcp_event event;

        sessions_begin(rig->sessions, &rig->runtime, false, world->now_us, rig->wall_us);
        tcp_tick(world->ours, world->now_us);
        while (tcp_next_event(world->ours, &event))
                session_event(rig->sessions, &event);
        sessions_tick(rig->sessions);
        sessions_judge(rig->sessions);
        (void)sessions_publish(rig->sessions);
        tcp_tick(world->client_tcp, world->now_us);
        tcp_tick(world->backend_tcp, world->now_us);
        while (tcp_next_event(world->client_tcp, &event))
                sim_clients_event(world, &event);
        while (tcp_next_event(world->backend_tcp, &event))
                sim_backends_event(world, &event);
        sim_clients_act(world);
        sim_backends_act(world);
}

static void check(struct rig *rig)
{
        struct sim_world *world = &rig->world;
        struct tcp *ends[] = { world->ours, world->client_tcp, world->backend_tcp };
        uint32_t flying = link_held(rig->front) + link_held(rig->back), buffers[2] = { flying, flying };
        uint32_t in_use = rte_mempool_in_use_count(rig->pool);

        for (unsigned end = 0; end < ARRAY_LEN(ends); end++) {
                const char *what = sim_check(ends[end], true, buffers);

                if (what)
                        sim_wrong(world, what, "endpoint %u", end);
        }
        for (unsigned i = 0; i < 2; i++) {
                const char *what = witness_check(rig->witness[i], world->now_us);

                if (what)
                        sim_wrong(world, "a side does what no TCP may", "%s, %s", i == 0 ? "front" : "back",
                                  what);
        }
        if (in_use < buffers[0] || in_use > buffers[1])
                sim_wrong(world, "a packet was lost between the queues", "%u in use, %u to %u are held",
                          in_use, buffers[0], buffers[1]);
        if (sim_check_sessions(rig->sessions))
                sim_wrong(world, sim_check_sessions(rig->sessions), "at %.6f s", (double)world->now_us / 1e6);
}

static void step(struct rig *rig)
{
        struct sim_world *world = &rig->world;

        deliver(rig);
        turn(rig);
        transmit(rig);
        turn(rig);
        transmit(rig);
        check(rig);
        if (sim_clients_are_done(world) && rig->done_us == 0)
                rig->done_us = world->now_us;
        /* Health checks would go on for ever. */
        for (unsigned i = 0; rig->done_us && i < LINK_BACKENDS_MAX; i++)
                atomic_store(&rig->backends->backend[i].probe_due_us, UINT64_MAX);
}

static bool is_over(const struct rig *rig)
{
        const struct sim_world *world = &rig->world;
        struct tcp *ends[] = { world->ours, world->client_tcp, world->backend_tcp };

        if (!rig->done_us || sessions_open(rig->sessions) > 0 || link_due_us(rig->front) != UINT64_MAX ||
            link_due_us(rig->back) != UINT64_MAX)
                return false;
        for (unsigned end = 0; end < ARRAY_LEN(ends); end++) {
                struct tcp_stats stats;

                tcp_stats(ends[end], &stats);
                if (stats.connections || stats.syncache || stats.timewait)
                        return false;
        }
        return true;
}

static uint64_t next_due_us(const struct rig *rig)
{
        const struct sim_world *world = &rig->world;
        const uint64_t due_us[] = {
                link_due_us(rig->front),
                link_due_us(rig->back),
                tcp_next_due_us(world->ours),
                tcp_next_due_us(world->client_tcp),
                tcp_next_due_us(world->backend_tcp),
                sim_clients_due_us(world),
                sim_backends_due_us(world),
                sessions_due_us(rig->sessions),
        };
        uint64_t first_us = UINT64_MAX;

        for (unsigned i = 0; i < ARRAY_LEN(due_us); i++)
                first_us = MIN(first_us, due_us[i]);
        return first_us;
}

/* --- judging -------------------------------------------------------------------------------------------------------- */

static void judge_attempts(struct rig *rig)
{
        struct sim_world *world = &rig->world;
        const uint64_t *counters = rig->counters[0];
        unsigned unsure_gone = 0, unsure_lost = 0, certain_gone = 0, told = 0, deaf = 0, put_off = 0;

        for (unsigned i = 0; i < world->attempts; i++) {
                const struct sim_attempt *a = &world->attempt[i];

                world->result->kept += a->kept;
                if (a->kept > 1)
                        sim_wrong(world, "one attempt was kept more than once", "port %u message %u", a->port,
                                  a->message);
                if (a->told == 250 && a->kept == 0)
                        sim_wrong(world, "a message was acknowledged and not kept", "port %u message %u",
                                  a->port, a->message);
                if (a->told >= 500 && a->told != a->said && a->said != 0)
                        sim_wrong(world, "a message was refused with another word than the server's",
                                  "port %u message %u: %u, %u", a->port, a->message, a->told, a->said);
                if (a->kept > 0 && a->nth == 1 && !world->script->no_greylist)
                        sim_wrong(world, "a message was kept that its client has not tried again",
                                  "port %u message %u", a->port, a->message);
                told += a->told == 250;
                deaf += a->is_deaf;
                put_off += a->said >= 500 && a->told != 0 && a->told < 500;
                if (a->told >= 500 && a->kept > 0)
                        sim_wrong(world, "a message was refused for good and kept", "port %u message %u",
                                  a->port, a->message);
                certain_gone += a->kept > 0 && a->told == 0 && !a->is_deaf && a->is_certain;
                if (a->kept > 0 && a->told == 0 && !a->is_deaf)
                        unsure_gone++;
                else if (a->kept > 0 && a->told != 0 && a->told != 250)
                        unsure_lost++;
        }
        world->result->unsure = unsure_gone + unsure_lost;
        if (counters[COUNTER_messages_accepted] > told + deaf + counters[COUNTER_messages_ambiguous])
                sim_wrong(world, "more was accepted than was told or is counted as in doubt",
                          "%u, told %u, in doubt %u", (unsigned)counters[COUNTER_messages_accepted], told,
                          (unsigned)counters[COUNTER_messages_ambiguous]);
        if (told > counters[COUNTER_messages_accepted])
                sim_wrong(world, "more was told to be accepted than is counted", "%u", told);
        if (put_off > counters[COUNTER_backend_lost])
                sim_wrong(world, "more was put off that a server refused for good than servers were lost",
                          "%u", put_off);
        /* The window of RFC 1047: the backend was lost after it had all, or the client before it was told. */
        if (unsure_lost > counters[COUNTER_backend_lost])
                sim_wrong(world, "more was kept and put off than backends were lost", "%u", unsure_lost);
        if (certain_gone > counters[COUNTER_messages_ambiguous])
                sim_wrong(world, "the server said that it kept more than is counted as in doubt",
                          "%u, counted %u", certain_gone, (unsigned)counters[COUNTER_messages_ambiguous]);
        if (unsure_gone > counters[COUNTER_messages_ambiguous] + counters[COUNTER_backend_lost])
                sim_wrong(world, "more was kept and not told than is counted",
                          "%u, ambiguous %u, backends lost %u", unsure_gone,
                          (unsigned)counters[COUNTER_messages_ambiguous],
                          (unsigned)counters[COUNTER_backend_lost]);
        if (world->result->kept < counters[COUNTER_messages_accepted])
                sim_wrong(world, "more is counted as accepted than was kept", "%u", world->result->kept);
}

static void judge_rest(struct rig *rig)
{
        struct sim_world *world = &rig->world;

        if (rig->counters[0][COUNTER_legs_open] != 0 || rig->counters[0][COUNTER_sessions_open] != 0)
                sim_wrong(world, "sessions or backend connections are counted as open", "at the end");
        for (unsigned i = 0; i < rig->image->servers.count; i++)
                if (atomic_load(&rig->backends->backend[rig->runtime.server_map[i]].sessions) != 0)
                        sim_wrong(world, "a backend is counted as in use", "server %u", i);
        for (unsigned i = 0; i < world->script->clients; i++) {
                char text[ADDR_TEXT_MAX];
                struct addr addr, network;

                snprintf(text, sizeof(text), "198.18.%u.1", 10 + i);
                BUG_ON(addr_parse(text, &addr) < 0);
                network = addr_network(&addr, 24, 64);
                if (limits_count(rig->world.limits, &network) != 0)
                        sim_wrong(world, "a client's network has connections counted", "client %u", i);
                for (unsigned m = 0; m < SIM_MESSAGES_MAX; m++) {
                        bool is_delivered = sim_clients_delivered(world, i, m);

                        world->result->delivered += is_delivered;
                        if (world->script->must_deliver && !is_delivered)
                                sim_wrong(world, "a message did not arrive", "client %u message %u", i, m);
                }
        }
        world->result->messages = sim_clients_messages(world);
        world->result->delivered -= world->script->clients * SIM_MESSAGES_MAX - world->result->messages;
}

void sim_run(struct rte_mempool *pool, const char *dir, const struct sim_script *script,
             struct sim_result *ret)
{
        struct rig *rig = calloc(1, sizeof(*rig));
        struct sim_world *world = &rig->world;
        uint64_t began_us;

        BUG_ON(!rig);
        memset(ret, 0, sizeof(*ret));
        world->script = script;
        world->result = ret;
        world->dice.state = script->seed;
        world->now_us = began_us = 1000000000;
        rig->pool = pool;
        rig->wall_us = WALL_US;
        make(rig, dir);
        for (unsigned steps = 0; !ret->wrong; steps++) {
                uint64_t due_us;

                step(rig);
                if (is_over(rig))
                        break;
                due_us = next_due_us(rig);
                if (due_us == UINT64_MAX || world->now_us > began_us + END_US || steps > STEPS_MAX ||
                    (rig->done_us && world->now_us > rig->done_us + QUIET_US)) {
                        sim_wrong(world, "it does not end", "%u sessions are open",
                                  sessions_open(rig->sessions));
                        break;
                }
                /* At least a microsecond: a timer that is due again at once is served in the next step. */
                due_us = MAX(world->now_us + 1, due_us);
                rig->wall_us += due_us - world->now_us;
                world->now_us = due_us;
        }
        if (!ret->wrong) {
                judge_attempts(rig);
                judge_rest(rig);
        }
        ret->attempts = world->attempts;
        ret->sim_us = world->now_us - began_us;
        ret->packets = link_stats(rig->front)->packets + link_stats(rig->back)->packets;
        ret->lost = link_stats(rig->front)->lost + link_stats(rig->back)->lost;
        memcpy(ret->counters, rig->counters[0], sizeof(ret->counters));
        unmake(rig);
        free(rig);
        if (rte_mempool_in_use_count(pool) != 0 && !ret->wrong)
                ret->wrong = "packets are left over";
}
