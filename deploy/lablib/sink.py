#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small SMTP server that keeps every message byte for byte, and misbehaves when told to.

    DIRECTORY/N.eml         message N: what came between DATA and the dot, dot-stuffing undone
    DIRECTORY/ledger.jsonl  one line a message, written before its 250: SHA-256, envelope, XCLIENT, peer
    DIRECTORY/behave.json   what to do other than well, read anew at each step; no file: nothing

behave.json holds an object by stage (connect, ehlo, xclient, mail, rcpt, data, end, quit), each
    {"reply": "451 4.3.0 not now"}        answer this; a stage's work is not done unless it begins with 2 or 3
    {"delay": 2.5}                        answer so much later
    {"hang": true}                        never answer
    {"close": true}                       close the connection; {"reset": true}: with a RST
and beside the stages
    "ehlo_keywords": ["PIPELINING", ...]  what EHLO offers
    "proxy": true                         a PROXY v2 header comes before the greeting
    "data_rate": 100000                   read a message no faster, in bytes a second
"""

import argparse
import asyncio
import hashlib
import ipaddress
import json
import os
import socket
import struct
import sys
import time

KEYWORDS = ["PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES",
            "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"]
LINE_MAX = 4096
PROXY_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


class Closed(Exception):
    """The session is over."""


class Store:
    """Messages on disk and their ledger."""

    def __init__(self, directory):
        self.directory = directory
        self.number = sum(1 for name in os.listdir(directory) if name.endswith(".eml"))
        self.behave_path = os.path.join(directory, "behave.json")
        self.ledger = os.open(os.path.join(directory, "ledger.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def behave(self):
        try:
            with open(self.behave_path, encoding="utf-8") as file:
                return json.load(file)
        except (FileNotFoundError, ValueError):
            return {}

    def begin(self):
        self.number += 1
        path = os.path.join(self.directory, f"{self.number}.part")
        return self.number, path

    def keep(self, number, path, entry):
        os.rename(path, os.path.join(self.directory, f"{number}.eml"))
        os.write(self.ledger, (json.dumps({"file": f"{number}.eml", **entry}) + "\n").encode())


class Data:
    """Undoes dot-stuffing and finds the only end, CR LF . CR LF, in a stream cut anywhere."""

    def __init__(self):
        self.buffer = b"\r\n"  # the line before the first one ended
        self.skip = 2          # and is not part of the message

    def _out(self, piece):
        piece = piece.replace(b"\r\n..", b"\r\n.")
        cut, self.skip = piece[self.skip:], max(0, self.skip - len(piece))
        return cut

    def feed(self, chunk):
        """Returns (message bytes, rest after the end or None)."""
        self.buffer += chunk
        end = self.buffer.find(b"\r\n.\r\n")
        if end >= 0:
            return self._out(self.buffer[:end + 2]), self.buffer[end + 5:]
        cut = max(len(self.buffer) - 4, 0)
        line_end = self.buffer.rfind(b"\r", max(cut - 3, 0), cut)
        if line_end >= 0:
            cut = line_end
        piece, self.buffer = self.buffer[:cut], self.buffer[cut:]
        return self._out(piece), None


class Session:
    def __init__(self, store, reader, writer):
        self.store = store
        self.reader = reader
        self.writer = writer
        self.pending = b""
        self.helo = ""
        self.xclient = {}
        self.reset()

    def reset(self):
        self.sender = None
        self.mail_options = ""
        self.recipients = []

    async def read(self):
        chunk = await self.reader.read(65536)
        if not chunk:
            raise Closed
        return chunk

    async def line(self):
        while b"\r\n" not in self.pending:
            if len(self.pending) > LINE_MAX:
                raise Closed
            self.pending += await self.read()
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    async def answer(self, stage, text):
        """Answer, or do what behave.json says of this stage. Returns whether the stage's work is to be done."""
        rule = self.store.behave().get(stage, {})
        if rule.get("delay"):
            await asyncio.sleep(rule["delay"])
        if rule.get("hang"):
            await asyncio.sleep(3600)
        if rule.get("reset"):
            self.writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if rule.get("reset") or rule.get("close"):
            raise Closed
        text = rule.get("reply", text)
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()
        return text[:1] in "23"

    async def proxy_header(self):
        head = await self.reader.readexactly(16)
        if head[:12] != PROXY_SIGNATURE:
            raise Closed
        rest = await self.reader.readexactly(struct.unpack("!H", head[14:16])[0])
        size = 4 if head[13] >> 4 == 1 else 16
        self.xclient = {"PROXY": str(ipaddress.ip_address(rest[:size])),
                        "PORT": str(struct.unpack("!H", rest[2 * size:2 * size + 2])[0])}

    async def run(self):
        if self.store.behave().get("proxy"):
            await self.proxy_header()
        await self.answer("connect", "220 sink.greyline.test ESMTP")
        while True:
            line = await self.line()
            verb, _, rest = line.partition(" ")
            handler = getattr(self, "do_" + verb.lower(), None) if verb.isalpha() else None
            if handler is None:
                await self.answer("unknown", "502 5.5.2 command not known")
            else:
                await handler(rest)

    async def do_ehlo(self, rest):
        keywords = self.store.behave().get("ehlo_keywords", KEYWORDS)
        lines = ["sink.greyline.test", *keywords]
        text = "\r\n".join("250" + ("-" if i < len(lines) - 1 else " ") + line for i, line in enumerate(lines))
        if await self.answer("ehlo", text):
            self.helo = rest
            self.reset()

    async def do_helo(self, rest):
        if await self.answer("ehlo", "250 sink.greyline.test"):
            self.helo = rest
            self.reset()

    async def do_xclient(self, rest):
        if await self.answer("xclient", "220 sink.greyline.test ESMTP"):
            self.xclient = dict(part.partition("=")[::2] for part in rest.split())
            self.reset()

    async def do_mail(self, rest):
        if self.sender is not None:
            await self.answer("unknown", "503 5.5.1 sender given already")
            return
        path, _, options = rest.partition(">")
        if await self.answer("mail", "250 2.1.0 ok"):
            self.sender = path.partition("<")[2]
            self.mail_options = options.strip()

    async def do_rcpt(self, rest):
        if self.sender is None:
            await self.answer("unknown", "503 5.5.1 MAIL first")
        elif await self.answer("rcpt", "250 2.1.5 ok"):
            self.recipients.append(rest.partition("<")[2].partition(">")[0])

    async def do_data(self, _rest):
        if not self.recipients:
            await self.answer("unknown", "503 5.5.1 RCPT first")
            return
        if await self.answer("data", "354 go on"):
            await self.message()

    async def message(self):
        number, path = self.store.begin()
        digest, size, bare, last = hashlib.sha256(), 0, 0, b""
        data = Data()
        rate = self.store.behave().get("data_rate")
        chunk, rest = self.pending, None
        self.pending = b""
        try:
            with open(path, "wb") as file:
                while True:
                    piece, rest = data.feed(chunk)
                    digest.update(piece)
                    size += len(piece)
                    seen = last + piece
                    pairs = seen.count(b"\r\n")
                    bare += seen.count(b"\n") - pairs + seen[:-1].count(b"\r") - pairs
                    last = piece[-1:] if piece[-1:] == b"\r" else b""
                    file.write(piece)
                    if rest is not None:
                        break
                    chunk = await self.read()
                    if rate:
                        await asyncio.sleep(len(chunk) / rate)
        except BaseException:
            os.unlink(path)
            raise
        self.pending = rest
        rule = self.store.behave().get("end", {})
        refused = rule.get("reply", "250")[:1] != "2" or rule.get("hang") or rule.get("close") or rule.get("reset")
        if refused:
            os.unlink(path)
        else:
            self.store.keep(number, path, {
                "sha256": digest.hexdigest(), "bytes": size, "bare": bare, "sender": self.sender,
                "options": self.mail_options, "recipients": self.recipients, "helo": self.helo,
                "xclient": self.xclient, "peer": self.writer.get_extra_info("peername")[0], "time": time.time()})
        self.reset()
        await self.answer("end", f"250 2.0.0 kept as {number}")

    async def do_rset(self, _rest):
        self.reset()
        await self.answer("rset", "250 2.0.0 ok")

    async def do_noop(self, _rest):
        await self.answer("noop", "250 2.0.0 ok")

    async def do_quit(self, _rest):
        await self.answer("quit", "221 2.0.0 bye")
        raise Closed


async def serve(listen, port, directory):
    store = Store(directory)

    async def session(reader, writer):
        try:
            await Session(store, reader, writer).run()
        except (Closed, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(session, address, port, limit=1 << 18, backlog=1024) for address in listen]
    print("READY", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main():
    parser = argparse.ArgumentParser(description="an SMTP server that stores what it gets")
    parser.add_argument("--listen", required=True, help="addresses, with commas between them")
    parser.add_argument("--port", type=int, default=25)
    parser.add_argument("--directory", required=True)
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.listen.split(","), options.port, options.directory))
    except OSError as error:
        sys.exit(f"sink: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
