#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Load on one appliance, from inside the client namespace, until SIGTERM; then a summary as JSON on stdout.

Three kinds of clients at once:
    newcomers  `--rate` a second, each from an address never used before, up to the verdict about a recipient
    holders    `--open` sessions that stay: EHLO, then a NOOP now and then
    senders    `--data` clients of the trusted network, each with a message on its way all the time, sent slowly

The summary tells of every session that did not end as its client ended it, and of every message whether the
dot was sent and whether a 250 came back, with its SHA-256.
"""

import argparse
import asyncio
import hashlib
import ipaddress
import json
import os
import random
import signal
import sys
import time

NEWCOMERS = ipaddress.ip_network("198.18.128.0/17")
HOLDERS = ipaddress.ip_network("198.18.96.0/22")
TRUSTED = ipaddress.ip_network("198.18.90.0/24")
NOOP_SEC = 8.0
PIECES = 20  # of a message that is sent slowly


class Lost(Exception):
    pass


class Session:
    """One connection and how long its slowest reply took."""

    def __init__(self, front, source, patience):
        self.front = front
        self.source = source
        self.patience = patience
        self.slowest = 0.0
        self.reader = self.writer = None

    async def open(self):
        try:
            self.reader, self.writer = await asyncio.wait_for(
                asyncio.open_connection(self.front, 25, local_addr=(self.source, 0)), self.patience)
        except (OSError, asyncio.TimeoutError) as error:
            raise Lost(f"connect: {error or 'timeout'}") from None

    async def reply(self, what):
        began = time.monotonic()
        try:
            while True:
                line = await asyncio.wait_for(self.reader.readline(), self.patience)
                if not line.endswith(b"\r\n"):
                    raise Lost(f"{what}: closed")
                if line[3:4] != b"-":
                    break
        except asyncio.TimeoutError:
            raise Lost(f"{what}: no reply in {self.patience} s") from None
        except OSError as error:
            raise Lost(f"{what}: {error}") from None
        self.slowest = max(self.slowest, time.monotonic() - began)
        return int(line[:3])

    async def command(self, line):
        try:
            self.writer.write(line.encode() + b"\r\n")
            return await self.reply(line.split()[0])
        except OSError as error:
            raise Lost(f"{line.split()[0]}: {error}") from None

    async def hello(self):
        code = await self.reply("greeting")
        if code == 220:
            code = await self.command("EHLO load.greyline.test")
        return code

    async def send(self, data):
        try:
            self.writer.write(data)
            await asyncio.wait_for(self.writer.drain(), self.patience)
        except asyncio.TimeoutError:
            raise Lost("message: the window stayed closed") from None
        except OSError as error:
            raise Lost(f"message: {error}") from None

    def close(self):
        if self.writer is not None:
            self.writer.close()


class Load:
    def __init__(self, options):
        self.options = options
        self.stop = asyncio.Event()
        self.tasks = set()
        self.codes = {}
        self.lost = []
        self.slowest = 0.0
        self.started = self.finished = self.held = 0
        self.messages = []
        self.number = random.randrange(NEWCOMERS.num_addresses)
        self.serial = 0

    def note_lost(self, kind, session, error):
        self.lost.append({"kind": kind, "source": session.source, "why": str(error), "at": time.time()})

    def spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def newcomer(self):
        # Neighbours in time are far apart in address: the networks of a greylist see few clients each.
        self.number = (self.number + 7919) % NEWCOMERS.num_addresses
        self.serial += 1
        session = Session(self.options.front, str(NEWCOMERS[self.number]), self.options.patience)
        self.started += 1
        try:
            await session.open()
            code = await session.hello()
            if code == 250:
                code = await session.command(f"MAIL FROM:<load{self.serial}@example.com>")
            if code == 250:
                code = await session.command("RCPT TO:<someone@example.org>")
            if code != 421:
                await session.command("QUIT")
            self.codes[code] = self.codes.get(code, 0) + 1
        except Lost as error:
            self.note_lost("newcomer", session, error)
        finally:
            self.finished += 1
            self.slowest = max(self.slowest, session.slowest)
            session.close()

    async def newcomers(self):
        began = time.monotonic()
        for number in range(sys.maxsize):
            wait = began + number / self.options.rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if self.stop.is_set():
                return
            self.spawn(self.newcomer())

    async def pause(self, seconds):
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def holder(self, index):
        await self.pause(index * 0.01)
        while not self.stop.is_set():
            session = Session(self.options.front, str(HOLDERS[1 + index]), self.options.patience)
            try:
                await session.open()
                code = await session.hello()
                if code != 250:
                    raise Lost(f"EHLO: {code}")
                self.held += 1
                try:
                    while not self.stop.is_set():
                        await self.pause(NOOP_SEC)
                        code = await session.command("NOOP")
                        if code != 250:
                            raise Lost(f"NOOP: {code}")
                finally:
                    self.held -= 1
                await session.command("QUIT")
            except Lost as error:
                self.note_lost("holder", session, error)
                await self.pause(1.0)
            finally:
                self.slowest = max(self.slowest, session.slowest)
                session.close()

    async def sender(self, index):
        while not self.stop.is_set():
            session = Session(self.options.front, str(TRUSTED[1 + index]), self.options.patience)
            self.serial += 1
            head = (f"From: <sender{index}@example.com>\r\nSubject: load {os.getpid()} {self.serial}\r\n\r\n").encode()
            line = (b"%032x" % random.getrandbits(128)) + b"\r\n"
            body = head + line * (self.options.message_bytes // len(line))
            record = {"sha256": hashlib.sha256(body).hexdigest(), "dot": False, "code": 0}
            try:
                await session.open()
                code = await session.hello()
                for command in (f"MAIL FROM:<sender{index}@example.com>", "RCPT TO:<inbox@example.org>", "DATA"):
                    if code == 250:
                        code = await session.command(command)
                if code != 354:
                    raise Lost(f"before the message: {code}")
                self.messages.append(record)
                step = len(body) // PIECES + 1
                for start in range(0, len(body), step):
                    await session.send(body[start:start + step])
                    await self.pause(self.options.message_sec / PIECES)
                record["dot"] = True
                record["code"] = await session.command(".")
                await session.command("QUIT")
            except Lost as error:
                self.note_lost("sender", session, error)
                await self.pause(0.5)
            finally:
                session.close()

    async def tell(self):
        """One line a second, so that a test sees when the load is complete."""
        while not self.stop.is_set():
            print(json.dumps({"held": self.held, "started": self.started, "finished": self.finished,
                              "messages": len(self.messages), "lost": len(self.lost)}), flush=True)
            await self.pause(1.0)

    async def run(self):
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stop.set)
        self.spawn(self.tell())
        for index in range(self.options.open):
            self.spawn(self.holder(index))
        for index in range(self.options.data):
            self.spawn(self.sender(index))
        if self.options.rate:
            self.spawn(self.newcomers())
        await self.stop.wait()
        while self.tasks:
            await asyncio.wait(self.tasks)
        print(json.dumps({"summary": {
            "started": self.started, "codes": self.codes, "lost": self.lost, "slowest": self.slowest,
            "messages": self.messages}}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--front", default="198.18.0.25")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--open", type=int, default=500)
    parser.add_argument("--data", type=int, default=20)
    parser.add_argument("--message-bytes", type=int, default=100000)
    parser.add_argument("--message-sec", type=float, default=4.0)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait for any one reply")
    asyncio.run(Load(parser.parse_args()).run())


if __name__ == "__main__":
    main()
