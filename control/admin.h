/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: one JSON object a line in each direction, {"command": "status", "args": {...}} and
 * {"ok": true, "result": ...} or {"ok": false, "error": "..."}. Who may connect is decided by the file's mode
 * (0660, group greyline). Everything is bounded all the same: connections, bytes of a request and of an
 * answer, requests a second, idle time; one request of a connection is under way at a time.
 */
#ifndef GREYLINE_CONTROL_ADMIN_H
#define GREYLINE_CONTROL_ADMIN_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/json.h"
#include "control/loop.h"

#define ADMIN_CONNS_MAX    32u
#define ADMIN_REQUEST_MAX  (8u << 20) /* bytes of a line: a policy file fits */
#define ADMIN_ANSWER_MAX   (8u << 20)
#define ADMIN_RATE_MAX     500u /* requests a second, of all connections together */
#define ADMIN_IDLE_MS      60000u
#define ADMIN_BUFFERED_MAX (32u << 20) /* bytes of unfinished requests together */

struct admin;

/* One request under way. */
struct admin_request;

/* Called for each request; must lead to one admin_done() or admin_fail(), now or later. */
typedef void (*admin_fn)(void *arg, struct admin_request *request);

struct admin_stats {
        uint64_t connections, refused; /* refused: too many at one time */
        uint64_t requests, bad_requests;
        uint32_t open;
};

/* Bind and listen. A file left by a killed control is replaced. Returns 0 or a negative errno. */
int admin_new(struct admin **ret, struct loop *loop, const char *path, admin_fn fn, void *arg) MUST_CHECK;

/* Requests under way are dropped. NULL is fine. */
void admin_free(struct admin *admin);

/* The parts of a request. args is an object, never NULL. All live until the request ends. */
const char *admin_command(const struct admin_request *request);
const json_t *admin_args(const struct admin_request *request);
uid_t admin_uid(const struct admin_request *request); /* of the process at the other end */

/*
 * The name of an argument that no command has, or whose value has another type than the commands take, with what was
 * wanted; NULL when there is none.
 */
const char *admin_wrong_arg(const struct admin_request *request, const char **ret_wanted);

/* A string or number of args, or the default when it is not there. */
const char *admin_string(const struct admin_request *request, const char *key, const char *otherwise);
int64_t admin_int(const struct admin_request *request, const char *key, int64_t otherwise);

/* Write exactly one value (key "result") here, then call admin_done(). */
struct json *admin_result(struct admin_request *request);

/* Send what was written. The request is gone afterwards. */
void admin_done(struct admin_request *request);

/* Send an error instead, one line for people. The request is gone afterwards. */
void admin_fail(struct admin_request *request, const char *format, ...) PRINTF(2, 3);

struct admin_stats admin_stats(const struct admin *admin);

#endif
