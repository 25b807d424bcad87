/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts of segments: what a peer sends us, what we must answer, in virtual time. One step a line:
 *
 *   < FLAGS SEQ:LEN [ack N] [win N] [mss N] [ws N] [sok] [ts VAL ECR] [sack A-B]... [fill C] [port N]   the peer sends
 *   > FLAGS SEQ:LEN [ack N] [win N] [mss N] [ws N] [sok] [ts] [nots] [sack A-B]...                    we must send
 *   > none                        we send nothing
 *   +MS                           time passes; timers run when they are due
 *   event NAME[,NAME...] | none   what the owner is told next; the first event names the connection
 *   connect                       we are the client from here on
 *   again                         the connection is over, and the next begins: sequence numbers count anew
 *   send N, read N, peek N        N bytes of the stream; peek: so many are unread
 *   window N, shutdown, close, abort, sendfin N (send and shutdown), sendclose N
 *   drain                         whatever we send is thrown away
 *   held N                        packets in queues
 *   srtt MS                       the smoothed round trip
 *   cwnd N                        the congestion window
 *   state NAME, conns N, timewait N, halfopen N
 *   flights N                     connections with something queued or on its way
 *   icmp toobig MTU SEQ, icmp port SEQ
 *
 * FLAGS are letters of S F R P E W (ECE, CWR) and . (ACK). ce, ect: the IP header's bits; without, a segment has none. Sequence numbers are relative: the peer's SYN is 0, and so is ours.
 * The peer's ISN lies just below 2^32, so that every longer script wraps. A segment that no line expects fails
 * the script at the next line that is not ">". "> none" and the end of a script expect silence as well.
 */
#ifndef GREYLINE_TEST_TCP_SCRIPT_H
#define GREYLINE_TEST_TCP_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/tcp/conn.h"

#define SCRIPT_PEER_ISN 0xfffffc00u
#define SCRIPT_MORE     1024

static struct rte_mempool *script_pool;
static unsigned script_failures; /* of the table that runs now */
static jmp_buf script_jump;      /* out of a script that failed */

struct script {
        const char *name;
        struct tcp_settings set;
        struct tcp *tcp;
        uint64_t counters[COUNTER_USED];
        uint64_t now_us;
        bool v6, is_client;
        uint32_t our_isn;
        bool our_isn_known;
        struct tcp_handle conn;
        struct packet *out[SCRIPT_MORE];
        unsigned out_first, out_len;
        uint32_t sent, received; /* bytes of each stream */
        const char *line;
        unsigned in_use; /* packets in use before */
};

static inline int script_setup(void **state)
{
        char *argv[] = { "test", "--no-huge", "--no-shconf", "-m", "64", "--no-pci", "--no-telemetry", "-l", "0",
                         "--log-level", "error" };

        if (rte_eal_init(ARRAY_LEN(argv), argv) < 0)
                return -1;
        script_pool = rte_pktmbuf_pool_create("packets", 4095, 0, PACKET_PRIV_BYTES, 2048 + PACKET_HEADROOM, 0);
        return script_pool ? 0 : -1;
}

#define SCRIPT_FAIL(script, ...)                                                                             \
        do {                                                                                                 \
                print_error("%s: at \"%s\": ", (script)->name, (script)->line);                              \
                print_error(__VA_ARGS__);                                                                    \
                print_error("\n");                                                                           \
                script_failures++;                                                                           \
                longjmp(script_jump, 1);                                                                     \
        } while (0)

static inline struct addr script_addr(const struct script *script, bool ours)
{
        struct addr addr;
        int r = addr_parse(script->v6 ? (ours ? "2001:2::25" : "2001:2::1") : (ours ? "198.18.0.25" : "198.18.0.1"), &addr);

        assert_int_equal(r, 0);
        return addr;
}

/* Byte at of either stream. */
static inline uint8_t script_byte(uint32_t at)
{
        return (uint8_t)('a' + at % 23);
}

static inline void script_collect(struct script *script)
{
        unsigned n;

        while ((n = tcp_output(script->tcp, script->out + script->out_first + script->out_len,
                               SCRIPT_MORE - script->out_first - script->out_len, script->now_us)) > 0)
                script->out_len += n;
}

static inline uint8_t script_flags(const char *text)
{
        static const char letters[] = "FSRP.UEW";
        uint8_t flags = 0;

        for (; *text; text++)
                if (strchr(letters, *text)) /* "-": none */
                        flags |= (uint8_t)(1u << (strchr(letters, *text) - letters));
        return flags;
}

/* What a line says about a segment. */
struct script_segment {
        struct tcp_header header;
        uint32_t len;
        bool has_ack, has_window, no_timestamp;
        uint8_t ecn;
        int fill;
        uint16_t port;
};

static inline void script_parse(struct script *script, char *text, struct script_segment *ret)
{
        char *save = NULL, *word = strtok_r(text, " ", &save);
        int used;

        memset(ret, 0, sizeof(*ret));
        ret->fill = -1;
        ret->port = 40000;
        ret->header.flags = script_flags(word);
        word = strtok_r(NULL, " ", &save);
        if (!word || sscanf(word, "%u:%u%n", &ret->header.seq, &ret->len, &used) != 2)
                SCRIPT_FAIL(script, "no SEQ:LEN");
        while ((word = strtok_r(NULL, " ", &save)) != NULL) {
                if (strcmp(word, "ack") == 0) {
                        ret->header.ack = (uint32_t)strtoul(strtok_r(NULL, " ", &save), NULL, 10);
                        ret->has_ack = true;
                } else if (strcmp(word, "win") == 0) {
                        ret->header.window = (uint16_t)atoi(strtok_r(NULL, " ", &save));
                        ret->has_window = true;
                } else if (strcmp(word, "mss") == 0) {
                        ret->header.mss = (uint16_t)atoi(strtok_r(NULL, " ", &save));
                } else if (strcmp(word, "ws") == 0) {
                        ret->header.has_scale = true;
                        ret->header.scale = (uint8_t)atoi(strtok_r(NULL, " ", &save));
                } else if (strcmp(word, "sok") == 0) {
                        ret->header.has_sack_permitted = true;
                } else if (strcmp(word, "ts") == 0) {
                        ret->header.has_timestamp = true;
                        word = strtok_r(NULL, " ", &save);
                        if (word) {
                                ret->header.ts_value = (uint32_t)strtoul(word, NULL, 10);
                                word = strtok_r(NULL, " ", &save);
                                ret->header.ts_echo = word ? (uint32_t)strtoul(word, NULL, 10) : 0;
                        }
                } else if (strcmp(word, "ce") == 0 || strcmp(word, "ect") == 0) {
                        ret->ecn = strcmp(word, "ce") == 0 ? TCP_ECN_CE : TCP_ECN_ECT;
                } else if (strcmp(word, "nots") == 0) {
                        ret->no_timestamp = true;
                } else if (strcmp(word, "sack") == 0) {
                        struct tcp_block *block = &ret->header.block[ret->header.blocks++];

                        if (sscanf(strtok_r(NULL, " ", &save), "%u-%u", &block->start, &block->end) != 2)
                                SCRIPT_FAIL(script, "bad sack");
                } else if (strcmp(word, "fill") == 0) {
                        ret->fill = *strtok_r(NULL, " ", &save);
                } else if (strcmp(word, "port") == 0) {
                        ret->port = (uint16_t)atoi(strtok_r(NULL, " ", &save));
                } else {
                        SCRIPT_FAIL(script, "what is \"%s\"?", word);
                }
        }
}

static inline void script_inject(struct script *script, char *text)
{
        struct packet *packet = packet_new(script_pool);
        struct script_segment want;
        struct tcp_header *header = &want.header;
        uint32_t at;
        uint8_t *to;

        script_parse(script, text, &want);
        header->src_port = script->is_client ? 25 : want.port;
        header->dst_port = script->is_client ? want.port : 25;
        at = header->seq - 1; /* stream position: the SYN is 0 */
        header->seq += SCRIPT_PEER_ISN;
        header->ack += script->our_isn;
        for (unsigned i = 0; i < header->blocks; i++) {
                header->block[i].start += script->our_isn;
                header->block[i].end += script->our_isn;
        }
        if (!want.has_window)
                header->window = 65535;
        tcp_header_build(header, packet_append(packet, tcp_header_len(header)));
        to = packet_append(packet, (uint16_t)want.len);
        for (uint32_t i = 0; i < want.len; i++)
                to[i] = want.fill < 0 ? script_byte(at + i) : (uint8_t)want.fill;
        packet_meta(packet)->ecn = want.ecn;
        packet_meta(packet)->src = script_addr(script, false);
        packet_meta(packet)->dst = script_addr(script, true);
        tcp_input(script->tcp, &packet, 1, script->now_us);
}

static inline void script_verify(struct script *script, struct packet *packet, const struct script_segment *want)
{
        const struct packet_meta *meta = packet_meta(packet);
        uint64_t sum = tcp_sum_pseudo(&meta->src, &meta->dst, packet_total_len(packet));
        struct addr local = script_addr(script, true), remote = script_addr(script, false);
        struct tcp_header got;
        uint32_t len, seq, ack;
        bool odd = false;

        assert_true(addr_is_equal(&meta->src, &local));
        assert_true(addr_is_equal(&meta->dst, &remote));
        for (struct packet *part = packet; part; part = packet_chained(part)) {
                sum = tcp_sum_add(sum, packet_data(part), packet_len(part), odd);
                odd ^= packet_len(part) & 1;
        }
        if (tcp_sum_fold(sum) != 0xffff)
                SCRIPT_FAIL(script, "wrong checksum");
        if (tcp_header_parse(packet_data(packet), packet_len(packet), &got) != TCP_PARSE_OK)
                SCRIPT_FAIL(script, "unreadable");
        len = packet_total_len(packet) - got.header_len;
        if (!script->our_isn_known && got.flags & TCP_FLAG_SYN) {
                script->our_isn = got.seq;
                script->our_isn_known = true;
        }
        seq = got.flags & TCP_FLAG_RST && got.seq == 0 ? 0 : got.seq - script->our_isn;
        ack = got.flags & TCP_FLAG_ACK ? got.ack - SCRIPT_PEER_ISN : 0;
        if (got.flags != want->header.flags || seq != want->header.seq || len != want->len)
                SCRIPT_FAIL(script, "got flags %02x %u:%u ack %u", got.flags, seq, len, ack);
        if (meta->ecn != want->ecn)
                SCRIPT_FAIL(script, "got ecn %u", meta->ecn);
        if (want->has_ack && ack != want->header.ack)
                SCRIPT_FAIL(script, "got ack %u", ack);
        if (want->has_window && got.window != want->header.window)
                SCRIPT_FAIL(script, "got win %u", got.window);
        if (got.flags & TCP_FLAG_SYN &&
            (got.has_scale != want->header.has_scale || got.has_sack_permitted != want->header.has_sack_permitted ||
             got.has_timestamp != want->header.has_timestamp))
                SCRIPT_FAIL(script, "got ws %d sok %d ts %d", got.has_scale, got.has_sack_permitted, got.has_timestamp);
        if (want->header.mss && got.mss != want->header.mss)
                SCRIPT_FAIL(script, "got mss %u", got.mss);
        if ((want->header.has_timestamp && !got.has_timestamp) || (want->no_timestamp && got.has_timestamp))
                SCRIPT_FAIL(script, "timestamp");
        if (want->header.ts_echo && got.ts_echo != want->header.ts_echo)
                SCRIPT_FAIL(script, "got ts echo %u", got.ts_echo);
        if (got.blocks != want->header.blocks)
                SCRIPT_FAIL(script, "got %u sack blocks", got.blocks);
        for (unsigned i = 0; i < got.blocks; i++)
                if (got.block[i].start - SCRIPT_PEER_ISN != want->header.block[i].start ||
                    got.block[i].end - SCRIPT_PEER_ISN != want->header.block[i].end)
                        SCRIPT_FAIL(script, "got sack %u-%u", got.block[i].start - SCRIPT_PEER_ISN,
                                    got.block[i].end - SCRIPT_PEER_ISN);
        if (len) {
                uint8_t bytes[4096];
                uint32_t at = 0;

                for (struct packet *part = packet; part; part = packet_chained(part)) {
                        memcpy(bytes + at, packet_data(part), packet_len(part));
                        at += packet_len(part);
                }
                for (uint32_t i = 0; i < len; i++)
                        if (bytes[got.header_len + i] != script_byte(seq - 1 + i))
                                SCRIPT_FAIL(script, "wrong byte at %u", i);
        }
}

static inline void script_expect(struct script *script, char *text)
{
        struct script_segment want;
        struct packet *packet;

        script_collect(script);
        if (strcmp(text, "none") == 0) {
                if (script->out_len) {
                        packet = script->out[script->out_first];
                        script_parse(script, (char[]){ "- 0:0" }, &want);
                        script_verify(script, packet, &want);
                }
                return;
        }
        script_parse(script, text, &want);
        if (script->out_len == 0)
                SCRIPT_FAIL(script, "nothing was sent");
        packet = script->out[script->out_first++];
        if (--script->out_len == 0)
                script->out_first = 0;
        script_verify(script, packet, &want);
        packet_free(packet);
}

static inline void script_event(struct script *script, char *text)
{
        static const char *const names[] = { "OPENED", "CONNECTED", "DATA", "ROOM", "EOF", "CLOSED", "RESET", "TIMEOUT", "REFUSED" };
        struct tcp_event event;
        uint32_t want = 0;
        char *save = NULL;

        if (strcmp(text, "none") == 0) {
                if (tcp_next_event(script->tcp, &event))
                        SCRIPT_FAIL(script, "got bits %04x", event.bits);
                return;
        }
        for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
                unsigned i = 0;

                while (i < ARRAY_LEN(names) && strcmp(names[i], word) != 0)
                        i++;
                if (i == ARRAY_LEN(names))
                        SCRIPT_FAIL(script, "no such event");
                want |= 1u << i;
        }
        if (!tcp_next_event(script->tcp, &event))
                SCRIPT_FAIL(script, "no event");
        if (event.bits != want)
                SCRIPT_FAIL(script, "got bits %04x", event.bits);
        if (event.bits & TCP_EV_OPENED)
                assert_int_equal(event.listener_id, 9);
        script->conn = event.conn;
}

static inline void script_send(struct script *script, uint32_t len)
{
        uint8_t *bytes = malloc(len);

        for (uint32_t i = 0; i < len; i++)
                bytes[i] = script_byte(script->sent + i);
        if (!tcp_send_copy(script->tcp, script->conn, bytes, len))
                SCRIPT_FAIL(script, "not taken");
        script->sent += len;
        free(bytes);
}

static inline void script_read(struct script *script, uint32_t len)
{
        for (uint32_t done = 0; done < len;) {
                uint32_t part;
                const uint8_t *bytes = tcp_recv_peek(script->tcp, script->conn, &part);

                if (!bytes)
                        SCRIPT_FAIL(script, "only %u bytes are there", done);
                part = MIN(part, len - done);
                for (uint32_t i = 0; i < part; i++)
                        if (bytes[i] != script_byte(script->received + i))
                                SCRIPT_FAIL(script, "byte %u is '%c'", script->received + i, bytes[i]);
                assert_int_equal(tcp_recv_consume(script->tcp, script->conn, part), part);
                script->received += part;
                done += part;
        }
}

static inline void script_pass(struct script *script, uint64_t ms)
{
        uint64_t end_us = script->now_us + ms * 1000;

        for (;;) {
                uint64_t due_us;

                tcp_tick(script->tcp, script->now_us);
                script_collect(script);
                due_us = tcp_next_due_us(script->tcp);
                if (due_us >= end_us || due_us <= script->now_us)
                        break;
                script->now_us = due_us;
        }
        script->now_us = end_us;
        tcp_tick(script->tcp, script->now_us);
        script_collect(script);
}

static inline void script_icmp(struct script *script, const char *text)
{
        struct tcp_icmp_quote quote = {
                .local = script_addr(script, true),
                .remote = script_addr(script, false),
                .local_port = script->is_client ? 40000 : 25,
                .remote_port = script->is_client ? 25 : 40000,
        };
        unsigned mtu = 0, seq = 0;

        if (sscanf(text, "toobig %u %u", &mtu, &seq) == 2)
                quote.kind = TCP_ICMP_TOO_BIG;
        else if (sscanf(text, "port %u", &seq) == 1)
                quote.kind = TCP_ICMP_PORT_UNREACHABLE;
        else
                SCRIPT_FAIL(script, "bad icmp");
        quote.mtu = (uint16_t)mtu;
        quote.seq = seq + script->our_isn;
        tcp_icmp_error(script->tcp, &quote, script->now_us);
}

static inline void script_state(struct script *script, const char *want)
{
        static const char *const names[TCP_ST_COUNT] = { "CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
                                                         "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",      "LAST-ACK" };
        struct tcp_info info;

        if (!tcp_info(script->tcp, script->conn, &info))
                SCRIPT_FAIL(script, "stale handle");
        if (strcmp(names[info.state], want) != 0)
                SCRIPT_FAIL(script, "state is %s", names[info.state]);
}

static inline void script_srtt(struct script *script, uint32_t want_ms)
{
        struct tcp_info info;

        if (!tcp_info(script->tcp, script->conn, &info))
                SCRIPT_FAIL(script, "stale handle");
        if (info.rtt_us / 1000 != want_ms)
                SCRIPT_FAIL(script, "srtt is %u us", info.rtt_us);
}

static inline void script_cwnd(struct script *script, uint32_t want)
{
        struct tcp_info info;

        if (!tcp_info(script->tcp, script->conn, &info))
                SCRIPT_FAIL(script, "stale handle");
        if (info.cwnd != want)
                SCRIPT_FAIL(script, "cwnd is %u", info.cwnd);
}

static inline void script_connect(struct script *script)
{
        struct addr local = script_addr(script, true), remote = script_addr(script, false);

        script->is_client = true;
        if (tcp_connect(script->tcp, &local, 40000, &remote, 25, 0, script->now_us, &script->conn) < 0)
                SCRIPT_FAIL(script, "refused");
}

static inline void script_line(struct script *script, const char *line)
{
        char text[256], *rest;
        struct tcp_stats stats;
        unsigned long n;

        snprintf(text, sizeof(text), "%s", line);
        rest = strchr(text, ' ');
        rest = rest ? rest + 1 : text + strlen(text);
        n = strtoul(rest, NULL, 10);
        script->line = line;
        tcp_stats(script->tcp, &stats);
        if (text[0] == '>') {
                script_expect(script, rest);
                return;
        }
        script_collect(script);
        if (strcmp(text, "drain") == 0) {
                for (; script->out_len > 0; script->out_len--)
                        packet_free(script->out[script->out_first++]);
                script->out_first = 0;
                return;
        }
        if (script->out_len)
                script_expect(script, (char[]){ "none" });
        if (text[0] == '<')
                script_inject(script, rest);
        else if (text[0] == '+')
                script_pass(script, strtoul(text + 1, NULL, 10));
        else if (strncmp(text, "event ", 6) == 0)
                script_event(script, rest);
        else if (strcmp(text, "connect") == 0)
                script_connect(script);
        else if (strcmp(text, "again") == 0)
                script->our_isn_known = false, script->sent = script->received = 0;
        else if (strncmp(text, "send ", 5) == 0)
                script_send(script, (uint32_t)n);
        else if (strncmp(text, "sendfin ", 8) == 0 || strncmp(text, "sendclose ", 10) == 0) {
                script_send(script, (uint32_t)n);
                (text[4] == 'f' ? tcp_shutdown : tcp_close)(script->tcp, script->conn);
        } else if (strncmp(text, "read ", 5) == 0)
                script_read(script, (uint32_t)n);
        else if (strncmp(text, "peek ", 5) == 0)
                assert_int_equal(tcp_recv_bytes(script->tcp, script->conn), n);
        else if (strncmp(text, "window ", 7) == 0)
                tcp_recv_window_set(script->tcp, script->conn, (uint32_t)n);
        else if (strcmp(text, "shutdown") == 0)
                tcp_shutdown(script->tcp, script->conn);
        else if (strcmp(text, "close") == 0)
                tcp_close(script->tcp, script->conn);
        else if (strcmp(text, "abort") == 0)
                tcp_abort(script->tcp, script->conn);
        else if (strncmp(text, "state ", 6) == 0)
                script_state(script, rest);
        else if (strncmp(text, "srtt ", 5) == 0)
                script_srtt(script, (uint32_t)n);
        else if (strncmp(text, "cwnd ", 5) == 0)
                script_cwnd(script, (uint32_t)n);
        else if (strncmp(text, "icmp ", 5) == 0)
                script_icmp(script, rest);
        else if (strncmp(text, "held ", 5) == 0 ? stats.packets_held != n
                 : strncmp(text, "flights ", 8) == 0 ? stats.flights != n
                 : strncmp(text, "conns ", 6) == 0 ? stats.connections != n
                 : strncmp(text, "timewait ", 9) == 0 ? stats.timewait != n
                 : strncmp(text, "halfopen ", 9) == 0 ? stats.syncache != n
                                                      : true)
                SCRIPT_FAIL(script, "held %u conns %u timewait %u halfopen %u", stats.packets_held, stats.connections,
                            stats.timewait, stats.syncache);
}

/* Run lines on a fresh endpoint that listens on port 25; set: what differs from the defaults, or NULL. */
static inline void script_run(const char *name, const struct tcp_settings *set, bool v6, const char *const *lines)
{
        struct script *script = calloc(1, sizeof(*script));
        struct addr local;

        script->in_use = rte_mempool_in_use_count(script_pool);
        script->name = name;
        script->line = "start";
        script->v6 = v6;
        script->now_us = 1000000000;
        if (set)
                script->set = *set;
        script->set.pool = script_pool;
        script->set.counters = script->counters;
        memset(script->set.secret, 0x5a, sizeof(script->set.secret));
        script->tcp = tcp_new(&script->set);
        assert_non_null(script->tcp);
        tcp_tick(script->tcp, script->now_us);
        local = script_addr(script, true);
        assert_int_equal(tcp_listen(script->tcp, &local, 25, 9), 0);
        for (; *lines; lines++)
                script_line(script, *lines);
        script_line(script, "> none");
        tcp_free(script->tcp);
        if (rte_mempool_in_use_count(script_pool) != script->in_use)
                SCRIPT_FAIL(script, "packets left over");
        free(script);
}

/* A row of a table of scripts. */
struct script_case {
        const char *name;
        struct tcp_settings set;
        bool v6;
        const char *lines[460];
};

/* Run one script; a failure is counted, and what it held is left over. Alone in its frame because of setjmp(). */
static __attribute__((noinline, unused)) void script_try(const struct script_case *one)
{
        if (setjmp(script_jump) == 0)
                script_run(one->name, &one->set, one->v6, one->lines);
}

#define SCRIPT_RUN_ALL(cases)                                                                                \
        do {                                                                                                 \
                script_failures = 0;                                                                         \
                for (unsigned i_ = 0; i_ < ARRAY_LEN(cases); i_++)                                           \
                        script_try(&(cases)[i_]);                                                            \
                assert_int_equal(script_failures, 0);                                                        \
        } while (0)

/* The beginning of most scripts: a client with everything, without timestamps, and without SACK. */
#define OPEN_WITH(options, synack)                                                                           \
        "< S 0:0 win 65535 mss 1460 " options, "> S. 0:0 ack 1 mss 1460 " synack, "< . 1:0 ack 1", "event OPENED"
#define OPEN_PLAIN OPEN_WITH("", "")
#define OPEN_SACK  OPEN_WITH("sok", "sok")
#define OPEN_TS    "< S 0:0 win 65535 mss 1460 sok ts 100 0", "> S. 0:0 ack 1 sok ts", "< . 1:0 ack 1 ts 110 0", "event OPENED"

#endif
