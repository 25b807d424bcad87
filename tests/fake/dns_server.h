/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DNS server on a loopback port of its own, inside the test process: UDP and TCP, with a script of what to
 * answer. It answers only in its turns, so a test decides when. Names without a script do not exist.
 */
#ifndef GREYLINE_FAKE_DNS_SERVER_H
#define GREYLINE_FAKE_DNS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum fake_dns_kind {
        FAKE_DNS_RECORDS, /* records, see fake_dns_record() */
        FAKE_DNS_NONE,    /* NXDOMAIN with an SOA of ttl */
        FAKE_DNS_NODATA,  /* no error, no records, SOA of ttl */
        FAKE_DNS_RCODE,   /* number: 2 SERVFAIL, 5 REFUSED ... */
        FAKE_DNS_SILENT,
        FAKE_DNS_BY_TCP,   /* UDP says truncated; the records come by TCP */
        FAKE_DNS_GARBAGE,  /* the right id, then number bytes of junk */
        FAKE_DNS_WRONG_ID, /* the records under another id */
        FAKE_DNS_MANY,     /* number A records 127.0.0.2, by TCP */
        FAKE_DNS_LOOP,     /* two aliases that point at each other */
};

struct fake_dns;

struct fake_dns *fake_dns_new(void);
void fake_dns_free(struct fake_dns *fake);
uint16_t fake_dns_port(const struct fake_dns *fake);

/* From now on name is answered so; records given for it before are forgotten. */
void fake_dns_script(struct fake_dns *fake, const char *name, enum fake_dns_kind kind, uint32_t ttl_sec,
                     unsigned number);

/* Add a record to a script (made as FAKE_DNS_RECORDS if there is none). type: 1 A, 5 CNAME, 12 PTR, 28 AAAA. */
void fake_dns_record(struct fake_dns *fake, const char *name, unsigned type, const char *data,
                     uint32_t ttl_sec);

/* What is answered for names below this domain that have no script. */
void fake_dns_default(struct fake_dns *fake, const char *domain, enum fake_dns_kind kind, uint32_t ttl_sec,
                      unsigned number);

/* Nothing is answered at all while deaf; questions still count. */
void fake_dns_deaf(struct fake_dns *fake, bool deaf);

/* Questions seen for a name, for names below a domain, by TCP. */
unsigned fake_dns_seen(const struct fake_dns *fake, const char *name);
unsigned fake_dns_seen_below(const struct fake_dns *fake, const char *domain);
unsigned fake_dns_seen_by_tcp(const struct fake_dns *fake);
unsigned fake_dns_ports_seen(const struct fake_dns *fake); /* different source ports, up to 64 */

/* Answer what came in; waits at most wait_ms for something, on extra_fd as well when that is not -1. */
void fake_dns_turn(struct fake_dns *fake, int wait_ms, int extra_fd);

#endif
