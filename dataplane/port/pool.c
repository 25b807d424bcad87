/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under AddressSanitizer a pool has a driver of its own: a plain ring that poisons each packet, header and
 * buffer, while it is in the pool. Without it a use after free only sees the next packet's bytes. Such pools
 * have no cache per core, since that would keep free packets back from the driver.
 */
#include "dataplane/port/pool.h"

#include <rte_errno.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/poison.h"

#define POOL_CACHE 256u

#ifdef POISON_IS_ON

#include <stdio.h>
#include <stdlib.h>

#include <rte_mempool.h>
#include <rte_ring.h>

struct poison_pool {
        struct rte_ring *ring;
        bool is_armed; /* after the library has initialised the packets */
};

static int poison_alloc(struct rte_mempool *pool)
{
        struct poison_pool *own = calloc(1, sizeof(*own));
        char name[RTE_RING_NAMESIZE];

        if (own == NULL)
                return -ENOMEM;
        snprintf(name, sizeof(name), "P_%.20s", pool->name);
        own->ring = rte_ring_create(name, rte_align32pow2(pool->size + 1), pool->socket_id, 0);
        if (own->ring == NULL) {
                free(own);
                return -rte_errno;
        }
        pool->pool_data = own;
        return 0;
}

static void poison_free(struct rte_mempool *pool)
{
        struct poison_pool *own = pool->pool_data;

        rte_ring_free(own->ring);
        free(own);
}

static int poison_enqueue(struct rte_mempool *pool, void *const *objects, unsigned n)
{
        struct poison_pool *own = pool->pool_data;

        for (unsigned i = 0; own->is_armed && i < n; i++)
                POISON(objects[i], pool->elt_size);
        return rte_ring_mp_enqueue_bulk(own->ring, objects, n, NULL) == 0 ? -ENOBUFS : 0;
}

static int poison_dequeue(struct rte_mempool *pool, void **objects, unsigned n)
{
        struct poison_pool *own = pool->pool_data;

        if (rte_ring_mc_dequeue_bulk(own->ring, objects, n, NULL) == 0)
                return -ENOBUFS;
        for (unsigned i = 0; i < n; i++)
                UNPOISON(objects[i], pool->elt_size);
        return 0;
}

static unsigned poison_count(const struct rte_mempool *pool)
{
        const struct poison_pool *own = pool->pool_data;

        return rte_ring_count(own->ring);
}

static const struct rte_mempool_ops poison_ops = {
        .name = "greyline_poison",
        .alloc = poison_alloc,
        .free = poison_free,
        .enqueue = poison_enqueue,
        .dequeue = poison_dequeue,
        .get_count = poison_count,
};

RTE_MEMPOOL_REGISTER_OPS(poison_ops);

static void poison_one(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
        POISON(object, pool->elt_size);
}

static struct rte_mempool *make(const char *name, unsigned packets, uint16_t room, int socket)
{
        struct rte_mempool *pool =
            rte_pktmbuf_pool_create_by_ops(name, packets, 0, PACKET_PRIV_BYTES, room, socket, "greyline_poison");

        if (pool) {
                ((struct poison_pool *)pool->pool_data)->is_armed = true;
                rte_mempool_obj_iter(pool, poison_one, NULL);
        }
        return pool;
}

#else

static struct rte_mempool *make(const char *name, unsigned packets, uint16_t room, int socket)
{
        return rte_pktmbuf_pool_create(name, packets, MIN(POOL_CACHE, packets / 4), PACKET_PRIV_BYTES, room, socket);
}

#endif

struct rte_mempool *pool_new(const char *name, unsigned packets, uint16_t buffer, int node)
{
        return make(name, packets, (uint16_t)(PACKET_HEADROOM + buffer), node < 0 ? SOCKET_ID_ANY : node);
}
