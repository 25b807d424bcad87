# SPDX-License-Identifier: Apache-2.0
"""Crafted segments: what of TCP can be seen from outside, beside states (test_tcp_matrix.py). The order is that of
the RFCs. Waiting is for events; where silence is meant, Wire.barrier() says when it is complete.
"""

import re
import socket
import struct
import time

import pytest

from scapy.utils import checksum

from lablib import names as n

import labs
from bridge import peer as raw
from policies import PEERS, policy

LAB = {"policy": policy(trusted=PEERS), "options": ["--backend", "sink"]}
FAMILIES = pytest.mark.parametrize("ipv6", (False, True), ids=("v4", "v6"))


@pytest.fixture
def peer(wire):
    peer = wire.peer()
    peer.greet()
    yield peer
    peer.reset()


# ---- RFC 9293 -------------------------------------------------------------------------------------------------


def _spoil(packet, how):
    """The frame with a wrong TCP checksum: off by one, or zero."""
    layer = type(packet)
    built = layer(bytes(packet))
    right = built[raw.TCP].chksum
    built[raw.TCP].chksum = 0 if how == "zero" else right ^ 1
    assert built[raw.TCP].chksum != right
    return built


@pytest.mark.parametrize("how", ("wrong", "zero"))
@FAMILIES
def test_a_wrong_checksum_is_met_with_silence(wire, ipv6, how):
    """MUST-3."""
    peer = wire.peer(ipv6=ipv6)
    wire.send(_spoil(peer.packet("S"), how))
    peer.stays_silent()
    peer.greet()
    peer.settle()
    for flags, data in (("PA", b"NOOP\r\n"), ("R", b""), ("FA", b""), ("S", b"")):
        wire.send(_spoil(peer.packet(flags, data=data), how))
    peer.stays_silent()
    peer.works()
    peer.reset()


@FAMILIES
def test_a_closed_port_answers_with_the_right_rst(wire, ipv6):
    """RFC 9293 3.10.7.1."""
    cases = [("S", b"", 1), ("S", b"abc", 4), ("F", b"", 1), ("PA", b"abc", None), ("A", b"", None), ("SA", b"", None),
             ("FA", b"", None), ("R", b"", "none"), ("RA", b"", "none"), ("P", b"abcde", 5)]
    for flags, data, moved in cases:
        peer = wire.peer(ipv6=ipv6, remote_port=2526)
        peer.rcv_nxt = 0x12345678
        peer.send(flags, seq=1000, data=data)
        wire.barrier()
        if moved == "none":
            assert peer.inbox == [], flags
            continue
        assert len(peer.inbox) == 1, (flags, peer.inbox)
        answer = peer.inbox[0]
        if moved is None:
            assert (answer.flags, answer.seq) == ("R", 0x12345678), (flags, answer)
        else:
            assert (answer.flags, answer.seq, answer.ack) == ("AR", 0, 1000 + moved), (flags, answer)
        assert answer.data == b"" and answer.options == {}


def test_a_listener_answers_strangers_as_a_closed_port_does(wire):
    for flags, want in (("A", "R"), ("FA", "R"), ("SA", "R"), ("R", None), ("F", None), ("", None), ("SF", None)):
        peer = wire.peer()
        peer.rcv_nxt = 0x12345678
        peer.send(flags, seq=1000)
        wire.barrier()
        assert [answer.flags for answer in peer.inbox] == ([want] if want else []), (flags, peer.inbox)
        assert not want or peer.inbox[0].seq == 0x12345678


def test_no_syn_from_or_to_many_is_answered(wire):
    """MUST-57, MUST-63: broadcast and multicast, and the likes of 0.0.0.0 and our own address."""
    seen = len(wire.other)
    for source in ("255.255.255.255", "224.0.0.5", "0.0.0.0", "127.0.0.1", n.FRONT4[0], "198.18.0.255"):
        wire.send(raw.IP(src=source, dst=n.FRONT4[0]) / raw.TCP(sport=4000, dport=25, flags="S", seq=1))
    for target in ("224.0.0.1", "255.255.255.255", "198.18.0.255"):
        peer = wire.peer()
        packet = peer.packet("S")
        packet.dst = target
        wire.send(packet)
        peer.stays_silent()
    assert len(wire.other) == seen


@pytest.mark.parametrize("options", [
    [(253, b"\1\2\3\4")], [(253, b"")], [("NOP", None)] * 40, [("NOP", None), (77, b"x"), ("MSS", 1000)],
    [("EOL", None)], [(253, b"x" * 30), ("WScale", 3)]], ids=repr)
def test_options_that_nobody_knows_are_passed_over(wire, options):
    """MUST-4 to MUST-6, MUST-64: on a SYN and on data."""
    peer = wire.peer(options=options)
    peer.greet()
    peer.send("PA", data=b"NOOP\r\n", options=options)
    assert peer.wait_data(rb"\n").startswith(b"250 ")
    peer.reset()


@pytest.mark.parametrize("option", [b"\2\0\5\264", b"\2\1\5\264", b"\375\0\0\0", b"\1\1\1\2", b"\2\050\5\264",
                                    b"\10\377\0\0"], ids=lambda option: option.hex())
def test_options_of_an_impossible_length_do_no_harm(wire, peer, option):
    """MUST-7: length 0, 1, past the header, cut off."""
    peer.settle()
    other = wire.peer()
    for sender, flags in ((other, "S"), (peer, "PA")):
        packet = bytes(sender.packet(flags, data=b"" if flags == "S" else b"NOOP\r\n", options=[]))
        header, payload = packet[20:40], packet[40:]
        tcp = bytearray(header + option + payload)
        tcp[12] = 6 << 4
        wire.send(raw.IP(src=sender.address, dst=sender.remote, proto=6) / _checksummed(sender, tcp))
    wire.barrier()
    assert all(segment.flags in ("SA", "R", "AR") for segment in other.inbox), other.inbox
    peer.works()


def _checksummed(peer, tcp):
    """A TCP header and payload, right by its checksum."""
    tcp[16:18] = b"\0\0"
    pseudo = socket.inet_aton(peer.address) + socket.inet_aton(peer.remote) + struct.pack("!HH", 6, len(tcp))
    tcp[16:18] = struct.pack("!H", checksum(pseudo + bytes(tcp)))
    return bytes(tcp)


@pytest.mark.parametrize("words", (0, 1, 4, 15))
def test_a_data_offset_that_cannot_be_is_met_with_silence(wire, peer, words):
    peer.settle()
    wire.send(peer.packet("PA", data=b"NOOP\r\n", dataofs=words))
    peer.stays_silent()
    peer.works()


@pytest.mark.parametrize("ipv6,options,largest,offered", [
    (False, [], 536, 1460), (True, [], 1220, 1440), (False, [("MSS", 1460)], 1460, 1460),
    (False, [("MSS", 700)], 700, 1460), (True, [("MSS", 1300)], 1300, 1440),
    (False, [("MSS", 1460), ("Timestamp", (1, 0))], 1448, 1460),
    (False, [("MSS", 48)], 216, 1460), (False, [("MSS", 0)], 216, 1460), (False, [("MSS", 65535)], 1460, 1460)],
    ids=lambda value: str(value).replace(" ", ""))
def test_no_segment_is_larger_than_the_mss(wire, ipv6, options, largest, offered):
    """MUST-15, MUST-67, RFC 6691; and a tiny one is not obeyed (CVE-2019-11479)."""
    peer = wire.peer(ipv6=ipv6, options=[option for option in options if option[0] != "Timestamp"])
    peer.timestamp = 1 if len(options) == 2 else None
    peer.start_open()
    synack = peer.wait_segment(lambda segment: segment.flags == "SA")
    assert synack.options.get("MSS") == offered
    peer.send("A")
    peer.wait_data(rb"220 [^\n]*\n")
    first = peer.pile_up(140)
    peer.window = 32000
    peer.auto_ack = True
    peer.send("A")
    wire.wait(lambda: len(peer.data) >= 140 * 14, 10, "the replies")
    sizes = [len(segment.data) for segment in peer.inbox if segment.data]
    assert max(sizes) == largest, sizes
    assert first != peer.rcv_nxt
    peer.reset()


def test_urgent_data_is_part_of_the_stream(wire, peer):
    """MUST-30, MUST-31."""
    peer.settle()
    peer.send("PAU", data=b"NOOP\r\n", urgptr=3)
    assert peer.wait_data(rb"\n").startswith(b"250 ")


def test_rst_with_data_is_a_rst(wire):
    """SHLD-2."""
    peer = wire.peer()
    peer.greet()
    peer.settle()
    peer.send("R", data=b"the reason")
    wire.barrier()
    peer.send("FA", seq=peer.snd_nxt - 1)
    peer.wait_segment(lambda segment: "R" in segment.flags, what="RST of the connection that is gone")


def test_a_shut_window_is_probed_and_opens_at_once(wire, peer):
    """MUST-36, SHLD-29, SHLD-30: the first probe after about an RTO, then at growing distances; the replies wait."""
    peer.pile_up(60)
    # A TCP may send one byte a probe; nothing is acknowledged but what was before.
    wire.wait(lambda: sum(bool(segment.data) for segment in peer.inbox) >= 3, 15, "three probes")
    probes = [segment for segment in peer.inbox if segment.data]
    assert all(len(probe.data) == 1 and probe.seq == peer.rcv_nxt - len(peer.data) for probe in probes[:1])
    for probe in probes:
        peer.send("A", ack=probes[0].seq)
    gaps = [after.time - probe.time for probe, after in zip(probes, probes[1:])]
    assert gaps[0] > 0.5 and gaps[1] > 1.5 * gaps[0], gaps
    began = time.monotonic()
    peer.window = 32000
    peer.auto_ack = True
    peer.send("A", ack=probes[0].seq)
    wire.wait(lambda: len(peer.data) >= 60 * 14, 5, "all the replies")
    assert time.monotonic() - began < gaps[1], "it did not wait for its next probe"


def test_a_window_pulled_back_breaks_nothing(wire, peer):
    """MUST-34: replies in flight, and then the right edge lies left of them."""
    peer.pile_up(60)
    peer.window = 600
    peer.send("A")
    wire.wait(lambda: len(peer.data) >= 500, 10, "the first replies")
    peer.window = 0
    peer.send("A", window=0, ack=peer.rcv_nxt - len(peer.data))
    wire.pump_for(1.2)
    peer.window = 32000
    peer.auto_ack = True
    peer.send("A")
    wire.wait(lambda: len(peer.data) >= 60 * 14, 10, "all the replies")
    assert re.fullmatch(rb"(250[^\n]*\n)*", peer.data), peer.data


@FAMILIES
def test_quit_and_fin_together_bring_221_and_fin(wire, ipv6):
    peer = wire.peer(ipv6=ipv6)
    peer.greet()
    peer.send("PFA", data=b"QUIT\r\n")
    peer.wait_data(rb"221 [^\n]*\n")
    wire.wait(lambda: peer.fin_seq is not None, 5, "FIN")
    assert peer.snd_una == peer.snd_nxt


def test_fin_before_the_missing_data_is_held(wire, peer):
    peer.settle()
    peer.send("FA", seq=peer.snd_nxt + 6)
    answer = peer.wait_segment(lambda segment: segment.flags == "A")
    assert answer.ack == peer.snd_nxt
    peer.say("QUIT\r\n")
    peer.snd_nxt = peer.snd_nxt + 1 & raw.MASK
    peer.wait_data(rb"221 [^\n]*\n")
    wire.wait(lambda: peer.snd_una == peer.snd_nxt, 5, "ACK of the FIN")


def test_an_ack_is_delayed_by_less_than_half_a_second_and_never_beyond_two_segments(wire, peer):
    """MUST-40, SHLD-19."""
    peer.settle()
    began = time.monotonic()
    peer.send("PA", data=b"NO")
    peer.wait_segment(lambda segment: segment.ack == peer.snd_nxt)
    assert time.monotonic() - began < 0.5 * labs.SLOW
    peer.settle()
    for _ in range(2):
        peer.send("A", data=b"x" * 1460)
    wire.barrier()
    assert [segment.ack for segment in peer.inbox if segment.flags == "A"] == [peer.snd_nxt]


def test_pieces_of_one_byte_and_overlaps_with_other_bytes(wire, peer):
    """The first that came wins; nothing gets out of step."""
    for byte in b"NOOP\r\n":
        peer.send("PA", data=bytes([byte]))
    assert peer.wait_data(rb"\n").startswith(b"250 ")
    peer.settle()
    start = peer.snd_nxt
    peer.send("PA", seq=start + 2, data=b"OP\r")        # held
    peer.send("PA", seq=start + 2, data=b"XX\r")        # the same place, other bytes
    peer.send("PA", seq=start + 4, data=b"\r\nQUIT\r\n")  # overlaps at its end
    peer.send("PA", seq=start, data=b"NO")              # fills the hole
    peer.snd_nxt = start + 12 & raw.MASK
    text = peer.wait_data(rb"221 [^\n]*\n")
    assert text.startswith(b"250 ") and text.count(b"\n") == 2, text


def test_data_beside_the_syn_is_not_lost(wire):
    peer = wire.peer()
    peer.send("S", data=b"EHLO x\r\n", options=[("MSS", 1460)])
    synack = peer.wait_segment(lambda segment: segment.flags == "SA")
    # It may take the data or leave it; what it left comes again.
    assert synack.ack in (peer.isn + 1 & raw.MASK, peer.snd_nxt)
    peer.send("A", seq=peer.isn + 1)
    if synack.ack != peer.snd_nxt:
        peer.send("PA", seq=peer.isn + 1, data=b"EHLO x\r\n")
    peer.wait_data(rb"220 [^\n]*\n250-")
    peer.reset()


# ---- RFC 7323, 2018, 2883 -------------------------------------------------------------------------------------

OFFERS = {"MSS": ("MSS", 1460), "WScale": ("WScale", 7), "SAckOK": ("SAckOK", b""), "Timestamp": ("Timestamp", (77, 0))}


@pytest.mark.parametrize("offered", [(), ("WScale",), ("SAckOK",), ("Timestamp",), ("WScale", "SAckOK", "Timestamp"),
                                     ("SAckOK", "Timestamp"), ("WScale", "SAckOK")], ids=",".join)
@FAMILIES
def test_options_come_back_only_if_they_were_offered(wire, ipv6, offered):
    peer = wire.peer(ipv6=ipv6, options=[OFFERS[name] for name in ("MSS", *offered)])
    peer.start_open()
    synack = peer.wait_segment(lambda segment: segment.flags == "SA")
    assert set(synack.options) - {"NOP", "EOL"} == {"MSS", *offered}
    if "Timestamp" in offered:
        assert synack.options["Timestamp"][1] == 77
    assert synack.window >= 4096, "it is not scaled"
    peer.reset()


def _stamped(wire, value=1000, **options):
    peer = wire.peer(options=[("MSS", 1460), *options.get("more", [])])
    peer.timestamp = value
    peer.greet()
    peer.settle()
    return peer


def test_timestamps_are_in_every_segment_and_echo_the_last_in_order(wire):
    peer = _stamped(wire)
    peer.timestamp = 2000
    peer.say("NOOP\r\n")
    answer = peer.wait_segment(lambda segment: segment.data)
    assert answer.options["Timestamp"][1] == 2000
    peer.wait_data(rb"\n")
    peer.settle()
    peer.timestamp = 3000
    peer.send("PA", seq=peer.snd_nxt + 10, data=b"x")  # out of order: not echoed
    answer = peer.wait_segment(lambda segment: segment.flags == "A")
    assert answer.options["Timestamp"][1] in (2000,), answer
    peer.say("QUIT\r\n")
    wire.wait(lambda: peer.fin_seq is not None, 5, "FIN")
    assert all("Timestamp" in segment.options for segment in peer.inbox)


def test_an_old_timestamp_is_acknowledged_and_not_taken(wire):
    """PAWS; RFC 7323 5.3. RST is exempt."""
    peer = _stamped(wire)
    peer.timestamp = 999
    peer.send("PA", seq=peer.snd_nxt, data=b"NOOP\r\n")
    answer = peer.wait_segment(lambda segment: segment.flags == "A")
    assert answer.ack == peer.snd_nxt and not answer.data
    peer.timestamp = None
    peer.clear()
    peer.send("PA", seq=peer.snd_nxt, data=b"NOOP\r\n")  # without one, where it was agreed on
    peer.stays_silent()
    peer.timestamp = 1001
    peer.works()
    peer.send("R", options=[("NOP", None), ("NOP", None), ("Timestamp", (5, 5))])
    wire.barrier()
    peer.clear()
    peer.send("FA", seq=peer.snd_nxt - 1)
    peer.wait_segment(lambda segment: "R" in segment.flags)


def test_gaps_are_told_by_sack_the_newest_first(wire):
    """RFC 2018 4; three blocks fit beside a timestamp."""
    for stamped, most in ((False, 4), (True, 3)):
        peer = wire.peer(options=[("MSS", 1460), ("SAckOK", b"")])
        peer.timestamp = 50 if stamped else None
        peer.greet()
        peer.settle()
        start = peer.snd_nxt
        for number, offset in enumerate((100, 300, 200, 500, 400), 1):
            peer.clear()
            peer.send("PA", seq=start + offset, data=b"y" * 10)
            answer = peer.wait_segment(lambda segment: segment.flags == "A")
            blocks = answer.options["SAck"]
            assert answer.ack == start and blocks[:2] == (start + offset & raw.MASK, start + offset + 10 & raw.MASK)
            assert len(blocks) // 2 == min(number, most), blocks
        peer.reset()


def test_without_sack_none_is_sent(wire, peer):
    peer.settle()
    peer.send("PA", seq=peer.snd_nxt + 100, data=b"y")
    assert peer.wait_segment(lambda segment: segment.flags == "A").options == {}


# ---- RFC 5961, 6528, 1337, 6191, 5927, 1191, 3168 -------------------------------------------------------------


def test_acks_of_what_was_never_sent_or_long_ago_are_challenged(wire, peer):
    """RFC 5961 5: one of the future, and one from before the largest window."""
    peer.settle()
    for ack in (peer.rcv_nxt + 1, peer.rcv_nxt + 100000, peer.rcv_nxt - 200000, peer.rcv_nxt + 0x80000000):
        peer.clear()
        peer.send("PA", seq=peer.snd_nxt, ack=ack, data=b"NOOP\r\n")
        answer = peer.wait_segment(lambda segment: segment.flags == "A")
        assert (answer.seq, answer.ack) == (peer.rcv_nxt, peer.snd_nxt), (ack - peer.rcv_nxt, answer)
    peer.works()


def test_old_acks_within_the_window_are_harmless(wire, peer):
    peer.settle()
    peer.send("PA", seq=peer.snd_nxt, ack=peer.rcv_nxt - 1, data=b"NOOP\r\n")
    peer.snd_nxt = peer.snd_nxt + 6 & raw.MASK
    assert peer.wait_data(rb"\n").startswith(b"250 ")


def test_challenge_acks_are_limited_for_each_connection_alone(wire):
    """RFC 5961 7, and not by a counter that others can feel (CVE-2016-5696)."""
    peers = [wire.peer() for _ in range(2)]
    for peer in peers:
        peer.greet()
    for peer in peers:
        peer.settle()
    for _ in range(100):
        peers[0].send("S", seq=peers[0].snd_nxt + 77)
    wire.barrier()
    peers[1].send("S", seq=peers[1].snd_nxt + 77)
    wire.barrier()
    assert 1 <= len(peers[0].inbox) <= 10, len(peers[0].inbox)
    assert len(peers[1].inbox) == 1, "the other connection's first challenge is answered"
    for peer in peers:
        peer.works()
        peer.reset()


def test_isns_grow_for_one_tuple_and_are_unrelated_for_others(wire):
    """RFC 6528."""
    isns = []
    for _ in range(8):
        peer = wire.peer()
        peer.start_open()
        isns.append(peer.wait_segment(lambda segment: segment.flags == "SA").seq)
        peer.reset()
    gaps = [(b - a) & raw.MASK for a, b in zip(isns, isns[1:])]
    assert len(set(isns)) == 8 and max(gaps) - min(gaps) > 1 << 20, gaps


def _to_timewait(wire, **options):
    peer = wire.peer(**options)
    if any(name == "Timestamp" for name, _ in peer.options):
        peer.options = [option for option in peer.options if option[0] != "Timestamp"]
        peer.timestamp = 5000
    peer.greet()
    peer.end()
    return peer


def test_timewait_takes_a_newer_syn_by_its_timestamp_and_no_older_one(wire):
    """RFC 6191: even with a sequence number that lies behind."""
    peer = _to_timewait(wire, options=[("MSS", 1460), ("Timestamp", (5000, 0))])
    peer.timestamp = 4000
    peer.send("S", seq=peer.snd_nxt + 100000)
    wire.barrier()
    assert [segment.flags for segment in peer.inbox] == ["A"], peer.inbox
    peer.clear()
    peer.timestamp = 6000
    last = peer.rcv_nxt
    peer.snd_nxt = peer.isn = peer.snd_nxt - 100000 & raw.MASK
    peer.data, peer.fin_seq = b"", None
    peer.send("S")
    synack = peer.wait_segment(lambda segment: segment.flags == "SA")
    assert raw.before(last, synack.seq), "the new ISN lies after the old connection"
    peer.send("A")
    peer.wait_data(rb"220 [^\n]*\n")
    peer.reset()


def test_timewait_is_not_ended_by_rst_and_acknowledges_the_fin_again(wire):
    """RFC 1337; 3.10.7.4."""
    peer = _to_timewait(wire)
    peer.send("R", seq=peer.snd_nxt)
    peer.stays_silent()
    peer.send("FA", seq=peer.snd_nxt - 1)
    assert peer.wait_segment(lambda segment: segment.flags == "A").ack == peer.snd_nxt


def _icmp(peer, kind, code, seq, mtu=0):
    """An ICMP error of the peer's family that quotes one of the appliance's segments; too big is (3, 4) of both."""
    if ":" in peer.address:
        quoted = raw.IPv6(src=peer.remote, dst=peer.address, plen=20) / raw.TCP(sport=25, dport=peer.port, seq=seq, flags="A")
        kind, code = {(3, 4): (2, 0), (3, 3): (1, 4), (11, 0): (3, 0)}[kind, code]
        head = struct.pack("!BBHI", kind, code, 0, mtu) + bytes(quoted)
        pseudo = socket.inet_pton(socket.AF_INET6, peer.address) + socket.inet_pton(socket.AF_INET6, peer.remote)
        total = checksum(pseudo + struct.pack("!II", len(head), 58) + head)
        body = head[:2] + struct.pack("!H", total) + head[4:]
        return raw.IPv6(src=peer.address, dst=peer.remote, nh=58) / body
    quoted = raw.IP(src=peer.remote, dst=peer.address) / raw.TCP(sport=25, dport=peer.port, seq=seq, flags="A")
    body = bytes(quoted)[:28]
    return raw.IP(src=peer.address, dst=peer.remote, proto=1) / _icmp_bytes(kind, code, mtu, body)


def _icmp_bytes(kind, code, mtu, body):
    head = struct.pack("!BBHHH", kind, code, 0, 0, mtu)
    return struct.pack("!BBHHH", kind, code, checksum(head + body), 0, mtu) + body


@FAMILIES
def test_icmp_errors_do_not_end_an_established_connection(wire, ipv6):
    """RFC 5927 and RFC 1122 4.2.3.9: unreachable of every code, time exceeded, source quench, in flight or not."""
    errors = [(3, 3), (11, 0)] if ipv6 else [(3, code) for code in range(14) if code != 4] + [(11, 0), (4, 0), (12, 0)]
    peer = wire.peer(ipv6=ipv6)
    peer.greet()
    peer.pile_up(30)
    peer.window = 32000
    peer.send("A")
    first = peer.wait_segment(lambda segment: segment.data).seq
    for kind, code in errors:
        for seq in (first, first + 1000000):
            wire.send(_icmp(peer, kind, code, seq & raw.MASK))
    wire.barrier()
    assert not any("R" in segment.flags for segment in peer.inbox)
    peer.auto_ack = True
    peer.send("A")
    wire.wait(lambda: len(peer.data) >= 30 * 14, 10, "all the replies")
    peer.data = b""
    peer.works()


@FAMILIES
def test_too_big_is_believed_only_of_what_is_in_flight_and_only_so_far(wire, ipv6):
    """RFC 1191 and 8201, guarded by RFC 5927: of a sequence number in flight, and no less than 552 or 1280."""
    headers, full, mtu, too_small = (60, 1440, 1300, (1279, 600)) if ipv6 else (40, 1460, 1000, (551, 68))
    # What is believed is remembered for the destination: one that no other test has.
    peer = wire.peer(address="2001:2::61" if ipv6 else "198.18.0.61")
    peer.greet()
    peer.pile_up(140)
    peer.window = 32000
    peer.send("A")
    first = peer.wait_segment(lambda segment: len(segment.data) >= full - 40, what="a full segment")
    size = len(first.data)
    wire.barrier()
    sent = len(peer.inbox)
    for seq, claimed in ((first.seq + 0x1000000, mtu), (first.seq - 5000, mtu), *((first.seq, less) for less in too_small)):
        wire.send(_icmp(peer, 3, 4, seq & raw.MASK, claimed))
    wire.barrier()
    # What may come besides is a tail loss probe; nothing of the first segment, and nothing smaller.
    assert all(segment.seq != first.seq for segment in peer.inbox[sent:] if segment.data), peer.inbox[sent:]
    peer.clear()
    wire.send(_icmp(peer, 3, 4, first.seq, mtu))
    again = peer.wait_segment(lambda segment: segment.seq == first.seq, 2, "the first segment, smaller")
    assert len(again.data) <= mtu - headers < size, again
    peer.auto_ack = True
    peer.send("A")
    wire.wait(lambda: len(peer.data) >= 140 * 14, 10, "all the replies")
    assert max(len(segment.data) for segment in peer.inbox if segment.time > again.time) <= mtu - headers
    peer.reset()


@pytest.mark.parametrize("flags", ("SEC", "SE", "SC", "SPU"))
def test_a_syn_with_other_bits_is_answered(wire, flags):
    """RFC 3168, RFC 8311: with or without ECN of ours; not with a drop."""
    peer = wire.peer()
    peer.send(flags)
    synack = peer.wait_segment(lambda segment: segment.flags == "SA")
    assert not synack.all_flags & 0x80, "a SYN-ACK never carries CWR"
    peer.send("A")
    peer.wait_data(rb"220 [^\n]*\n")
    peer.works()
    peer.reset()


def test_reserved_bits_are_ignored(wire):
    peer = wire.peer()
    peer.send("S", reserved=7)
    peer.wait_segment(lambda segment: segment.flags == "SA")
    peer.send("A", reserved=7)
    peer.wait_data(rb"220 [^\n]*\n")
    peer.works()
    peer.reset()


# ---- RFC 4987, 6298: handshake, retransmission ----------------------------------------------------------------


def test_a_half_open_connection_is_answered_again_a_few_times_at_growing_distances(wire):
    peer = wire.peer()
    peer.start_open()
    wire.wait(lambda: len(peer.inbox) >= 3, 10, "three SYN-ACKs")
    times = [segment.time for segment in peer.inbox]
    assert times[1] - times[0] > 0.9 and times[2] - times[1] > 1.8, times
    assert len({(segment.seq, segment.ack) for segment in peer.inbox}) == 1
    peer.send("A")
    peer.wait_data(rb"220 [^\n]*\n")
    peer.reset()


def test_a_reply_is_sent_again_until_it_is_acknowledged(wire):
    peer = wire.peer()
    peer.open()
    peer.auto_ack = False
    wire.wait(lambda: sum(bool(segment.data) for segment in peer.inbox) >= 3, 15, "the banner three times")
    banners = [segment for segment in peer.inbox if segment.data]
    assert len({(segment.seq, segment.data) for segment in banners}) == 1
    # The last two by timeout: RFC 6298 5.5 doubles it.
    assert banners[2].time - banners[1].time > 0.9, [segment.time for segment in banners]
    peer.auto_ack = True
    peer.send("A")
    peer.wait_data(rb"220 [^\n]*\n")
    peer.works()
    peer.reset()
