/* SPDX-License-Identifier: Apache-2.0 */
/* A packet that is used after it was freed is caught in a build with AddressSanitizer, and only there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_eal.h>

#include "dataplane/port/pool.h"
#include "dataplane/shared/poison.h"

static struct rte_mempool *pool;

/* Returns the exit status of a child that plants the bug. */
static int use_after_free(size_t offset)
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                struct packet *packet = packet_new(pool);
                volatile uint8_t *byte = packet_data(packet) + offset;

                fclose(stderr); /* the report is expected */
                *byte = 1;
                packet_free(packet);
                *byte = 2;
                _exit(0);
        }
        waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_use_after_free_is_caught(void **state)
{
        static const size_t offsets[] = { 0, 1, 100, 2047 };

        for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
                int got = use_after_free(offsets[i]);

#ifdef POISON_IS_ON
                if (got == 0)
                        fail_msg("offset %zu: a use after free went unseen", offsets[i]);
#else
                assert_int_equal(got, 0);
#endif
        }
}

static void test_every_packet_comes_back(void **state)
{
        struct packet *packets[64];

        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 64; i++) {
                        packets[i] = packet_new(pool);
                        assert_non_null(packets[i]);
                        assert_non_null(packet_append(packets[i], 2048));
                        packet_data(packets[i])[2047] = (uint8_t)i;
                }
                assert_int_equal(rte_mempool_in_use_count(pool), 64);
                for (unsigned i = 0; i < 64; i++)
                        packet_free(packets[i]);
                assert_int_equal(rte_mempool_in_use_count(pool), 0);
        }
}

int main(void)
{
        static char *args[] = { "port_pool_test", "--no-huge",      "--no-shconf", "-m", "64",
                                "--no-pci",       "--no-telemetry", "-l",          "0",  "--log-level=3" };
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_packet_comes_back),
                cmocka_unit_test(test_use_after_free_is_caught),
        };

        if (rte_eal_init(sizeof(args) / sizeof(args[0]), args) < 0)
                return 1;
        pool = pool_new("packets", 127, 2048, -1);
        return pool == NULL ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
