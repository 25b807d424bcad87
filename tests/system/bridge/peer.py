# SPDX-License-Identifier: Apache-2.0
"""TCP peers made of crafted segments, on addresses of the clients' or the backend's link that no kernel holds.

The kernel of that namespace knows nothing of these addresses: it neither takes what is sent to them nor
answers it with a RST. A Wire answers ARP and neighbour discovery for them and hands each segment to its Peer;
nothing happens but inside of its methods. A Peer keeps the numbers of both directions, and sends whatever it
is told, right or wrong.
"""

import ipaddress
import logging
import re
import select
import socket
import time
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import IP, TCP  # noqa: E402
from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6)  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402

from lablib import names as n  # noqa: E402
from lablib import netns  # noqa: E402

import labs  # noqa: E402

MAC = "02:67:6c:00:00:01"
CLOSED_PORT = 9
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23
_FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20, "E": 0x40, "C": 0x80}
MASK = 0xffffffff


def before(a, b):
    """Is sequence number a before b?"""
    return (a - b) & MASK > 0x7fffffff


class Segment:
    """One that came. flags: the letters of those of S, A, F and R that are set, in this order."""

    def __init__(self, tcp):
        self.flags = "".join(letter for letter in "SAFR" if int(tcp.flags) & _FLAGS[letter])
        self.all_flags = int(tcp.flags)
        self.seq, self.ack, self.window = tcp.seq, tcp.ack, tcp.window
        self.options = dict((name, value) for name, value in tcp.options)
        self.data = bytes(tcp.payload)
        self.time = time.monotonic()

    def __repr__(self):
        return f"<{self.flags} seq {self.seq} ack {self.ack} len {len(self.data)} win {self.window} {self.options}>"


class Wire:
    """The link: one socket for every frame on it. side: "front" (the clients') or "back" (the backend's)."""

    def __init__(self, lab, side="front"):
        is_front = side == "front"
        with netns.inside(lab.names.client_ns if is_front else lab.names.backend_ns):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        self.sock.bind((side, 0))
        self.sock.setblocking(False)
        device = lab.names.front(1) if is_front else lab.names.back(1)
        with open(f"/sys/class/net/{device}/address", encoding="ascii") as file:
            self.mac = file.read().strip()
        # By family: whom our peers talk to, where they are, and where the questions of barrier() come from.
        self.remotes = (n.FRONT4[0], n.FRONT6[0]) if is_front else (n.BACK4[0], n.BACK6[0])
        self.homes = ("198.18.0.40", "2001:2::40") if is_front else ("198.19.0.40", "fd00:19::40")
        self.asks_from = "198.18.0.41" if is_front else "198.19.0.41"
        self.peers = {}      # by (address, port, remote port)
        self.servers = {}    # (address, port) -> whoever called there, in this order
        self.addresses = {}  # ours, by text -> is it IPv6
        self.other = []      # ICMP and the like that came to our addresses, as scapy has it
        self.used = {}
        self.markers = 0

    def close(self):
        self.sock.close()

    def send(self, packet):
        """Put an IP packet onto the link; whatever is given in it stays, the rest is computed."""
        self.send_frame(bytes(Ether(src=MAC, dst=self.mac) / packet))

    def send_frame(self, frame):
        self.sock.send(frame)

    def peer(self, ipv6=False, address=None, **options):
        """A new peer with a port of its own."""
        address = address or self.homes[ipv6]
        port = self.used[address] = self.used.get(address, 20000) + 1
        peer = Peer(self, address, port, self.remotes[":" in address], **options)
        self.peers[address, port, peer.remote_port] = peer
        self.addresses[address] = ":" in address
        return peer

    def listen(self, address, port):
        """Have a peer for each SYN to there. Returns the list of those that came; the peer's inbox has the SYN."""
        self.addresses[address] = ":" in address
        return self.servers.setdefault((address, port), [])

    def _called(self, address, tcp):
        """A peer for a SYN to where somebody listens, or None."""
        came = self.servers.get((address, tcp.dport))
        if came is None or int(tcp.flags) & (_FLAGS["S"] | _FLAGS["A"]) != _FLAGS["S"]:
            return None
        peer = Peer(self, address, tcp.dport, self.remotes[":" in address], remote_port=tcp.sport,
                    isn=tcp.sport * 0x9e3779b1 & MASK)
        self.peers[address, tcp.dport, tcp.sport] = peer
        came.append(peer)
        return peer

    def _neighbour(self, frame):
        """Answer who asks for one of our addresses."""
        if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst in self.addresses:
            ask = frame[ARP]
            self.send_frame(bytes(Ether(src=MAC, dst=ask.hwsrc) / ARP(
                op=2, hwsrc=MAC, psrc=ask.pdst, hwdst=ask.hwsrc, pdst=ask.psrc)))
        elif ICMPv6ND_NS in frame and str(ipaddress.ip_address(frame[ICMPv6ND_NS].tgt)) in self.addresses:
            target = frame[ICMPv6ND_NS].tgt
            self.send_frame(bytes(Ether(src=MAC, dst=frame.src) / IPv6(src=target, dst=frame[IPv6].src, hlim=255) /
                                  ICMPv6ND_NA(tgt=target, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC)))

    def _take(self, frame):
        layer = frame.getlayer(IP) or frame.getlayer(IPv6)
        if layer is None or TCP not in frame:
            self._neighbour(frame)
            if layer is not None and str(ipaddress.ip_address(layer.dst)) in self.addresses:
                self.other.append(frame)
            return
        address = str(ipaddress.ip_address(layer.dst))
        peer = self.peers.get((address, frame[TCP].dport, frame[TCP].sport)) or self._called(address, frame[TCP])
        if peer:
            # Ethernet pads short frames: what is no payload must not look like it.
            end = layer.len - 4 * layer.ihl if IP in frame else layer.plen
            raw = bytes(layer.payload if IP in frame else frame[TCP].underlayer.payload)[:end]
            peer.take(Segment(TCP(raw)))

    def pump(self, seconds=0.0):
        """Take what comes within the time; returns after the first frames, or when time is up."""
        if not select.select([self.sock], [], [], max(seconds, 0))[0]:
            return
        for _ in range(64):
            try:
                self._take(Ether(self.sock.recv(65536)))
            except BlockingIOError:
                return

    def wait(self, question, seconds, what):
        """Pump until the answer is true, and return it; fail when time is up. what: text, or what makes it."""
        answer = self.pump_until(question, seconds)
        assert answer, f"not within {seconds} s: {what() if callable(what) else what}"
        return answer

    def pump_until(self, question, seconds):
        """Pump until the answer is true or time is up. Returns the last answer."""
        deadline = time.monotonic() + seconds * labs.SLOW
        while not (answer := question()) and (left := deadline - time.monotonic()) > 0:
            self.pump(left)
        return answer

    def pump_for(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(left)

    def barrier(self):
        """
        Return when everything that was sent before has been taken by the appliance, and its answer, if it gave
        one at once, has come. One worker takes frames in order: the second of two answered questions was asked
        after the answer to the first, thus in a later turn than all that was sent before.
        """
        for _ in range(2):
            self.markers += 1
            marker = self.peer(address=self.asks_from, remote_port=CLOSED_PORT)
            # A lost frame is possible where a test loads the link.
            for _attempt in range(5):
                marker.send("S", seq=marker.isn)
                if self.pump_until(lambda m=marker: m.inbox, 1):
                    break
            assert marker.inbox, "no answer from a closed port"
            del self.peers[marker.address, marker.port, marker.remote_port]


class Peer:
    """One end of a connection. Numbers are those of RFC 9293: snd_nxt is ours, rcv_nxt what we wait for."""

    def __init__(self, wire, address, port, remote, remote_port=25, isn=None, options=(("MSS", 1460),), window=32000,
                 auto_ack=True):
        self.wire, self.address, self.port = wire, address, port
        self.remote, self.remote_port = remote, remote_port
        self.isn = isn if isn is not None else (port * 0x9e3779b1) & MASK
        self.snd_nxt = self.isn
        self.snd_una = self.isn
        self.rcv_nxt = 0
        self.right = 0            # right edge of the window that we were told of
        self.fin_seq = None       # of the appliance's FIN
        self.window = window
        self.options = list(options)
        self.auto_ack = auto_ack  # answer what advances rcv_nxt at once
        self.distance = 0         # or so many seconds later, as who is far away does; all peers of the wire wait with it
        self.data = b""           # in order
        self.pieces = {}          # not in order yet
        self.inbox = []           # every segment since the last clear()
        self.timestamp = None     # our clock, when negotiated
        self.ts_recent = 0
        self.scale = 0

    # ---- what comes

    def take(self, segment):
        self.inbox.append(segment)
        if "R" in segment.flags:
            return
        if "S" in segment.flags:
            self.rcv_nxt = (segment.seq + 1) & MASK
            self.right = (self.isn + 1 + segment.window) & MASK
            offered = any(name == "WScale" for name, _ in self.options)
            self.scale = segment.options.get("WScale", 0) if offered else 0
            if "Timestamp" in segment.options:
                self.ts_recent = segment.options["Timestamp"][0]
            elif self.timestamp is not None:
                self.timestamp = None
            if "A" in segment.flags:
                self.snd_una = segment.ack
            return
        if "A" in segment.flags:
            self.snd_una = segment.ack if before(self.snd_una, segment.ack) else self.snd_una
            edge = (segment.ack + (segment.window << self.scale)) & MASK
            self.right = edge if before(self.right, edge) else self.right
        if "Timestamp" in segment.options and segment.seq == self.rcv_nxt:
            self.ts_recent = segment.options["Timestamp"][0]
        if segment.data:
            self.pieces[segment.seq] = segment.data
        if "F" in segment.flags:
            self.fin_seq = (segment.seq + len(segment.data)) & MASK
        old = self.rcv_nxt
        self._join()
        if self.auto_ack and (self.rcv_nxt != old or segment.data or "F" in segment.flags):
            time.sleep(self.distance)
            self.send("A")

    def _join(self):
        moved = True
        while moved:
            moved = False
            for seq in sorted(self.pieces, key=lambda at: (at - self.rcv_nxt + 0x80000000) & MASK):
                piece, skip = self.pieces[seq], (self.rcv_nxt - seq) & MASK
                if skip > 0x7fffffff:
                    continue
                del self.pieces[seq]
                if skip < len(piece):
                    self.data += piece[skip:]
                    self.rcv_nxt = (self.rcv_nxt + len(piece) - skip) & MASK
                moved = True
                break
        if self.fin_seq is not None and self.fin_seq == self.rcv_nxt and self.auto_ack:
            self.rcv_nxt = (self.rcv_nxt + 1) & MASK

    def clear(self):
        self.inbox.clear()

    # ---- what goes

    def packet(self, flags, seq=None, ack=None, data=b"", window=None, options=None, **fields):
        """The IP packet of a segment; what is not given is right."""
        ip = IPv6 if ":" in self.address else IP
        if options is None:
            options = list(self.options) if "S" in flags else []
            if self.timestamp is not None and "R" not in flags:
                options += [("NOP", None)] * (0 if "S" in flags else 2)
                options.append(("Timestamp", (self.timestamp, self.ts_recent if "A" in flags else 0)))
        header = dict(sport=self.port, dport=self.remote_port, flags=sum(_FLAGS[letter] for letter in flags),
                      seq=self.snd_nxt if seq is None else seq & MASK,
                      ack=(self.rcv_nxt if ack is None else ack & MASK) if "A" in flags else 0,
                      window=self.window if window is None else window, options=options)
        return ip(src=self.address, dst=self.remote) / TCP(**{**header, **fields}) / data

    def send(self, flags, seq=None, ack=None, data=b"", **fields):
        """Send a segment; a SYN, a FIN and data that were not given a place move snd_nxt."""
        self.wire.send(self.packet(flags, seq, ack, data, **fields))
        if seq is None and "R" not in flags:
            self.snd_nxt = (self.snd_nxt + len(data) + ("S" in flags) + ("F" in flags)) & MASK

    def say(self, text):
        """Text in segments of at most 1200 bytes."""
        data = text.encode()
        for at in range(0, len(data), 1200):
            self.send("PA", data=data[at:at + 1200])

    # ---- steps of a dialogue

    def open(self):
        self.start_open()
        self.wire.wait(lambda: self.rcv_nxt, 5, "SYN-ACK")
        time.sleep(self.distance)
        self.send("A")

    def start_open(self):
        self.send("S")

    def has(self, pattern):
        return re.search(pattern, self.data)

    def wait_data(self, pattern, seconds=10):
        self.wire.wait(lambda: self.has(pattern), seconds, lambda: f"{pattern} (there is {self.data!r})")
        found = self.data
        self.data = b""
        return found

    def greet(self):
        """Open, and read the banner."""
        self.open()
        return self.wait_data(rb"220 [^\n]*\n")

    def wait_segment(self, question, seconds=5, what="a segment"):
        def find():
            return next((segment for segment in self.inbox if question(segment)), None)
        return self.wire.wait(find, seconds, lambda: f"{what}; there is {self.inbox}")

    def settle(self):
        """All is acknowledged and told: what comes from now on is an answer to what is sent from now on."""
        self.wire.wait(lambda: self.snd_una == self.snd_nxt, 5, "ACK of everything")
        self.wire.barrier()
        self.clear()

    def end(self):
        """QUIT, then FIN from both: the connection is in TIME-WAIT on the appliance's side."""
        self.say("QUIT\r\n")
        self.wire.wait(lambda: self.fin_seq is not None, 5, "FIN")
        self.send("FA")
        self.settle()

    def works(self):
        """The dialogue goes on."""
        self.say("NOOP\r\n")
        assert self.wait_data(rb"\n").startswith(b"250 ")

    def stays_silent(self):
        """Nothing comes for what was sent since the last clear()."""
        self.wire.barrier()
        assert self.inbox == []

    def pile_up(self, count):
        """
        Have `count` replies of 14 bytes and more in the appliance's send queue, while our window is shut and we
        acknowledge nothing by ourselves. Returns their first number.
        """
        self.say("EHLO client\r\n")
        self.wait_data(rb"250 [^\n]*\n")
        self.say("MAIL FROM:<a@example.com>\r\nRCPT TO:<first@example.org>\r\n")
        self.wait_data(rb"250[^\n]*\n250[^\n]*\n")
        self.settle()
        self.send("A", window=0)
        self.window = 0
        self.auto_ack = False
        self.say("".join(f"RCPT TO:<{i}@example.org>\r\n" for i in range(count)))
        self.wire.wait(lambda: self.snd_una == self.snd_nxt, 5, "ACK of the commands")
        # Each is asked of the backend; the sink answers at once.
        self.wire.pump_for(0.5 * labs.SLOW)
        self.clear()
        return self.rcv_nxt

    def reset(self):
        """End the connection with the one RST that must be believed."""
        self.send("R", seq=self.snd_nxt)
