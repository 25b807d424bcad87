/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/privs.h"
#include "dataplane/shared/paths.h"
#include "dataplane/shared/secret.h"

#define PACKET_BYTES      3072u /* of pool memory for a packet of the usual MTU, with all that it costs */
#define PACKETS_MIN       4096u /* of a worker */
#define PACKETS_MAX       (1u << 20)
#define LIMITS_NETWORKS   (1u << 18)
#define MEMORY_EXTRA_MB   96u   /* EAL's own, rings, device queues */
#define WAIT_POLICY_MS    500

static int PRINTF(3, 4) fail(char reterr[START_ERROR_MAX], int r, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(reterr, START_ERROR_MAX, format, args);
        va_end(args);
        return r;
}

static const struct image *image_of(const struct dataplane *dataplane)
{
        return publish_current(dataplane->publish)->image;
}

int start_run_dir(const struct start_options *options, char reterr[START_ERROR_MAX])
{
        char path[START_PATH_MAX];
        int fd;

        if (mkdir(options->run_dir, 0750) < 0 && errno != EEXIST)
                return fail(reterr, -errno, "%s: %s: make it, or give another one with --run-dir", options->run_dir,
                            strerror(errno));
        if (privs_give(options->run_dir, options->user) < 0)
                return fail(reterr, -EINVAL, "no user %s: make it, or leave --user away", options->user);
        snprintf(path, sizeof(path), "%s/dataplane.lock", options->run_dir);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0)
                return fail(reterr, -errno, "%s: %s", path, strerror(errno));
        /* Held until the process ends, however it ends. */
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return fail(reterr, -EBUSY, "another greyline-dataplane runs in %s", options->run_dir);
        return 0;
}

void start_keys(struct dataplane *dataplane, const struct start_options *options)
{
        int r = keyring_open(&dataplane->keyring, options->keys_dir);

        if (r < 0)
                fprintf(stderr, "greyline-dataplane: no STARTTLS: %s: %s: nothing can be shared with greyline-keys\n",
                        options->keys_dir, strerror(-r));
}

static int load_policy(struct dataplane *dataplane, const char *path, char reterr[START_ERROR_MAX])
{
        char reason[IMAGE_REASON_MAX];
        int r = publish_load(dataplane->publish, path, 0, &dataplane->backends, reason);

        if (r < 0)
                return fail(reterr, r, "no policy that can be used: %s", reason);
        if (reason[0] != '\0')
                fprintf(stderr, "greyline-dataplane: no STARTTLS: %s\n", reason);
        return 0;
}

int start_policy(struct dataplane *dataplane, const struct start_options *options, const _Atomic bool *stop,
                 char reterr[START_ERROR_MAX])
{
        char path[START_PATH_MAX];
        bool said = false;
        int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), r;
        struct pollfd pollfd = { .fd = watch, .events = POLLIN };

        snprintf(path, sizeof(path), "%s/" PATHS_IMAGES "/current.image", options->state_dir);
        for (;;) {
                char dir[START_PATH_MAX], events[4096];
                ssize_t drained;

                /* The directory may not be there yet: then its parent tells, or the timeout. */
                snprintf(dir, sizeof(dir), "%s/" PATHS_IMAGES, options->state_dir);
                if (inotify_add_watch(watch, dir, IN_CREATE | IN_MOVED_TO) < 0)
                        (void)!inotify_add_watch(watch, options->state_dir, IN_CREATE);
                r = load_policy(dataplane, path, reterr);
                if (r != -ENOENT || atomic_load(stop))
                        break;
                if (!said) {
                        printf("greyline-dataplane: waiting for a policy (greyline-control makes %s)\n", path);
                        fflush(stdout);
                }
                said = true;
                poll(&pollfd, 1, WAIT_POLICY_MS);
                do
                        drained = read(watch, events, sizeof(events));
                while (drained > 0);
        }
        close(watch);
        return atomic_load(stop) ? -EINTR : r;
}

int start_tables(struct dataplane *dataplane, const struct start_options *options, char reterr[START_ERROR_MAX])
{
        const struct image_store *store = &image_of(dataplane)->store;
        struct siphash_key grey_key, client_key;
        char path[START_PATH_MAX];
        int r;

        r = secret_open(&dataplane->secret, options->state_dir);
        if (r < 0)
                return fail(reterr, r, "%s/" PATHS_SECRET ": %s", options->state_dir, strerror(-r));
        grey_key = secret_key(&dataplane->secret, "grey");
        client_key = secret_key(&dataplane->secret, "client");
        snprintf(path, sizeof(path), "%s/" PATHS_GREY_TABLE, options->run_dir);
        r = grey_table_open(&dataplane->grey, path, store->grey_entries, &grey_key, NULL);
        if (r == -EKEYREJECTED)
                return fail(reterr, r, "%s was made with another secret: put %s/" PATHS_SECRET
                                       " back, or remove the table", path, options->state_dir);
        if (r < 0)
                return fail(reterr, r, "%s: %s", path, strerror(-r));
        snprintf(path, sizeof(path), "%s/" PATHS_CLIENT_TABLE, options->run_dir);
        r = client_table_open(&dataplane->clients, path, store->client_entries, &client_key, NULL);
        if (r < 0)
                return fail(reterr, r, "%s: %s", path, strerror(-r));
        return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

/* One device for all ports of the policy that name it. */
static int list_devices(const struct image *image, struct start_devices *devices, char reterr[START_ERROR_MAX])
{
        for (uint32_t i = 0; i < image->ports.count; i++) {
                const struct image_port *port = image_port(image, i);
                const char *device = image_string(image, port->device);
                unsigned at = 0;

                while (at < devices->n && strcmp(devices->device[at].device, device) != 0)
                        at++;
                if (at == PORT_MAX)
                        return fail(reterr, -ENOSPC, "the policy names more than %u devices", PORT_MAX);
                if (at == devices->n)
                        devices->device[devices->n++] = (struct port_device){
                                .name = strdup(image_string(image, port->name)),
                                .device = strdup(device), /* the image may be replaced while the port lives */
                                .mtu = port->mtu,
                        };
                devices->device[at].mtu = MAX(devices->device[at].mtu, port->mtu);
                devices->device_of[i] = (uint8_t)at;
        }
        if (devices->n == 0)
                return fail(reterr, -EINVAL, "the policy has no ports: it needs at least one with a device");
        return 0;
}

static int list_interfaces(const struct image *image, struct start_devices *devices, char reterr[START_ERROR_MAX])
{
        if (image->ports.count > IP_INTERFACES_MAX)
                return fail(reterr, -ENOSPC, "the policy has more than %u ports", IP_INTERFACES_MAX);
        for (uint32_t i = 0; i < image->ports.count; i++) {
                const struct image_port *from = image_port(image, i);
                const struct port *port = &devices->port[devices->device_of[i]];
                struct ip_interface *to = &devices->interfaces[devices->n_interfaces++];

                if (from->addresses.count > IP_ADDRS_MAX)
                        return fail(reterr, -ENOSPC, "port %s has more than %u addresses",
                                    image_string(image, from->name), IP_ADDRS_MAX);
                *to = (struct ip_interface){
                        .port = port->index,
                        .vlan = from->vlan,
                        .mtu = from->mtu,
                        .tx_l4_checksum = port->tx_l4_checksum,
                        .gateway4 = from->gateway_v4,
                        .gateway6 = from->gateway_v6,
                };
                memcpy(to->mac, port->mac, sizeof(to->mac));
                for (uint32_t a = 0; a < from->addresses.count; a++) {
                        const struct image_address *address = image_address(image, from->addresses.first + a);

                        to->addrs[to->n_addrs++] = (struct ip_addr){ address->addr, address->prefix_len };
                }
        }
        return 0;
}

static uint32_t packets_of(const struct image *image, unsigned workers)
{
        uint64_t packets = image->node.packet_memory_bytes / 4 * 3 / PACKET_BYTES / workers;

        return (uint32_t)MIN(MAX(packets, PACKETS_MIN), PACKETS_MAX);
}

static int start_eal(const struct dataplane *dataplane, struct start_devices *devices, const char *program,
                     uint32_t packets, char reterr[START_ERROR_MAX])
{
        static struct port_eal_args args; /* the EAL keeps pointers into it */
        const struct image *image = image_of(dataplane);
        uint64_t pool_mb = (uint64_t)packets * dataplane->workers * PACKET_BYTES >> 20;
        char prefix[64];
        struct port_eal_settings settings = {
                .program = program,
                .file_prefix = prefix,
                .devices = devices->device,
                .n_devices = devices->n,
                .workers = dataplane->workers,
                .memory_mb = (unsigned)pool_mb + MEMORY_EXTRA_MB,
        };
        int r;

        snprintf(prefix, sizeof(prefix), "greyline-%d", getpid());
        settings.hugepages = image->node.hugepages == IMAGE_HUGEPAGES_ON ||
                             (image->node.hugepages == IMAGE_HUGEPAGES_AUTO &&
                              port_hugepages_free_mb() >= settings.memory_mb);
        r = port_eal_build(&args, &settings, reterr);
        return r < 0 ? r : port_eal_start(&args, reterr);
}

static int open_devices(struct dataplane *dataplane, struct start_devices *devices,
                        struct rte_mempool *pools[PORT_WORKERS_MAX], char reterr[START_ERROR_MAX])
{
        const struct image *image = image_of(dataplane);

        for (unsigned i = 0; i < devices->n; i++) {
                struct port_settings settings = {
                        .device = devices->device[i],
                        .index = (uint16_t)i,
                        .workers = dataplane->workers,
                        .pools = pools,
                        .steer = &dataplane->steer,
                        .rx_interrupts = image->node.idle == IMAGE_IDLE_ADAPTIVE,
                };
                int r = port_open(&devices->port[i], &settings, reterr);

                if (r == 0)
                        r = port_start(&devices->port[i], reterr);
                if (r < 0)
                        return r;
                dataplane->ports[dataplane->n_ports++] = &devices->port[i];
        }
        return 0;
}

int start_devices(struct dataplane *dataplane, struct start_devices *devices, const char *program,
                  struct rte_mempool *pools[PORT_WORKERS_MAX], uint32_t *ret_packets, char reterr[START_ERROR_MAX])
{
        const struct image *image = image_of(dataplane);
        uint32_t packets = packets_of(image, dataplane->workers);
        uint8_t key[STEER_KEY_BYTES];
        uint16_t mtu = 0;
        int r;

        r = list_devices(image, devices, reterr);
        if (r < 0)
                return r;
        if (getrandom(key, sizeof(key), 0) != sizeof(key))
                return fail(reterr, -EIO, "no random bytes: %s", strerror(errno));
        steer_init(&dataplane->steer, dataplane->workers, key);
        r = start_eal(dataplane, devices, program, packets, reterr);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < devices->n; i++)
                mtu = MAX(mtu, devices->device[i].mtu);
        for (unsigned w = 0; w < dataplane->workers; w++) {
                char name[32];

                snprintf(name, sizeof(name), "packets.%u", w);
                pools[w] = port_pool_new(name, packets, mtu, -1, reterr);
                if (pools[w] == NULL)
                        return -ENOMEM;
        }
        r = open_devices(dataplane, devices, pools, reterr);
        if (r < 0)
                return r;
        *ret_packets = packets;
        return list_interfaces(image, devices, reterr);
}

/* --- workers ------------------------------------------------------------------------------------------------------- */

int start_workers(struct dataplane *dataplane, const struct start_devices *devices,
                  const struct start_options *options, struct rte_mempool *const *pools, uint32_t packets,
                  char reterr[START_ERROR_MAX])
{
        const struct image *image = image_of(dataplane);
        /* Connections fall to workers by chance: each has a quarter more than its share. */
        uint32_t sessions = image->limits.sessions_max / dataplane->workers * 5 / 4 + 64;
        struct siphash_key limits_key;
        char path[START_PATH_MAX];
        int r;

        if (getrandom(&limits_key, sizeof(limits_key), 0) != sizeof(limits_key))
                return fail(reterr, -EIO, "no random bytes: %s", strerror(errno));
        dataplane->limits = limits_new(LIMITS_NETWORKS, &limits_key);
        if (dataplane->limits == NULL)
                return fail(reterr, -ENOMEM, "not enough memory for the table of networks");
        r = link_create(&dataplane->link, options->run_dir, dataplane->workers);
        if (r < 0)
                return fail(reterr, r, "%s/" PATHS_LINK ": %s", options->run_dir, strerror(-r));
        snprintf(path, sizeof(path), "%s/" PATHS_LINK, options->run_dir);
        if (privs_give(path, options->user) < 0)
                return fail(reterr, -EPERM, "%s: cannot give it to user %s", path, options->user);
        if (dataplane->keyring.link.page)
                atomic_store(&dataplane->keyring.link.page->workers, dataplane->workers);
        dataplane->bell_control = link_bell_open(options->run_dir, "control");
        dataplane->bell_main = link_bell_open(options->run_dir, "main");
        r = MIN(dataplane->bell_control, dataplane->bell_main);
        if (r < 0)
                return fail(reterr, r, "%s/bell.*: %s", options->run_dir, strerror(-r));
        for (unsigned w = 0; w < dataplane->workers; w++) {
                struct worker_settings settings = {
                        .index = w,
                        .pool = pools[w],
                        .interfaces = devices->interfaces,
                        .n_interfaces = devices->n_interfaces,
                        .sessions_max = sessions,
                        .connections_max = sessions * 2 + 64,
                        .packets_max = packets,
                        .run_dir = options->run_dir,
                        .now_us = worker_clock_us(),
                        .wall_us = worker_wall_us(),
                };

                if (getrandom(settings.secret, sizeof(settings.secret), 0) != sizeof(settings.secret))
                        return fail(reterr, -EIO, "no random bytes: %s", strerror(errno));
                dataplane->worker[w] = worker_new(dataplane, &settings, reterr);
                if (dataplane->worker[w] == NULL)
                        return -ENOMEM;
        }
        return 0;
}
