/* SPDX-License-Identifier: Apache-2.0 */
/* The store of versions: numbers, the current one, rollback, damage, and how many are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/policy/versions.h"
#include "dataplane/shared/paths.h"

#define NOW 1795500000u
#define DAY 86400u

static char state_dir[64];

static int make_dir(void **state)
{
        strcpy(state_dir, "/tmp/greyline-versions-XXXXXX");
        return mkdtemp(state_dir) && policy_versions_init(state_dir) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -rf %s", state_dir);
        return system(command);
}

/* Compile a policy with these zones and store it as the next version. Returns its number. */
static uint32_t push(const char *zones)
{
        struct policy_version version = {
                .pushed_sec = NOW, .who = "ro\"ot", .from = "admin", .source = "/etc/greyline/a,b}.yaml"
        };
        struct policy_zone_book book;
        struct policy_options options = { .now_sec = NOW, .zones = &book };
        static struct policy_errors errors;
        char yaml[2048];
        void *image;
        size_t len;

        (void)policy_versions_zones(state_dir, &book);
        version.generation = options.generation = policy_versions_next(state_dir);
        snprintf(yaml, sizeof(yaml),
                 "node: {hostname: mx.example.net}\n"
                 "ports: [{name: a, device: x, addresses: [192.0.2.25/24]}]\n"
                 "listeners: [{name: mx, front: 192.0.2.25}]\n"
                 "pools: {main: {servers: [{address: 192.0.2.40}]}}\n"
                 "domains: {example.org: {}}\nzones: [%s]\n",
                 zones);
        if (policy_compile_text("x.yaml", yaml, strlen(yaml), NULL, &options, &errors, &image, &len) < 0)
                fail_msg("%s", errors.text[0]);
        assert_int_equal(policy_versions_store(state_dir, &version, yaml, strlen(yaml), image, len, &book),
                         0);
        free(image);
        return version.generation;
}

static uint32_t zone_number(uint32_t generation, const char *name)
{
        void *bytes;
        size_t len;
        const struct image *image;
        uint32_t number = 99;

        assert_int_equal(policy_versions_load(state_dir, generation, &bytes, &len), 0);
        image = bytes;
        for (uint32_t i = 0; i < image->zones.count; i++) {
                if (strcmp(image_string(image, image_zone(image, i)->name), name) == 0)
                        number = image_zone(image, i)->number;
        }
        free(bytes);
        return number;
}

static void test_push_and_rollback(void **state)
{
        struct policy_version list[8];
        void *image;
        size_t len;

        assert_int_equal(policy_versions_next(state_dir), 1);
        assert_int_equal(policy_versions_current(state_dir), 0);
        assert_int_equal(policy_versions_load(state_dir, 0, &image, &len), -ENOENT);
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), -ENOENT);

        assert_int_equal(push("{zone: a.test}"), 1);
        assert_int_equal(policy_versions_current(state_dir), 0); /* stored is not yet current */
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), 0);
        assert_int_equal(push("{zone: b.test}"), 2);
        assert_int_equal(policy_versions_make_current(state_dir, 2, NOW), 0);
        assert_int_equal(push("{zone: b.test}, {zone: a.test}"), 3);
        assert_int_equal(policy_versions_current(state_dir), 2);
        assert_int_equal(zone_number(3, "a.test"), 0);
        assert_int_equal(zone_number(3, "b.test"), 1);

        assert_int_equal(policy_versions_before(state_dir, 2), 1);
        assert_int_equal(policy_versions_before(state_dir, 4), 2); /* 3 was stored, and refused */
        assert_int_equal(policy_versions_before(state_dir, 1), 0);
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), 0);
        assert_int_equal(policy_versions_current(state_dir), 1);
        assert_int_equal(policy_versions_next(state_dir), 4);
        assert_int_equal(policy_versions_load(state_dir, 0, &image, &len), 0);
        assert_int_equal(((struct image *)image)->generation, 1);
        free(image);

        assert_int_equal(policy_versions_list(state_dir, list, 8), 3);
        assert_int_equal(list[0].generation, 3);
        assert_int_equal(list[2].generation, 1);
        assert_true(list[2].is_current && !list[0].is_current && !list[1].is_current);
        assert_true(list[2].was_in_force && !list[0].was_in_force && list[1].was_in_force);
        assert_int_equal(list[0].pushed_sec, NOW);
        assert_true(list[0].image_bytes > 1000);
        assert_string_equal(list[0].who, "ro?ot"); /* nothing that could end the JSON string */
        assert_string_equal(list[0].from, "admin");
        assert_string_equal(list[0].source, "/etc/greyline/a,b}.yaml");
        assert_int_equal(policy_versions_list(state_dir, list, 2), 2);
}

static void test_damage(void **state)
{
        struct policy_zone_book book;
        char path[512];
        void *image;
        size_t len;
        int fd;

        assert_int_equal(push("{zone: a.test}"), 1);
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), 0);
        assert_int_equal(push("{zone: a.test}"), 2);
        fd = open(policy_versions_path(state_dir, 2, "image", path, sizeof(path)), O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "x", 1, 700), 1);
        close(fd);
        assert_int_equal(policy_versions_load(state_dir, 2, &image, &len), -EBADMSG);
        assert_int_equal(policy_versions_make_current(state_dir, 2, NOW), -EBADMSG);
        assert_int_equal(policy_versions_current(state_dir), 1);
        assert_int_equal(truncate(path, 100), 0);
        assert_int_equal(policy_versions_load(state_dir, 2, &image, &len), -EBADMSG);
        /* An image under another number's name is not that version. */
        policy_versions_path(state_dir, 2, "image", path, sizeof(path));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("1.image", path), 0);
        assert_int_equal(policy_versions_load(state_dir, 2, &image, &len), -EBADMSG);

        assert_true(policy_versions_zones(state_dir, &book));
        assert_string_equal(book.entry[0].name, "a.test");
        snprintf(path, sizeof(path), "%s/%s/zones", state_dir, PATHS_IMAGES);
        assert_int_equal(truncate(path, 30), 0);
        assert_false(policy_versions_zones(state_dir, &book));
        assert_int_equal(book.entry[0].key, 0);
        /* The image at hand makes a new book. */
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), 0);
        assert_true(policy_versions_zones(state_dir, &book));
        assert_string_equal(book.entry[0].name, "a.test");
}

static void test_numbers_given_away(void **state)
{
        struct policy_zone_book book;

        assert_int_equal(push("{zone: a.test}"), 1);
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), 0);
        assert_int_equal(push("{zone: b.test}"), 2);
        assert_int_equal(policy_versions_make_current(state_dir, 2, NOW + 5), 0);
        assert_true(policy_versions_zones(state_dir, &book));
        assert_int_equal(book.entry[0].unused_since_sec, NOW + 5); /* from when another policy was current */
        assert_int_equal(book.entry[1].unused_since_sec, 0);
        /* Meanwhile number 0 went to a third zone. */
        book.entry[0].key = 12345;
        {
                struct policy_version version = { .generation = 3 };

                assert_int_equal(policy_versions_store(state_dir, &version, "", 0, "", 0, &book), 0);
        }
        assert_int_equal(policy_versions_make_current(state_dir, 1, NOW), -ESTALE);
        assert_int_equal(policy_versions_current(state_dir), 2);
}

static void test_keeps_fifty(void **state)
{
        struct policy_version list[100];
        struct stat st;
        char path[512];

        for (uint32_t i = 1; i <= POLICY_VERSIONS_KEEP + 5; i++) {
                assert_int_equal(push("{zone: a.test}"), i);
                if (i == 2)
                        assert_int_equal(policy_versions_make_current(state_dir, 2, NOW), 0);
        }
        /* The newest fifty, and the current one. */
        assert_int_equal(policy_versions_list(state_dir, list, 100), POLICY_VERSIONS_KEEP + 1);
        assert_int_equal(list[POLICY_VERSIONS_KEEP - 1].generation, 6);
        assert_int_equal(list[POLICY_VERSIONS_KEEP].generation, 2);
        assert_true(stat(policy_versions_path(state_dir, 3, "yaml", path, sizeof(path)), &st) < 0);
        assert_true(stat(policy_versions_path(state_dir, 2, "yaml", path, sizeof(path)), &st) == 0);
        assert_int_equal(policy_versions_current(state_dir), 2);
}

static void test_no_directory(void **state)
{
        struct policy_version version = { .generation = 1 };
        struct policy_zone_book book = { 0 };

        assert_int_equal(policy_versions_next("/nonexistent"), 0);
        assert_int_equal(policy_versions_init("/nonexistent"), -ENOENT);
        assert_int_equal(policy_versions_store("/nonexistent", &version, "", 0, "", 0, &book), -ENOENT);
        assert_int_equal(policy_versions_list("/nonexistent", &version, 1), -ENOENT);
        assert_int_equal(policy_versions_init(state_dir), 0); /* there already: fine */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_push_and_rollback, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_damage, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_numbers_given_away, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_keeps_fifty, make_dir, remove_dir),
                cmocka_unit_test_setup_teardown(test_no_directory, make_dir, remove_dir),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
