/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/shared/paths.h"

static int connect_to(const char *run_dir, char *error, size_t error_size)
{
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        struct timeval wait = { .tv_sec = CTL_WAIT_SEC };
        int fd;

        if (snprintf(name.sun_path, sizeof(name.sun_path), "%s/%s", run_dir, PATHS_ADMIN_SOCKET) >=
            (int)sizeof(name.sun_path)) {
                snprintf(error, error_size, "the run directory's name is too long");
                return -1;
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
                setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
        }
        if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
                return fd;
        if (errno == EACCES || errno == EPERM)
                snprintf(error, error_size, "%s may not be used: run as root, or as a member of its group",
                         name.sun_path);
        else
                snprintf(error, error_size,
                         "greyline-control does not run on %s (%s): start it, or name its run directory with "
                         "--run-dir",
                         run_dir, strerror(errno));
        if (fd >= 0)
                close(fd);
        return -1;
}

static int send_all(int fd, const char *text, size_t len)
{
        while (len > 0) {
                ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return -1;
                text += n;
                len -= (size_t)n;
        }
        return 0;
}

/* Read up to the newline. The text is by malloc(). */
static char *receive_line(int fd, size_t *ret_len)
{
        size_t len = 0, size = 0;
        char *text = NULL;

        for (;;) {
                ssize_t n;

                if (len == size) {
                        char *larger;

                        size = size ? 2 * size : 65536;
                        larger = size <= CTL_ANSWER_MAX ? realloc(text, size) : NULL;
                        if (larger == NULL)
                                break;
                        text = larger;
                }
                n = recv(fd, text + len, size - len, 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                len += (size_t)n;
                if (text[len - 1] == '\n') {
                        *ret_len = len;
                        return text;
                }
        }
        free(text);
        return NULL;
}

int ctl_ask(const char *run_dir, const char *command, json_t *args, json_t **ret, char *error,
            size_t error_size)
{
        json_t *request = json_pack("{s:s, s:o}", "command", command, "args", args);
        char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
        char *answer = NULL;
        json_t *root = NULL;
        size_t len = 0;
        int fd = -1;

        if (text == NULL) {
                snprintf(error, error_size, "the request cannot be written as JSON");
                goto out;
        }
        fd = connect_to(run_dir, error, error_size);
        if (fd < 0)
                goto out;
        /* An early answer ("too large") may come before everything was taken, so it is read in any case. */
        if (send_all(fd, text, strlen(text)) == 0)
                (void)send_all(fd, "\n", 1);
        answer = receive_line(fd, &len);
        root = answer ? json_loadb(answer, len, 0, NULL) : NULL;
        if (!json_is_object(root)) {
                json_decref(root);
                root = NULL;
                snprintf(error, error_size,
                         "greyline-control did not answer (it may have been restarted): try again");
        }
out:
        json_decref(request);
        free(text);
        free(answer);
        if (fd >= 0)
                close(fd);
        *ret = root;
        return root ? 0 : -1;
}
