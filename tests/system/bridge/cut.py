# SPDX-License-Identifier: Apache-2.0
"""Packets cut into fragments, right and wrong ones."""

import itertools

from bridge import peer as raw

from scapy.layers.inet6 import IPv6ExtHdrFragment
from scapy.packet import Raw

_idents = itertools.cycle(range(1000, 1 << 16))


def ident():
    """An id for one datagram."""
    return next(_idents)


def payload(packet):
    """What lies behind the IP header, checksum and all."""
    return bytes(packet)[40 if raw.IPv6 in packet else 20:]


def piece(packet, number, offset, data, more):
    """The fragment of a packet with these bytes at this place; number is its id."""
    packet = packet.__class__(bytes(packet))
    if raw.IPv6 in packet:
        return (raw.IPv6(src=packet.src, dst=packet.dst) /
                IPv6ExtHdrFragment(nh=packet.nh, id=number, offset=offset // 8, m=int(more)) / Raw(data))
    return raw.IP(src=packet.src, dst=packet.dst, id=number, proto=packet.proto, flags="MF" if more else 0,
                  frag=offset // 8) / Raw(data)


def pieces(packet, size, number=None):
    """All fragments of a packet, size bytes each."""
    number = ident() if number is None else number
    data = payload(packet)
    return [piece(packet, number, at, data[at:at + size], at + size < len(data)) for at in range(0, len(data), size)]
