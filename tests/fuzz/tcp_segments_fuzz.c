/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of segments, of steps in time, of ICMP errors and of what owners do, against one endpoint that holds
 * connections of two clients (to port 25) and one to a server; the input plays the peers and the owners.
 *
 * The first byte says how the endpoint is set up (SETUP_*), the second how the peers shake hands (HANDS_*); then steps of
 * STEP_BYTES bytes each. Sequence and acknowledgement numbers of a step are relative to what the connection would
 * accept, so that small values are interesting ones. Besides single segments there are whole turns of a peer that does
 * everything right over a network that loses what the input says (STEP_TALK): only those get deep into recovery.
 *
 * After each step the simulation's invariants are looked at. At the end the owners leave, the peers are silent, and
 * everything must end by its timers, without a packet left.
 */
#include <string.h>

#include "tests/fuzz/segments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A step: kind and peer, then seven bytes that mean something to the kind. */
#define STEP_BYTES 8u
enum step_kind { STEP_SEGMENT, STEP_SACK, STEP_RAW, STEP_TIME, STEP_OWNER, STEP_ICMP, STEP_BURST, STEP_TALK, STEP_KINDS };
#define STEP_PEER   0x08u /* the server's side */
#define STEP_NO_OUT 0x10u /* what the endpoint has to send stays where it is for now */
#define STEP_TS_OLD 0x20u /* the timestamp is before the last one */
#define STEP_TS_NO  0x40u /* none */
#define STEP_OTHER  0x80u /* the second client; for the server's side: another port of it */

enum talk { TALK_ACK, TALK_RECEIVE, TALK_SEND, TALK_ANEW, TALKS };
#define TALK_LATEST_FIRST 0x01u
#define TALK_AT_ONCE      0x02u /* one ACK for all that came, not one each */
#define TALK_CE           0x04u /* the network is congested: in what arrives here, and told by ECE */

#define STEPS_MAX 400u
#define BURST     16u

static void input(struct fuzz *fuzz, struct packet *packet)
{
        tcp_input(fuzz->tcp, &packet, 1, fuzz->now_us);
}

static struct packet *built(struct fuzz *fuzz, const struct tcp_header *header, uint32_t payload_len)
{
        uint8_t bytes[TCP_HEADER_MAX];
        uint8_t len = tcp_header_build(header, bytes);

        return fuzz_packet(fuzz, bytes, len, payload_len);
}

/* What a well-behaved peer would send next. */
static struct tcp_header next_header(struct fuzz *fuzz, struct peer *peer)
{
        const struct tcp_conn *conn = fuzz_conn(fuzz, peer);
        struct tcp_header header = {
                .src_port = peer->port, .dst_port = peer->our_port, .seq = peer->snd, .ack = peer->rcv,
                .window = 20000, .flags = TCP_FLAG_ACK,
                .has_timestamp = peer->options & HANDS_TIMESTAMP, .ts_value = peer->ts, .ts_echo = peer->ts_echo,
        };

        if (conn && conn->state != TCP_ST_CLOSED) {
                header.ack = conn->snd_max;
                if (conn_is_synchronized(conn))
                        header.seq = conn->rcv_nxt;
        }
        return header;
}

static void shake(struct fuzz *fuzz, struct peer *peer, unsigned hands)
{
        bool is_server = peer == &fuzz->peer[PEER_SERVER];
        struct tcp_header header;

        peer->options = (uint8_t)hands;
        header = next_header(fuzz, peer);
        header.flags = is_server ? TCP_FLAG_SYN | TCP_FLAG_ACK : TCP_FLAG_SYN;
        if (hands & HANDS_ECN)
                header.flags |= is_server ? FLAG_ECE : FLAG_ECE | FLAG_CWR;
        header.mss = 1460;
        header.has_sack_permitted = hands & HANDS_SACK;
        header.has_scale = hands & HANDS_SCALE;
        header.scale = 3;
        input(fuzz, built(fuzz, &header, 0));
        fuzz_turn(fuzz, true);
        if (is_server)
                return;
        header = next_header(fuzz, peer);
        input(fuzz, built(fuzz, &header, 0));
        fuzz_turn(fuzz, true);
}

static uint32_t relative(uint8_t high, uint8_t low)
{
        return (uint32_t)(int32_t)(int16_t)(high << 8 | low);
}

/* --- single segments ------------------------------------------------------------------------------------------------ */

/* Bytes: flags, sequence (2), acknowledgement (2), window, payload. */
static struct packet *step_segment(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        uint32_t payload_len = step[7] < 250 ? step[7] * 6u : 0;
        struct packet *packet;

        header.flags = step[1];
        header.seq += relative(step[2], step[3]);
        header.ack += relative(step[4], step[5]);
        header.window = (uint16_t)(step[6] * step[6]);
        if (step[0] & STEP_PEER && step[0] & STEP_OTHER)
                header.src_port++;
        if (step[0] & STEP_TS_NO)
                header.has_timestamp = !header.has_timestamp;
        if (step[0] & STEP_TS_OLD)
                header.ts_value -= 1000;
        if (header.flags & TCP_FLAG_SYN) {
                header.mss = (uint16_t)(step[7] * 8);
                header.has_sack_permitted = peer->options & HANDS_SACK;
                header.has_scale = peer->options & HANDS_SCALE;
                header.scale = step[7] & 15;
        }
        packet = built(fuzz, &header, payload_len);
        packet_meta(packet)->ecn = (step[6] ^ step[3]) & 3;
        return packet;
}

/* Bytes: acknowledgement (2), then beginnings and lengths of two blocks, in steps of 200 bytes. */
static struct packet *step_sack(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        const struct tcp_conn *conn = fuzz_conn(fuzz, peer);
        uint32_t una = conn ? conn->snd_una : header.ack;

        header.ack = una + relative(step[1], step[2]);
        header.blocks = 2;
        for (unsigned i = 0; i < 2; i++) {
                header.block[i].start = una + 200u * (uint32_t)(int8_t)step[3 + 2 * i];
                header.block[i].end = header.block[i].start + 200u * (uint32_t)(int8_t)step[4 + 2 * i];
        }
        header.window = (uint16_t)(step[7] << 8);
        return built(fuzz, &header, 0);
}

/* Seven bytes over a sound header, anywhere. */
static struct packet *step_raw(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        uint8_t bytes[TCP_HEADER_MAX + 5] = { 0 };
        uint8_t len = tcp_header_build(&header, bytes);
        unsigned at = step[1] % TCP_HEADER_MAX;

        memcpy(bytes + at, step + 2, 6);
        if (step[0] & STEP_OTHER)
                len = step[1] % TCP_HEADER_MAX;
        return fuzz_packet(fuzz, bytes, step[0] & STEP_TS_NO ? TCP_HEADER_MAX : len, 0);
}

static void step_icmp(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        const struct tcp_conn *conn = fuzz_conn(fuzz, peer);
        struct tcp_icmp_quote quote = {
                .kind = (enum tcp_icmp)(step[1] % 3),
                .local = fuzz->ours,
                .remote = fuzz->theirs,
                .local_port = peer->our_port,
                .remote_port = peer->port,
                .seq = (conn ? conn->snd_una : peer->rcv) + relative(step[2], step[3]),
                .mtu = (uint16_t)(step[4] << 8 | step[5]),
        };

        tcp_icmp_error(fuzz->tcp, &quote, fuzz->now_us);
}

/* The same segment, moved on by one byte each. */
static void step_burst(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct packet *burst[4];
        uint8_t copy[STEP_BYTES];

        for (unsigned i = 0; i < ARRAY_LEN(burst); i++) {
                memcpy(copy, step, STEP_BYTES);
                copy[3] = (uint8_t)(copy[3] + i);
                burst[i] = step_segment(fuzz, peer, copy);
        }
        tcp_input(fuzz->tcp, burst, ARRAY_LEN(burst), fuzz->now_us);
}

/* --- owners --------------------------------------------------------------------------------------------------------- */

static void step_owner(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct peer *other = &fuzz->peer[peer == &fuzz->peer[PEER_CLIENT] ? PEER_SERVER : PEER_CLIENT];
        uint32_t number = (uint32_t)(step[2] << 8 | step[3]);

        switch (step[1] % 9) {
        case 0:
                fuzz_read(fuzz, peer, number);
                break;
        case 1:
        case 2:
                fuzz_write(fuzz, peer, number);
                break;
        case 3:
                tcp_recv_window_set(fuzz->tcp, peer->conn, number * 4);
                break;
        case 4:
                tcp_shutdown(fuzz->tcp, peer->conn);
                break;
        case 5:
                if (peer->is_open)
                        other->is_moved = true, peer->read += tcp_send_move(fuzz->tcp, peer->conn, other->conn, number);
                break;
        case 6:
                tcp_close(fuzz->tcp, peer->conn);
                peer->is_open = false;
                break;
        case 7:
                if (number > 0xf000)
                        peer->is_open = false, tcp_abort(fuzz->tcp, peer->conn);
                else
                        tcp_room_want(fuzz->tcp, peer->conn);
                break;
        default:
                fuzz_connect(fuzz);
        }
}

/* --- a peer that does everything right ------------------------------------------------------------------------------ */

/* Bytes: what arrives of what we sent (4, a bit a segment), window, TALK_*. */
static void talk_receive(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct receiver *receiver = &peer->receiver;
        uint32_t mask = (uint32_t)step[2] << 24 | (uint32_t)step[3] << 16 | (uint32_t)step[4] << 8 | step[5];
        unsigned n = receiver->seen_len;
        struct tcp_block seen[RECEIVER_SEEN];
        struct packet *acks[RECEIVER_SEEN];
        unsigned acks_len = 0;

        memcpy(seen, receiver->seen, sizeof(seen));
        receiver->seen_len = 0;
        for (unsigned i = 0; i < n; i++) {
                unsigned at = step[7] & TALK_LATEST_FIRST ? n - 1 - i : i;
                struct tcp_header header = next_header(fuzz, peer);

                if (!(mask >> at % 32 & 1))
                        continue;
                receiver_take(receiver, seen[at]);
                if (step[7] & TALK_AT_ONCE && i + 1 < n)
                        continue;
                receiver_answer(receiver, peer->options & HANDS_SACK, &header);
                header.window = (uint16_t)(step[6] << 8);
                header.flags |= step[7] & TALK_CE ? FLAG_ECE : 0;
                acks[acks_len++] = built(fuzz, &header, 0);
        }
        tcp_input(fuzz->tcp, acks, acks_len, fuzz->now_us);
}

/* Bytes: how many segments, how long, what arrives (2), -, TALK_*. */
static void talk_send(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);
        uint32_t first = header.seq, len = step[3] * 6u % 1448;
        unsigned n = step[2] % (BURST + 1), mask = (unsigned)(step[4] << 8 | step[5]);
        struct packet *burst[BURST];
        unsigned burst_len = 0;

        for (unsigned i = 0; i < n; i++) {
                unsigned at = step[7] & TALK_LATEST_FIRST ? n - 1 - i : i;

                if (!(mask >> at & 1))
                        continue;
                header.seq = first + at * len;
                burst[burst_len] = built(fuzz, &header, len);
                packet_meta(burst[burst_len++])->ecn = step[7] & TALK_CE ? 3 : 2;
        }
        tcp_input(fuzz->tcp, burst, burst_len, fuzz->now_us);
}

/* Bytes: which, then its own. */
static void step_talk(struct fuzz *fuzz, struct peer *peer, const uint8_t *step)
{
        struct tcp_header header = next_header(fuzz, peer);

        switch ((enum talk)(step[1] % TALKS)) {
        case TALK_RECEIVE:
                talk_receive(fuzz, peer, step);
                break;
        case TALK_SEND:
                talk_send(fuzz, peer, step);
                break;
        case TALK_ANEW: /* the same ports again */
                if (peer != &fuzz->peer[PEER_SERVER])
                        peer->snd += relative(step[2], step[3]);
                shake(fuzz, peer, step[4]);
                break;
        default: /* everything has come */
                receiver_start(&peer->receiver, header.ack);
                if (peer->is_open)
                        input(fuzz, built(fuzz, &header, 0));
        }
}

/* -------------------------------------------------------------------------------------------------------------------- */

static struct peer *peer_of(struct fuzz *fuzz, const uint8_t *step)
{
        if (step[0] & STEP_PEER)
                return &fuzz->peer[PEER_SERVER];
        return &fuzz->peer[step[0] & STEP_OTHER ? PEER_CLIENT2 : PEER_CLIENT];
}

static void run_step(struct fuzz *fuzz, const uint8_t *step)
{
        struct peer *peer = peer_of(fuzz, step);

        switch ((enum step_kind)(step[0] % STEP_KINDS)) {
        case STEP_SEGMENT:
                input(fuzz, step_segment(fuzz, peer, step));
                break;
        case STEP_SACK:
                input(fuzz, step_sack(fuzz, peer, step));
                break;
        case STEP_RAW:
                input(fuzz, step_raw(fuzz, peer, step));
                break;
        case STEP_TIME:
                fuzz_pass(fuzz, (uint64_t)step[1] * step[1] * 1000 + step[2]);
                break;
        case STEP_OWNER:
                step_owner(fuzz, peer, step);
                break;
        case STEP_ICMP:
                step_icmp(fuzz, peer, step);
                break;
        case STEP_BURST:
                step_burst(fuzz, peer, step);
                break;
        default:
                step_talk(fuzz, peer, step);
        }
        fuzz_turn(fuzz, !(step[0] & STEP_NO_OUT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static struct fuzz fuzz;

        if (len < 2)
                return 0;
        fuzz_start(&fuzz, data[0]);
        fuzz_turn(&fuzz, true);
        if (data[1] & HANDS_CLIENT)
                shake(&fuzz, &fuzz.peer[PEER_CLIENT], data[1]);
        if (data[1] & HANDS_SERVER)
                shake(&fuzz, &fuzz.peer[PEER_SERVER], data[1]);
        for (unsigned i = 0; i < PEERS; i++)
                fuzz.peer[i].options = data[1];
        for (size_t at = 2, steps = 0; len - at >= STEP_BYTES && steps < STEPS_MAX; at += STEP_BYTES, steps++)
                run_step(&fuzz, data + at);
        fuzz_drain(&fuzz);
        return 0;
}
