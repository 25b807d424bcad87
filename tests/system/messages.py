# SPDX-License-Identifier: Apache-2.0
"""Messages whose bytes can be known again at the other end."""

import hashlib
import random

_HEADER = "From: Alice <alice@example.com>\r\nTo: Bob <bob@example.org>\r\nSubject: test {number}\r\n" \
          "Message-ID: <{number}.{seed}@client.greyline.test>\r\nDate: Tue, 24 Nov 2026 04:00:00 +0000\r\n\r\n"


def digest(content):
    return hashlib.sha256(content).hexdigest()


def make(number, size, seed=0):
    """A message of about `size` bytes, of lines of all lengths, with dots where they hurt. Size 0 is empty."""
    if size == 0:
        return b""
    rng = random.Random(number * 1000003 + seed)
    parts = [_HEADER.format(number=number, seed=seed).encode()]
    length = len(parts[0])
    alphabet = bytes(range(33, 127)) + b"    " + bytes(range(160, 256))
    block = bytes(rng.choices(alphabet, k=8192))
    while length < size:
        kind = rng.randrange(12)
        if kind == 0:
            line = b"." * rng.randrange(1, 4)
        elif kind == 1:
            line = b""
        else:
            start = rng.randrange(4096)
            line = block[start:start + min(rng.randrange(1, 998), size - length)]
            if kind == 2:
                line = b"." + line[:-1]
        parts.append(line + b"\r\n")
        length += len(line) + 2
    return b"".join(parts)
