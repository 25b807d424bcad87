/* SPDX-License-Identifier: Apache-2.0 */
#include "control/taken.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/shared/siphash.h"

#define TAKEN_PATH_MAX 512

uint64_t taken_fingerprint(const struct image *image, size_t len)
{
        static const struct siphash_key key = { { 0x677265796c696e65u, 0x74616b656e313032u } };
        struct image head = *image;
        uint64_t hash[2];

        head.generation = 0;
        head.compiled_sec = 0;
        head.checksum = 0;
        hash[0] = siphash(&key, &head, sizeof(head));
        hash[1] = siphash(&key, image + 1, len - sizeof(head));
        hash[0] = siphash(&key, hash, sizeof(hash));
        return hash[0] != 0 ? hash[0] : 1;
}

static int taken_path(char path[TAKEN_PATH_MAX], const char *state_dir, const char *suffix)
{
        int len = snprintf(path, TAKEN_PATH_MAX, "%s/policy.taken%s", state_dir, suffix);

        return len < TAKEN_PATH_MAX ? 0 : -ENAMETOOLONG;
}

uint64_t taken_read(const char *state_dir)
{
        char path[TAKEN_PATH_MAX];
        uint64_t fingerprint = 0;
        FILE *file;

        if (taken_path(path, state_dir, "") < 0)
                return 0;
        file = fopen(path, "re");
        if (file == NULL)
                return 0;
        if (fscanf(file, "%16" SCNx64, &fingerprint) != 1)
                fingerprint = 0;
        fclose(file);
        return fingerprint;
}

void taken_write(const char *state_dir, uint64_t fingerprint)
{
        char path[TAKEN_PATH_MAX], new_path[TAKEN_PATH_MAX];
        FILE *file;
        int failed;

        if (taken_path(path, state_dir, "") < 0 || taken_path(new_path, state_dir, ".new") < 0)
                return;
        file = fopen(new_path, "we");
        if (file == NULL)
                return;
        failed = fprintf(file, "%016" PRIx64 "\n", fingerprint) < 0;
        failed |= fclose(file) != 0;
        if (failed || rename(new_path, path) < 0)
                unlink(new_path);
}

int taken_read_file(const char *path, size_t bytes_max, char **ret_text, size_t *ret_len)
{
        size_t len = 0, size = 4096;
        char *text = NULL;
        int fd, r = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
        if (fd < 0)
                return -errno;
        for (;;) {
                char *larger = realloc(text, size + 1);
                ssize_t n;

                if (larger == NULL) {
                        r = -ENOMEM;
                        break;
                }
                text = larger;
                n = read(fd, text + len, size - len);
                if (n <= 0) {
                        r = n < 0 ? -errno : 0;
                        break;
                }
                len += (size_t)n;
                if (len > bytes_max) {
                        r = -EFBIG;
                        break;
                }
                if (len == size)
                        size *= 2;
        }
        close(fd);
        if (r < 0) {
                free(text);
                return r;
        }
        text[len] = '\0';
        *ret_text = text;
        *ret_len = len;
        return 0;
}
