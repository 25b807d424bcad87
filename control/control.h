/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything control holds, in one place. main.c makes and frees it in order; the parts named below work on
 * it in turns of the loop.
 *
 *      service.c       questions, answers, log records: the work of every turn
 *      push.c          a new policy, from text to running
 *      command*.c      what greylinectl can ask for
 *      state.c         the mapped tables, snapshots, Redis
 *      metrics.c       the same numbers for machines
 */
#ifndef GREYLINE_CONTROL_CONTROL_H
#define GREYLINE_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "control/admin.h"
#include "control/dns/dns.h"
#include "control/helper.h"
#include "control/http.h"
#include "control/link.h"
#include "control/log/file.h"
#include "control/log/journal.h"
#include "control/log/names.h"
#include "control/log/recent.h"
#include "control/log/record.h"
#include "control/loop.h"
#include "dataplane/shared/client_table.h"
#include "dataplane/shared/grey_table.h"
#include "dataplane/shared/image.h"
#include "dataplane/shared/secret.h"

#define CONTROL_PATH_MAX     512
#define CONTROL_RECENT       16384u /* records kept in memory for explain, 1 kB each */
#define CONTROL_TICK_MS      100u   /* heartbeat, re-attach, kept answers */
#define CONTROL_LOG_RETRY_MS 1000u

struct push;  /* push.c */
struct redis; /* control/store/redis.h */

/* What the command line says. Strings live as long as the process. */
struct control_options {
        const char *run_dir;
        const char *state_dir;
        const char *policy_path;
        const char *site_path;   /* NULL: none */
        const char *log_path;    /* NULL: what the policy says */
        const char *http_listen; /* NULL: no HTTP */
        const char *user;        /* to become after binding; NULL: "greyline" where it exists */
};

/* Counts of control itself since it started; the workers' are in the shared page. */
struct control_counts {
        uint64_t log_missing; /* records lost because the log could not be written */
        uint64_t log_shed;    /* refusals at connect beyond log.rate: counted, not written */
        uint64_t pushes, pushes_failed;
        uint64_t snapshots, snapshots_failed;
};

struct control {
        struct control_options options;
        struct secret secret;
        int lock_fd;
        uint64_t started_sec; /* wall clock */
        bool is_draining;     /* drained by the operator; told to every dataplane */

        struct loop *loop;
        struct helper *helper; /* compiling, scanning logs, snapshots */
        int signal_fd;
        struct loop_timer tick;

        struct image *image; /* the policy in force; owned */
        size_t image_len;

        struct grey_table grey;
        struct client_table client;
        struct dns *dns;
        struct loop_timer dns_timer;
        struct redis *redis;  /* store/redis.h; NULL: not used */
        bool is_redis_ending; /* in the helper: the next begins when it has ended */
        bool is_state_started;

        struct control_link *link;
        struct loop_timer link_again; /* runs when a turn left work in the rings */

        struct log_names *names;
        struct log_context log_context;
        struct log_file log;
        struct log_recent *recent;
        struct journal *journal; /* NULL: hashed privacy */
        uint64_t log_retry_ms;   /* monotonic: no write before */
        uint32_t log_rate_left;  /* refusals at connect that may still be written in this second */
        uint64_t log_rate_sec;

        struct loop_timer snapshot_timer;
        struct helper_job snapshot_job;
        bool is_snapshotting;
        int snapshot_result;   /* of the last one: 0 or a negative errno */
        uint64_t snapshot_sec; /* wall clock of the last good one; 0: none yet */

        struct admin *admin;
        struct http *http; /* NULL: no HTTP */
        struct push *push; /* the one under way, and those that wait */
        struct control_counts counts;
};

/* --- service.c --- */

/* Begin to serve: watches the link and DNS, starts the tick. Returns 0 or a negative errno. */
int service_start(struct control *control) MUST_CHECK;

/* Watch nothing any more; writes the log records that are in the rings. */
void service_stop(struct control *control);

/* One line on stderr, with the program's name; for what an operator must see when no log can be trusted. */
void control_say(const char *format, ...) PRINTF(1, 2);

/* Both clocks of now. */
struct dns_now control_now(const struct control *control);
uint32_t control_wall_sec(void);

/* --- push.c --- */

/*
 * Bring a policy into force: compile, store, let the dataplane take it, make it current, take it ourselves.
 * yaml: the text, copied. path: its name. who, from: for the version's record. request: answered at the end,
 * or NULL (then the result is said on stderr). Returns 0, or -EAGAIN when too many wait.
 */
int push_text(struct control *control, const char *yaml, size_t yaml_len, const char *path, const char *who,
              const char *from, struct admin_request *request) MUST_CHECK;

/* Bring a stored version into force again; generation 0: the one before the current one. */
int push_rollback(struct control *control, uint32_t generation, struct admin_request *request) MUST_CHECK;

/* Read the policy file again and push it (SIGHUP). */
void push_file(struct control *control);

/* Tell a freshly attached dataplane which image it should run. */
void push_tell_dataplane(struct control *control);

void push_free(struct control *control);

/* --- start.c --- */

/* Take a checked image (owned from here on): names, log, journal, DNS and store follow it. */
void control_use_image(struct control *control, struct image *image, size_t len);

/* Let DNS follow the image in force. */
void control_use_dns(struct control *control);

/* --- command.c --- */
void command_run(void *arg, struct admin_request *request);

#endif
