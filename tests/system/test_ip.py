# SPDX-License-Identifier: Apache-2.0
"""Crafted packets below TCP: fragments, tags, and what neighbours say unasked. What ICMP errors may do is in
test_tcp_segments.py. Waiting is for events; where silence is meant, Wire.barrier() says when it is complete.

An af_packet device asks its kernel to put IPv4 fragments together (PACKET_FANOUT_FLAG_DEFRAG), so these never see a
fragment of IPv4: here it is only seen that mail passes. What we do of them ourselves is in unit/ip_fragment_test.
"""

import contextlib
import random

import pytest

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptSrcLLAddr, IPv6ExtHdrDestOpt)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from lablib import names as n

import labs
from bridge import cut
from bridge import peer as raw
from policies import PEERS, policy

POLICY = policy(trusted=PEERS)
LAB = {"policy": POLICY, "options": ["--backend", "sink"]}
FAMILIES = pytest.mark.parametrize("ipv6", (False, True), ids=("v4", "v6"))
COMMAND = b"NOOP " + b"x" * 233 + b"\r\n"  # 240 bytes: one reply
STRANGER = "02:67:6c:00:00:66"


def _greeted(wire, ipv6):
    peer = wire.peer(ipv6=ipv6)
    peer.greet()
    peer.settle()
    return peer


def _replies(peer, count):
    """So many lines of 250, and no more."""
    peer.wait_data(rb"(250 [^\n]*\n){%d}" % count)
    peer.settle()
    assert peer.data == b""


def _sent(peer, data=COMMAND):
    """The segment of these commands, which counts as sent."""
    packet = peer.packet("PA", data=data)
    peer.snd_nxt = (peer.snd_nxt + len(data)) & raw.MASK
    return packet


def _again_whole(peer, packet):
    """What got lost is sent again in one piece, and the connection goes on."""
    peer.stays_silent()
    peer.wire.send(packet)
    _replies(peer, 1)


# ---- fragments that come through ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ("forward", "backward"))
@FAMILIES
def test_a_syn_in_pieces_is_answered(wire, ipv6, order):
    """All of its header is in the first piece (RFC 7112); what lies beside it comes again after the handshake."""
    peer = wire.peer(ipv6=ipv6)
    pieces = cut.pieces(peer.packet("S", data=b"x" * 100), 64)
    assert len(pieces) == 2
    for piece in pieces if order == "forward" else reversed(pieces):
        wire.send(piece)
    answer = peer.wait_segment(lambda segment: "S" in segment.flags)
    assert (answer.flags, answer.ack) == ("SA", (peer.isn + 1) & raw.MASK)
    peer.snd_nxt = answer.ack
    peer.reset()


@pytest.mark.parametrize("order", ("forward", "backward", "mixed", "doubled"))
@FAMILIES
def test_data_in_pieces_arrives_once_and_whole(lab, wire, ipv6, order):
    before = labs.count(lab, "datagrams_joined")
    peer = _greeted(wire, ipv6)
    for size in (40, 64, 136):
        pieces = cut.pieces(_sent(peer), size)
        assert 2 <= len(pieces) <= 8
        if order == "backward":
            pieces.reverse()
        elif order == "mixed":
            random.Random(size).shuffle(pieces)
        elif order == "doubled":  # the copies of the last one come late, and are fragments of nothing
            pieces = [piece for piece in pieces for _ in range(2)]
        for piece in pieces:
            wire.send(piece)
        _replies(peer, 1)
    assert not ipv6 or labs.count(lab, "datagrams_joined") == before + 3
    peer.works()
    peer.reset()


@FAMILIES
def test_two_datagrams_in_pieces_do_not_mix(wire, ipv6):
    """The same id, from two addresses, turn by turn."""
    one = _greeted(wire, ipv6)
    other = wire.peer(address="2001:2::42" if ipv6 else "198.18.0.42")
    other.greet()
    other.settle()
    ident = cut.ident()
    for pair in zip(cut.pieces(_sent(one), 64, ident), reversed(cut.pieces(_sent(other), 64, ident))):
        for piece in pair:
            wire.send(piece)
    _replies(one, 1)
    _replies(other, 1)
    one.reset()
    other.reset()


def test_an_atomic_fragment_is_a_packet_of_its_own(lab, wire):
    """RFC 6946: it neither waits nor disturbs those that have its id."""
    peer, other = _greeted(wire, True), _greeted(wire, True)
    ident = cut.ident()
    pieces = cut.pieces(_sent(peer), 136, ident)
    wire.send(pieces[0])
    atomic = cut.pieces(_sent(other), 4096, ident)
    assert len(atomic) == 1
    wire.send(atomic[0])
    _replies(other, 1)
    wire.send(pieces[1])
    _replies(peer, 1)
    peer.reset()
    other.reset()


def test_the_kernels_fragments_are_put_together(lab):
    """An echo request of 1508 bytes; its answer would not fit into a frame. One of 3048 does not fit into a packet."""
    before = labs.count(lab, "datagrams_joined"), labs.count(lab, "ip_drop_fragment_large")
    for size in ("1460", "3000"):
        done = lab.in_client("ping", "-n", "-c", "1", "-W", "1", "-s", size, n.FRONT6[0])
        assert " 100% packet loss" in done.stdout, done.stdout
    assert labs.count(lab, "datagrams_joined") == before[0] + 1
    assert labs.count(lab, "ip_drop_fragment_large") > before[1]


def test_a_crafted_echo_request_in_pieces_is_answered_whole(wire):
    for packet, reply in ((raw.IP(src="198.18.0.40", dst=n.FRONT4[0]) / ICMP(id=7, seq=1) / Raw(COMMAND), ICMP),
                          (raw.IPv6(src="2001:2::40", dst=n.FRONT6[0]) / ICMPv6EchoRequest(id=7, data=COMMAND),
                           ICMPv6EchoReply)):
        wire.addresses[packet.src] = ":" in packet.src
        wire.other.clear()
        for piece in cut.pieces(packet, 64):
            wire.send(piece)
        answer = wire.wait(lambda kind=reply: next((frame for frame in wire.other if kind in frame), None), 5,
                           "an echo reply")
        assert COMMAND in bytes(answer)


# ---- fragments that do not ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lost(lab, wire, reason, count):
    """A session and a segment of it, in whose pieces so many are dropped for this reason: it is lost, and only it."""
    before = labs.count(lab, reason)
    peer = _greeted(wire, True)
    packet = _sent(peer)
    yield packet
    _again_whole(peer, packet)
    assert labs.count(lab, reason) == before + count
    peer.reset()


@pytest.mark.parametrize("offset", (0, 40, 56, 64, 72, 120, 136, 200))
def test_an_overlap_loses_the_datagram(lab, wire, offset):
    """RFC 5722: what came before it, itself, and what comes later."""
    with _lost(lab, wire, "ip_drop_fragment_overlap", 2) as packet:
        ident = cut.ident()
        pieces = cut.pieces(packet, 64, ident)  # 0, 64, 128, 192, 256
        wrong = cut.piece(packet, ident, offset, b"QUIT\r\n.." * 5, True)
        for piece in (*pieces[:4], wrong, pieces[4]):
            wire.send(piece)


def test_a_first_fragment_without_the_whole_header_is_dropped(lab, wire):
    """RFC 7112."""
    with _lost(lab, wire, "ip_drop_fragment_tiny", 2) as packet:
        for size in (8, 16):
            data, ident = cut.payload(packet), cut.ident()
            wire.send(cut.piece(packet, ident, 0, data[:size], True))
            wire.send(cut.piece(packet, ident, size, data[size:], False))


def test_a_header_chain_in_two_pieces_is_dropped(lab, wire):
    with _lost(lab, wire, "ip_drop_fragment_tiny", 1) as packet:
        whole = raw.IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrDestOpt(nh=6) / Raw(cut.payload(packet))
        for piece in cut.pieces(whole, 8, cut.ident())[:8]:
            wire.send(piece)


def test_too_many_and_too_large(lab, wire):
    """Nine pieces; and more than a packet of ours takes. Both are known by what they would become, not by their bytes."""
    with _lost(lab, wire, "ip_drop_fragment_large", 2) as packet:
        pieces = cut.pieces(packet, 32)
        assert len(pieces) == 9
        for piece in pieces:
            wire.send(piece)
        wire.send(cut.piece(packet, cut.ident(), 60000, b"x" * 64, True))


def test_malformed_fragments_are_dropped(lab, wire):
    with _lost(lab, wire, "ip_drop_fragment", 4) as packet:
        ident = cut.ident()
        for offset, data, more in ((0, b"", True), (64, b"", False), (64, b"x" * 12, True),
                                   (65528, b"x" * 16, False)):
            wire.send(cut.piece(packet, ident, offset, data, more))


def test_congestion_is_neither_lost_nor_made_up(lab, wire):
    """RFC 3168 5.3: a piece that met congestion beside one that could not have said so."""
    with _lost(lab, wire, "ip_drop_fragment_ecn", 1) as packet:
        pieces = cut.pieces(packet, 136)
        pieces[1].tc = 3
        for piece in pieces:
            wire.send(piece)


def test_a_flood_of_first_fragments_costs_the_others_nothing(lab, wire):
    """4000 datagrams that will never be whole, from everywhere, around a session and around pieces of its own."""
    chance = random.Random(3)
    peer = _greeted(wire, True)
    before = labs.count(lab, "fragments_evicted")
    flood = []
    for _ in range(4000):
        source = f"2001:2::{chance.randrange(1, 1 << 16):x}:{chance.randrange(1 << 16):x}"
        ip = raw.IPv6(src=source, dst=peer.remote)
        packet = ip / raw.TCP(sport=4000, dport=25, flags="A") / Raw(b"x" * 44)
        flood.append(bytes(Ether(src=raw.MAC, dst=wire.mac) /
                           cut.piece(packet, chance.randrange(1 << 16), 0, cut.payload(packet), True)))
    for at in range(0, len(flood), 400):
        for frame in flood[at:at + 400]:
            wire.send_frame(frame)
        peer.works()
        segment = _sent(peer)
        for _attempt in range(20):  # the receive ring of a slow machine may have been full for some
            for piece in cut.pieces(segment, 64):
                wire.send(piece)
            if wire.pump_until(lambda: b"\n" in peer.data, 0.5):
                break
        _replies(peer, 1)
        assert labs.count(lab, "fragments_held") <= 256
    assert labs.count(lab, "fragments_evicted") > before
    held = sum(labs.count(lab, "fragments_" + end) for end in ("joined", "expired", "evicted", "abandoned", "held"))
    assert labs.count(lab, "fragments_taken") == held
    peer.reset()


# ---- Ethernet and neighbours ----------------------------------------------------------------------------------


@FAMILIES
def test_tags_of_no_vlan_of_ours_are_not_taken(lab, wire, ipv6):
    """A tag with a priority alone is none; a second tag inside is not for us."""
    peer = _greeted(wire, ipv6)
    before = labs.count(lab, "ip_drop_vlan"), labs.count(lab, "ip_drop_ethertype")
    packet = _sent(peer, b"NOOP\r\n")
    wire.send_frame(bytes(Ether(src=raw.MAC, dst=wire.mac) / Dot1Q(vlan=99) / packet))
    wire.send_frame(bytes(Ether(src=raw.MAC, dst=wire.mac) / Dot1Q(vlan=0) / Dot1Q(vlan=0) / packet))
    peer.stays_silent()
    assert (labs.count(lab, "ip_drop_vlan"), labs.count(lab, "ip_drop_ethertype")) == (before[0] + 1, before[1] + 1)
    wire.send_frame(bytes(Ether(src=raw.MAC, dst=wire.mac) / Dot1Q(vlan=0, prio=5) / packet))
    _replies(peer, 1)
    peer.reset()


@FAMILIES
def test_what_a_stranger_says_of_a_neighbour_does_not_last(lab, wire, ipv6):
    """He may move it, once a second and no more; we ask, and believe who answers."""
    peer = _greeted(wire, ipv6)
    address, ours = peer.address, peer.remote
    before = labs.count(lab, "neighbor_change_refused")
    if ipv6:
        lie = (Ether(src=STRANGER, dst=wire.mac) / raw.IPv6(src=address, dst=ours, hlim=255) /
               ICMPv6ND_NA(tgt=address, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=STRANGER))
    else:
        lie = Ether(src=STRANGER, dst=wire.mac) / ARP(op=2, hwsrc=STRANGER, psrc=address, hwdst=wire.mac, pdst=ours)
    seen = []
    take = wire._take
    wire._take = lambda frame: (seen.append(frame), take(frame))
    try:
        wire.send_frame(bytes(lie))
        wire.barrier()
        del seen[:]
        for _ in range(20):  # a question a second goes out as long as nobody answers
            peer.works()
            if any(frame.dst == raw.MAC for frame in seen if raw.TCP in frame and frame[raw.TCP].dport == peer.port):
                break
            wire.pump_for(0.2)
        else:
            assert False, "the neighbour stays where a stranger has put it"
        for _ in range(20):
            wire.send_frame(bytes(lie))
        wire.barrier()
    finally:
        wire._take = take
    assert labs.count(lab, "neighbor_change_refused") > before
    peer.reset()


@FAMILIES
def test_who_asks_for_us_fills_no_table(lab, wire, ipv6):
    """A thousand askers are answered where they say they are; we keep only those that we send to."""
    wire.barrier()
    before = labs.count(lab, "neighbors_used")
    for host in range(1000):
        if ipv6:
            frame = (Ether(src=STRANGER, dst=wire.mac) / raw.IPv6(src=f"2001:2::9:{host:x}", dst=n.FRONT6[0], hlim=255) /
                     ICMPv6ND_NS(tgt=n.FRONT6[0]) / ICMPv6NDOptSrcLLAddr(lladdr=STRANGER))
        else:
            frame = Ether(src=STRANGER, dst="ff:ff:ff:ff:ff:ff") / ARP(
                op=1, hwsrc=STRANGER, psrc=f"198.18.{200 + host // 250}.{host % 250 + 1}", pdst=n.FRONT4[0])
        wire.send_frame(bytes(frame))
    wire.barrier()
    assert labs.count(lab, "neighbors_used") <= before + 1, "the barrier's own peer"
