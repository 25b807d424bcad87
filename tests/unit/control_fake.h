/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dataplane played by a test: it makes the link file and holds the workers' ends of the rings. After
 * cmocka.h.
 */
#ifndef GREYLINE_TESTS_CONTROL_FAKE_H
#define GREYLINE_TESTS_CONTROL_FAKE_H

#include <string.h>
#include <unistd.h>

#include "dataplane/shared/link.h"

/* The dataplane's ends. */
struct fake {
        struct link link;
        struct ring ask[4], answer[4], log[4];
        int bell[4];
};

static inline void fake_open(struct fake *fake, const char *dir, uint32_t workers)
{
        memset(fake, 0, sizeof(*fake));
        assert_int_equal(link_create(&fake->link, dir, workers), 0);
        for (uint32_t i = 0; i < workers; i++) {
                char name[20];

                assert_int_equal(ring_attach_writer(&fake->ask[i], link_ask_ring(&fake->link, i),
                                                    LINK_ASK_SLOTS, sizeof(struct msg_ask)),
                                 0);
                assert_int_equal(ring_attach_reader(&fake->answer[i], link_answer_ring(&fake->link, i),
                                                    LINK_ANSWER_SLOTS, sizeof(struct msg_answer)),
                                 0);
                assert_int_equal(ring_attach_writer(&fake->log[i], link_log_ring(&fake->link, i),
                                                    LINK_LOG_SLOTS, sizeof(struct msg_log)),
                                 0);
                snprintf(name, sizeof(name), "worker.%u", i);
                fake->bell[i] = link_bell_open(dir, name);
                assert_true(fake->bell[i] >= 0);
        }
}

static inline void fake_close(struct fake *fake)
{
        for (uint32_t i = 0; i < fake->link.workers; i++)
                close(fake->bell[i]);
        link_done(&fake->link);
}

static inline bool fake_ask(struct fake *fake, uint32_t worker, struct msg_ask ask)
{
        void *slot = ring_write_slot(&fake->ask[worker]);

        if (slot == NULL)
                return false;
        memcpy(slot, &ask, sizeof(ask));
        ring_write_commit(&fake->ask[worker]);
        ring_write_publish(&fake->ask[worker]);
        return true;
}

static inline struct msg_ask good_ask(uint32_t worker, uint64_t serial)
{
        return (struct msg_ask){
                .kind = MSG_ASK_CLIENT, .worker = worker, .serial = serial, .client.bytes = { 1 }
        };
}

static inline bool fake_log(struct fake *fake, uint32_t worker, uint16_t written_worker, uint64_t session)
{
        struct msg_log record = { .kind = MSG_LOG_SESSION, .worker = written_worker, .session = session };
        void *slot = ring_write_slot(&fake->log[worker]);

        if (slot == NULL)
                return false;
        memcpy(slot, &record, sizeof(record));
        ring_write_commit(&fake->log[worker]);
        ring_write_publish(&fake->log[worker]);
        return true;
}

#endif
