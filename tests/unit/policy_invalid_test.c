/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml/invalid/: each file holds one mistake, and in its first line, behind "# ", what must be said about it.
 * The policies that must compile are here too, and that the generated files are what the schema makes today.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "control/policy/policy.h"

static struct policy_errors errors;

static int try_compile(const char *path, const char *site_path)
{
        const struct policy_options options = { .generation = 1, .now_sec = 1795500000 };
        void *image = NULL;
        size_t len;
        int r = policy_compile_file(path, site_path, &options, &errors, &image, &len);

        free(image);
        return r;
}

static void check_invalid(const char *name)
{
        char path[1024], want[512], first[512] = "";
        FILE *file;

        snprintf(path, sizeof(path), "%s/yaml/invalid/%s", SOURCE_ROOT, name);
        file = fopen(path, "r");
        assert_non_null(file);
        assert_non_null(fgets(first, sizeof(first), file));
        fclose(file);
        first[strcspn(first, "\n")] = '\0';
        if (strncmp(first, "# ", 2) != 0)
                fail_msg("%s: no expected message in its first line", name);
        snprintf(want, sizeof(want), "%s:%s", name, first + 2);
        /* By its bare name, so that the message does not depend on where the tree lies. */
        snprintf(path, sizeof(path), "%s/yaml/invalid", SOURCE_ROOT);
        assert_int_equal(chdir(path), 0);
        if (try_compile(name, NULL) != -EINVAL)
                fail_msg("%s was taken", name);
        if (errors.count != 1 || strcmp(errors.text[0], want) != 0)
                fail_msg("%u errors\ngot  %s\nwant %s\nthen %s", errors.count, errors.text[0], want,
                         errors.count > 1 ? errors.text[1] : "");
}

static void test_invalid(void **state)
{
        DIR *dir = opendir(SOURCE_ROOT "/yaml/invalid");
        const struct dirent *entry;
        unsigned count = 0;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                if (strstr(entry->d_name, ".yaml")) {
                        check_invalid(entry->d_name);
                        count++;
                }
        }
        closedir(dir);
        assert_in_range(count, 70, 1000);
}

static void test_valid(void **state)
{
        static const struct {
                const char *path;
                bool needs_site;
        } cases[] = {
                { SOURCE_ROOT "/yaml/minimal.yaml", false },
                { SOURCE_ROOT "/yaml/isp.yaml", false },
                { SOURCE_ROOT "/yaml/reference.yaml", false },
                { SOURCE_ROOT "/yaml/lab.yaml", true },
        };
        char site[] = "/tmp/greyline-site-XXXXXX";
        int fd = mkstemp(site);
        const char text[] = "node: {hostname: mx.greyline.test}\n"
                            "ports: [{name: front, device: x, addresses: [198.18.0.25/24]},\n"
                            "        {name: back, device: y, addresses: [198.19.0.25/24]}]\n"
                            "listeners: [{name: mx, front: [198.18.0.25]}]\n";

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
        close(fd);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                if (try_compile(cases[i].path, cases[i].needs_site ? site : NULL) < 0)
                        fail_msg("%s", errors.text[0]);
        }
        unlink(site);
}

static void check_fresh(const char *what, const char *path)
{
        char command[1024];
        FILE *made, *kept = fopen(path, "r");
        unsigned line = 0;

        snprintf(command, sizeof(command), "%s %s", REFERENCE, what);
        made = popen(command, "r");
        assert_non_null(made);
        assert_non_null(kept);
        for (;;) {
                char a[1024], b[1024];
                const char *got = fgets(a, sizeof(a), made), *want = fgets(b, sizeof(b), kept);

                line++;
                if (!got && !want)
                        break;
                if (!got || !want || strcmp(a, b) != 0)
                        fail_msg("%s:%u differs from the schema; run: %s %s > %s", path, line, REFERENCE,
                                 what, path);
        }
        fclose(kept);
        assert_int_equal(pclose(made), 0);
        assert_true(line > 100);
}

static void test_fresh(void **state)
{
        check_fresh("yaml", SOURCE_ROOT "/yaml/reference.yaml");
        check_fresh("markdown", SOURCE_ROOT "/docs/CONFIG.md");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_fresh),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
