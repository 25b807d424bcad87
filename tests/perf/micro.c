/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single tables and functions, batches of 32: cycles for each element.
 *
 *     micro micro [hugepages] [quick]
 *
 * Keys are random, so that large tables are cold; greylist lookups hash a triplet of 60 bytes and hit half of the time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "control/policy/policy.h"
#include "dataplane/shared/client_table.h"
#include "dataplane/shared/grey_key.h"
#include "dataplane/shared/grey_table.h"
#include "dataplane/shared/image.h"
#include "dataplane/shared/siphash.h"
#include "dataplane/tcp/table.h"
#include "dataplane/tcp/wheel.h"
#include "tests/perf/figure.h"

#define BATCH   32u
#define BATCHES 20000u
#define NOW     1795500000u

static char dir[128];
static uint64_t state = 88172645463325252ull, sink;
static const struct siphash_key key = { { 7, 8 } };

static const char *file(const char *name)
{
        static char path[256];

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        return path;
}

/* --- greylist ---------------------------------------------------------------------------------------------------- */

static uint64_t triplet_key(uint32_t number)
{
        struct addr network = addr_from_v4_be(htonl(0x0b000000u + (number & 0xffff) * 256));
        char sender[40] = "newsletters-xxxxxxx@mailer.example.com", recipient[24] = "reader@example.org";

        for (unsigned i = 0; i < 7; i++, number /= 23)
                sender[12 + i] = (char)('a' + number % 23);
        return grey_key_network(&key, &network, sender, 38, recipient, 18);
}

static void grey(const char *name, uint32_t entries)
{
        struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 3110400 };
        struct samples samples = samples_new(BATCHES), raw = samples_new(BATCHES);
        struct grey_table table;
        char label[64];

        if (grey_table_open(&table, file(name), entries, &key, NULL) < 0)
                give_up("no memory for %u triplets", entries);
        for (uint32_t i = 0; i < entries; i++)
                (void)grey_table_record(&table, triplet_key(i), GREY_KIND_NETWORK, GREY_EVENT_FIRST, &params, NOW);
        for (unsigned batch = 0; batch < BATCHES; batch++) {
                struct grey_query queries[BATCH];
                uint32_t number[BATCH], waits = 0, wait_sec;
                uint64_t began, hashed;

                for (unsigned i = 0; i < BATCH; i++)
                        number[i] = (uint32_t)(random_next(&state) % (2ull * entries));
                began = ticks();
                for (unsigned i = 0; i < BATCH; i++)
                        queries[i].key = triplet_key(number[i]);
                hashed = ticks();
                grey_table_lookup(&table, queries, BATCH);
                for (unsigned i = 0; i < BATCH; i++)
                        waits += grey_judge(&queries[i].facts, &params, NOW + 10, &wait_sec) == GREY_WAIT;
                samples_add(&samples, (double)(ticks() - began) / BATCH);
                samples_add(&raw, (double)(ticks() - hashed) / BATCH);
                sink += waits;
        }
        if (sink < BATCHES * BATCH / 3)
                give_up("greylist: only %lu of %u lookups hit", sink, BATCHES * BATCH);
        snprintf(label, sizeof(label), "micro.%s", name);
        figure_print(label, "cycles/lookup", &samples);
        snprintf(label, sizeof(label), "micro.%s.table", name);
        figure_print(label, "cycles/lookup", &raw);
        snprintf(label, sizeof(label), "micro.%s.bytes", name);
        figure_value(label, "bytes/triplet", (double)table.bytes / entries);
        grey_table_close(&table);
        unlink(file(name));
}

/* --- clients ----------------------------------------------------------------------------------------------------- */

static void clients(uint32_t n)
{
        struct samples samples = samples_new(BATCHES);
        struct client_table table;

        if (client_table_open(&table, file("client"), n, &key, NULL) < 0)
                give_up("no memory for %u clients", n);
        for (uint32_t i = 0; i < n; i++) {
                struct addr addr = addr_from_v4_be(htonl(0x0b000000u + i));

                client_table_set_zones(&table, &addr, ~0u, 0, NOW + 10000, NOW);
        }
        for (unsigned batch = 0; batch < BATCHES; batch++) {
                struct addr addr[BATCH];
                struct client_answers answers;
                uint32_t line;
                uint64_t began;

                for (unsigned i = 0; i < BATCH; i++)
                        addr[i] = addr_from_v4_be(htonl(0x0b000000u + (uint32_t)(random_next(&state) % n)));
                began = ticks();
                for (unsigned i = 0; i < BATCH; i++)
                        client_table_prefetch(&table, &addr[i]);
                for (unsigned i = 0; i < BATCH; i++) {
                        line = CLIENT_LINE_NONE;
                        sink += client_table_lookup_near(&table, &addr[i], NOW, &line, &answers);
                }
                samples_add(&samples, (double)(ticks() - began) / BATCH);
        }
        figure_print("micro.client.1M", "cycles/lookup", &samples);
        client_table_close(&table);
        unlink(file("client"));
}

/* --- connections, timers, hashes ---------------------------------------------------------------------------------- */

static void connections(uint32_t n)
{
        struct samples samples = samples_new(BATCHES);
        uint64_t *hash = malloc(n * sizeof(*hash));
        struct table table;

        if (table_init(&table, n) < 0)
                give_up("no memory for %u connections", n);
        for (uint32_t i = 0; i < n; i++) {
                hash[i] = random_next(&state);
                if (!table_add(&table, hash[i], i))
                        give_up("the table is full at %u", i);
        }
        for (unsigned batch = 0; batch < BATCHES; batch++) {
                uint64_t want[BATCH], began;
                uint32_t value = 0;

                for (unsigned i = 0; i < BATCH; i++)
                        want[i] = hash[random_next(&state) % n];
                began = ticks();
                for (unsigned i = 0; i < BATCH; i++)
                        table_prefetch(&table, want[i]);
                for (unsigned i = 0; i < BATCH; i++) {
                        struct table_walk walk;

                        table_walk_start(&table, want[i], &walk);
                        while (table_walk_next(&table, &walk, &value))
                                sink += value;
                }
                samples_add(&samples, (double)(ticks() - began) / BATCH);
        }
        figure_print("micro.connection.1M", "cycles/lookup", &samples);
        table_done(&table);
        free(hash);
}

static void timers(uint32_t n)
{
        struct samples again = samples_new(BATCHES), expire = samples_new(BATCHES);
        struct wheel_node *nodes = calloc(n, sizeof(*nodes));
        static struct wheel wheel;
        uint64_t now_ms = 1000;

        wheel_init(&wheel, nodes, sizeof(*nodes), now_ms);
        for (uint32_t i = 0; i < n; i++) {
                wheel_node_init(&nodes[i]);
                wheel_add(&wheel, i, now_ms + 1 + random_next(&state) % 300000);
        }
        for (unsigned batch = 0; batch < BATCHES; batch++) {
                uint32_t which[BATCH], index, expired = 0;
                uint64_t began;

                for (unsigned i = 0; i < BATCH; i++)
                        which[i] = (uint32_t)(random_next(&state) % n);
                began = ticks();
                for (unsigned i = 0; i < BATCH; i++) {
                        wheel_remove(&wheel, which[i]);
                        wheel_add(&wheel, which[i], now_ms + 300000);
                }
                samples_add(&again, (double)(ticks() - began) / BATCH);
                now_ms += 10;
                began = ticks();
                while (expired < BATCH && (index = wheel_next(&wheel, now_ms)) != WHEEL_NONE)
                        which[expired++] = index;
                if (expired > 0)
                        samples_add(&expire, (double)(ticks() - began) / expired);
                for (unsigned i = 0; i < expired; i++)
                        wheel_add(&wheel, which[i], now_ms + 1 + random_next(&state) % 300000);
        }
        figure_print("micro.timer.again.1M", "cycles/timer", &again);
        figure_print("micro.timer.expire.1M", "cycles/timer", &expire);
        free(nodes);
}

static void hashes(void)
{
        static const unsigned lengths[] = { 16, 36, 60 };

        for (unsigned l = 0; l < ARRAY_LEN(lengths); l++) {
                struct samples samples = samples_new(BATCHES);
                uint8_t bytes[BATCH][64] = { { 1 } };
                char label[64];

                for (unsigned batch = 0; batch < BATCHES; batch++) {
                        uint64_t began;

                        bytes[batch % BATCH][3]++;
                        began = ticks();
                        for (unsigned i = 0; i < BATCH; i++)
                                sink += siphash(&key, bytes[i], lengths[l]);
                        samples_add(&samples, (double)(ticks() - began) / BATCH);
                }
                snprintf(label, sizeof(label), "micro.siphash.%u", lengths[l]);
                figure_print(label, "cycles/hash", &samples);
        }
}

/* --- networks of the policy -------------------------------------------------------------------------------------- */

static void networks(uint32_t n)
{
        static const char yaml[] =
            "node: {hostname: mx.greyline.test}\n"
            "ports: [{name: front, device: x, addresses: [198.18.0.25/16]},\n"
            "        {name: back, device: y, addresses: [198.19.0.25/16]}]\n"
            "listeners: [{name: mx, front: [198.18.0.25]}]\n"
            "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"
            "domains: {example.org: {}}\n"
            "dns: {resolvers: [127.0.0.1]}\n"
            "networks: {deny: {file: deny.list}}\n";
        static struct policy_errors errors;
        const struct policy_options options = { .generation = 1, .now_sec = NOW };
        struct samples samples = samples_new(BATCHES);
        void *image = NULL;
        size_t len = 0;
        FILE *list = fopen(file("deny.list"), "w");

        if (list == NULL)
                give_up("%s: %s", file("deny.list"), strerror(errno));
        for (uint32_t i = 0; i < n; i++) {
                uint32_t address = i * 3571;

                if (address >> 24 != 0 && address >> 24 != 127 && address >> 24 < 224)
                        fprintf(list, "%u.%u.%u.%u/32\n", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
        }
        fclose(list);
        if (policy_compile_text(file("policy.yaml"), yaml, strlen(yaml), NULL, &options, &errors, &image, &len) < 0)
                give_up("policy: %s", errors.text[0]);
        for (unsigned batch = 0; batch < BATCHES; batch++) {
                struct addr addr[BATCH];
                uint64_t began;

                for (unsigned i = 0; i < BATCH; i++)
                        addr[i] = addr_from_v4_be((uint32_t)random_next(&state));
                began = ticks();
                for (unsigned i = 0; i < BATCH; i++)
                        sink += image_lookup_network(image, &addr[i]);
                samples_add(&samples, (double)(ticks() - began) / BATCH);
        }
        figure_print("micro.networks.1M", "cycles/lookup", &samples);
        free(image);
        unlink(file("deny.list"));
}

int main(int argc, char **argv)
{
        const char *shm = getenv("GREYLINE_PERF_SHM");
        bool quick = false;

        for (int i = 2; i < argc; i++)
                quick |= strcmp(argv[i], "quick") == 0;
        snprintf(dir, sizeof(dir), "%s/greyline-micro.XXXXXX", shm ? shm : "/dev/shm");
        if (mkdtemp(dir) == NULL)
                give_up("%s: %s", dir, strerror(errno));
        hashes();
        connections(1000000);
        timers(1000000);
        clients(1000000);
        networks(1000000);
        grey("grey.1M", 1000000);
        if (quick)
                grey("grey.4M", 4000000);
        else
                grey("grey.16M", 16000000);
        unlink(file("lock"));
        rmdir(dir);
        return 0;
}
