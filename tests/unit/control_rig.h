/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the real greyline-control in directories of its own, for tests. After cmocka.h. */
#ifndef GREYLINE_TESTS_CONTROL_RIG_H
#define GREYLINE_TESTS_CONTROL_RIG_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/control_fake.h"

static const char *control_path;

static const char policy_text[] = "node: {hostname: mx.example.net, name: mx1}\n"
                                  "ports: [{name: p, device: net_null0, addresses: [192.0.2.25/24]}]\n"
                                  "listeners: [{name: mx, front: [192.0.2.25]}]\n"
                                  "domains: {example.org: {}}\n"
                                  "pools: {main: {servers: [{address: 192.0.2.40}]}}\n"
                                  "dns: {resolvers: [\"127.0.0.1:1\"], deadline: 500ms}\n"
                                  "store: {grey_entries: 1000, client_entries: 1000}\n";

struct rig {
        char dir[64], run[80], state[80], policy[80], log[80];
        pid_t pid;
        FILE *out, *err;
        uint16_t http_port;
        struct fake fake;
};

static inline void write_file(const char *path, const char *text)
{
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

static inline void make_rig(struct rig *rig)
{
        memset(rig, 0, sizeof(*rig));
        strcpy(rig->dir, "/tmp/greyline-restart-XXXXXX");
        assert_non_null(mkdtemp(rig->dir));
        snprintf(rig->run, sizeof(rig->run), "%s/run", rig->dir);
        snprintf(rig->state, sizeof(rig->state), "%s/state", rig->dir);
        snprintf(rig->policy, sizeof(rig->policy), "%s/p.yaml", rig->dir);
        snprintf(rig->log, sizeof(rig->log), "%s/log", rig->dir);
        write_file(rig->policy, policy_text);
}

static inline void remove_rig(struct rig *rig)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -r %s", rig->dir);
        assert_int_equal(system(command), 0);
}

static inline void spawn(struct rig *rig)
{
        int out[2], err[2];

        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_int_equal(pipe2(err, O_CLOEXEC), 0);
        rig->pid = fork();
        assert_true(rig->pid >= 0);
        if (rig->pid == 0) {
                dup2(out[1], 1);
                dup2(err[1], 2);
                execl(control_path, control_path, "--policy", rig->policy, "--run-dir", rig->run,
                      "--state-dir", rig->state, "--log", rig->log, "--http", "127.0.0.1:0", NULL);
                _exit(127);
        }
        close(out[1]);
        close(err[1]);
        rig->out = fdopen(out[0], "r");
        rig->err = fdopen(err[0], "r");
}

static inline void wait_ready(struct rig *rig)
{
        char line[200], text[1000] = "";

        while (fgets(line, sizeof(line), rig->out)) {
                (void)sscanf(line, "HTTP port %hu", &rig->http_port);
                if (strncmp(line, "READY", 5) == 0)
                        return;
        }
        text[fread(text, 1, sizeof(text) - 1, rig->err)] = '\0';
        fail_msg("control did not start: %s", text);
}

/* Returns the exit code, or -1 after a signal. What it said on stderr goes to text. */
static inline int reap(struct rig *rig, char *text, size_t size)
{
        int status;

        if (text)
                text[fread(text, 1, size - 1, rig->err)] = '\0';
        assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
        fclose(rig->out);
        fclose(rig->err);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
