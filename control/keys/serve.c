/* SPDX-License-Identifier: Apache-2.0 */
#include "control/keys/serve.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/keys/sign.h"
#include "dataplane/shared/link.h"

#define LOOK_MS 500u

void serve_init(struct server *server, const char *dir)
{
        memset(server, 0, sizeof(*server));
        server->dir = dir;
        for (unsigned w = 0; w < KEYS_WORKERS_MAX; w++)
                server->worker_bell[w] = -1;
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

static bool attach_rings(struct server *server)
{
        for (unsigned w = 0; w < KEYS_WORKERS_MAX; w++) {
                if (ring_attach_reader(&server->requests[w], keys_request_ring(&server->link, w), KEYS_SLOTS,
                                       sizeof(struct keys_request)) < 0 ||
                    ring_attach_writer(&server->answers[w], keys_answer_ring(&server->link, w), KEYS_SLOTS,
                                       sizeof(struct keys_answer)) < 0)
                        return false;
        }
        return true;
}

/* The dataplane was started, or started again. */
static void look_for_file(struct server *server, uint64_t now_ms)
{
        if (server->link.page && (now_ms - server->looked_ms < LOOK_MS || !keys_is_stale(&server->link, server->dir)))
                return;
        server->looked_ms = now_ms;
        keys_done(&server->link);
        server->workers = 0;
        server->has_list = false;
        if (keys_attach(&server->link, server->dir) < 0)
                return;
        if (!attach_rings(server)) {
                keys_done(&server->link);
                return;
        }
}

/* --- the list ------------------------------------------------------------------------------------------------------ */

static void take_entry(struct server *server, uint32_t i)
{
        struct keys_page *page = server->link.page;
        struct keys_wanted wanted;
        char reason[KEYS_REASON_MAX];
        bool is_held;

        memcpy(&wanted, &page->wanted[i], sizeof(wanted)); /* the dataplane could change it while it is used */
        wanted.path[sizeof(wanted.path) - 1] = '\0';
        is_held = store_want(&server->store, wanted.key, wanted.path, reason);
        memcpy(page->state[i].reason, reason, sizeof(reason));
        atomic_store_explicit(&page->state[i].is_held, is_held, memory_order_relaxed);
}

static void take_list(struct server *server, uint64_t now_ms)
{
        struct keys_page *page = server->link.page;
        uint32_t version = atomic_load_explicit(&page->list_version, memory_order_acquire);
        uint32_t count = MIN(atomic_load(&page->list_count), KEYS_LIST_MAX);

        if (server->has_list && version == server->list_done)
                return;
        store_begin_list(&server->store);
        for (uint32_t i = 0; i < count; i++)
                take_entry(server, i);
        store_end_list(&server->store, now_ms);
        server->has_list = true;
        server->list_done = version; /* of before: one that was written meanwhile is read in the next turn */
        atomic_store_explicit(&page->list_done, version, memory_order_release);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */

static void wake(struct server *server, unsigned worker)
{
        char name[32];

        if (server->worker_bell[worker] < 0) {
                snprintf(name, sizeof(name), "worker.%u", worker);
                server->worker_bell[worker] = keys_bell_open(server->dir, name);
        }
        if (server->worker_bell[worker] >= 0)
                link_bell_ring(server->worker_bell[worker]);
}

/*
 * At most one request of a worker. It leaves the ring after its answer is in the other one: a successor begins it again
 * when we are killed in between, and an answer that comes twice is not taken. What is too old is thrown away: nobody waits
 * for it any more, and a request that killed us does not kill successors for ever.
 */
static unsigned serve_worker(struct server *server, unsigned worker, uint64_t now_ms)
{
        struct ring *requests = &server->requests[worker], *answers = &server->answers[worker];
        const void *slot = ring_read_slot(requests);
        struct keys_answer *answer, made;
        struct keys_request request;

        if (slot == NULL)
                return 0;
        memcpy(&request, slot, sizeof(request)); /* the worker could change it while it is checked */
        if ((int32_t)((uint32_t)now_ms - request.asked_ms) > (int32_t)KEYS_WAIT_MS) {
                ring_read_release(requests);
                return 1;
        }
        answer = ring_write_slot(answers);
        if (answer == NULL)
                return 0; /* the worker takes none: it is looked at again when it wakes us, or with the next beat */
        sign_request(&server->store, &request, &made);
        memcpy(answer, &made, sizeof(made));
        ring_write_commit(answers);
        if (ring_write_publish(answers))
                wake(server, worker);
        ring_read_release(requests);
        return 1;
}

unsigned serve_turn(struct server *server, uint64_t now_ms)
{
        unsigned n = 0;

        look_for_file(server, now_ms);
        if (server->link.page == NULL)
                return 0;
        atomic_store_explicit(&server->link.page->beat_ms, MAX(now_ms, 1u), memory_order_relaxed);
        server->workers = MIN(atomic_load(&server->link.page->workers), KEYS_WORKERS_MAX);
        take_list(server, now_ms);
        store_expire(&server->store, now_ms);
        for (unsigned w = 0; w < server->workers; w++)
                n += serve_worker(server, w, now_ms);
        return n;
}

bool serve_may_sleep(struct server *server)
{
        const struct keys_page *page = server->link.page;

        for (unsigned w = 0; w < server->workers; w++) {
                /* With a worker that takes no answers there is nothing to stay awake for. */
                if (!ring_read_may_sleep(&server->requests[w]) && ring_write_slot(&server->answers[w]) != NULL) {
                        serve_awake(server);
                        return false;
                }
        }
        return page == NULL || atomic_load(&page->list_version) == server->list_done;
}

void serve_awake(struct server *server)
{
        for (unsigned w = 0; w < server->workers; w++)
                ring_read_awake(&server->requests[w]);
}

void serve_done(struct server *server)
{
        if (server->link.page)
                atomic_store(&server->link.page->beat_ms, 0);
        keys_done(&server->link);
        for (unsigned w = 0; w < KEYS_WORKERS_MAX; w++) {
                if (server->worker_bell[w] >= 0)
                        close(server->worker_bell[w]);
        }
        store_done(&server->store);
}
