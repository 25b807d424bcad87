/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/perf/rig.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eth_ring.h>

#include "control/policy/policy.h"
#include "dataplane/port/pool.h"
#include "dataplane/shared/paths.h"

#define PACKETS   32767u /* of the worker */
#define MEMORY_MB 320u

static struct rig *removed; /* whose files go when the program fails */

void rig_fail(const char *format, ...)
{
        va_list args;

        fprintf(stderr, "perf: ");
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fprintf(stderr, "\n");
        for (unsigned i = 0; removed && removed->dataplane.link.page && i < COUNTER_USED; i++) {
                if (rig_counter(removed, i) != 0)
                        fprintf(stderr, "  %s %lu\n", counter_infos[i].name, rig_counter(removed, i));
        }
        if (removed)
                rig_stop(removed);
        exit(1);
}

/* --- policy ------------------------------------------------------------------------------------------------------ */

/* Prefixes that no client of the generator is in: 64.0.0.0 upwards, every second /26. */
static void write_deny_list(const struct rig *rig, uint32_t n)
{
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/deny.list", rig->dir);
        file = fopen(path, "w");
        if (file == NULL)
                rig_fail("%s: %s", path, strerror(errno));
        fprintf(file, "203.0.113.0/24\n");
        for (uint32_t i = 0; i < n; i++) {
                uint32_t address = 0x40000000u + i * 128;

                fprintf(file, "%u.%u.%u.%u/26\n", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
        }
        fclose(file);
}

static void compile_policy(struct rig *rig, const struct rig_options *options)
{
        static struct policy_errors errors;
        static const char *form =
            "node: {hostname: mx.greyline.test, memory: 256MB}\n"
            "ports: [{name: front, device: net_ring_front, addresses: [198.18.0.25/16], gateway: 198.18.0.1},\n"
            "        {name: back, device: net_ring_back, addresses: [198.19.0.25/16]}]\n"
            "listeners: [{name: mx, front: [198.18.0.25], greet_delay: %s}]\n"
            "pools: {main: {servers: [{address: 198.19.0.10, connections: 100000}]}}\n"
            "domains: {example.org: {}, example.net: {policy: open}, '*.example.com': {}}\n"
            "zones: [{zone: bl.example.test, smtp_blocking: true}, {zone: score.example.test, score: 12},\n"
            "        {zone: dyn.example.test, score: 8}, {zone: white.example.test, kind: allow, score: -5}]\n"
            "networks: {deny: {file: deny.list}, deny_action: %s}\n"
            "limits: {sessions: %u, hold: 1M, connections_per_network: %u}\n"
            "dns: {resolvers: [127.0.0.1]}\n"
            "store: {grey_entries: %lu, client_entries: %lu}\n"
            "policies: {default: {reject_at: %s}, open: {greylist: {enabled: false}}}\n";
        const struct policy_options how = { .generation = 1, .now_sec = rig->wall_us / 1000000 };
        char yaml[4096], path[160], text[1024];
        void *image = NULL;
        size_t len = 0;
        FILE *file;

        write_deny_list(rig, options->deny_list);
        snprintf(yaml, sizeof(yaml), form, options->greet_delay ? options->greet_delay : "0s",
                 options->deny_drop ? "drop" : "reject", options->sessions, options->per_network, options->grey_entries,
                 options->client_entries, options->reject_at_banner ? "banner" : "rcpt");
        snprintf(path, sizeof(path), "%s/policy.yaml", rig->dir);
        if (policy_compile_text(path, yaml, strlen(yaml), NULL, &how, &errors, &image, &len) < 0) {
                policy_errors_text(&errors, text, sizeof(text));
                rig_fail("policy: %s", text);
        }
        snprintf(path, sizeof(path), "%s/" PATHS_IMAGES, rig->dir);
        mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/" PATHS_IMAGES "/current.image", rig->dir);
        file = fopen(path, "w");
        if (file == NULL || fwrite(image, 1, len, file) != len || fclose(file) != 0)
                rig_fail("%s: %s", path, strerror(errno));
        free(image);
}

/* --- ports ------------------------------------------------------------------------------------------------------- */

static void start_eal(bool hugepages)
{
        static struct port_eal_args args;
        static const int cpu = 0;
        struct port_eal_settings settings = { .program = "perf", .file_prefix = "greyline-perf", .workers = 1,
                                              .cpus = &cpu, .hugepages = hugepages, .memory_mb = MEMORY_MB };
        char error[PORT_ERROR_MAX];

        if (port_eal_build(&args, &settings, error) < 0 || port_eal_start(&args, error) < 0)
                rig_fail("%s", error);
}

static void open_port(struct rig *rig, unsigned index, const char *name, struct rte_mempool **pools)
{
        struct port *port = &rig->devices.port[index];
        char device[32], to[32], from[32], error[PORT_ERROR_MAX];
        struct port_settings settings = {
                .device = { name, device, 1500 }, .index = (uint16_t)index, .workers = 1, .pools = pools,
                .steer = &rig->dataplane.steer,
        };

        snprintf(device, sizeof(device), "net_ring_%s", name);
        snprintf(to, sizeof(to), "to.%s", name);
        snprintf(from, sizeof(from), "from.%s", name);
        rig->to[index] = rte_ring_create(to, RIG_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        rig->from[index] = rte_ring_create(from, RIG_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (!rig->to[index] || !rig->from[index] ||
            rte_eth_from_rings(name, &rig->to[index], 1, &rig->from[index], 1, 0) < 0)
                rig_fail("no ring device %s", name);
        if (port_open(port, &settings, error) < 0 || port_start(port, error) < 0)
                rig_fail("%s", error);
        memcpy(port->mac, (uint8_t[6]){ 2, 0, 0, 0, 1, (uint8_t)index }, sizeof(port->mac)); /* rings have none */
        rig->dataplane.ports[rig->dataplane.n_ports++] = port;
}

static void open_ports(struct rig *rig, struct rte_mempool **pools)
{
        const struct image *image = publish_current(rig->dataplane.publish)->image;

        for (uint32_t i = 0; i < image->ports.count; i++) {
                const struct image_port *from = image_port(image, i);
                struct ip_interface *to = &rig->devices.interfaces[rig->devices.n_interfaces++];
                const struct image_address *address = image_address(image, from->addresses.first);

                open_port(rig, i, image_string(image, from->name), pools);
                *to = (struct ip_interface){ .port = (uint16_t)i, .mtu = from->mtu, .gateway4 = from->gateway_v4,
                                             .n_addrs = 1, .addrs = { { address->addr, address->prefix_len } } };
                memcpy(to->mac, rig->devices.port[i].mac, sizeof(to->mac));
        }
        if (rig->dataplane.n_ports != RIG_PORTS)
                rig_fail("the policy has other ports than the rig");
}

/* --- start and stop ---------------------------------------------------------------------------------------------- */

void rig_start(struct rig *rig, const struct rig_options *options)
{
        struct start_options start = { .run_dir = rig->dir, .state_dir = rig->dir };
        struct dataplane *dataplane = &rig->dataplane;
        struct rte_mempool *pools[PORT_WORKERS_MAX];
        static const _Atomic bool stop = false;
        static const uint8_t key[STEER_KEY_BYTES] = { 0x6d, 0x5a, 0x56, 0xda };
        char error[START_ERROR_MAX];
        const char *shm = getenv("GREYLINE_PERF_SHM"); /* another tmpfs: with large pages */

        memset(rig, 0, sizeof(*rig));
        snprintf(rig->dir, sizeof(rig->dir), "%s/greyline-perf.XXXXXX", shm ? shm : "/dev/shm");
        if (mkdtemp(rig->dir) == NULL)
                rig_fail("%s: %s", rig->dir, strerror(errno));
        removed = rig;
        rig->now_us = worker_clock_us();
        rig->wall_us = worker_wall_us();
        compile_policy(rig, options);
        dataplane->workers = 1;
        dataplane->publish = publish_new(PORT_WORKERS_MAX, &dataplane->keyring);
        start_eal(options->hugepages);
        steer_init(&dataplane->steer, 1, key);
        pools[0] = port_pool_new("packets", PACKETS, 1500, -1, error);
        rig->pool = pool_new("generator", RIG_POOL, 2048, -1);
        if (!pools[0] || !rig->pool)
                rig_fail("no memory for packets");
        if (start_policy(dataplane, &start, &stop, error) < 0 || start_tables(dataplane, &start, error) < 0)
                rig_fail("%s", error);
        open_ports(rig, pools);
        if (start_workers(dataplane, &rig->devices, &start, pools, PACKETS, error) < 0)
                rig_fail("%s", error);
        if (ring_attach_reader(&rig->log, link_log_ring(&dataplane->link, 0), LINK_LOG_SLOTS, sizeof(struct msg_log)) < 0 ||
            ring_attach_reader(&rig->ask, link_ask_ring(&dataplane->link, 0), LINK_ASK_SLOTS, sizeof(struct msg_ask)) < 0)
                rig_fail("the rings are not as they should be");
        for (unsigned i = 0; !options->probes && i < LINK_BACKENDS_MAX; i++)
                atomic_store(&dataplane->backends.backend[i].probe_due_us, UINT64_MAX);
        publish_register(dataplane->publish, 0);
        rig->now_us = worker_clock_us(); /* not before what the worker began with */
        rig->wall_us = worker_wall_us();
}

void rig_stop(struct rig *rig)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -rf '%s'", rig->dir);
        removed = NULL;
        if (strstr(rig->dir, "/greyline-perf.") != NULL && system(command) != 0)
                fprintf(stderr, "perf: %s is left behind\n", rig->dir);
}

/* What control does at the rings: take every record and every question out. */
static void drain(struct rig *rig)
{
        const void *slot;

        while ((slot = ring_read_slot(&rig->log)) != NULL) {
                struct msg_log log;

                memcpy(&log, slot, sizeof(log));
                ring_read_release(&rig->log);
                rig->records += log.kind != 0;
        }
        while (ring_read_slot(&rig->ask) != NULL) {
                ring_read_release(&rig->ask);
                rig->questions++;
        }
}

uint64_t rig_turn(struct rig *rig, uint64_t pass_us)
{
        struct worker *worker = rig->dataplane.worker[0];
        uint64_t began, ended, clocks;

        rig->now_us += pass_us;
        rig->wall_us += pass_us;
        began = ticks();
        /* The clocks are read as worker_run() does, but the time is the rig's. */
        clocks = worker_clock_us() + worker_wall_us();
        __asm__ volatile("" ::"r"(clocks));
        (void)worker_turn(worker, rig->now_us, rig->wall_us);
        ended = ticks();
        rig->turns++;
        drain(rig);
        return ended - began;
}

double rig_core_speed(void)
{
        struct samples samples = samples_new(200);
        double speed;

        for (unsigned i = 0; i < 200; i++) {
                uint64_t began = ticks(), value = began | 1;

                /* Each multiplication waits for the one before: three cycles of the core. */
                for (unsigned k = 0; k < 1000; k++)
                        __asm__ volatile("imul %0, %0" : "+r"(value));
                samples_add(&samples, 3000.0 / (double)(ticks() - began));
        }
        speed = samples_percentile(&samples, 50);
        free(samples.value);
        return speed;
}

void rig_know(struct rig *rig, const struct addr *client, bool is_listed)
{
        struct client_table *clients = &rig->dataplane.clients;
        uint32_t now_sec = (uint32_t)(rig->wall_us / 1000000), until_sec = now_sec + 80000;
        char name[32];
        int len = snprintf(name, sizeof(name), "mail%u.example.com", addr_v4_be(client) >> 8);

        client_table_set_zones(clients, client, is_listed ? ~1u : ~0u, is_listed ? 1u : 0u, until_sec, now_sec);
        client_table_write_ptr(clients, client, CLIENT_PTR_CONFIRMED, 0, name, (size_t)len, until_sec, now_sec);
}

uint64_t rig_counter(const struct rig *rig, enum counter counter)
{
        return rig->dataplane.link.page->counters[0][counter];
}
