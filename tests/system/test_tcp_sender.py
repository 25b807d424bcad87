# SPDX-License-Identifier: Apache-2.0
"""Crafted acknowledgements: what the appliance sends again, and what not. Small segments, so that a few kB of
replies make a flight of many.
"""

import time

import pytest

from bridge import peer as raw
from policies import PEERS, policy

LAB = {"policy": policy(trusted=PEERS), "options": ["--backend", "sink"]}
MSS = 216


def _flight(wire, sack, least=6, ipv6=False, distance=0):
    """A peer and the segments that are on their way to it, none of them acknowledged."""
    mss = 536 if ipv6 else MSS
    peer = wire.peer(ipv6=ipv6, options=[("MSS", mss)] + ([("SAckOK", b"")] if sack else []))
    peer.distance = distance
    peer.greet()
    peer.pile_up(175)
    peer.window = 32000
    peer.send("A")
    wire.wait(lambda: len(_data(peer)) >= least, 5, "a flight")
    wire.barrier()
    flight = []
    for segment in _data(peer):  # a tail loss probe may be among them
        if not flight or segment.seq == _end(flight[-1]):
            flight.append(segment)
    peer.clear()
    return peer, flight


def _data(peer):
    return [segment for segment in peer.inbox if segment.data]


def _end(segment):
    return segment.seq + len(segment.data) & raw.MASK


def _again(peer, flight):
    """What was sent again but the tail, which is also sent as a probe (RFC 8985 7)."""
    return [segment for segment in _data(peer) if raw.before(_end(segment), _end(flight[-1]))]


def _sack(peer, ack, *blocks):
    values = tuple(edge for start, end in blocks for edge in (start.seq, _end(end)))
    peer.send("A", ack=ack, options=[("NOP", None), ("NOP", None), ("SAck", values)])


def _finish(wire, peer):
    """Acknowledge everything, and see every reply once and in order."""
    peer.auto_ack = True
    peer.send("A")
    wire.wait(lambda: peer.data.count(b"\n") >= 175, 10, lambda: f"175 replies: {peer.data!r}")
    assert peer.data.count(b"\n") == 175
    peer.data = b""
    peer.works()
    peer.reset()


@pytest.mark.parametrize("ipv6", (False, True), ids=("v4", "v6"))
def test_the_first_flight_is_no_more_than_ten_segments(wire, ipv6):
    """RFC 6928; and one more as a tail loss probe, if it has come by now (RFC 8985 7.3)."""
    peer, flight = _flight(wire, sack=True, ipv6=ipv6, least=4)
    assert sum(len(segment.data) for segment in flight) <= 11 * (536 if ipv6 else MSS)
    _finish(wire, peer)


def _timeouts(lab):
    values = [value for key, value in lab.metrics().items() if key.startswith("greyline_tcp_timeouts")]
    assert values
    return sum(values)


@pytest.mark.parametrize("last", (1, 3))
def test_sacked_segments_bring_back_the_hole_and_nothing_else(lab, wire, last):
    """RFC 8985: one is enough once the reordering window is over, here a quarter of next to nothing; three are at once."""
    peer, flight = _flight(wire, sack=True)
    hole, timeouts = flight[0], _timeouts(lab)
    _sack(peer, hole.seq, (flight[1], flight[last]))
    wire.wait(lambda: [segment for segment in _data(peer) if segment.seq == hole.seq], 5, "the hole")
    wire.barrier()
    assert _timeouts(lab) == timeouts
    again = _again(peer, flight)
    assert [(segment.seq, segment.data) for segment in again] == [(hole.seq, hole.data)]
    _finish(wire, peer)


def test_a_repeat_that_is_lost_comes_again_without_a_timeout(lab, wire):
    """RFC 8985 9.1, 2: what was sent after it has arrived."""
    peer, flight = _flight(wire, sack=True, least=8)
    hole, end, timeouts = flight[0], _end(flight[-1]), _timeouts(lab)
    _sack(peer, hole.seq, (flight[1], flight[3]))
    wire.wait(lambda: [segment for segment in _data(peer) if segment.seq == hole.seq], 5, "the repeat")
    _sack(peer, hole.seq, (flight[1], flight[-1]))
    wire.wait(lambda: [segment for segment in _data(peer) if segment.seq == end], 5, "new bytes")
    wire.barrier()
    newest = max((segment for segment in _data(peer)), key=lambda segment: segment.seq - hole.seq & raw.MASK)
    peer.clear()
    _sack(peer, hole.seq, (flight[1], newest))
    wire.wait(lambda: [segment for segment in _data(peer) if segment.seq == hole.seq], 5, "the repeat once more")
    wire.barrier()
    assert _timeouts(lab) == timeouts
    _finish(wire, peer)


def test_only_the_holes_are_sent_again(wire):
    """Two holes, and what lies between them has arrived."""
    peer, flight = _flight(wire, sack=True, least=8)
    _sack(peer, flight[0].seq, (flight[3], flight[-1]), (flight[1], flight[1]))
    wire.wait(lambda: {flight[0].seq, flight[2].seq} <= {segment.seq for segment in _data(peer)}, 5, "both holes")
    wire.barrier()
    sacked = {segment.seq for number, segment in enumerate(flight) if number not in (0, 2)}
    assert not sacked & {segment.seq for segment in _again(peer, flight)}
    _finish(wire, peer)


def test_three_duplicate_acks_bring_back_the_first_segment(wire):
    """RFC 5681 3.2, RFC 3042, with a peer that has no SACK."""
    peer, flight = _flight(wire, sack=False)
    for _ in range(2):
        peer.send("A", ack=flight[0].seq)
    wire.barrier()
    assert not [segment for segment in _data(peer) if segment.seq == flight[0].seq], "two are not enough"
    peer.send("A", ack=flight[0].seq)
    wire.barrier()
    again = _again(peer, flight)
    assert [(segment.seq, segment.data) for segment in again] == [(flight[0].seq, flight[0].data)]
    # A partial ACK brings the next one at once (RFC 6582).
    peer.clear()
    peer.send("A", ack=flight[1].seq)
    wire.barrier()
    assert flight[1].seq in {segment.seq for segment in _data(peer)}
    _finish(wire, peer)


def test_the_first_two_duplicate_acks_bring_a_new_segment_each(wire):
    """
    RFC 3042, limited transmit: where the window of congestion is full, and there is more to send. With SACK the peer is
    far away: a quarter of the round trip must pass before the first segment counts as lost (RFC 8985 6.2).
    """
    for sack in (True, False):
        peer, flight = _flight(wire, sack, distance=0.5 if sack else 0)
        end = _end(flight[-1])
        time.sleep(peer.distance)
        for number in (1, 2):
            peer.clear()
            if sack:
                _sack(peer, flight[0].seq, (flight[1], flight[number]))
            else:
                peer.send("A", ack=flight[0].seq)
            wire.barrier()
            fresh = [segment for segment in _data(peer) if not raw.before(segment.seq, end)]
            assert [segment.seq for segment in fresh] == [end], (sack, number, fresh)
            end = _end(fresh[0])
        _finish(wire, peer)


def test_window_updates_are_no_duplicate_acks(wire):
    """RFC 5681 2: an ACK with another window says nothing about loss."""
    peer, flight = _flight(wire, sack=False)
    for window in (31000, 30000, 31500, 30500):
        peer.send("A", ack=flight[0].seq, window=window)
    wire.barrier()
    assert flight[0].seq not in {segment.seq for segment in _data(peer)}
    _finish(wire, peer)


def test_after_a_timeout_one_segment_goes_and_what_was_sacked_is_forgotten(wire):
    """RFC 5681 3.1 (a window of one), RFC 2018 8 (the receiver may have thrown it away)."""
    peer, flight = _flight(wire, sack=True)
    _sack(peer, flight[0].seq, (flight[1], flight[2]))
    wire.wait(lambda: [segment.seq for segment in _data(peer)].count(flight[0].seq) == 2, 10, "the repeat, and the timeout")
    wire.barrier()
    second = [segment for segment in _data(peer) if segment.seq == flight[0].seq][1]
    after = [segment for segment in _data(peer) if segment.time >= second.time]
    assert len(after) == 1, "one segment for a timeout"
    peer.clear()
    peer.send("A", ack=flight[1].seq)
    wire.wait(lambda: flight[1].seq in {segment.seq for segment in _data(peer)}, 10, "what had been sacked")
    _finish(wire, peer)


def test_sack_blocks_that_lie_are_not_believed(wire):
    """Of what was never sent, turned round, below the ACK: nothing is sent again, and nothing is lost."""
    peer, flight = _flight(wire, sack=True)
    first, end = flight[0].seq, _end(flight[-1])
    for start, stop in ((end + 1000, end + 2000), (end, first), (first - 500, first), (first, first),
                        (first + 0x7fffffff, first + 0x80000000)):
        for _ in range(2):
            peer.send("A", ack=first, options=[("NOP", None), ("NOP", None),
                                               ("SAck", (start & raw.MASK, stop & raw.MASK))])
    wire.barrier()
    assert flight[0].seq not in {segment.seq for segment in _data(peer)}
    _finish(wire, peer)
