/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over real sockets: what it answers, what it refuses, where it listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/http.h"

static void answer(void *arg, const char *path, struct http_answer *ret)
{
        if (strcmp(path, "/good") == 0) {
                ret->status = 200;
                ret->text = strdup("it is good\n");
                ret->len = strlen(ret->text);
        } else if (strcmp(path, "/sick") == 0) {
                ret->status = 503;
                ret->text = strdup("draining\n");
                ret->len = strlen(ret->text);
        }
}

static int dial(uint16_t port)
{
        struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

/* Send a request and read to the end of the connection, turning the loop. */
static void exchange(struct loop *loop, uint16_t port, const char *request, size_t len, char *ret,
                     size_t size)
{
        int fd = dial(port);
        size_t got = 0;

        while (len > 0) {
                ssize_t n = send(fd, request, len, MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN)
                        break; /* it has heard enough */
                request += MAX(n, 0);
                len -= (size_t)MAX(n, 0);
                loop_turn(loop, 0);
        }
        for (;;) {
                ssize_t n = recv(fd, ret + got, size - 1 - got, 0);

                if (n < 0 && errno == EAGAIN) {
                        loop_turn(loop, 1000);
                        continue;
                }
                if (n <= 0)
                        break;
                got += (size_t)n;
        }
        ret[got] = '\0';
        close(fd);
}

static void test_requests(void **state)
{
#define CLOSE " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        static const struct {
                const char *request;
                const char *want_status;
                const char *want_text; /* NULL: none */
        } cases[] = {
                { "GET /good" CLOSE "\r\n", "HTTP/1.1 200 ", "it is good\n" },
                { "GET /good?x=1" CLOSE "\r\n", "HTTP/1.1 200 ", "it is good\n" },
                { "HEAD /good" CLOSE "\r\n", "HTTP/1.1 200 ", NULL },
                { "GET /sick" CLOSE "\r\n", "HTTP/1.1 503 ", "draining\n" },
                { "GET /other" CLOSE "\r\n", "HTTP/1.1 404 ", "not found\n" },
                { "GET /../../etc/passwd" CLOSE "\r\n", "HTTP/1.1 404 ", "not found\n" },
                { "POST /good" CLOSE "Content-Length: 0\r\n\r\n", "HTTP/1.1 405 ", "only GET and HEAD\n" },
                { "DELETE /good" CLOSE "\r\n", "HTTP/1.1 405 ", "only GET and HEAD\n" },
        };
        struct loop *loop = loop_new();
        struct http *http;
        char got[4096];

        assert_int_equal(http_new(&http, loop, "127.0.0.1:0", answer, NULL), 0);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const char *body;

                exchange(loop, http_port(http), cases[i].request, strlen(cases[i].request), got, sizeof(got));
                if (strncmp(got, cases[i].want_status, strlen(cases[i].want_status)) != 0)
                        fail_msg("%s: got %s", cases[i].request, got);
                body = strstr(got, "\r\n\r\n");
                assert_non_null(body);
                assert_string_equal(body + 4, cases[i].want_text ? cases[i].want_text : "");
        }
        assert_int_equal(http_requests(http), ARRAY_LEN(cases));
        http_free(http);
        loop_free(loop);
}

/* Rubbish and endless headers end the connection and nothing else. */
static void test_hostile(void **state)
{
        size_t len = 1u << 20;
        char *endless = malloc(len);
        struct loop *loop = loop_new();
        struct http *http;
        char got[4096];

        assert_int_equal(http_new(&http, loop, "0", answer, NULL), 0);
        memset(endless, 'a', len);
        memcpy(endless, "GET /good HTTP/1.1\r\nX: ", 23);
        exchange(loop, http_port(http), endless, len, got, sizeof(got));
        assert_null(strstr(got, "it is good"));
        memset(endless, 0xff, len);
        exchange(loop, http_port(http), endless, len, got, sizeof(got));
        assert_null(strstr(got, "200"));
        exchange(loop, http_port(http), "GET /good" CLOSE "\r\n", strlen("GET /good" CLOSE "\r\n"), got,
                 sizeof(got));
        assert_non_null(strstr(got, "it is good"));
        free(endless);
        http_free(http);
        loop_free(loop);
}

static void test_listen(void **state)
{
        static const struct {
                const char *listen;
                int want;
        } cases[] = {
                { "127.0.0.1:0", 0 },
                { "0", 0 },
                { "[::1]:0", 0 },
                { "", -EINVAL },
                { "x:1", -EINVAL },
                { "127.0.0.1:", -EINVAL },
                { "127.0.0.1:65536", -EINVAL },
                { "127.0.0.1:1x", -EINVAL },
                { "[::1:0", -EINVAL },
                { "192.0.2.1:1", -EADDRNOTAVAIL },
        };
        struct loop *loop = loop_new();
        struct http *first, *second;
        char taken[32];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct http *http;
                int r = http_new(&http, loop, cases[i].listen, answer, NULL);

                if (r != cases[i].want && !(strchr(cases[i].listen, '[') && r == -EADDRNOTAVAIL))
                        fail_msg("%s: got %d", cases[i].listen, r);
                if (r == 0)
                        http_free(http);
        }
        assert_int_equal(http_new(&first, loop, "0", answer, NULL), 0);
        snprintf(taken, sizeof(taken), "%u", http_port(first));
        assert_int_equal(http_new(&second, loop, taken, answer, NULL), -EADDRINUSE);
        http_free(first);
        loop_free(loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_listen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
