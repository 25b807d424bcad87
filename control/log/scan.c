/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCAN_BLOCK (1u << 20)

/* The last place of the needle in the block, or NULL. */
static const char *find_last(const char *block, size_t len, const char *needle, size_t needle_len)
{
        const char *found = NULL, *at = block;

        while ((at = memmem(at, len - (size_t)(at - block), needle, needle_len)) != NULL)
                found = at++;
        return found;
}

/* Cut out the line around a place in the file. */
static int read_line(int fd, uint64_t at, char line[LOG_SCAN_LINE_MAX])
{
        uint64_t from = at > LOG_SCAN_LINE_MAX ? at - LOG_SCAN_LINE_MAX : 0;
        char *around = malloc(2 * LOG_SCAN_LINE_MAX);
        const char *begin, *end;
        ssize_t got;
        int r = -ENOENT;

        if (around == NULL)
                return -ENOMEM;
        got = pread(fd, around, 2 * LOG_SCAN_LINE_MAX, (off_t)from);
        if (got < 0) {
                r = -errno;
                goto out;
        }
        if ((uint64_t)got <= at - from)
                goto out;
        begin = memrchr(around, '\n', at - from);
        begin = begin ? begin + 1 : around;
        end = memchr(around + (at - from), '\n', (size_t)got - (at - from));
        if (end == NULL || (size_t)(end - begin) >= LOG_SCAN_LINE_MAX)
                goto out;
        memcpy(line, begin, (size_t)(end - begin));
        line[end - begin] = '\0';
        r = 0;
out:
        free(around);
        return r;
}

/* Search one file from its end, and take what was read off *left. */
static int scan_file(const char *path, const char *needle, char *block, uint64_t *left,
                     char line[LOG_SCAN_LINE_MAX])
{
        size_t needle_len = strlen(needle);
        struct stat st;
        uint64_t end;
        int fd, r = -ENOENT;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        end = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        while (r == -ENOENT && end > 0 && *left > 0) {
                uint64_t from = end > SCAN_BLOCK ? end - SCAN_BLOCK : 0;
                ssize_t got = pread(fd, block, (size_t)(end - from), (off_t)from);
                const char *found;

                if (got <= 0) {
                        r = got < 0 ? -errno : -ENOENT;
                        break;
                }
                found = find_last(block, (size_t)got, needle, needle_len);
                if (found)
                        r = read_line(fd, from + (uint64_t)(found - block), line);
                *left -= MIN(*left, (uint64_t)got);
                /* Blocks overlap, so that an id across the border is seen. */
                end = from > 0 ? from + needle_len : 0;
        }
        close(fd);
        return r;
}

int log_scan(const struct log_file *file, const char id[EXPLAIN_ID_LEN], char line[LOG_SCAN_LINE_MAX])
{
        char path[sizeof(file->path) + 8], needle[EXPLAIN_ID_LEN + 16];
        uint64_t left = LOG_SCAN_BYTES_MAX;
        char *block = malloc(SCAN_BLOCK);
        int r = -ENOENT;

        if (block == NULL)
                return -ENOMEM;
        snprintf(needle, sizeof(needle), "\"id\":\"%.*s\"", EXPLAIN_ID_LEN, id);
        for (uint32_t n = 0; r == -ENOENT && n <= file->keep && left > 0; n++) {
                log_file_path(file, n, path, sizeof(path));
                r = scan_file(path, needle, block, &left, line);
        }
        free(block);
        return r;
}
