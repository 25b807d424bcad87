/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/keyring.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dataplane/shared/link.h"

#define FIND_MS 1000u /* greyline-keys finds a new file in less: it is rung, and looks every half second */

static uint64_t clock_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int keyring_open(struct keyring *keyring, const char *dir)
{
        int r = keys_create(&keyring->link, dir);

        keyring->bell = -1;
        if (r < 0)
                return r;
        keyring->bell = keys_bell_open(dir, "keys");
        if (keyring->bell < 0) {
                keys_done(&keyring->link);
                return keyring->bell;
        }
        keyring->dir = dir;
        keyring->opened_ms = clock_ms();
        link_bell_ring(keyring->bell);
        return 0;
}

static uint32_t index_of(const struct keyring *keyring, const uint8_t key[KEYS_FINGERPRINT])
{
        for (uint32_t i = 0; i < keyring->count; i++) {
                if (memcmp(keyring->key[i], key, KEYS_FINGERPRINT) == 0)
                        return i;
        }
        return KEYS_LIST_MAX;
}

void keyring_begin(struct keyring *keyring)
{
        keyring->count = 0;
}

void keyring_add(struct keyring *keyring, const struct tls_key *key)
{
        struct keys_page *page = keyring->link.page;

        /* What finds no room, or has too long a name, is not held: keyring_holds() says so. */
        if (page == NULL || keyring->count == KEYS_LIST_MAX || strlen(key->path) >= KEYS_PATH_MAX ||
            index_of(keyring, key->key) != KEYS_LIST_MAX)
                return;
        memcpy(keyring->key[keyring->count], key->key, KEYS_FINGERPRINT);
        memcpy(page->wanted[keyring->count].key, key->key, KEYS_FINGERPRINT);
        memcpy(page->wanted[keyring->count].path, key->path, strlen(key->path) + 1);
        keyring->count++;
}

void keyring_submit(struct keyring *keyring)
{
        struct keys_page *page = keyring->link.page;

        if (page == NULL)
                return;
        atomic_store(&page->list_count, keyring->count);
        atomic_store_explicit(&page->list_version, ++keyring->version, memory_order_release);
        link_bell_ring(keyring->bell);
}

static bool is_read(const struct keyring *keyring)
{
        const struct keys_page *page = keyring->link.page;

        return page && atomic_load_explicit(&page->list_done, memory_order_acquire) == keyring->version;
}

bool keyring_is_up(const struct keyring *keyring, uint64_t now_ms)
{
        const struct keys_page *page = keyring->link.page;

        return page && keys_is_up(&page->beat_ms, now_ms);
}

/* Down, and not only because it has had no time yet to find the new file. */
static bool is_down(const struct keyring *keyring, uint64_t now_ms)
{
        return !keyring_is_up(keyring, now_ms) &&
               (now_ms - keyring->opened_ms >= FIND_MS || atomic_load(&keyring->link.page->beat_ms) != 0);
}

bool keyring_wait(const struct keyring *keyring, unsigned timeout_ms)
{
        const struct timespec step = { .tv_nsec = 1000000 };
        uint64_t until_ms = clock_ms() + timeout_ms;

        while (!is_read(keyring)) {
                uint64_t now_ms = clock_ms();

                if (keyring->link.page == NULL || now_ms >= until_ms || is_down(keyring, now_ms))
                        return false;
                nanosleep(&step, NULL);
        }
        return true;
}

bool keyring_holds(const struct keyring *keyring, const uint8_t key[KEYS_FINGERPRINT], char reason[KEYS_REASON_MAX])
{
        const struct keys_page *page = keyring->link.page;
        uint32_t index = index_of(keyring, key);
        char why[KEYS_REASON_MAX];

        if (page && index != KEYS_LIST_MAX && is_read(keyring)) {
                if (atomic_load_explicit(&page->state[index].is_held, memory_order_relaxed) != 0)
                        return true;
                memcpy(why, page->state[index].reason, sizeof(why));
                why[sizeof(why) - 1] = '\0';
        } else {
                snprintf(why, sizeof(why), "%s", page == NULL ? "nothing is shared with greyline-keys"
                                                 : index == KEYS_LIST_MAX && is_read(keyring)
                                                     ? "too many keys, or too long a path"
                                                     : "greyline-keys does not answer: start it");
        }
        for (char *c = why; *c; c++) {
                if ((unsigned char)*c < ' ')
                        *c = '?'; /* another process's words, for our log */
        }
        if (reason)
                memcpy(reason, why, sizeof(why));
        return false;
}
