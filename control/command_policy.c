/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/command.h"
#include "control/policy/policy.h"
#include "control/policy/versions.h"
#include "control/taken.h"

/* Only /etc/passwd is asked on an ordinary machine; with a slow name service this is rare enough. */
static void user_name(uid_t uid, char *buf, size_t size)
{
        const struct passwd *user = getpwuid(uid);

        if (user)
                snprintf(buf, size, "%s", user->pw_name);
        else
                snprintf(buf, size, "uid %u", uid);
}

void command_policy_push(struct control *control, struct admin_request *request)
{
        const json_t *content = json_object_get(admin_args(request), "content");
        const char *path = admin_string(request, "path", NULL);
        char who[64];
        int r;

        if (!json_is_string(content) || path == NULL) {
                admin_fail(request, "policy push needs a path and the content of the file");
                return;
        }
        user_name(admin_uid(request), who, sizeof(who));
        r = push_text(control, json_string_value(content), json_string_length(content), path, who, "admin",
                      request);
        if (r < 0)
                admin_fail(request, "the push was not begun: %s",
                           r == -EAGAIN ? "too many are under way" : strerror(-r));
}

void command_policy_rollback(struct control *control, struct admin_request *request)
{
        int64_t version = admin_int(request, "version", 0);
        int r;

        if (version < 0 || version > UINT32_MAX) {
                admin_fail(request, "a version is a number from 1 on");
                return;
        }
        r = push_rollback(control, (uint32_t)version, request);
        if (r < 0)
                admin_fail(request, "the rollback was not begun: %s",
                           r == -EAGAIN ? "too many pushes are under way" : strerror(-r));
}

/* ---- versions: reads files, so in the helper -------------------------------------------------------- */

struct versions_job {
        struct helper_job job;
        struct control *control;
        struct admin_request *request;
        uint32_t generation;
        struct policy_version *versions;
        int used;
        char *yaml;
        size_t yaml_len;
};

static void job_free(struct versions_job *job)
{
        free(job->versions);
        free(job->yaml);
        free(job);
}

static void submit(struct control *control, struct admin_request *request, uint32_t generation, loop_fn run,
                   loop_fn done)
{
        struct versions_job *job = calloc(1, sizeof(*job));

        if (job == NULL) {
                admin_fail(request, "out of memory");
                return;
        }
        job->control = control;
        job->request = request;
        job->generation = generation;
        job->job = (struct helper_job){ .run = run, .done = done, .arg = job };
        if (helper_submit(control->helper, &job->job) < 0) {
                admin_fail(request, "too much work is under way: try again");
                job_free(job);
        }
}

static void versions_run(void *arg)
{
        struct versions_job *job = arg;

        job->used = -ENOMEM;
        job->versions = calloc(POLICY_VERSIONS_KEEP + 1, sizeof(*job->versions));
        if (job->versions)
                job->used = policy_versions_list(job->control->options.state_dir, job->versions,
                                                 POLICY_VERSIONS_KEEP + 1);
}

static void versions_done(void *arg)
{
        struct versions_job *job = arg;
        struct json *json = admin_result(job->request);

        if (job->used < 0) {
                admin_fail(job->request, "the versions cannot be read: %s", strerror(-job->used));
                job_free(job);
                return;
        }
        json_array_open(json, "result");
        for (int i = 0; i < job->used; i++) {
                const struct policy_version *version = &job->versions[i];

                json_object_open(json, NULL);
                json_put_uint(json, "version", version->generation);
                json_put_bool(json, "current", version->is_current);
                json_put_bool(json, "was_in_force", version->was_in_force);
                json_put_time_sec(json, "pushed", version->pushed_sec);
                json_put_string(json, "who", version->who);
                json_put_string(json, "from", version->from);
                json_put_string(json, "source", version->source);
                json_put_uint(json, "image_bytes", version->image_bytes);
                json_object_close(json);
        }
        json_array_close(json);
        admin_done(job->request);
        job_free(job);
}

void command_policy_versions(struct control *control, struct admin_request *request)
{
        submit(control, request, 0, versions_run, versions_done);
}

static void show_run(void *arg)
{
        struct versions_job *job = arg;
        char path[CONTROL_PATH_MAX];

        policy_versions_path(job->control->options.state_dir, job->generation, "yaml", path, sizeof(path));
        job->used = taken_read_file(path, ADMIN_ANSWER_MAX, &job->yaml, &job->yaml_len);
}

static void show_done(void *arg)
{
        struct versions_job *job = arg;
        struct json *json = admin_result(job->request);

        if (job->used < 0) {
                admin_fail(job->request, "version %u cannot be read: %s (see: policy versions)",
                           job->generation, strerror(-job->used));
        } else {
                json_object_open(json, "result");
                json_put_uint(json, "version", job->generation);
                json_put_string_len(json, "yaml", job->yaml, job->yaml_len);
                json_object_close(json);
                admin_done(job->request);
        }
        job_free(job);
}

void command_policy_show(struct control *control, struct admin_request *request)
{
        int64_t version = admin_int(request, "version", control->image->generation);

        if (version < 1 || version > UINT32_MAX)
                admin_fail(request, "a version is a number from 1 on");
        else
                submit(control, request, (uint32_t)version, show_run, show_done);
}
