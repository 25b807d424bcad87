/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EAL: its argument vector, its start, its memory.
 *
 * Every device is named. Without a PCI address among them the PCI bus is not looked at at all; with one, the
 * allow list holds exactly those. No telemetry socket, no shared configuration: two instances on a machine do not see each other.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "dataplane/port/port.h"
#include "dataplane/port/private.h"

/* What net_af_packet's default frames (2048 bytes) hold of an IP packet, with Ethernet, a tag and its own header. */
#define AF_PACKET_MTU_MAX 1960u
#define AF_PACKET_JUMBO   ",framesz=16384,blocksz=65536,framecnt=256"

int port_fail(char reterr[PORT_ERROR_MAX], int error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(reterr, PORT_ERROR_MAX, format, args);
        va_end(args);
        return error;
}

/* Add one argument to the vector; the text is cut off, and said, when the room ends. */
static PRINTF(2, 3) bool add(struct port_eal_args *args, const char *format, ...)
{
        va_list va;
        int len;

        if ((unsigned)args->argc + 1 >= ARRAY_LEN(args->argv))
                return false;
        va_start(va, format);
        len = vsnprintf(args->text + args->used, sizeof(args->text) - args->used, format, va);
        va_end(va);
        if (len < 0 || (unsigned)len >= sizeof(args->text) - args->used)
                return false;
        args->argv[args->argc++] = args->text + args->used;
        args->argv[args->argc] = NULL;
        args->used += (unsigned)len + 1;
        return true;
}

static bool is_hex(const char *text, unsigned digits)
{
        for (unsigned i = 0; i < digits; i++)
                if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f') ||
                      (text[i] >= 'A' && text[i] <= 'F')))
                        return false;
        return true;
}

/* "01:00.0", with whatever comes after it. */
static bool is_short_pci(const char *text)
{
        return is_hex(text, 2) && text[2] == ':' && is_hex(text + 3, 2) && text[5] == '.' &&
               is_hex(text + 6, 1) && (text[7] == 0 || text[7] == ',');
}

bool port_device_is_pci(const char *device)
{
        return is_short_pci(device) || (is_hex(device, 4) && device[4] == ':' && is_short_pci(device + 5));
}

int port_device_name(const char *device, char ret[PORT_DEVICE_MAX])
{
        size_t len = strcspn(device, ",");
        int printed;

        if (len == 0)
                return -EINVAL;
        printed =
            snprintf(ret, PORT_DEVICE_MAX, "%s%.*s", is_short_pci(device) ? "0000:" : "", (int)len, device);
        return printed < (int)PORT_DEVICE_MAX ? 0 : -EINVAL;
}

static int add_devices(struct port_eal_args *args, const struct port_eal_settings *settings,
                       char reterr[PORT_ERROR_MAX])
{
        bool has_pci = false, has_room = true;

        for (unsigned i = 0; i < settings->n_devices; i++) {
                const struct port_device *device = &settings->devices[i];
                bool is_af_packet = strncmp(device->device, "net_af_packet", 13) == 0;
                char name[PORT_DEVICE_MAX], other[PORT_DEVICE_MAX];
                char queues[32] = "";

                if (port_device_name(device->device, name) < 0 || device->device[0] == '-')
                        return port_fail(
                            reterr, -EINVAL,
                            "port %s: device \"%.80s\": expected a PCI address or a driver with a number, "
                            "such as \"net_af_packet0,iface=eth1\"",
                            device->name, device->device);
                for (unsigned j = 0; j < i; j++)
                        if (port_device_name(settings->devices[j].device, other) == 0 &&
                            strcmp(name, other) == 0)
                                return port_fail(
                                    reterr, -EINVAL,
                                    "port %s: device %.80s is also port %s: give each a number of its own",
                                    device->name, name, settings->devices[j].name);
                if (port_device_is_pci(device->device)) {
                        has_pci = true;
                        has_room &=
                            add(args, "-a") &&
                            add(args, "%s%s", is_short_pci(device->device) ? "0000:" : "", device->device);
                        continue;
                }
                if (is_af_packet && !strstr(device->device, "qpairs="))
                        snprintf(queues, sizeof(queues), ",qpairs=%u", MIN(settings->workers, 16u));
                has_room &=
                    add(args, "--vdev=%s%s%s", device->device, queues,
                        is_af_packet && device->mtu > AF_PACKET_MTU_MAX && !strstr(device->device, "framesz=")
                            ? AF_PACKET_JUMBO
                            : "");
        }
        if (!has_pci)
                has_room &= add(args, "--no-pci");
        return has_room ? 0 : port_fail(reterr, -EINVAL, "ports: the device strings are too long together");
}

/* --lcores: main on every CPU we may use, each worker on one. */
static int add_lcores(struct port_eal_args *args, const struct port_eal_settings *settings,
                      char reterr[PORT_ERROR_MAX])
{
        char text[2048];
        int cpus[CPU_SETSIZE];
        unsigned n_cpus = 0, len = 0, first;
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return port_fail(reterr, -errno, "workers: the CPUs to run on are unknown: %s",
                                 strerror(errno));
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, &set))
                        cpus[n_cpus++] = cpu;
        len += (unsigned)snprintf(text, sizeof(text), "0@(");
        for (unsigned i = 0; i < n_cpus && i < 64; i++)
                len += (unsigned)snprintf(text + len, sizeof(text) - len, "%s%d", i ? "," : "", cpus[i]);
        len += (unsigned)snprintf(text + len, sizeof(text) - len, ")");

        /* Leave the first CPU to main, control and the kernel where there are enough. */
        first = n_cpus > settings->workers ? 1 : 0;
        for (unsigned worker = 0; worker < settings->workers; worker++) {
                int cpu = settings->cpus ? settings->cpus[worker] : cpus[(first + worker) % n_cpus];

                if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &set))
                        return port_fail(reterr, -EINVAL,
                                         "workers: CPU %d is not one that this process may use", cpu);
                len += (unsigned)snprintf(text + len, sizeof(text) - len, ",%u@%d", PORT_LCORE(worker), cpu);
        }
        if (!add(args, "--lcores=%s", text) || !add(args, "--main-lcore=0"))
                return port_fail(reterr, -EINVAL, "ports: the device strings are too long together");
        return 0;
}

int port_eal_build(struct port_eal_args *ret, const struct port_eal_settings *settings,
                   char reterr[PORT_ERROR_MAX])
{
        int r;

        memset(ret, 0, sizeof(*ret));
        if (settings->workers < 1 || settings->workers > PORT_WORKERS_MAX)
                return port_fail(reterr, -EINVAL, "workers: %u: expected 1 to %u", settings->workers,
                                 PORT_WORKERS_MAX);
        if (settings->n_devices > PORT_MAX)
                return port_fail(reterr, -EINVAL, "ports: %u: expected at most %u", settings->n_devices,
                                 PORT_MAX);
        if (settings->memory_mb < 16)
                return port_fail(reterr, -EINVAL, "memory: %u MB: expected at least 16", settings->memory_mb);
        add(ret, "%s", settings->program);
        r = add_lcores(ret, settings, reterr);
        if (r < 0)
                return r;
        add(ret, "--no-telemetry");
        add(ret, "--log-level=4"); /* errors; what they mean is said by port_open() */
        if (settings->hugepages) {
                add(ret, "--in-memory");
        } else {
                add(ret, "--no-huge");
                add(ret, "--no-shconf");
        }
        add(ret, "-m");
        add(ret, "%u", settings->memory_mb);
        if (!add(ret, "--file-prefix=%s", settings->file_prefix))
                return port_fail(reterr, -EINVAL, "file prefix too long");
        return add_devices(ret, settings, reterr);
}

unsigned port_hugepages_free_mb(void)
{
        FILE *file = fopen("/proc/meminfo", "re");
        unsigned long free_pages = 0, page_kb = 0, reserved = 0;
        char line[128];

        if (!file)
                return 0;
        while (fgets(line, sizeof(line), file)) {
                sscanf(line, "HugePages_Free: %lu", &free_pages);
                sscanf(line, "HugePages_Rsvd: %lu", &reserved);
                sscanf(line, "Hugepagesize: %lu", &page_kb);
        }
        fclose(file);
        return free_pages > reserved ? (unsigned)((free_pages - reserved) * page_kb / 1024) : 0;
}

static bool has_argument(const struct port_eal_args *args, const char *argument)
{
        for (int i = 1; i < args->argc; i++)
                if (strcmp(args->argv[i], argument) == 0)
                        return true;
        return false;
}

int port_eal_start(struct port_eal_args *args, char reterr[PORT_ERROR_MAX])
{
        bool hugepages = has_argument(args, "--in-memory");
        unsigned free_mb = port_hugepages_free_mb(), memory_mb = 0;
        int error;

        for (int i = 1; i + 1 < args->argc; i++)
                if (strcmp(args->argv[i], "-m") == 0)
                        memory_mb = (unsigned)strtoul(args->argv[i + 1], NULL, 10);
        if (hugepages && free_mb < memory_mb)
                return port_fail(reterr, -ENOMEM,
                                 "hugepages: %u MB free, %u MB needed: reserve more, for example "
                                 "sysctl -w vm.nr_hugepages=%u, or set hugepages: false",
                                 free_mb, memory_mb, (memory_mb - free_mb) / 2 + 1);
        if (rte_eal_init(args->argc, args->argv) >= 0)
                return 0;
        error = rte_errno ? rte_errno : EINVAL;
        if (hugepages && (error == EACCES || error == ENOMEM || geteuid() != 0))
                return port_fail(reterr, -error,
                                 "DPDK: %s: hugepages need root, or a hugetlbfs mount of our own user",
                                 strerror(error));
        return port_fail(reterr, -error, "DPDK: cannot start: %s (see the EAL line above)", strerror(error));
}

void port_eal_stop(void)
{
        rte_eal_cleanup();
}
