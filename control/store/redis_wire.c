/* SPDX-License-Identifier: Apache-2.0 */
#include "control/store/redis_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "control/store/merge.h"
#include "control/store/redis_script.h"
#include "dataplane/shared/siphash.h"

#define REPLY_BYTES_MAX    (8u << 20) /* not yet understood bytes of a reply */
#define REPLY_ELEMENTS_MAX (1 << 18)  /* of all replies of one call */
#define CHANGES_PER_STREAM "64"
#define SCAN_COUNT         "256"
#define KEY_TEXT_MAX       160
#define ARGS_MAX           160

enum {
        SCRIPT_PUT,
        SCRIPT_DROP,
        SCRIPTS,
};

static const char *const script_text[SCRIPTS] = { REDIS_SCRIPT_PUT, REDIS_SCRIPT_DROP };

struct redis_wire {
        redisContext *context;
        struct wire_conf conf;
        char sha[SCRIPTS][41];
        redisReplyObjectFunctions functions; /* hiredis's, with bounded arrays */
        void *(*create_array)(const redisReadTask *, int);
        int64_t deadline_ms;
        int elements_left;
};

/* One command to be sent. */
struct command {
        const char *arg[ARGS_MAX];
        size_t len[ARGS_MAX];
        int args;
};

static int64_t clock_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void add(struct command *command, const char *arg)
{
        BUG_ON(command->args == ARGS_MAX);
        command->len[command->args] = strlen(arg);
        command->arg[command->args++] = arg;
}

/* --- replies -------------------------------------------------------------------------------------------- */

/* A few bytes can announce any number of elements, for which hiredis would allocate at once. */
static void *create_bounded_array(const redisReadTask *task, int elements)
{
        struct redis_wire *wire = task->privdata;

        if (elements < 0 || elements > wire->elements_left)
                return NULL;
        wire->elements_left -= elements;
        return wire->create_array(task, elements);
}

static void say(char reterr[200], const char *what, const char *why)
{
        int len = snprintf(reterr, 200, "%s: %s", what, why);

        for (int i = 0; i < len && i < 199; i++) {
                if (reterr[i] < ' ' || reterr[i] > '~')
                        reterr[i] = '?';
        }
}

/* The next reply within the deadline. Returns 0 with a reply to free, or -EIO. */
static int next_reply(struct redis_wire *wire, redisReply **ret, char reterr[200])
{
        redisContext *context = wire->context;
        void *reply = NULL;

        for (;;) {
                if (redisReaderGetReply(context->reader, &reply) != REDIS_OK) {
                        say(reterr, "garbage from Redis", context->reader->errstr);
                        return -EIO;
                }
                if (reply) {
                        *ret = reply;
                        return 0;
                }
                if (context->reader->len > REPLY_BYTES_MAX) {
                        say(reterr, "garbage from Redis", "a reply without end");
                        return -EIO;
                }
                if (clock_ms() > wire->deadline_ms) {
                        say(reterr, "Redis is too slow", "no reply in time");
                        return -EIO;
                }
                if (redisBufferRead(context) != REDIS_OK) {
                        say(reterr, "Redis connection lost",
                            errno == EAGAIN || errno == EWOULDBLOCK ? "no reply in time" : context->errstr);
                        return -EIO;
                }
        }
}

static void begin_call(struct redis_wire *wire)
{
        wire->deadline_ms = clock_ms() + wire->conf.timeout_ms;
        wire->elements_left = REPLY_ELEMENTS_MAX;
}

static int queue(struct redis_wire *wire, const struct command *command, char reterr[200])
{
        /* hiredis takes the arguments as char ** of const texts it does not write to */
        if (redisAppendCommandArgv(wire->context, command->args, (const char **)(uintptr_t)command->arg,
                                   command->len) == REDIS_OK)
                return 0;
        say(reterr, "cannot send to Redis", wire->context->errstr);
        return -EIO;
}

static int flush(struct redis_wire *wire, char reterr[200])
{
        int done = 0;

        while (!done) {
                if (clock_ms() > wire->deadline_ms || redisBufferWrite(wire->context, &done) != REDIS_OK) {
                        say(reterr, "cannot send to Redis",
                            wire->context->err ? wire->context->errstr : "too slow");
                        return -EIO;
                }
        }
        return 0;
}

static bool is_text(const redisReply *reply)
{
        return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

/* -EACCES or -EAGAIN for an error reply. */
static int check_error(const redisReply *reply, char reterr[200])
{
        if (reply->type != REDIS_REPLY_ERROR)
                return 0;
        say(reterr, "Redis refuses", reply->str);
        return strncmp(reply->str, "NOSCRIPT", 8) == 0 ? -EAGAIN : -EACCES;
}

/* One command and its reply; an error reply is an error. */
static int ask(struct redis_wire *wire, const struct command *command, redisReply **ret, char reterr[200])
{
        int r = queue(wire, command, reterr);

        if (r == 0)
                r = flush(wire, reterr);
        if (r == 0)
                r = next_reply(wire, ret, reterr);
        if (r == 0) {
                r = check_error(*ret, reterr);
                if (r < 0)
                        freeReplyObject(*ret);
        }
        return r;
}

/* --- connecting ----------------------------------------------------------------------------------------- */

/* The first line of the file. */
static int read_password(const char *path, char *ret, size_t size, char reterr[200])
{
        FILE *file = fopen(path, "re");

        if (!file || !fgets(ret, (int)size, file)) {
                say(reterr, path, file ? "holds no password" : strerror(errno));
                if (file)
                        fclose(file);
                return -EACCES;
        }
        fclose(file);
        ret[strcspn(ret, "\r\n")] = '\0';
        return 0;
}

static int authenticate(struct redis_wire *wire, char reterr[200])
{
        struct command command = { .args = 0 };
        char password[512];
        redisReply *reply;
        int r;

        if (!wire->conf.password_file)
                return 0;
        r = read_password(wire->conf.password_file, password, sizeof(password), reterr);
        if (r == 0) {
                add(&command, "AUTH");
                if (wire->conf.user)
                        add(&command, wire->conf.user);
                add(&command, password);
                r = ask(wire, &command, &reply, reterr);
                if (r == 0)
                        freeReplyObject(reply);
        }
        explicit_bzero(password, sizeof(password));
        return r;
}

static int load_scripts(struct redis_wire *wire, char reterr[200])
{
        int r = 0;

        for (unsigned i = 0; i < SCRIPTS && r == 0; i++) {
                struct command command = { .args = 0 };
                redisReply *reply;

                add(&command, "SCRIPT");
                add(&command, "LOAD");
                add(&command, script_text[i]);
                r = ask(wire, &command, &reply, reterr);
                if (r < 0)
                        break;
                if (is_text(reply) && reply->len == 40)
                        memcpy(wire->sha[i], reply->str, 41);
                else
                        r = -EIO;
                freeReplyObject(reply);
                if (r < 0)
                        say(reterr, "garbage from Redis", "SCRIPT LOAD did not give a hash");
        }
        return r;
}

int wire_open(struct redis_wire **ret, const struct wire_conf *conf, char reterr[200])
{
        struct timeval timeout = { conf->timeout_ms / 1000, conf->timeout_ms % 1000 * 1000 };
        struct redis_wire *wire = calloc(1, sizeof(*wire));
        int r = -EIO;

        if (!wire) {
                say(reterr, "Redis", "out of memory");
                return -EIO;
        }
        wire->conf = *conf;
        wire->context = conf->unix_path ? redisConnectUnixWithTimeout(conf->unix_path, timeout)
                                        : redisConnectWithTimeout(conf->host, conf->port, timeout);
        if (!wire->context || wire->context->err) {
                say(reterr, "cannot connect to Redis",
                    wire->context ? wire->context->errstr : "out of memory");
                goto out;
        }
        fcntl(wire->context->fd, F_SETFD, FD_CLOEXEC);
        if (redisSetTimeout(wire->context, timeout) != REDIS_OK) {
                say(reterr, "cannot set timeouts", wire->context->errstr);
                goto out;
        }
        wire->functions = *wire->context->reader->fn;
        wire->create_array = wire->functions.createArray;
        wire->functions.createArray = create_bounded_array;
        wire->context->reader->fn = &wire->functions;
        wire->context->reader->privdata = wire;
        begin_call(wire);
        r = authenticate(wire, reterr);
        if (r == 0)
                r = load_scripts(wire, reterr);
out:
        if (r < 0)
                wire_close(wire);
        else
                *ret = wire;
        return r;
}

void wire_close(struct redis_wire *wire)
{
        if (wire && wire->context)
                redisFree(wire->context);
        free(wire);
}

int wire_fd(const struct redis_wire *wire)
{
        return wire->context->fd;
}

/* --- keys ----------------------------------------------------------------------------------------------- */

/* The part in braces puts a stream and its hashes into one slot of a Cluster. */
static void hash_name(const struct redis_wire *wire, unsigned hash, char ret[KEY_TEXT_MAX])
{
        snprintf(ret, KEY_TEXT_MAX, "%s:{%u}:grey:%u", wire->conf.prefix, hash / (WIRE_HASHES / WIRE_STREAMS),
                 hash);
}

static void stream_name(const struct redis_wire *wire, unsigned stream, char ret[KEY_TEXT_MAX])
{
        snprintf(ret, KEY_TEXT_MAX, "%s:{%u}:changes", wire->conf.prefix, stream);
}

static unsigned hash_of(uint64_t key)
{
        return (unsigned)(key >> 52);
}

/* --- meta ----------------------------------------------------------------------------------------------- */

/* SET name value NX and GET name; returns what is there now. */
static int settle(struct redis_wire *wire, const char *what, uint64_t value, uint64_t *ret, char reterr[200])
{
        struct command set = { .args = 0 }, get = { .args = 0 };
        char name[KEY_TEXT_MAX], text[MERGE_KEY_LEN + 1];
        redisReply *reply;
        int r;

        snprintf(name, sizeof(name), "%s:%s", wire->conf.prefix, what);
        merge_build_key(value, text);
        add(&set, "SET");
        add(&set, name);
        add(&set, text);
        add(&set, "NX");
        r = ask(wire, &set, &reply, reterr);
        if (r < 0)
                return r;
        freeReplyObject(reply);
        add(&get, "GET");
        add(&get, name);
        r = ask(wire, &get, &reply, reterr);
        if (r < 0)
                return r;
        if (!is_text(reply) || merge_parse_key(reply->str, (size_t)reply->len, ret) < 0) {
                say(reterr, "garbage from Redis", name);
                r = -EIO;
        }
        freeReplyObject(reply);
        return r;
}

/* Redis gives itself a new name at each start. What it had not written to disk then is lost. */
static int read_run_id(struct redis_wire *wire, uint64_t *ret, char reterr[200])
{
        static const struct siphash_key key = { { 0, 0 } };
        struct command command = { .args = 0 };
        const char *found;
        redisReply *reply;
        int r;

        add(&command, "INFO");
        add(&command, "server");
        r = ask(wire, &command, &reply, reterr);
        if (r < 0)
                return r;
        found = is_text(reply) ? strstr(reply->str, "run_id:") : NULL;
        *ret = found ? siphash(&key, found, strcspn(found, "\r\n")) : 0;
        freeReplyObject(reply);
        return 0;
}

static int parse_time(const redisReply *reply, int64_t *ret_us)
{
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_text(reply->element[0]) ||
            !is_text(reply->element[1]) || reply->element[0]->len > 12 || reply->element[1]->len > 7)
                return -EBADMSG;
        *ret_us =
            strtoll(reply->element[0]->str, NULL, 10) * 1000000 + strtoll(reply->element[1]->str, NULL, 10);
        return 0;
}

int wire_meta(struct redis_wire *wire, uint64_t key_check, uint64_t new_epoch, uint64_t *ret_epoch,
              int64_t *ret_time_us, char reterr[200])
{
        struct command command = { .args = 0 };
        redisReply *reply;
        uint64_t found, run_id = 0;
        int r;

        begin_call(wire);
        r = settle(wire, "secret", key_check, &found, reterr);
        if (r == 0 && found != key_check) {
                say(reterr, "the nodes at this Redis have another secret",
                    "copy the file \"secret\" from one of them, or use another Redis");
                return -EKEYREJECTED;
        }
        if (r == 0)
                r = settle(wire, "epoch", new_epoch, ret_epoch, reterr);
        if (r == 0)
                r = read_run_id(wire, &run_id, reterr);
        if (r < 0)
                return r;
        *ret_epoch ^= run_id;
        add(&command, "TIME");
        r = ask(wire, &command, &reply, reterr);
        if (r < 0)
                return r;
        if (parse_time(reply, ret_time_us) < 0) {
                say(reterr, "garbage from Redis", "TIME");
                r = -EIO;
        }
        freeReplyObject(reply);
        return r;
}

/* --- entries -------------------------------------------------------------------------------------------- */

static void take_row(struct wire_rows *rows, const redisReply *key, const redisReply *facts)
{
        struct grey_row row;

        if (rows->n == WIRE_ROWS_MAX || !is_text(key) || !is_text(facts) ||
            merge_parse_key(key->str, (size_t)key->len, &row.key) < 0 ||
            merge_parse_text(facts->str, (size_t)facts->len, &row.facts) < 0) {
                rows->garbage++;
                return;
        }
        rows->row[rows->n++] = row;
}

/* EVALSHA of one script for one entry: KEYS hash, stream; ARGV key, value, node, latest, life. */
static int queue_script(struct redis_wire *wire, unsigned script, const struct grey_row *row,
                        uint32_t latest_sec, uint32_t life_sec, char reterr[200])
{
        char hash[KEY_TEXT_MAX], stream[KEY_TEXT_MAX], key[MERGE_KEY_LEN + 1], value[MERGE_TEXT_MAX];
        char latest[12], life[12];
        struct command command = { .args = 0 };

        hash_name(wire, hash_of(row->key), hash);
        stream_name(wire, hash_of(row->key) / (WIRE_HASHES / WIRE_STREAMS), stream);
        merge_build_key(row->key, key);
        merge_build_text(&row->facts, value);
        snprintf(latest, sizeof(latest), "%" PRIu32, latest_sec);
        snprintf(life, sizeof(life), "%" PRIu32, MAX(life_sec, 1));
        add(&command, "EVALSHA");
        add(&command, wire->sha[script]);
        add(&command, "2");
        add(&command, hash);
        add(&command, stream);
        add(&command, key);
        add(&command, value);
        add(&command, wire->conf.node);
        add(&command, latest);
        add(&command, life);
        return queue(wire, &command, reterr);
}

/* A script for each row, in one pipeline. rows may be NULL. */
static int run_script(struct redis_wire *wire, unsigned script, const struct grey_row *row, unsigned n,
                      uint32_t latest_sec, uint32_t life_sec, struct wire_rows *rows, char reterr[200])
{
        struct redisReply key = { .type = REDIS_REPLY_STRING, .len = MERGE_KEY_LEN };
        char key_text[MERGE_KEY_LEN + 1], error[200];
        int r = 0, refused = 0;

        BUG_ON(n > WIRE_BATCH_MAX);
        begin_call(wire);
        for (unsigned i = 0; i < n && r == 0; i++)
                r = queue_script(wire, script, &row[i], latest_sec, life_sec, reterr);
        if (r == 0)
                r = flush(wire, reterr);
        for (unsigned i = 0; i < n && r == 0; i++) {
                redisReply *reply;

                r = next_reply(wire, &reply, reterr);
                if (r < 0)
                        break;
                if (check_error(reply, error) < 0) {
                        refused = refused ? refused : check_error(reply, reterr);
                } else if (rows) {
                        merge_build_key(row[i].key, key_text);
                        key.str = key_text;
                        take_row(rows, &key, reply);
                }
                freeReplyObject(reply);
        }
        if (r == 0 && refused == -EAGAIN) {
                r = load_scripts(wire, reterr);
                return r < 0 ? r : -EAGAIN;
        }
        return r < 0 ? r : refused;
}

int wire_put(struct redis_wire *wire, const struct grey_row *row, unsigned n, uint32_t latest_sec,
             uint32_t life_sec, struct wire_rows *rows, char reterr[200])
{
        return run_script(wire, SCRIPT_PUT, row, n, latest_sec, life_sec, rows, reterr);
}

int wire_drop(struct redis_wire *wire, const struct grey_row *row, unsigned n, char reterr[200])
{
        return run_script(wire, SCRIPT_DROP, row, n, 0, 0, NULL, reterr);
}

int wire_scan(struct redis_wire *wire, unsigned hash, char cursor[WIRE_CURSOR_MAX], struct wire_rows *rows,
              char reterr[200])
{
        struct command command = { .args = 0 };
        const redisReply *next, *list;
        char name[KEY_TEXT_MAX];
        redisReply *reply;
        int r;

        begin_call(wire);
        hash_name(wire, hash, name);
        add(&command, "HSCAN");
        add(&command, name);
        add(&command, cursor);
        add(&command, "COUNT");
        add(&command, SCAN_COUNT);
        r = ask(wire, &command, &reply, reterr);
        if (r < 0)
                return r;
        next = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 ? reply->element[0] : NULL;
        list = next ? reply->element[1] : NULL;
        if (!next || !is_text(next) || next->len == 0 || next->len >= WIRE_CURSOR_MAX ||
            strspn(next->str, "0123456789") != (size_t)next->len || list->type != REDIS_REPLY_ARRAY) {
                rows->garbage++;
                say(reterr, "garbage from Redis", "HSCAN");
                r = -EIO;
        } else {
                memcpy(cursor, next->str, (size_t)next->len + 1);
                for (size_t i = 0; i + 1 < list->elements; i += 2)
                        take_row(rows, list->element[i], list->element[i + 1]);
        }
        freeReplyObject(reply);
        return r;
}

/* --- streams -------------------------------------------------------------------------------------------- */

/* "milliseconds-sequence" */
static bool is_id(const redisReply *reply)
{
        size_t first, second;

        if (!is_text(reply) || reply->len >= WIRE_ID_MAX)
                return false;
        first = strspn(reply->str, "0123456789");
        if (first == 0 || first > 20 || reply->str[first] != '-')
                return false;
        second = strspn(reply->str + first + 1, "0123456789");
        return second > 0 && second <= 20 && first + 1 + second == (size_t)reply->len;
}

/* The id of the first (XRANGE) or last (XREVRANGE) change of every stream; "0-0" for an empty one. */
static int read_ends(struct redis_wire *wire, const char *verb, struct wire_id id[WIRE_STREAMS],
                     char reterr[200])
{
        bool first = strcmp(verb, "XRANGE") == 0;
        int r = 0;

        begin_call(wire);
        for (unsigned i = 0; i < WIRE_STREAMS && r == 0; i++) {
                struct command command = { .args = 0 };
                char name[KEY_TEXT_MAX];

                stream_name(wire, i, name);
                add(&command, verb);
                add(&command, name);
                add(&command, first ? "-" : "+");
                add(&command, first ? "+" : "-");
                add(&command, "COUNT");
                add(&command, "1");
                r = queue(wire, &command, reterr);
        }
        if (r == 0)
                r = flush(wire, reterr);
        for (unsigned i = 0; i < WIRE_STREAMS && r == 0; i++) {
                const redisReply *found;
                redisReply *reply;

                r = next_reply(wire, &reply, reterr);
                if (r < 0)
                        break;
                r = check_error(reply, reterr);
                found = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 ? reply->element[0] : NULL;
                strcpy(id[i].text, "0-0");
                if (found && found->type == REDIS_REPLY_ARRAY && found->elements == 2 &&
                    is_id(found->element[0]))
                        memcpy(id[i].text, found->element[0]->str, (size_t)found->element[0]->len + 1);
                freeReplyObject(reply);
                if (r < 0) /* the replies behind an error are left unread: the connection is of no use */
                        r = -EIO;
        }
        return r;
}

int wire_tails(struct redis_wire *wire, struct wire_id id[WIRE_STREAMS], char reterr[200])
{
        return read_ends(wire, "XREVRANGE", id, reterr);
}

int wire_is_trimmed(struct redis_wire *wire, const struct wire_id id[WIRE_STREAMS], bool *ret_trimmed,
                    char reterr[200])
{
        struct wire_id head[WIRE_STREAMS];
        int r = read_ends(wire, "XRANGE", head, reterr);

        *ret_trimmed = false;
        for (unsigned i = 0; i < WIRE_STREAMS && r == 0; i++) {
                if (strcmp(id[i].text, "0-0") != 0 && wire_id_is_after(head[i].text, id[i].text))
                        *ret_trimmed = true;
        }
        return r;
}

/* Fields "n" (node), "k" (key), "v" (value), in this order. */
static void take_change(const struct redis_wire *wire, const redisReply *fields, struct wire_rows *rows)
{
        if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 6 || !is_text(fields->element[1])) {
                rows->garbage++;
                return;
        }
        if (strcmp(fields->element[1]->str, wire->conf.node) != 0)
                take_row(rows, fields->element[3], fields->element[5]);
}

/* One stream's part of the reply: [name, [[id, fields], ...]]. Returns -EBADMSG when there is no going on. */
static int take_stream(const struct redis_wire *wire, const redisReply *part, struct wire_id id[WIRE_STREAMS],
                       struct wire_rows *rows, size_t *ret_changes)
{
        const redisReply *list;
        char name[KEY_TEXT_MAX];
        unsigned stream = 0;

        if (part->type != REDIS_REPLY_ARRAY || part->elements != 2 || !is_text(part->element[0]))
                return -EBADMSG;
        for (; stream < WIRE_STREAMS; stream++) {
                stream_name(wire, stream, name);
                if (strcmp(name, part->element[0]->str) == 0)
                        break;
        }
        list = part->element[1];
        if (stream == WIRE_STREAMS || list->type != REDIS_REPLY_ARRAY)
                return -EBADMSG;
        for (size_t i = 0; i < list->elements; i++) {
                const redisReply *change = list->element[i];

                if (change->type != REDIS_REPLY_ARRAY || change->elements != 2 ||
                    !is_id(change->element[0]) || !wire_id_is_after(change->element[0]->str, id[stream].text))
                        return -EBADMSG;
                memcpy(id[stream].text, change->element[0]->str, (size_t)change->element[0]->len + 1);
                take_change(wire, change->element[1], rows);
        }
        *ret_changes = list->elements;
        return 0;
}

int wire_changes(struct redis_wire *wire, struct wire_id id[WIRE_STREAMS], struct wire_rows *rows,
                 bool *ret_more, char reterr[200])
{
        char name[WIRE_STREAMS][KEY_TEXT_MAX];
        struct command command = { .args = 0 };
        redisReply *reply;
        size_t changes;
        int r;

        *ret_more = false;
        begin_call(wire);
        add(&command, "XREAD");
        add(&command, "COUNT");
        add(&command, CHANGES_PER_STREAM);
        add(&command, "STREAMS");
        for (unsigned i = 0; i < WIRE_STREAMS; i++) {
                stream_name(wire, i, name[i]);
                add(&command, name[i]);
        }
        for (unsigned i = 0; i < WIRE_STREAMS; i++)
                add(&command, id[i].text);
        r = ask(wire, &command, &reply, reterr);
        if (r < 0)
                return r;
        if (reply->type == REDIS_REPLY_ARRAY) {
                for (size_t i = 0; i < reply->elements && r == 0; i++) {
                        r = take_stream(wire, reply->element[i], id, rows, &changes);
                        if (r == 0 && changes >= strtoul(CHANGES_PER_STREAM, NULL, 10))
                                *ret_more = true;
                }
        } else if (reply->type != REDIS_REPLY_NIL) {
                r = -EBADMSG;
        }
        freeReplyObject(reply);
        if (r < 0) {
                rows->garbage++;
                say(reterr, "garbage from Redis", "XREAD");
                r = -EIO;
        }
        return r;
}
