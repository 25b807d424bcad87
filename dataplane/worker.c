/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A core's turn, in this order: receive and steer, ip, tcp, answers from control, events, the greylist pass,
 * timers, transmit. Run to completion and shared nothing, but for the tables of shared/ and the rings by which
 * workers hand over packets that belong to another.
 *
 * With nothing to do for a while it sleeps on its queues and bells (port/wait.h), so that an idle appliance uses
 * a few per cent of a core; `idle: poll` keeps it turning.
 */
#include "dataplane/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_pause.h>
#include <rte_ring.h>

#include "dataplane/port/burst.h"
#include "dataplane/port/wire.h"

#define HAND_SLOTS    1024u
#define ANSWERS_TURN  256u     /* messages from control in one turn */
#define EVENTS_TURN   1024u
#define OUTPUT_TURN   16u      /* bursts sent in one turn before the next receive */
#define IDLE_TURNS    200u     /* empty turns before the worker sleeps */
#define SLEEP_MAX_US  1000000u
#define SESSION_SHARE 2u       /* legs_max: one backend connection for each so many sessions, at least LEGS_MIN */
#define LEGS_MIN      256u
#define TLS_SHARE     2u       /* one client in TLS for each so many sessions, at least TLS_MIN: 15 kB each */
#define TLS_MIN       64u

struct worker {
        struct dataplane *dataplane;
        unsigned index;
        uint64_t *counters;
        struct ip *ip;
        struct tcp *tcp;
        struct sessions *sessions;
        struct rte_ring *hand;      /* packets that other workers received for this one */
        struct ring answers;        /* from control */
        struct ring signatures;     /* from greyline-keys; shared NULL: there is none */
        struct port_wait *wait;
        int bell, keys_bell;
        _Atomic bool asleep;
        uint64_t turns;
        _Atomic uint32_t open;      /* sessions, for main */
};

uint64_t worker_clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now); /* vdso: no system call */
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t worker_wall_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void worker_wake(struct worker *worker)
{
        /* What was written for the worker before the flag: idle() does the reverse. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&worker->asleep))
                link_bell_ring(worker->bell);
}

/* --- receive ------------------------------------------------------------------------------------------------------ */

/* Pass a packet to the worker that owns it; what its ring has no room for is dropped and counted. */
static void hand_over(struct worker *worker, unsigned owner, struct packet *packet, uint64_t *rung)
{
        if (rte_ring_mp_enqueue(worker->dataplane->worker[owner]->hand, packet) != 0) {
                counter_inc(worker->counters, COUNTER_handover_full);
                packet_free(packet);
                return;
        }
        counter_inc(worker->counters, COUNTER_handed_over);
        *rung |= 1ull << owner;
}

/* ARP and ND: every worker must learn, one answers. */
static void teach_others(struct worker *worker, struct packet *packet, struct rte_mempool *pool, uint64_t *rung)
{
        for (unsigned other = 0; other < worker->dataplane->workers; other++) {
                struct packet *copy;

                if (other == worker->index)
                        continue;
                copy = (struct packet *)rte_pktmbuf_copy(&packet->mbuf, pool, 0, UINT32_MAX);
                if (copy == NULL) {
                        counter_inc(worker->counters, COUNTER_ip_no_packet);
                        continue;
                }
                *packet_meta(copy) = *packet_meta(packet);
                packet_meta(copy)->flags |= PACKET_LEARN_ONLY;
                hand_over(worker, other, copy, rung);
        }
}

static unsigned steer_burst(struct worker *worker, struct packet **packets, unsigned n)
{
        struct dataplane *dataplane = worker->dataplane;
        unsigned mine = 0;
        uint64_t rung = 0;

        if (dataplane->workers == 1)
                return n;
        for (unsigned i = 0; i < n; i++) {
                struct packet *packet = packets[i];
                int owner = steer_frame(&dataplane->steer, packet_data(packet), packet_len(packet));

                if (owner >= 0 && (unsigned)owner != worker->index) {
                        hand_over(worker, (unsigned)owner, packet, &rung);
                        continue;
                }
                if (owner == STEER_ALL)
                        teach_others(worker, packet, packet->mbuf.pool, &rung);
                packets[mine++] = packet;
        }
        for (; rung != 0; rung &= rung - 1)
                worker_wake(dataplane->worker[__builtin_ctzll(rung)]);
        return mine;
}

static void icmp_to_tcp(struct worker *worker, const struct ip_icmp_error *error, uint64_t now_us)
{
        struct tcp_icmp_quote quote = {
                .kind = error->kind == IP_ICMP_TOO_BIG            ? TCP_ICMP_TOO_BIG
                        : error->kind == IP_ICMP_UNREACHABLE_HARD ? TCP_ICMP_PORT_UNREACHABLE
                                                                  : TCP_ICMP_UNREACHABLE,
                .local = error->local,
                .remote = error->remote,
                .local_port = error->local_port,
                .remote_port = error->remote_port,
                .seq = error->seq,
                .mtu = error->mtu,
        };

        tcp_icmp_error(worker->tcp, &quote, now_us);
}

/*
 * networks.deny_action: drop. A new connection of a denied network ends here, before it costs a SYN-ACK, an entry or a
 * session: "no answer at all". What is open already, or denied since, is the session's matter.
 */
static bool is_denied(const struct image *image, struct packet *packet)
{
        uint8_t flags = packet_data(packet)[WIRE_TCP_FLAGS];

        return image->networks.deny_action == IMAGE_ACTION_DROP && (flags & (WIRE_TCP_SYN | WIRE_TCP_ACK)) == WIRE_TCP_SYN &&
               image_lookup_network(image, &packet_meta(packet)->src) == IMAGE_CLASS_DENY;
}

static void take_burst(struct worker *worker, struct packet **packets, unsigned n, uint64_t now_us)
{
        const struct image *image = publish_current(worker->dataplane->publish)->image;
        unsigned segments = 0;

        for (unsigned i = 0; i < n; i++) {
                struct ip_icmp_error error;
                struct packet *packet = packets[i];

                switch (ip_input(worker->ip, packet, now_us, &error)) {
                case IP_TCP:
                        if (is_denied(image, packet)) {
                                counter_inc(worker->counters, COUNTER_denied);
                                packet_free(packet);
                                break;
                        }
                        packets[segments++] = packet;
                        break;
                case IP_ICMP_ERROR:
                        icmp_to_tcp(worker, &error, now_us);
                        break;
                default:
                        break; /* taken and counted */
                }
        }
        if (segments != 0)
                tcp_input(worker->tcp, packets, segments, now_us);
}

static unsigned receive(struct worker *worker, uint64_t now_us)
{
        struct dataplane *dataplane = worker->dataplane;
        struct packet *packets[PORT_BURST_MAX];
        unsigned total = 0, n;

        for (unsigned i = 0; i < dataplane->n_ports; i++) {
                if (!port_has_queue(dataplane->ports[i], worker->index))
                        continue;
                n = burst_rx(dataplane->ports[i], worker->index, packets, PORT_BURST_MAX, worker->counters);
                total += n;
                n = steer_burst(worker, packets, n);
                take_burst(worker, packets, n, now_us);
        }
        n = rte_ring_sc_dequeue_burst(worker->hand, (void **)packets, PORT_BURST_MAX, NULL);
        take_burst(worker, packets, n, now_us);
        total += n;
        /* What fragments have become goes the way of what came whole: to its owner, through all checks. */
        n = ip_next_whole(worker->ip, packets, PORT_BURST_MAX);
        n = steer_burst(worker, packets, n);
        take_burst(worker, packets, n, now_us);
        return total;
}

/* --- events, answers, transmit --------------------------------------------------------------------------------------- */

static unsigned take_answers(struct worker *worker)
{
        unsigned n = 0;

        for (; n < ANSWERS_TURN; n++) {
                const void *slot = ring_read_slot(&worker->answers);
                struct msg_answer answer;

                if (slot == NULL)
                        break;
                memcpy(&answer, slot, sizeof(answer)); /* control could change it while it is checked */
                ring_read_release(&worker->answers);
                sessions_answer(worker->sessions, &answer);
        }
        return n;
}

/* One a turn: it lets a handshake go on, which costs as much as many packets. */
static unsigned take_signature(struct worker *worker)
{
        const void *slot = worker->signatures.shared ? ring_read_slot(&worker->signatures) : NULL;
        struct keys_answer answer;

        if (slot == NULL)
                return 0;
        memcpy(&answer, slot, sizeof(answer)); /* greyline-keys could change it while it is checked */
        ring_read_release(&worker->signatures);
        sessions_signed(worker->sessions, &answer);
        return 1;
}

static unsigned take_events(struct worker *worker)
{
        struct tcp_event event;
        unsigned n = 0;

        while (n < EVENTS_TURN) {
                if (n % SESSIONS_AHEAD == 0)
                        sessions_prefetch(worker->sessions);
                if (!tcp_next_event(worker->tcp, &event))
                        break;
                session_event(worker->sessions, &event);
                n++;
        }
        return n;
}

static unsigned transmit(struct worker *worker, uint64_t now_us)
{
        struct dataplane *dataplane = worker->dataplane;
        struct packet *packets[PORT_BURST_MAX];
        unsigned total = 0;

        for (unsigned turn = 0; turn < OUTPUT_TURN; turn++) {
                unsigned n = tcp_output(worker->tcp, packets, PORT_BURST_MAX, now_us), frames = 0;

                for (unsigned i = 0; i < n; i++)
                        (void)ip_output(worker->ip, packets[i], now_us); /* taken, and counted, in any case */
                for (unsigned i = 0; i < dataplane->n_ports; i++) {
                        const struct port *port = dataplane->ports[i];
                        unsigned ready = ip_next_frames(worker->ip, port->index, packets, PORT_BURST_MAX);

                        frames += ready;
                        if (ready != 0 && burst_tx(port, worker->index, packets, ready, worker->counters))
                                worker_wake(dataplane->worker[port_tx_worker(port, worker->index)]);
                }
                total += n + frames;
                if (n == 0 && frames == 0)
                        break;
        }
        for (unsigned i = 0; i < dataplane->n_ports; i++)
                total += burst_tx_handed(dataplane->ports[i], worker->index, worker->counters);
        return total;
}

unsigned worker_turn(struct worker *worker, uint64_t now_us, uint64_t wall_us)
{
        struct dataplane *dataplane = worker->dataplane;
        const struct runtime *runtime;
        unsigned work;

        /* Here, not at the end of the turn: sleep_us() still looks at the policy of the turn before. */
        publish_quiescent(dataplane->publish, worker->index);
        runtime = publish_current(dataplane->publish);
        sessions_begin(worker->sessions, runtime, atomic_load_explicit(&dataplane->draining, memory_order_relaxed),
                       now_us, wall_us);
        work = receive(worker, now_us);
        tcp_tick(worker->tcp, now_us);
        ip_tick(worker->ip, now_us);
        work += take_answers(worker);
        work += take_signature(worker);
        work += take_events(worker);
        sessions_tick(worker->sessions);
        sessions_judge(worker->sessions);
        if (sessions_publish(worker->sessions))
                link_bell_ring(dataplane->bell_control);
        if (sessions_ask_keys(worker->sessions))
                link_bell_ring(dataplane->keyring.bell);
        work += transmit(worker, now_us);
        atomic_store_explicit(&worker->open, sessions_open(worker->sessions), memory_order_relaxed);
        counter_set(worker->counters, COUNTER_worker_turns, ++worker->turns);
        return work;
}

static unsigned turn(struct worker *worker)
{
        return worker_turn(worker, worker_clock_us(), worker_wall_us());
}

/* --- idle ---------------------------------------------------------------------------------------------------------------- */

static uint64_t sleep_us(const struct worker *worker)
{
        uint64_t now_us = worker_clock_us();
        uint64_t due_us = MIN(MIN(tcp_next_due_us(worker->tcp), ip_next_due_us(worker->ip)),
                              sessions_due_us(worker->sessions));

        if (due_us <= now_us)
                return 0;
        return MIN(due_us - now_us, SLEEP_MAX_US);
}

/* Sleep until there is something to do; the order that loses no wake-up is in port/wait.h. */
static void idle(struct worker *worker)
{
        struct dataplane *dataplane = worker->dataplane;
        uint64_t timeout_us;
        unsigned rung;

        atomic_store(&worker->asleep, true);
        port_wait_arm(worker->wait);
        if (!ring_read_may_sleep(&worker->answers) ||
            (worker->signatures.shared && !ring_read_may_sleep(&worker->signatures)) || turn(worker) != 0 ||
            rte_ring_count(worker->hand) != 0 || (timeout_us = sleep_us(worker)) == 0 ||
            atomic_load(&dataplane->stopping)) {
                port_wait_disarm(worker->wait);
        } else {
                publish_sleep(dataplane->publish, worker->index);
                rung = port_wait(worker->wait, timeout_us);
                if (rung & PORT_WAIT_BELL(0))
                        link_bell_clear(worker->bell);
                if (rung & PORT_WAIT_BELL(1))
                        link_bell_clear(worker->keys_bell);
                publish_wake(dataplane->publish, worker->index);
                counter_inc(worker->counters, COUNTER_worker_sleeps);
        }
        ring_read_awake(&worker->answers);
        if (worker->signatures.shared)
                ring_read_awake(&worker->signatures);
        atomic_store(&worker->asleep, false);
}

int worker_run(void *arg)
{
        struct worker *worker = arg;
        struct dataplane *dataplane = worker->dataplane;
        unsigned empty = 0;

        publish_register(dataplane->publish, worker->index);
        while (!atomic_load_explicit(&dataplane->stopping, memory_order_relaxed)) {
                if (turn(worker) != 0) {
                        empty = 0;
                        continue;
                }
                rte_pause();
                if (++empty < IDLE_TURNS ||
                    publish_current(dataplane->publish)->image->node.idle == IMAGE_IDLE_POLL)
                        continue;
                idle(worker);
                empty = IDLE_TURNS / 2; /* a wake-up for one packet does not begin a long spin */
        }
        sessions_stop(worker->sessions);
        publish_unregister(dataplane->publish, worker->index);
        return 0;
}

void worker_held(const struct worker *worker, struct worker_held *ret)
{
        tcp_stats(worker->tcp, &ret->tcp);
        sessions_held(worker->sessions, &ret->sessions);
}

uint32_t worker_sessions(const struct worker *worker)
{
        return atomic_load(&worker->open);
}

/* --- making one ----------------------------------------------------------------------------------------------------------- */

static struct tcp *make_tcp(const struct worker *worker, const struct worker_settings *settings)
{
        struct tcp_settings tcp = {
                .pool = settings->pool,
                .counters = worker->counters,
                .connections_max = settings->connections_max,
                .packets_held_max = settings->packets_max / 2, /* the rest: receive rings, segments in flight */
                .mtu_v4 = settings->interfaces[0].mtu,
                .mtu_v6 = settings->interfaces[0].mtu,
        };

        for (unsigned i = 1; i < settings->n_interfaces; i++) {
                tcp.mtu_v4 = MIN(tcp.mtu_v4, settings->interfaces[i].mtu);
                tcp.mtu_v6 = MIN(tcp.mtu_v6, settings->interfaces[i].mtu);
        }
        memcpy(tcp.secret, settings->secret, sizeof(tcp.secret));
        return tcp_new(&tcp);
}

static struct sessions *make_sessions(struct worker *worker, const struct worker_settings *settings)
{
        struct dataplane *dataplane = worker->dataplane;
        const struct keys_link *keys = &dataplane->keyring.link;
        struct sessions_settings sessions = {
                .worker = worker->index,
                .workers = dataplane->workers,
                .tcp = worker->tcp,
                .steer = &dataplane->steer,
                .grey = &dataplane->grey,
                .clients = &dataplane->clients,
                .limits = dataplane->limits,
                .backends = &dataplane->backends,
                .ask_ring = link_ask_ring(&dataplane->link, worker->index),
                .log_ring = link_log_ring(&dataplane->link, worker->index),
                .counters = worker->counters,
                .sessions_max = settings->sessions_max,
                .legs_max = MAX(settings->sessions_max / SESSION_SHARE, LEGS_MIN),
                .tls_max = MAX(settings->sessions_max / TLS_SHARE, TLS_MIN),
                .secret = &dataplane->secret,
                .keys_ring = keys->page ? keys_request_ring(keys, worker->index) : NULL,
                .keys_beat_ms = keys->page ? &keys->page->beat_ms : NULL,
                .node_id = dataplane->node_id,
                .now_us = settings->now_us,
                .wall_us = settings->wall_us,
        };

        memcpy(&sessions.random, settings->secret + 8, sizeof(sessions.random));
        return sessions_new(&sessions, publish_current(dataplane->publish));
}

static struct ip *make_ip(const struct worker *worker, const struct worker_settings *settings)
{
        struct ip_settings ip_settings = {
                .pool = settings->pool,
                .counters = worker->counters,
                .interfaces = settings->interfaces,
                .n_interfaces = settings->n_interfaces,
                .announce = worker->index == 0,
        };
        struct ip *ip = NULL;

        memcpy(&ip_settings.hash_key, settings->secret + 16, sizeof(ip_settings.hash_key));
        return ip_new(&ip, &ip_settings, settings->now_us) < 0 ? NULL : ip;
}

/* Read answers from the ring that another program has made. */
static bool attach(struct ring *ring, void *memory, uint32_t slots, uint32_t slot_bytes, const char *maker,
                   char reterr[PORT_ERROR_MAX])
{
        if (ring_attach_reader(ring, memory, slots, slot_bytes) == 0)
                return true;
        snprintf(reterr, PORT_ERROR_MAX, "the ring of answers from %s is not of this version: restart both", maker);
        return false;
}

/* The ring and the bell by which signatures come; nothing where nothing is shared with greyline-keys. */
static bool open_keys(struct worker *worker, char reterr[PORT_ERROR_MAX])
{
        const struct keyring *keyring = &worker->dataplane->keyring;
        char name[32];

        if (keyring->link.page == NULL)
                return true;
        snprintf(name, sizeof(name), "worker.%u", worker->index);
        worker->keys_bell = keys_bell_open(keyring->dir, name);
        if (worker->keys_bell < 0) {
                snprintf(reterr, PORT_ERROR_MAX, "%s/bell.%s: %s", keyring->dir, name, strerror(-worker->keys_bell));
                return false;
        }
        return attach(&worker->signatures, keys_answer_ring(&keyring->link, worker->index), KEYS_SLOTS,
                      sizeof(struct keys_answer), "greyline-keys", reterr);
}

struct worker *worker_new(struct dataplane *dataplane, const struct worker_settings *settings,
                          char reterr[PORT_ERROR_MAX])
{
        struct worker *worker = calloc(1, sizeof(*worker));
        char name[32];

        snprintf(reterr, PORT_ERROR_MAX, "worker %u: not enough memory for its tables", settings->index);
        if (worker == NULL)
                return NULL;
        worker->dataplane = dataplane;
        worker->index = settings->index;
        worker->counters = dataplane->link.page->counters[settings->index];
        snprintf(name, sizeof(name), "worker.%u", settings->index);
        worker->bell = link_bell_open(settings->run_dir, name);
        if (worker->bell < 0) {
                snprintf(reterr, PORT_ERROR_MAX, "%s/bell.%s: %s", settings->run_dir, name, strerror(-worker->bell));
                goto fail;
        }
        worker->hand = rte_ring_create(name, HAND_SLOTS, SOCKET_ID_ANY, RING_F_SC_DEQ);
        worker->ip = make_ip(worker, settings);
        worker->tcp = make_tcp(worker, settings);
        if (worker->hand == NULL || worker->ip == NULL || worker->tcp == NULL)
                goto fail;
        worker->sessions = make_sessions(worker, settings);
        if (worker->sessions == NULL ||
            !attach(&worker->answers, link_answer_ring(&dataplane->link, worker->index), LINK_ANSWER_SLOTS,
                    sizeof(struct msg_answer), "greyline-control", reterr) ||
            !open_keys(worker, reterr))
                goto fail;
        if (port_wait_new(&worker->wait, dataplane->ports, dataplane->n_ports, worker->index,
                          (int[]){ worker->bell, worker->keys_bell }, worker->signatures.shared ? 2 : 1, reterr) < 0)
                goto fail;
        return worker;
fail:
        worker_free(worker);
        return NULL;
}

void worker_free(struct worker *worker)
{
        struct packet *packet;

        if (worker == NULL)
                return;
        port_wait_free(worker->wait);
        tcp_free(worker->tcp);
        sessions_free(worker->sessions);
        if (worker->ip)
                ip_free(worker->ip);
        while (worker->hand && rte_ring_dequeue(worker->hand, (void **)&packet) == 0)
                packet_free(packet);
        rte_ring_free(worker->hand);
        free(worker);
}
