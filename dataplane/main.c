/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greyline-dataplane: the start order on one page, then housekeeping until the end: the heartbeat, policies that
 * control publishes, the copy of the backends' state, memory that workers have let go of.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "dataplane/certs.h"
#include "dataplane/privs.h"
#include "dataplane/shared/paths.h"
#include "dataplane/start.h"

#define HOUSEKEEPING_MS 200
#define CERTS_LOOK_US   2000000u
#define DAY_SEC         86400u
#define CERTS_WARN_SEC  (7u * DAY_SEC)
#define STOP_WAIT_MS    5000 /* sessions that are open at the end have so long to finish */

static _Atomic bool stop_wanted;

static void on_stop_signal(int signal)
{
        atomic_store(&stop_wanted, true);
}

static void catch_signals(void)
{
        struct sigaction stop = { .sa_handler = on_stop_signal };

        sigaction(SIGTERM, &stop, NULL);
        sigaction(SIGINT, &stop, NULL);
        signal(SIGPIPE, SIG_IGN);
}

static void usage(FILE *to)
{
        fprintf(to,
                "usage: greyline-dataplane [--run-dir DIR] [--state-dir DIR] [--keys-dir DIR] [--user NAME] [--node-id N]\n"
                "  --run-dir DIR    tables, rings and sockets (default " PATHS_RUN_DIR ")\n"
                "  --state-dir DIR  policies and the secret (default " PATHS_STATE_DIR ")\n"
                "  --keys-dir DIR   what it shares with greyline-keys (default " PATHS_KEYS_DIR ")\n"
                "  --user NAME      become this user once the devices are open\n"
                "  --node-id N      0 to 63, in place of the policy's node.node_id\n");
}

static int parse_options(int argc, char **argv, struct start_options *options)
{
        static const struct option longs[] = {
                { "run-dir", required_argument, NULL, 'r' },
                { "state-dir", required_argument, NULL, 's' },
                { "keys-dir", required_argument, NULL, 'k' },
                { "user", required_argument, NULL, 'u' },
                { "node-id", required_argument, NULL, 'n' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        int option;

        *options = (struct start_options){ .node_id = -1, .run_dir = PATHS_RUN_DIR, .state_dir = PATHS_STATE_DIR, .keys_dir = PATHS_KEYS_DIR };
        while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
                switch (option) {
                case 'r':
                        options->run_dir = optarg;
                        break;
                case 's':
                        options->state_dir = optarg;
                        break;
                case 'k':
                        options->keys_dir = optarg;
                        break;
                case 'u':
                        options->user = optarg;
                        break;
                case 'n':
                        options->node_id = atoi(optarg);
                        break;
                case 'h':
                        usage(stdout);
                        exit(0);
                default:
                        usage(stderr);
                        return -EINVAL;
                }
        }
        return 0;
}

static void say(const char *line)
{
        fprintf(stderr, "greyline-dataplane: %s\n", line);
}

/* --- housekeeping --------------------------------------------------------------------------------------------------- */

/* The ports are open as the policy at the start wanted them: say so when a new one wants others. */
static bool ports_differ(const struct image *image, const struct start_devices *devices)
{
        if (image->ports.count != devices->n_interfaces)
                return true;
        for (uint32_t i = 0; i < image->ports.count; i++) {
                const struct image_port *port = image_port(image, i);
                const struct ip_interface *interface = &devices->interfaces[i];

                if (strcmp(devices->device[devices->device_of[i]].device, image_string(image, port->device)) != 0 ||
                    port->vlan != interface->vlan || port->addresses.count != interface->n_addrs)
                        return true;
                for (uint32_t a = 0; a < port->addresses.count; a++) {
                        if (!addr_is_equal(&image_address(image, port->addresses.first + a)->addr,
                                           &interface->addrs[a].addr))
                                return true;
                }
        }
        return false;
}

/* Take the policy that control wants, if it is another one than that in force. */
static void take_policy(struct dataplane *dataplane, const struct start_options *options,
                        const struct start_devices *devices, uint32_t *refused)
{
        struct link_page *page = dataplane->link.page;
        uint32_t wanted = atomic_load(&page->image_wanted);
        uint32_t loaded = atomic_load(&page->image_loaded);
        char path[START_PATH_MAX], reason[IMAGE_REASON_MAX], line[START_ERROR_MAX];
        int r;

        if (wanted == 0 || wanted == loaded || wanted == *refused)
                return;
        snprintf(path, sizeof(path), "%s/" PATHS_IMAGES "/%u.image", options->state_dir, wanted);
        r = publish_load(dataplane->publish, path, wanted, &dataplane->backends, reason);
        if (r == -EBUSY)
                return; /* too many before it are still held: the next turn tries again */
        if (r < 0) {
                snprintf(page->image_error, sizeof(page->image_error), "%s", reason);
                atomic_store(&page->image_refused, wanted);
                snprintf(line, sizeof(line), "policy %u refused: %s", wanted, reason);
                say(line);
                *refused = wanted;
                return;
        }
        *refused = 0;
        atomic_store(&page->image_refused, 0);
        atomic_store(&page->image_loaded, wanted);
        for (unsigned w = 0; w < dataplane->workers; w++)
                worker_wake(dataplane->worker[w]);
        link_bell_ring(dataplane->bell_control);
        if (ports_differ(publish_current(dataplane->publish)->image, devices))
                say("the new policy names other ports or addresses: they are opened at the next start");
}

/* Say once a day that a certificate is about to end. */
static void warn_of_end(const struct dataplane *dataplane)
{
        static uint64_t said_sec;
        uint64_t now_sec = worker_wall_us() / 1000000;
        uint64_t end_sec = certs_expire_sec(publish_current(dataplane->publish));
        char line[START_ERROR_MAX];

        if (end_sec > now_sec + CERTS_WARN_SEC || now_sec < said_sec + DAY_SEC)
                return;
        said_sec = now_sec;
        if (end_sec <= now_sec)
                snprintf(line, sizeof(line), "a certificate has expired: it is not offered where no other is valid");
        else
                snprintf(line, sizeof(line), "a certificate ends in %u days: renew it, or STARTTLS ends with it",
                         (unsigned)((end_sec - now_sec) / DAY_SEC));
        say(line);
}

/* Certificates are renewed by others, at any time: look at their files now and then. */
static void take_certs(struct dataplane *dataplane, uint64_t now_us)
{
        static char said[IMAGE_REASON_MAX];
        static uint64_t due_us;
        char reason[IMAGE_REASON_MAX], line[START_ERROR_MAX];
        int r;

        if (now_us < due_us)
                return;
        due_us = now_us + CERTS_LOOK_US;
        r = publish_certs(dataplane->publish, reason);
        if (r == 1)
                say("new certificates are in force");
        if (r != 0 && reason[0] != '\0' && strcmp(reason, said) != 0) {
                snprintf(line, sizeof(line), "certificates that cannot be used: %s", reason);
                say(line);
        }
        snprintf(said, sizeof(said), "%s", reason);
        warn_of_end(dataplane);
}

/* Say when STARTTLS ends or begins again because of greyline-keys, and why. */
static void follow_keys(struct dataplane *dataplane, uint64_t now_us)
{
        static char said[CERTS_REASON_MAX];
        static bool was_down;
        const struct runtime *runtime = publish_current(dataplane->publish);
        struct keyring *keyring = &dataplane->keyring;
        bool is_down = keyring->link.page && runtime->image->certificates.count != 0 &&
                       !keyring_is_up(keyring, now_us / 1000);
        char reason[CERTS_REASON_MAX], line[START_ERROR_MAX];

        if (is_down != was_down)
                say(is_down ? "greyline-keys does not answer: no STARTTLS until it does" :
                              "greyline-keys answers again");
        was_down = is_down;
        if (is_down)
                return; /* what it held it may hold again */
        if (!certs_follow(runtime, keyring, now_us / 1000, reason) || strcmp(reason, said) == 0)
                return;
        snprintf(line, sizeof(line), reason[0] ? "no STARTTLS with a certificate: %s" : "all keys are held", reason);
        say(line);
        memcpy(said, reason, sizeof(said));
}

static uint32_t sessions_of_all(const struct dataplane *dataplane)
{
        uint32_t open = 0;

        for (unsigned w = 0; w < dataplane->workers; w++)
                open += worker_sessions(dataplane->worker[w]);
        return open;
}

static void keep_house(struct dataplane *dataplane, const struct start_options *options,
                       const struct start_devices *devices, uint32_t *refused)
{
        struct link_page *page = dataplane->link.page;

        atomic_store(&page->dataplane_beat_ms, worker_clock_us() / 1000);
        take_policy(dataplane, options, devices, refused);
        take_certs(dataplane, worker_clock_us());
        follow_keys(dataplane, worker_clock_us());
        publish_reclaim(dataplane->publish);
        backends_publish(&dataplane->backends, page);
        atomic_store(&dataplane->draining, atomic_load(&page->draining) != 0 || atomic_load(&stop_wanted));
}

/* Until a signal; then until the sessions have finished, within a bound. */
static void run(struct dataplane *dataplane, const struct start_options *options,
                const struct start_devices *devices)
{
        struct pollfd pollfd = { .fd = dataplane->bell_main, .events = POLLIN };
        uint64_t stop_us = 0;
        uint32_t refused = 0;

        for (;;) {
                uint64_t now_us = worker_clock_us();

                keep_house(dataplane, options, devices, &refused);
                if (atomic_load(&stop_wanted)) {
                        if (stop_us == 0)
                                stop_us = now_us + STOP_WAIT_MS * 1000u;
                        if (now_us >= stop_us || sessions_of_all(dataplane) == 0)
                                break;
                }
                if (poll(&pollfd, 1, HOUSEKEEPING_MS) > 0)
                        link_bell_clear(dataplane->bell_main);
        }
}

static void stop(struct dataplane *dataplane, struct start_devices *devices)
{
        atomic_store(&dataplane->stopping, true);
        for (unsigned w = 0; w < dataplane->workers; w++)
                worker_wake(dataplane->worker[w]);
        rte_eal_mp_wait_lcore();
        for (unsigned w = 0; w < dataplane->workers; w++)
                worker_free(dataplane->worker[w]);
        for (unsigned i = 0; i < devices->n; i++)
                port_close(&devices->port[i]);
        port_eal_stop();
}

/* Drivers that the tests run on: what system calls they make is known. */
static bool is_tested(const struct start_devices *devices)
{
        static const char *const tested[] = { "net_af_packet", "net_ring", "net_null" };

        for (unsigned i = 0; i < devices->n; i++) {
                bool found = false;

                for (unsigned k = 0; k < ARRAY_LEN(tested); k++)
                        found |= strncmp(devices->device[i].device, tested[k], strlen(tested[k])) == 0;
                if (!found)
                        return false;
        }
        return true;
}

/* Devices whose driver needs capabilities all the time: lab devices, which stay root. */
static bool keeps_caps(const struct start_devices *devices)
{
        for (unsigned i = 0; i < devices->n; i++) {
                if (strncmp(devices->device[i].device, "net_af_xdp", 10) == 0)
                        return true;
        }
        return false;
}

int main(int argc, char **argv)
{
        static struct dataplane dataplane;
        static struct start_devices devices;
        struct rte_mempool *pools[PORT_WORKERS_MAX];
        struct start_options options;
        char error[START_ERROR_MAX] = "";
        uint32_t packets = 0;
        const struct image *image;

        if (parse_options(argc, argv, &options) < 0)
                return 2;
        catch_signals();
        dataplane.publish = publish_new(PORT_WORKERS_MAX, &dataplane.keyring);
        if (dataplane.publish == NULL)
                return 1;
        if (start_run_dir(&options, error) < 0)
                goto fail;
        start_keys(&dataplane, &options);
        if (start_policy(&dataplane, &options, &stop_wanted, error) < 0) {
                if (atomic_load(&stop_wanted))
                        return 0;
                goto fail;
        }
        image = publish_current(dataplane.publish)->image;
        dataplane.workers = MIN(MAX(image->node.workers, 1u), PORT_WORKERS_MAX);
        dataplane.node_id = (uint8_t)(options.node_id >= 0 ? options.node_id : (int)image->node.node_id);
        if (start_tables(&dataplane, &options, error) < 0 ||
            start_devices(&dataplane, &devices, "greyline-dataplane", pools, &packets, error) < 0 ||
            start_workers(&dataplane, &devices, &options, pools, packets, error) < 0)
                goto fail;
        for (unsigned w = 0; w < dataplane.workers; w++)
                rte_eal_remote_launch(worker_run, dataplane.worker[w], PORT_LCORE(w));
        if (privs_drop(options.user, keeps_caps(&devices), error, sizeof(error)) < 0 ||
            privs_filter(is_tested(&devices) ? PRIVS_FILTER_KILL : PRIVS_FILTER_LOG, error, sizeof(error)) < 0)
                goto fail;

        atomic_store(&dataplane.link.page->image_loaded, image->generation);
        atomic_store(&dataplane.link.page->dataplane_beat_ms, worker_clock_us() / 1000);
        atomic_store(&dataplane.link.page->ready, 1);
        link_bell_ring(dataplane.bell_control);
        printf("READY\n");
        fflush(stdout);
        run(&dataplane, &options, &devices);
        stop(&dataplane, &devices);
        return 0;
fail:
        say(error);
        return 1;
}
