/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greylist for one recipient of one session: which keys, what they mean, what is written. The table's
 * own rules are in shared/grey_table.h; this is the part that knows policies and sessions.
 *
 * In three steps, so that a worker can do each for a whole burst of recipients: grey_ask_build() hashes and
 * fetches, grey_ask_judge() reads and decides, grey_ask_delivered() writes once the mail was accepted.
 */
#ifndef GREYLINE_POLICY_GREY_H
#define GREYLINE_POLICY_GREY_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/grey_table.h"
#include "dataplane/shared/grey_tokens.h"
#include "dataplane/shared/image.h"
#include "dataplane/shared/msg.h"

/* One recipient's question. Caller's memory. */
struct grey_ask {
        uint64_t network_key; /* triplet by client network */
        uint64_t pool_key;    /* triplet by sender pool, 0: no pool is proven */
        uint64_t exempt_key;  /* the client network */
        uint16_t policy;      /* index in the image */
        bool may_exempt;      /* the client's answers are complete */
};

/* What grey_ask_judge() says. */
struct grey_answer {
        bool pass;
        bool by_exemption;    /* passed because the network is exempt: its delivery does not count again */
        enum msg_grey state;
        uint32_t wait_sec;    /* when !pass: until a retry passes */
        bool evicted;         /* writing the new entry cost another one */
};

/* What the recipients of one message need when it has been accepted. */
struct grey_due {
        uint64_t network_key;
        uint64_t pool_key;
        uint64_t exempt_key; /* 0: does not count for the network */
        uint16_t policy;
};

/*
 * pool: client_answers.pool, 0: none. sender and recipient as the client gave them, without brackets.
 * Safe on a worker, like everything here.
 */
void grey_ask_build(struct grey_ask *ask, const struct grey_table *table, const struct image *image,
                    uint16_t policy, const struct addr *client, uint64_t pool, bool may_exempt,
                    const char *sender, size_t sender_len, const char *recipient, size_t recipient_len);

struct grey_answer grey_ask_judge(const struct grey_ask *ask, struct grey_table *table,
                                  struct grey_tokens *tokens, const struct image *image, uint32_t now_sec);

/*
 * The message was accepted: renew what passed, count the network. The image may be another than the one that
 * judged.
 */
void grey_due_record(const struct grey_due *due, struct grey_table *table, const struct image *image,
                     uint32_t now_sec);

#endif
