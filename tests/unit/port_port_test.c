/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port from its device string to its packets: opened over net_ring, which needs no root and gives back what it
 * sends; workers without a queue; sleeping; errors for people. Drivers on kernel interfaces are in tests/system.
 */
#include <errno.h>
#include <unistd.h>

#include "tests/unit/ip_rig.h"

#include "dataplane/port/burst.h"
#include "dataplane/port/wait.h"

#define LCORES  3u  /* that exist; the workers of this test are one thread */
#define WORKERS 18u /* net_ring has 16 queues */

static struct port port;
static struct rte_mempool *pools[WORKERS];
static uint64_t counters[COUNTER_MAX];

static const struct port_device ring_device = { "front", "net_ring0", 1500 };

/* In the order that main has. */
static int start(void **state)
{
        struct port_eal_settings settings = { .program = "test",
                                              .file_prefix = "greyline-port-test",
                                              .devices = &ring_device,
                                              .n_devices = 1,
                                              .workers = LCORES,
                                              .memory_mb = 64 };
        struct port_settings port_settings = { .device = ring_device, .workers = WORKERS, .pools = pools };
        static const uint8_t key[STEER_KEY_BYTES] = { 1 };
        char error[PORT_ERROR_MAX] = "";
        static struct steer steer;
        struct port_eal_args args;

        steer_init(&steer, WORKERS, key);
        port_settings.steer = &steer;
        if (port_eal_build(&args, &settings, error) < 0 || port_eal_start(&args, error) < 0)
                goto failed;
        for (unsigned i = 0; i < WORKERS; i++) {
                char name[16];

                snprintf(name, sizeof(name), "pool%u", i);
                pools[i] = port_pool_new(name, i == 0 ? 2047 : 63, 1500, -1, error);
                if (!pools[i])
                        goto failed;
        }
        rig_pool = pools[0];
        if (port_open(&port, &port_settings, error) == 0 && port_start(&port, error) == 0)
                return 0;
failed:
        fprintf(stderr, "%s\n", error);
        return -1;
}

static void test_opened(void **state)
{
        assert_in_range(port.rx_queues, 1, WORKERS - 1);
        assert_int_equal(port.rx_queues, port.tx_queues);
        assert_string_equal(port.name, "front");
        assert_string_equal(port.device, "net_ring0");
        assert_int_equal(port.rx_fd[0], -1);
        for (unsigned worker = 0; worker < WORKERS; worker++) {
                assert_int_equal(port_has_queue(&port, worker), worker < port.rx_queues);
                assert_int_equal(port_tx_worker(&port, worker), worker < port.tx_queues ? worker : 0);
        }
}

static unsigned send_some(unsigned worker, unsigned n, bool *ret_wake)
{
        struct packet *packets[PORT_BURST_MAX];

        for (unsigned i = 0; i < n; i++)
                packets[i] = rig_packet("a frame that is long enough", 27);
        *ret_wake = burst_tx(&port, worker, packets, n, counters);
        return n;
}

static unsigned receive_all(unsigned worker)
{
        struct packet *packets[PORT_BURST_MAX];
        unsigned total = 0, n;

        while ((n = burst_rx(&port, worker, packets, PORT_BURST_MAX, counters)) > 0) {
                total += n;
                for (unsigned i = 0; i < n; i++) {
                        assert_int_equal(packet_len(packets[i]), 27);
                        assert_memory_equal(packet_data(packets[i]), "a frame", 7);
                        assert_int_equal(packet_meta(packets[i])->port, port.index);
                        assert_int_equal(packet_meta(packets[i])->flags, 0);
                        packet_free(packets[i]);
                }
        }
        return total;
}

static void test_round_trip(void **state)
{
        bool wake = true;

        memset(counters, 0, sizeof(counters));
        for (unsigned n = 1; n <= PORT_BURST_MAX; n++) {
                send_some(0, n, &wake);
                assert_false(wake);
                assert_int_equal(receive_all(0), n);
        }
        assert_int_equal(counters[COUNTER_tx_packets], 32 * 33 / 2);
        assert_int_equal(counters[COUNTER_rx_packets], 32 * 33 / 2);
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

/* A worker without a queue sends through worker 0, which is to be woken. */
static void test_handed_over(void **state)
{
        bool wake = false;

        memset(counters, 0, sizeof(counters));
        send_some(WORKERS - 1, 20, &wake);
        assert_true(wake);
        assert_int_equal(receive_all(0), 0);
        assert_int_equal(receive_all(WORKERS - 1), 0);
        assert_int_equal(burst_tx_handed(&port, WORKERS - 1, counters), 0);
        assert_int_equal(burst_tx_handed(&port, 0, counters), 20);
        assert_int_equal(burst_tx_handed(&port, 0, counters), 0);
        assert_int_equal(receive_all(0), 20);
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

/* A device that takes nothing more costs the frames, never the worker, and nothing leaks. */
static void test_full(void **state)
{
        unsigned sent = 0;
        bool wake;

        memset(counters, 0, sizeof(counters));
        while (sent < 1500)
                sent += send_some(0, 30, &wake);
        assert_in_range(counters[COUNTER_tx_full], 1, sent - 1);
        assert_int_equal(counters[COUNTER_tx_packets] + counters[COUNTER_tx_full], sent);
        assert_int_equal(receive_all(0), counters[COUNTER_tx_packets]);
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

/* Chains are made one segment where the device cannot send them; one that does not fit is dropped and counted. */
static void test_linearise(void **state)
{
        struct packet *packets[2], *got[2];
        static const uint8_t zeros[1500];
        bool had = port.tx_multi_segs;

        memset(counters, 0, sizeof(counters));
        port.tx_multi_segs = false;
        packets[0] = rig_packet(zeros, 1500);
        assert_true(packet_chain(packets[0], rig_packet(zeros, 1500)));
        packets[1] = rig_packet("a frame ", 8);
        assert_true(packet_chain(packets[1], rig_packet("in pieces", 9)));
        burst_tx(&port, 0, packets, 2, counters);
        port.tx_multi_segs = had;
        assert_int_equal(counters[COUNTER_tx_linearise_failed], 1);
        assert_int_equal(burst_rx(&port, 0, got, 2, counters), 1);
        assert_int_equal(got[0]->mbuf.nb_segs, 1);
        assert_int_equal(packet_len(got[0]), 17);
        assert_memory_equal(packet_data(got[0]), "a frame in pieces", 17);
        packet_free(got[0]);
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

/* Bells wake, each by its own bit; time wakes; a queue without a descriptor is said to be blind. */
static void test_wait(void **state)
{
        struct port *ports[] = { &port };
        char error[PORT_ERROR_MAX] = "";
        struct port_wait *wait;
        int pipes[2][2], bells[2];

        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(pipe(pipes[i]), 0);
                bells[i] = pipes[i][0];
        }
        assert_int_equal(port_wait_new(&wait, ports, 1, 0, bells, 2, error), 0);
        assert_true(port_wait_is_blind(wait));
        port_wait_arm(wait);
        assert_int_equal(port_wait(wait, 1000), 0);
        assert_int_equal(write(pipes[1][1], "x", 1), 1);
        assert_int_equal(port_wait(wait, 10000000), PORT_WAIT_BELL(1));
        assert_int_equal(write(pipes[0][1], "x", 1), 1);
        assert_int_equal(port_wait(wait, 10000000), PORT_WAIT_BELL(0) | PORT_WAIT_BELL(1));
        port_wait_free(wait);

        /* A worker without a queue of its own has only its bells, and sleeps as long as it may. */
        assert_int_equal(port_wait_new(&wait, ports, 1, WORKERS + 1, bells, 2, error), 0);
        assert_false(port_wait_is_blind(wait));
        assert_int_equal(port_wait(wait, UINT64_MAX), PORT_WAIT_BELL(0) | PORT_WAIT_BELL(1));
        port_wait_free(wait);
        for (unsigned i = 0; i < 2; i++) {
                close(pipes[i][0]);
                close(pipes[i][1]);
        }
}

static void test_missing(void **state)
{
        static const struct {
                const char *device, *want;
        } cases[] = {
                { "net_af_packet7,iface=gl-none-such", "port back: no network interface \"gl-none-such\"" },
                { "0000:ff:1f.7", "bind it with dpdk-devbind.py --bind=vfio-pci 0000:ff:1f.7" },
                { "net_nothing0", "port back: device" },
                { "", "cannot be" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct port_settings settings = { .device = { "back", cases[i].device, 1500 },
                                                  .workers = 1,
                                                  .pools = pools };
                char error[PORT_ERROR_MAX] = "";
                struct port got = { .index = 77 };

                if (port_open(&got, &settings, error) >= 0)
                        fail_msg("%s opened", cases[i].device);
                if (!strstr(error, cases[i].want))
                        fail_msg("%s: said \"%s\"", cases[i].device, error);
                assert_int_equal(got.index, 77);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_opened),      cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_handed_over), cmocka_unit_test(test_full),
                cmocka_unit_test(test_linearise),   cmocka_unit_test(test_wait),
                cmocka_unit_test(test_missing),
        };

        return cmocka_run_group_tests(tests, start, NULL);
}
