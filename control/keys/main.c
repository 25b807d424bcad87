/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greyline-keys: holds the private keys of the certificates and signs for the dataplane, which never sees one. It knows no
 * network, no policy and no format but PEM; what it reads besides is shared/keys.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/rand.h>

#include "control/keys/filter.h"
#include "control/keys/serve.h"
#include "control/privs.h"
#include "dataplane/shared/link.h"
#include "dataplane/shared/paths.h"

#define USER_DEFAULT "greyline-keys"
#define ERROR_MAX    512

static volatile sig_atomic_t stop_wanted;

static void on_stop_signal(int signal)
{
        stop_wanted = 1;
}

static void catch_signals(void)
{
        struct sigaction stop = { .sa_handler = on_stop_signal };

        sigaction(SIGTERM, &stop, NULL);
        sigaction(SIGINT, &stop, NULL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN); /* keys are read when the dataplane wants them */
}

static int say(const char *line)
{
        fprintf(stderr, "greyline-keys: %s\n", line);
        return 1;
}

static void usage(FILE *to)
{
        fprintf(to, "usage: greyline-keys [--keys-dir DIR] [--user NAME]\n"
                    "  --keys-dir DIR  what it shares with the dataplane (default " PATHS_KEYS_DIR ")\n"
                    "  --user NAME     become this user, who owns the key files (default " USER_DEFAULT
                    " where there is one)\n");
}

static uint64_t clock_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * The directory and what lies in it, ours and closed to others (a dataplane that was started first has made them as root),
 * and the lock in it that a second one would not get.
 */
static int take_dir(const char *dir, const struct privs_user *user, char error[ERROR_MAX])
{
        char path[ERROR_MAX / 2];
        struct stat st;
        int fd, r;

        if (mkdir(dir, 0700) < 0 && errno != EEXIST)
                return snprintf(error, ERROR_MAX, "%s: %s: make it, or give another one with --keys-dir", dir,
                                strerror(errno)), -1;
        r = privs_own(user, dir);
        if (r < 0)
                return snprintf(error, ERROR_MAX, "%s: it cannot be given to user %s: %s", dir, user->name, strerror(-r)), -1;
        filter_lift_limits();
        r = privs_drop(user);
        if (r < 0)
                return snprintf(error, ERROR_MAX, "cannot become user %s: %s", user->name, strerror(-r)), -1;
        if (stat(dir, &st) < 0)
                return snprintf(error, ERROR_MAX, "%s: %s: the user of greyline-keys must be able to enter it", dir,
                                strerror(errno)), -1;
        if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
                return snprintf(error, ERROR_MAX, "%s: it must belong to the user of greyline-keys (%u), mode 0700: it is "
                                "%u's, mode %04o", dir, geteuid(), st.st_uid, st.st_mode & 07777), -1;
        snprintf(path, sizeof(path), "%s/lock", dir);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return snprintf(error, ERROR_MAX, "%s: %s", path, strerror(errno)), -1;
        /* Held until the process ends, however it ends. */
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return snprintf(error, ERROR_MAX, "another greyline-keys runs in %s", dir), -1;
        return 0;
}

/* Whatever the library reads from disk, before that is forbidden. */
static void warm_up(void)
{
        EVP_PKEY *key = EVP_EC_gen("P-256");
        uint8_t byte;

        (void)!RAND_bytes(&byte, 1);
        EVP_PKEY_free(key);
}

static void run(struct server *server, int bell)
{
        struct pollfd pollfd = { .fd = bell, .events = POLLIN };

        while (!stop_wanted) {
                if (serve_turn(server, clock_ms()) != 0 || !serve_may_sleep(server))
                        continue;
                if (poll(&pollfd, 1, (int)KEYS_BEAT_MS) > 0) {
                        link_bell_clear(bell);
                        server->looked_ms = 0; /* the dataplane rings when it has made a new file */
                }
                serve_awake(server);
        }
}

int main(int argc, char **argv)
{
        static const struct option longs[] = {
                { "keys-dir", required_argument, NULL, 'd' },
                { "user", required_argument, NULL, 'u' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        static struct server server;
        const char *dir = PATHS_KEYS_DIR, *name = NULL;
        char error[ERROR_MAX] = "";
        struct privs_user user;
        int option, bell;

        while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
                if (option == 'd') {
                        dir = optarg;
                } else if (option == 'u') {
                        name = optarg;
                } else {
                        usage(option == 'h' ? stdout : stderr);
                        return option == 'h' ? 0 : 2;
                }
        }
        catch_signals();
        if (privs_lookup(name ? name : USER_DEFAULT, &user) < 0 && name) {
                snprintf(error, sizeof(error), "no user %.100s: make it, or leave --user away", name);
                return say(error);
        }
        if (take_dir(dir, &user, error) < 0)
                return say(error);
        warm_up();
        serve_init(&server, dir);
        bell = keys_bell_open(dir, "keys");
        if (bell < 0) {
                snprintf(error, sizeof(error), "%.200s/bell.keys: %s", dir, strerror(-bell));
                return say(error);
        }
        if (filter_install(error, sizeof(error)) < 0)
                return say(error);
        printf("READY\n");
        fflush(stdout);
        run(&server, bell);
        serve_done(&server);
        return 0;
}
