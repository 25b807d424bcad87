/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "dataplane/shared/paths.h"

#define PATH_BYTES 512

static int read_secret(struct secret *ret, const char *path)
{
        struct secret found;
        uint8_t more;
        ssize_t got;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        int r = 0;

        if (fd < 0)
                return -errno;
        got = read(fd, found.bytes, sizeof(found.bytes));
        if (got < 0)
                r = -errno;
        else if (got != (ssize_t)sizeof(found.bytes) || read(fd, &more, 1) != 0)
                r = -EBADMSG;
        else
                *ret = found;
        close(fd);
        return r;
}

/* Written under a name of its own and linked when complete: nobody ever reads half a secret. */
static int make_secret(const char *path)
{
        char new_path[PATH_BYTES];
        struct secret made;
        int fd, r = 0;

        if (getrandom(made.bytes, sizeof(made.bytes), 0) != (ssize_t)sizeof(made.bytes))
                return -EIO;
        if (snprintf(new_path, sizeof(new_path), "%s.%ld", path, (long)getpid()) >= (int)sizeof(new_path))
                return -ENAMETOOLONG;
        unlink(new_path);
        fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
        if (fd < 0)
                return -errno;
        if (write(fd, made.bytes, sizeof(made.bytes)) != (ssize_t)sizeof(made.bytes) || fsync(fd) < 0)
                r = errno ? -errno : -EIO;
        close(fd);
        if (r == 0 && link(new_path, path) < 0 && errno != EEXIST)
                r = -errno;
        unlink(new_path);
        return r;
}

int secret_open(struct secret *ret, const char *state_dir)
{
        char path[PATH_BYTES];
        int r;

        if (snprintf(path, sizeof(path), "%s/%s", state_dir, PATHS_SECRET) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        r = read_secret(ret, path);
        if (r != -ENOENT)
                return r;
        r = make_secret(path);
        return r < 0 ? r : read_secret(ret, path);
}

struct siphash_key secret_key(const struct secret *secret, const char *label)
{
        uint8_t message[1 + 16 + 16] = { 0 };
        struct siphash_key master, key;

        memcpy(&master, secret->bytes, sizeof(master));
        memcpy(message + 1, secret->bytes + 16, 16);
        memcpy(message + 17, label, MIN(strlen(label), 16));
        key.word[0] = siphash(&master, message, sizeof(message));
        message[0] = 1;
        key.word[1] = siphash(&master, message, sizeof(message));
        return key;
}

uint64_t secret_check(const struct siphash_key *key)
{
        static const char message[] = "greyline: the same secret?";

        return siphash(key, message, sizeof(message) - 1);
}
