/* SPDX-License-Identifier: Apache-2.0 */
#include "control/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES 65536u

struct conn {
        struct admin *admin;
        int fd; /* -1: free */
        uid_t uid;
        char *in;
        size_t in_len, in_size;
        size_t in_seen; /* bytes of in[] that hold no newline */
        char *out;
        size_t out_len, out_sent;
        struct admin_request *request; /* under way */
        struct loop_timer idle;
        struct loop_timer resume; /* runs while the rate limit holds the connection back */
        bool is_ended;            /* the other end has sent all it will */
};

struct admin_request {
        struct admin *admin;
        struct conn *conn; /* NULL: the connection is gone */
        uid_t uid;
        json_t *root;
        struct json json;
        struct admin_request *next, **link;
};

struct admin {
        struct loop *loop;
        char path[108];
        int fd;
        admin_fn fn;
        void *arg;
        struct conn conns[ADMIN_CONNS_MAX];
        struct admin_request *requests;
        size_t buffered;
        double tokens;
        uint64_t tokens_ms;
        struct admin_stats stats;
};

static void conn_serve(struct conn *conn);
static void conn_event(void *arg, int fd, uint32_t events);

static void conn_close(struct conn *conn)
{
        struct admin *admin = conn->admin;

        if (conn->fd < 0)
                return;
        loop_del_fd(admin->loop, conn->fd);
        loop_timer_stop(admin->loop, &conn->idle);
        loop_timer_stop(admin->loop, &conn->resume);
        close(conn->fd);
        conn->fd = -1;
        admin->buffered -= conn->in_size;
        free(conn->in);
        free(conn->out);
        conn->in = conn->out = NULL;
        conn->in_len = conn->in_size = conn->in_seen = conn->out_len = conn->out_sent = 0;
        if (conn->request)
                conn->request->conn = NULL;
        conn->request = NULL;
        admin->stats.open--;
}

static void on_idle(void *arg)
{
        struct conn *conn = arg;

        /* A request under way has limits of its own. */
        if (conn->request)
                loop_timer_start(conn->admin->loop, &conn->idle, ADMIN_IDLE_MS, on_idle, conn);
        else
                conn_close(conn);
}

static void conn_watch(struct conn *conn)
{
        uint32_t events = 0;

        if (conn->out)
                events |= EPOLLOUT;
        else if (conn->request == NULL && conn->resume.place == 0 && !conn->is_ended)
                events |= EPOLLIN;
        if (loop_add_fd(conn->admin->loop, conn->fd, events, conn_event, conn) < 0)
                conn_close(conn);
}

/* Returns false when the connection was closed. */
static bool conn_send(struct conn *conn)
{
        while (conn->out_sent < conn->out_len) {
                ssize_t n = send(conn->fd, conn->out + conn->out_sent, conn->out_len - conn->out_sent,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return true;
                if (n < 0) {
                        conn_close(conn);
                        return false;
                }
                conn->out_sent += (size_t)n;
        }
        free(conn->out);
        conn->out = NULL;
        conn->out_len = conn->out_sent = 0;
        return true;
}

static void conn_answer(struct conn *conn, char *text, size_t len)
{
        conn->out = text;
        conn->out_len = len;
        conn->out_sent = 0;
        loop_timer_start(conn->admin->loop, &conn->idle, ADMIN_IDLE_MS, on_idle, conn);
}

static void answer_error(struct conn *conn, const char *error)
{
        struct json json;

        json_init(&json, 4096);
        json_object_open(&json, NULL);
        json_put_bool(&json, "ok", false);
        json_put_string(&json, "error", error);
        json_object_close(&json);
        json_newline(&json);
        conn_answer(conn, json.text, json.len);
}

static struct admin_request *request_new(struct conn *conn, json_t *root)
{
        struct admin_request *request = calloc(1, sizeof(*request));

        if (request == NULL)
                return NULL;
        request->admin = conn->admin;
        request->conn = conn;
        request->uid = conn->uid;
        request->root = root;
        json_init(&request->json, ADMIN_ANSWER_MAX);
        json_object_open(&request->json, NULL);
        json_put_bool(&request->json, "ok", true);
        request->next = conn->admin->requests;
        request->link = &conn->admin->requests;
        if (request->next)
                request->next->link = &request->next;
        conn->admin->requests = request;
        conn->request = request;
        return request;
}

static void request_free(struct admin_request *request)
{
        *request->link = request->next;
        if (request->next)
                request->next->link = request->link;
        if (request->conn)
                request->conn->request = NULL;
        json_decref(request->root);
        json_done(&request->json);
        free(request);
}

static bool is_request(const json_t *root)
{
        const json_t *args = json_object_get(root, "args");

        return json_is_string(json_object_get(root, "command")) && (args == NULL || json_is_object(args));
}

static void run_line(struct conn *conn, const char *line, size_t len)
{
        struct admin *admin = conn->admin;
        struct admin_request *request;
        json_error_t error;
        json_t *root;

        admin->stats.requests++;
        root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
        if (root == NULL || !is_request(root)) {
                json_decref(root);
                admin->stats.bad_requests++;
                answer_error(conn, "the request is no JSON object with a command");
                return;
        }
        if (json_object_get(root, "args") == NULL)
                json_object_set_new(root, "args", json_object());
        request = json_object_get(root, "args") ? request_new(conn, root) : NULL;
        if (request == NULL) {
                json_decref(root);
                answer_error(conn, "out of memory");
                return;
        }
        admin->fn(admin->arg, request);
}

static bool take_token(struct admin *admin)
{
        uint64_t now_ms = loop_now_ms(admin->loop);

        admin->tokens += (double)(now_ms - admin->tokens_ms) * ADMIN_RATE_MAX / 1000.0;
        admin->tokens = MIN(admin->tokens, ADMIN_RATE_MAX / 2.0);
        admin->tokens_ms = now_ms;
        if (admin->tokens < 1)
                return false;
        admin->tokens -= 1;
        return true;
}

static void on_resume(void *arg)
{
        conn_serve(arg);
}

/* Run the next whole line, if there is one and its turn has come. Returns false when there was none. */
static bool next_line(struct conn *conn)
{
        char *end = conn->in_len > conn->in_seen
                        ? memchr(conn->in + conn->in_seen, '\n', conn->in_len - conn->in_seen)
                        : NULL;
        char *line;
        size_t len;

        if (end == NULL) {
                conn->in_seen = conn->in_len;
                return false;
        }
        if (!take_token(conn->admin)) {
                loop_timer_start(conn->admin->loop, &conn->resume, 20, on_resume, conn);
                return false;
        }
        len = (size_t)(end - conn->in);
        line = malloc(len + 1);
        if (line == NULL) {
                conn->is_ended = true;
                conn->in_len = 0;
                return false;
        }
        memcpy(line, conn->in, len);
        conn->in_len -= len + 1;
        memmove(conn->in, end + 1, conn->in_len);
        conn->in_seen = 0;
        run_line(conn, line, len);
        free(line);
        return true;
}

/* Send and run what can be, then say what to wait for. */
static void conn_serve(struct conn *conn)
{
        do {
                if (conn->out && !conn_send(conn))
                        return;
        } while (conn->out == NULL && conn->request == NULL && conn->resume.place == 0 && next_line(conn));
        if (conn->fd < 0)
                return;
        if (conn->is_ended && conn->out == NULL && conn->request == NULL && conn->resume.place == 0)
                conn_close(conn);
        else
                conn_watch(conn);
}

static bool make_room(struct conn *conn)
{
        struct admin *admin = conn->admin;
        size_t size = conn->in_size;
        char *in;

        if (conn->in_size - conn->in_len >= READ_BYTES / 2)
                return true;
        size = MIN(MAX(2 * size, READ_BYTES), ADMIN_REQUEST_MAX);
        if (conn->in_len == size || admin->buffered + size - conn->in_size > ADMIN_BUFFERED_MAX)
                return false;
        in = realloc(conn->in, size);
        if (in == NULL)
                return false;
        admin->buffered += size - conn->in_size;
        conn->in = in;
        conn->in_size = size;
        return true;
}

static void conn_read(struct conn *conn)
{
        ssize_t n;

        if (!make_room(conn)) {
                conn->admin->stats.bad_requests++;
                conn->is_ended = true;
                conn->in_len = conn->in_seen = 0;
                answer_error(conn, "the request is too large");
                return;
        }
        n = recv(conn->fd, conn->in + conn->in_len, conn->in_size - conn->in_len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                conn->is_ended = true;
                return;
        }
        conn->in_len += (size_t)n;
        loop_timer_start(conn->admin->loop, &conn->idle, ADMIN_IDLE_MS, on_idle, conn);
}

static void conn_event(void *arg, int fd, uint32_t events)
{
        struct conn *conn = arg;

        if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN)) {
                conn_close(conn);
                return;
        }
        if (events & EPOLLIN)
                conn_read(conn);
        conn_serve(conn);
}

static void accept_event(void *arg, int fd, uint32_t events)
{
        struct admin *admin = arg;
        struct conn *conn = NULL;
        struct ucred cred;
        socklen_t len = sizeof(cred);
        int client;

        client = accept4(admin->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0)
                return;
        for (uint32_t i = 0; conn == NULL && i < ADMIN_CONNS_MAX; i++) {
                if (admin->conns[i].fd < 0)
                        conn = &admin->conns[i];
        }
        if (conn == NULL || getsockopt(client, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
                admin->stats.refused++;
                close(client);
                return;
        }
        conn->admin = admin;
        conn->fd = client;
        conn->uid = cred.uid;
        conn->is_ended = false;
        admin->stats.connections++;
        admin->stats.open++;
        loop_timer_start(admin->loop, &conn->idle, ADMIN_IDLE_MS, on_idle, conn);
        conn_watch(conn);
}

int admin_new(struct admin **ret, struct loop *loop, const char *path, admin_fn fn, void *arg)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        struct admin *admin = calloc(1, sizeof(*admin));
        int r = -ENAMETOOLONG;

        if (admin == NULL)
                return -ENOMEM;
        admin->loop = loop;
        admin->fn = fn;
        admin->arg = arg;
        admin->fd = -1;
        admin->tokens = ADMIN_RATE_MAX / 2.0;
        admin->tokens_ms = loop_now_ms(loop);
        for (uint32_t i = 0; i < ADMIN_CONNS_MAX; i++)
                admin->conns[i].fd = -1;
        if (strlen(path) >= sizeof(name.sun_path))
                goto out;
        strcpy(name.sun_path, path);
        strcpy(admin->path, path);
        admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        unlink(path); /* the lock on the run directory says that nobody serves it */
        if (admin->fd < 0 || bind(admin->fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
            chmod(path, 0660) < 0 || listen(admin->fd, 16) < 0) {
                r = -errno;
                goto out;
        }
        r = loop_add_fd(loop, admin->fd, EPOLLIN, accept_event, admin);
        if (r < 0)
                goto out;
        *ret = admin;
        return 0;
out:
        if (admin->fd >= 0)
                close(admin->fd);
        free(admin);
        return r;
}

void admin_free(struct admin *admin)
{
        if (admin == NULL)
                return;
        for (uint32_t i = 0; i < ADMIN_CONNS_MAX; i++)
                conn_close(&admin->conns[i]);
        while (admin->requests)
                request_free(admin->requests);
        loop_del_fd(admin->loop, admin->fd);
        close(admin->fd);
        unlink(admin->path);
        free(admin);
}

const char *admin_command(const struct admin_request *request)
{
        return json_string_value(json_object_get(request->root, "command"));
}

const json_t *admin_args(const struct admin_request *request)
{
        return json_object_get(request->root, "args");
}

uid_t admin_uid(const struct admin_request *request)
{
        return request->uid;
}

const char *admin_wrong_arg(const struct admin_request *request, const char **ret_wanted)
{
        static const struct {
                const char *name;
                json_type type;
        } known[] = {
                { "version", JSON_INTEGER },  { "limit", JSON_INTEGER },  { "path", JSON_STRING },
                { "content", JSON_STRING },   { "id", JSON_STRING },      { "address", JSON_STRING },
                { "key", JSON_STRING },       { "client", JSON_STRING },  { "sender", JSON_STRING },
                { "recipient", JSON_STRING }, { "domain", JSON_STRING },
        };
        const char *name;
        json_t *value;

        json_object_foreach((json_t *)(uintptr_t)admin_args(request), name, value) {
                unsigned i = 0;

                while (i < ARRAY_LEN(known) && strcmp(known[i].name, name) != 0)
                        i++;
                *ret_wanted = i == ARRAY_LEN(known)             ? "no argument of this name"
                              : known[i].type == JSON_INTEGER ? "a whole number"
                                                              : "a text";
                if (i == ARRAY_LEN(known) || json_typeof(value) != known[i].type)
                        return name;
        }
        return NULL;
}

const char *admin_string(const struct admin_request *request, const char *key, const char *otherwise)
{
        const char *text = json_string_value(json_object_get(admin_args(request), key));

        return text ? text : otherwise;
}

int64_t admin_int(const struct admin_request *request, const char *key, int64_t otherwise)
{
        const json_t *value = json_object_get(admin_args(request), key);

        return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

struct json *admin_result(struct admin_request *request)
{
        return &request->json;
}

/* Hand the answer to the connection; an answer that comes after the handler returned must wake it. */
static void finish(struct admin_request *request, char *text, size_t len)
{
        struct conn *conn = request->conn;

        request_free(request);
        if (conn == NULL) {
                free(text);
                return;
        }
        conn_answer(conn, text, len);
        conn_watch(conn);
}

void admin_done(struct admin_request *request)
{
        struct json *json = &request->json;
        char *text;
        size_t len;

        json_object_close(json);
        json_newline(json);
        if (json->is_failed) {
                admin_fail(request, "the answer is too long: ask for less");
                return;
        }
        text = json->text;
        len = json->len;
        json_init(json, 0); /* the text goes on */
        finish(request, text, len);
}

void admin_fail(struct admin_request *request, const char *format, ...)
{
        struct json json;
        char error[16384];
        va_list args;

        va_start(args, format);
        vsnprintf(error, sizeof(error), format, args);
        va_end(args);
        json_init(&json, 6 * sizeof(error) + 100);
        json_object_open(&json, NULL);
        json_put_bool(&json, "ok", false);
        json_put_string(&json, "error", error);
        json_object_close(&json);
        json_newline(&json);
        finish(request, json.text, json.len);
}

struct admin_stats admin_stats(const struct admin *admin)
{
        return admin->stats;
}
