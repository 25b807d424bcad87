/* SPDX-License-Identifier: Apache-2.0 */
/* The sender: RTO, recovery with and without SACK, windows, probes, path MTU (RFC 6298, 5681, 6582, 6675, 3042, 8985 7). */
#include "tests/unit/tcp_script.h"

#include "dataplane/tcp/rexmit.h"

static void test_timeout(void **state)
{
        static const struct script_case cases[] = {
                { "again at 1, 3, 7 s, one segment at a time",
                  .lines = { OPEN_PLAIN, "send 2000", "> . 1:1460", "> P. 1461:540", "+999", "> none", "+2", "> . 1:1460",
                             "+1990", "> none", "+20", "> . 1:1460", "+4001", "> . 1:1460", "< . 1:0 ack 1461",
                             "> P. 1461:540", "< . 1:0 ack 2001" } },
                { "the timer starts anew with each new ACK",
                  .lines = { OPEN_PLAIN, "send 4380", "> . 1:1460", "> . 1461:1460", "> P. 2921:1460", "+10",
                             "< . 1:0 ack 1461", "+900", "< . 1:0 ack 2921", "+990", "> none", "+20", "> P. 2921:1460" } },
                { "given up after the user timeout",
                  .set = { .user_timeout_us = 5000000 },
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "+1001", "> P. 1:10", "+2001", "> P. 1:10", "+4001",
                             "event TIMEOUT", "event none", "conns 0", "held 0" } },
                { "without a sample the backoff stays (Karn)",
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "+1001", "> P. 1:10", "< . 1:0 ack 11", "send 10", "> P. 11:10",
                             "+1900", "> none", "+200", "> P. 11:10" } },
                { "a timestamp tells which copy was answered: the backoff goes",
                  .lines = { OPEN_TS, "send 10", "> P. 1:10", "+1001", "> P. 1:10" } },
                { "SACKed is forgotten after a timeout (reneging)",
                  .lines = { OPEN_SACK, "send 2920", "> . 1:1460", "> P. 1461:1460", "+20", "< . 1:0 ack 1 sack 1461-2921", "> none",
                             "+6", "> . 1:1460", "+1001", "> . 1:1460", "< . 1:0 ack 1461", "> P. 1461:1460",
                             "< . 1:0 ack 2921" } },
        };

        SCRIPT_RUN_ALL(cases);
}

#define TEN_SEGMENTS                                                                                         \
        "> . 1:1460", "> . 1461:1460", "> . 2921:1460", "> . 4381:1460", "> . 5841:1460", "> . 7301:1460",  \
            "> . 8761:1460", "> . 10221:1460", "> . 11681:1460", "> . 13141:1460"

/* The same when they are all there is. */
#define TEN_SEGMENTS_P                                                                                       \
        "> . 1:1460", "> . 1461:1460", "> . 2921:1460", "> . 4381:1460", "> . 5841:1460", "> . 7301:1460",  \
            "> . 8761:1460", "> . 10221:1460", "> . 11681:1460", "> P. 13141:1460"

static void test_recovery(void **state)
{
        static const struct script_case cases[] = {
                { "initial window is ten segments", .lines = { OPEN_PLAIN, "send 20000", TEN_SEGMENTS, "+10", "> none" } },
                { "limited transmit, then fast retransmit, without SACK",
                  .lines = { OPEN_PLAIN, "send 30000", TEN_SEGMENTS, "< . 1:0 ack 1", "> . 14601:1460", "< . 1:0 ack 1",
                             "> . 16061:1460", "< . 1:0 ack 1", "> . 1:1460", "< . 1:0 ack 1", "< . 1:0 ack 1",
                             /* 0.7 of twelve segments and the five duplicates make room for the thirteenth */
                             "> . 17521:1460",
                             /* the partial ACK shows the next hole: sent at once */
                             "< . 1:0 ack 4381", "> . 4381:1460", "> . 18981:1460" } },
                { "an ACK with data or another window is no duplicate",
                  .lines = { OPEN_PLAIN, "send 14600", TEN_SEGMENTS_P, "< . 1:1 ack 1", "< . 2:1 ack 1", "< . 3:1 ack 1",
                             "< . 4:0 ack 1 win 65000", "< . 4:0 ack 1 win 64000", "< . 4:0 ack 1 win 63000", "+30", "> none",
                             "+15", "> . 14601:0 ack 4" } },
                { "SACK: only the holes go out again",
                  .lines = { OPEN_SACK, "send 14600", TEN_SEGMENTS_P, "+20", "< . 1:0 ack 1 sack 1461-2921", "> none",
                             "< . 1:0 ack 1 sack 1461-4381", "> none", "< . 1:0 ack 1 sack 1461-5841", "> . 1:1460",
                             "< . 1:0 ack 1 sack 1461-5841 sack 7301-8761", "> . 5841:1460",
                             "< . 1:0 ack 1 sack 1461-5841 sack 7301-10221", "< . 1:0 ack 1 sack 1461-5841 sack 7301-11681",
                             "< . 1:0 ack 14601" } },
                { "SACK: a partial ACK, and the next hole at once",
                  .lines = { OPEN_SACK, "send 14600", TEN_SEGMENTS_P, "+20", "< . 1:0 ack 1 sack 1461-5841", "> . 1:1460",
                             "+20", "< . 1:0 ack 5841 sack 7301-11681", "> . 5841:1460",
                             /* the repeat has come back, and these have not: they were sent a round trip before it */
                             "> . 11681:1460", "> P. 13141:1460", "< . 1:0 ack 14601" } },
                { "SACK of what was never sent is ignored",
                  .lines = { OPEN_SACK, "send 14600", TEN_SEGMENTS_P, "< . 1:0 ack 1 sack 20000-30000",
                             "< . 1:0 ack 1 sack 20000-30000", "< . 1:0 ack 1 sack 20000-30000", "> none" } },
                { "a D-SACK is no loss: below the ACK, and inside the second block (RFC 2883 5)",
                  .lines = { OPEN_SACK, "send 1460", "> P. 1:1460", "+20", "< . 1:0 ack 1461", "send 14600", "> . 1461:1460",
                             "> . 2921:1460", "> . 4381:1460", "> . 5841:1460", "> . 7301:1460", "> . 8761:1460",
                             "> . 10221:1460", "> . 11681:1460", "> . 13141:1460", "> P. 14601:1460", "+20",
                             "< . 1:0 ack 1461 sack 1-1461", "< . 1:0 ack 1461 sack 1-1461", "< . 1:0 ack 1461 sack 1-1461",
                             "> none", "< . 1:0 ack 1461 sack 2921-4381", "< . 1:0 ack 1461 sack 2921-3921 sack 2921-4381",
                             "< . 1:0 ack 1461 sack 2921-3921 sack 2921-4381", "< . 1:0 ack 1461 sack 2921-3921 sack 2921-4381",
                             "> none", "< . 1:0 ack 16061" } },
                { "after a timeout, echoes of repeats do not start a recovery",
                  .lines = { OPEN_PLAIN, "send 2920", "> . 1:1460", "> P. 1461:1460", "+1001", "> . 1:1460", "< . 1:0 ack 1",
                             "< . 1:0 ack 1", "< . 1:0 ack 1", "< . 1:0 ack 1", "> none", "< . 1:0 ack 2921" } },
                { "the last segment lost: probed after two round trips",
                  .lines = { OPEN_SACK, "send 10", "> P. 1:10", "+20", "< . 1:0 ack 11", "send 10", "> P. 11:10", "+200",
                             "> none", "+60", "> P. 11:10", "< . 1:0 ack 21" } },
                { "a segment that was sent twice is not timed (Karn)",
                  .lines = { OPEN_SACK, "send 10", "> P. 1:10", "+20", "< . 1:0 ack 11", "srtt 20", "send 10", "> P. 11:10",
                             "+260", "> P. 11:10", "+50", "< . 1:0 ack 21", "srtt 20", "send 10", "> P. 21:10", "+28",
                             "< . 1:0 ack 31", "srtt 21" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* A round trip of 20 ms has been measured, so the reordering window is 5 ms, and a probe comes after 42. */
#define OPEN_20_MS OPEN_SACK, "send 10", "> P. 1:10", "+20", "< . 1:0 ack 11", "srtt 20"
#define THREE_SEGMENTS "send 4380", "> . 11:1460", "> . 1471:1460", "> P. 2931:1460"

static void test_rack(void **state)
{
        static const struct script_case cases[] = {
                { "late by less than a quarter of a round trip: no loss",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+20", "< . 1:0 ack 11 sack 1471-2931", "+4", "> none",
                             "< . 1:0 ack 4391", "+100", "> none" } },
                { "one SACK, and the reordering window is over: lost",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+20", "< . 1:0 ack 11 sack 1471-2931", "+4", "> none", "+3",
                             "> . 11:1460", "+20", "< . 1:0 ack 4391" } },
                { "a lost repeat is found by one that was sent after it (9.1, 2), and cuts the window again (9.3)",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+20", "< . 1:0 ack 11 sack 2931-4391", "+6", "> . 11:1460",
                             "> . 1471:1460", "cwnd 3066", "+20", "< . 1:0 ack 11 sack 1471-4391", "> . 11:1460", "cwnd 2920",
                             "+20", "< . 1:0 ack 4391", "+100", "> none" } },
                { "a hole at the end is found by the repeat of an earlier one (9.1, 1)",
                  .lines = { OPEN_20_MS, "send 1000", "> P. 11:1000", "+10", "send 1000", "> P. 1011:1000", "+10", "send 1000",
                             "> P. 2011:1000", "+10", "< . 1:0 ack 11 sack 1011-2011", "> . 11:1000", "+20",
                             "< . 1:0 ack 2011", "> P. 2011:1000", "+20", "< . 1:0 ack 3011" } },
                { "the order changes on this path: three SACKs are no loss, time is",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+20", "< . 1:0 ack 11 sack 1471-2931", "+2", "< . 1:0 ack 2931", "+1",
                             "< . 1:0 ack 4391", "send 7300", "> . 4391:1460", "> . 5851:1460", "> . 7311:1460",
                             "> . 8771:1460", "> P. 10231:1460", "+20", "< . 1:0 ack 4391 sack 5851-11691", "> none", "+4",
                             "> none", "+3", "> . 4391:1460", "+20", "< . 1:0 ack 11691" } },
                { "a SACK of the first copy says nothing of what was sent before the second",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+20", "< . 1:0 ack 11 sack 2931-4391", "+6", "> . 11:1460",
                             "> . 1471:1460", "+2", "< . 1:0 ack 11 sack 1471-4391", "> none", "+10", "> none", "+8",
                             "< . 1:0 ack 4391", "+100", "> none" } },
                { "a timestamp tells that too, of what it acknowledges",
                  .lines = { OPEN_TS, "send 10", "> P. 1:10", "+20", "< . 1:0 ack 11 ts 130 0", "send 2896", "> . 11:1448",
                             "> P. 1459:1448", "+20", "< . 1:0 ack 11 ts 150 0 sack 1459-2907", "+6", "> . 11:1448", "+30",
                             "< . 1:0 ack 2907 ts 190 0", "+100", "> none" } },
                { "what came twice makes the window longer, once a round trip (6.2 step 4)",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+20", "< . 1:0 ack 11 sack 1471-2931", "+6", "> . 11:1460",
                             "send 100", "> P. 4391:100", "+1", "< . 1:0 ack 4391", "< . 1:0 ack 4391 sack 11-1471",
                             "< . 1:0 ack 4391 sack 11-1471", "+15", "send 2000", "> . 4491:1460", "> P. 5951:540", "+4",
                             "< . 1:0 ack 4491", "+17", "< . 1:0 ack 4491 sack 5951-6491", "+8", "> none", "+4",
                             "> . 4491:1460", "< . 1:0 ack 6491" } },
                { "in slow start after a timeout a repeat that is lost again does not wait for another timeout",
                  .lines = { OPEN_20_MS, "send 7300", "> . 11:1460", "> . 1471:1460", "> . 2931:1460", "> . 4391:1460",
                             "> P. 5851:1460", "+43", "> P. 5851:1460", "+1001", "> . 11:1460", "+20", "< . 1:0 ack 1471",
                             "> . 1471:1460", "> . 2931:1460", "+20", "< . 1:0 ack 1471 sack 2931-4391", "> . 1471:1460",
                             "> . 4391:1460", "+20", "< . 1:0 ack 5851", "> P. 5851:1460", "+20", "< . 1:0 ack 7311" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_tail(void **state)
{
        static const struct script_case cases[] = {
                { "bytes that wait are the probe, whatever the congestion window says, and it is the only one",
                  .lines = { OPEN_20_MS, "send 30000", "> . 11:1460", "> . 1471:1460", "> . 2931:1460", "> . 4391:1460",
                             "> . 5851:1460", "> . 7311:1460", "> . 8771:1460", "> . 10231:1460", "> . 11691:1460",
                             "> . 13151:1460", "+41", "> none", "+2", "> . 14611:1460", "+900", "> none", "+101",
                             "> . 11:1460" } },
                { "but not beyond the peer's window: the last segment again",
                  .lines = { OPEN_20_MS, "< . 1:0 ack 11 win 2000", "send 5000", "> . 11:1460", "+260", "> . 11:1460" } },
                { "three lost at the end: the probe's SACK shows them",
                  .lines = { OPEN_20_MS, THREE_SEGMENTS, "+43", "> P. 2931:1460", "+20", "< . 1:0 ack 11 sack 2931-4391",
                             "> . 11:1460", "> . 1471:1460", "+20", "< . 1:0 ack 4391" } },
                { "it was not needed, says a D-SACK (7.4.2, case 1)",
                  .lines = { OPEN_20_MS, "send 10", "> P. 11:10", "+243", "> P. 11:10", "+5", "< . 1:0 ack 21",
                             "< . 1:0 ack 21 sack 11-21", "cwnd 14600", "send 10", "> P. 21:10", "+20", "< . 1:0 ack 31",
                             "cwnd 14600" } },
                { "or a second ACK (case 2)",
                  .lines = { OPEN_20_MS, "send 10", "> P. 11:10", "+243", "> P. 11:10", "+5", "< . 1:0 ack 21",
                             "< . 1:0 ack 21", "send 10", "> P. 21:10", "+20", "< . 1:0 ack 31", "cwnd 14600" } },
                { "it mended a loss: the window is cut, though the connection had come to rest",
                  .lines = { OPEN_20_MS, "send 10", "> P. 11:10", "+243", "> P. 11:10", "+20", "< . 1:0 ack 21", "flights 0",
                             "send 10", "> P. 21:10", "cwnd 14600", "+20", "< . 1:0 ack 31", "cwnd 2920" } },
                { "no second probe before a round trip has been measured",
                  .lines = { OPEN_20_MS, "send 10", "> P. 11:10", "+243", "> P. 11:10", "+20", "< . 1:0 ack 21",
                             "< . 1:0 ack 21 sack 11-21", "send 10", "> P. 21:10", "+990", "> none", "+20", "> P. 21:10" } },
                { "after one it may",
                  .lines = { OPEN_20_MS, "send 10", "> P. 11:10", "+243", "> P. 11:10", "+20", "< . 1:0 ack 21",
                             "< . 1:0 ack 21 sack 11-21", "send 10", "> P. 21:10", "+20", "< . 1:0 ack 31", "send 10",
                             "> P. 31:10", "+243", "> P. 31:10", "< . 1:0 ack 41" } },
                { "a FIN too", .lines = { OPEN_20_MS, "sendfin 10", "> FP. 11:10", "+243", "> FP. 11:10", "< . 1:0 ack 22",
                                          "< . 1:0 ack 22 sack 11-21", "state FIN-WAIT-2" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_window(void **state)
{
        static const struct script_case cases[] = {
                { "no more than the window",
                  .lines = { "< S 0:0 win 2000 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 2000", "event OPENED",
                             "send 5000", "> . 1:1460", "+100", "> none", "< . 1:0 ack 1461 win 2000", "> . 1461:1460" } },
                { "closed: probes after the RTO, doubled, as long as they are answered",
                  .lines = { "< S 0:0 win 0 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 0", "event OPENED", "send 100",
                             "+999", "> none", "+2", "> . 1:1", "< . 1:0 ack 1 win 0", "+1990", "> none", "+20", "> . 1:1",
                             "< . 1:0 ack 1 win 0", "+4001", "> . 1:1", "< . 1:0 ack 1 win 0",
                             "< . 1:0 ack 1 win 500", "> P. 1:100", "< . 1:0 ack 101" } },
                { "a probe that is taken counts",
                  .lines = { "< S 0:0 win 0 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 0", "event OPENED", "send 100",
                             "+1001", "> . 1:1", "< . 1:0 ack 2 win 500", "> P. 2:99", "< . 1:0 ack 101" } },
                { "closed too long",
                  .set = { .zero_window_max_us = 6000000 },
                  .lines = { "< S 0:0 win 0 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 0", "event OPENED", "send 100",
                             "+1001", "> . 1:1", "< . 1:0 ack 1 win 0", "+2001", "> . 1:1", "< . 1:0 ack 1 win 0", "+4001",
                             "event TIMEOUT", "conns 1", "event none", "conns 0" } },
                { "pulled back: nothing more, and nothing breaks",
                  .lines = { "< S 0:0 win 4000 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 4000", "event OPENED",
                             "send 10000", "> . 1:1460", "> . 1461:1460", "< . 1:0 ack 1461 win 0", "+1001", "> . 1461:1",
                             "< . 1:0 ack 2921 win 4000", "> . 2921:1460", "> . 4381:1460" } },
                { "opened again with nothing on its way: duplicates count for the next flight",
                  .lines = { "< S 0:0 win 65535 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 0", "event OPENED",
                             "send 7300", "> none", "< . 1:0 ack 1 win 60000", "> . 1:1460", "> . 1461:1460",
                             "> . 2921:1460", "> . 4381:1460", "> P. 5841:1460", "< . 1:0 ack 1 win 60000",
                             "< . 1:0 ack 1 win 60000", "> none", "< . 1:0 ack 1 win 60000", "> . 1:1460",
                             "< . 1:0 ack 7301" } },
                { "no silly small segment",
                  .lines = { "< S 0:0 win 3000 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1 win 3000", "event OPENED",
                             "send 6000", "> . 1:1460", "> . 1461:1460", "+10", "> none", "< . 1:0 ack 1461 win 1560",
                             "> none", "< . 1:0 ack 2921 win 100", "> none", "+1001", "> . 2921:100",
                             "< . 1:0 ack 3021 win 3000", "> . 3021:1460", "> . 4481:1460", "> P. 5941:60" } },
                { "the peer's scale counts after the handshake",
                  .lines = { "< S 0:0 win 65535 mss 1460 ws 7", "> S. 0:0 ack 1 ws 5", "< . 1:0 ack 1 win 10", "event OPENED",
                             "send 3000", "> . 1:1280", "> none" } },
                { "closed and open again in recovery: everything again, and a timer",
                  .lines = { OPEN_SACK, "send 14600", TEN_SEGMENTS_P, "< . 1:0 ack 1 sack 1461-5841", "> . 1:1460",
                             "< . 1:0 ack 1 win 0", "< . 1:0 ack 1 win 60000", "> . 1:1460", "> . 1461:1460",
                             "> . 2921:1460", "> . 4381:1460", "> . 5841:1460", "> . 7301:1460", "> . 8761:1460", "+1001",
                             "> . 1:1460", "< . 1:0 ack 14601" } },
                { "an old segment does not set the window",
                  .lines = { OPEN_PLAIN, "< . 21:10 ack 1 win 1500", "> . 1:0 ack 1", "< . 11:10 ack 1 win 60000",
                             "> . 1:0 ack 1", "send 5000", "> . 1:1460", "+10", "> none" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_path_mtu(void **state)
{
        static const struct script_case cases[] = {
                { "smaller at once, and what was too big again",
                  .lines = { OPEN_PLAIN, "send 2000", "> . 1:1460", "> P. 1461:540", "icmp toobig 1400 1", "> . 1:1360",
                             "> P. 1361:640", "< . 1:0 ack 2001" } },
                { "a quote of nothing in flight is not believed",
                  .lines = { OPEN_PLAIN, "send 2000", "> . 1:1460", "> P. 1461:540", "icmp toobig 1400 9000",
                             "icmp toobig 1400 2001", "> none", "< . 1:0 ack 2001", "icmp toobig 1400 1", "send 1460",
                             "> P. 2001:1460" } },
                { "less than 552 is not believed",
                  .lines = { OPEN_PLAIN, "send 1460", "> P. 1:1460", "icmp toobig 551 1", "> none" } },
                { "less than 1280 is not believed for IPv6",
                  .v6 = true,
                  .lines = { "< S 0:0 win 65535 mss 1440", "> S. 0:0 ack 1 mss 1440", "< . 1:0 ack 1", "event OPENED",
                             "send 1440", "> P. 1:1440", "icmp toobig 1279 1", "> none", "icmp toobig 1280 1", "> . 1:1220",
                             "> P. 1221:220" } },
                { "port unreachable does not end what is open",
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "icmp port 1", "event none", "state ESTABLISHED" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_keepalive(void **state)
{
        static const struct script_case cases[] = {
                { "a probe, answered",
                  .set = { .keepalive_us = 20000000 },
                  .lines = { OPEN_PLAIN, "+19990", "> none", "+20", "> . 0:0 ack 1", "< . 1:0 ack 1", "+19000", "> none",
                             "+1100", "> . 0:0 ack 1" } },
                { "three probes unanswered",
                  .set = { .keepalive_us = 20000000 },
                  .lines = { OPEN_PLAIN, "+20010", "> . 0:0", "+10000", "> . 0:0", "+10000", "> . 0:0", "+10000", "> R. 1:0",
                             "event TIMEOUT", "event none", "conns 0" } },
                { "none wanted, none sent", .lines = { OPEN_PLAIN, "+4000000", "> none", "conns 1" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_rtt(void **state)
{
        static const struct {
                const char *name;
                uint32_t samples_us[4];
                uint32_t want_srtt_us, want_rttvar_us, want_rto_ms;
        } cases[] = {
                { "first", { 100000 }, 100000, 50000, 1000 },
                { "first, slow", { 800000 }, 800000, 400000, 2400 },
                { "second", { 800000, 400000 }, 750000, 400000, 2350 },
                { "steady", { 2000000, 2000000, 2000000, 2000000 }, 2000000, 421875, 3688 },
                { "none shorter than a microsecond", { 1, 1, 1, 1 }, 1, 0, 1000 },
                { "never above a minute", { 60000000 }, 60000000, 30000000, 60000 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_conn conn = { .backoff = 3 };

                for (unsigned s = 0; s < 4 && cases[i].samples_us[s]; s++)
                        rexmit_rtt_sample(&conn, cases[i].samples_us[s]);
                if (conn.srtt_us != cases[i].want_srtt_us || conn.rttvar_us != cases[i].want_rttvar_us ||
                    conn.rto_ms != cases[i].want_rto_ms || conn.backoff != 0)
                        fail_msg("%s: got %u %u %u", cases[i].name, conn.srtt_us, conn.rttvar_us, conn.rto_ms);
                conn.backoff = 2;
                assert_int_equal(rexmit_rto_ms(&conn), MIN(4 * cases[i].want_rto_ms, 60000u));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_timeout),  cmocka_unit_test(test_recovery),  cmocka_unit_test(test_rack),
                cmocka_unit_test(test_tail),     cmocka_unit_test(test_window),
                cmocka_unit_test(test_path_mtu), cmocka_unit_test(test_keepalive), cmocka_unit_test(test_rtt),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
