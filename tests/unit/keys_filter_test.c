/* SPDX-License-Identifier: Apache-2.0 */
/* What greyline-keys may still do behind its list of system calls, each thing in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/keys/filter.h"
#include "dataplane/shared/poison.h"

#define PAGE 4096u

static bool map(int protection, int flags, int fd)
{
        return mmap(NULL, PAGE, protection, flags, fd, 0) != MAP_FAILED;
}

static bool map_data(void)
{
        return map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static bool map_writable_code(void)
{
        return map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static bool map_file_as_code(void)
{
        return map(PROT_READ | PROT_EXEC, MAP_PRIVATE, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

static bool protect(int protection)
{
        void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return page != MAP_FAILED && mprotect(page, PAGE, protection) == 0;
}

static bool protect_data(void)
{
        return protect(PROT_READ);
}

static bool data_becomes_code(void)
{
        return protect(PROT_READ | PROT_EXEC);
}

static bool read_file(void)
{
        uint8_t byte;
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

        return fd >= 0 && read(fd, &byte, 1) == 1 && close(fd) == 0;
}

static bool open_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool run_program(void)
{
        char *const argv[] = { "true", NULL }, *const env[] = { NULL };

        return execve("/bin/true", argv, env) == 0;
}

static bool start_process(void)
{
        return fork() >= 0;
}

static bool look_into_parent(void)
{
        return kill(getppid(), 0) == 0;
}

/* How the process ended, as wait() has it. */
static int end_of(bool (*act)(void))
{
        pid_t pid = fork();
        char error[160];
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                int console = open("/dev/null", O_WRONLY | O_CLOEXEC);

                dup2(console, STDERR_FILENO); /* the limit of locked memory is another's concern */
                _exit(filter_install(error, sizeof(error)) < 0 ? 2 : act() ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void test_allowed(void **state)
{
        static const struct {
                const char *name;
                bool (*act)(void);
                bool want;
        } cases[] = {
                { "read a file", read_file, true },
                { "memory for data", map_data, true },
                { "memory that is only read", protect_data, true },
                { "memory that is data and code", map_writable_code, false },
                { "a file as code", map_file_as_code, false },
                { "data that becomes code", data_becomes_code, false },
                { "a socket", open_socket, false },
                { "another program", run_program, false },
                { "another process", start_process, false },
                { "a signal to another process", look_into_parent, false },
        };

#ifdef POISON_IS_ON
        print_message("skipped: under AddressSanitizer the list is off\n");
        skip();
#endif
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                int got = end_of(cases[i].act);

                if (cases[i].want ? got != 0 : !WIFSIGNALED(got) || WTERMSIG(got) != SIGSYS)
                        fail_msg("%s: status %#x", cases[i].name, (unsigned)got);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_allowed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
