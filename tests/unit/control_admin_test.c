/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: good and hostile requests over a real socket, with the loop turning in the same thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/admin.h"

struct rig {
        char dir[64], path[100];
        struct loop *loop;
        struct admin *admin;
        struct admin_request *held; /* of the command "hold" */
};

static void dispatch(void *arg, struct admin_request *request)
{
        struct rig *rig = arg;
        const char *command = admin_command(request);

        if (strcmp(command, "echo") == 0) {
                json_put_string(admin_result(request), "result", admin_string(request, "text", "(none)"));
                admin_done(request);
        } else if (strcmp(command, "number") == 0) {
                json_put_int(admin_result(request), "result", admin_int(request, "n", -1));
                admin_done(request);
        } else if (strcmp(command, "long") == 0) {
                char text[1000];

                memset(text, 'x', sizeof(text));
                json_array_open(admin_result(request), "result");
                for (unsigned i = 0; i < ADMIN_ANSWER_MAX / 500; i++)
                        json_put_string_len(admin_result(request), NULL, text, sizeof(text));
                json_array_close(admin_result(request));
                admin_done(request);
        } else if (strcmp(command, "hold") == 0) {
                rig->held = request;
        } else {
                admin_fail(request, "no \"%s\"\n", command);
        }
}

static int open_rig(void **state)
{
        struct rig *rig = calloc(1, sizeof(*rig));

        strcpy(rig->dir, "/tmp/greyline-admin-XXXXXX");
        if (mkdtemp(rig->dir) == NULL)
                return -1;
        snprintf(rig->path, sizeof(rig->path), "%s/admin.sock", rig->dir);
        rig->loop = loop_new();
        *state = rig;
        return admin_new(&rig->admin, rig->loop, rig->path, dispatch, rig);
}

static int close_rig(void **state)
{
        struct rig *rig = *state;

        admin_free(rig->admin);
        loop_free(rig->loop);
        assert_int_equal(access(rig->path, F_OK), -1);
        rmdir(rig->dir);
        free(rig);
        return 0;
}

static int dial(struct rig *rig)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(name.sun_path, rig->path);
        assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

/* Send everything, turning the loop while the socket is full. */
static void send_text(struct rig *rig, int fd, const char *text, size_t len)
{
        while (len > 0) {
                ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

                if (n < 0) {
                        if (errno == EPIPE)
                                return;
                        assert_int_equal(errno, EAGAIN);
                        loop_turn(rig->loop, -1);
                        continue;
                }
                text += n;
                len -= (size_t)n;
        }
}

/* One line of answer, or "" at the end of the connection. */
static const char *receive(struct rig *rig, int fd)
{
        static char line[1000];
        size_t len = 0;

        for (;;) {
                ssize_t n = recv(fd, line + len, 1, 0);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        loop_turn(rig->loop, -1);
                        continue;
                }
                if (n == 0) {
                        line[len] = '\0';
                        return line;
                }
                if (line[len] == '\n') {
                        line[len] = '\0';
                        return line;
                }
                len += (size_t)n;
                assert_true(len < sizeof(line));
        }
}

static void test_requests(void **state)
{
        static const struct {
                const char *send;
                const char *want;
        } cases[] = {
                { "{\"command\":\"echo\",\"args\":{\"text\":\"a\\u0001b\"}}\n",
                  "{\"ok\":true,\"result\":\"a\\u0001b\"}" },
                { "{\"command\":\"echo\"}\n", "{\"ok\":true,\"result\":\"(none)\"}" },
                { "{\"command\":\"echo\",\"args\":{\"text\":5}}\n", "{\"ok\":true,\"result\":\"(none)\"}" },
                { "{\"command\":\"number\",\"args\":{\"n\":42}}\n", "{\"ok\":true,\"result\":42}" },
                { "{\"command\":\"number\",\"args\":{\"n\":\"42\"}}\n", "{\"ok\":true,\"result\":-1}" },
                { "{\"command\":\"other\"}\n", "{\"ok\":false,\"error\":\"no \\\"other\\\"\\u000a\"}" },
                { "{\"command\":7}\n",
                  "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
                { "{\"command\":\"echo\",\"args\":[]}\n",
                  "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
                { "[]\n", "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
                { "\n", "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
                { "{\"command\":\"echo\"\n",
                  "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
                { "\xff\xfe\n", "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
                { "{\"command\":\"echo\",\"args\":{\"text\":\"\xff\"}}\n",
                  "{\"ok\":false,\"error\":\"the request is no JSON object with a command\"}" },
        };
        struct rig *rig = *state;
        int fd = dial(rig);

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const char *got;

                send_text(rig, fd, cases[i].send, strlen(cases[i].send));
                got = receive(rig, fd);
                if (strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got %s", cases[i].send, got);
        }
        close(fd);
}

/*
 * Several requests at once, in pieces of one byte, and the end right behind: each has its answer, in order.
 */
static void test_pipelined(void **state)
{
        static const char text[] =
            "{\"command\":\"number\",\"args\":{\"n\":1}}\n{\"command\":\"number\",\"args\":"
            "{\"n\":2}}\n{\"command\":\"number\",\"args\":{\"n\":3}}\n";
        struct rig *rig = *state;
        int fd = dial(rig);

        for (size_t i = 0; i + 1 < sizeof(text); i++)
                send_text(rig, fd, text + i, 1);
        shutdown(fd, SHUT_WR);
        assert_string_equal(receive(rig, fd), "{\"ok\":true,\"result\":1}");
        assert_string_equal(receive(rig, fd), "{\"ok\":true,\"result\":2}");
        assert_string_equal(receive(rig, fd), "{\"ok\":true,\"result\":3}");
        assert_string_equal(receive(rig, fd), "");
        close(fd);
}

/* An answer that comes later, while other connections are served; and one whose asker has gone. */
static void test_held(void **state)
{
        struct rig *rig = *state;
        int fd = dial(rig), other = dial(rig);

        send_text(rig, fd, "{\"command\":\"hold\"}\n{\"command\":\"echo\"}\n", 38);
        while (rig->held == NULL)
                loop_turn(rig->loop, -1);
        send_text(rig, other, "{\"command\":\"echo\"}\n", 19);
        assert_string_equal(receive(rig, other), "{\"ok\":true,\"result\":\"(none)\"}");
        json_put_bool(admin_result(rig->held), "result", true);
        admin_done(rig->held);
        assert_string_equal(receive(rig, fd), "{\"ok\":true,\"result\":true}");
        assert_string_equal(receive(rig, fd), "{\"ok\":true,\"result\":\"(none)\"}");

        rig->held = NULL;
        send_text(rig, fd, "{\"command\":\"hold\"}\n", 19);
        while (rig->held == NULL)
                loop_turn(rig->loop, -1);
        close(fd);
        while (admin_stats(rig->admin).open > 1)
                loop_turn(rig->loop, -1);
        json_put_bool(admin_result(rig->held), "result", true);
        admin_done(rig->held);
        send_text(rig, other, "{\"command\":\"echo\"}\n", 19);
        assert_string_equal(receive(rig, other), "{\"ok\":true,\"result\":\"(none)\"}");
        close(other);
}

static void test_too_large(void **state)
{
        struct rig *rig = *state;
        char *text = malloc(ADMIN_REQUEST_MAX + 100);
        int fd = dial(rig);

        memset(text, 'x', ADMIN_REQUEST_MAX + 100);
        send_text(rig, fd, text, ADMIN_REQUEST_MAX + 100);
        assert_string_equal(receive(rig, fd), "{\"ok\":false,\"error\":\"the request is too large\"}");
        close(fd);
        free(text);
}

static void test_answer_too_long(void **state)
{
        struct rig *rig = *state;
        int fd = dial(rig);

        send_text(rig, fd, "{\"command\":\"long\"}\n", 19);
        assert_string_equal(receive(rig, fd),
                            "{\"ok\":false,\"error\":\"the answer is too long: ask for less\"}");
        close(fd);
}

static void test_too_many_connections(void **state)
{
        struct rig *rig = *state;
        int fds[ADMIN_CONNS_MAX + 1];

        for (unsigned i = 0; i < ADMIN_CONNS_MAX + 1; i++) {
                fds[i] = dial(rig);
                loop_turn(rig->loop, 0);
        }
        assert_string_equal(receive(rig, fds[ADMIN_CONNS_MAX]), ""); /* closed at once */
        assert_int_equal(admin_stats(rig->admin).refused, 1);
        send_text(rig, fds[0], "{\"command\":\"echo\"}\n", 19);
        assert_string_equal(receive(rig, fds[0]), "{\"ok\":true,\"result\":\"(none)\"}");
        for (unsigned i = 0; i < ADMIN_CONNS_MAX + 1; i++)
                close(fds[i]);
}

/* More requests than the rate allows are held back, not refused. */
static void test_rate(void **state)
{
        struct rig *rig = *state;
        uint64_t before_ms = loop_now_ms(rig->loop);
        unsigned requests = ADMIN_RATE_MAX / 2 + 20;
        int fd = dial(rig);

        for (unsigned i = 0; i < requests; i++)
                send_text(rig, fd, "{\"command\":\"echo\"}\n", 19);
        for (unsigned i = 0; i < requests; i++)
                assert_string_equal(receive(rig, fd), "{\"ok\":true,\"result\":\"(none)\"}");
        assert_int_equal(admin_stats(rig->admin).requests, requests);
        assert_true(loop_now_ms(rig->loop) > before_ms); /* the last ones had to wait for tokens */
        close(fd);
}

static void test_mode(void **state)
{
        struct rig *rig = *state;
        struct stat st;

        assert_int_equal(stat(rig->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)
        const struct CMUnitTest tests[] = {
                TEST(test_requests),
                TEST(test_pipelined),
                TEST(test_held),
                TEST(test_too_large),
                TEST(test_answer_too_long),
                TEST(test_too_many_connections),
                TEST(test_rate),
                TEST(test_mode),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
