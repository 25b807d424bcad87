/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/certs.h"

#include <stdio.h>
#include <string.h>

#include "dataplane/tls/tls.h"

static_assert(IMAGE_LISTENER_CERTIFICATES_MAX <= TLS_CERTS_MAX, "a set takes all certificates of a listener");

static unsigned files_of(const struct image *image, const struct image_listener *listener,
                         struct tls_files files[TLS_CERTS_MAX])
{
        unsigned n = 0;

        for (uint32_t i = 0; listener->tls != IMAGE_TLS_OFF && i < listener->certificates.count; i++) {
                const struct image_certificate *certificate =
                    image_certificate(image, listener->certificates.first + i);

                files[n++] = (struct tls_files){ image_string(image, certificate->cert),
                                                 image_string(image, certificate->key) };
        }
        return n;
}

/* The set that a listener of this name has in what is in force, or NULL. */
static struct tls_set *set_before(const struct runtime *before, const char *name)
{
        for (uint32_t i = 0; before && i < before->image->listeners.count; i++) {
                if (strcmp(image_string(before->image, image_listener(before->image, i)->name), name) == 0)
                        return before->tls[i];
        }
        return NULL;
}

unsigned certs_load(struct runtime *runtime, const struct runtime *before, char reason[CERTS_REASON_MAX])
{
        const struct image *image = runtime->image;
        unsigned failed = 0;

        for (uint32_t i = 0; i < image->listeners.count; i++) {
                const struct image_listener *listener = image_listener(image, i);
                const char *name = image_string(image, listener->name);
                struct tls_set *old = set_before(before, name);
                struct tls_files files[TLS_CERTS_MAX];
                unsigned n = files_of(image, listener, files);
                char error[TLS_ERROR_MAX];

                if (n == 0)
                        continue;
                if (old && tls_set_is_current(old, name, files, n)) {
                        runtime->tls[i] = tls_set_take(old);
                        continue;
                }
                runtime->tls[i] = tls_set_new(name, files, n, error);
                if (runtime->tls[i])
                        continue;
                if (failed++ == 0)
                        snprintf(reason, CERTS_REASON_MAX, "listener %.32s: %.200s", name, error);
                runtime->tls[i] = tls_set_take(old);
        }
        return failed;
}

bool certs_differ(const struct runtime *runtime)
{
        const struct image *image = runtime->image;

        for (uint32_t i = 0; i < image->listeners.count; i++) {
                const struct image_listener *listener = image_listener(image, i);
                struct tls_files files[TLS_CERTS_MAX];
                unsigned n = files_of(image, listener, files);

                if (n != 0 &&
                    (runtime->tls[i] == NULL ||
                     !tls_set_is_current(runtime->tls[i], image_string(image, listener->name), files, n)))
                        return true;
        }
        return false;
}

uint64_t certs_expire_sec(const struct runtime *runtime)
{
        uint64_t soonest_sec = UINT64_MAX;

        for (uint32_t i = 0; i < runtime->image->listeners.count; i++) {
                if (runtime->tls[i])
                        soonest_sec = MIN(soonest_sec, tls_set_expires_sec(runtime->tls[i]));
        }
        return soonest_sec;
}

void certs_give(struct runtime *runtime)
{
        for (unsigned i = 0; i < IMAGE_LISTENERS_MAX; i++)
                tls_set_give(runtime->tls[i]);
        memset(runtime->tls, 0, sizeof(runtime->tls));
}
