/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real greyline-control (its path is the first argument) with a dataplane played by the test: SIGKILL at
 * any moment loses no log record and leaves nothing that keeps the next one from answering; a push goes into
 * force only when the dataplane took it; a second instance and a broken policy are refused in a line.
 *
 * Limits: DNS is a closed port, so every question ends without an answer of DNS; what answers say is tested
 * with the DNS parts.
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
#include <jansson.h>
#include <poll.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/control_fake.h"
#include "tests/unit/control_rig.h"

#define KILLS       20
#define WAIT_MS     20000 /* far beyond what anything takes; reaching it is a failure */
#define SESSION_MAX 200000u

static uint32_t next_random(uint32_t *seed)
{
        *seed = *seed * 1664525u + 1013904223u;
        return *seed >> 8;
}

/* Ask about a client and wait until the answer comes to the worker's ring. */
static void ask_and_wait(struct fake *fake, int bell_control, uint64_t serial)
{
        struct pollfd bell = { .fd = fake->bell[0], .events = POLLIN };
        const struct msg_answer *answer;
        struct msg_ask ask = good_ask(0, serial);

        ask.client.bytes[15] = (uint8_t)serial;
        assert_true(fake_ask(fake, 0, ask));
        link_bell_ring(bell_control);
        for (;;) {
                while ((answer = ring_read_slot(&fake->answer[0])) != NULL) {
                        uint64_t got = answer->serial;

                        assert_int_equal(answer->kind, MSG_ANSWER_CLIENT);
                        ring_read_release(&fake->answer[0]);
                        if (got == serial)
                                return;
                }
                if (!ring_read_may_sleep(&fake->answer[0]))
                        continue;
                if (poll(&bell, 1, WAIT_MS) != 1)
                        fail_msg("question %u was never answered", (unsigned)serial);
                link_bell_clear(fake->bell[0]);
        }
}

/* Every session from 1 to last is in the log; a line may be torn by each kill, and then comes again whole. */
static void check_log(const struct rig *rig, uint64_t last)
{
        static uint8_t seen[SESSION_MAX];
        unsigned torn = 0;
        char line[20000];
        FILE *file = fopen(rig->log, "r");

        assert_non_null(file);
        memset(seen, 0, sizeof(seen));
        while (fgets(line, sizeof(line), file)) {
                json_t *root = json_loads(line, 0, NULL);
                const char *session = json_string_value(json_object_get(root, "session"));

                if (session)
                        seen[strtoul(session, NULL, 16)] = 1;
                else
                        torn++;
                json_decref(root);
        }
        fclose(file);
        assert_true(torn <= KILLS);
        for (uint64_t session = 1; session <= last; session++) {
                if (!seen[session])
                        fail_msg("the record of session %u of %u is lost", (unsigned)session, (unsigned)last);
        }
}

static void test_kill_loses_nothing(void **state)
{
        uint32_t seed = (uint32_t)time(NULL);
        uint64_t session = 0;
        struct rig rig;
        int bell;

        print_message("seed %u\n", seed);
        make_rig(&rig);
        assert_int_equal(mkdir(rig.run, 0750), 0);
        fake_open(&rig.fake, rig.run, 1);
        bell = link_bell_open(rig.run, "control");
        for (unsigned kill_count = 0; kill_count < KILLS; kill_count++) {
                uint32_t records = next_random(&seed) % 4000;

                spawn(&rig);
                /* Some kills meet the start itself. */
                if (kill_count % 5 != 4)
                        wait_ready(&rig);
                if (kill_count % 5 == 0)
                        ask_and_wait(&rig.fake, bell, kill_count + 1);
                else
                        assert_true(fake_ask(&rig.fake, 0, good_ask(0, 1000))); /* open when the kill comes */
                for (uint32_t i = 0; i < records; i++) {
                        while (!fake_log(&rig.fake, 0, 0, session + 1))
                                sched_yield();
                        session++;
                        if (i % 64 == 0)
                                link_bell_ring(bell);
                        /* A kill that meets the start would leave a full ring that nobody reads. */
                        if (kill_count % 5 == 4 && i > 100)
                                break;
                }
                assert_int_equal(kill(rig.pid, SIGKILL), 0);
                assert_int_equal(reap(&rig, NULL, 0), -1);
        }
        spawn(&rig);
        wait_ready(&rig);
        ask_and_wait(&rig.fake, bell, 200);
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, NULL, 0), 0);
        assert_true(session > 1000 && session < SESSION_MAX);
        check_log(&rig, session);
        close(bell);
        fake_close(&rig.fake);
        remove_rig(&rig);
}

/* Send one request and play the dataplane until the answer comes. refuse: say no to whatever is wanted. */
static json_t *request(struct rig *rig, const char *command, json_t *args, bool refuse)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        json_t *root = json_pack("{s:s, s:o}", "command", command, "args", args);
        char *text = json_dumps(root, JSON_COMPACT);
        int main_bell = link_bell_open(rig->run, "main");
        struct link_page *page = rig->fake.link.page;
        struct pollfd fds[2];
        char answer[20000];
        size_t len = 0;

        snprintf(name.sun_path, sizeof(name.sun_path), "%s/admin.sock", rig->run);
        fds[0] = (struct pollfd){ .fd = socket(AF_UNIX, SOCK_STREAM, 0), .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = main_bell, .events = POLLIN };
        assert_int_equal(connect(fds[0].fd, (struct sockaddr *)&name, sizeof(name)), 0);
        assert_int_equal(write(fds[0].fd, text, strlen(text)), strlen(text));
        assert_int_equal(write(fds[0].fd, "\n", 1), 1);
        while (len == 0 || answer[len - 1] != '\n') {
                assert_true(poll(fds, 2, WAIT_MS) > 0);
                if (fds[1].revents) {
                        uint32_t wanted = atomic_load(&page->image_wanted);

                        link_bell_clear(main_bell);
                        if (refuse && wanted != atomic_load(&page->image_loaded)) {
                                strcpy(page->image_error, "a played refusal");
                                atomic_store(&page->image_refused, wanted);
                        } else {
                                atomic_store(&page->image_loaded, wanted);
                        }
                }
                if (fds[0].revents) {
                        ssize_t n = read(fds[0].fd, answer + len, sizeof(answer) - len);

                        assert_true(n > 0);
                        len += (size_t)n;
                }
        }
        close(fds[0].fd);
        close(main_bell);
        free(text);
        json_decref(root);
        root = json_loadb(answer, len, 0, NULL);
        assert_non_null(root);
        return root;
}

static json_t *push(struct rig *rig, const char *text, bool refuse)
{
        return request(rig, "policy push", json_pack("{s:s, s:s}", "path", rig->policy, "content", text),
                       refuse);
}

static void expect_version(struct rig *rig, uint32_t want)
{
        json_t *status = request(rig, "status", json_object(), false);

        assert_int_equal(
            json_integer_value(json_object_get(json_object_get(status, "result"), "policy_version")), want);
        assert_int_equal(atomic_load(&rig->fake.link.page->image_loaded), want);
        json_decref(status);
}

static void expect_error(json_t *answer, const char *want)
{
        const char *got = json_string_value(json_object_get(answer, "error"));

        if (got == NULL || strstr(got, want) == NULL)
                fail_msg("got %s, want %s", got ? got : "no error", want);
        json_decref(answer);
}

static void expect_pushed(json_t *answer, uint32_t want)
{
        const json_t *result = json_object_get(answer, "result");

        if (result == NULL)
                fail_msg("%s", json_string_value(json_object_get(answer, "error")));
        assert_int_equal(json_integer_value(json_object_get(result, "version")), want);
        assert_true(json_is_true(json_object_get(result, "loaded")));
        json_decref(answer);
}

/* Wait until control has attached, so that pushes meet a dataplane. */
static void wait_attached(struct rig *rig)
{
        for (;;) {
                json_t *status = request(rig, "status", json_object(), false);
                const char *state = json_string_value(json_object_get(
                    json_object_get(json_object_get(status, "result"), "dataplane"), "state"));
                bool is_attached = state && strcmp(state, "absent") != 0;

                json_decref(status);
                if (is_attached)
                        return;
        }
}

static void test_push(void **state)
{
        char edited[2000], broken[2000];
        struct rig rig;

        make_rig(&rig);
        snprintf(edited, sizeof(edited), "%spolicies: {default: {greylist: {block: 5m}}}\n", policy_text);
        snprintf(broken, sizeof(broken), "%spolicies: {default: {greylist: {blok: 5m}}}\n", policy_text);
        assert_int_equal(mkdir(rig.run, 0750), 0);
        fake_open(&rig.fake, rig.run, 1);
        rig.fake.link.page->dataplane_pid = getpid();
        spawn(&rig);
        wait_ready(&rig);
        wait_attached(&rig);
        expect_pushed(push(&rig, edited, false), 2);
        expect_version(&rig, 2);
        expect_error(push(&rig, broken, false), "p.yaml:8:");
        expect_error(push(&rig, policy_text, true), "a played refusal");
        expect_version(&rig, 2);
        assert_int_equal(atomic_load(&rig.fake.link.page->image_wanted), 2);
        expect_pushed(request(&rig, "policy rollback", json_object(), false), 1);
        expect_version(&rig, 1);
        expect_pushed(request(&rig, "policy rollback", json_pack("{s:i}", "version", 2), false), 2);
        expect_error(request(&rig, "policy rollback", json_pack("{s:i}", "version", 77), false),
                     "no such version");
        /* What cannot be understood is not taken for "the version before". */
        expect_error(request(&rig, "policy rollback", json_pack("{s:s}", "version", "1"), false),
                     "argument version: wanted a whole number");
        expect_error(request(&rig, "policy rollback", json_pack("{s:f}", "version", 1.0), false),
                     "argument version: wanted a whole number");
        expect_error(request(&rig, "grey list", json_pack("{s:i}", "domain", 5), false),
                     "argument domain: wanted a text");
        expect_error(request(&rig, "policy rollback", json_pack("{s:i}", "Version", 1), false),
                     "argument Version: wanted no argument of this name");
        expect_version(&rig, 2);

        /* What was pushed outlives control, since the file itself was not edited. */
        assert_int_equal(kill(rig.pid, SIGKILL), 0);
        assert_int_equal(reap(&rig, NULL, 0), -1);
        spawn(&rig);
        wait_ready(&rig);
        wait_attached(&rig);
        expect_version(&rig, 2);
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, NULL, 0), 0);

        /* An edited file is a new version. */
        snprintf(edited, sizeof(edited), "%spolicies: {default: {greylist: {block: 6m}}}\n", policy_text);
        write_file(rig.policy, edited);
        spawn(&rig);
        wait_ready(&rig);
        wait_attached(&rig);
        json_decref(request(&rig, "status", json_object(), false));
        assert_int_equal(atomic_load(&rig.fake.link.page->image_wanted), 4);
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, NULL, 0), 0);
        fake_close(&rig.fake);
        remove_rig(&rig);
}

/*
 * SIGHUP reads the file again: an edited one is pushed, an unchanged one is not, a broken one leaves the
 * old.
 */
static void test_hangup(void **state)
{
        char edited[2000], text[4000];
        struct rig rig;
        uint32_t version;

        make_rig(&rig);
        assert_int_equal(mkdir(rig.run, 0750), 0);
        fake_open(&rig.fake, rig.run, 1);
        rig.fake.link.page->dataplane_pid = getpid();
        spawn(&rig);
        wait_ready(&rig);
        wait_attached(&rig);
        assert_int_equal(kill(rig.pid, SIGHUP), 0);
        write_file(rig.policy, "node: [\n");
        assert_int_equal(kill(rig.pid, SIGHUP), 0);
        snprintf(edited, sizeof(edited), "%spolicies: {default: {greylist: {block: 7m}}}\n", policy_text);
        write_file(rig.policy, edited);
        assert_int_equal(kill(rig.pid, SIGHUP), 0);
        do { /* each request plays the dataplane */
                json_t *status = request(&rig, "status", json_object(), false);

                version = (uint32_t)json_integer_value(
                    json_object_get(json_object_get(status, "result"), "policy_version"));
                json_decref(status);
        } while (version != 2);
        assert_int_equal(kill(rig.pid, SIGHUP), 0);
        expect_pushed(push(&rig, policy_text, false), 3); /* queued behind it, and so it has been read */
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, text, sizeof(text)), 0);
        assert_non_null(strstr(text, "nothing has changed"));
        fake_close(&rig.fake);
        remove_rig(&rig);
}

/*
 * A log that takes nothing: records wait until their ring is half full, then the oldest are lost and counted,
 * and everything else goes on.
 */
static void test_log_full(void **state)
{
        struct rig rig;
        json_int_t missing;
        int bell;

        make_rig(&rig);
        strcpy(rig.log, "/dev/full");
        assert_int_equal(mkdir(rig.run, 0750), 0);
        fake_open(&rig.fake, rig.run, 1);
        bell = link_bell_open(rig.run, "control");
        spawn(&rig);
        wait_ready(&rig);
        for (uint64_t session = 1; session <= LINK_LOG_SLOTS / 2 + 100; session++)
                assert_true(fake_log(&rig.fake, 0, 0, session));
        do {
                json_t *status = request(&rig, "status", json_object(), false);
                const json_t *log = json_object_get(json_object_get(status, "result"), "log");

                missing = json_integer_value(json_object_get(log, "missing"));
                assert_int_equal(json_integer_value(json_object_get(log, "lines")), 0);
                json_decref(status);
        } while (missing < 100);
        assert_int_equal(missing, 100);
        ask_and_wait(&rig.fake, bell, 1);
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, NULL, 0), 0);
        close(bell);
        fake_close(&rig.fake);
        remove_rig(&rig);
}

/* ---- what machines read ------------------------------------------------------------------------------ */

/* GET a path; the whole answer with its head, by malloc(). */
static char *get(struct rig *rig, const char *path)
{
        struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(rig->http_port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        size_t len = 0, size = 1u << 20;
        char *text = malloc(size);
        ssize_t n;

        addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path);
        while ((n = read(fd, text + len, size - 1 - len)) > 0)
                len += (size_t)n;
        text[len] = '\0';
        close(fd);
        return text;
}

static void expect_status(struct rig *rig, unsigned want, const char *want_text)
{
        char *text = get(rig, "/healthz");
        unsigned got = 0;

        (void)sscanf(text, "HTTP/1.%*u %u", &got);
        if (got != want || strstr(text, want_text) == NULL)
                fail_msg("want %u %s, got %s", want, want_text, text);
        free(text);
}

/* The length of a metric's name at the start, or 0. */
static size_t name_len(const char *text)
{
        size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789");

        return text[0] >= '0' && text[0] <= '9' ? 0 : len;
}

/* "{name="value",...}": returns what is behind it, or NULL. */
static const char *skip_labels(const char *at)
{
        if (*at != '{')
                return at;
        do {
                at++;
                at += name_len(at);
                if (at[0] != '=' || at[1] != '"')
                        return NULL;
                for (at += 2; *at != '"'; at++) {
                        if (*at == '\0' || *at == '\n')
                                return NULL;
                        if (*at == '\\' && strchr("\\\"n", *++at) == NULL)
                                return NULL;
                }
                at++;
        } while (*at == ',');
        return *at == '}' ? at + 1 : NULL;
}

/*
 * The text form as a strict reader takes it: HELP, then TYPE, then the samples of one metric; no metric
 * twice, no series twice; counters end in _total and gauges do not; every line ends in a newline. Returns how
 * many samples there are.
 */
static unsigned check_metrics(const char *text)
{
        static char names[1000][80], series[4000][200];
        unsigned names_used = 0, series_used = 0;
        char name[80] = "", type[20] = "";
        const char *line, *end;

        for (line = text; *line; line = end + 1) {
                const char *behind;
                size_t len;

                end = strchr(line, '\n');
                if (end == NULL)
                        fail_msg("no newline at the end: %s", line);
                if (strncmp(line, "# HELP ", 7) == 0) {
                        len = name_len(line + 7);
                        assert_true(len > 0 && len < sizeof(name) && line[7 + len] == ' ');
                        snprintf(name, sizeof(name), "%.*s", (int)len, line + 7);
                        for (unsigned i = 0; i < names_used; i++)
                                assert_string_not_equal(names[i], name);
                        assert_true(names_used < 1000);
                        strcpy(names[names_used++], name);
                        type[0] = '\0';
                        continue;
                }
                if (strncmp(line, "# TYPE ", 7) == 0) {
                        bool is_total;

                        assert_int_equal(sscanf(line + 7 + strlen(name), " %19s", type), 1);
                        assert_memory_equal(line + 7, name, strlen(name));
                        is_total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
                        assert_string_equal(type, is_total ? "counter" : "gauge");
                        continue;
                }
                len = name_len(line);
                if (len != strlen(name) || memcmp(line, name, len) != 0 || type[0] == '\0')
                        fail_msg("a sample without its HELP and TYPE: %.80s", line);
                behind = skip_labels(line + len);
                if (behind == NULL || *behind != ' ' ||
                    strspn(behind + 1, "0123456789") != (size_t)(end - behind - 1))
                        fail_msg("not a sample: %.*s", (int)(end - line), line);
                assert_true(series_used < 4000 && behind - line < 200);
                snprintf(series[series_used], 200, "%.*s", (int)(behind - line), line);
                for (unsigned i = 0; i < series_used; i++)
                        assert_string_not_equal(series[i], series[series_used]);
                series_used++;
        }
        return series_used;
}

static void test_http(void **state)
{
        struct timespec mono;
        struct link_page *page;
        struct rig rig;
        char *text;

        make_rig(&rig);
        assert_int_equal(mkdir(rig.run, 0750), 0);
        spawn(&rig);
        wait_ready(&rig);
        expect_status(&rig, 503, "no dataplane");
        text = get(&rig, "/metrics");
        assert_true(check_metrics(strstr(text, "\r\n\r\n") + 4) > 20);
        assert_non_null(strstr(text, "\ngreyline_dataplane_up 0\n"));
        free(text);

        fake_open(&rig.fake, rig.run, 2);
        page = rig.fake.link.page;
        page->dataplane_pid = getpid();
        page->counters[1][COUNTER_sessions_opened] = 42;
        page->backend[0] = (struct link_backend){ .addr.bytes = { 1 }, .port = 25 };
        wait_attached(&rig);
        clock_gettime(CLOCK_MONOTONIC, &mono);
        atomic_store(&page->dataplane_beat_ms,
                     (uint64_t)mono.tv_sec * 1000 + 3600000); /* alive for an hour */
        expect_status(&rig, 503, "starting");
        atomic_store(&page->ready, 1);
        expect_status(&rig, 503, "no backend");
        atomic_store(&page->backends, 1);
        atomic_store(&page->backend[0].state, LINK_BACKEND_DOWN);
        expect_status(&rig, 503, "no backend");
        atomic_store(&page->backend[0].state, LINK_BACKEND_UP);
        expect_status(&rig, 200, "ok");
        json_decref(request(&rig, "drain", json_object(), false));
        assert_int_equal(atomic_load(&page->draining), 1);
        expect_status(&rig, 503, "draining");

        /* A drain outlives control; a new dataplane hears of it. */
        assert_int_equal(kill(rig.pid, SIGKILL), 0);
        assert_int_equal(reap(&rig, NULL, 0), -1);
        spawn(&rig);
        wait_ready(&rig);
        wait_attached(&rig);
        expect_status(&rig, 503, "draining");
        json_decref(request(&rig, "undrain", json_object(), false));
        assert_int_equal(atomic_load(&page->draining), 0);
        expect_status(&rig, 200, "ok");

        text = get(&rig, "/metrics");
        assert_true(check_metrics(strstr(text, "\r\n\r\n") + 4) > 20 + 2 * COUNTER_USED);
        assert_non_null(strstr(text, "\ngreyline_sessions_opened_total{worker=\"1\"} 42\n"));
        assert_non_null(strstr(text, "\ngreyline_sessions_opened_total{worker=\"0\"} 0\n"));
        assert_non_null(strstr(text, "\ngreyline_dataplane_up 1\n"));
        assert_non_null(strstr(text, "\ngreyline_backend_up{"));
        free(text);
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, NULL, 0), 0);
        fake_close(&rig.fake);
        remove_rig(&rig);
}

static void test_refused_starts(void **state)
{
        struct rig rig, second;
        char text[4000];

        make_rig(&rig);
        write_file(rig.policy, "node: {hostname: mx.example.net\n");
        spawn(&rig);
        assert_int_equal(reap(&rig, text, sizeof(text)), 1);
        assert_non_null(strstr(text, "p.yaml:"));

        write_file(rig.policy, policy_text);
        spawn(&rig);
        wait_ready(&rig);
        second = rig;
        spawn(&second);
        assert_int_equal(reap(&second, text, sizeof(text)), 1);
        assert_non_null(strstr(text, "another greyline-control runs"));
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, NULL, 0), 0);

        /* A broken file is no reason not to start when there is a version that was good. */
        write_file(rig.policy, "node: [\n");
        spawn(&rig);
        wait_ready(&rig);
        assert_int_equal(kill(rig.pid, SIGTERM), 0);
        assert_int_equal(reap(&rig, text, sizeof(text)), 0);
        assert_non_null(strstr(text, "version 1, which was in force before, goes on"));
        remove_rig(&rig);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kill_loses_nothing),
                cmocka_unit_test(test_push),
                cmocka_unit_test(test_hangup),
                cmocka_unit_test(test_log_full),
                cmocka_unit_test(test_http),
                cmocka_unit_test(test_refused_starts),
        };

        if (argc != 2) {
                fprintf(stderr, "usage: %s GREYLINE-CONTROL\n", argv[0]);
                return 2;
        }
        control_path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
