/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What greylinectl can ask for, one function a command; each ends in admin_done() or admin_fail(), some of
 * them later. The table is in command.c.
 */
#ifndef GREYLINE_CONTROL_COMMAND_H
#define GREYLINE_CONTROL_COMMAND_H

#include "control/control.h"

typedef void (*command_fn)(struct control *control, struct admin_request *request);

/* command.c */
void command_status(struct control *control, struct admin_request *request);
void command_counters(struct control *control, struct admin_request *request);
void command_zones(struct control *control, struct admin_request *request);
void command_backends(struct control *control, struct admin_request *request);
void command_drain(struct control *control, struct admin_request *request);
void command_undrain(struct control *control, struct admin_request *request);

/* command_policy.c */
void command_policy_push(struct control *control, struct admin_request *request);
void command_policy_versions(struct control *control, struct admin_request *request);
void command_policy_rollback(struct control *control, struct admin_request *request);
void command_policy_show(struct control *control, struct admin_request *request);

/* command_grey.c */
void command_grey_list(struct control *control, struct admin_request *request);
void command_grey_show(struct control *control, struct admin_request *request);
void command_grey_pass(struct control *control, struct admin_request *request);
void command_grey_remove(struct control *control, struct admin_request *request);

/* Write what the greylist knows about a key under a policy, as members of the open object. */
void command_grey_facts(struct json *json, const struct control *control, uint64_t key, uint16_t policy);

/* command_client.c */
void command_client_show(struct control *control, struct admin_request *request);
void command_explain(struct control *control, struct admin_request *request);

#endif
