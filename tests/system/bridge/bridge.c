/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins two network devices by a bad link. Meant for the ends of two veth pairs in a namespace of their own;
 * the kernels of the labs have no netem. One thread: frames by AF_PACKET, commands by stdin, answers by stdout,
 * one line each. Ends with its stdin, or after the time given, whatever comes first.
 *
 *     bridge --a DEVICE --b DEVICE [--seed N] [--seconds N]
 *
 *     profile [delay=US] [jitter=US] [loss=PERMILLE] [good_to_bad=PERMILLE] [bad_to_good=PERMILLE]
 *             [bad_loss=PERMILLE] [duplicate=PERMILLE] [reorder=PERMILLE] [corrupt=PERMILLE] [bytes_ms=N]
 *             [queue_ms=N]                           what is not given is 0
 *     drop ab|ba FLAGS MIN MAX COUNT PORT            the next COUNT segments with these flags (S, A, F, R or
 *     window ab|ba FLAGS MIN MAX COUNT PORT WINDOW   "any") and MIN to MAX bytes; PORT 0 is any
 *     mark ab|ba FLAGS MIN MAX COUNT PORT            likewise: congestion experienced, where they are ECN capable
 *     clear                                          all such rules
 *     stats                                          figures, as JSON
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/bridge/frame.h"
#include "tests/system/bridge/wire.h"

#define RECEIVE_BUFFER (32 << 20)
#define TURN_FRAMES    256u
#define LINE_BYTES     512u

struct bridge {
        struct wire *wire;
        int fds[2];
        uint64_t
            half_made;    /* frames whose checksum was left to a device: the lab forgot "ethtool -K tx off" */
        uint64_t refused; /* frames that the other device did not take */
        char line[LINE_BYTES];
        size_t line_len;
};

static uint64_t clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* --- devices ---------------------------------------------------------------------------------------------- */

/* Returns a socket that hears everything of the device, or a negative errno. */
static int device_open(const char *name)
{
        struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
        struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC };
        int bytes = RECEIVE_BUFFER, on = 1, fd, r;

        at.sll_ifindex = all.mr_ifindex = (int)if_nametoindex(name);
        if (at.sll_ifindex == 0)
                return -errno;
        fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
            setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ||
            setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
            setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
            setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
            bind(fd, (struct sockaddr *)&at, sizeof(at))) {
                r = -errno;
                close(fd);
                return r;
        }
        return fd;
}

static bool is_half_made(struct msghdr *message)
{
        for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
                struct tpacket_auxdata aux;

                if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA)
                        continue;
                memcpy(&aux, CMSG_DATA(part), sizeof(aux));
                return aux.tp_status & TP_STATUS_CSUMNOTREADY;
        }
        return false;
}

static void take_frames(struct bridge *bridge, unsigned direction)
{
        uint8_t bytes[65536], control[256];

        for (unsigned i = 0; i < TURN_FRAMES; i++) {
                struct iovec part = { bytes, sizeof(bytes) };
                struct msghdr message = { .msg_iov = &part,
                                          .msg_iovlen = 1,
                                          .msg_control = control,
                                          .msg_controllen = sizeof(control) };
                ssize_t len = recvmsg(bridge->fds[direction], &message, 0);

                if (len < 0)
                        return;
                bridge->half_made += is_half_made(&message);
                wire_send(bridge->wire, direction, bytes, (size_t)len, clock_us());
        }
}

static void deliver_frames(struct bridge *bridge)
{
        const uint8_t *bytes;
        unsigned direction;
        size_t len;

        for (unsigned i = 0; i < TURN_FRAMES; i++) {
                bytes = wire_receive(bridge->wire, clock_us(), &direction, &len);
                if (!bytes)
                        return;
                if (send(bridge->fds[!direction], bytes, len, 0) < 0)
                        bridge->refused++;
        }
}

/* --- commands --------------------------------------------------------------------------------------------- */

static bool read_number(const char *text, uint32_t max, uint32_t *ret)
{
        unsigned long value;
        char *end;

        if (!text || *text < '0' || *text > '9')
                return false;
        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || *end || value > max)
                return false;
        *ret = (uint32_t)value;
        return true;
}

static bool cmd_profile(struct bridge *bridge, char **save)
{
        struct link_profile profile = { 0 };
        const struct {
                const char *name;
                uint32_t *value, max;
        } fields[] = {
                { "delay", &profile.delay_us, 10000000 },
                { "jitter", &profile.jitter_us, 10000000 },
                { "loss", &profile.loss, 1000 },
                { "good_to_bad", &profile.good_to_bad, 1000 },
                { "bad_to_good", &profile.bad_to_good, 1000 },
                { "bad_loss", &profile.bad_loss, 1000 },
                { "duplicate", &profile.duplicate, 1000 },
                { "reorder", &profile.reorder, 1000 },
                { "corrupt", &profile.corrupt, 1000 },
                { "bytes_ms", &profile.bytes_ms, 1000000 },
                { "queue_ms", &profile.queue_ms, 10000 },
        };

        for (char *word = strtok_r(NULL, " ", save); word; word = strtok_r(NULL, " ", save)) {
                char *value = strchr(word, '=');
                bool known = false;

                if (!value)
                        return false;
                *value++ = '\0';
                for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
                        if (!strcmp(word, fields[i].name))
                                known = read_number(value, fields[i].max, fields[i].value);
                if (!known)
                        return false;
        }
        wire_profile_set(bridge->wire, &profile);
        return true;
}

static bool read_flags(const char *text, int *ret)
{
        static const char letters[] = "SAFR";
        static const uint8_t bits[] = { FRAME_SYN, FRAME_ACK, FRAME_FIN, FRAME_RST };

        if (!text)
                return false;
        *ret = strcmp(text, "any") ? 0 : -1;
        if (*ret < 0)
                return true;
        for (; *text; text++) {
                const char *at = strchr(letters, *text);

                if (!at)
                        return false;
                *ret |= bits[at - letters];
        }
        return true;
}

static bool cmd_rule(struct bridge *bridge, enum wire_action action, char **save)
{
        struct wire_rule rule = { .action = action };
        const char *direction = strtok_r(NULL, " ", save);
        uint32_t port, window = 0;

        if (!direction || (strcmp(direction, "ab") && strcmp(direction, "ba")))
                return false;
        rule.direction = direction[0] == 'b';
        if (!read_flags(strtok_r(NULL, " ", save), &rule.flags) ||
            !read_number(strtok_r(NULL, " ", save), UINT16_MAX, &rule.len_min) ||
            !read_number(strtok_r(NULL, " ", save), UINT16_MAX, &rule.len_max) ||
            !read_number(strtok_r(NULL, " ", save), UINT32_MAX, &rule.count) ||
            !read_number(strtok_r(NULL, " ", save), UINT16_MAX, &port) ||
            (action == WIRE_WINDOW && !read_number(strtok_r(NULL, " ", save), UINT16_MAX, &window)))
                return false;
        rule.port = (uint16_t)port;
        rule.window = (uint16_t)window;
        return wire_rule_add(bridge->wire, &rule);
}

static void print_stats(const struct bridge *bridge)
{
        const struct wire_stats *stats = wire_stats(bridge->wire);

        printf("{\"frames\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64
               ", \"reordered\": %" PRIu64 ", \"corrupted\": %" PRIu64 ", \"marked\": %" PRIu64 ", \"ruled\": %" PRIu64
               ", \"oversize\": %" PRIu64 ", \"overflow\": %" PRIu64 ", \"half_made\": %" PRIu64
               ", \"refused\": %" PRIu64 "}\n",
               stats->frames, stats->lost, stats->duplicated, stats->reordered, stats->corrupted,
               stats->marked, stats->ruled, stats->oversize, stats->overflow, bridge->half_made, bridge->refused);
}

static void run_command(struct bridge *bridge, char *line)
{
        char *save = NULL, *verb = strtok_r(line, " ", &save);
        bool good = false;

        if (verb && !strcmp(verb, "stats")) {
                print_stats(bridge);
                return;
        }
        if (verb && !strcmp(verb, "profile")) {
                good = cmd_profile(bridge, &save);
        } else if (verb && !strcmp(verb, "drop")) {
                good = cmd_rule(bridge, WIRE_DROP, &save);
        } else if (verb && !strcmp(verb, "window")) {
                good = cmd_rule(bridge, WIRE_WINDOW, &save);
        } else if (verb && !strcmp(verb, "mark")) {
                good = cmd_rule(bridge, WIRE_MARK, &save);
        } else if (verb && !strcmp(verb, "clear")) {
                wire_rules_clear(bridge->wire);
                good = true;
        }
        puts(good ? "ok" : "error");
}

/* Returns false at the end of stdin, or when a line is longer than any command. */
static bool take_commands(struct bridge *bridge)
{
        ssize_t got = read(STDIN_FILENO, bridge->line + bridge->line_len, LINE_BYTES - bridge->line_len);
        char *end;

        if (got <= 0)
                return got < 0 && (errno == EAGAIN || errno == EINTR);
        bridge->line_len += (size_t)got;
        while ((end = memchr(bridge->line, '\n', bridge->line_len)) != NULL) {
                size_t used = (size_t)(end - bridge->line) + 1;

                *end = '\0';
                run_command(bridge, bridge->line);
                bridge->line_len -= used;
                memmove(bridge->line, bridge->line + used, bridge->line_len);
        }
        fflush(stdout);
        return bridge->line_len < LINE_BYTES;
}

/* --- the loop --------------------------------------------------------------------------------------------- */

static void run(struct bridge *bridge, uint64_t end_us)
{
        uint64_t now_us = clock_us();

        while (now_us < end_us) {
                struct pollfd polls[] = { { bridge->fds[0], POLLIN, 0 },
                                          { bridge->fds[1], POLLIN, 0 },
                                          { STDIN_FILENO, POLLIN, 0 } };
                uint64_t due_us = MIN(wire_due_us(bridge->wire), end_us);
                uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;
                struct timespec wait = { (time_t)(wait_us / 1000000u), (long)(wait_us % 1000000u) * 1000 };

                if (ppoll(polls, 3, &wait, NULL) < 0 && errno != EINTR)
                        return;
                for (unsigned i = 0; i < 2; i++)
                        if (polls[i].revents)
                                take_frames(bridge, i);
                if (polls[2].revents && !take_commands(bridge))
                        return;
                deliver_frames(bridge);
                now_us = clock_us();
        }
}

int main(int argc, char **argv)
{
        static const struct option options[] = {
                { "a", required_argument, NULL, 'a' },
                { "b", required_argument, NULL, 'b' },
                { "seed", required_argument, NULL, 's' },
                { "seconds", required_argument, NULL, 't' },
                { NULL, 0, NULL, 0 },
        };
        const char *names[2] = { NULL, NULL };
        uint32_t seed = 1, seconds = 600;
        struct bridge bridge = { 0 };
        bool good = true;
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (option == 'a' || option == 'b')
                        names[option - 'a'] = optarg;
                else
                        good = good && (option == 's' || option == 't') &&
                               read_number(optarg, UINT32_MAX, option == 's' ? &seed : &seconds);
        }
        if (!good || !names[0] || !names[1] || optind != argc) {
                fprintf(stderr, "usage: bridge --a DEVICE --b DEVICE [--seed N] [--seconds N]\n");
                return 2;
        }
        bridge.wire = wire_new(seed);
        if (!bridge.wire) {
                fprintf(stderr, "bridge: no memory\n");
                return 1;
        }
        for (unsigned i = 0; i < 2; i++) {
                bridge.fds[i] = device_open(names[i]);
                if (bridge.fds[i] < 0) {
                        fprintf(stderr, "bridge: %s: %s\n", names[i], strerror(-bridge.fds[i]));
                        return 1;
                }
        }
        fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
        puts("READY");
        fflush(stdout);
        run(&bridge, clock_us() + seconds * 1000000ull);
        print_stats(&bridge);
        wire_free(bridge.wire);
        return 0;
}
