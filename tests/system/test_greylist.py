# SPDX-License-Identifier: Apache-2.0
"""The greylist for real, with short times: waiting, passing, forgetting, and what restarts keep of it."""

import os
import re
import smtplib
import time

from lablib import mail
from lablib import netns

import labs
import messages
from policies import BLOCK_SEC, TRUSTED, WINDOW_SEC, policy

LAB = {"policy": policy(domains="{example.org: {pool: main}, example.net: {pool: main, policy: patient}, "
                                "open.example.org: {pool: main, policy: open}}",
                        more_policies="""patient: {greylist: {block: 1h, window: 6h}}
    open: {greylist: {enabled: false}}""")}

SENDER, RECIPIENT = "alice@example.com", "bob@example.org"


def _seconds(reply):
    found = re.match(r"4\.7\.1 Greylisted, please try again in (\d+) seconds \[", reply.text)
    assert reply.code == 451 and found, reply
    return int(found.group(1))


def test_a_retry_passes_after_the_block_period_and_the_message_arrives_whole(lab, network):
    content = messages.make(1, 5000)
    source = network + "5"
    began = time.monotonic()
    assert _seconds(lab.ask(source, SENDER, RECIPIENT)) == BLOCK_SEC
    assert 1 <= _seconds(lab.ask(source, SENDER, RECIPIENT)) <= BLOCK_SEC
    assert time.monotonic() - began < BLOCK_SEC, "this machine is too slow for the test"
    time.sleep(BLOCK_SEC)
    # Another host of the same network is the same client.
    assert lab.deliver(network + "6", SENDER, RECIPIENT, content).code == 250
    labs.wait_until(lambda: messages.digest(content) in lab.digests(), 10, "the message is in the mailbox")
    # And is remembered, far beyond the window.
    assert lab.ask(source, SENDER, RECIPIENT).code == 250


def test_every_triplet_waits_for_itself(lab, network):
    assert lab.ask(network + "5", SENDER, RECIPIENT).code == 451
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask(network + "5", "other@example.com", RECIPIENT).code == 451
    assert lab.ask(network + "5", SENDER, "other@example.org").code == 451
    assert lab.ask(labs.fresh_network() + "5", SENDER, RECIPIENT).code == 451
    assert lab.ask(network + "5", "", RECIPIENT).code == 451
    assert lab.ask(network + "5", SENDER, RECIPIENT).code == 250


def test_a_retry_after_the_window_starts_again(lab, network):
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT).code == 451
    time.sleep(WINDOW_SEC + 1.2)
    assert _seconds(lab.ask(source, SENDER, RECIPIENT)) >= BLOCK_SEC - 1
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask(source, SENDER, RECIPIENT).code == 250


def test_ipv6_clients_are_known_by_their_64(lab):
    network = labs.fresh_network6()
    assert lab.ask(network + "1", SENDER, RECIPIENT).code == 451
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask(network + "abcd:2", SENDER, RECIPIENT).code == 250


def test_a_domain_has_its_own_times(lab, network):
    assert _seconds(lab.ask(network + "5", SENDER, "bob@example.net")) in (3599, 3600)
    assert lab.ask(network + "5", SENDER, "bob@open.example.org").code == 250


def test_a_pool_of_hosts_passes_as_one(lab):
    """out1 to out20.mail.sender.test have confirmed names of one domain, in one /24; IPv4 prefixes aside."""
    assert lab.ask("198.18.20.1", SENDER, "pool@example.org").code == 451
    time.sleep(BLOCK_SEC + 0.2)
    assert lab.ask("198.18.20.2", SENDER, "pool@example.org").code == 250


def test_the_operator_may_pass_and_remove(lab, network):
    source = network + "5"
    triplet = ["--client", source, "--sender", SENDER, "--recipient", RECIPIENT]
    assert lab.ask(source, SENDER, RECIPIENT).code == 451
    lab.ctl("grey", "pass", *triplet)
    assert lab.ask(source, SENDER, RECIPIENT).code == 250
    assert SENDER in lab.ctl("grey", "list", "--sender", SENDER)
    lab.ctl("grey", "remove", *triplet)
    assert lab.ask(source, SENDER, RECIPIENT).code == 451


def test_the_trusted_leave_no_trace_in_the_greylist(lab):
    assert lab.ask(TRUSTED + "5", SENDER, "trusted@example.org").code == 250
    assert "trusted@example.org" not in lab.ctl("grey", "list", "--sender", SENDER)


def _first(lab, source):
    """When the wait of the triplet began, as the table has it."""
    return lab.ctl_json("grey", "show", "--client", source, "--sender", SENDER, "--recipient", RECIPIENT)["first"]


def test_a_restart_of_both_programs_keeps_what_was_known(lab, network):
    passed, waiting = network + "5", labs.fresh_network() + "5"
    assert lab.ask(passed, SENDER, RECIPIENT).code == 451
    time.sleep(BLOCK_SEC + 0.2)
    # A delivery is remembered beyond the window, however long the restarts take.
    assert lab.deliver(passed, SENDER, RECIPIENT, messages.make(6, 300)).code == 250
    assert lab.ask(waiting, SENDER, RECIPIENT).code == 451
    first = _first(lab, waiting)
    lab.kill("dataplane1")
    lab.kill("control1")
    lab.wait_for_port_25()
    lab.wait_for_control()
    assert lab.ask(passed, SENDER, RECIPIENT).code == 250
    assert _first(lab, waiting) == first


def test_a_reboot_keeps_what_the_snapshot_holds(lab, network):
    """Without the tables in memory, as after a reboot, the snapshot of an orderly end is all there is."""
    source = network + "5"
    assert lab.ask(source, SENDER, RECIPIENT).code == 451
    time.sleep(BLOCK_SEC + 0.2)
    # What is remembered beyond the window is a delivery.
    assert lab.deliver(source, SENDER, RECIPIENT, messages.make(5, 300)).code == 250
    lab.stop("dataplane1")
    lab.stop("control1")
    for table in ("grey", "client"):
        os.unlink(os.path.join(lab.names.node_run(1), table))
    lab.start("control1")
    lab.start("dataplane1")
    lab.wait_for_port_25()
    assert lab.ask(source, SENDER, RECIPIENT).code == 250


def test_postfix_as_a_client_delivers_by_itself(lab):
    lab.start("sender")
    content = messages.make(77, 20000)
    with netns.inside(lab.names.client_ns):
        sock = labs.wait_until(lambda: _connect(mail.SENDER_PORT), 10, "the sending Postfix answers")
    sock.sendmail(SENDER, ["postfix@example.org"], content)
    sock.quit()

    def events():
        return [event for event in lab.events()
                if event.get("recipient") == "postfix@example.org" and event.get("event") == "rcpt"]

    labs.wait_until(lambda: any(event["code"] == 250 for event in events()), 40, "Postfix came back and passed")
    assert events()[0]["code"] == 451 and events()[0]["client"] == mail.SENDER4
    # Postfix puts its own Received line in front; what it was given follows unchanged.
    labs.wait_until(lambda: any(body.endswith(content.partition(b"\r\n")[2]) for body in _bodies(lab)), 20,
                    "the message is in the mailbox")


def _connect(port):
    try:
        return smtplib.SMTP("127.0.0.1", port)
    except OSError:
        return None


def _bodies(lab):
    new = os.path.join(mail.maildir(lab.names), "all", "new")
    for name in os.listdir(new) if os.path.isdir(new) else []:
        with open(os.path.join(new, name), "rb") as file:
            yield file.read().replace(b"\n", b"\r\n")
