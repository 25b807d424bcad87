# SPDX-License-Identifier: Apache-2.0
"""Crafted segments at the end of a connection, beside single ones (test_tcp_matrix.py): what must come again, what
must not be taken, and TIME-WAIT.
"""

import pytest

from bridge import peer as raw
from policies import PEERS, policy

LAB = {"policy": policy(trusted=PEERS), "options": ["--backend", "sink"]}


def _fins(peer):
    return [segment for segment in peer.inbox if "F" in segment.flags]


@pytest.mark.parametrize("state", ("FIN-WAIT-1", "CLOSING", "LAST-ACK"))
@pytest.mark.parametrize("ipv6", (False, True), ids=("v4", "v6"))
def test_a_fin_is_sent_again_until_it_is_acknowledged(wire, state, ipv6):
    peer = wire.peer(ipv6=ipv6)
    peer.greet()
    peer.auto_ack = False
    peer.send("PFA", data=b"QUIT\r\n") if state == "LAST-ACK" else peer.say("QUIT\r\n")
    wire.wait(lambda: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq, 5, "221 and FIN")
    peer.send("A")  # the 221, not the FIN
    if state == "CLOSING":
        peer.send("FA")
    wire.wait(lambda: len(_fins(peer)) >= 3, 15, "the FIN three times")
    assert {segment.seq + len(segment.data) & raw.MASK for segment in _fins(peer)} == {peer.fin_seq}
    peer.rcv_nxt = peer.fin_seq + 1 & raw.MASK
    peer.clear()
    peer.send("A")
    if state == "FIN-WAIT-1":
        peer.send("FA")
        assert peer.wait_segment(lambda segment: segment.flags == "A").ack == peer.snd_nxt
        return
    # LAST-ACK is over by that, CLOSING has become TIME-WAIT.
    peer.send("FA", seq=peer.snd_nxt - 1)
    answer = peer.wait_segment(lambda segment: segment.flags == "A" or "R" in segment.flags)
    assert ("R" in answer.flags) == (state == "LAST-ACK"), answer


def test_a_fin_beyond_the_window_is_not_taken(wire):
    """RFC 9293 3.10.7.4: a segment is cut at the right edge, and its FIN with that."""
    peer = wire.peer()
    peer.greet()
    peer.say("EHLO client\r\n")
    peer.wait_data(rb"250 [^\n]*\n")
    peer.settle()
    start, edge = peer.snd_nxt, peer.right
    size = edge - start & raw.MASK
    line = b"NOOP " + b"x" * 493 + b"\r\n"  # as few as go into the window, since they are limited in number
    stream = line * (size // len(line) + 2)
    peer.send("PFA", seq=edge - 1, data=stream[size - 1:size + 9])
    assert peer.wait_segment(lambda segment: segment.flags == "A").ack == start
    for at in range(0, len(stream), 1000):
        part = stream[at:at + 1000]
        peer.send("PA", data=part)
        wire.wait(lambda: peer.snd_una == peer.snd_nxt, 5, "room for the next ones")
    replies = len(stream) // len(line)
    wire.wait(lambda: peer.data.count(b"\n") == replies, 5, "a reply for each")
    assert peer.fin_seq is None
    peer.data = b""
    peer.works()
    peer.reset()


def _timewait(wire):
    peer = wire.peer()
    peer.greet()
    peer.end()
    return peer


def test_several_syns_in_timewait(wire):
    """Old ones end nothing, however many; of new ones the first begins a connection, and the same again is answered again."""
    peer = _timewait(wire)
    for back in (1, 2, 1000, 70000):
        peer.clear()
        peer.send("S", seq=peer.snd_nxt - back)
        wire.barrier()
        assert [(segment.flags, segment.ack) for segment in peer.inbox] == [("A", peer.snd_nxt)], (back, peer.inbox)
    peer.clear()
    peer.snd_nxt = peer.isn = peer.snd_nxt + 50000 & raw.MASK
    peer.data, peer.fin_seq = b"", None
    for _ in range(3):
        peer.send("S", seq=peer.isn)
    wire.barrier()
    assert [segment.flags for segment in peer.inbox] == ["SA"] * 3
    assert len({(segment.seq, segment.ack) for segment in peer.inbox}) == 1
    peer.snd_nxt = peer.isn + 1 & raw.MASK
    peer.send("A")
    peer.wait_data(rb"220 [^\n]*\n")
    peer.works()
    peer.reset()


def test_a_fin_that_comes_again_in_timewait_is_acknowledged_each_time(wire):
    peer = _timewait(wire)
    for _ in range(3):
        peer.clear()
        peer.send("FA", seq=peer.snd_nxt - 1)
        wire.barrier()
        assert [(segment.flags, segment.ack) for segment in peer.inbox] == [("A", peer.snd_nxt)]


def test_bytes_after_the_close_are_acknowledged_and_thrown_away_not_reset(wire):
    """A client that goes on talking after QUIT: a RST would take the reply out of its queue (RFC 9293 3.6.1, SHLD-3)."""
    peer = wire.peer()
    peer.greet()
    peer.auto_ack = False
    peer.say("QUIT\r\n")
    wire.wait(lambda: peer.fin_seq is not None, 5, "221 and FIN")
    for _ in range(20):
        wire.wait(lambda: (peer.right - peer.snd_nxt & raw.MASK) in range(1000, 1 << 20), 5, "a window for more")
        peer.send("PA", data=b"x" * 1000)
    wire.wait(lambda: peer.snd_una == peer.snd_nxt, 5, "ACK of everything")
    assert not any("R" in segment.flags for segment in peer.inbox)
    assert peer.wait_data(rb"221 [^\n]*\n")
    peer.rcv_nxt = peer.fin_seq + 1 & raw.MASK
    peer.send("FA")
    wire.wait(lambda: peer.snd_una == peer.snd_nxt, 5, "ACK of the FIN")


def test_a_connection_is_told_from_another_by_its_addresses(wire):
    """The same ports from two addresses: RST and FIN of one mean nothing to the other."""
    one, two = (wire.peer(address=address) for address in ("198.18.0.51", "198.18.0.52"))
    assert one.port == two.port
    for peer in (one, two):
        peer.greet()
        peer.settle()
    for flags in ("R", "FA"):
        two.send(flags, seq=one.snd_nxt)
    wire.barrier()
    one.works()
    one.reset()
    two.reset()
