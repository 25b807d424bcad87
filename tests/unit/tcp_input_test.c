/* SPDX-License-Identifier: Apache-2.0 */
/* Segments against states: RFC 9293 3.10.7, 5961, 7323, payload and FIN in every order. */
#include "tests/unit/tcp_script.h"

static void test_payload(void **state)
{
        static const struct script_case cases[] = {
                { "one segment, delayed ACK",
                  .lines = { OPEN_PLAIN, "< P. 1:10 ack 1", "> none", "event DATA", "+39", "> none", "+2",
                             "> . 1:0 ack 11", "read 10", "held 0" } },
                { "every second full segment at once",
                  .lines = { OPEN_PLAIN, "< . 1:1460 ack 1", "> none", "< . 1461:1460 ack 1", "> . 1:0 ack 2921", "event DATA",
                             "read 2920", "> . 1:0 ack 2921 win 8192" } },
                { "the ACK rides on the reply",
                  .lines = { OPEN_PLAIN, "< P. 1:10 ack 1", "event DATA", "read 10", "send 20", "> P. 1:20 ack 11", "+50",
                             "> none", "< . 11:0 ack 21" } },
                { "single bytes share a packet",
                  .lines = { OPEN_PLAIN, "< . 1:1 ack 1", "< . 2:1 ack 1", "< . 3:1 ack 1", "< . 4:1 ack 1", "< . 5:1 ack 1",
                             "held 1", "event DATA", "peek 5", "read 5", "held 0", "+40", "> . 1:0 ack 6" } },
                { "out of order, then the gap is filled",
                  .lines = { OPEN_SACK, "< . 11:10 ack 1", "> . 1:0 ack 1 sack 11-21", "event none", "< . 1:10 ack 1",
                             "> . 1:0 ack 21", "event DATA", "read 20" } },
                { "three pieces, the newest block first",
                  .lines = { OPEN_SACK, "< . 101:10 ack 1", "> . 1:0 ack 1 sack 101-111", "< . 201:10 ack 1",
                             "> . 1:0 ack 1 sack 201-211 sack 101-111", "< . 51:10 ack 1",
                             "> . 1:0 ack 1 sack 51-61 sack 101-111 sack 201-211", "< . 111:10 ack 1",
                             "> . 1:0 ack 1 sack 101-121 sack 51-61 sack 201-211", "held 3" } },
                { "no SACK blocks without permission",
                  .lines = { OPEN_PLAIN, "< . 11:10 ack 1", "> . 1:0 ack 1", "< . 21:10 ack 1", "> . 1:0 ack 1" } },
                { "duplicate is acknowledged and not delivered",
                  .lines = { OPEN_PLAIN, "< . 1:10 ack 1", "event DATA", "read 10", "+40", "> . 1:0 ack 11", "< . 1:10 ack 1",
                             "> . 1:0 ack 11", "event none", "peek 0" } },
                { "overlap in order: the first bytes win",
                  .lines = { OPEN_PLAIN, "< . 1:10 ack 1", "< . 6:10 ack 1 fill z", "> . 1:0 ack 16", "event DATA", "peek 15",
                             "read 10" } },
                { "overlap out of order: the first bytes win",
                  .lines = { OPEN_PLAIN, "< . 11:10 ack 1", "> . 1:0 ack 1", "< . 6:12 ack 1 fill z", "> . 1:0 ack 1",
                             "< . 1:5 ack 1", "> . 1:0 ack 21", "event DATA", "read 5" } },
                { "beyond the window is cut off",
                  .set = { .window_bytes = 2048 },
                  .lines = { OPEN_PLAIN, "< . 1:1460 ack 1", "< . 1461:1460 ack 1", "> . 1:0 ack 2049 win 0", "event DATA",
                             "peek 2048" } },
                { "wholly outside the window: ACK, nothing taken",
                  .lines = { OPEN_PLAIN, "< . 20001:10 ack 1", "> . 1:0 ack 1", "event none", "held 0" } },
                { "urgent data is data",
                  .lines = { OPEN_PLAIN, "< P. 1:10 ack 1", "event DATA", "read 10", "+40", "> . 1:0 ack 11" } },
                { "no ACK bit: dropped", .lines = { OPEN_PLAIN, "< P 1:10", "> none", "event none", "+100", "> none" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* RFC 2883: the cases of its section 4 with segments of 500 bytes, as receiver. */
static void test_duplicates(void **state)
{
        static const struct script_case cases[] = {
                { "4.1.1: a duplicate segment, reported once; nothing is kept for it",
                  .lines = { OPEN_SACK, "< . 1:500 ack 1", "event DATA", "read 500", "< . 501:500 ack 1", "event DATA", "read 500",
                             "+40", "> . 1:0 ack 1001", "flights 0", "< . 1:500 ack 1", "> . 1:0 ack 1001 sack 1-501",
                             "flights 0", "< . 1001:10 ack 1", "+40", "> . 1:0 ack 1011" } },
                { "4.1.2: a duplicate segment beside one that is out of order",
                  .lines = { OPEN_SACK, "< . 1:500 ack 1", "< . 1001:500 ack 1", "> . 1:0 ack 501 sack 1001-1501",
                             "< . 1:500 ack 1", "> . 1:0 ack 501 sack 1-501 sack 1001-1501" } },
                { "4.1.3: a duplicate of an out-of-order segment, and the block that holds it second",
                  .lines = { OPEN_SACK, "< . 2001:500 ack 1", "> . 1:0 ack 1 sack 2001-2501", "< . 1001:500 ack 1",
                             "> . 1:0 ack 1 sack 1001-1501 sack 2001-2501", "< . 1501:500 ack 1", "> . 1:0 ack 1 sack 1001-2501",
                             "< . 1501:500 ack 1", "> . 1:0 ack 1 sack 1501-2001 sack 1001-2501" } },
                { "4.2.1: the first half came before",
                  .lines = { OPEN_SACK, "< . 1:500 ack 1", "< . 1001:500 ack 1", "> . 1:0 ack 501 sack 1001-1501",
                             "< . 1:1000 ack 1", "> . 1:0 ack 1501 sack 1-501" } },
                { "4.2.3: two parts above the gap came before, and the first is reported",
                  .lines = { OPEN_SACK, "< . 501:500 ack 1", "> . 1:0 ack 1 sack 501-1001", "< . 1501:500 ack 1",
                             "> . 1:0 ack 1 sack 1501-2001 sack 501-1001", "< . 501:1500 ack 1",
                             "> . 1:0 ack 1 sack 501-1001 sack 501-2001" } },
                { "what fills the gap, and more than that",
                  .lines = { OPEN_SACK, "< . 501:500 ack 1", "> . 1:0 ack 1 sack 501-1001", "< . 1:700 ack 1",
                             "> . 1:0 ack 1001 sack 501-701" } },
                { "with timestamps, and three blocks in all",
                  .lines = { OPEN_TS, "< . 101:10 ack 1 ts 200 0", "> . 1:0 ack 1 sack 101-111", "< . 201:10 ack 1 ts 200 0",
                             "> . 1:0 ack 1 sack 201-211 sack 101-111", "< . 301:10 ack 1 ts 200 0",
                             "> . 1:0 ack 1 sack 301-311 sack 101-111 sack 201-211", "< . 201:10 ack 1 ts 200 0",
                             "> . 1:0 ack 1 sack 201-211 sack 201-211 sack 101-111" } },
                { "an old timestamp does not hide it (4.3)",
                  .lines = { OPEN_TS, "< P. 1:10 ack 1 ts 200 0", "event DATA", "+40", "> . 1:0 ack 11",
                             "< P. 1:10 ack 1 ts 150 0", "> . 1:0 ack 11 sack 1-11", "event none" } },
                { "data that leaves no room for it: an ACK of its own",
                  .lines = { "< S 0:0 win 0 mss 1460 sok", "> S. 0:0 ack 1 sok", "< . 1:0 ack 1 win 0", "event OPENED",
                             "send 1460", "< . 1:10 ack 1 win 0", "event DATA", "read 10", "+40", "> . 1:0 ack 11",
                             "< . 1:20 ack 1 win 60000", "> P. 1:1460 ack 21", "> . 1461:0 ack 21 sack 1-11",
                             "event DATA", "read 10", "< . 21:0 ack 1461", "flights 0" } },
                { "on a reply",
                  .lines = { "< S 0:0 win 0 mss 1460 sok", "> S. 0:0 ack 1 sok", "< . 1:0 ack 1 win 0", "event OPENED",
                             "send 20", "< . 1:10 ack 1 win 0", "event DATA", "read 10", "+40", "> . 1:0 ack 11",
                             "< . 1:20 ack 1 win 60000", "> P. 1:20 ack 21 sack 1-11", "event DATA", "< . 21:0 ack 21",
                             "+100", "> none" } },
                { "without SACK an ACK says nothing of it",
                  .lines = { OPEN_PLAIN, "< . 1:10 ack 1", "+40", "> . 1:0 ack 11", "< . 1:10 ack 1", "> . 1:0 ack 11",
                             "event DATA" } },
                { "after the peer's FIN, and before the connection is over",
                  .lines = { OPEN_SACK, "< FP. 1:10 ack 1", "> . 1:0 ack 12", "event DATA", "read 10", "event EOF",
                             "< P. 1:10 ack 1", "> . 1:0 ack 12 sack 1-11", "< R 12:0", "event RESET", "flights 0" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_reset_and_syn(void **state)
{
        static const struct script_case cases[] = {
                { "RST at rcv_nxt", .lines = { OPEN_PLAIN, "< R 1:0", "event RESET", "conns 1", "event none", "conns 0" } },
                { "RST in the window: challenge", .lines = { OPEN_PLAIN, "< R 2:0", "> . 1:0 ack 1", "event none" } },
                { "RST outside: silence", .lines = { OPEN_PLAIN, "< R 9000:0", "> none", "event none" } },
                { "RST from the past: silence", .lines = { OPEN_PLAIN, "< . 1:10 ack 1", "event DATA", "+40",
                                                          "> . 1:0 ack 11", "< R 5:0", "> none", "event none" } },
                { "RST with data", .lines = { OPEN_PLAIN, "< R. 1:20 ack 1", "event RESET", "event none" } },
                { "what came before the RST can still be read",
                  .lines = { OPEN_PLAIN, "< P. 1:10 ack 1", "< R 11:0", "event DATA,RESET", "peek 10", "read 10", "event none",
                             "conns 0", "held 0" } },
                { "SYN in the window: challenge", .lines = { OPEN_PLAIN, "< S 5:0", "> . 1:0 ack 1", "event none" } },
                { "SYN outside: challenge all the same", .lines = { OPEN_PLAIN, "< S 90000:0", "> . 1:0 ack 1" } },
                { "SYN-ACK: challenge", .lines = { OPEN_PLAIN, "< S. 0:0 ack 1", "> . 1:0 ack 1" } },
                { "five challenges a second",
                  .lines = { OPEN_PLAIN, "< S 5:0", "> . 1:0", "< S 5:0", "> . 1:0", "< S 5:0", "> . 1:0", "< S 5:0", "> . 1:0",
                             "< S 5:0", "> . 1:0", "< S 5:0", "> none", "+1001", "< S 5:0", "> . 1:0" } },
                { "ACK of what was never sent: challenge, data dropped",
                  .lines = { OPEN_PLAIN, "< P. 1:10 ack 100", "> . 1:0 ack 1", "event none" } },
                { "ACK from long ago: challenge, data dropped",
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "< . 1:0 ack 11", "< P. 1:10 ack 4294900000", "> . 11:0 ack 1",
                             "event none" } },
                { "old ACK within the window: data taken",
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "< . 1:0 ack 11", "< P. 1:10 ack 5", "event DATA", "+40",
                             "> . 11:0 ack 11" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_timestamps(void **state)
{
        static const struct script_case cases[] = {
                { "echoed, and in every segment",
                  .lines = { OPEN_TS, "< P. 1:10 ack 1 ts 200 0", "event DATA", "send 5", "> P. 1:5 ack 11 ts 0 200",
                             "< . 11:0 ack 6 ts 201 0" } },
                { "PAWS: an old one is dropped and answered",
                  .lines = { OPEN_TS, "< P. 1:10 ack 1 ts 200 0", "event DATA", "+40", "> . 1:0 ack 11 ts 0 200",
                             "< P. 11:10 ack 1 ts 150 0", "> . 1:0 ack 11", "event none" } },
                { "RST needs no timestamp", .lines = { OPEN_TS, "< R 1:0", "event RESET", "event none" } },
                { "one that is missing: silently dropped",
                  .lines = { OPEN_TS, "< P. 1:10 ack 1", "> none", "event none", "+100", "> none" } },
                { "out of order does not move the echo",
                  .lines = { OPEN_TS, "< P. 11:10 ack 1 ts 300 0", "> . 1:0 ack 1 ts 0 110 sack 11-21",
                             "< P. 1:10 ack 1 ts 290 0", "> . 1:0 ack 21 ts 0 290", "event DATA" } },
                { "payload leaves room for it",
                  .lines = { OPEN_TS, "send 3000", "> . 1:1448 ts", "> . 1449:1448", "> P. 2897:104",
                             "< . 1:0 ack 3001 ts 120 0" } },
                { "not offered, not sent", .lines = { OPEN_PLAIN, "send 5", "> P. 1:5 nots", "< . 1:0 ack 6" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_closing(void **state)
{
        static const struct script_case cases[] = {
                { "the peer first",
                  .lines = { OPEN_PLAIN, "< F. 1:0 ack 1", "> . 1:0 ack 2", "event EOF", "state CLOSE-WAIT", "shutdown",
                             "> F. 1:0 ack 2", "state LAST-ACK", "< . 2:0 ack 2", "event CLOSED", "event none", "conns 0",
                             "timewait 0" } },
                { "we first",
                  .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0 ack 1", "state FIN-WAIT-1", "< . 1:0 ack 2", "state FIN-WAIT-2",
                             "< F. 1:0 ack 2", "> . 2:0 ack 2", "event EOF,CLOSED", "event none", "conns 0", "timewait 1",
                             "+59000", "timewait 1", "+1100", "timewait 0" } },
                { "we first, FIN and ACK together",
                  .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0 ack 1", "< F. 1:0 ack 2", "> . 2:0 ack 2", "event EOF,CLOSED",
                             "timewait 1" } },
                { "both at once",
                  .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0 ack 1", "< F. 1:0 ack 1", "> . 2:0 ack 2", "state CLOSING",
                             "event EOF", "< . 2:0 ack 2", "event CLOSED", "timewait 1" } },
                { "half close: the peer has finished, we go on",
                  .lines = { OPEN_PLAIN, "< FP. 1:6 ack 1", "> . 1:0 ack 8", "event DATA", "read 6", "event EOF", "send 10",
                             "> P. 1:10 ack 8", "< . 8:0 ack 11", "sendfin 5", "> FP. 11:5 ack 8", "< . 8:0 ack 17",
                             "event CLOSED" } },
                { "half close: we have finished, the peer goes on",
                  .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0", "< . 1:0 ack 2", "< P. 1:10 ack 2", "event DATA", "read 10",
                             "+40", "> . 2:0 ack 11", "< F. 11:0 ack 2", "> . 2:0 ack 12", "event EOF,CLOSED" } },
                { "FIN before its data is held, and answered like data out of order (RFC 5681 4.2)",
                  .lines = { OPEN_PLAIN, "< F. 11:0 ack 1", "> . 1:0 ack 1", "event none", "state ESTABLISHED", "< . 1:10 ack 1",
                             "> . 1:0 ack 12", "event DATA", "read 10", "event EOF", "state CLOSE-WAIT" } },
                { "FIN again is acknowledged again",
                  .lines = { OPEN_PLAIN, "< F. 1:0 ack 1", "> . 1:0 ack 2", "< F. 1:0 ack 1", "> . 1:0 ack 2" } },
                { "data after the FIN is not taken",
                  .lines = { OPEN_PLAIN, "< F. 1:0 ack 1", "> . 1:0 ack 2", "event EOF", "< P. 2:10 ack 1", "peek 0",
                             "event none" } },
                { "over in order with bytes unread: they stay",
                  .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0", "< . 1:0 ack 2", "< FP. 1:10 ack 2", "> . 2:0 ack 12",
                             "timewait 1", "event DATA", "state CLOSED", "event none", "read 4", "event none", "read 6",
                             "event EOF,CLOSED", "event none", "conns 0" } },
                { "close with bytes unread: no RST, the reply arrives",
                  .lines = { OPEN_PLAIN, "< P. 1:10 ack 1", "event DATA", "sendclose 20", "> FP. 1:20 ack 11",
                             "< P. 11:10 ack 1", "< . 21:0 ack 22", "< F. 21:0 ack 22", "> . 22:0 ack 22", "event none",
                             "conns 0", "timewait 1", "held 0" } },
                { "close, and the peer talks on for ever",
                  .lines = { OPEN_PLAIN, "close", "> F. 1:0 ack 1", "< . 1:0 ack 2", "conns 1", "+29900", "conns 1", "+200",
                             "> R. 2:0 ack 1", "conns 0" } },
                { "close, and the peer acknowledges nothing: given up after a minute",
                  .lines = { OPEN_PLAIN, "sendclose 10", "> FP. 1:10", "+1001", "> FP. 1:10", "+2000", "> FP. 1:10", "+4000",
                             "> FP. 1:10", "+8000", "> FP. 1:10", "+16000", "> FP. 1:10", "conns 1", "+32000", "conns 0",
                             "held 0" } },
                { "abort", .lines = { OPEN_PLAIN, "< P. 1:10 ack 1", "send 10", "> P. 1:10", "abort", "> R. 11:0 ack 11",
                                      "event none", "conns 0", "held 0" } },
                { "LAST-ACK: the FIN is sent again",
                  .lines = { OPEN_PLAIN, "< F. 1:0 ack 1", "> . 1:0 ack 2", "close", "> F. 1:0 ack 2", "+1001", "> F. 1:0 ack 2",
                             "+2001", "> F. 1:0 ack 2", "< . 2:0 ack 2", "conns 0" } },
                { "RST in CLOSE-WAIT", .lines = { OPEN_PLAIN, "< F. 1:0 ack 1", "> . 1:0", "event EOF", "< R 2:0", "event RESET" } },
                { "RST in FIN-WAIT-1", .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0", "< R 1:0", "event RESET", "timewait 0" } },
                { "RST in FIN-WAIT-2, nobody cares",
                  .lines = { OPEN_PLAIN, "close", "> F. 1:0", "< . 1:0 ack 2", "< R 1:0", "conns 0", "event none" } },
                { "SYN in CLOSE-WAIT and FIN-WAIT-2: challenge",
                  .lines = { OPEN_PLAIN, "< F. 1:0 ack 1", "> . 1:0 ack 2", "< S 70000:0", "> . 1:0 ack 2" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_connect(void **state)
{
        static const struct script_case cases[] = {
                { "the handshake, and options fall away",
                  .lines = { "connect", "> SEW 0:0 mss 1460 ws 5 sok ts", "< S. 0:0 ack 1 mss 1400", "> . 1:0 ack 1 nots",
                             "event CONNECTED", "send 3000", "> . 1:1400", "> . 1401:1400", "> P. 2801:200",
                             "< . 1:0 ack 3001" } },
                { "what is queued before leaves with the ACK",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "send 5", "> none", "< S. 0:0 ack 1 mss 1460", "> P. 1:5 ack 1",
                             "event CONNECTED" } },
                { "refused", .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< R. 0:0 ack 1", "event REFUSED", "event none", "conns 0" } },
                { "RST without a right ACK is not believed",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< R 0:0", "< R. 0:0 ack 7", "event none", "state SYN-SENT" } },
                { "SYN-ACK for something else: RST",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S. 0:0 ack 77", "> R 77:0", "state SYN-SENT" } },
                { "SYN again at 1, 3, 7 s",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "+999", "> none", "+2", "> S 0:0 ws 5 sok ts", "+2000",
                             "> S 0:0 ws 5 sok ts", "+4000", "> S 0:0 ws 5 sok ts" } },
                { "given up after the user timeout",
                  .set = { .user_timeout_us = 10000000 },
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "+1001", "> S 0:0 ws 5 sok ts", "+2000", "> S 0:0 ws 5 sok ts",
                             "+4000", "> S 0:0 ws 5 sok ts", "+8000", "event TIMEOUT", "event none", "conns 0" } },
                { "both ends call each other",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S 0:0 mss 1460", "> S. 0:0 ack 1", "state SYN-RECEIVED",
                             "< S. 0:0 ack 1 mss 1460", "event CONNECTED", "state ESTABLISHED" } },
                { "no MSS option: 536", .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S. 0:0 ack 1", "> . 1:0", "event CONNECTED",
                                                 "send 600", "> . 1:536", "> P. 537:64", "< . 1:0 ack 601" } },
                { "no MSS option: 1220 for IPv6",
                  .v6 = true,
                  .lines = { "connect", "> SEW 0:0 mss 1440 ws 5 sok ts", "< S. 0:0 ack 1", "> . 1:0", "event CONNECTED",
                             "send 1300", "> . 1:1220", "> P. 1221:80", "< . 1:0 ack 1301" } },
                { "a tiny MSS is not followed",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S. 0:0 ack 1 mss 48", "> . 1:0", "event CONNECTED", "send 300",
                             "> . 1:216", "> P. 217:84", "< . 1:0 ack 301" } },
                { "closed before it is open", .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "close", "> none", "conns 0" } },
                { "ICMP port unreachable for our SYN",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "icmp port 5", "event none", "icmp port 0", "event REFUSED" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* Every drop of a malformed segment is counted, and costs nothing else. */
static void test_malformed(void **state)
{
        static const struct {
                uint8_t bytes[28];
                uint8_t len;
                enum counter want;
        } cases[] = {
                { { 0x9c, 0x40, 0, 25 }, 4, COUNTER_tcp_drop_truncated },
                { { 0x9c, 0x40, 0, 25, [12] = 0x40, [13] = 2 }, 20, COUNTER_tcp_drop_offset },
                { { 0x9c, 0x40, 0, 25, [12] = 0x70, [13] = 2 }, 24, COUNTER_tcp_drop_truncated },
                { { 0x9c, 0x40, 0, 25, [12] = 0x60, [13] = 2, [20] = 2, 0, 0, 0 }, 24, COUNTER_tcp_drop_option },
                { { 0x9c, 0x40, 0, 25, [12] = 0x60, [13] = 2, [20] = 2, 5, 0, 0 }, 24, COUNTER_tcp_drop_option },
                { { 0, 0, 0, 25, [12] = 0x50, [13] = 2 }, 20, COUNTER_tcp_drop_port },
        };
        uint64_t counters[COUNTER_USED] = { 0 };
        struct tcp_settings set = { .pool = script_pool, .counters = counters };
        struct tcp *tcp = tcp_new(&set);
        struct packet *out[4];
        unsigned in_use = rte_mempool_in_use_count(script_pool);

        assert_non_null(tcp);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct packet *packet = packet_new(script_pool);
                uint64_t before = counters[cases[i].want];

                memcpy(packet_append(packet, cases[i].len), cases[i].bytes, cases[i].len);
                tcp_input(tcp, &packet, 1, 1000000);
                assert_int_equal(counters[cases[i].want], before + 1);
                assert_int_equal(tcp_output(tcp, out, 4, 1000000), 0);
        }
        tcp_free(tcp);
        assert_int_equal(rte_mempool_in_use_count(script_pool), in_use);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_payload),  cmocka_unit_test(test_duplicates), cmocka_unit_test(test_reset_and_syn), cmocka_unit_test(test_timestamps),
                cmocka_unit_test(test_closing),  cmocka_unit_test(test_connect),       cmocka_unit_test(test_malformed),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
