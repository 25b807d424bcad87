/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/shared/addr.h"

struct http {
        struct loop *loop;
        struct MHD_Daemon *daemon;
        int epoll_fd;
        uint16_t port;
        http_fn fn;
        void *arg;
        uint64_t requests;
        struct loop_timer timer;
};

static enum MHD_Result answer_plain(struct MHD_Connection *conn, unsigned status, const char *text)
{
        struct MHD_Response *response =
            MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
        enum MHD_Result result;

        if (response == NULL)
                return MHD_NO;
        (void)MHD_add_response_header(response, "Content-Type", "text/plain");
        result = MHD_queue_response(conn, status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *path,
                                  const char *method, const char *version, const char *body, size_t *body_len,
                                  void **state)
{
        struct http *http = arg;
        struct http_answer answer = { .status = 404, .type = "text/plain" };
        struct MHD_Response *response;
        enum MHD_Result result;

        if (*state == NULL) { /* the head has come: wait for the end of the request */
                *state = http;
                return MHD_YES;
        }
        if (*body_len > 0)
                return MHD_NO;
        http->requests++;
        if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
                return answer_plain(conn, 405, "only GET and HEAD\n");
        http->fn(http->arg, path, &answer);
        if (answer.text == NULL)
                return answer_plain(conn, answer.status,
                                    answer.status == 404 ? "not found\n" : "no memory\n");
        response = MHD_create_response_from_buffer(answer.len, answer.text, MHD_RESPMEM_MUST_FREE);
        if (response == NULL) {
                free(answer.text);
                return MHD_NO;
        }
        (void)MHD_add_response_header(response, "Content-Type", answer.type);
        result = MHD_queue_response(conn, answer.status, response);
        MHD_destroy_response(response);
        return result;
}

static void turn(void *arg)
{
        struct http *http = arg;
        MHD_UNSIGNED_LONG_LONG wait_ms;

        MHD_run(http->daemon);
        if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
                loop_timer_start(http->loop, &http->timer, MIN(wait_ms, 60000u), turn, http);
        else
                loop_timer_stop(http->loop, &http->timer);
}

static void on_event(void *arg, int fd, uint32_t events)
{
        turn(arg);
}

/* "ADDR:PORT", "[ADDR6]:PORT" or "PORT". */
static int parse_listen(const char *listen_on, struct sockaddr_storage *ret, socklen_t *ret_len)
{
        const char *colon = strrchr(listen_on, ':');
        const char *port_text = colon ? colon + 1 : listen_on;
        char host[ADDR_TEXT_MAX] = "127.0.0.1";
        struct addr addr;
        unsigned long port;
        char *end;

        if (colon) {
                size_t len = (size_t)(colon - listen_on);

                if (len >= 2 && listen_on[0] == '[' && colon[-1] == ']') {
                        listen_on++;
                        len -= 2;
                }
                if (len >= sizeof(host))
                        return -EINVAL;
                memcpy(host, listen_on, len);
                host[len] = '\0';
        }
        if (port_text[0] < '0' || port_text[0] > '9')
                return -EINVAL;
        port = strtoul(port_text, &end, 10);
        if (*end != '\0' || port > 65535 || addr_parse(host, &addr) < 0)
                return -EINVAL;
        memset(ret, 0, sizeof(*ret));
        if (addr_is_v4(&addr)) {
                struct sockaddr_in *in4 = (struct sockaddr_in *)ret;

                in4->sin_family = AF_INET;
                in4->sin_port = htons((uint16_t)port);
                in4->sin_addr.s_addr = addr_v4_be(&addr);
                *ret_len = sizeof(*in4);
        } else {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons((uint16_t)port);
                memcpy(&in6->sin6_addr, addr.bytes, sizeof(addr.bytes));
                *ret_len = sizeof(*in6);
        }
        return 0;
}

/* Our own socket, so that a failure has its errno. */
static int bind_socket(const char *listen_on, uint16_t *ret_port)
{
        struct sockaddr_storage addr;
        socklen_t len;
        int one = 1;
        int fd, r;

        r = parse_listen(listen_on, &addr, &len);
        if (r < 0)
                return r;
        fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (addr.ss_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 64) < 0 ||
            getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        *ret_port = ntohs(addr.ss_family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port
                                                    : ((struct sockaddr_in6 *)&addr)->sin6_port);
        return fd;
}

int http_new(struct http **ret, struct loop *loop, const char *listen_on, http_fn fn, void *arg)
{
        struct http *http = calloc(1, sizeof(*http));
        const union MHD_DaemonInfo *info;
        int fd, r;

        if (http == NULL)
                return -ENOMEM;
        http->loop = loop;
        http->fn = fn;
        http->arg = arg;
        r = fd = bind_socket(listen_on, &http->port);
        if (fd < 0)
                goto out;
        r = -ENOMEM;
        http->daemon =
            MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
                             MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, 15u,
                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
        if (http->daemon == NULL) {
                close(fd);
                goto out;
        }
        info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        http->epoll_fd = info ? info->epoll_fd : -1;
        r = loop_add_fd(loop, http->epoll_fd, EPOLLIN, on_event, http);
        if (r < 0) {
                MHD_stop_daemon(http->daemon);
                goto out;
        }
        *ret = http;
        return 0;
out:
        free(http);
        return r;
}

void http_free(struct http *http)
{
        if (http == NULL)
                return;
        loop_timer_stop(http->loop, &http->timer);
        loop_del_fd(http->loop, http->epoll_fd);
        MHD_stop_daemon(http->daemon);
        free(http);
}

uint16_t http_port(const struct http *http)
{
        return http->port;
}

uint64_t http_requests(const struct http *http)
{
        return http->requests;
}
