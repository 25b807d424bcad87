/* SPDX-License-Identifier: Apache-2.0 */
/* The longer steps of the start, and what follows a new policy. main.c has their order. */
#include "control/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/policy/policy.h"
#include "control/policy/versions.h"
#include "control/state.h"
#include "control/taken.h"
#include "dataplane/shared/paths.h"

/* Like mkdir -p for one path. The last one gets the mode; a directory that is there keeps what it has. */
static int make_dir(const char *path)
{
        char part[CONTROL_PATH_MAX];
        size_t len = strlen(path);

        if (len == 0 || len >= sizeof(part))
                return -ENAMETOOLONG;
        memcpy(part, path, len + 1);
        for (size_t i = 1; i < len; i++) {
                if (part[i] != '/')
                        continue;
                part[i] = '\0';
                if (mkdir(part, 0755) < 0 && errno != EEXIST)
                        return -errno;
                part[i] = '/';
        }
        if (mkdir(part, 0750) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

int start_directories(struct control *control)
{
        const char *dirs[] = { control->options.run_dir, control->options.state_dir };

        for (unsigned i = 0; i < ARRAY_LEN(dirs); i++) {
                int r = make_dir(dirs[i]);

                if (r < 0 || access(dirs[i], R_OK | W_OK | X_OK) < 0) {
                        control_say("%s cannot be made or written: %s; check its owner, or name another "
                                    "directory with --run-dir or --state-dir",
                                    dirs[i], strerror(r < 0 ? -r : errno));
                        return -EACCES;
                }
        }
        return 0;
}

int start_lock(struct control *control)
{
        char path[CONTROL_PATH_MAX];

        snprintf(path, sizeof(path), "%s/control.lock", control->options.run_dir);
        control->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (control->lock_fd < 0 || flock(control->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        control_say("another greyline-control runs on %s: stop it first, or name another "
                                    "directory with --run-dir",
                                    control->options.run_dir);
                else
                        control_say("%s cannot be locked: %s", path, strerror(errno));
                return -EBUSY;
        }
        return 0;
}

/* Use the current version, if there is a good one. */
static int use_current(struct control *control)
{
        void *image = NULL;
        size_t len;
        int r = policy_versions_load(control->options.state_dir, 0, &image, &len);

        if (r == 0)
                control_use_image(control, image, len);
        return r;
}

/* Store what was compiled as a new version and use it. */
static int use_new(struct control *control, struct image *image, size_t len,
                   const struct policy_zone_book *zones)
{
        const char *state_dir = control->options.state_dir;
        struct policy_version version = { .generation = image->generation,
                                          .pushed_sec = control_wall_sec(),
                                          .image_bytes = len,
                                          .who = "start",
                                          .from = "file" };
        char *yaml = NULL;
        size_t yaml_len = 0;
        int r;

        snprintf(version.source, sizeof(version.source), "%s", control->options.policy_path);
        r = taken_read_file(control->options.policy_path, POLICY_FILE_MAX, &yaml, &yaml_len);
        if (r == 0)
                r = policy_versions_store(state_dir, &version, yaml, yaml_len, image, len, zones);
        if (r == 0)
                r = policy_versions_make_current(state_dir, version.generation, version.pushed_sec);
        free(yaml);
        if (r < 0) {
                control_say("the policy cannot be stored in %s/%s: %s", state_dir, PATHS_IMAGES,
                            strerror(-r));
                free(image);
                return r;
        }
        control_say("policy version %u, from %s", version.generation, version.source);
        control_use_image(control, image, len);
        return 0;
}

/* The policy file is as it was when it was last taken, or says what is in force already. */
static bool is_unchanged(struct control *control, uint64_t fingerprint)
{
        const char *state_dir = control->options.state_dir;
        void *image = NULL;
        bool is_same;
        size_t len;

        if (policy_versions_load(state_dir, 0, &image, &len) < 0)
                return false;
        is_same = fingerprint == taken_read(state_dir) || fingerprint == taken_fingerprint(image, len);
        free(image);
        return is_same;
}

int start_policy(struct control *control)
{
        const char *state_dir = control->options.state_dir;
        struct policy_zone_book zones;
        struct policy_options options = { .zones = &zones,
                                          .now_sec = control_wall_sec(),
                                          .memory_bytes = policy_machine_bytes() };
        static struct policy_errors errors; /* large, and needed once */
        void *image = NULL;
        char text[8192];
        uint64_t fingerprint;
        size_t len;
        int r;

        r = policy_versions_init(state_dir);
        options.generation = r < 0 ? 0 : policy_versions_next(state_dir);
        if (options.generation == 0) {
                control_say("%s/%s cannot be used: %s", state_dir, PATHS_IMAGES, strerror(r < 0 ? -r : EIO));
                return -EIO;
        }
        (void)policy_versions_zones(state_dir, &zones);
        r = policy_compile_file(control->options.policy_path, control->options.site_path, &options, &errors,
                                &image, &len);
        if (r < 0) {
                policy_errors_text(&errors, text, sizeof(text));
                fprintf(stderr, "%s%s", r == -EINVAL ? text : strerror(-r),
                        r == -EINVAL && text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
                if (use_current(control) < 0)
                        return r;
                control_say("the policy file is refused; version %u, which was in force before, goes on",
                            control->image->generation);
                return 0;
        }
        fingerprint = taken_fingerprint(image, len);
        if (is_unchanged(control, fingerprint)) {
                free(image);
                r = use_current(control);
        } else {
                r = use_new(control, image, len, &zones);
        }
        if (r == 0)
                taken_write(state_dir, fingerprint);
        return r;
}

/* ---- what follows a policy -------------------------------------------------------------------------- */

static void use_log(struct control *control, const struct image *image)
{
        char path[CONTROL_PATH_MAX];
        const char *named = image_string(image, image->log.file);

        if (control->options.log_path)
                snprintf(path, sizeof(path), "%s", control->options.log_path);
        else if (named[0])
                snprintf(path, sizeof(path), "%s", named);
        else
                snprintf(path, sizeof(path), "%s/greyline.log", control->options.state_dir);
        if (control->log.path[0] == '\0' || strcmp(path, control->log.path) != 0) {
                if (control->log.path[0])
                        log_file_close(&control->log);
                if (log_file_init(&control->log, path, 0, 0) < 0)
                        control_say("log.file is too long: %s", path);
        }
        control->log.rotate_bytes = image->log.rotate_bytes;
        control->log.keep = MIN(image->log.keep, LOG_FILE_KEEP_MAX);
}

static void use_journal(struct control *control, const struct image *image)
{
        const char *named = image_string(image, image->store.journal_path);
        bool is_wanted = image->log.privacy == IMAGE_PRIVACY_FULL && image->store.journal_entries > 0;
        char path[CONTROL_PATH_MAX];

        if (!is_wanted || control->journal) {
                if (!is_wanted) {
                        journal_free(control->journal);
                        control->journal = NULL;
                }
                return;
        }
        if (named[0])
                snprintf(path, sizeof(path), "%s", named);
        else
                snprintf(path, sizeof(path), "%s/%s", control->options.state_dir, PATHS_JOURNAL);
        control->journal = journal_new(control->loop, path, image->store.journal_entries);
        if (control->journal == NULL)
                control_say("no memory for the journal: grey list will show nothing");
}

void control_use_image(struct control *control, struct image *image, size_t len)
{
        struct image *before = control->image;

        control->image = image;
        control->image_len = len;
        if (log_names_add(control->names, image) < 0)
                control_say("no memory for the names of policy version %u in the log", image->generation);
        control->log_context.names = control->names;
        control->log_context.node = image_string(image, image->node.name);
        control->log_context.is_hashed = image->log.privacy == IMAGE_PRIVACY_HASHED;
        control->log_context.hash_key = secret_key(&control->secret, "log");
        use_log(control, image);
        use_journal(control, image);
        if (control->dns)
                control_use_dns(control);
        state_use_image(control, before);
        free(before);
}

void control_use_dns(struct control *control)
{
        int r = dns_configure(control->dns, control->image, control_now(control));

        if (r < 0)
                control_say("the DNS settings of policy version %u cannot be used: %s; the old ones stay",
                            control->image->generation, strerror(-r));
}
