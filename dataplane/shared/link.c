/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/shared/paths.h"

#define LINK_MAGIC    0x474c4c4bu
#define LINK_PATH_MAX 512

static size_t ask_bytes(void)
{
        return ring_bytes(LINK_ASK_SLOTS, sizeof(struct msg_ask));
}

static size_t answer_bytes(void)
{
        return ring_bytes(LINK_ANSWER_SLOTS, sizeof(struct msg_answer));
}

static size_t worker_bytes(void)
{
        return ask_bytes() + answer_bytes() + ring_bytes(LINK_LOG_SLOTS, sizeof(struct msg_log));
}

static size_t page_bytes(void)
{
        return (sizeof(struct link_page) + 4095) & ~(size_t)4095;
}

static int path_in(char path[LINK_PATH_MAX], const char *dir, const char *name, const char *suffix)
{
        int len = snprintf(path, LINK_PATH_MAX, "%s/%s%s", dir, name, suffix);

        return len < LINK_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int map_file(struct link *link, int fd, size_t bytes)
{
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

        if (memory == MAP_FAILED)
                return -errno;
        (void)mlock(memory, bytes); /* best effort: the limit may forbid it */
        link->page = memory;
        link->bytes = bytes;
        link->rings = (uint8_t *)memory + page_bytes();
        return 0;
}

static void format(struct link *link, uint32_t workers)
{
        struct link_page *page = link->page;
        uint64_t generation = 0;
        struct timespec wall;

        if (getrandom(&generation, sizeof(generation), 0) != sizeof(generation) || generation == 0)
                generation = (uint64_t)getpid() << 32 | 1;
        clock_gettime(CLOCK_REALTIME, &wall);
        link->workers = workers;
        link->generation = generation;
        for (uint32_t worker = 0; worker < workers; worker++) {
                ring_format(link_ask_ring(link, worker), LINK_ASK_SLOTS, sizeof(struct msg_ask));
                ring_format(link_answer_ring(link, worker), LINK_ANSWER_SLOTS, sizeof(struct msg_answer));
                ring_format(link_log_ring(link, worker), LINK_LOG_SLOTS, sizeof(struct msg_log));
        }
        page->version = LINK_VERSION;
        page->generation = generation;
        page->workers = workers;
        page->dataplane_pid = getpid();
        page->started_sec = (uint64_t)wall.tv_sec;
        page->magic = LINK_MAGIC;
}

int link_create(struct link *link, const char *run_dir, uint32_t workers)
{
        char path[LINK_PATH_MAX], new_path[LINK_PATH_MAX];
        size_t bytes = page_bytes() + workers * worker_bytes();
        struct link made = { 0 };
        int fd, r;

        BUG_ON(workers == 0 || workers > LINK_WORKERS_MAX);
        r = path_in(path, run_dir, PATHS_LINK, "");
        if (r == 0)
                r = path_in(new_path, run_dir, PATHS_LINK, ".new");
        if (r < 0)
                return r;
        unlink(new_path);
        fd = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
        if (fd < 0)
                return -errno;
        (void)fchmod(fd, 0660); /* whatever the umask: control may be another user of the group */
        r = -posix_fallocate(fd, 0, (off_t)bytes); /* a sparse file would be a SIGBUS later */
        if (r < 0)
                goto out;
        r = map_file(&made, fd, bytes);
        if (r < 0)
                goto out;
        format(&made, workers);
        if (rename(new_path, path) < 0) {
                r = -errno;
                link_done(&made);
                goto out;
        }
        *link = made;
out:
        if (r < 0)
                unlink(new_path);
        close(fd);
        return r;
}

int link_attach(struct link *link, const char *run_dir)
{
        char path[LINK_PATH_MAX];
        struct link found = { 0 };
        struct stat st;
        int fd, r;

        r = path_in(path, run_dir, PATHS_LINK, "");
        if (r < 0)
                return r;
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = -EPROTO;
        if (fstat(fd, &st) < 0 || (size_t)st.st_size < page_bytes())
                goto out;
        r = map_file(&found, fd, (size_t)st.st_size);
        if (r < 0)
                goto out;
        found.generation = found.page->generation;
        found.workers = found.page->workers;
        if (found.page->magic != LINK_MAGIC || found.page->version != LINK_VERSION || found.workers == 0 ||
            found.workers > LINK_WORKERS_MAX ||
            found.bytes != page_bytes() + found.workers * worker_bytes()) {
                link_done(&found);
                r = -EPROTO;
                goto out;
        }
        *link = found;
        r = 0;
out:
        close(fd);
        return r;
}

bool link_is_stale(const struct link *link, const char *run_dir)
{
        struct link_page head;
        char path[LINK_PATH_MAX];
        ssize_t got;
        int fd;

        if (path_in(path, run_dir, PATHS_LINK, "") < 0)
                return false;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        got = pread(fd, &head, offsetof(struct link_page, workers), 0);
        close(fd);
        return got == (ssize_t)offsetof(struct link_page, workers) && head.magic == LINK_MAGIC &&
               head.generation != link->generation;
}

void link_done(struct link *link)
{
        if (link->page)
                munmap(link->page, link->bytes);
        memset(link, 0, sizeof(*link));
}

static uint8_t *worker_rings(const struct link *link, uint32_t worker)
{
        BUG_ON(worker >= link->workers);
        return link->rings + worker * worker_bytes();
}

void *link_ask_ring(const struct link *link, uint32_t worker)
{
        return worker_rings(link, worker);
}

void *link_answer_ring(const struct link *link, uint32_t worker)
{
        return worker_rings(link, worker) + ask_bytes();
}

void *link_log_ring(const struct link *link, uint32_t worker)
{
        return worker_rings(link, worker) + ask_bytes() + answer_bytes();
}

int link_bell_open(const char *run_dir, const char *name)
{
        char path[LINK_PATH_MAX];
        int fd, len;

        len = snprintf(path, sizeof(path), "%s/bell.%s", run_dir, name);
        if (len >= (int)sizeof(path))
                return -ENAMETOOLONG;
        if (mkfifo(path, 0660) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        (void)fchmod(fd, 0660); /* works for the owner; the other side finds it done */
        return fd;
}

void link_bell_ring(int bell)
{
        ssize_t sent = write(bell, "", 1);

        (void)sent; /* full means that the reader has a wake-up waiting */
}

void link_bell_clear(int bell)
{
        char bytes[256];

        while (read(bell, bytes, sizeof(bytes)) == sizeof(bytes))
                ;
}
