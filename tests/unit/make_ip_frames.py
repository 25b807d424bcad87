#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make ip_frames.h: frames built by scapy, so that the tests of port and ip have an oracle that is not ours.

Run by hand when a frame is added: /usr/bin/python3 tests/unit/make_ip_frames.py > tests/unit/ip_frames.h
With a directory as argument, the frames go there as first inputs of the fuzzer (tests/fuzz/ip_frame_fuzz.c).
"""
import os
import struct
import sys

from scapy.all import (ARP, ICMP, TCP, UDP, Dot1Q, Ether, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
                       ICMPv6MLDMultAddrRec, ICMPv6MLQuery2, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS,
                       ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IP,
                       IPOption_LSRR, IPOption_RR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, PadN, Raw, RouterAlert, HBHOptUnknown, fragment6)

# The appliance of the tests: interface 0 (port 0), interface 1 (port 0, VLAN 7), interface 2 (port 1).
OUR_MAC, BACK_MAC, PEER_MAC = '02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:00:aa'
OUR4, VLAN4, BACK4 = '198.18.0.25', '198.51.100.2', '203.0.113.2'
OUR6, OUR_LL = '2001:2::25', 'fe80::ff:fe00:1'
PEER4, PEER6, PEER_LL = '198.18.0.77', '2001:2::77', 'fe80::ff:fe00:aa'
FAR4, FAR6 = '192.0.2.9', '2001:db8::9'
GROUP, GROUP_MAC = 'ff02::1:ff00:25', '33:33:ff:00:00:25'

ETHER = Ether(src=PEER_MAC, dst=OUR_MAC)
REPLY = Ether(src=OUR_MAC, dst=PEER_MAC)
SYN = TCP(sport=40000, dport=25, seq=1000, flags='S', options=[('MSS', 1460)])
DATA = TCP(sport=40000, dport=25, seq=1001, ack=5001, flags='PA')
LONG = Raw(bytes(range(65, 91)) * 9)
ODD = Raw(b'EHLO client.example\r\nX')
SENT4 = IP(src=OUR4, dst=FAR4, id=7, flags='DF') / TCP(sport=25, dport=40000, seq=0xdeadbeef, ack=1) / Raw(b'x' * 64)
SENT6 = IPv6(src=OUR6, dst=FAR6) / TCP(sport=25, dport=40000, seq=0xdeadbeef, ack=1) / Raw(b'x' * 64)
BAD_TCP = TCP(sport=40000, dport=25, seq=1000, flags='S', chksum=0x1234)


def ip(**changes):
    return IP(**{'src': PEER4, 'dst': OUR4, 'tos': 2, 'ttl': 61, **changes})


def ip6(**changes):
    return IPv6(**{'src': PEER6, 'dst': OUR6, 'tc': 3, 'hlim': 60, **changes})


def hop_unknown(kind):
    return IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=kind, optlen=2, optdata=b'ab'), PadN(optdata=b'')])


def advertisement(flags, **changes):
    fields = {'src': PEER6, 'dst': OUR6, 'hlim': 255, **changes}
    return IPv6(**fields) / ICMPv6ND_NA(tgt=PEER6, R=0, **flags) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC)


def pieces(name, whole, first, later):
    """The frames of a segment that comes in pieces, and the one of it whole."""
    return {name + '_whole': whole, **{'%s_%s' % (name, letter): piece
                                       for letter, piece in zip('abcdefgh', [first] + later)}}


def cut4():
    whole = ETHER / ip(id=77) / DATA / LONG
    fragments = whole.fragment(64)
    return pieces('cut4', whole, fragments[0], fragments[1:])


def cut6():
    whole = ETHER / ip6() / DATA / LONG
    fragments = fragment6(ip6() / IPv6ExtHdrFragment(id=78, nh=6) / Raw(bytes(whole[TCP])), 120)
    for fragment in fragments:
        fragment[IPv6ExtHdrFragment].nh = 6
    return pieces('cut6', whole, ETHER / fragments[0], [ETHER / fragment for fragment in fragments[1:]])


FRAMES = {
    # Segments that must come through.
    'tcp4': ETHER / ip() / SYN / Raw(b''),
    'tcp4_data': ETHER / ip() / DATA / ODD,
    'tcp4_far': ETHER / ip(src=FAR4) / SYN,
    'tcp4_vlan': ETHER / Dot1Q(vlan=7) / ip(src='198.51.100.9', dst=VLAN4) / SYN,
    'tcp4_priority_tag': ETHER / Dot1Q(vlan=0, prio=5) / ip() / SYN,
    'tcp4_record_route': ETHER / ip(options=[IPOption_RR(routers=['0.0.0.0'])]) / DATA / ODD,
    'tcp6': ETHER / ip6() / SYN,
    'tcp6_data': ETHER / ip6() / DATA / ODD,
    'tcp6_link_local_source': ETHER / ip6(src=PEER_LL) / SYN,
    'tcp6_hop_by_hop': ETHER / ip6() / IPv6ExtHdrHopByHop(options=[RouterAlert(value=0)]) / SYN,
    'tcp6_destination': ETHER / ip6() / IPv6ExtHdrDestOpt(options=[PadN(optdata=b'\0' * 12)]) / DATA / ODD,
    'tcp6_atomic': ETHER / ip6() / IPv6ExtHdrFragment(id=9) / SYN,
    'tcp6_skip_unknown': ETHER / ip6() / hop_unknown(0x1e) / SYN,
    'tcp6_routed_here': ETHER / ip6() / IPv6ExtHdrRouting(type=4, segleft=0, addresses=[FAR6]) / SYN,
    # Drops.
    'other_mac': Ether(src=PEER_MAC, dst='02:00:00:00:00:99') / ip() / SYN,
    'broadcast_tcp': Ether(src=PEER_MAC, dst='ff:ff:ff:ff:ff:ff') / ip() / SYN,
    'multicast_source': Ether(src='01:00:5e:00:00:01', dst=OUR_MAC) / ip() / SYN,
    'own_source_mac': Ether(src=OUR_MAC, dst=OUR_MAC) / ip() / SYN,
    'unknown_vlan': ETHER / Dot1Q(vlan=8) / ip() / SYN,
    'double_tag': ETHER / Dot1Q(vlan=7) / Dot1Q(vlan=7) / ip() / SYN,
    'lldp': Ether(src=PEER_MAC, dst='01:80:c2:00:00:0e', type=0x88cc) / Raw(b'\0' * 46),
    'tcp4_bad_header_sum': ETHER / ip(chksum=0x1111) / SYN,
    'tcp4_bad_sum': ETHER / ip() / BAD_TCP,
    'tcp6_bad_sum': ETHER / ip6() / BAD_TCP,
    'tcp4_version': ETHER / ip(version=5) / SYN,
    'tcp4_too_long': ETHER / ip(len=400) / SYN,
    'tcp4_source_route': ETHER / ip(options=[IPOption_LSRR(routers=[FAR4])]) / SYN,
    'tcp4_first_fragment': ETHER / ip(flags='MF') / SYN,
    'tcp4_later_fragment': ETHER / ip(frag=10) / Raw(b'abcdefgh'),
    'tcp4_other_address': ETHER / ip(dst='198.18.0.26') / SYN,
    'tcp4_back_address': ETHER / ip(dst=BACK4) / SYN,
    'tcp4_from_loopback': ETHER / ip(src='127.0.0.1') / SYN,
    'tcp4_from_zero': ETHER / ip(src='0.0.0.0') / SYN,
    'tcp4_from_multicast': ETHER / ip(src='224.0.0.5') / SYN,
    'tcp4_from_broadcast': ETHER / ip(src='255.255.255.255') / SYN,
    'tcp4_from_subnet_broadcast': ETHER / ip(src='198.18.255.255') / SYN,
    'tcp4_from_us': ETHER / ip(src=OUR4) / SYN,
    'tcp4_from_back': ETHER / ip(src='203.0.113.10') / SYN,
    'udp4': ETHER / ip() / UDP(sport=53, dport=53) / Raw(b'abc'),
    'tcp4_short': ETHER / ip(proto=6) / Raw(b'0123456789'),
    'tcp6_fragment': ETHER / ip6() / IPv6ExtHdrFragment(id=9, m=1) / SYN,
    'tcp6_route': ETHER / ip6() / IPv6ExtHdrRouting(type=0, segleft=1, addresses=[FAR6]) / SYN,
    'tcp6_must_know': ETHER / ip6() / hop_unknown(0x5e) / SYN,
    'tcp6_jumbo': ETHER / ip6() / hop_unknown(0xc2) / SYN,
    'tcp6_late_hop_by_hop': ETHER / ip6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / SYN,
    'tcp6_five_headers': ETHER / ip6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() /
                         IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / SYN,
    'tcp6_to_mapped': ETHER / ip6(dst='::ffff:' + OUR4) / SYN,
    'tcp6_from_mapped': ETHER / ip6(src='::ffff:198.18.0.77') / SYN,
    'tcp6_from_loopback': ETHER / ip6(src='::1') / SYN,
    'tcp6_from_multicast': ETHER / ip6(src='ff02::5') / SYN,
    'tcp6_from_zero': ETHER / ip6(src='::') / SYN,
    'tcp6_from_us': ETHER / ip6(src=OUR6) / SYN,
    'tcp6_other_address': ETHER / ip6(dst='2001:2::26') / SYN,
    'tcp6_link_local': ETHER / ip6(src=PEER_LL, dst=OUR_LL) / SYN,
    'udp6': ETHER / ip6() / UDP(sport=53, dport=53) / Raw(b'abc'),
    # ICMP errors.
    'too_big4': ETHER / ip(src='198.18.0.1') / ICMP(type=3, code=4, nexthopmtu=1400) / Raw(bytes(SENT4)[:28]),
    'too_big4_tiny': ETHER / ip(src='198.18.0.1') / ICMP(type=3, code=4, nexthopmtu=60) / Raw(bytes(SENT4)[:28]),
    'port4': ETHER / ip(src=FAR4) / ICMP(type=3, code=3) / Raw(bytes(SENT4)[:28]),
    'host4': ETHER / ip(src='198.18.0.1') / ICMP(type=3, code=1) / Raw(bytes(SENT4)[:48]),
    'expired4': ETHER / ip(src='198.18.0.1') / ICMP(type=11, code=0) / Raw(bytes(SENT4)[:28]),
    'port4_short': ETHER / ip(src=FAR4) / ICMP(type=3, code=3) / Raw(bytes(SENT4)[:27]),
    'port4_not_ours': ETHER / ip(src=FAR4) / ICMP(type=3, code=3) /
                      Raw(bytes(IP(src='198.18.0.26', dst=FAR4) / TCP(sport=25, dport=40000))[:28]),
    'quench4': ETHER / ip(src=FAR4) / ICMP(type=4, code=0) / Raw(bytes(SENT4)[:28]),
    'redirect4': ETHER / ip(src='198.18.0.1') / ICMP(type=5, code=1) / Raw(bytes(SENT4)[:28]),
    'too_big6': ETHER / ip6(src='2001:2::1') / ICMPv6PacketTooBig(mtu=1400) / Raw(bytes(SENT6)),
    'too_big6_tiny': ETHER / ip6(src='2001:2::1') / ICMPv6PacketTooBig(mtu=1279) / Raw(bytes(SENT6)),
    'port6': ETHER / ip6(src=FAR6) / ICMPv6DestUnreach(code=4) / Raw(bytes(SENT6)),
    'host6': ETHER / ip6(src='2001:2::1') / ICMPv6DestUnreach(code=3) / Raw(bytes(SENT6)),
    'expired6': ETHER / ip6(src='2001:2::1') / ICMPv6TimeExceeded() / Raw(bytes(SENT6)),
    'port6_short': ETHER / ip6(src=FAR6) / ICMPv6DestUnreach(code=4) / Raw(bytes(SENT6)[:47]),
    # Echo, and what it is answered with once the peer's MAC address is known.
    'echo4': ETHER / ip() / ICMP(id=5, seq=6) / Raw(b'abcdefg'),
    'echo4_reply': REPLY / IP(src=OUR4, dst=PEER4, id=0, flags='DF') / ICMP(type=0, id=5, seq=6) / Raw(b'abcdefg'),
    'echo6': ETHER / ip6() / ICMPv6EchoRequest(id=5, seq=6, data=b'abcdefg'),
    'echo6_reply': REPLY / IPv6(src=OUR6, dst=PEER6, hlim=64) / ICMPv6EchoReply(id=5, seq=6, data=b'abcdefg'),
    'echo6_multicast': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / ip6(dst='ff02::1') / ICMPv6EchoRequest(data=b'a'),
    'echo4_bad_sum': ETHER / ip() / ICMP(id=5, seq=6, chksum=0x1234) / Raw(b'abcdefg'),
    # ARP.
    'arp_request': Ether(src=PEER_MAC, dst='ff:ff:ff:ff:ff:ff') /
                   ARP(op=1, hwsrc=PEER_MAC, psrc=PEER4, hwdst='00:00:00:00:00:00', pdst=OUR4),
    'arp_request_reply': REPLY / ARP(op=2, hwsrc=OUR_MAC, psrc=OUR4, hwdst=PEER_MAC, pdst=PEER4),
    'arp_other': Ether(src=PEER_MAC, dst='ff:ff:ff:ff:ff:ff') / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER4, pdst='198.18.0.99'),
    'arp_probe': Ether(src=PEER_MAC, dst='ff:ff:ff:ff:ff:ff') / ARP(op=1, hwsrc=PEER_MAC, psrc='0.0.0.0', pdst=OUR4),
    'arp_probe_reply': REPLY / ARP(op=2, hwsrc=OUR_MAC, psrc=OUR4, hwdst=PEER_MAC, pdst='0.0.0.0'),
    'arp_conflict': Ether(src=PEER_MAC, dst='ff:ff:ff:ff:ff:ff') / ARP(op=1, hwsrc=PEER_MAC, psrc=OUR4, pdst=OUR4),
    'arp_gratuitous': Ether(src='02:00:00:00:00:bb', dst='ff:ff:ff:ff:ff:ff') /
                      ARP(op=1, hwsrc='02:00:00:00:00:bb', psrc=PEER4, pdst=PEER4),
    'arp_answer': ETHER / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER4, hwdst=OUR_MAC, pdst=OUR4),
    'arp_multicast_sender': ETHER / ARP(op=2, hwsrc='01:00:00:00:00:aa', psrc=PEER4, hwdst=OUR_MAC, pdst=OUR4),
    'arp_ask': Ether(src=OUR_MAC, dst='ff:ff:ff:ff:ff:ff') /
               ARP(op=1, hwsrc=OUR_MAC, psrc=OUR4, hwdst='00:00:00:00:00:00', pdst=PEER4),
    'arp_ask_again': REPLY / ARP(op=1, hwsrc=OUR_MAC, psrc=OUR4, hwdst='00:00:00:00:00:00', pdst=PEER4),
    'arp_announce': Ether(src=OUR_MAC, dst='ff:ff:ff:ff:ff:ff') /
                    ARP(op=1, hwsrc=OUR_MAC, psrc=OUR4, hwdst='00:00:00:00:00:00', pdst=OUR4),
    # ND.
    'ns': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(dst=GROUP, hlim=255) / ICMPv6ND_NS(tgt=OUR6) /
          ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
    'ns_reply': REPLY / IPv6(src=OUR6, dst=PEER6, hlim=255) / ICMPv6ND_NA(tgt=OUR6, R=0, S=1, O=1) /
                ICMPv6NDOptDstLLAddr(lladdr=OUR_MAC),
    'ns_link_local': Ether(src=PEER_MAC, dst='33:33:ff:00:00:01') / ip6(src=PEER_LL, dst='ff02::1:ff00:1', hlim=255) /
                     ICMPv6ND_NS(tgt=OUR_LL) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
    'ns_link_local_reply': REPLY / IPv6(src=OUR_LL, dst=PEER_LL, hlim=255) / ICMPv6ND_NA(tgt=OUR_LL, R=0, S=1, O=1) /
                           ICMPv6NDOptDstLLAddr(lladdr=OUR_MAC),
    'ns_dad': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(src='::', dst=GROUP, hlim=255) / ICMPv6ND_NS(tgt=OUR6),
    'ns_dad_reply': Ether(src=OUR_MAC, dst='33:33:00:00:00:01') / IPv6(src=OUR6, dst='ff02::1', hlim=255) /
                    ICMPv6ND_NA(tgt=OUR6, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=OUR_MAC),
    'ns_dad_option': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(src='::', dst=GROUP, hlim=255) / ICMPv6ND_NS(tgt=OUR6) /
                     ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
    'ns_hops': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(dst=GROUP, hlim=254) / ICMPv6ND_NS(tgt=OUR6) /
               ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
    'ns_other': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(dst=GROUP, hlim=255) / ICMPv6ND_NS(tgt='2001:2::1:25'),
    'ns_option_zero': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(dst=GROUP, hlim=255) / ICMPv6ND_NS(tgt=OUR6) /
                      Raw(b'\x01\x00\x02\x00\x00\x00\x00\xaa'),
    'ns_atomic': Ether(src=PEER_MAC, dst=GROUP_MAC) / ip6(dst=GROUP, hlim=255) / IPv6ExtHdrFragment(id=3) /
                 ICMPv6ND_NS(tgt=OUR6) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
    'ns_mapped': Ether(src=PEER_MAC, dst='33:33:ff:12:00:19') / ip6(dst='ff02::1:ff12:19', hlim=255) /
                 ICMPv6ND_NS(tgt='::ffff:' + OUR4) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_MAC),
    'na_answer': ETHER / advertisement({'S': 1, 'O': 1}),
    'na_multicast_solicited': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / advertisement({'S': 1, 'O': 1}, dst='ff02::1'),
    'na_conflict': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / IPv6(src=OUR6, dst='ff02::1', hlim=255) /
                   ICMPv6ND_NA(tgt=OUR6, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC),
    'na_claim': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / IPv6(src=PEER_LL, dst='ff02::1', hlim=255) /
                ICMPv6ND_NA(tgt=OUR6, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC),
    'na_multicast_target': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / IPv6(src=PEER_LL, dst='ff02::1', hlim=255) /
                           ICMPv6ND_NA(tgt=GROUP, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC),
    'na_claim_mapped': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / IPv6(src=PEER_LL, dst='ff02::1', hlim=255) /
                       ICMPv6ND_NA(tgt='::ffff:' + OUR4, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=PEER_MAC),
    'na_move_mapped': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / IPv6(src=PEER_LL, dst='ff02::1', hlim=255) /
                      ICMPv6ND_NA(tgt='::ffff:' + PEER4, R=0, S=0, O=1) /
                      ICMPv6NDOptDstLLAddr(lladdr='02:00:00:00:00:bb'),
    'ns_ask': Ether(src=OUR_MAC, dst='33:33:ff:00:00:77') / IPv6(src=OUR_LL, dst='ff02::1:ff00:77', hlim=255) /
              ICMPv6ND_NS(tgt=PEER6) / ICMPv6NDOptSrcLLAddr(lladdr=OUR_MAC),
    'na_announce': Ether(src=OUR_MAC, dst='33:33:00:00:00:01') / IPv6(src=OUR6, dst='ff02::1', hlim=255) /
                   ICMPv6ND_NA(tgt=OUR6, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=OUR_MAC),
    'mld_query': Ether(src=PEER_MAC, dst='33:33:00:00:00:01') / ip6(src=PEER_LL, dst='ff02::1', hlim=1) /
                 IPv6ExtHdrHopByHop(options=[RouterAlert(value=0)]) / ICMPv6MLQuery2(),
    'mld_report': Ether(src=OUR_MAC, dst='33:33:00:00:00:16') / IPv6(src=OUR_LL, dst='ff02::16', hlim=1) /
                  IPv6ExtHdrHopByHop(options=[RouterAlert(value=0), PadN(optdata=b'')]) /
                  ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=2, dst='ff02::1:ff00:1'),
                                           ICMPv6MLDMultAddrRec(rtype=2, dst='ff02::1:ff00:25')]),
    # Segments in pieces.
    **cut4(), **cut6(),
    # What ip_output() makes of segments.
    'out4': REPLY / IP(src=OUR4, dst=PEER4, id=0, flags='DF', tos=2) /
            TCP(sport=25, dport=40000, seq=5000, ack=1001, flags='PA') / Raw(b'220 mx.example ready\r\n!'),
    'out6': REPLY / IPv6(src=OUR6, dst=PEER6, tc=2, hlim=64) /
            TCP(sport=25, dport=40000, seq=5000, ack=1001, flags='PA') / Raw(b'220 mx.example ready\r\n!'),
    'out4_vlan': Ether(src=OUR_MAC, dst=PEER_MAC) / Dot1Q(vlan=7) /
                 IP(src=VLAN4, dst='198.51.100.9', id=0, flags='DF') /
                 TCP(sport=25, dport=40000, seq=5000, ack=1001, flags='A'),
    'arp_answer_vlan': ETHER / Dot1Q(vlan=7) /
                       ARP(op=2, hwsrc=PEER_MAC, psrc='198.51.100.9', hwdst=OUR_MAC, pdst=VLAN4),
}


def write_corpus(directory):
    """One file for each kind of frame: steps of ip_frame_fuzz.c, once plain, once with checksums repaired and an answer."""
    os.makedirs(directory, exist_ok=True)
    groups = {}
    for name, frame in FRAMES.items():
        groups.setdefault(name.split('_')[0], []).append(bytes(frame))
    for group, frames in groups.items():
        with open(os.path.join(directory, group), 'wb') as out:
            for step in (0x00, 0x24):
                for raw in frames:
                    out.write(struct.pack('>BH', step, len(raw)) + raw)


def main():
    if len(sys.argv) > 1:
        write_corpus(sys.argv[1])
        return
    out = sys.stdout.write
    out('/* SPDX-License-Identifier: Apache-2.0 */\n')
    out('/* Made by tests/unit/make_ip_frames.py: do not edit. Not every test reads every frame. */\n')
    out('#ifndef GREYLINE_TESTS_IP_FRAMES_H\n#define GREYLINE_TESTS_IP_FRAMES_H\n\n#include <stdint.h>\n\n')
    out('struct ip_frame {\n        const char *name;\n        uint16_t len;\n        const uint8_t *bytes;\n};\n\n')
    out('static const struct ip_frame ip_frames[] = {\n')
    for name, frame in FRAMES.items():
        raw = bytes(frame)
        lines = [''.join('\\x%02x' % byte for byte in raw[at:at + 24]) for at in range(0, len(raw), 24)]
        out('        { "%s", %d, (const uint8_t *)\n' % (name, len(raw)))
        out('\n'.join('        "%s"' % line for line in lines) + ' },\n')
    out('};\n\n#endif\n')


main()
