/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/certs.h"

#define RETIRED_MAX 8u

struct retired {
        struct runtime *runtime;
        uint64_t token;
        bool keeps_image; /* a later runtime has it, with other certificates */
};

struct publish {
        struct runtime *_Atomic current;
        struct rte_rcu_qsbr *qsbr;
        struct keyring *keyring;
        struct retired retired[RETIRED_MAX];
        unsigned n_retired;
};

struct publish *publish_new(unsigned workers, struct keyring *keyring)
{
        struct publish *publish = calloc(1, sizeof(*publish));
        size_t bytes = rte_rcu_qsbr_get_memsize(workers);

        if (publish == NULL)
                return NULL;
        publish->keyring = keyring;
        publish->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(bytes, RTE_CACHE_LINE_SIZE));
        if (publish->qsbr == NULL || rte_rcu_qsbr_init(publish->qsbr, workers) != 0) {
                publish_free(publish);
                return NULL;
        }
        return publish;
}

static void runtime_free(struct runtime *runtime, bool keeps_image)
{
        if (runtime == NULL)
                return;
        certs_give(runtime);
        if (!keeps_image)
                free((void *)(uintptr_t)runtime->image);
        free(runtime);
}

void publish_free(struct publish *publish)
{
        if (publish == NULL)
                return;
        for (unsigned i = 0; i < publish->n_retired; i++)
                runtime_free(publish->retired[i].runtime, publish->retired[i].keeps_image);
        runtime_free(atomic_load(&publish->current), false);
        free(publish->qsbr);
        free(publish);
}

/* The whole file in memory of our own: what is checked is what is used. */
static int read_file(const char *path, void **ret, size_t *ret_len)
{
        struct stat st;
        uint8_t *bytes = NULL;
        size_t len, done = 0;
        int fd, r = -EBADMSG;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || st.st_size <= 0 || (uint64_t)st.st_size > IMAGE_BYTES_MAX)
                goto out;
        len = (size_t)st.st_size;
        r = -ENOMEM;
        bytes = aligned_alloc(IMAGE_ALIGN, (len + IMAGE_ALIGN - 1) & ~(size_t)(IMAGE_ALIGN - 1));
        if (bytes == NULL)
                goto out;
        while (done < len) {
                ssize_t got = read(fd, bytes + done, len - done);

                if (got <= 0) {
                        r = got < 0 ? -errno : -EBADMSG;
                        goto out;
                }
                done += (size_t)got;
        }
        *ret = bytes;
        *ret_len = len;
        bytes = NULL;
        r = 0;
out:
        free(bytes);
        close(fd);
        return r;
}

/* There is room among the retired. */
static void put_in_force(struct publish *publish, struct runtime *runtime, bool keeps_image)
{
        struct runtime *old = atomic_exchange(&publish->current, runtime);

        if (old)
                publish->retired[publish->n_retired++] =
                    (struct retired){ old, rte_rcu_qsbr_start(publish->qsbr), keeps_image };
}

int publish_load(struct publish *publish, const char *path, uint32_t generation, struct backends *backends,
                 char reason[IMAGE_REASON_MAX])
{
        struct runtime *runtime = calloc(1, sizeof(*runtime));
        void *bytes = NULL;
        size_t len = 0;
        int r = -ENOMEM;

        publish_reclaim(publish);
        snprintf(reason, IMAGE_REASON_MAX, "out of memory");
        if (runtime == NULL)
                return r;
        r = -EBUSY;
        snprintf(reason, IMAGE_REASON_MAX, "a worker still holds an image of %u versions ago", RETIRED_MAX);
        if (publish->n_retired == RETIRED_MAX)
                goto out;
        r = read_file(path, &bytes, &len);
        if (r < 0) {
                snprintf(reason, IMAGE_REASON_MAX, "%.200s: %s", path, strerror(-r));
                goto out;
        }
        runtime->image = bytes;
        r = image_check(bytes, len, reason);
        if (r < 0)
                goto out;
        if (generation != 0 && runtime->image->generation != generation) {
                snprintf(reason, IMAGE_REASON_MAX, "%.180s is version %u, not %u", path,
                         runtime->image->generation, generation);
                r = -ESTALE;
                goto out;
        }
        reason[0] = '\0';
        r = -EACCES;
        if (certs_load(runtime, atomic_load(&publish->current), publish->keyring, reason) != 0 && generation != 0)
                goto out;
        backends_apply(backends, runtime->image, runtime->server_map);
        put_in_force(publish, runtime, false);
        return 0;
out:
        runtime->image = bytes;
        runtime_free(runtime, false);
        return r;
}

int publish_certs(struct publish *publish, char reason[IMAGE_REASON_MAX])
{
        struct runtime *old = atomic_load(&publish->current), *runtime;
        unsigned changed = 0;

        reason[0] = '\0';
        if (!certs_differ(old))
                return 0;
        publish_reclaim(publish);
        if (publish->n_retired == RETIRED_MAX)
                return 0; /* the next look at the files finds the same */
        runtime = calloc(1, sizeof(*runtime));
        if (runtime == NULL)
                return -ENOMEM;
        *runtime = *old;
        memset(runtime->tls, 0, sizeof(runtime->tls));
        (void)certs_load(runtime, old, publish->keyring, reason);
        for (unsigned i = 0; i < IMAGE_LISTENERS_MAX; i++)
                changed += runtime->tls[i] != old->tls[i];
        if (changed == 0) {
                runtime_free(runtime, true);
                return -EACCES;
        }
        put_in_force(publish, runtime, true);
        return 1;
}

void publish_reclaim(struct publish *publish)
{
        unsigned kept = 0;

        for (unsigned i = 0; i < publish->n_retired; i++) {
                struct retired *retired = &publish->retired[i];

                if (rte_rcu_qsbr_check(publish->qsbr, retired->token, false) == 1)
                        runtime_free(retired->runtime, retired->keeps_image);
                else
                        publish->retired[kept++] = *retired;
        }
        publish->n_retired = kept;
}

const struct runtime *publish_current(const struct publish *publish)
{
        return atomic_load_explicit(&publish->current, memory_order_acquire);
}

void publish_register(struct publish *publish, unsigned worker)
{
        rte_rcu_qsbr_thread_register(publish->qsbr, worker);
        rte_rcu_qsbr_thread_online(publish->qsbr, worker);
}

void publish_unregister(struct publish *publish, unsigned worker)
{
        rte_rcu_qsbr_thread_offline(publish->qsbr, worker);
        rte_rcu_qsbr_thread_unregister(publish->qsbr, worker);
}

void publish_quiescent(struct publish *publish, unsigned worker)
{
        rte_rcu_qsbr_quiescent(publish->qsbr, worker);
}

void publish_sleep(struct publish *publish, unsigned worker)
{
        rte_rcu_qsbr_thread_offline(publish->qsbr, worker);
}

void publish_wake(struct publish *publish, unsigned worker)
{
        rte_rcu_qsbr_thread_online(publish->qsbr, worker);
}
