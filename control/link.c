/* SPDX-License-Identifier: Apache-2.0 */
#include "control/link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/log/record.h"

struct kept_answer {
        uint32_t worker;
        struct msg_answer answer;
};

struct worker_end {
        struct ring ask, answer, log;
        bool has_unpublished;
        int bell;
};

struct control_link {
        char run_dir[400];
        int bell, bell_main;
        struct link link;
        uint32_t workers; /* 0: not attached */
        struct worker_end worker[LINK_WORKERS_MAX];
        uint32_t ask_turn, log_turn;
        uint32_t log_worker; /* whose record was fetched last */
        struct kept_answer *kept;
        uint32_t kept_first, kept_used;
        bool is_stale;        /* its dataplane is gone, another one is there */
        bool is_version_told; /* a file of another version was counted already */
        struct control_link_stats stats;
};

int control_link_new(struct control_link **ret, const char *run_dir)
{
        struct control_link *link = calloc(1, sizeof(*link));
        int r = -ENOMEM;

        if (link == NULL)
                return r;
        link->bell = link->bell_main = -1;
        link->kept = calloc(CONTROL_LINK_ANSWERS_MAX, sizeof(*link->kept));
        if (link->kept == NULL)
                goto out;
        r = -ENAMETOOLONG;
        if (snprintf(link->run_dir, sizeof(link->run_dir), "%s", run_dir) >= (int)sizeof(link->run_dir))
                goto out;
        r = link->bell = link_bell_open(run_dir, "control");
        if (r < 0)
                goto out;
        r = link->bell_main = link_bell_open(run_dir, "main");
        if (r < 0)
                goto out;
        *ret = link;
        return 0;
out:
        control_link_free(link);
        return r;
}

static void detach(struct control_link *link)
{
        for (uint32_t i = 0; i < link->workers; i++)
                close(link->worker[i].bell);
        link->workers = 0;
        link->is_stale = false;
        link->stats.answers_dropped += link->kept_used;
        link->kept_used = 0;
        link_done(&link->link);
}

void control_link_free(struct control_link *link)
{
        if (link == NULL)
                return;
        detach(link);
        if (link->bell >= 0)
                close(link->bell);
        if (link->bell_main >= 0)
                close(link->bell_main);
        free(link->kept);
        free(link);
}

int control_link_fd(const struct control_link *link)
{
        return link->bell;
}

static int attach_worker(struct control_link *link, uint32_t worker)
{
        struct worker_end *end = &link->worker[worker];
        char name[32];
        int r;

        memset(end, 0, sizeof(*end));
        r = ring_attach_reader(&end->ask, link_ask_ring(&link->link, worker), LINK_ASK_SLOTS,
                               sizeof(struct msg_ask));
        if (r == 0)
                r = ring_attach_writer(&end->answer, link_answer_ring(&link->link, worker), LINK_ANSWER_SLOTS,
                                       sizeof(struct msg_answer));
        if (r == 0)
                r = ring_attach_reader(&end->log, link_log_ring(&link->link, worker), LINK_LOG_SLOTS,
                                       sizeof(struct msg_log));
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "worker.%u", worker);
        end->bell = link_bell_open(link->run_dir, name);
        return end->bell < 0 ? end->bell : 0;
}

static bool has_records(struct control_link *link)
{
        for (uint32_t i = 0; i < link->workers; i++) {
                if (ring_read_slot(&link->worker[i].log))
                        return true;
        }
        return false;
}

bool control_link_check(struct control_link *link)
{
        struct link found;
        int r;

        if (link->workers > 0) {
                link->is_stale = link_is_stale(&link->link, link->run_dir);
                if (!link->is_stale || has_records(link))
                        return false;
                detach(link);
        }
        r = link_attach(&found, link->run_dir);
        if (r == -EPROTO && !link->is_version_told)
                link->stats.version_refused++;
        link->is_version_told = r == -EPROTO;
        if (r < 0)
                return false;
        link->link = found;
        while (link->workers < found.workers && attach_worker(link, link->workers) == 0)
                link->workers++;
        if (link->workers < found.workers) {
                detach(link);
                return false;
        }
        link->ask_turn = link->log_turn = 0;
        link->stats.attached++;
        return true;
}

void control_link_beat(struct control_link *link, uint64_t now_ms)
{
        if (link->workers > 0)
                atomic_store(&link->link.page->control_beat_ms, now_ms);
}

enum control_link_state control_link_state(const struct control_link *link, uint64_t now_ms,
                                           uint64_t *ret_age_ms)
{
        uint64_t beat_ms, age_ms;
        pid_t pid;

        if (link->workers == 0)
                return CONTROL_LINK_ABSENT;
        beat_ms = atomic_load(&link->link.page->dataplane_beat_ms);
        age_ms = now_ms > beat_ms ? now_ms - beat_ms : 0;
        if (ret_age_ms)
                *ret_age_ms = age_ms;
        if (age_ms <= CONTROL_LINK_HUNG_MS)
                return CONTROL_LINK_ALIVE;
        pid = link->link.page->dataplane_pid;
        /* Only asks whether the process is there; EPERM says that it is. */
        return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) ? CONTROL_LINK_HUNG : CONTROL_LINK_DEAD;
}

struct link_page *control_link_page(const struct control_link *link)
{
        return link->workers > 0 ? link->link.page : NULL;
}

uint32_t control_link_workers(const struct control_link *link)
{
        return link->workers;
}

static bool is_good_ask(const struct msg_ask *ask, uint32_t worker)
{
        static const struct addr none;

        return ask->kind == MSG_ASK_CLIENT && ask->worker == worker && !addr_is_equal(&ask->client, &none) &&
               ask->known_before <= 1;
}

bool control_link_next_ask(struct control_link *link, struct msg_ask *ret)
{
        uint32_t bad_max =
            LINK_ASK_SLOTS; /* a worker that writes rubbish for ever does not hold us for ever */

        for (uint32_t tries = 0; tries < link->workers && bad_max > 0;) {
                uint32_t worker = link->ask_turn % link->workers;
                struct ring *ring = &link->worker[worker].ask;
                const void *slot = ring_read_slot(ring);

                if (slot == NULL) {
                        link->ask_turn++;
                        tries++;
                        continue;
                }
                memcpy(ret, slot, sizeof(*ret));
                ring_read_release(ring);
                if (is_good_ask(ret, worker)) {
                        link->ask_turn++;
                        link->stats.asks++;
                        return true;
                }
                link->stats.bad_asks++;
                bad_max--;
        }
        return false;
}

static bool put_answer(struct control_link *link, uint32_t worker, const struct msg_answer *answer)
{
        struct worker_end *end = &link->worker[worker];
        void *slot = ring_write_slot(&end->answer);

        if (slot == NULL)
                return false;
        memcpy(slot, answer, sizeof(*answer));
        ring_write_commit(&end->answer);
        end->has_unpublished = true;
        link->stats.answers++;
        return true;
}

void control_link_answer(struct control_link *link, uint32_t worker, const struct msg_answer *answer)
{
        struct kept_answer *kept;

        if (worker >= link->workers) {
                link->stats.answers_dropped++; /* asked by a dataplane that is gone */
                return;
        }
        if (put_answer(link, worker, answer))
                return;
        if (link->kept_used == CONTROL_LINK_ANSWERS_MAX) {
                link->stats.answers_dropped++;
                return;
        }
        kept = &link->kept[(link->kept_first + link->kept_used++) % CONTROL_LINK_ANSWERS_MAX];
        kept->worker = worker;
        kept->answer = *answer;
}

void control_link_flush(struct control_link *link)
{
        uint32_t left = link->kept_used;

        while (left-- > 0) {
                struct kept_answer kept = link->kept[link->kept_first];

                link->kept_first = (link->kept_first + 1) % CONTROL_LINK_ANSWERS_MAX;
                link->kept_used--;
                control_link_answer(link, kept.worker, &kept.answer);
        }
        for (uint32_t i = 0; i < link->workers; i++) {
                struct worker_end *end = &link->worker[i];

                if (!end->has_unpublished)
                        continue;
                end->has_unpublished = false;
                if (ring_write_publish(&end->answer))
                        link_bell_ring(end->bell);
        }
}

bool control_link_next_log(struct control_link *link, struct msg_log *ret)
{
        uint32_t bad_max = LINK_LOG_SLOTS;

        for (uint32_t tries = 0; tries < link->workers && bad_max > 0;) {
                uint32_t worker = link->log_turn % link->workers;
                struct ring *ring = &link->worker[worker].log;
                const void *slot = ring_read_slot(ring);

                if (slot == NULL) {
                        link->log_turn++;
                        tries++;
                        continue;
                }
                memcpy(ret, slot, sizeof(*ret));
                if (log_record_check(ret) && ret->worker == worker) {
                        link->log_worker = worker;
                        return true;
                }
                ring_read_release(ring);
                link->stats.bad_records++;
                bad_max--;
        }
        return false;
}

void control_link_log_done(struct control_link *link)
{
        struct ring *ring = &link->worker[link->log_worker].log;

        BUG_ON(link->log_worker >= link->workers || ring->own == ring->other);
        ring_read_release(ring);
        link->log_turn++;
        link->stats.records++;
}

bool control_link_log_is_pressing(struct control_link *link)
{
        if (link->log_worker >= link->workers)
                return false;
        return link->is_stale || ring_read_waiting(&link->worker[link->log_worker].log) > LINK_LOG_SLOTS / 2;
}

bool control_link_may_sleep(struct control_link *link)
{
        bool may = true;

        for (uint32_t i = 0; i < link->workers; i++) {
                may &= ring_read_may_sleep(&link->worker[i].ask);
                may &= ring_read_may_sleep(&link->worker[i].log);
        }
        return may;
}

void control_link_awake(struct control_link *link)
{
        link_bell_clear(link->bell);
        for (uint32_t i = 0; i < link->workers; i++) {
                ring_read_awake(&link->worker[i].ask);
                ring_read_awake(&link->worker[i].log);
        }
}

void control_link_ring_main(struct control_link *link)
{
        link_bell_ring(link->bell_main);
}

const struct control_link_stats *control_link_stats(const struct control_link *link)
{
        return &link->stats;
}
