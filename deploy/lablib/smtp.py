# SPDX-License-Identifier: Apache-2.0
"""An SMTP client for tests and the demo: sends exactly the bytes it is told, and shows every reply.

smtplib would mend what tests want to be broken (bare newlines, early talk), hence this.
"""

import re
import socket
import time

from . import netns


class Lost(Exception):
    """The connection ended where a reply was due. `text` holds what came before the end."""

    def __init__(self, how, text=b""):
        super().__init__(f"{how}{': ' + repr(text) if text else ''}")
        self.how = how
        self.text = text


class Reply:
    """One reply: its code, its lines without the code, and how long it took."""

    def __init__(self, code, lines, seconds):
        self.code = code
        self.lines = lines
        self.seconds = seconds

    @property
    def text(self):
        return " ".join(self.lines)

    @property
    def explain_id(self):
        found = re.search(r"\[([0-9A-Z]{16})\]", self.text)
        return found.group(1) if found else None

    def __repr__(self):
        return f"{self.code} {' / '.join(self.lines)}"


class Client:
    """A connection to port 25, made in the client namespace from the source address given."""

    def __init__(self, ns, address, source=None, timeout=20, port=25):
        self.sock = netns.connect(ns, address, port, source=source, timeout=timeout)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """The next reply."""
        began = time.monotonic()
        lines = []
        while True:
            line = self._line(began)
            if not re.fullmatch(rb"[2-5][0-9][0-9]([ -].*)?", line):
                raise Lost("not an SMTP reply", line)
            lines.append(line[4:].decode("ascii"))
            if line[3:4] != b"-":
                return Reply(int(line[:3]), lines, time.monotonic() - began)

    def _line(self, began):
        while b"\r\n" not in self.pending:
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                raise Lost(f"no reply within {time.monotonic() - began:.1f} s", self.pending) from None
            except ConnectionError as error:
                raise Lost(str(error), self.pending) from None
            if not data:
                raise Lost("closed", self.pending)
            self.pending += data
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line

    def is_closed(self, timeout=10):
        """Does the other side end the connection within the time, without another byte?"""
        self.sock.settimeout(timeout)
        try:
            return self.pending == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def command(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def hello(self, name="client.greyline.test"):
        """Wait for the greeting, say EHLO. Returns the reply to EHLO, or to the greeting if that refuses."""
        greeting = self.reply()
        if greeting.code != 220:
            return greeting
        return self.command("EHLO " + name)

    def envelope(self, sender, *recipients):
        """MAIL and RCPTs one by one. Returns the last reply, or the first that refuses."""
        reply = self.command(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            if reply.code >= 400:
                return reply
            reply = self.command(f"RCPT TO:<{recipient}>")
        return reply

    def message(self, content):
        """DATA and the message, dot-stuffed. Returns the reply to DATA if it refuses, else to the dot."""
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        self.send(wire(content))
        return self.reply()

    def quit(self):
        reply = self.command("QUIT")
        self.close()
        return reply


def wire(content):
    """A message as it goes over the wire: dot-stuffed, with its end. It must end in CR LF or be empty."""
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    return stuffed + b".\r\n"
