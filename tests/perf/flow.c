/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workloads of many short connections: syn-flood, drop, reject-connect, greylist, segment. See tests/perf/run.
 *
 *     flow WORKLOAD [hugepages] [quick] [long] [small]
 *
 * Sessions go in cohorts of a burst: each turn of the device gets the same step of 32 sessions, and all of them must
 * have their right reply when the turn is over. Several cohorts take turns, so that what a session needs has left
 * the nearest cache when it is its turn again. A session costs what its cohort's turns took, divided by 32; the
 * figure is the median over cohorts, the steps are given one by one beside it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "dataplane/shared/grey_key.h"
#include "tests/perf/frame.h"

#define BURST    PORT_BURST_MAX
#define COHORTS  16u
#define PASS_US  200u
#define CLIENTS  500000u
#define FIRST_CLIENT 0x0b000000u /* 11.0.0.0 */
#define FIRST_PORT   1024u
#define LAP_PORTS    100u /* the same client comes by another port: TIME-WAIT has its old one */
#define WARM_LAPS    40u
#define STEPS_MAX 8u
#define TEXT_MAX  256u
#define DENIED    0xcb007100u /* 203.0.113.0 */
#define SOURCES   0x20000000u /* a flood's: 32.0.0.0/3 */

struct step {
        const char *name;
        uint8_t flags;     /* of what is sent */
        const char *say;   /* "%u" is the session's number, twice at most */
        const char *want;  /* how the reply begins; NULL: none */
        bool want_synack, want_fin, want_ack;
};

struct workload {
        const char *name;
        const struct step *steps;
        unsigned n_steps;
        bool listed;       /* what DNS says about the clients */
        bool anew;         /* other senders and recipients in each session */
        uint64_t grey_entries;
};

struct cohort {
        struct peer peer[BURST];
        uint32_t number[BURST];
        bool replied[BURST];
        unsigned step;
        uint64_t ticks;
        uint64_t laps;
};

struct flow {
        struct rig rig;
        struct frames frames;
        struct cohort cohort[COHORTS];
        uint32_t client[CLIENTS], clients, clients_wanted; /* addresses */
        uint32_t next;       /* session number */
        uint64_t random;
        struct samples session, step[STEPS_MAX];
};

static struct flow flow;

#define ANY_ACK FRAME_ACK | FRAME_PSH

static const struct step reject_steps[] = {
        { "syn", FRAME_SYN, NULL, NULL, .want_synack = true },
        { "ack", FRAME_ACK, NULL, "554 5.7.1 Sending address not accepted due to spam filter [" },
        { "quit", ANY_ACK, "QUIT\r\n", "221 2.0.0 ", .want_fin = true },
        { "fin", FRAME_ACK | FRAME_FIN, NULL, NULL, .want_ack = true },
};

static const struct step greylist_steps[] = {
        { "syn", FRAME_SYN, NULL, NULL, .want_synack = true },
        { "ack", FRAME_ACK, NULL, "220 mx.greyline.test ESMTP" },
        { "ehlo", ANY_ACK, "EHLO mail%u.example.com\r\n", "250-mx.greyline.test" },
        { "mail", ANY_ACK, "MAIL FROM:<news-%u@mailer.example.com>\r\n", "250 2.1.0 " },
        { "rcpt", ANY_ACK, "RCPT TO:<reader%u@example.org>\r\n", "451 4.7.1 Greylisted, please try again in " },
        { "quit", ANY_ACK, "QUIT\r\n", "221 2.0.0 ", .want_fin = true },
        { "fin", FRAME_ACK | FRAME_FIN, NULL, NULL, .want_ack = true },
};

static const struct workload workloads[] = {
        { "reject-connect", reject_steps, ARRAY_LEN(reject_steps), .listed = true, .grey_entries = 1000000 },
        { "greylist-known-1M", greylist_steps, ARRAY_LEN(greylist_steps), .grey_entries = 1000000 },
        { "greylist-new-1M", greylist_steps, ARRAY_LEN(greylist_steps), .anew = true, .grey_entries = 1000000 },
        { "greylist-known-50M", greylist_steps, ARRAY_LEN(greylist_steps), .grey_entries = 50000000 },
        { "greylist-new-50M", greylist_steps, ARRAY_LEN(greylist_steps), .anew = true, .grey_entries = 50000000 },
};

/* One turn, or two when an answer to a question about the gateway has come in between the burst's frames. */
static uint64_t turns(uint64_t pass_us)
{
        uint64_t took = rig_turn(&flow.rig, pass_us);

        while (!rte_ring_empty(flow.rig.to[RIG_FRONT]))
                took += rig_turn(&flow.rig, 0);
        return took;
}

/* --- sessions in cohorts ----------------------------------------------------------------------------------------- */

/* Clients whose answers lie in the table: a few have been pushed out of their set by others. */
static void know_clients(bool is_listed)
{
        for (uint32_t i = 0; i < flow.clients_wanted; i++) {
                struct addr addr = addr_from_v4_be(htonl(FIRST_CLIENT + i));

                rig_know(&flow.rig, &addr, is_listed);
        }
        for (uint32_t i = 0; i < flow.clients_wanted; i++) {
                struct addr addr = addr_from_v4_be(htonl(FIRST_CLIENT + i));
                struct client_answers answers;

                if (client_table_lookup(&flow.rig.dataplane.clients, &addr, (uint32_t)(flow.rig.wall_us / 1000000),
                                        &answers) &&
                    answers.zones_known == UINT32_MAX && answers.ptr == CLIENT_PTR_CONFIRMED)
                        flow.client[flow.clients++] = FIRST_CLIENT + i;
        }
        figure_value("clients.kept", "per cent", 100.0 * flow.clients / flow.clients_wanted);
}

/* The number in letters: digits would be taken for a counter of a mailing list. */
static void letters_of(uint32_t number, char letters[7])
{
        for (unsigned i = 0; i < 6; i++, number /= 26)
                letters[i] = (char)('a' + number % 26);
        letters[6] = '\0';
}

/* What the clients will say is in the greylist already, and waits. */
static void know_triplets(void)
{
        struct grey_table *table = &flow.rig.dataplane.grey;
        struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 3110400 };

        for (uint32_t i = 0; i < flow.clients; i++) {
                struct addr addr = addr_from_v4_be(htonl(flow.client[i])), network = addr_network(&addr, 24, 64);
                char letters[7], sender[64], recipient[64];
                int sender_len, recipient_len;
                uint64_t key;

                letters_of(flow.client[i] - FIRST_CLIENT, letters);
                sender_len = snprintf(sender, sizeof(sender), "news-%s@mailer.example.com", letters);
                recipient_len = snprintf(recipient, sizeof(recipient), "reader%s@example.org", letters);
                key = grey_key_network(&table->key, &network, sender, (size_t)sender_len, recipient, (size_t)recipient_len);
                (void)grey_table_record(table, key, GREY_KIND_NETWORK, GREY_EVENT_FIRST, &params,
                                        (uint32_t)(flow.rig.wall_us / 1000000));
        }
}

static void begin_session(struct cohort *cohort, unsigned i)
{
        uint32_t slot = (uint32_t)(cohort - flow.cohort) * BURST + i;

        /* All clients in turn, but not in the order of their addresses. */
        uint32_t client = (uint32_t)((uint64_t)flow.next * 7919 % flow.clients);

        cohort->number[i] = flow.next++;
        cohort->peer[i] = (struct peer){
                .address = flow.client[client],
                .port = (uint16_t)(FIRST_PORT + cohort->laps % LAP_PORTS * COHORTS * BURST + slot),
                .seq = (uint32_t)random_next(&flow.random),
        };
}

/* What a session says is its client's, the same in each of its sessions, or new in each one. */
static uint32_t topic(const struct workload *workload, const struct cohort *cohort, unsigned i)
{
        return workload->anew ? cohort->number[i] : cohort->peer[i].address - FIRST_CLIENT;
}

static void send_step(const struct workload *workload, struct cohort *cohort, const struct step *step)
{
        struct packet *packets[BURST];

        for (unsigned i = 0; i < BURST; i++) {
                char text[TEXT_MAX] = "";
                int len = 0;

                if (step->say) {
                        const char *mark = strstr(step->say, "%u");
                        char letters[7];

                        letters_of(topic(workload, cohort, i), letters);
                        len = mark ? snprintf(text, sizeof(text), "%.*s%s%s", (int)(mark - step->say), step->say, letters,
                                              mark + 2)
                                   : snprintf(text, sizeof(text), "%s", step->say);
                }
                cohort->replied[i] = false;
                packets[i] = frame_build(&flow.frames, &cohort->peer[i], step->flags, text, (size_t)len);
        }
        frames_send(&flow.frames, packets, BURST);
}

static void take_reply(const struct step *step, const struct segment *segment)
{
        uint32_t slot = segment->dst_port - FIRST_PORT;
        struct cohort *cohort = &flow.cohort[slot / BURST % COHORTS];
        unsigned i = slot % BURST;
        size_t want_len = step->want ? strlen(step->want) : 0;

        peer_take(&cohort->peer[i], segment);
        if (segment->len > 0) {
                if (segment->len < want_len || want_len == 0 || memcmp(segment->bytes, step->want, want_len) != 0)
                        rig_fail("step %s: reply \"%.*s\"", step->name, segment->len, segment->bytes);
                cohort->replied[i] = true;
        } else if (step->want_synack ? (segment->flags & FRAME_SYN) != 0 : step->want_ack) {
                cohort->replied[i] = true;
        }
}

static void one_step(const struct workload *workload, struct cohort *cohort, bool measure)
{
        const struct step *step = &workload->steps[cohort->step];
        struct segment segment;
        struct packet *packet;
        uint64_t took;

        if (cohort->step == 0) {
                for (unsigned i = 0; i < BURST; i++)
                        begin_session(cohort, i);
                cohort->ticks = 0;
        }
        send_step(workload, cohort, step);
        took = turns(PASS_US);
        while (frames_next(&flow.frames, &segment, &packet)) {
                take_reply(step, &segment);
                packet_free(packet);
        }
        for (unsigned i = 0; i < BURST; i++) {
                if (!cohort->replied[i] || (step->want_fin && !cohort->peer[i].fin))
                        rig_fail("step %s: session %u got no reply", step->name, cohort->number[i]);
        }
        cohort->ticks += took;
        if (measure)
                samples_add(&flow.step[cohort->step], (double)took / BURST);
        if (++cohort->step < workload->n_steps)
                return;
        cohort->step = 0;
        cohort->laps++;
        if (measure)
                samples_add(&flow.session, (double)cohort->ticks / BURST);
}

static void warm_up(void)
{
        struct segment segment;
        struct packet *packet;

        /* The gateway's MAC address is asked for and learned. */
        for (unsigned i = 0; i < 2000; i++) {
                rig_turn(&flow.rig, 1000);
                while (frames_next(&flow.frames, &segment, &packet))
                        packet_free(packet);
        }
}

static void print_steps(const struct workload *workload, uint64_t sessions, uint64_t sent_before, uint64_t got_before)
{
        char name[96];

        figure_print(workload->name, "cycles/session", &flow.session);
        snprintf(name, sizeof(name), "%s.packets", workload->name);
        figure_value(name, "packets/session",
                     (double)(flow.frames.sent - sent_before + flow.frames.got - got_before) / (double)sessions);
        for (unsigned i = 0; i < workload->n_steps; i++) {
                snprintf(name, sizeof(name), "%s.%s", workload->name, workload->steps[i].name);
                figure_print(name, "cycles/step", &flow.step[i]);
        }
}

static int run_sessions(const struct workload *workload, bool hugepages, uint64_t laps)
{
        struct rig_options options = {
                .hugepages = hugepages,
                .reject_at_banner = workload->listed,
                .sessions = 100000,
                .grey_entries = workload->grey_entries,
                .client_entries = 1000000,
        };
        uint64_t sent, got, first;

        rig_start(&flow.rig, &options);
        frames_init(&flow.frames, &flow.rig);
        flow.random = 88172645463325252ull;
        know_clients(workload->listed);
        flow.session = samples_new(laps * COHORTS);
        for (unsigned i = 0; i < workload->n_steps; i++)
                flow.step[i] = samples_new(laps * COHORTS);
        warm_up();
        if (!workload->anew && !workload->listed)
                know_triplets();
        /* Each cohort is at another step than its neighbour. */
        for (uint64_t lap = 0; lap < WARM_LAPS * workload->n_steps; lap++) {
                for (unsigned c = 0; c < COHORTS; c++) {
                        if (lap >= c % workload->n_steps)
                                one_step(workload, &flow.cohort[c], false);
                }
        }
        sent = flow.frames.sent;
        got = flow.frames.got;
        first = flow.next;
        for (uint64_t lap = 0; lap < laps * workload->n_steps; lap++) {
                for (unsigned c = 0; c < COHORTS; c++)
                        one_step(workload, &flow.cohort[c], true);
        }
        print_steps(workload, flow.next - first, sent, got);
        figure_value("core.speed", "cycles/tick", rig_core_speed());
        figure_value("log.records", "records/session", (double)flow.rig.records / (double)flow.next);
        if (rig_counter(&flow.rig, COUNTER_log_lost) || rig_counter(&flow.rig, COUNTER_sessions_refused))
                rig_fail("records or sessions were lost");
        figure_value("grey.new", "sessions", (double)rig_counter(&flow.rig, COUNTER_grey_new));
        figure_value("grey.wait", "sessions", (double)rig_counter(&flow.rig, COUNTER_grey_wait));
        figure_value("grey.no_token", "sessions", (double)rig_counter(&flow.rig, COUNTER_grey_no_token));
        rig_stop(&flow.rig);
        return 0;
}

/* --- floods ------------------------------------------------------------------------------------------------------ */

static unsigned flood_burst(bool denied, uint64_t *ret_ticks)
{
        struct packet *packets[BURST];
        struct segment segment;
        struct packet *packet;
        unsigned answers = 0;

        for (unsigned i = 0; i < BURST; i++) {
                uint32_t random = (uint32_t)random_next(&flow.random);
                struct peer peer = {
                        .address = denied ? DENIED | (random & 0xff) : SOURCES | random >> 3,
                        .port = (uint16_t)(random_next(&flow.random) | 1024),
                        .seq = random * 2654435761u,
                };

                packets[i] = frame_build(&flow.frames, &peer, FRAME_SYN, NULL, 0);
        }
        frames_send(&flow.frames, packets, BURST);
        *ret_ticks = turns(10);
        while (frames_next(&flow.frames, &segment, &packet)) {
                if ((segment.flags & (FRAME_SYN | FRAME_ACK)) != (FRAME_SYN | FRAME_ACK) || segment.len != 0)
                        rig_fail("a SYN was answered with flags %#x", segment.flags);
                packet_free(packet);
                answers++;
        }
        return answers;
}

/* Use the whole cache once, so that no page of it is new, and let all of it expire. */
static void fill_and_forget(void)
{
        struct segment segment;
        struct packet *packet;
        uint64_t took;

        while (rig_counter(&flow.rig, COUNTER_tcp_cookies_sent) == 0)
                (void)flood_burst(false, &took);
        while (rig_counter(&flow.rig, COUNTER_tcp_half_open) != 0) {
                (void)rig_turn(&flow.rig, 10000);
                while (frames_next(&flow.frames, &segment, &packet))
                        packet_free(packet);
        }
}

/* SYN of random sources. Cookies answer when the cache of half-open connections is full: the second half of the run. */
static int run_flood(bool hugepages, bool denied, uint64_t bursts)
{
        struct rig_options options = {
                .hugepages = hugepages, .deny_drop = denied, .sessions = denied ? 100000 : 200000,
                .grey_entries = 1000000, .client_entries = 200000, .deny_list = denied ? 100000 : 0,
        };
        struct samples cache = samples_new(bursts), cookie = samples_new(bursts);

        rig_start(&flow.rig, &options);
        frames_init(&flow.frames, &flow.rig);
        flow.random = 88172645463325252ull;
        warm_up();
        if (!denied)
                fill_and_forget();
        for (uint64_t burst = 0; cookie.n < bursts; burst++) {
                uint64_t took, cookies = rig_counter(&flow.rig, COUNTER_tcp_cookies_sent);
                unsigned answers = flood_burst(denied, &took);

                if (answers != (denied ? 0 : BURST))
                        rig_fail("%u answers to a burst", answers);
                cookies = rig_counter(&flow.rig, COUNTER_tcp_cookies_sent) - cookies;
                if (!denied && cookies == 0)
                        samples_add(&cache, (double)took / BURST);
                else if (denied || cookies == BURST)
                        samples_add(&cookie, (double)took / BURST);
                if (burst > 100 * bursts)
                        rig_fail("the flood does not reach cookies");
        }
        if (!denied && cache.n < 1000) /* it holds 65536, which are 2048 bursts */
                rig_fail("the flood was not seen in the cache");
        if (!denied)
                figure_print("syn-flood.syncache", "cycles/packet", &cache);
        figure_print(denied ? "drop" : "syn-flood.cookie", "cycles/packet", &cookie);
        rig_stop(&flow.rig);
        return 0;
}

/* --- established ------------------------------------------------------------------------------------------------- */

static const struct step open_steps[] = {
        { "syn", FRAME_SYN, NULL, NULL, .want_synack = true },
        { "ack", FRAME_ACK, NULL, "220 mx.greyline.test ESMTP" },
        { "ehlo", ANY_ACK, "EHLO mail.example.com\r\n", "250-mx.greyline.test" },
        { "noop", ANY_ACK, "NOOP\r\n", "250 2.0.0 " },
};

/* One step of 32 sessions out of many: sessions are named by their addresses. */
static uint64_t established_step(struct peer *peers, const uint32_t *which, const struct step *step)
{
        struct packet *packets[BURST];
        struct segment segment;
        struct packet *packet;
        unsigned replies = 0;
        uint64_t took;

        for (unsigned i = 0; i < BURST; i++)
                packets[i] = frame_build(&flow.frames, &peers[which[i]], step->flags, step->say ? step->say : "",
                                         step->say ? strlen(step->say) : 0);
        frames_send(&flow.frames, packets, BURST);
        took = turns(20);
        while (frames_next(&flow.frames, &segment, &packet)) {
                peer_take(&peers[segment.dst - FIRST_CLIENT], &segment);
                if (step->want && (segment.len < strlen(step->want) ||
                                   memcmp(segment.bytes, step->want, strlen(step->want)) != 0))
                        rig_fail("step %s: reply \"%.*s\"", step->name, segment.len, segment.bytes);
                replies++;
                packet_free(packet);
        }
        if (replies != BURST)
                rig_fail("step %s: %u replies", step->name, replies);
        return took;
}

static double resident_mb(void)
{
        FILE *file = fopen("/proc/self/statm", "r");
        unsigned long size = 0, resident = 0;

        if (file == NULL || fscanf(file, "%lu %lu", &size, &resident) != 2)
                rig_fail("no /proc/self/statm");
        fclose(file);
        return (double)resident * 4096 / 1e6;
}

static int run_segment(bool hugepages, uint32_t n, uint64_t bursts)
{
        struct rig_options options = { .hugepages = hugepages, .sessions = n + 1000, .grey_entries = 1000000,
                                       .client_entries = 1000000 };
        struct peer *peers = calloc(n, sizeof(*peers));
        struct samples samples = samples_new(bursts);
        uint32_t which[BURST];
        char name[64];
        double before;

        rig_start(&flow.rig, &options);
        frames_init(&flow.frames, &flow.rig);
        flow.random = 88172645463325252ull;
        warm_up();
        memset(peers, 1, n * sizeof(*peers)); /* ours, not the device's */
        before = resident_mb();
        for (uint32_t first = 0; first < n; first += BURST) {
                for (unsigned i = 0; i < BURST; i++) {
                        which[i] = (first + i) % n;
                        peers[which[i]] = (struct peer){ .address = FIRST_CLIENT + which[i], .port = 40000,
                                                         .seq = (uint32_t)random_next(&flow.random) };
                }
                for (unsigned step = 0; step < 3; step++)
                        established_step(peers, which, &open_steps[step]);
        }
        snprintf(name, sizeof(name), "idle.%u", n);
        figure_value(name, "bytes/session", (resident_mb() - before) * 1e6 / n);
        for (uint64_t burst = 0; burst < bursts; burst++) {
                uint32_t at = (uint32_t)(random_next(&flow.random) % n);

                /* A walk that touches each session once before any a second time. */
                for (unsigned i = 0; i < BURST; i++)
                        which[i] = (uint32_t)(((burst * BURST + i) * 7919ull) % n);
                (void)at;
                samples_add(&samples, (double)established_step(peers, which, &open_steps[3]) / BURST);
        }
        snprintf(name, sizeof(name), "segment.%u", n);
        figure_print(name, "cycles/packet", &samples);
        rig_stop(&flow.rig);
        free(peers);
        return 0;
}

int main(int argc, char **argv)
{
        bool hugepages = false, quick = false, is_long = false; /* long, small: for a profiler */

        flow.clients_wanted = CLIENTS;
        for (int i = 2; i < argc; i++) {
                hugepages |= strcmp(argv[i], "hugepages") == 0;
                quick |= strcmp(argv[i], "quick") == 0;
                is_long |= strcmp(argv[i], "long") == 0;
                if (strcmp(argv[i], "small") == 0)
                        flow.clients_wanted = CLIENTS / 20;
        }
        for (unsigned i = 0; argc > 1 && i < ARRAY_LEN(workloads); i++) {
                if (strcmp(argv[1], workloads[i].name) == 0)
                        return run_sessions(&workloads[i], hugepages, quick ? 100 : is_long ? 10000 : 400);
        }
        if (argc > 1 && strcmp(argv[1], "syn-flood") == 0)
                return run_flood(hugepages, false, quick ? 5000 : 20000);
        if (argc > 1 && strcmp(argv[1], "drop") == 0)
                return run_flood(hugepages, true, quick ? 5000 : 20000);
        if (argc > 1 && strcmp(argv[1], "segment-1k") == 0)
                return run_segment(hugepages, 1024, 2000);
        if (argc > 1 && strcmp(argv[1], "segment-1M") == 0)
                return run_segment(hugepages, 1000000, quick ? 5000 : 20000);
        fprintf(stderr, "usage: flow WORKLOAD [hugepages] [quick] [long] [small]\n");
        return 2;
}
