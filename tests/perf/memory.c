/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sessions hold, and what is left of them.
 *
 *     memory idle-4k|idle-1M [hugepages]       open, keep idle, answer, close, twice
 *     memory flood-200k|flood-10M [hugepages]  SYN of spoofed sources, while one client comes again and again
 *
 * idle: so many sessions are brought through banner and EHLO in the real worker, all at one time; their bytes are
 * what the process grew by (anonymous memory, which the sessions' pools are; packets are counted apart by their
 * pool, since all were touched before). Then each says NOOP, then QUIT, and when TIME-WAIT is over every gauge, list
 * and pool must be where it was before the first came. The second time the process must not grow.
 *
 * flood: half of the sources are in the client's own /24, whose limit is 2 connections.
 */
#include <arpa/inet.h>
#include <string.h>

#include <rte_mempool.h>

#include "dataplane/session/internal.h"
#include "dataplane/shared/paths.h"
#include "dataplane/tcp/conn.h"
#include "tests/perf/frame.h"

#define BURST        PORT_BURST_MAX
#define PASS_US      20u
#define FLOOD_US     50u         /* a burst: 640,000 SYN a second */
#define FIRST_CLIENT 0x0b000000u /* 11.0.0.0 */
#define FIRST_PORT   40000u
#define CLIENT       (FIRST_CLIENT + 77u)
#define CLIENT_PORT  1023u       /* below those of the flood */
#define SOURCES      0x20000000u /* a flood's: 32.0.0.0/3 */
#define WAIT_US      70000000u   /* TIME-WAIT, half-open clients and a minute of the limits are over */
#define CLIENT_COMES 32u         /* times in a flood */
#define LARGE        100000u     /* sessions from which on bytes are judged: below, large pages decide */
#define BYTES_MAX    512.0
/* Two large pages of noise. A sanitizer's own memory is not the worker's: there only leaks are looked for. */
#ifdef POISON_IS_ON
#define SLACK_MB     1e6
#else
#define SLACK_MB     4.0
#endif
#define ANY_ACK      FRAME_ACK | FRAME_PSH

struct step {
        const char *name;
        uint8_t flags;
        const char *say, *want;
        bool is_silent; /* an acknowledgement: no reply */
};

static const struct step opening[] = {
        { "syn", FRAME_SYN, "", "", false },
        { "ack", FRAME_ACK, "", "220 mx.greyline.test ESMTP", false },
        { "ehlo", ANY_ACK, "EHLO mail.example.com\r\n", "250-mx.greyline.test", false },
        { "taken", FRAME_ACK, "", "", true },
};

static const struct step asking[] = {
        { "noop", ANY_ACK, "NOOP\r\n", "250 2.0.0 ", false },
        { "taken", FRAME_ACK, "", "", true },
};

static const struct step closing[] = {
        { "quit", ANY_ACK, "QUIT\r\n", "221 2.0.0 ", false },
        { "fin", FRAME_ACK | FRAME_FIN, "", "", false },
};

/* Everything that must come back to where it was. */
struct state {
        struct worker_held held;
        uint64_t gauges[COUNTER_USED];
        unsigned packets;
        double anonymous_mb;
};

static struct rig rig;
static struct frames frames;
static struct rte_mempool *packets; /* the worker's */
static uint64_t seed = 88172645463325252ull;

/* --- looking -------------------------------------------------------------------------------------------------- */

static double status_mb(const char *field)
{
        FILE *file = fopen("/proc/self/status", "r");
        char line[256];
        unsigned long kb = 0;

        while (file && fgets(line, sizeof(line), file)) {
                if (strncmp(line, field, strlen(field)) == 0)
                        kb = strtoul(line + strlen(field), NULL, 10);
        }
        if (file == NULL)
                rig_fail("no /proc/self/status");
        fclose(file);
        return (double)kb * 1024 / 1e6;
}

static struct state look(void)
{
        struct state state = { .anonymous_mb = status_mb("RssAnon:") };
        struct packet *packet;

        /* Nobody is at the other port: what was announced there lies in its ring. */
        while (rte_ring_sc_dequeue(rig.from[RIG_BACK], (void **)&packet) == 0)
                packet_free(packet);
        state.packets = rte_mempool_in_use_count(packets);
        worker_held(rig.dataplane.worker[0], &state.held);
        for (unsigned i = 0; i < COUNTER_USED; i++) {
                if (strcmp(counter_infos[i].unit, "now") == 0)
                        state.gauges[i] = rig_counter(&rig, i);
        }
        return state;
}

static void must_be_same(const struct state *before, const struct state *after)
{
        for (unsigned i = 0; i < COUNTER_USED; i++) {
                if (i != COUNTER_neighbors_used && before->gauges[i] != after->gauges[i])
                        rig_fail("left: %s was %lu and is %lu", counter_infos[i].name, before->gauges[i], after->gauges[i]);
        }
        if (memcmp(&before->held, &after->held, sizeof(before->held)) != 0)
                rig_fail("left: %u sessions, %u asking, %lu bytes of texts, %u connections, %u flights, %u packets held",
                         after->held.sessions.sessions, after->held.sessions.asking, after->held.sessions.texts_bytes,
                         after->held.tcp.connections, after->held.tcp.flights, after->held.tcp.packets_held);
        if (before->packets != after->packets)
                rig_fail("left: %u packets were in use, now %u", before->packets, after->packets);
}

/* Use every packet once, so that no page of them is new later. */
static void touch_packets(struct rte_mempool *pool)
{
        struct packet *first = NULL, *packet;

        while ((packet = packet_new(pool)) != NULL) {
                uint16_t room = rte_pktmbuf_tailroom(&packet->mbuf);

                memset(packet_append(packet, room), 0, room);
                memcpy(packet_data(packet), &first, sizeof(first));
                first = packet;
        }
        while ((packet = first) != NULL) {
                memcpy(&first, packet_data(packet), sizeof(first));
                packet_free(packet);
        }
}

static void start(const struct rig_options *options)
{
        struct segment segment;
        struct packet *packet;

        rig_start(&rig, options);
        frames_init(&frames, &rig);
        packets = rte_mempool_lookup("packets");
        touch_packets(packets);
        touch_packets(rig.pool);
        for (unsigned i = 0; i < 2000; i++) { /* the gateway's MAC address is asked for and learned */
                rig_turn(&rig, 1000);
                while (frames_next(&frames, &segment, &packet))
                        packet_free(packet);
        }
}

static void wait_us(uint64_t us)
{
        struct segment segment;
        struct packet *packet;

        for (uint64_t passed = 0; passed < us; passed += 10000) {
                rig_turn(&rig, 10000);
                while (frames_next(&frames, &segment, &packet))
                        packet_free(packet);
        }
}

static bool is_reply(const struct step *step, const struct segment *segment)
{
        size_t len = strlen(step->want);

        return segment->len >= len && memcmp(segment->bytes, step->want, len) == 0;
}

/* --- idle ------------------------------------------------------------------------------------------------------- */

/* One step of up to 32 sessions; their peers follow each other, as their addresses do. */
static void one_step(struct peer *all, struct peer *peers, unsigned n, const struct step *step)
{
        struct packet *burst[BURST], *packet;
        struct segment segment;
        unsigned replies = 0;

        for (unsigned i = 0; i < n; i++)
                burst[i] = frame_build(&frames, &peers[i], step->flags, step->say, strlen(step->say));
        frames_send(&frames, burst, n);
        do {
                rig_turn(&rig, PASS_US);
                while (frames_next(&frames, &segment, &packet)) {
                        peer_take(&all[segment.dst - FIRST_CLIENT], &segment);
                        if (!is_reply(step, &segment))
                                rig_fail("step %s: reply \"%.*s\"", step->name, segment.len, segment.bytes);
                        replies++;
                        packet_free(packet);
                }
        } while (!rte_ring_empty(rig.to[RIG_FRONT]));
        if (replies != (step->is_silent ? 0 : n))
                rig_fail("step %s: %u replies to %u", step->name, replies, n);
}

static void all_steps(struct peer *peers, uint32_t n, const struct step *steps, unsigned n_steps)
{
        for (uint32_t first = 0; first < n; first += BURST) {
                for (unsigned step = 0; step < n_steps; step++)
                        one_step(peers, &peers[first], MIN(BURST, n - first), &steps[step]);
        }
}

static void print_idle(uint32_t n, const struct state *before, const struct state *open)
{
        double grown = (open->anonymous_mb - before->anonymous_mb) * 1e6 / n, known;
        double texts = (double)open->held.sessions.texts_bytes / n, table = (double)open->held.tcp.table_bytes / n;
        char name[64];

        snprintf(name, sizeof(name), "memory.%u", n);
        figure_value(name, "bytes/session", grown);
        known = (double)(sizeof(struct tcp_conn) + sizeof(struct session)) + texts + table;
        figure_value("memory.connection", "bytes/session", sizeof(struct tcp_conn));
        figure_value("memory.session", "bytes/session", sizeof(struct session));
        figure_value("memory.texts", "bytes/session", texts);
        figure_value("memory.table", "bytes/session", table);
        figure_value("memory.rest", "bytes/session", grown - known);
        figure_value("memory.packets", "packets", (double)open->packets - before->packets);
        if (n >= LARGE && grown > BYTES_MAX)
                rig_fail("a session takes %.0f bytes", grown);
}

static void must_be_idle(uint32_t n, const struct state *before, const struct state *now)
{
        if (now->held.sessions.sessions != n || now->held.tcp.connections != n)
                rig_fail("%u sessions and %u connections are open", now->held.sessions.sessions, now->held.tcp.connections);
        if (now->held.tcp.flights != 0 || now->held.tcp.packets_held != 0 || now->packets != before->packets)
                rig_fail("idle sessions hold %u flights and %u packets", now->held.tcp.flights,
                         now->packets - before->packets);
}

static int run_idle(bool hugepages, uint32_t n)
{
        struct rig_options options = { .hugepages = hugepages, .sessions = n, .grey_entries = 100000,
                                       .client_entries = 100000 };
        struct peer *peers = malloc(n * sizeof(*peers));
        struct state before, open, again, first_end = { .packets = 0 };

        start(&options);
        memset(peers, 1, n * sizeof(*peers)); /* the generator's, not the worker's */
        before = look();
        for (unsigned round = 0; round < 2; round++) {
                for (uint32_t i = 0; i < n; i++)
                        peers[i] = (struct peer){ .address = FIRST_CLIENT + i, .port = (uint16_t)(FIRST_PORT + round),
                                                  .seq = (uint32_t)random_next(&seed) };
                all_steps(peers, n, opening, ARRAY_LEN(opening));
                wait_us(60000000); /* questions have had their time, and the sessions do nothing */
                open = look();
                must_be_idle(n, &before, &open);
                if (round == 0)
                        print_idle(n, &before, &open);
                all_steps(peers, n, asking, ARRAY_LEN(asking));
                again = look();
                must_be_idle(n, &before, &again);
                all_steps(peers, n, closing, ARRAY_LEN(closing));
                for (uint32_t i = 0; i < n; i++) {
                        if (!peers[i].fin)
                                rig_fail("session %u was not closed", i);
                }
                wait_us(WAIT_US + (uint64_t)n * 20); /* 1024 entries of TIME-WAIT end in a turn */
                again = look();
                must_be_same(&before, &again);
                if (round == 0)
                        first_end = again;
        }
        figure_value("memory.grown_by_second_round", "MB", again.anonymous_mb - first_end.anonymous_mb);
        if (again.anonymous_mb - first_end.anonymous_mb > SLACK_MB)
                rig_fail("the second round took more memory");
        rig_stop(&rig);
        free(peers);
        return 0;
}

/* --- flood ------------------------------------------------------------------------------------------------------ */

/*
 * A burst of the flood with what the client has to say after it. Returns whether the client had the reply that the
 * step wants: the flood's own replies go where nobody is.
 */
static bool flood_step(struct peer *client, const struct step *step)
{
        struct packet *burst[BURST], *packet;
        struct segment segment;
        unsigned n = step ? BURST - 1 : BURST;
        bool replied = false;

        for (unsigned i = 0; i < n; i++) {
                uint64_t random = random_next(&seed);
                struct peer spoofed = {
                        .address = i % 2 ? FIRST_CLIENT | (uint32_t)(random >> 56) : SOURCES | (uint32_t)random >> 3,
                        .port = (uint16_t)(random >> 32 | 1024),
                        .seq = (uint32_t)(random >> 16),
                };

                burst[i] = frame_build(&frames, &spoofed, FRAME_SYN, NULL, 0);
        }
        if (step)
                burst[n++] = frame_build(&frames, client, step->flags, step->say, strlen(step->say));
        frames_send(&frames, burst, n);
        rig_turn(&rig, FLOOD_US);
        while (!rte_ring_empty(rig.to[RIG_FRONT]))
                rig_turn(&rig, 0);
        while (frames_next(&frames, &segment, &packet)) {
                if (segment.dst == client->address && segment.dst_port == client->port) {
                        peer_take(client, &segment);
                        replied |= step && is_reply(step, &segment);
                } else if (segment.len > 0) {
                        rig_fail("somebody in the flood got \"%.*s\"", segment.len, segment.bytes);
                }
                packet_free(packet);
        }
        return replied;
}

/* A whole session of the client in the midst of the flood, at most one SYN repeated. Returns the bursts it took. */
static uint64_t client_comes(struct peer *client, uint16_t port, uint64_t *retries)
{
        const struct step *all[] = { &opening[0], &opening[1], &opening[2], &asking[0], &closing[0], &closing[1] };
        struct addr address = addr_from_v4_be(htonl(CLIENT)), network = addr_network(&address, 24, 64);
        uint64_t bursts = 0;

        *client = (struct peer){ .address = CLIENT, .port = port, .seq = (uint32_t)random_next(&seed) };
        for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
                struct peer at = *client;

                bursts++;
                if (flood_step(client, all[i]))
                        continue;
                *client = at;
                bursts++;
                if (i != 0 || !flood_step(client, all[i]))
                        rig_fail("the client gets no reply to %s", all[i]->name);
                ++*retries;
        }
        if (limits_count(rig.dataplane.limits, &network) != 0)
                rig_fail("the client's network has %u connections", limits_count(rig.dataplane.limits, &network));
        return bursts;
}

/* What lies in the client table, as one number. */
static uint64_t table_sum(void)
{
        char path[128];
        uint64_t sum = 0, word;
        FILE *file;

        snprintf(path, sizeof(path), "%s/" PATHS_CLIENT_TABLE, rig.dir);
        file = fopen(path, "r");
        while (file && fread(&word, sizeof(word), 1, file) == 1)
                sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
        if (file == NULL || sum == 0)
                rig_fail("%s cannot be read", path);
        fclose(file);
        return sum;
}

static void print_flood(uint64_t sent, const struct state *before, const struct state *full, const struct state *end)
{
        double grown = full->anonymous_mb - before->anonymous_mb, flat = end->anonymous_mb - full->anonymous_mb;
        double bound = ((double)full->held.tcp.syncache * 64 + (double)full->held.tcp.table_bytes) / 1e6 + SLACK_MB;

        figure_value("flood.syns", "packets", (double)sent);
        figure_value("flood.half_open", "entries", full->held.tcp.syncache);
        figure_value("flood.cookies", "packets", (double)rig_counter(&rig, COUNTER_tcp_cookies_sent));
        figure_value("flood.grown_until_cookies", "MB", grown);
        figure_value("flood.grown_in_cookie_mode", "MB", flat);
        if (rig_counter(&rig, COUNTER_tcp_cookies_sent) < sent / 4)
                rig_fail("there were hardly any cookies");
        if (grown > bound || flat > SLACK_MB)
                rig_fail("memory grows in a flood: %.1f MB, then %.1f", grown, flat);
}

static int run_flood(bool hugepages, uint64_t syns)
{
        struct rig_options options = { .hugepages = hugepages, .sessions = 40000, .per_network = 2,
                                       .grey_entries = 100000, .client_entries = 100000 };
        struct addr address = addr_from_v4_be(htonl(CLIENT));
        struct peer client = { .port = 0 };
        struct state before, full, end;
        uint64_t sent = 0, retries = 0, sum, lost;
        unsigned comes = 0;

        start(&options);
        rig_know(&rig, &address, false);
        sum = table_sum();
        before = look();
        while (rig_counter(&rig, COUNTER_tcp_cookies_sent) == 0) {
                (void)flood_step(&client, NULL);
                sent += BURST;
        }
        full = look();
        while (sent < syns) {
                if (sent >= syns / CLIENT_COMES * comes) {
                        sent += client_comes(&client, (uint16_t)(CLIENT_PORT - comes++), &retries) * (BURST - 1);
                } else {
                        (void)flood_step(&client, NULL);
                        sent += BURST;
                }
        }
        end = look();
        print_flood(sent, &before, &full, &end);
        figure_value("flood.client_came", "sessions", comes);
        figure_value("flood.client_retries", "SYNs", (double)retries);
        figure_value("flood.questions", "DNS questions", (double)rig.questions);
        lost = rig_counter(&rig, COUNTER_sessions_refused);
        if (rig.questions != 0 || lost != 0 || table_sum() != sum)
                rig_fail("%lu questions, %lu refused, client table %s", rig.questions, lost,
                         table_sum() == sum ? "unchanged" : "changed");
        wait_us(WAIT_US);
        end = look();
        must_be_same(&before, &end);
        rig_stop(&rig);
        return 0;
}

int main(int argc, char **argv)
{
        bool hugepages = argc > 2 && strcmp(argv[2], "hugepages") == 0;

        if (argc > 1 && strcmp(argv[1], "idle-4k") == 0)
                return run_idle(hugepages, 4096);
        if (argc > 1 && strcmp(argv[1], "idle-1M") == 0)
                return run_idle(hugepages, 1000000);
        if (argc > 1 && strcmp(argv[1], "flood-200k") == 0)
                return run_flood(hugepages, 200000);
        if (argc > 1 && strcmp(argv[1], "flood-10M") == 0)
                return run_flood(hugepages, 10000000);
        fprintf(stderr, "usage: memory idle-4k|idle-1M|flood-200k|flood-10M [hugepages]\n");
        return 2;
}
