/* SPDX-License-Identifier: Apache-2.0 */
#include "control/dns/resolver.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNELS_MAX   32u /* with those that only finish their questions */
#define EVENTS_A_TURN  64
#define TICK_MS        50   /* c-ares looks for late questions only when it is called */
#define PAYLOAD_BYTES  1232 /* EDNS: no fragments */
#define EVENT_FD(data) ((int)((data)&0xffffffffu))

struct channel {
        struct dns_resolver *resolver;
        ares_channel ares; /* NULL: free place */
        bool retiring;     /* takes no new questions */
        unsigned in_flight;
        uint64_t born_us;
};

struct slot {
        struct dns_resolver *resolver;
        struct channel *channel;
        struct slot *next; /* in the free or the done list */
        uint64_t asked_us;
        enum dns_type type;
        char name[DNS_NAME_MAX];
        struct dns_reply reply;
};

struct dns_resolver {
        int epoll;
        struct dns_resolver_conf conf;
        struct channel channels[CHANNELS_MAX];
        unsigned next_channel;
        struct slot *slots;
        struct slot *free;
        struct slot *done, **done_end;
        unsigned room;
        unsigned in_flight;
        uint64_t now_us;
        bool freeing;
};

static void watch_socket(void *data, ares_socket_t fd, int readable, int writable)
{
        struct channel *channel = data;
        struct dns_resolver *resolver = channel->resolver;
        struct epoll_event event = {
                .events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
                .data.u64 = (uint64_t)(channel - resolver->channels) << 32 | (uint32_t)fd,
        };

        if (event.events == 0)
                (void)epoll_ctl(resolver->epoll, EPOLL_CTL_DEL, fd, NULL);
        else if (epoll_ctl(resolver->epoll, EPOLL_CTL_MOD, fd, &event) < 0)
                (void)epoll_ctl(resolver->epoll, EPOLL_CTL_ADD, fd, &event);
        /* A socket that cannot be watched shows as questions that time out. */
}

/* Tries and first timeout, so that N servers are through in time: N * timeout * (2^tries - 1). */
static void schedule(const struct dns_resolver_conf *conf, int *ret_tries, int *ret_timeout_ms)
{
        unsigned servers = conf->servers_used;
        int tries = servers == 1 ? 3 : servers == 2 ? 2 : 1;
        uint32_t fits_ms = conf->deadline_ms / (servers * ((1u << tries) - 1));

        *ret_tries = tries;
        *ret_timeout_ms = (int)MAX(MIN(conf->timeout_ms, fits_ms), 10u);
}

static int set_servers(struct channel *channel, const struct dns_resolver_conf *conf)
{
        struct ares_addr_port_node nodes[RESOLVER_SERVERS_MAX] = { 0 };

        for (unsigned i = 0; i < conf->servers_used; i++) {
                const struct dns_server *server = &conf->servers[i];

                nodes[i].next = i + 1 < conf->servers_used ? &nodes[i + 1] : NULL;
                nodes[i].udp_port = server->port;
                nodes[i].tcp_port = server->port;
                nodes[i].family = addr_is_v4(&server->addr) ? AF_INET : AF_INET6;
                if (nodes[i].family == AF_INET)
                        memcpy(&nodes[i].addr.addr4, server->addr.bytes + 12, 4);
                else
                        memcpy(&nodes[i].addr.addr6, server->addr.bytes, 16);
        }
        return ares_set_servers_ports(channel->ares, nodes) == ARES_SUCCESS ? 0 : -ENOMEM;
}

static int open_channel(struct dns_resolver *resolver, struct channel *channel, uint64_t now_us)
{
        struct ares_options options = { 0 };
        char lookups[] = "b", nothing[] = "/dev/null";
        int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                   ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SOCK_RCVBUF | ARES_OPT_EDNSPSZ |
                   ARES_OPT_RESOLVCONF;
        int r;

        memset(channel, 0, sizeof(*channel));
        channel->resolver = resolver;
        channel->born_us = now_us;
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_STAYOPEN | ARES_FLAG_EDNS;
        schedule(&resolver->conf, &options.tries, &options.timeout);
        options.lookups = lookups;
        options.sock_state_cb = watch_socket;
        options.sock_state_cb_data = channel;
        options.socket_receive_buffer_size = 1 << 20;
        options.ednspsz = PAYLOAD_BYTES;
        options.resolvconf_path = nothing; /* the policy names the servers, the machine's file does not */
        if (ares_init_options(&channel->ares, &options, mask) != ARES_SUCCESS) {
                channel->ares = NULL;
                return -ENOMEM;
        }
        r = set_servers(channel, &resolver->conf);
        if (r < 0) {
                ares_destroy(channel->ares);
                channel->ares = NULL;
        }
        return r;
}

/* Questions still in flight end here, as failed. */
static void close_channel(struct channel *channel)
{
        ares_channel ares = channel->ares;

        channel->ares = NULL;
        ares_destroy(ares);
}

static struct channel *free_channel(struct dns_resolver *resolver)
{
        for (unsigned i = 0; i < CHANNELS_MAX; i++)
                if (resolver->channels[i].ares == NULL)
                        return &resolver->channels[i];
        return NULL;
}

static void close_oldest_retiring(struct dns_resolver *resolver)
{
        struct channel *oldest = NULL;

        for (unsigned i = 0; i < CHANNELS_MAX; i++) {
                struct channel *channel = &resolver->channels[i];

                if (channel->ares != NULL && channel->retiring &&
                    (oldest == NULL || channel->born_us < oldest->born_us))
                        oldest = channel;
        }
        if (oldest != NULL)
                close_channel(oldest);
}

int dns_resolver_new(struct dns_resolver **ret)
{
        struct dns_resolver *resolver;
        int r = -ENOMEM;

        if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
                return -ENOMEM;
        resolver = calloc(1, sizeof(*resolver));
        if (resolver == NULL)
                goto out_library;
        resolver->done_end = &resolver->done;
        resolver->slots = calloc(RESOLVER_WINDOW, sizeof(*resolver->slots));
        if (resolver->slots == NULL)
                goto out;
        resolver->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (resolver->epoll < 0) {
                r = -errno;
                goto out;
        }
        for (unsigned i = 0; i < RESOLVER_WINDOW; i++) {
                resolver->slots[i].resolver = resolver;
                resolver->slots[i].next = resolver->free;
                resolver->free = &resolver->slots[i];
        }
        resolver->room = RESOLVER_WINDOW;
        *ret = resolver;
        return 0;
out:
        free(resolver->slots);
        free(resolver);
out_library:
        ares_library_cleanup();
        return r;
}

void dns_resolver_free(struct dns_resolver *resolver)
{
        if (resolver == NULL)
                return;
        resolver->freeing = true;
        for (unsigned i = 0; i < CHANNELS_MAX; i++)
                if (resolver->channels[i].ares != NULL)
                        close_channel(&resolver->channels[i]);
        close(resolver->epoll);
        free(resolver->slots);
        free(resolver);
        ares_library_cleanup();
}

static bool is_same_conf(const struct dns_resolver_conf *a, const struct dns_resolver_conf *b)
{
        if (a->servers_used != b->servers_used || a->timeout_ms != b->timeout_ms ||
            a->deadline_ms != b->deadline_ms)
                return false;
        for (unsigned i = 0; i < a->servers_used; i++)
                if (!addr_is_equal(&a->servers[i].addr, &b->servers[i].addr) ||
                    a->servers[i].port != b->servers[i].port)
                        return false;
        return true;
}

static void retire(struct channel *channel)
{
        channel->retiring = true;
        if (channel->in_flight == 0)
                close_channel(channel);
}

int dns_resolver_configure(struct dns_resolver *resolver, const struct dns_resolver_conf *conf,
                           uint64_t now_us)
{
        struct dns_resolver_conf before = resolver->conf;
        struct channel *fresh[RESOLVER_CHANNELS];
        unsigned opened = 0, wanted = conf->servers_used > 0 ? RESOLVER_CHANNELS : 0;

        if (conf->servers_used > RESOLVER_SERVERS_MAX)
                return -EINVAL;
        if (is_same_conf(&before, conf))
                return 0;
        resolver->conf = *conf;
        for (; opened < wanted; opened++) {
                fresh[opened] = free_channel(resolver);
                if (fresh[opened] == NULL) {
                        close_oldest_retiring(resolver);
                        fresh[opened] = free_channel(resolver);
                }
                if (fresh[opened] == NULL || open_channel(resolver, fresh[opened], now_us) < 0)
                        goto undo;
        }
        for (unsigned i = 0; i < CHANNELS_MAX; i++) {
                struct channel *channel = &resolver->channels[i];
                bool is_fresh = false;

                for (unsigned j = 0; j < opened; j++)
                        is_fresh = is_fresh || channel == fresh[j];
                if (channel->ares != NULL && !is_fresh && !channel->retiring)
                        retire(channel);
        }
        return 0;
undo:
        while (opened > 0)
                close_channel(fresh[--opened]);
        resolver->conf = before;
        return -ENOMEM;
}

static void put_done(struct dns_resolver *resolver, struct slot *slot)
{
        slot->next = NULL;
        *resolver->done_end = slot;
        resolver->done_end = &slot->next;
}

static enum dns_status status_of(int status)
{
        switch (status) {
        case ARES_ENOTFOUND:
        case ARES_ENODATA:
                return DNS_NONE;
        case ARES_ETIMEOUT:
                return DNS_TIMEOUT;
        case ARES_EBADRESP:
                return DNS_MALFORMED;
        default:
                return DNS_FAILED;
        }
}

static void finished(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
        struct slot *slot = arg;
        struct dns_resolver *resolver = slot->resolver;
        struct dns_answer *answer = &slot->reply.answer;

        if (resolver->freeing)
                return;
        slot->channel->in_flight--;
        resolver->in_flight--;
        memset(answer, 0, offsetof(struct dns_answer, addrs));
        answer->names_used = 0;
        answer->names_refused = 0;
        answer->status = status_of(status);
        answer->ttl_sec = DNS_TTL_NONE_DEFAULT;
        if (bytes != NULL && len > 0 &&
            (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND))
                dns_answer_parse(bytes, (size_t)len, slot->name, slot->type, answer);
        slot->reply.took_us =
            (uint32_t)MIN(resolver->now_us - MIN(slot->asked_us, resolver->now_us), UINT32_MAX);
        put_done(resolver, slot);
}

static struct channel *choose_channel(struct dns_resolver *resolver)
{
        for (unsigned i = 0; i < CHANNELS_MAX; i++) {
                struct channel *channel = &resolver->channels[resolver->next_channel++ % CHANNELS_MAX];

                if (channel->ares != NULL && !channel->retiring && channel->in_flight < RESOLVER_CHANNEL_MAX)
                        return channel;
        }
        return NULL;
}

int dns_resolver_ask(struct dns_resolver *resolver, enum dns_type type, const char *name, uint64_t tag,
                     uint64_t now_us)
{
        struct channel *channel = choose_channel(resolver);
        struct slot *slot = resolver->free;
        size_t len = strlen(name);

        if (len == 0 || len >= DNS_NAME_MAX)
                return -EINVAL;
        if (slot == NULL || (channel == NULL && resolver->conf.servers_used > 0))
                return -EAGAIN;
        resolver->free = slot->next;
        resolver->room--;
        resolver->now_us = now_us;
        slot->asked_us = now_us;
        slot->type = type;
        memcpy(slot->name, name, len + 1);
        slot->reply.tag = tag;
        slot->reply.took_us = 0;
        if (channel == NULL) {
                memset(&slot->reply.answer, 0, sizeof(slot->reply.answer));
                slot->reply.answer.status = DNS_FAILED;
                put_done(resolver, slot);
                return 0;
        }
        slot->channel = channel;
        channel->in_flight++;
        resolver->in_flight++;
        ares_query(channel->ares, name, 1, (int)type, finished, slot);
        return 0;
}

unsigned dns_resolver_room(const struct dns_resolver *resolver)
{
        unsigned room = 0;

        if (resolver->conf.servers_used == 0)
                return resolver->room;
        for (unsigned i = 0; i < CHANNELS_MAX; i++) {
                const struct channel *channel = &resolver->channels[i];

                if (channel->ares != NULL && !channel->retiring && channel->in_flight < RESOLVER_CHANNEL_MAX)
                        room += RESOLVER_CHANNEL_MAX - channel->in_flight;
        }
        return MIN(room, resolver->room);
}

unsigned dns_resolver_in_flight(const struct dns_resolver *resolver)
{
        return resolver->in_flight;
}

int dns_resolver_fd(const struct dns_resolver *resolver)
{
        return resolver->epoll;
}

int dns_resolver_timeout_ms(const struct dns_resolver *resolver)
{
        if (resolver->done != NULL)
                return 0;
        return resolver->in_flight > 0 ? TICK_MS : -1;
}

/* A channel that lived long enough makes room for one with another source port. */
static void renew(struct dns_resolver *resolver, struct channel *channel)
{
        struct channel *fresh = free_channel(resolver);

        if (fresh != NULL && open_channel(resolver, fresh, resolver->now_us) == 0)
                retire(channel);
        else
                channel->born_us = resolver->now_us; /* again in a minute */
}

void dns_resolver_turn(struct dns_resolver *resolver, uint64_t now_us)
{
        struct epoll_event events[EVENTS_A_TURN];
        int count;

        resolver->now_us = now_us;
        count = epoll_wait(resolver->epoll, events, EVENTS_A_TURN, 0);
        for (int i = 0; i < count; i++) {
                struct channel *channel = &resolver->channels[events[i].data.u64 >> 32];
                int fd = EVENT_FD(events[i].data.u64);
                bool broken = events[i].events & (EPOLLERR | EPOLLHUP);

                if (channel->ares == NULL)
                        continue;
                /* A socket in error is readable for c-ares: reading tells it what is wrong. */
                ares_process_fd(channel->ares, events[i].events & EPOLLIN || broken ? fd : ARES_SOCKET_BAD,
                                events[i].events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
        }
        for (unsigned i = 0; i < CHANNELS_MAX; i++) {
                struct channel *channel = &resolver->channels[i];

                if (channel->ares != NULL && channel->in_flight > 0)
                        ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
                if (channel->ares == NULL)
                        continue;
                if (channel->retiring && channel->in_flight == 0)
                        close_channel(channel);
                else if (!channel->retiring && now_us - channel->born_us > RESOLVER_RENEW_MS * 1000ull)
                        renew(resolver, channel);
        }
}

bool dns_resolver_next(struct dns_resolver *resolver, struct dns_reply *ret)
{
        struct slot *slot = resolver->done;

        if (slot == NULL)
                return false;
        resolver->done = slot->next;
        if (resolver->done == NULL)
                resolver->done_end = &resolver->done;
        *ret = slot->reply;
        slot->next = resolver->free;
        resolver->free = slot;
        resolver->room++;
        return true;
}
