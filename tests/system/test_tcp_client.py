# SPDX-License-Identifier: Apache-2.0
"""The appliance as a client: its connections to a backend that is made of crafted segments.

Every state that an active open gets to, by every kind of segment by every place in the window (matrix.py), and
SYN-SENT, where only the acknowledgement has a place. CLOSE-WAIT and LAST-ACK are not among them: the relay aborts
when a backend ends the connection first, and matrix.py has that as the answer to the FIN.
"""

import contextlib
import re
import threading
import time

import pytest

import matrix
from bridge import peer as raw
from policies import TRUSTED, policy

ADDRESSES = {"v4": "198.19.0.77", "v6": "fd00:19::77"}
DOMAINS = {"v4": "example.org", "v6": "example.net"}
# Health checks stay out of the way while the servers are up, and cells that look like failures keep them so.
_POOL = '{{identity: none, servers: [{{address: "{address}", port: 25}}], check_interval: 1h, connect_timeout: 1m, fall: 100}}'
POOLS = ", ".join(f"{name}: {_POOL.format(address=address)}" for name, address in ADDRESSES.items())
LAB = {"policy": policy(pools=f"{{{POOLS}}}",
                        domains=", ".join(["{" + f"{DOMAINS['v4']}: {{pool: v4}}", f"{DOMAINS['v6']}: {{pool: v6}}" + "}"])),
       "options": ["--backend", "sink"]}

REPLIES = {b"EHLO": "250 backend.greyline.test\r\n", b"DATA": "354 go on\r\n", b"QUIT": "221 bye\r\n"}


@pytest.fixture(scope="module")
def wire(lab):
    wire = raw.Wire(lab, "back")
    yield wire
    wire.close()


# ---- a backend ------------------------------------------------------------------------------------------------


def _serve(peer):
    """Answer the commands that have come, whatever they are."""
    while b"\r\n" in peer.data:
        line, peer.data = peer.data.split(b"\r\n", 1)
        verb = line[:4].upper()
        peer.say(REPLIES.get(verb, "250 2.0.0 fine\r\n"))
        if verb == b"QUIT":
            peer.send("FA")


def _accept(peer):
    """Complete the handshake of a connection whose SYN has come, and greet."""
    peer.send("SA")
    peer.say("220 backend.greyline.test\r\n")


def _wait_up(lab, wire, family, came):
    """A message's recipient is taken: the server is up, and no health check comes for an hour."""
    done = []

    def ask():
        """The first one may be refused: the server has not answered yet."""
        for _ in range(20):
            reply = lab.ask(TRUSTED + "9", "up@example.com", f"up@{DOMAINS[family]}")
            if reply.code == 250:
                break
            time.sleep(0.3)
        done.append(reply)

    asks = threading.Thread(target=ask)
    asks.start()
    greeted = set()

    def serve():
        for peer in came:
            if id(peer) not in greeted:
                greeted.add(id(peer))
                _accept(peer)
            _serve(peer)
        return done
    try:
        wire.wait(serve, 20, "a session with the backend")
    finally:
        asks.join()
    assert done[0].code == 250, done[0]
    # QUIT and the FINs that follow, of the health check too.
    wire.wait(lambda: serve() and all(peer.fin_seq is not None and peer.snd_una == peer.snd_nxt for peer in came), 10,
              "the end of that session")


@contextlib.contextmanager
def _sessions(lab, wire, family, count):
    """So many sessions up to their RCPT. Yields (their clients, the SYNs' peers)."""
    came = wire.listen(ADDRESSES[family], 25)
    _wait_up(lab, wire, family, came)
    came.clear()
    clients = [lab.client(f"{TRUSTED}{10 + number}", timeout=60) for number in range(count)]
    try:
        for client in clients:
            assert client.hello().code == 250
        for number, client in enumerate(clients):
            assert client.command("MAIL FROM:<a@example.com>").code == 250
            client.send(f"RCPT TO:<m{number}@{DOMAINS[family]}>\r\n")
        wire.wait(lambda: len(came) >= count, 20, "a SYN for each session")
        assert len(came) == count
        yield clients, list(came)
    finally:
        for client in clients:
            client.close()
        for peer in came:
            peer.reset()
        came.clear()


# ---- reaching a state -----------------------------------------------------------------------------------------


def _all(wire, peers, question, what, seconds=15):
    wire.wait(lambda: all(question(peer) for peer in peers), seconds, what)


def _syn_received(wire, _clients, peers):
    """Both ends call each other."""
    for peer in peers:
        peer.clear()
        peer.send("S")
    _all(wire, peers, lambda peer: any(segment.flags == "SA" for segment in peer.inbox), "SYN-ACK")


def _established(wire, clients, peers):
    for peer in peers:
        _accept(peer)

    def serve():
        for peer in peers:
            _serve(peer)
    wire.wait(lambda: serve() or all(peer.rcv_nxt and peer.snd_una == peer.snd_nxt and not peer.data and
                                     _has_rcpt(peer) for peer in peers), 20, "the envelope")
    for client in clients:
        assert client.reply().code == 250


def _has_rcpt(peer):
    return any(re.search(rb"RCPT TO:", segment.data) for segment in peer.inbox)


def _fin_wait_1(wire, clients, peers):
    _established(wire, clients, peers)
    for peer in peers:
        peer.auto_ack = False
    for client in clients:
        client.quit()
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq, "QUIT and FIN")
    for peer in peers:
        peer.send("A")  # the QUIT, not the FIN


def _closing(wire, clients, peers):
    _fin_wait_1(wire, clients, peers)
    for peer in peers:
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")


def _fin_wait_2(wire, clients, peers):
    _established(wire, clients, peers)
    for client in clients:
        client.quit()
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq + 1 & raw.MASK, "FIN")


def _timewait(wire, clients, peers):
    _fin_wait_2(wire, clients, peers)
    for peer in peers:
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")


REACH = {"SYN-RECEIVED": _syn_received, "ESTABLISHED": _established, "FIN-WAIT-1": _fin_wait_1,
         "FIN-WAIT-2": _fin_wait_2, "CLOSING": _closing, "TIME-WAIT": _timewait}


@pytest.mark.parametrize("family", ("v4", "v6"))
@pytest.mark.parametrize("state", REACH)
def test_state_by_segment_by_place(lab, wire, state, family):
    with _sessions(lab, wire, family, len(matrix.combinations())) as (clients, peers):
        REACH[state](wire, clients, peers)
        matrix.run(wire, state, matrix.cells(state, peers, is_server=False))


# ---- SYN-SENT: RFC 9293 3.10.7.3 ------------------------------------------------------------------------------

# Flags, where the acknowledgement lies from our ISS ("none": there is no ACK), and what must happen: the answer, and
# whether a connection can still come of it. An ACK of 1 is that of our SYN; 0 acknowledges nothing, 2 what was never sent.
SYN_SENT = [
    ("SA", 1, "ACK", True), ("SA", 0, "RST", True), ("SA", 2, "RST", True), ("SA", 0x80000000, "RST", True),
    ("S", None, "SYN-ACK", True),
    ("A", 1, "none", True), ("A", 0, "RST", True), ("A", 2, "RST", True),
    ("FA", 1, "none", True), ("FA", 2, "RST", True), ("F", None, "none", True),
    ("PA", 1, "none", True), ("PA", 2, "RST", True), ("P", None, "none", True),
    ("R", None, "none", True), ("RA", 1, "none", False), ("RA", 0, "none", True), ("RA", 2, "none", True),
]


def _check_syn_sent(peer, iss, flags, ack, want):
    found = [segment for segment in peer.inbox if segment.flags != "S"]
    name = f"{flags} {ack}: {found}"
    if want == "none":
        assert found == [], name
    elif want == "RST":
        assert [(segment.flags, segment.seq) for segment in found] == [("R", iss + ack & raw.MASK)], name
    else:
        assert [segment.flags for segment in found] == [{"ACK": "A", "SYN-ACK": "SA"}[want]], name
        assert found[0].ack == peer.isn + 1 & raw.MASK and found[0].seq == iss + (want == "ACK") & raw.MASK, name


@pytest.mark.parametrize("family", ("v4", "v6"))
def test_syn_sent(lab, wire, family):
    with _sessions(lab, wire, family, len(SYN_SENT)) as (_, peers):
        isses = [peer.rcv_nxt - 1 & raw.MASK for peer in peers]
        for peer, iss, (flags, ack, _, _) in zip(peers, isses, SYN_SENT):
            peer.clear()
            peer.send(flags, seq=peer.isn, ack=iss + (ack or 0), data=b"220 x\r\n" if "P" in flags else b"")
        wire.barrier()
        for peer, iss, (flags, ack, want, _) in zip(peers, isses, SYN_SENT):
            _check_syn_sent(peer, iss, flags, ack, want)
        # What is left: the handshake can be completed, or there is nothing.
        for peer, iss, (flags, _, want, _) in zip(peers, isses, SYN_SENT):
            peer.clear()
            if want == "none" or want == "RST":
                peer.send("SA", seq=peer.isn, ack=iss + 1)
            else:
                peer.send("PA", seq=peer.isn + 1, ack=iss + 1, data=b"220 x\r\n")
        wire.barrier()
        for peer, (flags, ack, _, is_left) in zip(peers, SYN_SENT):
            answers = [segment.flags for segment in peer.inbox if segment.flags != "S"]
            assert answers[:1] == (["A"] if is_left else ["R"]), f"{flags} {ack}: {peer.inbox}"


# ---- opening --------------------------------------------------------------------------------------------------


def test_a_syn_to_a_silent_backend_is_sent_again_at_growing_distances(lab, wire):
    """MUST-23, RFC 6298 2.1 and 5.5: 1 s, 2 s; the same SYN."""
    with _sessions(lab, wire, "v4", 1) as (_, peers):
        wire.wait(lambda: len(peers[0].inbox) >= 3, 10, "three SYNs")
        syns = peers[0].inbox[:3]
        assert {(segment.flags, segment.seq) for segment in syns} == {("S", syns[0].seq)}
        assert 0.9 < syns[1].time - syns[0].time < syns[2].time - syns[1].time, [segment.time for segment in syns]


def test_options_offered_and_taken(lab, wire):
    """RFC 9293 MUST-67; RFC 7323 and 2018: offered in the SYN, used only where the backend has them too."""
    with _sessions(lab, wire, "v4", 2) as (_, peers):
        for peer in peers:
            assert {"MSS", "SAckOK", "WScale", "Timestamp"} <= set(peer.inbox[0].options), peer.inbox
            assert peer.inbox[0].options["MSS"] == 1460
        peers[1].timestamp = 7000
        peers[1].ts_recent = peers[1].inbox[0].options["Timestamp"][0]
        for peer in peers:
            peer.clear()
            _accept(peer)
            peer.wait_data(rb"EHLO [^\n]*\n")
        assert not any("Timestamp" in segment.options for segment in peers[0].inbox)
        assert all("Timestamp" in segment.options for segment in peers[1].inbox)
        assert peers[1].inbox[-1].options["Timestamp"][1] == 7000
