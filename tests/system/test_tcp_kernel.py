# SPDX-License-Identifier: Apache-2.0
"""The Linux stack as the peer on both sides, and between them and the appliance a link that loses one chosen
segment, delays all, or writes another window into the kernel's ACKs.
"""

import errno
import itertools
import socket
import threading
import time

import pytest

from lablib import names as n
from lablib import netns
from lablib import smtp

import bridge
import labs
import messages
from policies import DENIED, TRUSTED, policy

TRUSTED6 = "2001:2:0:91::"
LAB = {"policy": policy(trusted=(f'"{TRUSTED6}/64"',)), "options": ["--backend", "sink"]}

TCP_CLOSING = 11  # tcpi_state
_ports = itertools.count(30000)


@pytest.fixture(scope="module")
def links(lab):
    """The bridges (front, back), good ones."""
    both = [bridge.Bridge(lab, side) for side in ("front", "back")]
    yield both
    for link in both:
        link.close()


@pytest.fixture
def front(links):
    yield links[0]
    links[0].clear()


@pytest.fixture
def back(links):
    yield links[1]
    links[1].clear()


class Client(smtp.Client):
    """A client whose port is known before it connects."""

    def __init__(self, lab, source, timeout=30, prepare=None, ipv6=False, port=None):
        with netns.inside(lab.names.client_ns):
            self.sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
        self.sock.settimeout(timeout * labs.SLOW)
        self.port = port or next(_ports)
        labs.wait_until(lambda: self._is_bound(source), 10, f"port {self.port} is free")
        self.pending = b""
        if prepare:
            prepare(self)
        self.sock.connect((n.FRONT6[0] if ipv6 else n.FRONT4[0], 25))

    def _is_bound(self, source):
        """A port used again is free once the ACK of its last FIN has come."""
        try:
            self.sock.bind((source, self.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def state(self):
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    def rest(self):
        """Everything up to the end; an error if that is not an orderly one."""
        parts = [self.pending]
        while data := self.sock.recv(65536):
            parts.append(data)
        return b"".join(parts)


# ---- the handshake --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source,lost", [(TRUSTED + "11", 1), ("198.18.100.11", 2)])
def test_the_banner_comes_though_the_last_ack_of_the_handshake_was_lost(lab, front, source, lost):
    """The server speaks first: the client, which thinks it is connected, says nothing that would help."""
    before = front.stats()["ruled"]
    began = time.monotonic()
    with Client(lab, source, prepare=lambda client: front.drop("ab", "A", (0, 0), lost, client.port)) as client:
        connected = time.monotonic() - began
        assert client.reply().code == 220
        waited = time.monotonic() - began
        client.quit()
    assert front.stats()["ruled"] - before == lost
    # The kernel was connected by the first SYN-ACK; the banner came after the one that was sent again.
    assert waited - connected > 0.9 * (2 ** lost - 1), (connected, waited)


@pytest.mark.parametrize("direction,flags", [("ab", "S"), ("ba", "SA")])
def test_a_lost_syn_or_syn_ack_costs_one_retry(lab, front, direction, flags):
    with Client(lab, TRUSTED + "12", prepare=lambda client: front.drop(direction, flags, port=client.port)) as client:
        assert client.reply().code == 220
        client.quit()


def test_the_banner_itself_may_be_lost(lab, front):
    with Client(lab, TRUSTED + "13", prepare=lambda client: front.drop("ba", "A", (1, 1500), 2, client.port)) as client:
        assert client.reply().code == 220
        client.quit()


# ---- the end --------------------------------------------------------------------------------------------------


def test_554_waits_for_quit_and_ends_in_order(lab, front):
    front.profile(delay=10000)
    with Client(lab, DENIED + "14") as client:
        assert client.reply().code == 554
        assert client.command("EHLO client.greyline.test").code == 503
        client.sock.settimeout(1.0)
        with pytest.raises(socket.timeout):
            client.sock.recv(1)  # it is held, not closed
        client.sock.settimeout(20 * labs.SLOW)
        assert client.command("QUIT").code == 221
        assert client.rest() == b""


def test_554_is_not_destroyed_by_what_the_client_had_sent_already(lab, front):
    """A client that talks on and reads late. A RST to its unread bytes would take the 554 out of its queue."""
    front.profile(delay=30000)
    with Client(lab, DENIED + "15") as client:
        client.send(b"QUIT\r\n" + b"x" * 60000)
        time.sleep(0.5)  # both have said all they have to say
        text = client.rest()
        assert text.startswith(b"554 ") and b"\r\n221 " in text, text[:200]


def test_half_close_after_quit_still_brings_the_reply(lab, front):
    front.profile(delay=10000)
    with Client(lab, TRUSTED + "16") as client:
        client.hello()
        client.send("QUIT\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest().startswith(b"221 ")


def test_half_close_after_the_dot_still_brings_the_verdict(lab, front):
    front.profile(delay=10000)
    lab.behave(end={"delay": 1.0})
    content = messages.make(1600, 3000)
    try:
        with Client(lab, TRUSTED + "17") as client:
            client.hello()
            client.envelope("a@example.com", "b@example.org")
            assert client.command("DATA").code == 354
            client.send(smtp.wire(content))
            client.sock.shutdown(socket.SHUT_WR)
            assert client.rest().startswith(b"250 ")
    finally:
        lab.behave()
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1


def _count(lab, name):
    """A counter of the appliance, over its workers."""
    values = [value for key, value in lab.metrics().items() if key.startswith((f"greyline_{name}{{", f"greyline_{name}_total{{"))]
    assert values, f"there is such a metric: {name}"
    return sum(values)


def _kernel_count(ns, name):
    """One of TcpExt in /proc/net/netstat."""
    with netns.inside(ns):
        with open("/proc/thread-self/net/netstat", encoding="ascii") as file:
            names, values = [line.split() for line in file if line.startswith("TcpExt:")]
    return int(values[names.index(name)])


def _connections(lab):
    """How many the appliance has, TIME-WAIT not counted."""
    return _count(lab, "tcp_connections")


def test_simultaneous_close(lab, front):
    """Both FINs are on their way at once: the kernel goes through CLOSING, and so does the appliance."""
    before = _connections(lab)
    with Client(lab, TRUSTED + "18") as client:
        client.hello()
        front.profile(delay=400000)
        client.send("QUIT\r\n")
        time.sleep(0.2)  # the FIN follows the QUIT, and leaves before the other one has come
        client.sock.shutdown(socket.SHUT_WR)
        labs.wait_until(lambda: client.state() == TCP_CLOSING, 5, "the kernel is in CLOSING")
        front.profile()
        assert client.rest().startswith(b"221 ")
        labs.wait_until(lambda: client.state() != TCP_CLOSING, 10, "the appliance acknowledges the FIN")
    labs.wait_until(lambda: _connections(lab) <= before, 10, "the appliance is done with it, but for TIME-WAIT")


@pytest.mark.parametrize("settings", ({}, {"tcp_timestamps": 0}), ids=("timestamps", "without"))
@pytest.mark.parametrize("ipv6", (False, True), ids=("v4", "v6"))
def test_a_port_can_be_used_again_at_once_though_the_appliance_waits(lab, front, settings, ipv6):
    """It closed first, so TIME-WAIT is its own; the client calls again from the same port (RFC 6191)."""
    source = TRUSTED6 + "25" if ipv6 else TRUSTED + "25"
    before = _sysctl(lab.names.client_ns, settings)
    port = next(_ports)
    try:
        for _ in range(4):
            with Client(lab, source, ipv6=ipv6, port=port) as client:
                assert client.hello().code == 250
                assert client.command("QUIT").code == 221
                assert client.rest() == b"", "the appliance has closed, and first"
    finally:
        _sysctl(lab.names.client_ns, before)


# ---- windows --------------------------------------------------------------------------------------------------


def test_a_client_whose_window_is_pulled_back_to_nothing_gets_its_banner(lab, front):
    """64 kB in the SYN, nothing in the next ACK: the right edge moves left. The kernel itself would take it all."""
    before = front.stats()["ruled"]
    with Client(lab, "198.18.100.19",
                prepare=lambda client: front.window("ab", 0, "A", (0, 0), 1, client.port)) as client:
        assert client.reply().code == 220
        client.quit()
    assert front.stats()["ruled"] == before + 1


def test_a_backend_whose_window_is_pulled_back_gets_the_message_whole(lab, back):
    content = messages.make(1601, 2_000_000)
    before = back.stats()["ruled"]
    for window in (0, 1, 500, 0):
        # The ACKs of data are bare ones; those of the envelope come with a reply.
        back.window("ab", window, "A", (0, 0), 6, 25)
    assert lab.deliver(TRUSTED + "20", "a@example.com", "b@example.org", content, timeout=120).code == 250
    assert back.stats()["ruled"] - before == 24, "the windows were written"
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1


def test_a_backend_that_reads_slowly_closes_its_window_and_gets_the_message_whole(lab, back):
    """The window of the kernel itself: its buffer is full again and again."""
    content = messages.make(1602, 3_000_000)
    lab.behave(data_rate=1_500_000)
    try:
        assert lab.deliver(TRUSTED + "21", "a@example.com", "b@example.org", content, timeout=120).code == 250
    finally:
        lab.behave()
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1


def test_a_client_that_does_not_read_gets_every_reply_when_it_does(lab, front):
    """More replies than its buffer takes: its window closes, and opens again."""
    def small(client):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least

    with Client(lab, TRUSTED + "22", prepare=small) as client:
        client.hello()
        client.send("MAIL FROM:<a@example.com>\r\n" + "".join(f"RCPT TO:<r{i}@example.org>\r\n" for i in range(100)))
        client.send("".join(f"RCPT TO:<r{i}@example.org>\r\n" for i in range(100, 180)) + "QUIT\r\n")
        time.sleep(1.5)
        text = client.rest().decode()
    codes = [line[:3] for line in text.splitlines()]
    assert codes[:101] == ["250"] * 101 and codes[-1] == "221", codes
    assert len(codes) == 182, codes


def test_large_transfers_in_both_directions(lab, front):
    """8 MB from one kernel to the appliance and from there to another; then 1,100 commands at once, and their replies."""
    front.profile(delay=5000, jitter=2000)
    content = messages.make(1603, 8_000_000)
    assert lab.deliver(TRUSTED + "23", "a@example.com", "b@example.org", content, timeout=120).code == 250
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1
    with Client(lab, TRUSTED + "24", timeout=60) as client:
        client.hello()
        assert client.command("MAIL FROM:<a@example.com>").code == 250
        commands = "".join(f"RCPT TO:<r{number}@example.org>\r\n" for number in range(1100)) + "QUIT\r\n"
        # Perhaps more than both queues hold: who only wrote would wait for ever.
        writer = threading.Thread(target=client.send, args=(commands,))
        writer.start()
        text = client.rest().decode()
        writer.join()
    codes = [line[:3] for line in text.splitlines()]
    assert len(codes) == 1101 and codes[:100] == ["250"] * 100 and codes[-1] == "221", (len(codes), codes[-3:])
    assert set(codes[100:-1]) == {"452"}


# ---- loss and what is taken for it ----------------------------------------------------------------------------


def test_what_comes_twice_is_reported_in_both_directions(lab, front):
    """RFC 2883: the kernel reads our D-SACKs, and we read the kernel's."""
    content = messages.make(1610, 60_000)
    ours, theirs = _count(lab, "tcp_dsacks_in"), _kernel_count(lab.names.client_ns, "TCPDSACKRecv")
    front.profile(delay=1000, duplicate=500)
    assert lab.deliver(TRUSTED + "31", "a@example.com", "b@example.org", content, timeout=60).code == 250
    front.profile()
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1
    assert _kernel_count(lab.names.client_ns, "TCPDSACKRecv") > theirs
    labs.wait_until(lambda: _count(lab, "tcp_dsacks_in") > ours, 10, "the kernel's D-SACKs are counted")


@pytest.mark.parametrize("lost", [1, 2])
def test_the_tail_of_a_reply_is_probed_for_before_any_timeout(lab, front, lost):
    """RFC 8985 7: the last segment is lost, and there is nothing behind it. When the probe is too, a timeout it is."""
    front.profile(delay=5000)
    with Client(lab, f"{TRUSTED}{31 + lost}") as client:
        client.hello()
        assert client.command("RSET").code == 250  # a round trip has been measured
        probes, timeouts = _count(lab, "tcp_tail_probes"), _count(lab, "tcp_timeouts")
        front.drop("ba", "A", (1, 1500), lost, client.port)
        assert client.command("NOOP").code == 250
        labs.wait_until(lambda: _count(lab, "tcp_tail_probes") == probes + 1, 10, "one probe is counted")
        assert _count(lab, "tcp_timeouts") == timeouts + lost - 1
        client.quit()


def test_a_message_that_loses_its_last_segments_needs_no_timeout(lab, back):
    """To the backend: three segments before the end of the message are lost, and what comes after them tells."""
    content = messages.make(1611, 9_000)
    back.profile(delay=5000)
    timeouts, again = _count(lab, "tcp_timeouts"), _count(lab, "tcp_retransmits")
    with Client(lab, TRUSTED + "34") as client:
        client.hello()
        client.envelope("a@example.com", "b@example.org")
        back.drop("ba", "A", (1000, 1500), 3, 25)
        assert client.message(content).code == 250
        client.quit()
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1
    labs.wait_until(lambda: _count(lab, "tcp_retransmits") >= again + 3, 10, "three segments went again")
    assert _count(lab, "tcp_timeouts") == timeouts


# ---- congestion notification ------------------------------------------------------------------------------------

TCPI_OPT_ECN, TCPI_OPT_ECN_SEEN = 8, 16


def _tcp_info(client):
    """Of the kernel's side: options, segments sent again in all, and segments whose ACK said ECE (tcpi_delivered_ce)."""
    info = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 200)
    return info[5], int.from_bytes(info[100:104], "little"), int.from_bytes(info[196:200], "little")


def test_a_mark_on_the_way_here_is_echoed_to_the_kernel(lab, front):
    """The kernel offers ECN, a segment of the message experiences congestion, and our ECE reaches the kernel."""
    content = messages.make(1612, 200_000)
    before, marks = _sysctl(lab.names.client_ns, {"tcp_ecn": 1}), _count(lab, "tcp_ecn_marks")
    front.profile(delay=3000)
    try:
        with Client(lab, TRUSTED + "35") as client:
            client.hello()
            options, _, echoed = _tcp_info(client)
            assert options & TCPI_OPT_ECN and options & TCPI_OPT_ECN_SEEN, "agreed on, and our replies are ECN capable"
            assert echoed == 0
            client.envelope("a@example.com", "b@example.org")
            front.mark("ab", length=(1000, 1500), count=2, port=client.port)
            assert client.message(content).code == 250
            _, again, echoed = _tcp_info(client)
            assert 0 < echoed < 100 and again == 0, "until the kernel's CWR, and nothing was lost"
            client.quit()
    finally:
        _sysctl(lab.names.client_ns, before)
    assert front.stats()["marked"] >= 2
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1
    labs.wait_until(lambda: _count(lab, "tcp_ecn_marks") >= marks + 2, 10, "the marks are counted")


def test_a_mark_on_the_way_to_the_backend_makes_us_slow_down(lab, back):
    """We offer ECN, the kernel takes it, as it does by default, and echoes the mark until our CWR."""
    content = messages.make(1613, 300_000)
    cuts, again = _count(lab, "tcp_ecn_cuts"), _count(lab, "tcp_retransmits")
    back.profile(delay=3000)
    with Client(lab, TRUSTED + "36") as client:
        client.hello()
        client.envelope("a@example.com", "b@example.org")
        back.mark("ba", length=(1000, 1500), count=1, port=25)
        assert client.message(content).code == 250
        client.quit()
    assert back.stats()["marked"] >= 1
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1
    labs.wait_until(lambda: _count(lab, "tcp_ecn_cuts") == cuts + 1, 10, "one cut for one mark")
    assert _count(lab, "tcp_retransmits") == again


# ---- what the kernel can be set to ----------------------------------------------------------------------------

SETTINGS = [{}, {"tcp_sack": 0}, {"tcp_timestamps": 0}, {"tcp_window_scaling": 0},
            {"tcp_sack": 0, "tcp_timestamps": 0, "tcp_window_scaling": 0}, {"tcp_dsack": 0, "tcp_recovery": 0},
            {"tcp_syncookies": 2}, {"tcp_ecn": 1}]


def _sysctl(ns, settings):
    """Returns what was before."""
    before = {}
    with netns.inside(ns):
        for key, value in settings.items():
            path = f"/proc/sys/net/ipv4/{key}"
            with open(path, encoding="ascii") as file:
                before[key] = file.read().strip()
            with open(path, "w", encoding="ascii") as file:  # what is written anywhere but at the beginning is ignored
                file.write(str(value))
            with open(path, encoding="ascii") as file:
                assert file.read().strip() == str(value)
    return before


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: ",".join(settings) or "default")
def test_messages_arrive_over_a_lossy_link_whatever_the_kernels_negotiate(lab, front, back, settings):
    number = 1700 + SETTINGS.index(settings)
    content = messages.make(number, 150_000)
    before = {ns: _sysctl(ns, settings) for ns in (lab.names.client_ns, lab.names.backend_ns)}
    front.profile(delay=2000, loss=20)
    back.profile(delay=2000, loss=20, reorder=20)
    try:
        reply = lab.deliver(f"{TRUSTED}{number - 1670}", "a@example.com", "b@example.org", content, timeout=120)
        assert reply.code == 250
    finally:
        for ns, values in before.items():
            _sysctl(ns, values)
    assert [entry["sha256"] for entry in lab.ledger()].count(messages.digest(content)) == 1
