/* SPDX-License-Identifier: Apache-2.0 */
#include "control/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store/redis.h"
#include "control/store/snapshot.h"
#include "dataplane/shared/paths.h"

struct grey_params state_grey_params(const struct control *control, uint16_t policy)
{
        const struct image *image = control->image;
        const struct image_greylist *greylist =
            &image_policy(image, policy < image->policies.count ? policy : 0)->greylist;

        return (struct grey_params){ .block_sec = greylist->block_sec,
                                     .window_sec = greylist->window_sec,
                                     .life_sec = greylist->life_sec };
}

/* The longest times of all policies: what none of them has a use for may be forgotten. */
static struct grey_params longest_params(const struct image *image)
{
        struct grey_params longest = { 0 };

        for (uint32_t i = 0; i < image->policies.count; i++) {
                const struct image_greylist *greylist = &image_policy(image, i)->greylist;

                longest.block_sec = MAX(longest.block_sec, greylist->block_sec);
                longest.window_sec = MAX(longest.window_sec, greylist->window_sec);
                longest.life_sec = MAX(longest.life_sec, greylist->life_sec);
        }
        return longest;
}

static bool is_params_same(const struct image *a, const struct image *b)
{
        struct grey_params one = longest_params(a), two = longest_params(b);

        return one.block_sec == two.block_sec && one.window_sec == two.window_sec &&
               one.life_sec == two.life_sec;
}

static int open_grey(struct control *control)
{
        struct siphash_key key = secret_key(&control->secret, "grey");
        char path[CONTROL_PATH_MAX];
        int r;

        snprintf(path, sizeof(path), "%s/%s", control->options.run_dir, PATHS_GREY_TABLE);
        r = grey_table_open(&control->grey, path, control->image->store.grey_entries, &key, NULL);
        if (r == -EKEYREJECTED)
                control_say("%s was made with another secret: put the old %s/%s back, or remove the table",
                            path, control->options.state_dir, PATHS_SECRET);
        else if (r < 0)
                control_say("the greylist %s cannot be mapped: %s; store.grey_entries says how large it is",
                            path, strerror(-r));
        return r;
}

static int open_client(struct control *control)
{
        struct siphash_key key = secret_key(&control->secret, "client");
        char path[CONTROL_PATH_MAX];
        int r;

        snprintf(path, sizeof(path), "%s/%s", control->options.run_dir, PATHS_CLIENT_TABLE);
        r = client_table_open(&control->client, path, control->image->store.client_entries, &key, NULL);
        if (r < 0)
                control_say(
                    "the client table %s cannot be mapped: %s; store.client_entries says how large it is",
                    path, strerror(-r));
        return r;
}

/* ---- snapshots -------------------------------------------------------------------------------------- */

static void snapshot_path(const struct control *control, char path[CONTROL_PATH_MAX])
{
        const char *named = image_string(control->image, control->image->store.snapshot_path);

        if (named[0])
                snprintf(path, CONTROL_PATH_MAX, "%s", named);
        else
                snprintf(path, CONTROL_PATH_MAX, "%s/%s", control->options.state_dir, PATHS_SNAPSHOT);
}

/* A snapshot that cannot be read costs senders one more wait, so it is said and the start goes on. */
static void load_snapshot(struct control *control)
{
        struct grey_params params = longest_params(control->image);
        struct snapshot_stats stats;
        char path[CONTROL_PATH_MAX];
        int r;

        snapshot_path(control, path);
        r = snapshot_load(&control->grey, path, &params, control_wall_sec(), &stats);
        if (r == -ENOENT)
                return;
        if (r < 0)
                control_say("%s is not whole: %s; %llu entries could be taken", path,
                            r == -EKEYREJECTED ? "it was made with another secret" : strerror(-r),
                            (unsigned long long)stats.entries);
        else
                control_say("greylist loaded from %s: %llu entries", path, (unsigned long long)stats.entries);
}

struct snapshot {
        struct control *control;
        struct grey_params params;
        uint32_t now_sec;
        char path[CONTROL_PATH_MAX];
        int result;
};

static void save(struct snapshot *snapshot)
{
        struct snapshot_stats stats;

        snapshot->result = snapshot_save(&snapshot->control->grey, snapshot->path, &snapshot->params,
                                         snapshot->now_sec, &stats);
}

static void prepare(struct control *control, struct snapshot *ret)
{
        ret->control = control;
        ret->params = longest_params(control->image);
        ret->now_sec = control_wall_sec();
        snapshot_path(control, ret->path);
}

static void note(struct control *control, const struct snapshot *snapshot)
{
        int before = control->snapshot_result;

        control->snapshot_result = snapshot->result;
        if (snapshot->result == 0) {
                control->counts.snapshots++;
                control->snapshot_sec = snapshot->now_sec;
        } else {
                control->counts.snapshots_failed++;
                if (before == 0)
                        control_say("%s cannot be written: %s; the greylist goes on in memory",
                                    snapshot->path, strerror(-snapshot->result));
        }
}

static void snapshot_run(void *arg)
{
        save(arg);
}

static void snapshot_done(void *arg)
{
        struct snapshot *snapshot = arg;

        snapshot->control->is_snapshotting = false;
        note(snapshot->control, snapshot);
        free(snapshot);
}

void state_snapshot(struct control *control)
{
        struct snapshot *snapshot;

        if (control->is_snapshotting)
                return;
        snapshot = calloc(1, sizeof(*snapshot));
        if (snapshot == NULL)
                return;
        prepare(control, snapshot);
        control->snapshot_job =
            (struct helper_job){ .run = snapshot_run, .done = snapshot_done, .arg = snapshot };
        control->is_snapshotting = helper_submit(control->helper, &control->snapshot_job) == 0;
        if (!control->is_snapshotting)
                free(snapshot);
}

static void on_snapshot_timer(void *arg);

static void start_timer(struct control *control)
{
        uint64_t interval_ms = (uint64_t)control->image->store.snapshot_interval_sec * 1000u;

        if (interval_ms == 0)
                loop_timer_stop(control->loop, &control->snapshot_timer);
        else
                loop_timer_start(control->loop, &control->snapshot_timer, interval_ms, on_snapshot_timer,
                                 control);
}

static void on_snapshot_timer(void *arg)
{
        state_snapshot(arg);
        start_timer(arg);
}

/* ---- Redis ------------------------------------------------------------------------------------------ */

static const char *text_or_null(const struct image *image, struct image_text text)
{
        return text.len > 0 ? image_string(image, text) : NULL;
}

static void start_redis(struct control *control)
{
        const struct image *image = control->image;
        const struct image_redis *redis = &image->store.redis;
        struct redis_conf conf = { .host = text_or_null(image, redis->host),
                                   .port = redis->port,
                                   .unix_path = text_or_null(image, redis->unix_path),
                                   .user = text_or_null(image, redis->user),
                                   .password_file = text_or_null(image, redis->auth_file),
                                   .prefix = text_or_null(image, redis->prefix),
                                   .params = longest_params(control->image),
                                   .timeout_ms = redis->timeout_ms };

        if (!redis->enabled)
                return;
        control->redis = redis_new(&conf, &control->grey);
        if (control->redis == NULL)
                control_say("no memory or no thread for Redis: this node keeps its greylist to itself");
}

/* The exchange ends when a reply has come or timed out: too long for a turn. */
struct redis_end {
        struct helper_job job;
        struct control *control;
        struct redis *redis;
};

static void redis_end_run(void *arg)
{
        struct redis_end *end = arg;

        redis_free(end->redis);
}

static void redis_end_done(void *arg)
{
        struct redis_end *end = arg;
        struct control *control = end->control;

        free(end);
        control->is_redis_ending = false;
        if (control->is_state_started && control->redis == NULL)
                start_redis(control);
}

/* End the exchange under the old settings, and begin it under those of the policy in force then. */
static void restart_redis(struct control *control)
{
        struct redis_end *end;

        if (control->is_redis_ending)
                return;
        if (control->redis == NULL) {
                start_redis(control);
                return;
        }
        end = calloc(1, sizeof(*end));
        if (end == NULL)
                return;
        end->control = control;
        end->redis = control->redis;
        end->job = (struct helper_job){ .run = redis_end_run, .done = redis_end_done, .arg = end };
        control->is_redis_ending = helper_submit(control->helper, &end->job) == 0;
        if (control->is_redis_ending)
                control->redis = NULL;
        else
                free(end);
}

/* Does a new policy change anything about Redis? Strings lie in each image at places of its own. */
static bool is_redis_same(const struct image *a, const struct image *b)
{
        const struct image_redis *one = &a->store.redis, *two = &b->store.redis;
        const struct image_text *ones[] = { &one->host, &one->unix_path, &one->user, &one->auth_file,
                                            &one->prefix };
        const struct image_text *twos[] = { &two->host, &two->unix_path, &two->user, &two->auth_file,
                                            &two->prefix };

        for (unsigned i = 0; i < ARRAY_LEN(ones); i++) {
                if (strcmp(image_string(a, *ones[i]), image_string(b, *twos[i])) != 0)
                        return false;
        }
        return one->enabled == two->enabled && one->port == two->port && one->timeout_ms == two->timeout_ms;
}

void state_put_redis(struct json *json, const char *key, const struct control *control)
{
        struct redis_status status;

        if (control->redis == NULL) {
                json_put_string(json, key, NULL);
                return;
        }
        redis_status(control->redis, &status);
        json_object_open(json, key);
        json_put_string(json, "state", redis_state_text(status.state));
        json_put_string(json, "error", status.error[0] ? status.error : NULL);
        json_put_uint(json, "sent", status.sent);
        json_put_uint(json, "taken", status.taken);
        json_put_uint(json, "refused", status.future + status.garbage);
        json_put_uint(json, "no_room", status.no_room);
        json_put_uint(json, "connects", status.connects);
        json_put_uint(json, "failures", status.failures);
        json_put_uint(json, "gaps", status.gaps);
        json_put_int(json, "clock_off_ms", status.clock_off_ms);
        json_put_uint(json, "looked_through_permille", status.looked_through);
        if (status.last_ok_sec)
                json_put_time_sec(json, "last_ok", status.last_ok_sec);
        json_object_close(json);
}

/* ---- all of it -------------------------------------------------------------------------------------- */

int state_open(struct control *control)
{
        int r = open_grey(control);

        /* Not "did we make it": the dataplane may have been first, and its new table is as empty. */
        if (r == 0 && !grey_table_is_restored(&control->grey)) {
                load_snapshot(control);
                grey_table_set_restored(&control->grey);
        }
        if (r == 0)
                r = open_client(control);
        return r;
}

void state_close(struct control *control)
{
        if (control->grey.header)
                grey_table_close(&control->grey);
        if (control->client.header)
                client_table_close(&control->client);
}

int state_start(struct control *control)
{
        control->is_state_started = true;
        start_timer(control);
        start_redis(control);
        return 0;
}

void state_stop(struct control *control)
{
        struct snapshot last;

        if (!control->is_state_started)
                return;
        control->is_state_started = false;
        loop_timer_stop(control->loop, &control->snapshot_timer);
        redis_free(control->redis);
        control->redis = NULL;
        prepare(control, &last);
        save(&last);
        note(control, &last);
}

void state_use_image(struct control *control, const struct image *before)
{
        if (!control->is_state_started)
                return;
        start_timer(control);
        if (before && is_redis_same(before, control->image) && is_params_same(before, control->image))
                return;
        restart_redis(control);
}
