/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/certs.h"

#include <stdio.h>
#include <string.h>

#include "dataplane/tls/tls.h"

#define HOLD_WAIT_MS  1000u /* for greyline-keys to read what is new */
#define HOLD_RETRY_MS 2000u /* a file may be there, or be closed to others, the next time */

static_assert(2 * IMAGE_CERTIFICATES_MAX <= KEYS_LIST_MAX, "the keys of two policies fit");
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

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void want(struct keyring *keyring, const struct runtime *runtime)
{
        for (uint32_t l = 0; runtime && l < runtime->image->listeners.count; l++) {
                for (unsigned i = 0; runtime->tls[l] && i < tls_set_keys(runtime->tls[l]); i++) {
                        struct tls_key key;

                        tls_set_key(runtime->tls[l], i, &key);
                        keyring_add(keyring, &key);
                }
        }
}

/* Mark what is held of a set. Returns how many keys are not; reason: about the first, if nothing is there yet. */
static unsigned mark(struct tls_set *set, const struct keyring *keyring, const char *name,
                     char reason[CERTS_REASON_MAX])
{
        unsigned missing = 0;

        for (unsigned i = 0; i < tls_set_keys(set); i++) {
                char why[KEYS_REASON_MAX];
                struct tls_key key;
                bool is_held;

                tls_set_key(set, i, &key);
                is_held = keyring_holds(keyring, key.key, why);
                tls_set_hold(set, i, is_held);
                if (is_held)
                        continue;
                if (missing++ == 0 && reason[0] == '\0')
                        snprintf(reason, CERTS_REASON_MAX, "listener %.32s: %.100s: %.100s", name, key.path, why);
        }
        return missing;
}

bool certs_follow(const struct runtime *runtime, struct keyring *keyring, uint64_t now_ms,
                  char reason[CERTS_REASON_MAX])
{
        static uint64_t due_ms;
        static const struct runtime *listed;
        const struct image *image = runtime->image;
        unsigned missing = 0;

        reason[0] = '\0';
        if (keyring->link.page == NULL)
                return false; /* said at the start */
        /* What only the policy before wanted goes. A runtime at the address of one that was freed has another list in time:
         * whatever is missing is wanted again below. */
        if (listed != runtime) {
                keyring_begin(keyring);
                want(keyring, runtime);
                keyring_submit(keyring);
                listed = runtime;
        }
        if (!keyring_wait(keyring, HOLD_WAIT_MS))
                return false;
        for (uint32_t l = 0; l < image->listeners.count; l++) {
                if (runtime->tls[l])
                        missing += mark(runtime->tls[l], keyring, image_string(image, image_listener(image, l)->name),
                                        reason);
        }
        if (missing != 0 && now_ms >= due_ms) {
                due_ms = now_ms + HOLD_RETRY_MS;
                listed = NULL;
        }
        return true;
}

/* --- sets --------------------------------------------------------------------------------------------------------- */

/* The sets of certificates, from files or from before. Returns how many listeners' files cannot be used. */
static unsigned read_sets(struct runtime *runtime, const struct runtime *before, bool is_new[IMAGE_LISTENERS_MAX],
                          char reason[CERTS_REASON_MAX])
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

                is_new[i] = false;
                if (n == 0)
                        continue;
                if (old && tls_set_is_current(old, name, files, n)) {
                        runtime->tls[i] = tls_set_take(old);
                        continue;
                }
                runtime->tls[i] = tls_set_new(name, files, n, error);
                is_new[i] = runtime->tls[i] != NULL;
                if (is_new[i])
                        continue;
                if (failed++ == 0)
                        snprintf(reason, CERTS_REASON_MAX, "listener %.32s: %.200s", name, error);
                runtime->tls[i] = tls_set_take(old);
        }
        return failed;
}

unsigned certs_load(struct runtime *runtime, const struct runtime *before, struct keyring *keyring,
                    char reason[CERTS_REASON_MAX])
{
        const struct image *image = runtime->image;
        bool is_new[IMAGE_LISTENERS_MAX], any = false;
        unsigned failed = read_sets(runtime, before, is_new, reason);

        for (uint32_t i = 0; i < image->listeners.count; i++)
                any |= is_new[i];
        if (!any)
                return failed;
        keyring_begin(keyring);
        want(keyring, before);
        want(keyring, runtime);
        keyring_submit(keyring);
        (void)keyring_wait(keyring, HOLD_WAIT_MS);
        for (uint32_t i = 0; i < image->listeners.count; i++) {
                const char *name = image_string(image, image_listener(image, i)->name);
                struct tls_set *old = set_before(before, name);
                char why[CERTS_REASON_MAX] = "";

                if (!is_new[i] || mark(runtime->tls[i], keyring, name, why) == 0)
                        continue;
                if (failed++ == 0)
                        snprintf(reason, CERTS_REASON_MAX, "%s", why);
                if (old) {
                        tls_set_give(runtime->tls[i]);
                        runtime->tls[i] = tls_set_take(old);
                }
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
