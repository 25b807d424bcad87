# SPDX-License-Identifier: Apache-2.0
"""A backend that misbehaves at each step, and none at all: never a lost, half or doubled message."""

import time

import pytest

from lablib import smtp

import labs
import messages
from policies import TRUSTED, policy

IMPATIENT = ("{main: {servers: [{address: 198.19.0.10, port: 25}], check_interval: 300ms, connect_timeout: 1s, "
         "reply_timeout: 2s, end_timeout: 4s, fall: 2}}")
LAB = {"policy": policy(pools=IMPATIENT), "options": ["--backend", "sink"]}


@pytest.fixture(autouse=True)
def good_again(lab):
    yield
    lab.behave()
    labs.wait_until(lambda: lab.ask(TRUSTED + "1", "probe@example.com", "probe@example.org").code == 250, 15,
                    "mail flows again")


def _try(lab, number):
    content = messages.make(number, 3000)
    return messages.digest(content), lab.deliver(TRUSTED + "2", "a@example.com", "b@example.org", content)


def _stored(lab, digest):
    return [entry["sha256"] for entry in lab.ledger()].count(digest)


# What the backend does at each step, and the codes that a client may then see. Before the identity is accepted
# it is our fault, never the client's: 451. Afterwards it is the backend's answer.
CASES = {
    "connect-554": ({"connect": {"reply": "554 go away"}}, {451}),
    "connect-close": ({"connect": {"close": True}}, {451}),
    "connect-reset": ({"connect": {"reset": True}}, {451}),
    "connect-hang": ({"connect": {"hang": True}}, {451}),
    "connect-garbage": ({"connect": {"reply": "hello, who is there?"}}, {451}),
    "xclient-refused": ({"xclient": {"reply": "550 not authorized"}}, {451}),
    "mail-550": ({"mail": {"reply": "550 5.1.8 sender unwanted"}}, {550}),
    "mail-451": ({"mail": {"reply": "451 4.3.0 not now"}}, {451}),
    "rcpt-550": ({"rcpt": {"reply": "550 5.1.1 nobody"}}, {550}),
    "rcpt-close": ({"rcpt": {"close": True}}, {451, 421}),
    "rcpt-hang": ({"rcpt": {"hang": True}}, {451, 421}),
    "data-451": ({"data": {"reply": "451 4.3.1 disk full"}}, {451}),
    "data-reset": ({"data": {"reset": True}}, {451, 421}),
    "end-550": ({"end": {"reply": "550 5.7.1 content unwanted"}}, {550}),
    "end-452": ({"end": {"reply": "452 4.3.1 disk full"}}, {452}),
    "end-close": ({"end": {"close": True}}, {451, 421}),
    "end-reset": ({"end": {"reset": True}}, {451, 421}),
    "end-hang": ({"end": {"hang": True}}, {451, 421}),
}


@pytest.mark.parametrize("name", CASES)
def test_no_message_is_acknowledged_that_the_backend_does_not_have(lab, name):
    rules, wanted = CASES[name]
    lab.behave(**rules)
    digest, reply = _try(lab, 600 + list(CASES).index(name))
    assert reply.code in wanted, reply
    assert _stored(lab, digest) == 0


def test_without_xclient_mail_is_not_sent_as_ourselves(lab):
    """An address of ours in the backend's mynetworks would make it an open relay."""
    lab.behave(ehlo_keywords=["PIPELINING", "SIZE", "8BITMIME"])
    digest, reply = _try(lab, 901)
    assert reply.code == 451 and _stored(lab, digest) == 0


def test_a_parameter_is_never_dropped(lab):
    lab.behave(ehlo_keywords=["PIPELINING", "SIZE", "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"])
    with lab.client(TRUSTED + "3") as client:
        client.hello()
        reply = client.command("MAIL FROM:<a@example.com> BODY=8BITMIME")
        if reply.code == 250:
            reply = client.command("RCPT TO:<b@example.org>")
        assert reply.code in (451, 555), reply


def test_a_slow_backend_slows_the_client_and_loses_nothing(lab):
    lab.behave(data_rate=2_000_000)
    content = messages.make(902, 4_000_000)
    began = time.monotonic()
    assert lab.deliver(TRUSTED + "4", "a@example.com", "b@example.org", content).code == 250
    assert time.monotonic() - began > 1.0
    assert _stored(lab, messages.digest(content)) == 1


def test_the_reply_after_the_dot_is_waited_for(lab):
    lab.behave(end={"delay": 2.5})
    digest, reply = _try(lab, 903)
    assert reply.code == 250 and reply.seconds > 2 and _stored(lab, digest) == 1


def test_a_message_whose_client_left_before_the_reply_is_ambiguous_and_said_so(lab):
    lab.behave(end={"delay": 1.5})
    content = messages.make(904, 1000)
    client = lab.client(TRUSTED + "5")
    client.hello()
    client.envelope("a@example.com", "b@example.org")
    client.command("DATA")
    client.send(smtp.wire(content))
    time.sleep(0.3)
    client.reset()
    labs.wait_until(lambda: _stored(lab, messages.digest(content)) == 1, 5, "the backend kept it")
    event = lab.wait_for_event(event="data", client=TRUSTED + "5")
    assert event.get("ambiguous") is True


def test_with_no_backend_mail_waits_at_its_sender(lab):
    with lab.stopped("sink"):
        labs.wait_until(lambda: _try(lab, 905)[1].code == 451, 10, "451")
        assert lab.ask(TRUSTED + "6", "a@example.com", "b@example.org").code == 451
        assert lab.ask(TRUSTED + "6", "a@example.com", "victim@elsewhere.test").code == 550, "decided without a backend"
        labs.wait_until(lambda: lab.http("/healthz")[0] == 503, 10, "/healthz says that there is no backend")
    digest = None
    def delivered():
        nonlocal digest
        digest, reply = _try(lab, 906)
        return reply.code == 250
    labs.wait_until(delivered, 15, "mail flows again")
    assert _stored(lab, digest) == 1


def test_the_backend_is_given_what_identifies_the_client(lab):
    _, reply = _try(lab, 907)
    assert reply.code == 250
    given = lab.ledger()[-1]["xclient"]
    assert given["ADDR"] == TRUSTED + "2" and given["PROTO"] == "ESMTP"
    assert given["HELO"] == "client.greyline.test"
    assert given["NAME"] in ("host-198-18-90-2.client.greyline.test", "[UNAVAILABLE]")
    assert given.get("DESTADDR") in ("198.18.0.25", "[UNAVAILABLE]", None)
