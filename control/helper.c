/* SPDX-License-Identifier: Apache-2.0 */
#include "control/helper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct helper {
        struct loop *loop;
        pthread_t thread;
        pthread_mutex_t lock; /* guards the four below */
        pthread_cond_t changed;
        struct helper_job *first;
        struct helper_job **last;
        bool is_stopping;   /* written by the loop's thread only */
        uint32_t under_way; /* queued, running, or not delivered yet; the loop's thread only */
};

static void deliver(void *arg)
{
        struct helper_job *job = arg;

        job->helper->under_way--;
        if (job->done)
                job->done(job->arg);
}

static void *work(void *arg)
{
        struct helper *helper = arg;

        for (;;) {
                struct helper_job *job;

                pthread_mutex_lock(&helper->lock);
                while (helper->first == NULL && !helper->is_stopping)
                        pthread_cond_wait(&helper->changed, &helper->lock);
                job = helper->first;
                if (job) {
                        helper->first = job->next;
                        if (helper->first == NULL)
                                helper->last = &helper->first;
                }
                pthread_mutex_unlock(&helper->lock);
                if (job == NULL)
                        return NULL;
                job->run(job->arg);
                job->work.fn = deliver;
                job->work.arg = job;
                loop_post(helper->loop, &job->work);
        }
}

struct helper *helper_new(struct loop *loop, const char *name)
{
        struct helper *helper = calloc(1, sizeof(*helper));
        sigset_t all, before;
        int r;

        if (helper == NULL)
                return NULL;
        helper->loop = loop;
        helper->last = &helper->first;
        pthread_mutex_init(&helper->lock, NULL);
        pthread_cond_init(&helper->changed, NULL);
        /* Signals are for the loop's thread. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&helper->thread, NULL, work, helper);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0) {
                free(helper);
                return NULL;
        }
        pthread_setname_np(helper->thread, name);
        return helper;
}

void helper_free(struct helper *helper)
{
        if (helper == NULL)
                return;
        pthread_mutex_lock(&helper->lock);
        helper->is_stopping = true;
        pthread_cond_signal(&helper->changed);
        pthread_mutex_unlock(&helper->lock);
        pthread_join(helper->thread, NULL);
        while (helper->under_way > 0)
                loop_turn(helper->loop, 0); /* what was posted is there: the thread has ended */
        pthread_cond_destroy(&helper->changed);
        pthread_mutex_destroy(&helper->lock);
        free(helper);
}

int helper_submit(struct helper *helper, struct helper_job *job)
{
        if (helper->under_way == HELPER_JOBS_MAX || helper->is_stopping)
                return -EAGAIN;
        helper->under_way++;
        job->helper = helper;
        job->next = NULL;
        pthread_mutex_lock(&helper->lock);
        *helper->last = job;
        helper->last = &job->next;
        pthread_cond_signal(&helper->changed);
        pthread_mutex_unlock(&helper->lock);
        return 0;
}
