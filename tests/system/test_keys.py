# SPDX-License-Identifier: Apache-2.0
"""greyline-keys: who can read a private key, and handshakes while programs are stopped, busy, or killed."""

import base64
import contextlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import threading
import time

import pytest

from lablib import smtp

import certs
import labs
from policies import TRUSTED

LAB = {"options": ["--backend", "sink", "--users"]}
SEED = 20261124


@pytest.fixture(scope="module", autouse=True)
def certificates():
    with certs.directory() as directory:
        for kind in ("ec", "rsa"):
            certs.make(os.path.join(directory, kind), kind)
        LAB["policy"] = certs.policy_with(directory)
        yield directory


def handshake(lab, source, kind="ec", version=ssl.TLSVersion.TLSv1_3, timeout=20):
    """A whole session in TLS. Returns the seconds of its handshake."""
    context = certs.context(kind=kind, version=version)
    with lab.client(source, timeout=timeout) as client:
        if "STARTTLS" not in client.hello().lines:
            raise smtp.Lost("STARTTLS is not offered")
        if client.command("STARTTLS").code != 220:
            raise smtp.Lost("STARTTLS is refused")
        begun = time.monotonic()
        certs.secure(client, context)
        took = time.monotonic() - begun
        assert client.command("NOOP").code == 250
        assert client.quit().code == 221
    return took


@contextlib.contextmanager
def busy(turn, sources):
    """Clients that do turn(source) again and again meanwhile. They end whatever happens: nothing else would end them."""
    stop = threading.Event()

    def client(source):
        while not stop.is_set():
            turn(source)

    threads = [threading.Thread(target=client, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def counter(lab, name):
    found = [value for key, value in lab.metrics().items() if re.match(rf"greyline_{name}(_total)?(\{{|$)", key)]
    assert found, name
    return sum(found)


# ---- where the keys are -----------------------------------------------------------------------------------------

def _private_numbers(path):
    """The private numbers of a key as they lie in memory: of either order, and the file's own text. (DER has the first order.)"""
    text = subprocess.run(["openssl", "pkey", "-in", path, "-text", "-noout"], check=True, capture_output=True,
                          text=True).stdout
    found = {}
    for name in ("priv", "prime1", "prime2", "privateExponent"):
        match = re.search(rf"^{name}:\n((?:    [0-9a-f:]+\n)+)", text, re.M)
        if match:
            number = bytes.fromhex(re.sub(r"[^0-9a-f]", "", match[1])).lstrip(b"\0")
            found[name + ", most significant first"] = number
            found[name + ", least significant first"] = number[::-1]
    assert found, text
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    found["a line of the file"] = lines[len(lines) // 2].encode()
    return found


def _search(pid, needles):
    """Names of the needles that are in the process's memory, and how many bytes were read."""
    found, total = set(), 0
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, permissions = line.split()[:2]
            if not permissions.startswith("r") or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            at, end = (int(part, 16) for part in span.split("-"))
            if os.environ.get("GREYLINE_ASAN") and end - at > 1 << 30:
                continue  # the sanitizer's shadow: terabytes, and each page that is read becomes one
            tail = b""
            while at < end:
                try:
                    memory.seek(at)
                    chunk = memory.read(min(end - at, 1 << 22))
                except OSError:
                    break
                if not chunk:
                    break
                whole = tail + chunk
                found |= {name for name, needle in needles.items() if needle in whole}
                tail = whole[-512:]
                at += len(chunk)
                total += len(chunk)
    return found, total


def _status(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return re.search(rf"^{field}:[ \t]*(.*)$", file.read(), re.M)[1].split()


def test_users_and_what_they_may(lab, certificates):
    dataplane, keys = lab.pid("dataplane1"), lab.pid("keys1")
    users = {_status(pid, "Uid")[0] for pid in (dataplane, keys)}
    assert len(users) == 2 and "0" not in users
    for pid in (dataplane, keys):
        assert len(set(_status(pid, "Uid"))) == 1, "no way back"
        assert _status(pid, "Groups") == [] or _status(pid, "Groups") == [_status(pid, "Gid")[0]]
        for capabilities in ("CapPrm", "CapEff", "CapAmb"):
            assert int(_status(pid, capabilities)[0], 16) == 0
        assert _status(pid, "NoNewPrivs") == ["1"]
        if not os.environ.get("GREYLINE_ASAN"):
            assert _status(pid, "Seccomp") == ["2"]
    uid, gid = (int(_status(dataplane, field)[0]) for field in ("Uid", "Gid"))
    for kind in ("ec", "rsa"):
        path = os.path.join(certificates, kind + ".key")
        assert os.stat(path).st_uid == int(_status(keys, "Uid")[0]) and os.stat(path).st_mode & 0o777 == 0o400
        # As the dataplane's user: not this file, not the directory by which requests go.
        for target in (path, lab.names.node_keys(1)):
            tried = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "ls", "-l", target + "/."
                                    if os.path.isdir(target) else target], capture_output=True, text=True, check=False)
            read = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "cat", target],
                                  capture_output=True, text=True, check=False)
            assert read.returncode != 0 and "Permission denied" in read.stderr, (tried, read)
        tried = subprocess.run(["setpriv", f"--reuid={os.stat(path).st_uid}", "--clear-groups", "cat", path],
                               capture_output=True, text=True, check=False)
        assert "PRIVATE KEY" in tried.stdout, "the search above would find it"


def test_no_private_number_in_the_dataplane(lab, certificates):
    for kind in ("ec", "rsa"):
        handshake(lab, TRUSTED + "20", kind, ssl.TLSVersion.TLSv1_2)
        handshake(lab, TRUSTED + "20", kind)
    for kind in ("ec", "rsa"):
        needles = _private_numbers(os.path.join(certificates, kind + ".key"))
        in_keys, _ = _search(lab.pid("keys1"), needles)
        assert any("significant" in name for name in in_keys), (kind, "the search finds keys where they are")
        in_dataplane, total = _search(lab.pid("dataplane1"), needles)
        assert not in_dataplane, kind
        assert total > 50_000_000
    with open(os.path.join(certificates, "ec.crt"), encoding="ascii") as file:
        der = base64.b64decode("".join(line for line in file.read().splitlines() if "-" not in line))
    assert _search(lab.pid("dataplane1"), {"certificate": der[60:120]})[0], "and what the dataplane does have"


def test_keys_has_no_network(lab):
    pid = lab.pid("keys1")
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not [link for link in links if link.startswith("socket:")]
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        text = maps.read()
    assert "libcrypto" in text
    assert not re.search(r"librte_|libssl|libcares|libmicrohttpd|libyaml", text)


# ---- handshakes ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_keys_both_versions(lab, kind, version):
    before = counter(lab, "tls_handshakes")
    handshake(lab, TRUSTED + "21", kind, version)
    assert counter(lab, "tls_handshakes") == before + 1


@contextlib.contextmanager
def _paused(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_control_is_stopped(lab):
    with _paused(lab.pid("control1")):
        for i in range(20):
            handshake(lab, TRUSTED + "22", ("ec", "rsa")[i % 2], (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)[i // 2 % 2])


def test_control_compiles_the_largest_policy(lab, certificates):
    """A policy of many domains and networks is checked and compiled by greyline-control while clients shake hands."""
    networks = ", ".join(f"10.{i >> 8}.{i & 255}.0/24" for i in range(60_000))
    domains = ", ".join(["example.org: {pool: main}", *(f"d{i}.example.net: {{pool: main}}" for i in range(20_000))])
    text = certs.policy_with(certificates, deny=f"[{networks}]", domains=f"{{{domains}}}")
    path = lab.policy_file(text, "largest.yaml")
    took = []
    push = subprocess.Popen([labs.program("greylinectl"), "--run-dir", lab.names.node_run(1), "policy", "push", path],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while push.poll() is None or len(took) < 10:
        took.append(handshake(lab, TRUSTED + "23"))
    said = push.communicate()[0]
    print(f"{len(took)} handshakes, the slowest {max(took) * 1000:.0f} ms; the push: {said.strip()[-200:]}")
    assert push.returncode == 0, said


def test_plain_sessions_under_a_flood_of_handshakes(lab):
    """Clients in clear are answered while others do nothing but full handshakes. What it costs them is printed."""
    fork = multiprocessing.get_context("fork")  # a thread would take turns with the client that is measured
    done = fork.Value("i", 0)

    def flood(source, stop):
        os.nice(19)
        while not stop.is_set():
            handshake(lab, source, ("ec", "rsa")[done.value % 2], ssl.TLSVersion.TLSv1_2)
            with done.get_lock():
                done.value += 1

    def latency():
        took = []
        for _ in range(300):
            begun = time.monotonic()
            with lab.client(TRUSTED + "70") as client:
                assert client.hello().code == 250
                assert client.quit().code == 221
            took.append((time.monotonic() - begun) * 1000)
        return f"{statistics.median(took):.2f} ms, 95 of 100 in {statistics.quantiles(took, n=20)[18]:.2f} ms"

    for _ in range(3):
        stop, before = fork.Event(), done.value
        print(f"a session without a flood: {latency()}")
        clients = [fork.Process(target=flood, args=(f"{TRUSTED}{71 + i}", stop)) for i in range(2)]
        for client in clients:
            client.start()
        try:
            labs.wait_until(lambda: done.value > before + 2, 30 * labs.SLOW, "the flood begins")
            before, begun = done.value, time.monotonic()
            print(f"a session in a flood: {latency()}, {(done.value - before) / (time.monotonic() - begun):.0f} handshakes a second")
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert [client.exitcode for client in clients] == [0, 0]
    assert done.value > 20


def test_killed_at_random_while_clients_shake_hands(lab):
    """Each handshake succeeds or ends cleanly; once the program is back all succeed."""
    dice = random.Random(SEED)
    lost, done, wrong = [], [], []

    def turn(source):
        try:
            handshake(lab, source, dice.choice(("ec", "rsa")),
                      dice.choice((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)), timeout=8)
            done.append(source)
        except (smtp.Lost, ssl.SSLError, ConnectionError) as error:
            lost.append(repr(error))
        except Exception as error:  # a hang, or a reply that makes no sense
            wrong.append(repr(error))

    with busy(turn, [f"{TRUSTED}{30 + i}" for i in range(4)]):
        for _ in range(15):
            time.sleep(dice.uniform(0.05, 0.4))
            lab.kill("keys1")
            before = len(done)
            labs.wait_until(lambda: len(done) > before + 4, 30 * labs.SLOW, "handshakes succeed after a kill")
    print(f"{len(done)} handshakes done, {len(lost)} lost in 15 kills: {sorted(set(lost))[:4]}")
    assert not wrong
    assert len(done) > 75
    labs.wait_until(lambda: "STARTTLS" in _ehlo(lab), 10 * labs.SLOW, "STARTTLS is offered again")
    for i in range(8):
        handshake(lab, TRUSTED + "40", ("ec", "rsa")[i % 2])


def test_down_and_up_again(lab):
    with lab.stopped("keys1"):
        labs.wait_until(lambda: "STARTTLS" not in _ehlo(lab), 10 * labs.SLOW, "STARTTLS is no longer offered")
        with lab.client(TRUSTED + "41") as client:
            client.hello()
            assert client.command("STARTTLS").code == 454
            assert client.envelope("a@example.com", "b@example.org").code == 250
    labs.wait_until(lambda: "STARTTLS" in _ehlo(lab), 10 * labs.SLOW, "STARTTLS is offered again")
    handshake(lab, TRUSTED + "42")


def test_dataplane_comes_first(lab):
    """Then it is root who makes what they share; greyline-keys, which starts as root too, takes it over."""
    with lab.stopped("keys1"):
        shutil.rmtree(lab.names.node_keys(1))
        lab.kill("dataplane1")
        lab.wait_for_port_25()
    labs.wait_until(lambda: "STARTTLS" in _ehlo(lab), 10 * labs.SLOW, "STARTTLS is offered")
    handshake(lab, TRUSTED + "42", "rsa")
    assert os.stat(os.path.join(lab.names.node_keys(1), "link")).st_uid == int(_status(lab.pid("keys1"), "Uid")[0])


def test_hung(lab):
    """A stopped one: who waits is let go after two seconds, then nobody is made to wait."""
    before = counter(lab, "tls_sign_late")
    with _paused(lab.pid("keys1")):
        begun = time.monotonic()
        with pytest.raises((smtp.Lost, ssl.SSLError, ConnectionError)):
            handshake(lab, TRUSTED + "43", timeout=30)
        assert time.monotonic() - begun < 20 * labs.SLOW
        labs.wait_until(lambda: "STARTTLS" not in _ehlo(lab), 10 * labs.SLOW, "STARTTLS is no longer offered")
    assert counter(lab, "tls_sign_late") > before
    labs.wait_until(lambda: "STARTTLS" in _ehlo(lab), 10 * labs.SLOW, "STARTTLS is offered again")
    handshake(lab, TRUSTED + "43")


def _ehlo(lab):
    with lab.client(TRUSTED + "44") as client:
        return client.hello().lines


# ---- rotation -----------------------------------------------------------------------------------------------------

def test_keys_are_renewed_under_load(lab, certificates):
    """Certificate and key are exchanged again and again: no handshake meets one of each."""
    failed, done = [], []

    def turn(source):
        try:
            handshake(lab, source)
            done.append(source)
        except Exception as error:
            failed.append(repr(error))

    with certs.open_secure(lab, TRUSTED + "50") as old:
        with busy(turn, [f"{TRUSTED}{51 + i}" for i in range(3)]):
            for _ in range(4):
                certs.make(os.path.join(certificates, "ec"), "ec")
                certs.wait_served(lab, TRUSTED + "55", os.path.join(certificates, "ec.crt"))
        assert old.envelope("a@example.com", "b@example.org").code == 250
        assert old.message(b"Subject: x\r\n\r\nstill here\r\n").code == 250
        assert old.quit().code == 221
    print(f"{len(done)} handshakes over 4 renewals")
    assert not failed and len(done) > 10


def test_a_push_with_a_key_that_is_open_to_others_is_refused(lab, certificates):
    certs.make(os.path.join(certificates, "open"), "ec")
    os.chmod(os.path.join(certificates, "open.key"), 0o440)
    refused = lab.ctl("policy", "push", lab.policy_file(certs.policy_with(certificates, second="open"), "open.yaml"), check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0 and "others than its owner may read it" in said, said
    certs.make(os.path.join(certificates, "other"), "ec")
    os.rename(os.path.join(certificates, "other.crt"), os.path.join(certificates, "open.crt"))
    os.chmod(os.path.join(certificates, "open.key"), 0o400)
    refused = lab.ctl("policy", "push", lab.policy_file(certs.policy_with(certificates, second="open"), "open.yaml"), check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0 and "key values mismatch" in said, said
    handshake(lab, TRUSTED + "60")
