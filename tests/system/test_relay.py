# SPDX-License-Identifier: Apache-2.0
"""What reaches a real Postfix: every byte, once, and its own answers back."""

import hashlib
import os

from lablib import smtp

import labs
import messages
from policies import TRUSTED, policy

LAB = {"policy": policy(), "options": []}


def _arrive(lab, wanted, seconds):
    labs.wait_until(lambda: set(wanted) <= set(lab.digests()), seconds,
                    f"{len(set(wanted) - set(lab.digests()))} of {len(wanted)} messages are missing")


def test_one_hundred_messages_from_nothing_to_20_mb_arrive_whole(lab):
    sizes = [0, 1, 2, 100, 511, 512, 998, 1000, 1447, 1448, 1449, 1460, 2896, 4096, 65535, 65536, 100000]
    sizes += [int(300 * 1.14 ** number) for number in range(78)]
    sizes += [5_000_000, 10_000_000, 15_000_000, 20_000_000, 20_000_000]
    assert len(sizes) == 100
    sent = []
    for number, size in enumerate(sizes):
        content = messages.make(number, size)
        reply = lab.deliver(f"{TRUSTED}{1 + number % 200}", "a@example.com", "b@example.org", content, timeout=120)
        assert reply.code == 250, (size, reply)
        sent.append(messages.digest(content))
    _arrive(lab, sent, 60 * labs.SLOW)
    arrived = [digest for digest in lab.digests() if digest in sent]
    assert sorted(arrived) == sorted(sent), "each message once"


def test_the_backend_learns_who_the_client_is(lab):
    content = messages.make(500, 400)
    assert lab.deliver(TRUSTED + "33", "a@example.com", "b@example.org", content).code == 250
    _arrive(lab, [messages.digest(content)], 10)
    with open(os.path.join(lab.names.logs, "postfix-backend.log"), encoding="utf-8") as file:
        log = file.read()
    assert f"host-198-18-90-33.client.greyline.test[{TRUSTED}33]" in log or f"unknown[{TRUSTED}33]" in log


def test_what_the_backend_answers_is_passed_on(lab):
    with lab.client(TRUSTED + "34") as client:
        client.hello()
        client.command("MAIL FROM:<a@example.com>")
        reply = client.command("RCPT TO:<unknown@example.org>")
        assert reply.code == 550 and "no such user here" in reply.text
        reply = client.command("RCPT TO:<full@example.org>")
        assert reply.code == 452 and "mailbox full" in reply.text
        assert client.command("DATA").code in (503, 554)
        assert client.command("RCPT TO:<known@example.org>").code == 250
        content = messages.make(501, 400)
        assert client.message(content).code == 250
        client.quit()
    _arrive(lab, [messages.digest(content)], 10)


def test_swaks_delivers_an_attachment(lab, tmp_path):
    before = len(lab.digests())
    path = tmp_path / "attachment.bin"
    path.write_bytes(os.urandom(300000))
    done = lab.swaks(TRUSTED + "35", "--from", "a@example.com", "--to", "b@example.org", "--attach", f"@{path}")
    assert done.returncode == 0, done.stdout
    labs.wait_until(lambda: len(lab.digests()) == before + 1, 10 * labs.SLOW, "the attachment is not in the mailbox")


def test_a_client_that_vanishes_in_its_message_leaves_nothing(lab):
    def broken_off():
        with open(os.path.join(lab.names.logs, "postfix-backend.log"), encoding="utf-8") as file:
            return file.read().count("lost connection after DATA")

    before = len(lab.digests()), broken_off()
    content = messages.make(502, 200000)
    with lab.client(TRUSTED + "36") as client:
        client.hello()
        client.envelope("a@example.com", "b@example.org")
        assert client.command("DATA").code == 354
        client.send(smtp.wire(content)[:150000])
        client.reset()
    with lab.client(TRUSTED + "36") as client:
        client.hello()
        client.envelope("a@example.com", "b@example.org")
        assert client.command("DATA").code == 354
        client.send(smtp.wire(content)[:150000])
    labs.wait_until(lambda: broken_off() == before[1] + 2, 10 * labs.SLOW, "the backend still waits for the rest")
    marker = messages.make(503, 300)
    assert lab.deliver(TRUSTED + "36", "a@example.com", "b@example.org", marker).code == 250
    _arrive(lab, [messages.digest(marker)], 10 * labs.SLOW)
    assert len(lab.digests()) == before[0] + 1


def test_memory_does_not_grow_with_the_message(lab):
    """A slow backend and a fast client: the client's window closes, nothing is kept."""
    pid = lab.pid("dataplane1")
    content = messages.make(504, 30_000_000)

    def resident():
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    assert lab.deliver(TRUSTED + "37", "a@example.com", "b@example.org", content, timeout=120).code == 250
    # One pool of packets is touched for the first time; a message of 30 MB is not in it.
    assert resident() - before < 16 << 20
    _arrive(lab, [hashlib.sha256(content).hexdigest()], 30)
