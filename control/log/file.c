/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int log_file_init(struct log_file *file, const char *path, uint64_t rotate_bytes, uint32_t keep)
{
        memset(file, 0, sizeof(*file));
        file->fd = -1;
        if (strlen(path) + sizeof(".100") > sizeof(file->path))
                return -ENAMETOOLONG;
        strcpy(file->path, path);
        file->rotate_bytes = rotate_bytes;
        file->keep = MIN(keep, LOG_FILE_KEEP_MAX);
        return 0;
}

void log_file_path(const struct log_file *file, uint32_t n, char *path, size_t size)
{
        if (n == 0)
                snprintf(path, size, "%s", file->path);
        else
                snprintf(path, size, "%s.%u", file->path, n);
}

void log_file_close(struct log_file *file)
{
        if (file->fd >= 0)
                close(file->fd);
        file->fd = -1;
}

/* A line that a killed process left half written would swallow the next one. */
static int end_torn_line(int fd, uint64_t *bytes)
{
        char last;

        if (*bytes == 0)
                return 0;
        if (pread(fd, &last, 1, (off_t)(*bytes - 1)) != 1)
                return -EIO;
        if (last == '\n')
                return 0;
        if (write(fd, "\n", 1) != 1)
                return -errno;
        *bytes += 1;
        return 0;
}

static int open_file(struct log_file *file)
{
        struct stat st;
        int fd, r;

        fd = open(file->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0)
                return -errno;
        r = fstat(fd, &st) < 0 ? -errno : 0;
        file->bytes = (uint64_t)st.st_size;
        if (r == 0 && S_ISREG(st.st_mode))
                r = end_torn_line(fd, &file->bytes);
        if (r < 0) {
                close(fd);
                return r;
        }
        file->fd = fd;
        return 0;
}

static void rotate(struct log_file *file)
{
        char from[sizeof(file->path) + 8], to[sizeof(file->path) + 8];

        log_file_close(file);
        if (file->keep == 0)
                unlink(file->path);
        for (uint32_t n = file->keep; n > 0; n--) {
                log_file_path(file, n, to, sizeof(to));
                log_file_path(file, n - 1, from, sizeof(from));
                (void)rename(from, to); /* a missing one leaves a gap, no harm */
        }
        file->rotations++;
}

static int append(struct log_file *file, const char *text, size_t len)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = write(file->fd, text + done, len - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        int r = n < 0 ? -errno : -EIO;

                        /* Take the part back, so that a retry does not double it. */
                        if (done > 0 && ftruncate(file->fd, (off_t)file->bytes) < 0)
                                log_file_close(file);
                        return r;
                }
                done += (size_t)n;
        }
        file->bytes += len;
        return 0;
}

int log_file_write(struct log_file *file, const char *text, size_t len, uint32_t lines)
{
        int r = 0;

        if (file->fd >= 0 && file->rotate_bytes > 0 && file->bytes > 0 &&
            file->bytes + len > file->rotate_bytes)
                rotate(file);
        if (file->fd < 0)
                r = open_file(file);
        if (r == 0)
                r = append(file, text, len);
        file->last_error = r;
        if (r < 0)
                file->failures++;
        else
                file->lines += lines;
        return r;
}
