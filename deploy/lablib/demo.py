# SPDX-License-Identifier: Apache-2.0
"""`deploy/lab demo`: good and bad mail from real clients to a whole appliance, and what became of each.

Each step sends something and says what must come of it: the code, the rule that decided, and whether the
backend has the message. The rule and the evidence are read from the appliance's own log by the id in the
reply; what the backend has is told by SHA-256. A row is right only if all of it is as it should be.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import smtplib
import subprocess
import textwrap
import time

from . import appliance
from . import lab
from . import mail
from . import names as n
from . import netns
from . import smtp

TOTAL_SEC = 280      # the demo ends itself before five minutes are over
BLOCK_SEC = 8        # as in demo.yaml
ALICE, BOB = "alice@example.com", "bob@example.org"


class Row:
    """One line of the table."""

    def __init__(self, client, sender, recipient, did, want_code, want_rule, want_delivered):
        self.client = client
        self.sender = sender
        self.recipient = recipient
        self.did = did
        self.want_code = want_code
        self.want_rule = want_rule
        self.want_delivered = want_delivered
        self.code = 0
        self.answer = ""
        self.evidence = ""
        self.rule = None
        self.digest = None      # of the message sent; None: it never got so far
        self.copies = 0
        self.event = None

    def is_right(self):
        return (self.code == self.want_code and self.rule == self.want_rule
                and self.copies == (1 if self.want_delivered else 0))

    def told(self, code, text):
        self.code = code
        self.answer = f"{code} {text}"


def make_message(number, size):
    """A message that is known again by its SHA-256, with dots at line starts and no two alike."""
    head = (f"From: <{ALICE}>\r\nTo: <{BOB}>\r\nSubject: demo {number}\r\n"
            f"Message-ID: <demo.{number}.{os.getpid()}@client.greyline.test>\r\n"
            "Date: Tue, 24 Nov 2026 04:00:00 +0000\r\n\r\n").encode()
    line = b".a line that begins with a dot\r\n..and one with two\r\n" + b"x" * 900 + b"\r\n"
    return head + line * max(1, (size - len(head)) // len(line))


class Demo:
    def __init__(self, names):
        self.names = names
        self.rows = []
        self.number = 0
        self.began = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)

    # ---- the clients. Each returns the code and the text of the reply that decided.

    def _row(self, *args):
        row = Row(*args)
        self.rows.append(row)
        self.say(f"{row.client}: {row.did}")
        return row

    def swaks(self, source, did, code, rule, delivered, sender=ALICE, recipient=BOB):
        """The Swiss army knife of SMTP, as an administrator would try it."""
        row = self._row(source, sender, recipient, did + ", by swaks", code, rule, delivered)
        self.number += 1
        content = make_message(self.number, 3000)
        path = os.path.join(self.names.state, "swaks.eml")
        with open(path, "wb") as file:
            file.write(content[:-2])  # swaks ends the last line itself
        front = n.FRONT6[0] if ":" in source else n.FRONT4[0]
        argv = ["ip", "netns", "exec", self.names.client_ns, "swaks", "--server", front, "--local-interface", source,
                "--from", sender, "--to", recipient, "--ehlo", "client.greyline.test", "--data", "@" + path,
                "--timeout", "30s", *(["-6"] if ":" in source else [])]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        replies = [line[4:].strip() for line in done.stdout.splitlines() if line.startswith(("<-", "<*"))]
        replies = [line for line in replies if re.match(r"[2-5]\d\d ", line)]
        refused = [line for line in replies if line[0] in "45"]
        last = refused[0] if refused else (replies[-2] if len(replies) > 1 else "000 no answer")
        row.told(int(last[:3]), last[4:])
        row.digest = hashlib.sha256(content).hexdigest() if "354" in " ".join(line[:3] for line in replies) else None
        return row

    def connect(self, source):
        front = n.FRONT6[0] if ":" in source else n.FRONT4[0]
        return smtp.Client(self.names.client_ns, front, source=source, timeout=30)

    def dialogue(self, row, talk):
        """A hand-made client: talk(client) returns the reply that decides."""
        try:
            with contextlib.closing(self.connect(row.client)) as client:
                reply = talk(client)
                row.told(reply.code, reply.text)
                if reply.code != 421:
                    with contextlib.suppress(smtp.Lost, OSError):
                        client.quit()
        except (smtp.Lost, OSError) as error:
            row.answer = f"no reply: {error}"
        return row

    def customer(self, source, size, did, sender, recipient):
        self.number += 1
        content = make_message(self.number, size)
        row = self._row(source, sender, recipient, did, 250, "trusted", True)
        row.digest = hashlib.sha256(content).hexdigest()

        def talk(client):
            reply = client.hello()
            if reply.code == 250:
                reply = client.envelope(sender, recipient)
            return client.message(content) if reply.code == 250 else reply

        return self.dialogue(row, talk)

    def postfix_queue(self, recipient):
        """Give a message to the sending Postfix. Returns its row; postfix_done() fills it in."""
        row = self._row(mail.SENDER4, ALICE, recipient, "a mail server: Postfix takes a message, is deferred, and "
                        "comes back by itself", 250, "accepted", True)
        self.number += 1
        content = make_message(self.number, 20000)
        lab.hold(self.names, "sender", False)
        deadline = time.monotonic() + 15
        while True:
            try:
                with netns.inside(self.names.client_ns):
                    client = smtplib.SMTP("127.0.0.1", mail.SENDER_PORT)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise lab.LabError("the sending Postfix does not answer") from None
                time.sleep(0.1)
        client.sendmail(ALICE, [recipient], content)
        client.quit()
        # It adds a Received line of its own, which is then part of what it sends.
        row.digest = hashlib.sha256(content).hexdigest()
        return row

    # ---- what became of it

    def events(self):
        path = appliance.log_path(self.names, 1)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8", errors="replace") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def find_event(self, row):
        """The log record of the reply: by its id, or for what was accepted by client and recipient."""
        found = re.search(r"\[([0-9A-Z]{16})\]", row.answer)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for event in reversed(self.events()):
                if found and event.get("id") == found.group(1):
                    return event
                if not found and event.get("client") == row.client and (
                        (row.code == 250 and event.get("event") == "rcpt" and event.get("code") == 250)
                        or (row.code != 250 and event.get("code") == row.code)):
                    return event
            time.sleep(0.1)
        return None

    def gather_evidence(self, row):
        event = self.find_event(row)
        if event is None:
            row.evidence = "nothing in the log"
            return
        row.rule = event.get("rule")
        parts = [event.get("rule_text") or row.rule or "?"]
        if event.get("zones"):
            parts.append("listed in " + ", ".join(event["zones"]))
        if event.get("ptr") and row.rule in ("ptr_missing", "ptr_unconfirmed"):
            parts.append(f"reverse name: {event['ptr']}")
        if event.get("grey") and event["grey"] not in ("none", "new"):
            parts.append(f"greylist: {event['grey']}")
        if event.get("trusted"):
            parts.append("network is trusted")
        if event.get("score"):
            parts.append(f"{event['score']} points")
        row.evidence = "; ".join(parts)

    def wait_for_postfix(self, row):
        self.say("waiting for Postfix to come back by itself")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            accepted = [event for event in self.events()
                        if event.get("client") == row.client and event.get("event") == "rcpt" and event["code"] == 250]
            if accepted:
                row.told(250, "2.1.5 after being deferred " + self._times_deferred(row))
                return
            time.sleep(0.3)
        row.answer = "it did not come back"

    def _times_deferred(self, row):
        times = sum(1 for event in self.events() if event.get("client") == row.client and event.get("code") == 451)
        return f"{times} time{'s' if times != 1 else ''}"

    def wait_for_mailbox(self):
        """Every message that should be there, and a moment for those that should not."""
        self.say("comparing what the backend's mailbox holds with what was sent")
        wanted = [row.digest for row in self.rows if row.want_delivered]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not set(wanted) <= set(self.stored()):
            time.sleep(0.2)
        stored = self.stored()
        for row in self.rows:
            row.copies = stored.count(row.digest) if row.digest else 0
        return len(stored) - len(wanted)

    def stored(self):
        return mail.digests(self.names)

    # ---- the table

    def table(self, surplus):
        width = max(110, min(shutil.get_terminal_size((150, 40)).columns, 170))
        heads = ["client", "from, to", "what it did", "what it was told", "decided by, on which evidence", "backend", ""]
        fixed = [18, 18, 0, 0, 0, 13, 5]
        rest = (width - sum(fixed) - 3 * (len(heads) - 1)) // 3
        widths = [size or rest for size in fixed]

        def show(cells):
            wrapped = [textwrap.wrap(cell, size, break_on_hyphens=False) or [""] for cell, size in zip(cells, widths)]
            for index in range(max(map(len, wrapped))):
                print(" | ".join((cell[index] if index < len(cell) else "").ljust(size)
                                 for cell, size in zip(wrapped, widths)).rstrip())

        rule = "-+-".join("-" * size for size in widths)
        print()
        show(heads)
        for row in self.rows:
            print(rule)
            if row.copies:
                backend = "has it, SHA-256 equal" if row.copies == 1 else f"has it {row.copies} times"
            else:
                backend = "nothing" if not row.want_delivered else "MISSING"
            show([row.client, f"{row.sender or '-'} {row.recipient or '-'}", row.did, row.answer, row.evidence, backend,
                  "ok" if row.is_right() else "WRONG"])
        print(rule)
        if surplus:
            print(f"The backend holds {surplus} message(s) that it should not have, or lacks some.")
        for row in self.rows:
            if not row.is_right():
                print(f"WRONG: {row.client} {row.did}: wanted {row.want_code} by {row.want_rule}, "
                      f"got {row.code or 'nothing'} by {row.rule}, copies in the mailbox: {row.copies}")

    # ---- the story

    def play(self):
        first, listed = "198.18.100.5", "198.18.10.5"
        postfix = self.postfix_queue("postfix@example.org")
        self.swaks(first, "first message ever", 451, "greylist_new", False)
        first_at = time.monotonic()
        self.swaks(first, "tries again at once", 451, "greylist_wait", False)
        self.swaks("2001:2:0:5::5", "first message, over IPv6", 451, "greylist_new", False)
        ipv6_at = time.monotonic()
        self.swaks(listed, "is on a blocklist", 554, "dnsbl", False)
        self.swaks("198.18.66.5", "has no reverse DNS name", 554, "ptr_missing", False)
        self.swaks("198.18.11.5", "has a bad name on a list that gives points", 554, "score_high", False)
        self.swaks("198.18.91.5", "is on the operator's deny list", 554, "deny_list", False)
        self.swaks("198.18.101.5", "wants to relay to another domain", 550, "relay_denied", False,
                   recipient="victim@elsewhere.test")
        self.early_talker("198.18.102.5")
        self.smuggler("198.18.90.6")
        self.unknown_user("198.18.90.7")
        self.customer("198.18.90.5", 4000, "own customer: no greylist", "customer@example.com", "carol@example.net")
        self.customer("198.18.90.8", 20_000_000, "own customer: a message of 20 MB", "customer@example.com", BOB)
        self.pause_until(first_at + BLOCK_SEC + 0.5)
        self.swaks(first, f"tries again after {BLOCK_SEC} s", 250, "accepted", True)
        self.pause_until(ipv6_at + BLOCK_SEC + 0.5)
        self.swaks("2001:2:0:5::99", f"another host of the same /64, after {BLOCK_SEC} s", 250, "accepted", True)
        self.swaks(first, "next message: it is known now", 250, "accepted", True)
        self.wait_for_postfix(postfix)

    def pause_until(self, at):
        left = at - time.monotonic()
        if left > 0:
            self.say(f"waiting {left:.1f} s, as a mail server's queue does")
            time.sleep(left)

    def early_talker(self, source):
        row = self._row(source, "", "", "talks before the greeting, as spam programs do", 554, "pregreet", False)

        def talk(client):
            client.send("EHLO bot.example.com\r\nMAIL FROM:<bot@example.com>\r\n")
            return client.reply()

        self.dialogue(row, talk)

    def smuggler(self, source):
        row = self._row(source, ALICE, BOB, "hides a second message behind LF . CR LF (SMTP smuggling)", 550,
                        "bare_newline", False)

        def talk(client):
            client.hello()
            client.envelope(ALICE, BOB)
            client.command("DATA")
            content = (b"Subject: first\r\n\r\nfirst\n.\r\nMAIL FROM:<admin@example.org>\r\nRCPT TO:<bob@example.org>\r\n"
                       b"DATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n")
            client.send(content)
            return client.reply()

        self.dialogue(row, talk)

    def unknown_user(self, source):
        row = self._row(source, ALICE, "unknown@example.org", "a user that the backend does not know", 550,
                        "backend_refused", False)

        def talk(client):
            client.hello()
            return client.envelope(ALICE, "unknown@example.org")

        self.dialogue(row, talk)


def run(names, build):
    """The whole demo. Returns the exit code."""
    demo = Demo(names)
    demo.say("installing what is missing, and building (the first time takes a few minutes)")
    options = {
        "policy": os.path.join(n.REPOSITORY, "deploy", "demo.yaml"), "workers": 1, "users": True, "backend": "postfix",
        "redis": False, "nodes": 1, "dns": "lab", "restart": True, "appliance": True, "keep": False, "build": build()}
    demo.say("bringing up the appliance, its clients, DNS, blocklists and a Postfix as the backend")
    lab.up(names, options)
    try:
        demo.say(f"up: port 25 answers on {n.FRONT4[0]} and {n.FRONT6[0]}; clients are in {names.client_ns}")
        demo.play()
        for row in demo.rows:
            demo.gather_evidence(row)
        surplus = demo.wait_for_mailbox()
        demo.table(surplus)
    finally:
        demo.say("taking everything down")
        lab.down(names)
    right = sum(row.is_right() for row in demo.rows)
    print(f"\n{right} of {len(demo.rows)} rows are as they should be; {time.monotonic() - demo.began:.0f} s.")
    return 0 if right == len(demo.rows) and surplus == 0 else 1
