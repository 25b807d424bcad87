/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "dataplane/shared/siphash.h"

#define PATH_BYTES 512

static uint64_t header_checksum(const struct mapped_header *head)
{
        static const struct siphash_key key = { { 0x677265796c696e65ull, 0x6d61707065640000ull } };

        return siphash(&key, head, offsetof(struct mapped_header, checksum));
}

static int map(struct mapped_file *file, int fd, size_t bytes)
{
        void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

        if (memory == MAP_FAILED)
                return -errno;
        (void)mlock(memory, bytes); /* best effort: the limit may forbid it */
        file->memory = memory;
        file->bytes = bytes;
        return 0;
}

/* -EPROTO: not a file of this kind; replace it. */
static int check_header(const struct mapped_header *head, size_t bytes, const struct mapped_header *want,
                        bool key_may_differ)
{
        if (head->magic != want->magic || head->version != want->version ||
            head->checksum != header_checksum(head) || head->bytes > bytes ||
            head->bytes < MAPPED_HEADER_BYTES)
                return -EPROTO;
        if (head->key_check != want->key_check)
                return key_may_differ ? -EPROTO : -EKEYREJECTED;
        return 0;
}

static int open_existing(struct mapped_file *file, const char *path, const struct mapped_header *want,
                         bool key_may_differ)
{
        int fd = open(path, O_RDWR | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0) {
                r = -errno;
                goto out;
        }
        r = -EPROTO;
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t)MAPPED_HEADER_BYTES)
                goto out;
        r = map(file, fd, (size_t)st.st_size);
        if (r < 0)
                goto out;
        file->head = *file->memory;
        r = check_header(&file->head, file->bytes, want, key_may_differ);
        if (r < 0)
                mapped_file_close(file);
out:
        close(fd);
        return r;
}

/* hugetlbfs wants whole pages of its own size, which it gives as its block size. */
static size_t round_to_blocks(int fd, size_t bytes)
{
        struct statfs fs;
        size_t block = 4096;

        if (fstatfs(fd, &fs) == 0 && fs.f_bsize > 4096)
                block = (size_t)fs.f_bsize;
        return (bytes + block - 1) / block * block;
}

static int make(struct mapped_file *file, const char *path, const struct mapped_header *want)
{
        char new_path[PATH_BYTES];
        size_t bytes;
        int fd, r;

        if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
                return -ENAMETOOLONG;
        unlink(new_path); /* of a maker that was killed; the lock is ours */
        fd = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
        if (fd < 0)
                return -errno;
        (void)fchmod(fd, 0660); /* whatever the umask: the other process may be another user of the group */
        bytes = round_to_blocks(fd, want->bytes);
        r = -posix_fallocate(fd, 0, (off_t)bytes);
        if (r < 0)
                goto out;
        r = map(file, fd, bytes);
        if (r < 0)
                goto out;
        file->head = *want;
        file->head.checksum = header_checksum(&file->head);
        *file->memory = file->head;
        if (rename(new_path, path) < 0) {
                r = -errno;
                mapped_file_close(file);
        }
out:
        if (r < 0)
                unlink(new_path);
        close(fd);
        return r;
}

/* Returns the descriptor that holds the lock; closing it gives the lock back. */
static int lock_beside(const char *path)
{
        const char *slash = strrchr(path, '/');
        int dir_len = slash ? (int)(slash - path) + 1 : 0;
        char lock_path[PATH_BYTES];
        int fd;

        if (snprintf(lock_path, sizeof(lock_path), "%.*slock", dir_len, path) >= (int)sizeof(lock_path))
                return -ENAMETOOLONG;
        fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
        if (fd < 0)
                return -errno;
        while (flock(fd, LOCK_EX) < 0) {
                int error = errno;

                if (error == EINTR)
                        continue;
                close(fd);
                return -error;
        }
        return fd;
}

int mapped_file_open(struct mapped_file *file, const char *path, const struct mapped_header *want,
                     bool key_may_differ, bool *ret_made)
{
        bool made = false;
        int lock, r;

        r = open_existing(file, path, want, key_may_differ);
        if (r == -ENOENT || r == -EPROTO) {
                lock = lock_beside(path);
                if (lock < 0)
                        return lock;
                /* Another process may have made it while this one waited. */
                r = open_existing(file, path, want, key_may_differ);
                if (r == -ENOENT || r == -EPROTO) {
                        r = make(file, path, want);
                        made = r == 0;
                }
                close(lock);
        }
        if (r == 0 && ret_made)
                *ret_made = made;
        return r;
}

void mapped_file_close(struct mapped_file *file)
{
        if (file->memory)
                munmap(file->memory, file->bytes);
        file->memory = NULL;
        file->bytes = 0;
}
