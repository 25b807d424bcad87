/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/shared/link.h"

static_assert(KEYS_WORKERS_MAX == LINK_WORKERS_MAX, "every worker has its rings");

#define KEYS_MAGIC    0x474c4b53u
#define KEYS_NAME     "link"
#define KEYS_PATH_LEN 512

static size_t request_bytes(void)
{
        return ring_bytes(KEYS_SLOTS, sizeof(struct keys_request));
}

static size_t worker_bytes(void)
{
        return request_bytes() + ring_bytes(KEYS_SLOTS, sizeof(struct keys_answer));
}

static size_t page_bytes(void)
{
        return (sizeof(struct keys_page) + 4095) & ~(size_t)4095;
}

static size_t file_bytes(void)
{
        return page_bytes() + KEYS_WORKERS_MAX * worker_bytes();
}

static int path_in(char path[KEYS_PATH_LEN], const char *dir, const char *name)
{
        return snprintf(path, KEYS_PATH_LEN, "%s/%s", dir, name) < KEYS_PATH_LEN ? 0 : -ENAMETOOLONG;
}

/* What root makes in the directory is the directory's owner's. */
static int give(const char *dir, int fd)
{
        struct stat st;

        if (geteuid() != 0)
                return 0;
        if (stat(dir, &st) < 0)
                return -errno;
        /* greyline-keys that stays root may not even ask for a change. */
        if (st.st_uid == 0)
                return 0;
        return fchown(fd, st.st_uid, st.st_gid) < 0 ? -errno : 0;
}

static int map(struct keys_link *link, int fd)
{
        void *memory = mmap(NULL, file_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

        if (memory == MAP_FAILED)
                return -errno;
        link->page = memory;
        link->bytes = file_bytes();
        link->rings = (uint8_t *)memory + page_bytes();
        return 0;
}

static void format(struct keys_link *link)
{
        uint64_t generation = 0;

        if (getrandom(&generation, sizeof(generation), 0) != sizeof(generation) || generation == 0)
                generation = (uint64_t)getpid() << 32 | 1;
        for (uint32_t worker = 0; worker < KEYS_WORKERS_MAX; worker++) {
                ring_format(keys_request_ring(link, worker), KEYS_SLOTS, sizeof(struct keys_request));
                ring_format(keys_answer_ring(link, worker), KEYS_SLOTS, sizeof(struct keys_answer));
        }
        link->page->version = KEYS_VERSION;
        link->page->generation = link->generation = generation;
        link->page->magic = KEYS_MAGIC;
}

int keys_create(struct keys_link *link, const char *dir)
{
        char path[KEYS_PATH_LEN], new_path[KEYS_PATH_LEN];
        struct keys_link made = { 0 };
        int fd, r;

        r = path_in(path, dir, KEYS_NAME);
        if (r == 0)
                r = path_in(new_path, dir, KEYS_NAME ".new");
        if (r < 0)
                return r;
        if (mkdir(dir, 0700) < 0 && errno != EEXIST)
                return -errno;
        unlink(new_path);
        fd = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = give(dir, fd);
        if (r == 0)
                r = -posix_fallocate(fd, 0, (off_t)file_bytes()); /* a sparse file would be a SIGBUS later */
        if (r == 0)
                r = map(&made, fd);
        if (r == 0) {
                format(&made);
                if (rename(new_path, path) < 0) {
                        r = -errno;
                        keys_done(&made);
                }
        }
        if (r == 0)
                *link = made;
        else
                unlink(new_path);
        close(fd);
        return r;
}

int keys_attach(struct keys_link *link, const char *dir)
{
        char path[KEYS_PATH_LEN];
        struct keys_link found = { 0 };
        struct stat st;
        int fd, r;

        r = path_in(path, dir, KEYS_NAME);
        if (r < 0)
                return r;
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        r = -EPROTO;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == file_bytes())
                r = map(&found, fd);
        close(fd);
        if (r < 0)
                return r;
        found.generation = found.page->generation;
        if (found.page->magic != KEYS_MAGIC || found.page->version != KEYS_VERSION) {
                keys_done(&found);
                return -EPROTO;
        }
        *link = found;
        return 0;
}

bool keys_is_stale(const struct keys_link *link, const char *dir)
{
        struct {
                uint32_t magic, version;
                uint64_t generation;
        } head;
        char path[KEYS_PATH_LEN];
        ssize_t got;
        int fd;

        static_assert(offsetof(struct keys_page, generation) == 8, "as read here");
        if (path_in(path, dir, KEYS_NAME) < 0)
                return false;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return false;
        got = pread(fd, &head, sizeof(head), 0);
        close(fd);
        return got == (ssize_t)sizeof(head) && head.magic == KEYS_MAGIC && head.generation != link->generation;
}

void keys_done(struct keys_link *link)
{
        if (link->page)
                munmap(link->page, link->bytes);
        memset(link, 0, sizeof(*link));
}

void *keys_request_ring(const struct keys_link *link, uint32_t worker)
{
        BUG_ON(worker >= KEYS_WORKERS_MAX);
        return link->rings + worker * worker_bytes();
}

void *keys_answer_ring(const struct keys_link *link, uint32_t worker)
{
        return (uint8_t *)keys_request_ring(link, worker) + request_bytes();
}

int keys_bell_open(const char *dir, const char *name)
{
        char path[KEYS_PATH_LEN];
        struct stat st;
        int fd, r;

        if (snprintf(path, sizeof(path), "%s/bell.%s", dir, name) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        if (mkfifo(path, 0600) < 0 && errno != EEXIST)
                return -errno;
        /* Not through a link: root opens this in a directory that is another's. */
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else
                r = S_ISFIFO(st.st_mode) ? give(dir, fd) : -EINVAL;
        if (r == 0)
                return fd;
        close(fd);
        return r;
}

uint16_t keys_digest_len(uint16_t algorithm)
{
        static const uint16_t len[KEYS_ALGORITHMS] = {
                [KEYS_RSA_PKCS1_SHA256] = 32, [KEYS_RSA_PKCS1_SHA384] = 48, [KEYS_RSA_PKCS1_SHA512] = 64,
                [KEYS_RSA_PSS_SHA256] = 32,   [KEYS_RSA_PSS_SHA384] = 48,   [KEYS_RSA_PSS_SHA512] = 64,
                [KEYS_ECDSA_SHA256] = 32,     [KEYS_ECDSA_SHA384] = 48,     [KEYS_ECDSA_SHA512] = 64,
        };

        return algorithm < KEYS_ALGORITHMS ? len[algorithm] : 0;
}
