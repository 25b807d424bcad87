/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the recursive resolvers, by c-ares; resolver.c is the only file that knows it.
 *
 * Several channels share the load, each with its own source port and at most RESOLVER_CHANNEL_MAX questions
 * in flight; a channel is replaced by a fresh one once a minute, because c-ares 1.18 keeps the source port of
 * a channel for as long as it lives. Nothing here blocks, and nothing is called back: finished questions are
 * fetched with dns_resolver_next().
 *
 * To the event loop the resolver is one descriptor (an epoll set of its sockets): wait until it is readable or
 * the timeout has passed, then call dns_resolver_turn().
 */
#ifndef GREYLINE_DNS_RESOLVER_H
#define GREYLINE_DNS_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "control/dns/answer.h"
#include "dataplane/shared/addr.h"

#define RESOLVER_CHANNELS    4u
#define RESOLVER_CHANNEL_MAX 500u /* its lists are walked linearly */
#define RESOLVER_WINDOW      (RESOLVER_CHANNELS * RESOLVER_CHANNEL_MAX)
#define RESOLVER_SERVERS_MAX 8u
#define RESOLVER_RENEW_MS    60000u

struct dns_server {
        struct addr addr;
        uint16_t port;
};

struct dns_resolver_conf {
        struct dns_server servers[RESOLVER_SERVERS_MAX];
        unsigned servers_used;
        uint32_t timeout_ms;  /* of the first try; later tries wait twice as long each */
        uint32_t deadline_ms; /* all tries end before this: the timeout is cut where they would not */
};

/* One finished question. */
struct dns_reply {
        uint64_t tag; /* as given to dns_resolver_ask() */
        uint32_t took_us;
        struct dns_answer answer;
};

struct dns_resolver;

/* Allocates the slots of the whole window at once. Returns 0 or a negative errno. */
int dns_resolver_new(struct dns_resolver **ret) MUST_CHECK;

/* Questions in flight are forgotten. */
void dns_resolver_free(struct dns_resolver *resolver);

/*
 * Set servers and times. Questions in flight are finished by the old servers, new ones go to the new.
 * No servers at all is allowed: every question then fails at once. Returns 0 or a negative errno, and then
 * the old setting stays.
 */
int dns_resolver_configure(struct dns_resolver *resolver, const struct dns_resolver_conf *conf,
                           uint64_t now_us) MUST_CHECK;

/*
 * Ask for records of one type. name: absolute, without the last dot. The reply carries the tag.
 * Returns 0, -EAGAIN when the window is full (nothing was sent), or -EINVAL for a name that is no name.
 */
int dns_resolver_ask(struct dns_resolver *resolver, enum dns_type type, const char *name, uint64_t tag,
                     uint64_t now_us) MUST_CHECK;

/* Questions that can be asked before the window is full, and questions without a reply yet. */
unsigned dns_resolver_room(const struct dns_resolver *resolver);
unsigned dns_resolver_in_flight(const struct dns_resolver *resolver);

/* The descriptor to wait on (readable), and the longest wait in milliseconds (-1: for ever). */
int dns_resolver_fd(const struct dns_resolver *resolver);
int dns_resolver_timeout_ms(const struct dns_resolver *resolver);

/* Read what came in, resend what is due. now: monotonic microseconds. */
void dns_resolver_turn(struct dns_resolver *resolver, uint64_t now_us);

/* Fetch one finished question. Returns false when there is none. */
bool dns_resolver_next(struct dns_resolver *resolver, struct dns_reply *ret);

#endif
