/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new policy on its way into force. One at a time, in steps:
 *
 *      queued -> compiling (helper) -> offered to the dataplane -> made current (helper) -> taken by control
 *
 * Until the last step the old one stays in force everywhere: an error at any step ends the push, says why,
 * and asks the dataplane for nothing. Without a dataplane the policy is made current at once, and a dataplane
 * finds it when it starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control.h"
#include "control/policy/policy.h"
#include "control/policy/versions.h"
#include "control/taken.h"

#define PUSH_WAITING_MAX 16u
#define PUSH_LOAD_MS     10000u /* the dataplane takes an image within this time, or the push ends */
#define PUSH_LOOK_MS     5u

struct push {
        struct control *control;
        struct push *next;
        struct helper_job job;
        struct loop_timer look;
        uint64_t deadline_ms;
        uint64_t now_sec; /* wall clock when it was asked for */

        struct admin_request *request; /* NULL: said on stderr */
        bool is_rollback;
        bool is_from_file; /* the policy file of the command line, read again */
        char *yaml;
        size_t yaml_len;
        struct policy_version version; /* who, from, source; generation once known */

        int result;
        char *error; /* for people; by malloc */
        struct image *image;
        size_t image_len;
        struct policy_sizing sizing;
        bool is_same;   /* the policy file says what is in force already */
        bool is_loaded; /* a dataplane runs it */
};

static void start_next(struct control *control);

static void push_done(struct push *push)
{
        free(push->yaml);
        free(push->error);
        free(push->image);
        free(push);
}

static void fail(struct push *push, int result, const char *format, ...) PRINTF(3, 4);

static void fail(struct push *push, int result, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        free(push->error);
        if (vasprintf(&push->error, format, args) < 0)
                push->error = NULL;
        va_end(args);
        push->result = result;
}

/* Tell who asked, take it off the queue, and begin the next. */
static void end(struct push *push)
{
        struct control *control = push->control;
        struct json *json;

        control->counts.pushes++;
        control->counts.pushes_failed += push->result < 0;
        loop_timer_stop(control->loop, &push->look);
        if (push->request && push->result < 0) {
                admin_fail(push->request, "%s", push->error ? push->error : strerror(-push->result));
        } else if (push->request) {
                json = admin_result(push->request);
                json_object_open(json, "result");
                json_put_uint(json, "version", push->version.generation);
                json_put_bool(json, "loaded", push->is_loaded);
                json_put_uint(json, "image_bytes", push->sizing.image_bytes);
                json_put_uint(json, "total_bytes", push->sizing.total_bytes);
                json_put_uint(json, "dns_queries_v4", push->sizing.dns_queries_v4);
                json_put_uint(json, "greeting_delay_ms", push->sizing.greeting_delay_ms);
                json_object_close(json);
                admin_done(push->request);
        }
        if (push->result < 0)
                control_say("the policy was not changed: %s",
                            push->error ? push->error : strerror(-push->result));
        else if (push->is_same)
                control_say("the policy file was read again: nothing has changed");
        else
                control_say("policy version %u is in force%s", push->version.generation,
                            push->is_loaded ? "" : "; no dataplane runs, it takes it when it starts");
        control->push = push->next;
        push_done(push);
        start_next(control);
}

/* ---- helper's thread -------------------------------------------------------------------------------- */

static int read_yaml(struct push *push)
{
        int r = taken_read_file(push->version.source, POLICY_FILE_MAX, &push->yaml, &push->yaml_len);

        if (r < 0)
                fail(push, r, "%s cannot be read: %s", push->version.source, strerror(-r));
        return r;
}

/* Only a push changes control->image, and they come one after another: it stays while this one runs. */
static bool is_in_force(const struct push *push)
{
        const struct control *control = push->control;

        return taken_fingerprint(push->image, push->image_len) ==
               taken_fingerprint(control->image, control->image_len);
}

static void compile(struct push *push)
{
        const char *state_dir = push->control->options.state_dir;
        struct policy_zone_book zones;
        struct policy_options options = { .zones = &zones,
                                          .now_sec = push->version.pushed_sec,
                                          .memory_bytes = policy_machine_bytes() };
        struct policy_errors *errors = calloc(1, sizeof(*errors));
        void *image = NULL;
        char text[8192];
        int r = -ENOMEM;

        if (errors == NULL)
                goto out;
        r = push->yaml ? 0 : read_yaml(push);
        if (r < 0)
                goto out;
        (void)policy_versions_zones(state_dir, &zones); /* an empty book is a beginning */
        options.generation = push->version.generation = policy_versions_next(state_dir);
        if (options.generation == 0) {
                r = -EIO;
                fail(push, r, "%s/policy cannot be read: check its owner and mode", state_dir);
                goto out;
        }
        r = policy_compile_text(push->version.source, push->yaml, push->yaml_len,
                                push->control->options.site_path, &options, errors, &image, &push->image_len);
        if (r == -EINVAL) {
                policy_errors_text(errors, text, sizeof(text));
                fail(push, r, "%s", text);
        }
        if (r < 0)
                goto out;
        push->image = image;
        push->version.image_bytes = push->image_len;
        push->is_same = push->is_from_file && is_in_force(push);
        if (push->is_same)
                goto out;
        r = policy_versions_store(state_dir, &push->version, push->yaml, push->yaml_len, push->image,
                                  push->image_len, &zones);
        if (r < 0)
                fail(push, r, "version %u cannot be stored in %s/policy: %s", push->version.generation,
                     state_dir, strerror(-r));
out:
        push->result = r;
        free(errors);
}

static void load_stored(struct push *push)
{
        const char *state_dir = push->control->options.state_dir;
        uint32_t generation = push->version.generation;
        void *image = NULL;

        if (generation == 0)
                generation = policy_versions_before(state_dir, policy_versions_current(state_dir));
        if (generation == 0) {
                fail(push, -ENOENT, "there is no version before the current one");
                return;
        }
        push->version.generation = generation;
        push->result = policy_versions_load(state_dir, generation, &image, &push->image_len);
        if (push->result < 0)
                fail(push, push->result, "version %u cannot be loaded: %s", generation,
                     push->result == -ENOENT ? "there is no such version (see: policy versions)"
                                             : strerror(-push->result));
        push->image = image;
}

static void make_run(void *arg)
{
        struct push *push = arg;

        if (push->is_rollback)
                load_stored(push);
        else
                compile(push);
        if (push->result == 0)
                policy_sizing(push->image, &push->sizing);
}

static void make_current_run(void *arg)
{
        struct push *push = arg;
        const char *state_dir = push->control->options.state_dir;
        int r = policy_versions_make_current(state_dir, push->version.generation, push->now_sec);

        if (r == -ESTALE)
                fail(push, r,
                     "a zone number of version %u was given to another zone since: push its YAML again "
                     "(policy show)",
                     push->version.generation);
        else if (r < 0)
                fail(push, r, "version %u cannot be made current: %s", push->version.generation,
                     strerror(-r));
        else if (push->is_from_file)
                taken_write(state_dir, taken_fingerprint(push->image, push->image_len));
}

/* ---- loop's thread ---------------------------------------------------------------------------------- */

static void want(struct control *control, uint32_t generation)
{
        struct link_page *page = control_link_page(control->link);

        if (page == NULL)
                return;
        atomic_store(&page->image_wanted, generation);
        control_link_ring_main(control->link);
}

static void submit(struct push *push, loop_fn run, loop_fn done)
{
        push->job = (struct helper_job){ .run = run, .done = done, .arg = push };
        if (helper_submit(push->control->helper, &push->job) < 0) {
                fail(push, -EAGAIN, "too much work is under way: try again");
                end(push);
        }
}

static void current_made(void *arg)
{
        struct push *push = arg;
        struct control *control = push->control;

        if (push->result < 0) {
                want(control, control->image->generation);
        } else {
                control_use_image(control, push->image, push->image_len);
                push->image = NULL;
        }
        end(push);
}

static void look(void *arg)
{
        struct push *push = arg;
        struct control *control = push->control;
        struct link_page *page = control_link_page(control->link);
        uint32_t generation = push->version.generation;
        uint64_t now_ms = loop_now_ms(control->loop);

        if (page && atomic_load(&page->image_loaded) == generation) {
                push->is_loaded = true;
                submit(push, make_current_run, current_made);
                return;
        }
        if (page && atomic_load(&page->image_refused) == generation) {
                char reason[sizeof(page->image_error)];

                memcpy(reason, page->image_error, sizeof(reason));
                reason[sizeof(reason) - 1] = '\0';
                fail(push, -EINVAL, "the dataplane refused version %u: %s", generation, reason);
        } else if (page == NULL || control_link_state(control->link, now_ms, NULL) == CONTROL_LINK_DEAD) {
                submit(push, make_current_run,
                       current_made); /* it went away; the next one starts with this */
                return;
        } else if (now_ms >= push->deadline_ms) {
                fail(push, -ETIMEDOUT,
                     "the dataplane has not taken version %u within %u s; the old one stays", generation,
                     PUSH_LOAD_MS / 1000);
        } else {
                loop_timer_start(control->loop, &push->look, PUSH_LOOK_MS, look, push);
                return;
        }
        want(control, control->image->generation);
        end(push);
}

static void made(void *arg)
{
        struct push *push = arg;
        struct control *control = push->control;

        if (push->result < 0 || push->is_same) {
                end(push);
                return;
        }
        push->deadline_ms = loop_now_ms(control->loop) + PUSH_LOAD_MS;
        want(control, push->version.generation);
        look(push);
}

static void start_next(struct control *control)
{
        if (control->push)
                submit(control->push, make_run, made);
}

static int enqueue(struct push *push)
{
        struct push **last = &push->control->push;
        uint32_t waiting = 0;

        while (*last) {
                last = &(*last)->next;
                waiting++;
        }
        if (waiting >= PUSH_WAITING_MAX)
                return -EAGAIN;
        *last = push;
        if (waiting == 0)
                start_next(push->control);
        return 0;
}

static struct push *push_new(struct control *control, const char *source, const char *who, const char *from,
                             struct admin_request *request)
{
        struct push *push = calloc(1, sizeof(*push));

        if (push == NULL)
                return NULL;
        push->control = control;
        push->request = request;
        push->now_sec = control_wall_sec();
        push->version.pushed_sec = push->now_sec;
        snprintf(push->version.source, sizeof(push->version.source), "%s", source);
        snprintf(push->version.who, sizeof(push->version.who), "%s", who);
        snprintf(push->version.from, sizeof(push->version.from), "%s", from);
        return push;
}

int push_text(struct control *control, const char *yaml, size_t yaml_len, const char *path, const char *who,
              const char *from, struct admin_request *request)
{
        struct push *push = push_new(control, path, who, from, request);
        int r = -ENOMEM;

        if (push == NULL)
                return r;
        push->yaml = malloc(yaml_len + 1);
        if (push->yaml == NULL)
                goto out;
        memcpy(push->yaml, yaml, yaml_len);
        push->yaml[yaml_len] = '\0';
        push->yaml_len = yaml_len;
        r = enqueue(push);
out:
        if (r < 0)
                push_done(push);
        return r;
}

int push_rollback(struct control *control, uint32_t generation, struct admin_request *request)
{
        struct push *push = push_new(control, "", "", "", request);
        int r;

        if (push == NULL)
                return -ENOMEM;
        push->is_rollback = true;
        push->version.generation = generation;
        r = enqueue(push);
        if (r < 0)
                push_done(push);
        return r;
}

void push_file(struct control *control)
{
        struct push *push = push_new(control, control->options.policy_path, "SIGHUP", "file", NULL);

        if (push == NULL)
                return;
        push->is_from_file = true;
        if (enqueue(push) < 0) {
                control_say("the policy file was not read: too many pushes are under way");
                push_done(push);
        }
}

void push_tell_dataplane(struct control *control)
{
        struct link_page *page = control_link_page(control->link);

        if (page == NULL)
                return;
        atomic_store(&page->draining, control->is_draining);
        /* One that is being offered is waited for by look(); otherwise the one in force is wanted. */
        if (control->push == NULL || control->push->deadline_ms == 0)
                want(control, control->image->generation);
        else
                want(control, control->push->version.generation);
}

void push_free(struct control *control)
{
        while (control->push) {
                struct push *push = control->push;

                control->push = push->next;
                loop_timer_stop(control->loop, &push->look);
                push_done(push);
        }
}
