/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that the dataplane and greyline-keys share, with the test as the dataplane: the list, requests of several
 * workers, restarts of either side, what is too old, full rings, and a file that lies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

#include "control/keys/serve.h"
#include "tests/unit/tls_rig.h"

#define NOW_MS 5000000000ull /* beyond 32 bits */

static char dir[96];
static struct server server;
static struct keys_link page;
static struct ring requests[2], answers[2];
static uint8_t ec[KEYS_FINGERPRINT];

/* A dataplane starts. */
static void start_dataplane(void)
{
        keys_done(&page);
        assert_int_equal(keys_create(&page, dir), 0);
        for (unsigned w = 0; w < 2; w++) {
                assert_int_equal(ring_attach_writer(&requests[w], keys_request_ring(&page, w), KEYS_SLOTS,
                                                    sizeof(struct keys_request)), 0);
                assert_int_equal(ring_attach_reader(&answers[w], keys_answer_ring(&page, w), KEYS_SLOTS,
                                                    sizeof(struct keys_answer)), 0);
        }
        atomic_store(&page.page->workers, 2);
}

static void want_key(unsigned index, const uint8_t key[KEYS_FINGERPRINT], const char *path)
{
        memcpy(page.page->wanted[index].key, key, KEYS_FINGERPRINT);
        snprintf(page.page->wanted[index].path, KEYS_PATH_MAX, "%s", path);
}

static void submit(uint32_t count)
{
        atomic_store(&page.page->list_count, count);
        atomic_fetch_add(&page.page->list_version, 1);
}

static bool ask(unsigned worker, uint64_t serial, uint64_t asked_ms)
{
        struct keys_request *slot = ring_write_slot(&requests[worker]);

        if (slot == NULL)
                return false;
        memset(slot, 0, sizeof(*slot));
        slot->serial = serial;
        slot->asked_ms = (uint32_t)asked_ms;
        slot->algorithm = KEYS_ECDSA_SHA256;
        slot->digest_len = 32;
        memcpy(slot->key, ec, sizeof(ec));
        ring_write_commit(&requests[worker]);
        ring_write_publish(&requests[worker]);
        return true;
}

/* Status of the next answer, 0 for none. */
static unsigned next_answer(unsigned worker, uint64_t want_serial)
{
        const struct keys_answer *slot = ring_read_slot(&answers[worker]);
        unsigned status;

        if (slot == NULL)
                return 0;
        assert_int_equal(slot->serial, want_serial);
        status = slot->status;
        ring_read_release(&answers[worker]);
        return status;
}

static int begin(void **state)
{
        static unsigned number;
        char name[32];

        snprintf(name, sizeof(name), "keys%u", number++);
        snprintf(dir, sizeof(dir), "%s", tls_rig_path(name));
        start_dataplane();
        serve_init(&server, dir);
        want_key(0, ec, tls_rig_path("ec.key"));
        submit(1);
        return 0;
}

static int end(void **state)
{
        serve_done(&server);
        keys_done(&page);
        return 0;
}

static void test_directory_is_closed(void **state)
{
        char path[128];
        struct stat st;

        assert_int_equal(stat(dir, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        snprintf(path, sizeof(path), "%s/link", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_up_and_down(void **state)
{
        assert_false(keys_is_up(NULL, NOW_MS));
        assert_false(keys_is_up(&page.page->beat_ms, NOW_MS));
        serve_turn(&server, NOW_MS);
        assert_true(keys_is_up(&page.page->beat_ms, NOW_MS));
        assert_true(keys_is_up(&page.page->beat_ms, NOW_MS - 1)); /* clocks read in another order */
        assert_true(keys_is_up(&page.page->beat_ms, NOW_MS + KEYS_DOWN_MS - 1));
        assert_false(keys_is_up(&page.page->beat_ms, NOW_MS + KEYS_DOWN_MS));
        serve_turn(&server, NOW_MS + 10 * KEYS_DOWN_MS);
        assert_true(keys_is_up(&page.page->beat_ms, NOW_MS + 10 * KEYS_DOWN_MS));
        serve_done(&server); /* an end in order is known at once */
        assert_false(keys_is_up(&page.page->beat_ms, NOW_MS + 10 * KEYS_DOWN_MS));
}

static void test_list(void **state)
{
        static const uint8_t other[KEYS_FINGERPRINT] = { 1 };

        serve_turn(&server, NOW_MS);
        assert_int_equal(atomic_load(&page.page->list_done), 1);
        assert_int_equal(atomic_load(&page.page->state[0].is_held), 1);
        want_key(0, other, tls_rig_path("ec.key"));
        want_key(1, ec, "/gone"); /* held, and not read again */
        want_key(2, other, "");
        memset(page.page->wanted[2].path, 'x', KEYS_PATH_MAX); /* has no end */
        submit(3);
        serve_turn(&server, NOW_MS + 1);
        assert_int_equal(atomic_load(&page.page->list_done), 2);
        assert_int_equal(atomic_load(&page.page->state[0].is_held), 0);
        assert_non_null(strstr(page.page->state[0].reason, "key values mismatch"));
        assert_int_equal(atomic_load(&page.page->state[1].is_held), 1);
        assert_int_equal(atomic_load(&page.page->state[2].is_held), 0);
        /* More than there can be: as many as there are. */
        submit(UINT32_MAX);
        serve_turn(&server, NOW_MS + 2);
        assert_int_equal(atomic_load(&page.page->list_done), 3);
}

/* Workers are served in turn, however many requests one has. */
static void test_in_turn(void **state)
{
        serve_turn(&server, NOW_MS);
        for (uint64_t i = 0; i < 10; i++)
                assert_true(ask(0, i, NOW_MS));
        assert_true(ask(1, 100, NOW_MS));
        assert_int_equal(serve_turn(&server, NOW_MS), 2);
        assert_int_equal(next_answer(1, 100), KEYS_DONE);
        assert_int_equal(next_answer(0, 0), KEYS_DONE);
        assert_int_equal(next_answer(0, 1), 0);
        for (uint64_t i = 1; i < 10; i++) {
                assert_false(serve_may_sleep(&server));
                assert_int_equal(serve_turn(&server, NOW_MS), 1);
                assert_int_equal(next_answer(0, i), KEYS_DONE);
        }
        assert_int_equal(serve_turn(&server, NOW_MS), 0);
        assert_true(serve_may_sleep(&server));
        assert_true(ask(0, 11, NOW_MS)); /* the writer saw that we sleep */
        assert_false(serve_may_sleep(&server));
}

static void test_bells(void **state)
{
        struct pollfd bell = { .fd = keys_bell_open(dir, "worker.1"), .events = POLLIN };

        assert_true(bell.fd >= 0);
        serve_turn(&server, NOW_MS);
        assert_true(ask(1, 1, NOW_MS));
        serve_turn(&server, NOW_MS);
        assert_int_equal(poll(&bell, 1, 0), 0); /* the worker is awake */
        assert_int_equal(next_answer(1, 1), KEYS_DONE);
        assert_true(ring_read_may_sleep(&answers[1]));
        assert_true(ask(1, 2, NOW_MS));
        serve_turn(&server, NOW_MS);
        assert_int_equal(poll(&bell, 1, 0), 1);
        close(bell.fd);
        /* A file where a bell should be is none. */
        assert_int_equal(keys_bell_open(dir, "../link"), -ENOENT);
        assert_int_equal(symlink("/dev/null", tls_rig_path("bell.x")), 0);
        assert_int_equal(keys_bell_open(tls_rig_dir, "x"), -ELOOP);
}

/* Killed and started again: the keys are read again, requests that waited are answered, none is lost or answered twice. */
static void test_restart(void **state)
{
        static struct server successor;

        serve_turn(&server, NOW_MS);
        for (uint64_t i = 0; i < 5; i++)
                assert_true(ask(0, i, NOW_MS));
        serve_turn(&server, NOW_MS);
        serve_turn(&server, NOW_MS);
        serve_init(&successor, dir); /* the first one says nothing any more */
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(serve_turn(&successor, NOW_MS + 100), 1);
        assert_int_equal(serve_turn(&successor, NOW_MS + 100), 0);
        for (uint64_t i = 0; i < 5; i++)
                assert_int_equal(next_answer(0, i), KEYS_DONE);
        assert_int_equal(next_answer(0, 5), 0);
        serve_done(&successor);
}

/* The dataplane is started again: another file, found within half a second, or at once when it rings. */
static void test_new_file(void **state)
{
        serve_turn(&server, NOW_MS);
        start_dataplane();
        want_key(0, ec, tls_rig_path("ec.key"));
        submit(1);
        assert_true(ask(0, 1, NOW_MS));
        assert_int_equal(serve_turn(&server, NOW_MS + 1), 0);
        assert_int_equal(serve_turn(&server, NOW_MS + 500), 1);
        assert_int_equal(next_answer(0, 1), KEYS_DONE);
        assert_true(keys_is_up(&page.page->beat_ms, NOW_MS + 500));
}

/* Whoever asked has given up after two seconds: no signature is made for it, and none of a time that has not come. */
static void test_too_old(void **state)
{
        serve_turn(&server, NOW_MS);
        assert_true(ask(0, 1, NOW_MS - KEYS_WAIT_MS - 1));
        assert_true(ask(0, 2, NOW_MS - KEYS_WAIT_MS));
        assert_true(ask(0, 3, NOW_MS + 5));
        for (unsigned i = 0; i < 3; i++)
                serve_turn(&server, NOW_MS);
        assert_int_equal(next_answer(0, 2), KEYS_DONE);
        assert_int_equal(next_answer(0, 3), KEYS_DONE);
        assert_int_equal(next_answer(0, 0), 0);
}

/* A worker that takes no answers stops its own requests, and nobody else's; greyline-keys does not spin for it. */
static void test_full_rings(void **state)
{
        unsigned asked = 0, served = 0;

        serve_turn(&server, NOW_MS);
        for (unsigned round = 0; round < 3; round++) {
                while (ask(0, asked, NOW_MS))
                        asked++;
                for (unsigned i = 0; i < 2 * KEYS_SLOTS; i++)
                        served += serve_turn(&server, NOW_MS);
        }
        assert_int_equal(asked, 2 * KEYS_SLOTS);
        assert_int_equal(served, KEYS_SLOTS);
        assert_true(serve_may_sleep(&server));
        assert_true(ask(1, 1, NOW_MS));
        assert_int_equal(serve_turn(&server, NOW_MS), 1);
        assert_int_equal(next_answer(1, 1), KEYS_DONE);
        for (uint64_t i = 0; i < 2 * KEYS_SLOTS; i++) {
                assert_int_equal(next_answer(0, i), KEYS_DONE);
                serve_turn(&server, NOW_MS);
        }
}

/* Indices and counts that make no sense: nothing is read beyond the file, and the process lives. */
static void test_lying_file(void **state)
{
        uint64_t *words = keys_request_ring(&page, 0);

        serve_turn(&server, NOW_MS);
        for (unsigned i = 2; i < 32; i++) { /* behind magic and geometry: indices, flags */
                for (uint64_t value = 1; value != 0; value = value << 7 | (value == 1 ? 1 : 0)) {
                        uint64_t before = words[i];

                        words[i] = value;
                        (void)serve_turn(&server, NOW_MS);
                        (void)serve_may_sleep(&server);
                        words[i] = before;
                }
        }
        atomic_store(&page.page->workers, UINT32_MAX);
        (void)serve_turn(&server, NOW_MS);
        /* A ring that is none at the next attachment. */
        words[0] = 0;
        page.page->generation++;
        (void)serve_turn(&server, NOW_MS + 1000);
        assert_null(server.link.page);
        (void)serve_turn(&server, NOW_MS + 2000);
}

/* Another version, another length, no file: not attached, and tried again. */
static void test_no_file(void **state)
{
        static struct server lonely;
        struct keys_link link = { 0 };
        char path[128];

        serve_init(&lonely, tls_rig_path("nowhere"));
        assert_int_equal(serve_turn(&lonely, NOW_MS), 0);
        assert_true(serve_may_sleep(&lonely));
        serve_done(&lonely);
        assert_int_equal(keys_attach(&link, tls_rig_path("nowhere")), -ENOENT);
        page.page->version++;
        assert_int_equal(keys_attach(&link, dir), -EPROTO);
        snprintf(path, sizeof(path), "%s/link", dir);
        keys_done(&page);
        assert_int_equal(truncate(path, 4096), 0);
        assert_int_equal(keys_attach(&link, dir), -EPROTO);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(keys_attach(&link, dir), -EPROTO);
        assert_false(keys_is_stale(&link, dir));
}

static int setup(void **state)
{
        char error[TLS_ERROR_MAX];
        struct tls_files files = { tls_rig_path("ec.crt"), tls_rig_path("ec.key") };
        struct tls_set *set;
        struct tls_key key;

        tls_rig_certificate("ec", "mx.test", false, 86400);
        set = tls_set_new("mx", &files, 1, error);
        assert_non_null(set);
        tls_set_key(set, 0, &key);
        memcpy(ec, key.key, sizeof(ec));
        tls_set_give(set);
        return 0;
}

static int teardown(void **state)
{
        tls_rig_done();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_directory_is_closed, begin, end),
                cmocka_unit_test_setup_teardown(test_up_and_down, begin, end),
                cmocka_unit_test_setup_teardown(test_list, begin, end),
                cmocka_unit_test_setup_teardown(test_in_turn, begin, end),
                cmocka_unit_test_setup_teardown(test_bells, begin, end),
                cmocka_unit_test_setup_teardown(test_restart, begin, end),
                cmocka_unit_test_setup_teardown(test_new_file, begin, end),
                cmocka_unit_test_setup_teardown(test_too_old, begin, end),
                cmocka_unit_test_setup_teardown(test_full_rings, begin, end),
                cmocka_unit_test_setup_teardown(test_lying_file, begin, end),
                cmocka_unit_test_setup_teardown(test_no_file, begin, end),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
