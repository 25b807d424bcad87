/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/relay/backend.h"

static struct backend *find(struct backends *backends, const struct image_server *server)
{
        uint32_t count = atomic_load(&backends->count);

        for (uint32_t i = 0; i < count; i++) {
                struct backend *backend = &backends->backend[i];

                if (backend->tcp_port == server->tcp_port && addr_is_equal(&backend->addr, &server->addr))
                        return backend;
        }
        return NULL;
}

void backends_apply(struct backends *backends, const struct image *image, uint16_t ret_map[IMAGE_SERVERS_MAX])
{
        for (uint32_t i = 0; i < image->servers.count; i++) {
                const struct image_server *server = image_server(image, i);
                struct backend *backend = find(backends, server);
                uint32_t count = atomic_load(&backends->count);

                if (backend == NULL && count < LINK_BACKENDS_MAX) {
                        backend = &backends->backend[count];
                        backend->addr = server->addr;
                        backend->tcp_port = server->tcp_port;
                        atomic_store(&backends->count, count + 1);
                }
                ret_map[i] = BACKEND_NONE;
                if (backend == NULL)
                        continue;
                backend->pool = server->pool;
                ret_map[i] = (uint16_t)(backend - backends->backend);
        }
}

/* Fewest sessions for its weight: compare a.sessions / a.weight with b.sessions / b.weight without dividing. */
static bool is_less_loaded(uint64_t sessions, uint64_t weight, uint64_t best_sessions, uint64_t best_weight)
{
        return (sessions + 1) * best_weight < (best_sessions + 1) * weight;
}

/* Highest random weight: the same network keeps its server while that one is up, others move as little as can be. */
static uint64_t rendezvous(uint64_t network_hash, const struct image_server *server)
{
        uint64_t x = network_hash ^ addr_v4_be(&server->addr) * 0x9e3779b97f4a7c15ull ^ server->tcp_port;

        x ^= x >> 31;
        x *= 0xbf58476d1ce4e5b9ull;
        x ^= x >> 27;
        return (x >> 16) * server->weight;
}

/* May this server take a session now? down: of those that are down, one session at a time tries whether it still is. */
static bool may_take(const struct backend *backend, const struct image_server *server, uint64_t sessions, bool down)
{
        bool is_down = atomic_load_explicit(&backend->state, memory_order_relaxed) == LINK_BACKEND_DOWN;

        if (is_down != down || (down && sessions != 0))
                return false;
        return server->connections_max == 0 || sessions < server->connections_max;
}

static uint16_t choose(const struct backends *backends, const struct image *image,
                       const uint16_t map[IMAGE_SERVERS_MAX], const struct image_pool *pool, uint64_t network_hash,
                       uint64_t tried, bool down)
{
        uint16_t best = BACKEND_NONE;
        uint64_t best_sessions = 0, best_weight = 0, best_rank = 0;

        for (uint32_t place = 0; place < pool->servers.count; place++) {
                uint32_t index = pool->servers.first + place;
                const struct image_server *server = image_server(image, index);
                const struct backend *backend;
                uint64_t sessions;

                if (map[index] == BACKEND_NONE || (place < 64 && tried >> place & 1))
                        continue;
                backend = &backends->backend[map[index]];
                sessions = atomic_load_explicit(&backend->sessions, memory_order_relaxed);
                if (!may_take(backend, server, sessions, down))
                        continue;
                if (pool->balance == IMAGE_BALANCE_HASH) {
                        uint64_t rank = rendezvous(network_hash, server);

                        if (best != BACKEND_NONE && rank <= best_rank)
                                continue;
                        best_rank = rank;
                } else if (best != BACKEND_NONE &&
                           !is_less_loaded(sessions, server->weight, best_sessions, best_weight)) {
                        continue;
                }
                best = (uint16_t)index;
                best_sessions = sessions;
                best_weight = server->weight;
        }
        return best;
}

uint16_t backends_choose(const struct backends *backends, const struct image *image,
                         const uint16_t map[IMAGE_SERVERS_MAX], uint16_t pool_index, uint64_t network_hash,
                         uint64_t tried)
{
        const struct image_pool *pool = image_pool(image, pool_index);
        uint16_t best = choose(backends, image, map, pool, network_hash, tried, false);

        return best != BACKEND_NONE ? best : choose(backends, image, map, pool, network_hash, tried, true);
}

void backend_take(struct backend *backend)
{
        atomic_fetch_add_explicit(&backend->sessions, 1, memory_order_relaxed);
}

void backend_give(struct backend *backend)
{
        BUG_ON_HOT(atomic_load(&backend->sessions) == 0);
        atomic_fetch_sub_explicit(&backend->sessions, 1, memory_order_relaxed);
}

bool backend_failed(struct backend *backend, uint32_t fall, uint64_t now_sec)
{
        uint32_t failures = atomic_fetch_add(&backend->failures, 1) + 1;

        if (failures < fall || atomic_exchange(&backend->state, LINK_BACKEND_DOWN) == LINK_BACKEND_DOWN)
                return false;
        atomic_store(&backend->changed_sec, now_sec);
        return true;
}

bool backend_answered(struct backend *backend, uint64_t now_sec)
{
        uint32_t before;

        atomic_store(&backend->failures, 0);
        if (atomic_load(&backend->state) == LINK_BACKEND_UP)
                return false;
        before = atomic_exchange(&backend->state, LINK_BACKEND_UP);
        if (before == LINK_BACKEND_UP)
                return false;
        atomic_store(&backend->changed_sec, now_sec);
        return true;
}

void backends_publish(const struct backends *backends, struct link_page *page)
{
        uint32_t count = atomic_load(&backends->count);

        for (uint32_t i = 0; i < count; i++) {
                const struct backend *from = &backends->backend[i];
                struct link_backend *to = &page->backend[i];

                to->addr = from->addr;
                to->port = from->tcp_port;
                to->pool = from->pool;
                atomic_store(&to->state, atomic_load(&from->state));
                atomic_store(&to->sessions, atomic_load(&from->sessions));
                atomic_store(&to->failures, atomic_load(&from->failures));
                atomic_store(&to->transactions, atomic_load(&from->transactions));
                atomic_store(&to->changed_sec, atomic_load(&from->changed_sec));
        }
        atomic_store(&page->backends, count);
}
