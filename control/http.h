/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small HTTP server for machines: /metrics and /healthz. GET and HEAD only, no request body, bounded
 * connections, memory and time; libmicrohttpd runs inside the loop and is known to http.c alone. It listens
 * on loopback unless the operator says otherwise, since it has no notion of who may ask.
 */
#ifndef GREYLINE_CONTROL_HTTP_H
#define GREYLINE_CONTROL_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "control/loop.h"

#define HTTP_CONNS_MAX 32u

struct http;

struct http_answer {
        unsigned status; /* 404 when the path is not known */
        const char *type;
        char *text; /* by malloc(); freed by http.c */
        size_t len;
};

/* Called for each request; path is the peer's. Fills *ret (zeroed). */
typedef void (*http_fn)(void *arg, const char *path, struct http_answer *ret);

/*
 * listen: "ADDR:PORT", "[ADDR6]:PORT" or "PORT" (on 127.0.0.1); port 0 takes a free one. Copied.
 * Returns 0, -EINVAL for a malformed address, or another negative errno (-EADDRINUSE).
 */
int http_new(struct http **ret, struct loop *loop, const char *listen, http_fn fn, void *arg) MUST_CHECK;
void http_free(struct http *http);

/* The port that was bound. */
uint16_t http_port(const struct http *http);
uint64_t http_requests(const struct http *http);

#endif
