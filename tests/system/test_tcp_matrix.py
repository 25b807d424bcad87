# SPDX-License-Identifier: Apache-2.0
"""Crafted segments against the appliance: every state by every kind of segment by every place in the window.

What must happen is computed by expected(), from RFC 9293 3.10.7 with RFC 5961 (RST, SYN), RFC 1337 and RFC 6191
(TIME-WAIT); where the endpoint departs from them on purpose, DEPARTURES says so and why. A cell's connection is
its own. "No answer" is known without waiting: the appliance takes frames in order, so when a later question has
been answered nothing is to come for an earlier one (Wire.barrier).
"""

import itertools

import pytest

import labs
from bridge import peer as raw
from policies import policy

LAB = {"policy": policy().replace("trusted: [", 'trusted: [198.18.0.0/24, "2001:2::/120", '),
       "options": ["--backend", "sink"]}

STATES = ("SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT")
KINDS = ("SYN", "SYN-ACK", "FIN", "ACK", "RST", "data")
PLACES = ("left", "left edge", "inside", "right edge", "right")
RECEIVING = ("ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2")
DATA = b"NOOP NOOP "  # no end of line: nothing but TCP answers

# Answers: nothing, an ACK of all that came in order, a SYN-ACK, a RST. What is left: the state as it was
# ("same"), nothing ("gone"), a connection that works ("open"), one that begins ("begun"), or the next state.
NONE, ACK, SYNACK = "none", "ACK", "SYN-ACK"


def is_acceptable(place):
    return place in ("left edge", "inside", "right edge")


def expected_half_open(kind, place):
    """SYN-RECEIVED of a passive open."""
    if kind == "SYN":
        return SYNACK, "begun"  # see DEPARTURES
    if kind == "RST":
        if place == "left edge":
            return NONE, "gone"
        return (ACK if is_acceptable(place) else NONE), "same"
    if kind == "SYN-ACK":
        return NONE, "same"  # see DEPARTURES
    if not is_acceptable(place):
        return ACK, "same"
    # The ACK completes the handshake; then FIN and data are those of ESTABLISHED.
    if kind == "FIN" and place == "left edge":
        return ACK, "fin"
    return (NONE if kind == "ACK" else ACK), "open"


def expected_timewait(kind, place):
    if kind == "RST":
        return NONE, "same"  # RFC 1337
    if kind == "SYN":
        # RFC 6191 without timestamps: beyond what was used is a new connection.
        return (SYNACK, "begun") if place in ("inside", "right edge", "right") else (ACK, "same")
    if kind == "ACK":
        return NONE, "same"  # see DEPARTURES
    return ACK, "same"


def expected(state, kind, place):
    """(answer, what is left)"""
    if state == "SYN-RECEIVED":
        return expected_half_open(kind, place)
    if state == "TIME-WAIT":
        return expected_timewait(kind, place)
    if kind == "RST":  # RFC 5961 3.2
        if place == "left edge":
            return NONE, "gone"
        return (ACK if is_acceptable(place) else NONE), "same"
    if kind in ("SYN", "SYN-ACK"):  # RFC 5961 4.2: wherever it lies
        return ACK, "same"
    if not is_acceptable(place):
        return ACK, "same"
    if kind == "ACK":
        return NONE, "same"
    if state not in RECEIVING:  # what comes after a FIN is ignored (seventh and eighth)
        return NONE, "same"
    if kind == "FIN" and place == "left edge":
        return ACK, "fin"
    return ACK, "same"  # taken, or held: either way told at once or a little later


# Where the rule of the RFC gives something else, (state, kind): why. The cells are tested for what is written in
# expected().
DEPARTURES = {
    ("SYN-RECEIVED", "SYN"): "RFC 9293: an old one gets an ACK, one in the window sends back to LISTEN. We begin "
                             "anew with the new SYN at once: the client did, and it saves it a second",
    ("SYN-RECEIVED", "SYN-ACK"): "a guess must not end a half-open connection, and no server is answered by one",
    ("TIME-WAIT", "ACK"): "an ACK out of the window would get an ACK: two ends in TIME-WAIT would go on for ever",
}


@pytest.fixture(scope="module")
def wire(lab):
    wire = raw.Wire(lab)
    yield wire
    wire.close()


# ---- reaching a state: each takes a list of peers through the same steps, side by side ----------------------


def _all(wire, peers, question, what, seconds=15):
    wire.wait(lambda: all(question(peer) for peer in peers), seconds, what)


def _chat(wire, peers, text, pattern):
    for peer in peers:
        peer.data = b""
        peer.say(text)
    _all(wire, peers, lambda peer: peer.has(pattern), pattern)


def _half_open(wire, peers):
    for peer in peers:
        peer.start_open()
    _all(wire, peers, lambda peer: peer.rcv_nxt, "SYN-ACK")


def _established(wire, peers):
    _half_open(wire, peers)
    for peer in peers:
        peer.send("A")
    _all(wire, peers, lambda peer: peer.has(rb"220 [^\n]*\n"), "banner")


def _fin_wait_1(wire, peers):
    _established(wire, peers)
    for peer in peers:
        peer.auto_ack = False
        peer.say("QUIT\r\n")
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq, "221 and FIN")
    for peer in peers:
        peer.send("A")  # the 221, not the FIN


def _closing(wire, peers):
    _fin_wait_1(wire, peers)
    for peer in peers:
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")


def _fin_wait_2(wire, peers):
    _established(wire, peers)
    for peer in peers:
        peer.say("QUIT\r\n")
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.rcv_nxt == peer.fin_seq + 1 & raw.MASK, "FIN")


def _timewait(wire, peers):
    _fin_wait_2(wire, peers)
    for peer in peers:
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")


def _last_ack(wire, peers):
    _established(wire, peers)
    for peer in peers:
        peer.auto_ack = False
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.fin_seq is not None and peer.snd_una == peer.snd_nxt, "FIN")


def _close_wait(wire, peers):
    """The client is gone and the backend has not yet said what became of its message: the session waits."""
    _established(wire, peers)
    _chat(wire, peers, "EHLO client\r\n", rb"250 [^\n]*\n")
    _chat(wire, peers, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n", rb"354 [^\n]*\n")
    for peer in peers:
        peer.say("Subject: x\r\n\r\nx\r\n.\r\n")
        peer.send("FA")
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of our FIN")
    assert all(peer.fin_seq is None for peer in peers), "the appliance did not wait for its backend"


REACH = {"SYN-RECEIVED": _half_open, "ESTABLISHED": _established, "FIN-WAIT-1": _fin_wait_1, "FIN-WAIT-2": _fin_wait_2,
         "CLOSE-WAIT": _close_wait, "CLOSING": _closing, "LAST-ACK": _last_ack, "TIME-WAIT": _timewait}


def _settle(wire, peers):
    """Nothing that belongs to reaching the state is still to come."""
    _all(wire, peers, lambda peer: peer.snd_una == peer.snd_nxt, "ACK of everything")
    wire.barrier()
    for peer in peers:
        peer.clear()


# ---- a cell ---------------------------------------------------------------------------------------------------


class Cell:
    def __init__(self, peer, state, kind, place):
        self.peer, self.state, self.kind, self.place = peer, state, kind, place
        self.want, self.left = expected(state, kind, place)
        self.name = f"{state}, {kind}, {place}, {'v6' if ':' in peer.address else 'v4'}"
        self.server_next = None

    def probe(self):
        peer = self.peer
        # What they have sent: in these states their FIN is out and we have not acknowledged it.
        unacked_fin = self.state in ("FIN-WAIT-1", "CLOSING", "LAST-ACK")
        self.server_next = peer.rcv_nxt + unacked_fin & raw.MASK
        self.ours = peer.snd_nxt
        seq = self.seq = {"left": peer.snd_nxt - 5000, "left edge": peer.snd_nxt, "inside": peer.snd_nxt + 100,
                          "right edge": peer.right - 1, "right": peer.right + 5000}[self.place] & raw.MASK
        flags = {"SYN": "S", "SYN-ACK": "SA", "FIN": "FA", "ACK": "A", "RST": "R", "data": "PA"}[self.kind]
        peer.send(flags, seq=seq, data=DATA if self.kind == "data" else b"")

    def taken(self):
        """How far their rcv_nxt is after the probe."""
        moved = 0
        if self.place == "left edge" and (self.state in RECEIVING or self.state == "SYN-RECEIVED"):
            moved = {"data": len(DATA), "FIN": 1}.get(self.kind, 0)
        return self.ours + moved & raw.MASK

    def is_answer(self, segment):
        """Not what would have come anyway: a SYN-ACK or FIN that is sent again, the banner."""
        if self.state == "SYN-RECEIVED" and segment.flags == "SA":
            return segment.ack == self.seq + 1 & raw.MASK
        if segment.flags in ("SA", "A") and not segment.data or "R" in segment.flags:
            return True
        return self.may_ride() and "A" in segment.flags and segment.ack == self.taken()

    def may_ride(self):
        """Where the segment begins or ends the dialogue, the ACK may ride on a banner or on a FIN."""
        return self.want == ACK and self.left in ("open", "fin")

    def answers(self):
        return [segment for segment in self.peer.inbox if self.is_answer(segment)]

    def is_answered(self):
        return self.want == NONE or bool(self.answers())

    def check_answer(self):
        found = self.answers()
        if self.want == NONE:
            assert not found, f"{self.name}: want no answer, got {found}"
            return
        assert found, f"{self.name}: want {self.want}, got {self.peer.inbox}"
        if self.may_ride():
            assert all(segment.flags in ("A", "AF") for segment in found), f"{self.name}: {found}"
            assert found[0].ack == self.taken(), f"{self.name}: want ack {self.taken()}, got {found}"
            return
        assert all(segment.flags == {ACK: "A", SYNACK: "SA"}[self.want] for segment in found), f"{self.name}: {found}"
        if self.want == ACK:
            assert found[0].ack == self.taken(), f"{self.name}: want ack {self.taken()}, got {found}"
            assert found[0].seq == self.server_next, f"{self.name}: want seq {self.server_next}, got {found}"
        else:
            assert found[0].ack == self.seq + 1 & raw.MASK, f"{self.name}: {found}"
        # One segment has one answer; a delayed ACK may come beside the held one.
        assert len(found) <= 1, f"{self.name}: more than one answer: {found}"

    def ask_left(self):
        """A FIN from long ago: who knows the connection answers with an ACK, who does not with a RST."""
        self.peer.clear()
        if self.state == "SYN-RECEIVED" and self.left == "same":
            self.peer.send("A")
        self.peer.send("FA", seq=self.ours - 1, ack=self.server_next)

    def left_answers(self):
        return [segment for segment in self.peer.inbox if segment.flags == "A" or "R" in segment.flags]

    def check_left(self):
        assert self.left_answers(), f"{self.name}: nothing says what is left"
        if self.left == "gone":
            assert any("R" in segment.flags for segment in self.peer.inbox), f"{self.name}: still there"
        else:
            assert not any("R" in segment.flags for segment in self.peer.inbox), f"{self.name}: gone"


def _run(wire, state, cells):
    if state != "SYN-RECEIVED":
        _settle(wire, [cell.peer for cell in cells])
    for cell in cells:
        cell.peer.clear()
        cell.peer.auto_ack = False
        cell.probe()
    wire.barrier()
    # An ACK may be delayed; whatever is missing then is told cell by cell.
    wire.pump_until(lambda: all(cell.is_answered() for cell in cells), 3)
    _check_all(cells, Cell.check_answer)
    # A SYN that began a connection: that one is another's business.
    asked = [cell for cell in cells if cell.left != "begun"]
    for cell in asked:
        cell.ask_left()
    wire.pump_until(lambda: all(cell.left_answers() for cell in asked), 3)
    _check_all(asked, Cell.check_left)


def _check_all(cells, check):
    """Every cell that is wrong, not only the first."""
    wrong = []
    for cell in cells:
        try:
            check(cell)
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, "\n".join(wrong)


def _matrix(lab, wire, state, ipv6):
    kinds_and_places = list(itertools.product(KINDS, PLACES))
    peers = [wire.peer(ipv6=ipv6) for _ in kinds_and_places]
    if state == "CLOSE-WAIT":
        lab.behave(end={"delay": 12 * labs.SLOW})
    try:
        REACH[state](wire, peers)
        _run(wire, state, [Cell(peer, state, kind, place) for peer, (kind, place) in zip(peers, kinds_and_places)])
    finally:
        lab.behave()
        for peer in peers:
            peer.reset()


@pytest.mark.parametrize("family", ("v4", "v6"))
@pytest.mark.parametrize("state", STATES)
def test_state_by_segment_by_place(lab, wire, state, family):
    _matrix(lab, wire, state, ipv6=family == "v6")
