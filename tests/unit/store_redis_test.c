/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes, each with a table of its own, and a real redis-server on a Unix socket; then servers that lie.
 * Skipped where there is no redis-server. Waits are for states, up to 20 s, never for a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <hiredis/hiredis.h>
#include <cmocka.h>

#include "control/store/merge.h"
#include "control/store/redis.h"
#include "control/store/redis_wire.h"

#define PATIENCE_MS 20000

static const struct siphash_key key = { { 21, 22 } };
static const struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 36 * 86400 };
static char dir[64], socket_path[96];
static pid_t server;

struct node {
        char path[96];
        struct grey_table table;
        struct redis *redis;
        struct redis_status status;
};

static void pause_ms(unsigned ms)
{
        struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

        nanosleep(&time, NULL);
}

static uint32_t now_sec(void)
{
        return (uint32_t)time(NULL);
}

/* Is what asserted true within PATIENCE_MS? */
#define wait_for(condition)                                                                                  \
        do {                                                                                                 \
                unsigned waited = 0;                                                                         \
                while (!(condition)) {                                                                       \
                        if (waited++ > PATIENCE_MS / 5)                                                      \
                                fail_msg("waited in vain for " #condition);                                  \
                        pause_ms(5);                                                                         \
                }                                                                                            \
        } while (0)

/* --- the server ----------------------------------------------------------------------------------------- */

static bool is_server_up(void)
{
        redisContext *context = redisConnectUnix(socket_path);
        redisReply *reply = context && !context->err ? redisCommand(context, "PING") : NULL;
        bool up = reply && reply->type == REDIS_REPLY_STATUS;

        if (reply)
                freeReplyObject(reply);
        if (context)
                redisFree(context);
        return up;
}

static void start_server(const char *option, const char *value)
{
        fflush(NULL);
        server = fork();
        if (server == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (!freopen("/dev/null", "w", stdout))
                        _exit(1);
                execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_path, "--save",
                       "", "--appendonly", "no", "--dir", dir, option, value, (char *)NULL);
                _exit(1);
        }
        assert_true(server > 0);
        wait_for(is_server_up());
}

static void stop_server(void)
{
        if (server > 0) {
                kill(server, SIGKILL);
                waitpid(server, NULL, 0);
        }
        server = 0;
        unlink(socket_path);
}

static redisReply *command(const char *format, ...)
{
        redisContext *context = redisConnectUnix(socket_path);
        redisReply *reply;
        va_list args;

        assert_true(context && !context->err);
        va_start(args, format);
        reply = redisvCommand(context, format, args);
        va_end(args);
        assert_non_null(reply);
        redisFree(context);
        return reply;
}

static void run_command(const char *format, ...)
{
        redisContext *context = redisConnectUnix(socket_path);
        redisReply *reply;
        va_list args;

        assert_true(context && !context->err);
        va_start(args, format);
        reply = redisvCommand(context, format, args);
        va_end(args);
        assert_non_null(reply);
        if (reply->type == REDIS_REPLY_ERROR)
                fail_msg("%s", reply->str);
        freeReplyObject(reply);
        redisFree(context);
}

/* --- the nodes ------------------------------------------------------------------------------------------ */

static void open_node_of(struct node *node, const char *name, const struct siphash_key *secret, uint64_t entries)
{
        memset(node, 0, sizeof(*node));
        snprintf(node->path, sizeof(node->path), "%s/%s", dir, name);
        unlink(node->path);
        assert_int_equal(grey_table_open(&node->table, node->path, entries, secret, NULL), 0);
}

static void open_node(struct node *node, const char *name, const struct siphash_key *secret)
{
        open_node_of(node, name, secret, 20000);
}

static void follow_every(struct node *node, uint32_t turn_ms)
{
        struct redis_conf conf = {
                .unix_path = socket_path, .params = params, .turn_ms = turn_ms, .timeout_ms = 1000
        };

        node->redis = redis_new(&conf, &node->table);
        assert_non_null(node->redis);
}

static void follow(struct node *node)
{
        follow_every(node, 5);
}

static void unfollow(struct node *node)
{
        redis_free(node->redis);
        node->redis = NULL;
}

static void close_node(struct node *node)
{
        unfollow(node);
        grey_table_close(&node->table);
        unlink(node->path);
}

static bool is_state(struct node *node, enum redis_state state)
{
        redis_status(node->redis, &node->status);
        return node->status.state == state;
}

static struct grey_facts facts_of(const struct node *node, uint64_t which)
{
        struct grey_query query = { .key = which };

        grey_table_lookup(&node->table, &query, 1);
        return query.facts;
}

static bool is_known(const struct node *node, uint64_t which)
{
        return facts_of(node, which).kind != GREY_KIND_NONE;
}

static void record(struct node *node, uint64_t which, enum grey_event event, uint32_t at_sec)
{
        grey_table_record(&node->table, which, GREY_KIND_NETWORK, event, &params, at_sec);
}

static uint64_t number(uint64_t i)
{
        return siphash(&key, &i, sizeof(i)) | 1;
}

static int set_up(void **state)
{
        strcpy(dir, "/tmp/store_redis_test.XXXXXX");
        assert_non_null(mkdtemp(dir));
        snprintf(socket_path, sizeof(socket_path), "%s/redis.sock", dir);
        if (system("command -v redis-server >/dev/null") != 0) {
                print_message("skipped: there is no redis-server here\n");
                skip();
        }
        return 0;
}

static int tear_down(void **state)
{
        char lock[96];

        stop_server();
        snprintf(lock, sizeof(lock), "%s/lock", dir);
        unlink(lock);
        return rmdir(dir);
}

/* --- tests ---------------------------------------------------------------------------------------------- */

/* First seen on one node, passes on the other after the block period; passes and removals travel as well. */
static void test_two_nodes(void **state)
{
        struct node one, two;
        uint32_t start_sec = now_sec() - 1000, wait_sec;
        struct grey_facts facts;

        start_server("--loglevel", "warning");
        open_node(&one, "one", &key);
        open_node(&two, "two", &key);
        record(&one, 11, GREY_EVENT_FIRST, start_sec); /* before there was any connection */
        follow(&one);
        wait_for(is_state(&one, REDIS_UP));
        follow(&two);
        wait_for(is_known(&two, 11));
        wait_for(is_state(&two, REDIS_UP));
        facts = facts_of(&two, 11);
        assert_int_equal(facts.first_sec, start_sec);
        assert_int_equal(grey_judge(&facts, &params, start_sec + 239, &wait_sec), GREY_WAIT);
        assert_int_equal(grey_judge(&facts, &params, start_sec + 240, &wait_sec), GREY_PASS);
        record(&two, 11, GREY_EVENT_PASS, start_sec + 300);
        wait_for(facts_of(&one, 11).last_pass_sec != 0);
        record(&one, 11, GREY_EVENT_REMOVE, start_sec + 400);
        wait_for(facts_of(&two, 11).first_sec >= start_sec + 400);
        /* many, in both directions, through the streams */
        for (unsigned i = 0; i < 3000; i++)
                record(i % 2 ? &one : &two, number(i), GREY_EVENT_FIRST, start_sec + i % 100);
        for (unsigned i = 0; i < 3000; i++) {
                wait_for(is_known(&one, number(i)) && is_known(&two, number(i)));
                assert_int_equal(facts_of(&one, number(i)).first_sec, start_sec + i % 100);
        }
        redis_status(one.redis, &one.status);
        assert_int_equal(one.status.garbage + one.status.future + one.status.failures, 0);
        close_node(&one);
        close_node(&two);
        stop_server();
}

/* Redis gone: changes wait as marks; Redis back, and empty: everything is there again. */
static void test_gone_and_empty(void **state)
{
        struct node one, two;
        uint32_t start_sec = now_sec() - 1000;

        start_server("--loglevel", "warning");
        open_node(&one, "one", &key);
        open_node(&two, "two", &key);
        follow(&one);
        follow(&two);
        record(&one, 21, GREY_EVENT_FIRST, start_sec);
        wait_for(is_known(&two, 21));
        stop_server();
        wait_for(is_state(&one, REDIS_CONNECTING) && is_state(&two, REDIS_CONNECTING));
        record(&one, 22, GREY_EVENT_FIRST, start_sec);
        record(&two, 23, GREY_EVENT_FIRST, start_sec);
        assert_false(is_known(&two, 22));
        start_server("--loglevel", "warning");
        wait_for(is_known(&two, 22) && is_known(&one, 23));
        /* what was sent before Redis lost it all is sent again: a third node learns it */
        unfollow(&two);
        grey_table_close(&two.table);
        open_node(&two, "two", &key);
        follow(&two);
        wait_for(is_known(&two, 21) && is_known(&two, 22) && is_known(&two, 23));
        /* emptied while connected */
        wait_for(is_state(&two, REDIS_UP));
        run_command("FLUSHALL");
        unfollow(&two);
        grey_table_close(&two.table);
        open_node(&two, "two", &key);
        follow(&two);
        wait_for(is_known(&two, 21) && is_known(&two, 22) && is_known(&two, 23));
        close_node(&one);
        close_node(&two);
        stop_server();
}

/* The place of an entry in its change stream, from 0; -1: not there. */
static int place_in_stream(uint64_t which)
{
        char wanted[MERGE_KEY_LEN + 1];
        int place = -1;

        merge_build_key(which, wanted);
        for (unsigned stream = 0; stream < WIRE_STREAMS && place < 0; stream++) {
                redisReply *reply = command("XRANGE greyline:{%u}:changes - +", stream);

                for (size_t i = 0; i < reply->elements && place < 0; i++) {
                        const redisReply *fields = reply->element[i]->element[1];

                        for (size_t f = 0; f + 1 < fields->elements; f += 2)
                                if (strcmp(fields->element[f]->str, "k") == 0 &&
                                    strcmp(fields->element[f + 1]->str, wanted) == 0)
                                        place = (int)i;
                }
                freeReplyObject(reply);
        }
        return place;
}

/* All is sent again at a start, but what changed goes first, wherever in the table it is. */
static void test_changes_first(void **state)
{
        struct grey_facts facts = { .first_sec = now_sec() - 1000, .kind = GREY_KIND_NETWORK };
        struct node one;

        start_server("--loglevel", "warning");
        open_node(&one, "one", &key);
        for (uint64_t i = 0; i < 10000; i++) /* not marked: as if a peer had sent them */
                (void)grey_table_merge(&one.table, number(i), &facts, &params, now_sec());
        for (uint64_t i = 20000; i < 20020; i++)
                record(&one, number(i), GREY_EVENT_FIRST, now_sec() - 1000);
        follow(&one);
        wait_for(is_state(&one, REDIS_UP) && one.status.sent >= 10000);
        for (uint64_t i = 20000; i < 20020; i++)
                assert_in_range(place_in_stream(number(i)), 0, 15); /* with what else is in their buckets */
        close_node(&one);
        stop_server();
}

/* A large table with little in it is sent again in a few turns: empty buckets take no place in a batch. */
static void test_mostly_empty(void **state)
{
        struct grey_facts facts = { .first_sec = now_sec() - 1000, .kind = GREY_KIND_NETWORK };
        struct node one;

        start_server("--loglevel", "warning");
        open_node_of(&one, "one", &key, 1000000);
        for (uint64_t i = 0; i < 100; i++)
                (void)grey_table_merge(&one.table, number(i), &facts, &params, now_sec());
        follow_every(&one, 200);
        wait_for(is_state(&one, REDIS_UP) && one.status.sent >= 100);
        /* and once more when asked */
        redis_resend(one.redis);
        wait_for(is_state(&one, REDIS_UP) && one.status.sent >= 200);
        close_node(&one);
        stop_server();
}

static void test_other_secret(void **state)
{
        static const struct siphash_key other = { { 21, 23 } };
        struct node one, two;

        start_server("--loglevel", "warning");
        open_node(&one, "one", &key);
        open_node(&two, "two", &other);
        follow(&one);
        wait_for(is_state(&one, REDIS_UP));
        record(&two, 31, GREY_EVENT_FIRST, now_sec());
        follow(&two);
        wait_for(is_state(&two, REDIS_OTHER_SECRET));
        assert_non_null(strstr(two.status.error, "another secret"));
        assert_int_equal(two.status.sent, 0);
        assert_false(is_known(&one, 31));
        close_node(&one);
        close_node(&two);
        stop_server();
}

static void test_password(void **state)
{
        char path[96];
        struct redis_conf conf = { .unix_path = socket_path,
                                   .params = params,
                                   .turn_ms = 5,
                                   .timeout_ms = 1000,
                                   .password_file = path };
        struct node one;
        FILE *file;

        start_server("--loglevel", "warning");
        run_command("CONFIG SET requirepass sesame");
        snprintf(path, sizeof(path), "%s/password", dir);
        open_node(&one, "one", &key);
        one.redis = redis_new(&conf, &one.table);
        wait_for(is_state(&one, REDIS_REFUSED)); /* no such file yet */
        assert_non_null(strstr(one.status.error, "No such file"));
        file = fopen(path, "w");
        fputs("wrong\n", file);
        fclose(file);
        wait_for(is_state(&one, REDIS_REFUSED) && strstr(one.status.error, "WRONGPASS"));
        assert_null(strstr(one.status.error, "wrong\n"));
        file = fopen(path, "w");
        fputs("sesame\n", file);
        fclose(file);
        wait_for(is_state(&one, REDIS_UP) || is_state(&one, REDIS_SYNCING));
        close_node(&one);
        unlink(path);
        stop_server();
}

static bool is_marked(struct node *node)
{
        uint64_t cursor = 0, bucket;

        if (!grey_table_take_mark(&node->table, &cursor, ~0ull, &bucket))
                return false;
        grey_table_mark(&node->table, bucket);
        return true;
}

/* Full: nothing is lost, it waits as a mark, and reading goes on. */
static void test_full(void **state)
{
        struct node one, two;
        uint32_t start_sec = now_sec() - 1000;

        start_server("--loglevel", "warning");
        open_node(&one, "one", &key);
        open_node(&two, "two", &key);
        follow(&one);
        wait_for(is_state(&one, REDIS_UP));
        run_command("CONFIG SET maxmemory 1");
        record(&one, 41, GREY_EVENT_FIRST, start_sec);
        wait_for(is_state(&one, REDIS_REFUSED));
        assert_non_null(strstr(one.status.error, "OOM"));
        run_command("CONFIG SET maxmemory 0");
        follow(&two);
        wait_for(is_known(&two, 41));
        wait_for(is_state(&one, REDIS_UP));
        wait_for(!is_marked(&one));
        close_node(&one);
        close_node(&two);
        stop_server();
}

/* Scripts forgotten, garbage and times ahead in the hashes and streams: counted, mended, never believed. */
static void test_lies_in_redis(void **state)
{
        struct node one;
        uint32_t start_sec = now_sec() - 1000;
        redisReply *reply;

        start_server("--loglevel", "warning");
        open_node(&one, "one", &key);
        follow(&one);
        wait_for(is_state(&one, REDIS_UP));
        run_command("SCRIPT FLUSH");
        record(&one, 0x0010000000000051, GREY_EVENT_FIRST, start_sec);
        wait_for(one.status.sent > 0 || (redis_status(one.redis, &one.status), one.status.sent > 0));
        run_command("XADD greyline:{0}:changes * n x k 0000000000000052 v %s", "rubbish");
        run_command("XADD greyline:{0}:changes * n x k 0000000000000053 v %b", "0 0 0 1", (size_t)7);
        run_command("XADD greyline:{0}:changes * n x k 0000000000000054 v %b", "4294967295 0 0 1",
                    (size_t)16);
        run_command("XADD greyline:{0}:changes * a b");
        run_command("HSET greyline:{0}:grey:1 nonsense 1 0010000000000055 %b", "x", (size_t)1);
        run_command("HSET greyline:{0}:grey:1 0010000000000056 %b", "4294967295 0 0 1", (size_t)16);
        wait_for((redis_status(one.redis, &one.status), one.status.garbage >= 3 && one.status.future >= 1));
        for (uint64_t which = 0x52; which <= 0x54; which++)
                assert_false(is_known(&one, which));
        /* our own value overwrites what cannot be true */
        record(&one, 0x0010000000000056, GREY_EVENT_FIRST, start_sec);
        record(&one, 0x0010000000000055, GREY_EVENT_FIRST, start_sec);
        wait_for(!is_marked(&one));
        wait_for((reply = command("HGET greyline:{0}:grey:1 0010000000000056"),
                  reply->type == REDIS_REPLY_STRING && reply->str[0] == '1'
                      ? (freeReplyObject(reply), true)
                      : (freeReplyObject(reply), false)));
        wait_for((reply = command("HGET greyline:{0}:grey:1 0010000000000055"),
                  reply->type == REDIS_REPLY_STRING && reply->str[0] == '1'
                      ? (freeReplyObject(reply), true)
                      : (freeReplyObject(reply), false)));
        assert_int_equal(facts_of(&one, 0x0010000000000056).first_sec, start_sec);
        close_node(&one);
        stop_server();
}

/* A server that says whatever it likes: no crash, no memory, and the thread still ends when asked. */
struct liar {
        int listener;
        const char *says;
        unsigned times;
        _Atomic unsigned served;
};

static void *lie(void *arg)
{
        struct liar *liar = arg;
        int client;

        while ((client = accept(liar->listener, NULL, NULL)) >= 0) {
                char bytes[4096];
                size_t len = strlen(liar->says);

                if (recv(client, bytes, sizeof(bytes), 0) > 0) {
                        for (unsigned i = 0; i < liar->times; i++) {
                                if (send(client, liar->says, len, MSG_NOSIGNAL) != (ssize_t)len)
                                        break;
                        }
                }
                liar->served++;
                close(client);
        }
        return NULL;
}

static void test_liars(void **state)
{
        static const struct {
                const char *says;
                unsigned times;
        } cases[] = {
                { "HTTP/1.1 400 Bad Request\r\n\r\n", 1 },
                { "*2147483647\r\n", 1 },
                { "*262144\r\n", 1000 },
                { "*-2\r\n", 1 },
                { "$2147483640\r\nxxxxxxxx", 100 },
                { "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 200000 },
                { "+OK\r\n", 1000 },
                { ":1\r\n", 1000 },
                { "$-1\r\n", 1000 },
                { "*0\r\n", 1000 },
                { "-ERR unknown \x1b[2J\r\n", 1000 },
                { "$40\r\n0123456789012345678901234567890123456789\r\n", 1000 },
                { "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", 1 },
                { "", 1 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                struct liar liar = { .says = cases[i].says, .times = cases[i].times };
                struct rusage before, after;
                pthread_t thread;
                struct node one;

                strcpy(address.sun_path, socket_path);
                liar.listener = socket(AF_UNIX, SOCK_STREAM, 0);
                assert_int_equal(bind(liar.listener, (struct sockaddr *)&address, sizeof(address)), 0);
                assert_int_equal(listen(liar.listener, 5), 0);
                assert_int_equal(pthread_create(&thread, NULL, lie, &liar), 0);
                getrusage(RUSAGE_SELF, &before);
                open_node(&one, "one", &key);
                record(&one, 61, GREY_EVENT_FIRST, now_sec());
                follow(&one);
                wait_for(liar.served >= 2); /* it came back after the first lie */
                redis_status(one.redis, &one.status);
                assert_true(one.status.state == REDIS_CONNECTING || one.status.state == REDIS_REFUSED);
                assert_int_equal(one.status.sent + one.status.taken, 0);
                assert_non_null(one.status.error[0] ? one.status.error : NULL);
                for (const char *c = one.status.error; *c; c++)
                        assert_true(*c >= ' ' && *c <= '~');
                unfollow(&one);
                assert_true(is_marked(&one)); /* still to be sent */
                close_node(&one);
                getrusage(RUSAGE_SELF, &after);
                assert_true(after.ru_maxrss - before.ru_maxrss < 128 * 1024);
                shutdown(liar.listener, SHUT_RDWR);
                pthread_join(thread, NULL);
                close(liar.listener);
                unlink(socket_path);
        }
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_two_nodes),    WITH_SERVER(test_gone_and_empty),
                WITH_SERVER(test_changes_first), WITH_SERVER(test_mostly_empty),
                WITH_SERVER(test_other_secret), WITH_SERVER(test_password),
                WITH_SERVER(test_full),         WITH_SERVER(test_lies_in_redis),
                WITH_SERVER(test_liars),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
