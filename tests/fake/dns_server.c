/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/dns_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/shared/bug.h"

#define SCRIPTS_MAX 256
#define RECORDS_MAX 8
#define SEEN_MAX    20000
#define TCP_MAX     16
#define MESSAGE_MAX 65535

struct record {
        unsigned type;
        uint32_t ttl_sec;
        char data[256];
};

struct script {
        char name[256];
        bool below; /* for the names below it */
        enum fake_dns_kind kind;
        uint32_t ttl_sec;
        unsigned number;
        unsigned records;
        struct record record[RECORDS_MAX];
};

struct seen {
        char name[256];
};

struct fake_dns {
        int udp, tcp;
        int conn[TCP_MAX];
        uint16_t port;
        bool deaf;
        unsigned scripts;
        struct script script[SCRIPTS_MAX];
        unsigned seen_used, by_tcp;
        struct seen *seen;
        unsigned ports_used;
        uint16_t ports[64];
};

struct message {
        uint8_t bytes[MESSAGE_MAX];
        size_t len;
};

struct fake_dns *fake_dns_new(void)
{
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct fake_dns *fake = calloc(1, sizeof(*fake));
        socklen_t len = sizeof(at);

        BUG_ON(fake == NULL);
        fake->seen = calloc(SEEN_MAX, sizeof(*fake->seen));
        BUG_ON(fake->seen == NULL);
        for (unsigned i = 0; i < TCP_MAX; i++)
                fake->conn[i] = -1;
        /* The same number for both: a port free for UDP may be taken for TCP, then another is tried. */
        for (unsigned tries = 0; tries < 20; tries++) {
                at.sin_port = 0;
                fake->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                fake->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                BUG_ON(bind(fake->udp, (struct sockaddr *)&at, sizeof(at)) < 0);
                BUG_ON(getsockname(fake->udp, (struct sockaddr *)&at, &len) < 0);
                if (bind(fake->tcp, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fake->tcp, 16) == 0) {
                        fake->port = ntohs(at.sin_port);
                        return fake;
                }
                close(fake->udp);
                close(fake->tcp);
        }
        BUG_ON(true);
        return NULL;
}

void fake_dns_free(struct fake_dns *fake)
{
        for (unsigned i = 0; i < TCP_MAX; i++)
                if (fake->conn[i] >= 0)
                        close(fake->conn[i]);
        close(fake->udp);
        close(fake->tcp);
        free(fake->seen);
        free(fake);
}

uint16_t fake_dns_port(const struct fake_dns *fake)
{
        return fake->port;
}

static bool is_below(const char *name, const char *domain)
{
        size_t len = strlen(name), domain_len = strlen(domain);

        return len > domain_len && name[len - domain_len - 1] == '.' &&
               strcasecmp(name + len - domain_len, domain) == 0;
}

static struct script *find_script(struct fake_dns *fake, const char *name, bool below)
{
        for (unsigned i = 0; i < fake->scripts; i++)
                if (fake->script[i].below == below && strcasecmp(fake->script[i].name, name) == 0)
                        return &fake->script[i];
        return NULL;
}

static struct script *make_script(struct fake_dns *fake, const char *name, bool below)
{
        struct script *script = find_script(fake, name, below);

        if (script == NULL) {
                BUG_ON(fake->scripts == SCRIPTS_MAX);
                script = &fake->script[fake->scripts++];
        }
        memset(script, 0, sizeof(*script));
        snprintf(script->name, sizeof(script->name), "%s", name);
        script->below = below;
        return script;
}

static void set_script(struct script *script, enum fake_dns_kind kind, uint32_t ttl_sec, unsigned number)
{
        script->kind = kind;
        script->ttl_sec = ttl_sec;
        script->number = number;
}

void fake_dns_script(struct fake_dns *fake, const char *name, enum fake_dns_kind kind, uint32_t ttl_sec,
                     unsigned number)
{
        set_script(make_script(fake, name, false), kind, ttl_sec, number);
}

void fake_dns_default(struct fake_dns *fake, const char *domain, enum fake_dns_kind kind, uint32_t ttl_sec,
                      unsigned number)
{
        set_script(make_script(fake, domain, true), kind, ttl_sec, number);
}

void fake_dns_record(struct fake_dns *fake, const char *name, unsigned type, const char *data,
                     uint32_t ttl_sec)
{
        struct script *script = find_script(fake, name, false);
        struct record *record;

        if (script == NULL)
                script = make_script(fake, name, false);
        BUG_ON(script->records == RECORDS_MAX);
        record = &script->record[script->records++];
        record->type = type;
        record->ttl_sec = ttl_sec;
        snprintf(record->data, sizeof(record->data), "%s", data);
}

void fake_dns_deaf(struct fake_dns *fake, bool deaf)
{
        fake->deaf = deaf;
}

unsigned fake_dns_seen(const struct fake_dns *fake, const char *name)
{
        unsigned count = 0;

        for (unsigned i = 0; i < fake->seen_used; i++)
                count += strcasecmp(fake->seen[i].name, name) == 0;
        return count;
}

unsigned fake_dns_seen_below(const struct fake_dns *fake, const char *domain)
{
        unsigned count = 0;

        for (unsigned i = 0; i < fake->seen_used; i++)
                count += is_below(fake->seen[i].name, domain);
        return count;
}

unsigned fake_dns_seen_by_tcp(const struct fake_dns *fake)
{
        return fake->by_tcp;
}

unsigned fake_dns_ports_seen(const struct fake_dns *fake)
{
        return fake->ports_used;
}

/* ---- messages ------------------------------------------------------------------------------------------ */

static void put(struct message *message, const void *bytes, size_t len)
{
        BUG_ON(message->len + len > MESSAGE_MAX);
        memcpy(message->bytes + message->len, bytes, len);
        message->len += len;
}

static void put_u16(struct message *message, unsigned value)
{
        uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

        put(message, bytes, 2);
}

static void put_u32(struct message *message, uint32_t value)
{
        put_u16(message, value >> 16);
        put_u16(message, value & 0xffff);
}

static void put_name(struct message *message, const char *name)
{
        while (*name != '\0') {
                size_t len = strcspn(name, ".");
                uint8_t byte = (uint8_t)len;

                put(message, &byte, 1);
                put(message, name, len);
                name += len + (name[len] == '.');
        }
        put(message, "", 1);
}

/* A record whose owner is named; the length of its data is filled in by end_record(). */
static size_t begin_record(struct message *message, const char *owner, unsigned type, uint32_t ttl_sec)
{
        put_name(message, owner);
        put_u16(message, type);
        put_u16(message, 1);
        put_u32(message, ttl_sec);
        put_u16(message, 0);
        return message->len;
}

static void end_record(struct message *message, size_t data_at)
{
        size_t len = message->len - data_at;

        message->bytes[data_at - 2] = (uint8_t)(len >> 8);
        message->bytes[data_at - 1] = (uint8_t)len;
}

static void put_soa(struct message *message, uint32_t ttl_sec)
{
        size_t at = begin_record(message, "test", 6, 86400);

        put_name(message, "ns.test");
        put_name(message, "hostmaster.test");
        for (unsigned i = 0; i < 4; i++)
                put_u32(message, 3600);
        put_u32(message, ttl_sec);
        end_record(message, at);
}

static unsigned put_records(struct message *message, const char *name, const struct script *script,
                            unsigned type)
{
        const char *owner = name;
        unsigned count = 0;

        for (unsigned i = 0; i < script->records; i++) {
                const struct record *record = &script->record[i];
                size_t at;
                uint8_t bytes[16];

                if (record->type != type && record->type != 5)
                        continue;
                at = begin_record(message, owner, record->type, record->ttl_sec);
                if (record->type == 1 || record->type == 28) {
                        BUG_ON(inet_pton(record->type == 1 ? AF_INET : AF_INET6, record->data, bytes) != 1);
                        put(message, bytes, record->type == 1 ? 4 : 16);
                } else {
                        put_name(message, record->data);
                }
                if (record->type == 5)
                        owner = record->data; /* what follows belongs to the alias's target */
                end_record(message, at);
                count++;
        }
        return count;
}

static void finish(struct message *message, unsigned flags, unsigned answers, unsigned authority)
{
        message->bytes[2] = (uint8_t)(0x80 | flags >> 8);
        message->bytes[3] = (uint8_t)(0x80 | (flags & 0x0f));
        message->bytes[6] = (uint8_t)(answers >> 8);
        message->bytes[7] = (uint8_t)answers;
        message->bytes[9] = (uint8_t)authority;
}

static void build(struct message *message, const char *name, const struct script *script, unsigned type,
                  bool tcp)
{
        enum fake_dns_kind kind = script ? script->kind : FAKE_DNS_NONE;
        uint32_t ttl_sec = script ? script->ttl_sec : 60;
        unsigned count = 0;
        size_t at;

        if (!tcp && (kind == FAKE_DNS_BY_TCP || kind == FAKE_DNS_MANY)) {
                finish(message, 0x0200, 0, 0);
                return;
        }
        switch (kind) {
        case FAKE_DNS_RECORDS:
        case FAKE_DNS_BY_TCP:
        case FAKE_DNS_WRONG_ID:
                count = put_records(message, name, script, type);
                if (count == 0)
                        put_soa(message, ttl_sec);
                finish(message, 0, count, count == 0);
                break;
        case FAKE_DNS_NONE:
        case FAKE_DNS_NODATA:
                put_soa(message, ttl_sec);
                finish(message, kind == FAKE_DNS_NONE ? 3 : 0, 0, 1);
                break;
        case FAKE_DNS_MANY:
                for (; count < script->number; count++) {
                        at = begin_record(message, name, 1, ttl_sec);
                        put(message, "\x7f\0\0\2", 4);
                        end_record(message, at);
                }
                finish(message, 0, count, 0);
                break;
        case FAKE_DNS_LOOP:
                at = begin_record(message, name, 5, ttl_sec);
                put_name(message, "loop.test");
                end_record(message, at);
                at = begin_record(message, "loop.test", 5, ttl_sec);
                put_name(message, name);
                end_record(message, at);
                finish(message, 0, 2, 0);
                break;
        case FAKE_DNS_RCODE:
                finish(message, script->number, 0, 0);
                break;
        case FAKE_DNS_GARBAGE:
                finish(message, 0, 7, 9);
                for (unsigned i = 0; i < script->number; i++)
                        put(message, &(uint8_t){ (uint8_t)(i * 37 + 193) }, 1);
                break;
        case FAKE_DNS_SILENT:
                break;
        }
}

/* Read the question's name; returns the length of header and question, 0 when it is none. */
static size_t read_question(const uint8_t *bytes, size_t len, char name[256], unsigned *ret_type)
{
        size_t at = 12, used = 0;

        while (at < len && bytes[at] != 0) {
                size_t label = bytes[at];

                if (label > 63 || at + label + 1 >= len || used + label + 2 > 256)
                        return 0;
                if (used > 0)
                        name[used++] = '.';
                memcpy(name + used, bytes + at + 1, label);
                used += label;
                at += label + 1;
        }
        if (at + 5 > len)
                return 0;
        name[used] = '\0';
        *ret_type = (unsigned)bytes[at + 1] << 8 | bytes[at + 2];
        return at + 5;
}

/* Returns false when nothing is to be sent. */
static bool answer(struct fake_dns *fake, const uint8_t *bytes, size_t len, bool tcp, struct message *ret)
{
        struct script *script;
        char name[256];
        unsigned type;
        size_t question_len = len >= 12 ? read_question(bytes, len, name, &type) : 0;

        if (question_len == 0)
                return false;
        if (fake->seen_used < SEEN_MAX)
                snprintf(fake->seen[fake->seen_used++].name, 256, "%s", name);
        fake->by_tcp += tcp;
        script = find_script(fake, name, false);
        for (unsigned i = 0; script == NULL && i < fake->scripts; i++)
                if (fake->script[i].below && is_below(name, fake->script[i].name))
                        script = &fake->script[i];
        if (fake->deaf || (script != NULL && script->kind == FAKE_DNS_SILENT))
                return false;
        ret->len = 0;
        put(ret, bytes, question_len);
        memset(ret->bytes + 6, 0, 6);
        ret->bytes[5] = 1;
        build(ret, name, script, type, tcp);
        if (script != NULL && script->kind == FAKE_DNS_WRONG_ID)
                ret->bytes[0] ^= 0x55;
        return true;
}

static void note_port(struct fake_dns *fake, uint16_t port)
{
        for (unsigned i = 0; i < fake->ports_used; i++)
                if (fake->ports[i] == port)
                        return;
        if (fake->ports_used < ARRAY_LEN(fake->ports))
                fake->ports[fake->ports_used++] = port;
}

static void serve_udp(struct fake_dns *fake)
{
        static struct message reply;
        struct sockaddr_in from;
        uint8_t bytes[1500];

        for (;;) {
                socklen_t from_len = sizeof(from);
                ssize_t len =
                    recvfrom(fake->udp, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len);

                if (len < 0)
                        return;
                note_port(fake, ntohs(from.sin_port));
                if (answer(fake, bytes, (size_t)len, false, &reply))
                        (void)sendto(fake->udp, reply.bytes, reply.len, 0, (struct sockaddr *)&from,
                                     from_len);
        }
}

/* A question arrives in one piece on loopback; anything else closes the connection. */
static void serve_tcp(struct fake_dns *fake, int *conn)
{
        static struct message reply;
        static uint8_t out[MESSAGE_MAX + 2];
        uint8_t bytes[1500];
        ssize_t len = recv(*conn, bytes, sizeof(bytes), MSG_DONTWAIT);
        size_t at = 0;

        while (len > 2 && at + 2 < (size_t)len) {
                size_t want = (size_t)bytes[at] << 8 | bytes[at + 1];

                if (at + 2 + want > (size_t)len)
                        break;
                if (answer(fake, bytes + at + 2, want, true, &reply)) {
                        out[0] = (uint8_t)(reply.len >> 8);
                        out[1] = (uint8_t)reply.len;
                        memcpy(out + 2, reply.bytes, reply.len);
                        (void)send(*conn, out, reply.len + 2, MSG_NOSIGNAL);
                }
                at += 2 + want;
        }
        if (len == 0 || (len > 0 && at != (size_t)len)) {
                close(*conn);
                *conn = -1;
        }
}

void fake_dns_turn(struct fake_dns *fake, int wait_ms, int extra_fd)
{
        struct pollfd fds[3 + TCP_MAX] = { { fake->udp, POLLIN, 0 },
                                           { fake->tcp, POLLIN, 0 },
                                           { extra_fd, POLLIN, 0 } };
        int conn;

        for (unsigned i = 0; i < TCP_MAX; i++)
                fds[3 + i] = (struct pollfd){ fake->conn[i], POLLIN, 0 };
        if (poll(fds, 3 + TCP_MAX, wait_ms) <= 0)
                return;
        for (unsigned i = 0; i < TCP_MAX; i++)
                if (fds[3 + i].revents)
                        serve_tcp(fake, &fake->conn[i]);
        if (fds[1].revents) {
                conn = accept4(fake->tcp, NULL, NULL, SOCK_CLOEXEC);
                for (unsigned i = 0; i < TCP_MAX && conn >= 0; i++)
                        if (fake->conn[i] < 0) {
                                fake->conn[i] = conn;
                                conn = -1;
                        }
                if (conn >= 0)
                        close(conn);
        }
        if (fds[0].revents)
                serve_udp(fake);
}
