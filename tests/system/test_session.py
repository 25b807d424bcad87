# SPDX-License-Identifier: Apache-2.0
"""Sessions over the wire: who is refused with what, and what SMTP itself demands."""

import os
import re
import time

import pytest

from lablib import smtp

import labs
import messages
from policies import ALLOWED, DENIED, LISTED, NO_PTR, SCORED, TRUSTED, UNCONFIRMED, WELCOME, policy

LAB = {"policy": policy(listeners='[{name: mx, front: [198.18.0.25, "2001:2::25"], greet_delay: 1s}]'),
       "options": ["--backend", "sink"]}
SPAM_FILTER = "5.7.1 Sending address not accepted due to spam filter"


def test_swaks_is_told_220_then_451_then_221(lab, network):
    done = lab.swaks(network + "5", "--from", "alice@example.com", "--to", "bob@example.org")
    said = [line[4:] for line in done.stdout.splitlines() if line.startswith(("<- ", "<**", "<~ "))]
    codes = [line.split()[0][:3] for line in said]
    assert codes[0] == "220" and codes[-1] == "221"
    assert re.search(r"451 4\.7\.1 Greylisted, please try again in [12] seconds \[[0-9A-Z]{16}\]", done.stdout)


def test_ehlo_offers_what_it_should(lab, network):
    with lab.client(network + "5") as client:
        assert client.reply().text.startswith("mx.greyline.test ESMTP")
        reply = client.command("EHLO client.greyline.test")
        assert reply.code == 250
        offered = {line.split()[0] for line in reply.lines[1:]}
        assert {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES"} <= offered
        assert "STARTTLS" not in offered and "AUTH" not in offered


# ---- who is refused -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("source", [LISTED + "5", "2001:2:0:10::5"])
def test_a_listed_client_is_refused_at_rcpt(lab, source):
    reply = lab.ask(source, "a@example.com", "b@example.org")
    assert reply.code == 554 and reply.text.startswith(SPAM_FILTER)
    event = lab.wait_for_event(event="rcpt", client=source)
    assert event["rule"] == "dnsbl" and event["zones"] == ["bl.greyline.test"] and event["code"] == 554


@pytest.mark.parametrize("source", [NO_PTR + "5", "2001:2:0:66::5"])
def test_a_client_without_reverse_name_is_refused(lab, source):
    reply = lab.ask(source, "a@example.com", "b@example.org")
    assert reply.code in (550, 554) and reply.explain_id
    event = lab.wait_for_event(event="rcpt", client=source)
    assert event["rule"] == "ptr_missing" and event["id"] == reply.explain_id


def test_points_alone_refuse_from_the_high_threshold_on(lab):
    reply = lab.ask(SCORED + "5", "a@example.com", "b@example.org")
    assert reply.code == 554 and reply.text.startswith(SPAM_FILTER)
    assert lab.wait_for_event(event="rcpt", client=SCORED + "5")["rule"] == "score_high"


@pytest.mark.parametrize("source", [UNCONFIRMED + "5", WELCOME + "5"])
def test_little_evidence_is_only_greylisted(lab, source):
    assert lab.ask(source, "a@example.com", "b@example.org").code == 451


def test_a_denied_client_is_refused_at_the_greeting_and_held_until_quit(lab):
    began = time.monotonic()
    with lab.client(DENIED + "5") as client:
        greeting = client.reply()
        assert greeting.code == 554 and greeting.text.startswith(f"5.7.1 Mail from {DENIED}5 is not accepted")
        assert time.monotonic() - began < 0.8 * labs.SLOW, "a refusal that needs no evidence waits for none"
        assert client.command("EHLO x.greyline.test").code == 503
        assert client.command("MAIL FROM:<a@example.com>").code == 503
        assert client.command("QUIT").code == 221
        assert client.is_closed()


def test_an_early_talker_is_refused(lab, network):
    with lab.client(network + "5") as client:
        client.send("EHLO early.greyline.test\r\n")
        reply = client.reply()
        assert reply.code == 554
    assert lab.wait_for_event(client=network + "5", rule="pregreet")


def test_nobody_relays(lab, network):
    for source in (network + "5", TRUSTED + "5", ALLOWED + "5"):
        reply = lab.ask(source, "a@example.com", "victim@elsewhere.test")
        assert reply.code == 550 and "relaying denied" in reply.text, source
    for recipient in ("victim%elsewhere.test@elsewhere.test", "@example.org:victim@elsewhere.test",
                      "victim@sub.example.org", "victim@example.org.elsewhere.test", "victim@[198.19.0.10]"):
        assert lab.ask(TRUSTED + "6", "a@example.com", recipient).code in (501, 550, 553), recipient


def test_the_trusted_and_the_allowed_pass_without_a_wait(lab):
    for source in (TRUSTED + "7", ALLOWED + "7"):
        content = messages.make(1, 600)
        reply = lab.deliver(source, "a@example.com", "b@example.org", content)
        assert reply.code == 250
        assert messages.digest(content) in lab.digests()


def test_a_name_that_claims_to_be_us_is_refused(lab, network):
    with lab.client(network + "5") as client:
        client.reply()
        reply = client.command("EHLO mx.greyline.test")
        if reply.code == 250:
            reply = client.envelope("a@example.com", "b@example.org")
        assert reply.code == 550


# ---- SMTP itself ------------------------------------------------------------------------------------------------

def _rcpt_done(lab, source):
    client = lab.client(source)
    assert client.hello().code == 250
    assert client.envelope("a@example.com", "b@example.org").code == 250
    return client


def test_commands_out_of_order_and_unknown_ones(lab, network):
    with lab.client(network + "5") as client:
        client.reply()
        assert client.command("MAIL FROM:<a@example.com>").code == 503
        assert client.command("EHLO x.greyline.test").code == 250
        assert client.command("RCPT TO:<b@example.org>").code == 503
        assert client.command("DATA").code == 503
        assert client.command("VRFY bob").code == 252
        assert client.command("NOOP").code == 250
        assert client.command("RSET").code == 250
        assert client.command("HELP").code == 214
        assert client.command("STARTTLS").code in (500, 502, 503)
        assert client.command("AUTH PLAIN").code in (500, 502, 503)
        assert client.command("WIBBLE").code == 500
        assert client.command("MAIL FROM:<a@example.com> AUTH=<>").code == 555
        assert client.command("MAIL FROM:a@example.com").code == 501
        assert client.quit().code == 221


def test_pipelined_commands_are_answered_in_order(lab):
    content = messages.make(2, 900)
    with lab.client(TRUSTED + "8") as client:
        client.hello()
        client.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@elsewhere.test>\r\nDATA\r\n")
        assert [client.reply().code for _ in range(4)] == [250, 250, 550, 354]
        client.send(smtp.wire(content) + b"QUIT\r\n")
        assert [client.reply().code for _ in range(2)] == [250, 221]
    entry = lab.ledger()[-1]
    assert entry["sha256"] == messages.digest(content) and entry["recipients"] == ["b@example.org"]


def test_several_transactions_and_recipients_in_one_session(lab):
    sent = []
    with lab.client(TRUSTED + "9") as client:
        client.hello()
        for number, recipients in enumerate((["b@example.org"], ["c@example.net", "d@example.org"], ["e@example.net"])):
            content = messages.make(10 + number, 300)
            assert client.envelope(f"a{number}@example.com", *recipients).code == 250
            assert client.message(content).code == 250
            sent.append((messages.digest(content), recipients))
        assert client.command("MAIL FROM:<a@example.com>").code == 250
        assert client.command("RSET").code == 250
        client.quit()
    assert [(entry["sha256"], entry["recipients"]) for entry in lab.ledger()[-3:]] == sent


def test_one_byte_a_segment_and_the_whole_message_at_once(lab):
    content = messages.make(20, 400)
    with _rcpt_done(lab, TRUSTED + "10") as client:
        client.sock.setsockopt(smtp.socket.IPPROTO_TCP, smtp.socket.TCP_NODELAY, 1)
        for byte in b"DATA\r\n":
            client.send(bytes([byte]))
        assert client.reply().code == 354
        for byte in smtp.wire(content):
            client.send(bytes([byte]))
        assert client.reply().code == 250
    assert lab.ledger()[-1]["sha256"] == messages.digest(content)


def test_a_line_without_cr_ends_nothing(lab, network):
    with lab.client(network + "5") as client:
        client.reply()
        client.send("EHLO a.greyline.test\nMAIL FROM:<a@example.com>\n")
        client.sock.settimeout(1.0)
        with pytest.raises(smtp.Lost):
            client.reply()
        client.sock.settimeout(10)
        client.send("\r\n")
        assert client.reply().code in (500, 501)


def test_an_overlong_line_is_thrown_away_whole(lab, network):
    with lab.client(network + "5") as client:
        client.hello()
        client.send(b"NOOP " + b"x" * 3000 + b"\r\n")
        assert client.reply().code == 500
        assert client.command("NOOP").code == 250


def test_a_message_beyond_the_limit_is_refused(lab):
    with lab.client(TRUSTED + "11") as client:
        client.hello()
        assert client.command(f"MAIL FROM:<a@example.com> SIZE={2**40}").code == 552


# Every way to end a message that is not CR LF . CR LF, each with a second message behind it.
SMUGGLING = {
    "LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CR": b"\r.\r", "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r", "LF.CR": b"\n.\r", "CR.LF": b"\r.\n", "CRLF.NUL.CRLF": b"\r\n.\0\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n", "CRLFNUL.CRLF": b"\r\n\0.\r\n", "LFLF.CRLF": b"\n\n.\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling(lab, name):
    """The second message must never exist, and nothing but canonical bytes may reach the backend."""
    before = len(lab.ledger())
    smuggled = (b"From: a@example.com\r\nSubject: first\r\n\r\nfirst" + SMUGGLING[name] +
                b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
                b"From: admin@example.org\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n")
    with _rcpt_done(lab, TRUSTED + "12") as client:
        assert client.command("DATA").code == 354
        client.send(smuggled)
        reply = client.reply()
        # bare_newline: reject is the default: the whole of it is one refused message.
        assert reply.code == 550 and "bare" in reply.text, reply
        assert client.command("NOOP").code == 250
        client.quit()
    assert len(lab.ledger()) == before


# ---- what is said about it -----------------------------------------------------------------------------------

def test_every_refusal_can_be_explained(lab):
    source = LISTED + "6"
    reply = lab.ask(source, "a@example.com", "b@example.org")
    told = lab.ctl_json("explain", reply.explain_id)
    assert told["rule"] == "dnsbl"
    assert source in str(told) and "bl.greyline.test" in str(told)
    assert reply.explain_id in lab.ctl("explain", reply.explain_id)


def test_greylinectl_shows_what_is_known_of_a_client(lab):
    source = LISTED + "7"
    lab.ask(source, "a@example.com", "b@example.org")
    shown = str(lab.ctl_json("client", "show", source))
    assert "bl.greyline.test" in shown and "listed" in shown.lower()


@pytest.mark.parametrize("command", [["status"], ["zones"], ["backends"], ["policy", "versions"], ["grey", "list"]])
def test_each_command_speaks_to_people_and_to_programs(lab, command):
    assert lab.ctl(*command).strip()
    assert isinstance(lab.ctl_json(*command), (dict, list))


def test_the_log_groups_a_session(lab, network):
    reply = lab.ask(network + "5", "a@example.com", "b@example.org")
    event = lab.wait_for_event(event="rcpt", client=network + "5")
    assert event["id"] == reply.explain_id and event["sender"] == "a@example.com"
    assert event["recipient"] == "b@example.org" and event["code"] == 451
    end = lab.wait_for_event(event="session", client=network + "5")
    assert end["session"] == event["session"]
    assert os.path.getsize(lab.env()["GL_LOG"]) > 0
