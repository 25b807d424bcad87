/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greyline-control: the start order on one page. Everything that needs root or may refuse to start comes
 * first; DNS and Redis come last, because their absence is no reason not to start.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/control.h"
#include "control/metrics.h"
#include "control/privs.h"
#include "control/start.h"
#include "control/state.h"
#include "dataplane/shared/paths.h"

static const char usage[] =
    "usage: greyline-control --policy FILE [options]\n"
    "  --policy FILE     the policy (YAML)\n"
    "  --site FILE       YAML that supplies what the policy lacks (ports, dns, store ...)\n"
    "  --run-dir DIR     default " PATHS_RUN_DIR "\n"
    "  --state-dir DIR   default " PATHS_STATE_DIR "\n"
    "  --log FILE        the log; default: log.file of the policy, else greyline.log in the state directory\n"
    "  --http LISTEN     serve /metrics and /healthz on ADDR:PORT, or on PORT of 127.0.0.1\n"
    "  --user NAME       user to become; default: greyline, where there is one\n";

static int parse_options(int argc, char **argv, struct control_options *ret)
{
        static const struct option options[] = {
                { "policy", required_argument, NULL, 'p' },
                { "site", required_argument, NULL, 's' },
                { "run-dir", required_argument, NULL, 'r' },
                { "state-dir", required_argument, NULL, 't' },
                { "log", required_argument, NULL, 'l' },
                { "http", required_argument, NULL, 'w' },
                { "user", required_argument, NULL, 'u' },
                { "help", no_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        int c;

        *ret = (struct control_options){ .run_dir = PATHS_RUN_DIR, .state_dir = PATHS_STATE_DIR };
        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
                const char **place = c == 'p'   ? &ret->policy_path
                                     : c == 's' ? &ret->site_path
                                     : c == 'r' ? &ret->run_dir
                                     : c == 't' ? &ret->state_dir
                                     : c == 'l' ? &ret->log_path
                                     : c == 'w' ? &ret->http_listen
                                     : c == 'u' ? &ret->user
                                                : NULL;

                if (c == 'h') {
                        fputs(usage, stdout);
                        exit(0);
                }
                if (place == NULL)
                        return -EINVAL;
                *place = optarg;
        }
        if (ret->policy_path == NULL || optind != argc || strlen(ret->run_dir) > 80 ||
            strlen(ret->state_dir) > 400)
                return -EINVAL;
        return 0;
}

static void on_signal(void *arg, int fd, uint32_t events)
{
        struct control *control = arg;
        struct signalfd_siginfo info;

        while (read(fd, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGHUP) {
                        log_file_close(&control->log); /* someone may have moved it */
                        push_file(control);
                } else {
                        control_say("stopping");
                        loop_stop(control->loop);
                }
        }
}

static int start_signals(struct control *control)
{
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);
        control->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
        if (control->signal_fd < 0)
                return -errno;
        return loop_add_fd(control->loop, control->signal_fd, EPOLLIN, on_signal, control);
}

static int start_base(struct control *control)
{
        int r = -ENOMEM;

        control->started_sec = control_wall_sec();
        control->loop = loop_new();
        control->names = log_names_new();
        control->recent = log_recent_new(CONTROL_RECENT);
        if (control->loop && control->names && control->recent)
                r = start_signals(control);
        if (r == 0) {
                control->helper = helper_new(control->loop, "helper");
                r = control->helper ? 0 : -EAGAIN;
        }
        if (r < 0)
                control_say("cannot start: %s", strerror(-r));
        return r;
}

static int start_secret(struct control *control)
{
        int r = secret_open(&control->secret, control->options.state_dir);

        if (r < 0)
                control_say(
                    "%s/%s cannot be used: %s; it holds 32 random bytes, mode 0400, the same on every node",
                    control->options.state_dir, PATHS_SECRET, strerror(-r));
        return r;
}

static int start_sockets(struct control *control)
{
        char path[CONTROL_PATH_MAX];
        int r;

        snprintf(path, sizeof(path), "%s/%s", control->options.run_dir, PATHS_ADMIN_SOCKET);
        r = control_link_new(&control->link, control->options.run_dir);
        if (r < 0) {
                control_say("the bells in %s cannot be made: %s", control->options.run_dir, strerror(-r));
                return r;
        }
        r = admin_new(&control->admin, control->loop, path, command_run, control);
        if (r < 0) {
                control_say("%s cannot be bound: %s", path, strerror(-r));
                return r;
        }
        if (control->options.http_listen == NULL)
                return 0;
        r = http_new(&control->http, control->loop, control->options.http_listen, metrics_answer, control);
        if (r < 0)
                control_say("--http %s cannot be served: %s", control->options.http_listen,
                            r == -EINVAL ? "expected ADDR:PORT or PORT" : strerror(-r));
        return r;
}

static int start_unprivileged(struct control *control, const struct privs_user *user)
{
        int r = privs_own(user, control->options.run_dir);

        if (r == 0)
                r = privs_own(user, control->options.state_dir);
        if (r == 0) {
                char policy_dir[CONTROL_PATH_MAX];

                snprintf(policy_dir, sizeof(policy_dir), "%s/%s", control->options.state_dir, PATHS_IMAGES);
                r = privs_own(user, policy_dir);
        }
        /* What a dataplane that runs as root makes here later belongs to our group. */
        if (r == 0 && user->is_set && chmod(control->options.run_dir, 02750) < 0)
                r = -errno;
        if (r == 0)
                r = privs_drop(user);
        if (r < 0)
                control_say("cannot become user %s: %s", user->is_set ? user->name : "(none)", strerror(-r));
        return r;
}

static int start_dns(struct control *control)
{
        struct siphash_key key = secret_key(&control->secret, "grey");
        int r = dns_new(&control->dns, &control->client, &key);

        if (r < 0) {
                control_say("DNS cannot be used: %s", strerror(-r));
                return r;
        }
        control_use_dns(control);
        return 0;
}

static void stop(struct control *control)
{
        if (control->link && control->dns)
                service_stop(control);
        helper_free(control->helper); /* first: what it still delivers needs the parts below */
        push_free(control);
        state_stop(control);
        journal_free(control->journal);
        http_free(control->http);
        admin_free(control->admin);
        dns_free(control->dns);
        control_link_free(control->link);
        log_file_close(&control->log);
        state_close(control);
        log_recent_free(control->recent);
        log_names_free(control->names);
        loop_free(control->loop);
        free(control->image);
}

static int start(struct control *control, const struct privs_user *user)
{
        int r;

        if ((r = start_directories(control)) < 0 || (r = start_lock(control)) < 0 ||
            (r = start_secret(control)) < 0 || (r = start_base(control)) < 0 ||
            (r = start_policy(control)) < 0 || (r = state_open(control)) < 0 ||
            (r = start_sockets(control)) < 0 || (r = start_unprivileged(control, user)) < 0 ||
            (r = start_dns(control)) < 0 || (r = state_start(control)) < 0 ||
            (r = service_start(control)) < 0)
                return r;
        return 0;
}

int main(int argc, char **argv)
{
        static struct control control = { .lock_fd = -1, .signal_fd = -1, .log.fd = -1 };
        struct privs_user user;
        int r;

        if (parse_options(argc, argv, &control.options) < 0) {
                fputs(usage, stderr);
                return 2;
        }
        umask(0007);
        if (privs_lookup(control.options.user, &user) < 0) {
                control_say("--user %s: there is no such user", control.options.user);
                return 1;
        }
        r = start(&control, &user);
        if (r == 0) {
                if (control.http)
                        printf("HTTP port %u\n", http_port(control.http));
                printf("READY policy version %u, pid %d\n", control.image->generation, getpid());
                fflush(stdout);
                loop_run(control.loop);
        }
        stop(&control);
        return r == 0 ? 0 : 1;
}
