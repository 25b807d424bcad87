/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper thread for what would take the loop longer than a turn: compiling, SQLite, reading log files.
 * Jobs run one after another; each result comes back to the loop's thread. The queue is bounded.
 */
#ifndef GREYLINE_CONTROL_HELPER_H
#define GREYLINE_CONTROL_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "control/loop.h"

#define HELPER_JOBS_MAX 64u

struct helper;

/*
 * A job. The caller's memory: from a successful helper_submit() until done is called it belongs to the
 * helper. run works in the helper's thread and touches nothing that the loop's thread uses meanwhile; done
 * (may be NULL) runs in the loop's thread and may free the job.
 */
struct helper_job {
        loop_fn run;
        loop_fn done;
        void *arg;
        struct loop_work work; /* private */
        struct helper_job *next;
        struct helper *helper;
};

/* Starts the thread. name: at most 15 characters. Returns NULL when there is no memory or no thread. */
struct helper *helper_new(struct loop *loop, const char *name);

/*
 * Runs what is queued to the end and joins the thread, and so may block; results that the loop has not
 * fetched yet are delivered from here. NULL is fine.
 */
void helper_free(struct helper *helper);

/* Queue a job. Returns 0, or -EAGAIN when HELPER_JOBS_MAX are under way or the helper ends. */
int helper_submit(struct helper *helper, struct helper_job *job) MUST_CHECK;

#endif
