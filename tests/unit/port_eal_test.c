/* SPDX-License-Identifier: Apache-2.0 */
/* The EAL's argument vector: what is in it, what is never in it, and which settings are refused with which words. */
#include <errno.h>

#include "tests/unit/ip_rig.h"

#include "dataplane/port/port.h"

static const char *joined(const struct port_eal_args *args, char *buf, size_t size)
{
        size_t used = 0;

        buf[0] = 0;
        for (int i = 0; i < args->argc && used < size; i++)
                used += (size_t)snprintf(buf + used, size - used, "%s ", args->argv[i]);
        return buf;
}

#define AF_FRONT "net_af_packet0,iface=gl-front"

static void test_arguments(void **state)
{
        static const struct {
                const char *name;
                struct port_device devices[2];
                unsigned n_devices, workers;
                bool hugepages;
                const char *want[4], *unwanted[4];
        } cases[] = {
                { "no device",
                  { { 0 } },
                  0,
                  1,
                  false,
                  { "--no-pci ", "--no-huge --no-shconf ", "--no-telemetry ", "-m 64 " },
                  { "--vdev", "-a ", "--in-memory" } },
                { "hugepages", { { 0 } }, 0, 1, true, { "--in-memory " }, { "--no-huge", "--no-shconf" } },
                { "a queue for each worker",
                  { { "front", AF_FRONT, 1500 } },
                  1,
                  3,
                  true,
                  { "--vdev=" AF_FRONT ",qpairs=3 ", "--no-pci " },
                  { "framesz" } },
                { "as the operator says",
                  { { "front", AF_FRONT ",qpairs=1", 1500 } },
                  1,
                  3,
                  true,
                  { "--vdev=" AF_FRONT ",qpairs=1 " },
                  { "qpairs=3" } },
                { "large frames",
                  { { "front", AF_FRONT, 9000 } },
                  1,
                  1,
                  true,
                  { ",framesz=16384,blocksz=65536,framecnt=256 " },
                  { NULL } },
                { "tap",
                  { { "front", "net_tap0,iface=t0", 1500 } },
                  1,
                  2,
                  true,
                  { "--vdev=net_tap0,iface=t0 " },
                  { "qpairs" } },
                { "PCI",
                  { { "front", "0000:01:00.0", 1500 }, { "back", "01:00.1,x=1", 1500 } },
                  2,
                  2,
                  true,
                  { "-a 0000:01:00.0 ", "-a 0000:01:00.1,x=1 " },
                  { "--no-pci", "--vdev" } },
                { "PCI and vdev",
                  { { "front", "0000:01:00.0", 1500 }, { "back", "net_ring0", 1500 } },
                  2,
                  2,
                  true,
                  { "-a 0000:01:00.0 ", "--vdev=net_ring0 " },
                  { "--no-pci" } },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct port_eal_settings settings = { .program = "dp",
                                                      .file_prefix = "greyline-test",
                                                      .devices = cases[i].devices,
                                                      .n_devices = cases[i].n_devices,
                                                      .workers = cases[i].workers,
                                                      .hugepages = cases[i].hugepages,
                                                      .memory_mb = 64 };
                char error[PORT_ERROR_MAX] = "", text[4096];
                struct port_eal_args args;

                if (port_eal_build(&args, &settings, error) != 0)
                        fail_msg("%s: %s", cases[i].name, error);
                joined(&args, text, sizeof(text));
                for (unsigned j = 0; j < ARRAY_LEN(cases[i].want) && cases[i].want[j]; j++)
                        if (!strstr(text, cases[i].want[j]))
                                fail_msg("%s: no \"%s\" in %s", cases[i].name, cases[i].want[j], text);
                for (unsigned j = 0; j < ARRAY_LEN(cases[i].unwanted) && cases[i].unwanted[j]; j++)
                        if (strstr(text, cases[i].unwanted[j]))
                                fail_msg("%s: \"%s\" in %s", cases[i].name, cases[i].unwanted[j], text);
                assert_null(args.argv[args.argc]);
        }
}

static void test_refusals(void **state)
{
        static const struct {
                const char *name;
                struct port_device devices[2];
                unsigned n_devices, workers, memory_mb;
                const char *want;
        } cases[] = {
                { "no worker", { { 0 } }, 0, 0, 64, "workers: 0: expected 1 to 64" },
                { "too many workers", { { 0 } }, 0, 65, 64, "workers: 65" },
                { "no memory", { { 0 } }, 0, 1, 4, "memory: 4 MB" },
                { "empty device", { { "front", "", 1500 } }, 1, 1, 64, "port front: device \"\"" },
                { "an option",
                  { { "front", "--lcores=0", 1500 } },
                  1,
                  1,
                  64,
                  "port front: device \"--lcores=0\"" },
                { "the same twice",
                  { { "front", AF_FRONT, 1500 }, { "back", "net_af_packet0,iface=gl-back", 1500 } },
                  2,
                  1,
                  64,
                  "port back: device net_af_packet0 is also port front" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct port_eal_settings settings = { .program = "dp",
                                                      .file_prefix = "greyline-test",
                                                      .devices = cases[i].devices,
                                                      .n_devices = cases[i].n_devices,
                                                      .workers = cases[i].workers,
                                                      .memory_mb = cases[i].memory_mb };
                char error[PORT_ERROR_MAX] = "";
                struct port_eal_args args;

                assert_int_equal(port_eal_build(&args, &settings, error), -EINVAL);
                if (!strstr(error, cases[i].want))
                        fail_msg("%s: said \"%s\"", cases[i].name, error);
        }
}

/* Device strings that do not fit are refused, not cut. */
static void test_too_long(void **state)
{
        static char device[6000] = "net_af_packet0,iface=";
        struct port_device devices[] = { { "front", device, 1500 } };
        struct port_eal_settings settings = { .program = "dp",
                                              .file_prefix = "x",
                                              .devices = devices,
                                              .n_devices = 1,
                                              .workers = 1,
                                              .memory_mb = 64 };
        char error[PORT_ERROR_MAX] = "";
        struct port_eal_args args;

        memset(device + strlen(device), 'x', sizeof(device) - strlen(device) - 1);
        assert_int_equal(port_eal_build(&args, &settings, error), -EINVAL);
        assert_non_null(strstr(error, "too long"));
}

/* More workers than CPUs: each gets an lcore of its own, and CPUs are shared. A CPU that is not ours is refused. */
static void test_lcores(void **state)
{
        const int wrong[] = { 100000 };
        struct port_eal_settings settings = {
                .program = "dp", .file_prefix = "x", .workers = 64, .memory_mb = 64
        };
        char error[PORT_ERROR_MAX] = "", text[4096], lcore[16];
        struct port_eal_args args;

        assert_int_equal(port_eal_build(&args, &settings, error), 0);
        joined(&args, text, sizeof(text));
        for (unsigned worker = 0; worker < 64; worker++) {
                snprintf(lcore, sizeof(lcore), ",%u@", PORT_LCORE(worker));
                assert_non_null(strstr(text, lcore));
        }
        assert_non_null(strstr(text, "--main-lcore=0 "));
        settings.workers = 1;
        settings.cpus = wrong;
        assert_int_equal(port_eal_build(&args, &settings, error), -EINVAL);
        assert_non_null(strstr(error, "CPU 100000"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arguments),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_lcores),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
