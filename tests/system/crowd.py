#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many idle SMTP sessions of this kernel, from inside the client namespace: crowd.py FRONT SESSIONS.

Opens them through banner and EHLO, then does what each line on stdin says: "noop" (every session asks, and must get
its 250) or "quit" (every session ends in order). After each a line of JSON: how many did, and what went wrong.
"""

import ipaddress
import json
import resource
import select
import socket
import sys
import time

HOLDERS = [str(host) for host in ipaddress.ip_network("198.18.96.0/22").hosts()]
AT_ONCE = 1000  # sessions that wait for a reply
PATIENCE = 60.0  # seconds without any reply
IP_BIND_ADDRESS_NO_PORT = 24


class Crowd:
    def __init__(self, front, count):
        self.front = front
        self.count = count
        self.poll = select.epoll()
        self.sockets = {}  # fd -> socket
        self.wrong = []

    def connect(self, number):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((HOLDERS[number % len(HOLDERS)], 0))
        sock.connect_ex((self.front, 25))
        self.sockets[sock.fileno()] = sock
        self.poll.register(sock, select.EPOLLIN)
        return sock.fileno()

    def run(self, starts, dialogue):
        """Bring every session through the dialogue, [(words to say, code that follows)]; returns how many got there."""
        at, done, told = {}, 0, {}
        starts = iter(starts)
        last = time.monotonic()
        more = True
        while True:
            while more and len(at) < AT_ONCE:
                fd = next(starts, None)
                if fd is None:
                    more = False
                    break
                fd = fd()
                at[fd], told[fd] = 0, b""
                if dialogue[0][0]:
                    self.sockets[fd].sendall(dialogue[0][0])
            if not at:
                return done
            ready = self.poll.poll(1.0)
            if ready:
                last = time.monotonic()
            elif time.monotonic() - last > PATIENCE:
                self.wrong.append(f"{len(at)} sessions get no reply")
                return done
            for fd, _ in ready:
                done += self.read(fd, at, told, dialogue)

    def read(self, fd, at, told, dialogue):
        """What one session got. Returns 1 when that ends its dialogue."""
        try:
            got = self.sockets[fd].recv(4096)
        except OSError as error:
            got = b""
            self.wrong.append(str(error))
        if fd not in at and not got and dialogue[-1][1] == b"221":
            self.drop(fd)  # it has said goodbye
            return 0
        if fd not in at or not got:
            self.wrong.append(f"closed, or words for nothing: {got!r}")
            self.drop(fd)
            at.pop(fd, None)
            return 0
        told[fd] += got
        lines = told[fd].split(b"\r\n")
        if lines[-1] != b"" or len(lines) < 2 or lines[-2][3:4] == b"-":
            return 0
        if lines[-2][:3] != dialogue[at[fd]][1]:
            self.wrong.append(lines[-2].decode("latin-1"))
        at[fd] += 1
        told[fd] = b""
        if at[fd] == len(dialogue):
            del at[fd], told[fd]
            return 1
        self.sockets[fd].sendall(dialogue[at[fd]][0])
        return 0

    def drop(self, fd):
        self.poll.unregister(fd)
        self.sockets.pop(fd).close()

    def tell(self, what, count):
        print(json.dumps({"did": what, "sessions": count, "wrong": len(self.wrong), "some": self.wrong[:5]}), flush=True)

    def main(self):
        self.tell("open", self.run([lambda number=number: self.connect(number) for number in range(self.count)],
                                   [(b"", b"220"), (b"EHLO crowd.greyline.test\r\n", b"250")]))
        for line in sys.stdin:
            word = line.strip()
            dialogue = [(b"NOOP\r\n", b"250")] if word == "noop" else [(b"QUIT\r\n", b"221")]
            fds = list(self.sockets)
            self.tell(word, self.run([lambda fd=fd: fd for fd in fds], dialogue))
            if word == "quit":
                return


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    Crowd(sys.argv[1], int(sys.argv[2])).main()
