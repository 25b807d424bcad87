/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb table: each command's name, the states it is legal in, its argument form. Used by machine.c alone,
 * which has cut the line out and answers for states and limits.
 */
#ifndef GREYLINE_SMTP_COMMAND_H
#define GREYLINE_SMTP_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/machine.h"

#define SMTP_COMMAND_LAST 0x1u /* must be the last of a pipelined group (RFC 2920, 3.1) */
#define SMTP_COMMAND_IDLE 0x2u /* moves nothing towards a message: limited in number */
#define SMTP_COMMAND_CLEAR 0x8u /* may be said in clear where TLS is required (RFC 3207, 4) */
#define SMTP_COMMAND_TLS  0x10u /* begins TLS */
#define SMTP_COMMAND_LONG 0x4u /* its line may be longer than 512 octets by what its parameters add */

struct smtp_command {
        const char *name;  /* in lower case */
        uint16_t legal_in; /* bit per enum smtp_state */
        uint16_t flags;    /* SMTP_COMMAND_* */
        /*
         * Read the argument (without the SP before it; there may be some behind it) and fill the action. conf is
         * what this client may use. May touch nothing but *ret.
         */
        void (*parse)(const struct smtp_conf *conf, const char *arg, size_t len, struct smtp_action *ret);
};

/*
 * The row of the verb at the start of a line without its CR LF; ret_verb_len is the verb's length.
 * Returns NULL where the verb is not in the table.
 */
const struct smtp_command *smtp_command_lookup(const char *line, size_t len, size_t *ret_verb_len);

/* Fill the action with an error reply; the second, with the action for what is not SMTP at all. */
void smtp_command_fail(struct smtp_action *ret, enum smtp_reply reply, enum smtp_fault fault);
void smtp_command_fail_non_smtp(struct smtp_action *ret);

#endif
