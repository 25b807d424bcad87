# SPDX-License-Identifier: Apache-2.0
"""Bring a lab up, take it down, and tell about it."""

import concurrent.futures
import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zlib

from . import appliance
from . import dns
from . import mail
from . import names as n
from . import net
from . import netns
from . import proc

ANSWER_SEC = 60.0   # until port 25 of every node answers
PORT_FIRST = 25300  # where the search for free ports on 127.0.0.1 begins


class LabError(Exception):
    """Said to the user in one line."""


# ---- what is there --------------------------------------------------------------------------------------------

def _read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def read(names):
    """The lab as it was brought up, or None."""
    return _read_json(names.lab_file)


def pids(names):
    return _read_json(names.pids_file) or {"supervisor": {}, "services": {}}


def is_running(names):
    return proc.is_alive(pids(names)["supervisor"])


def _present_pid(names, service):
    record = pids(names)["services"].get(service, {})
    return record["pid"] if proc.is_alive(record) else None


def must_run(names):
    lab = read(names)
    if lab is None or not is_running(names):
        raise LabError("no lab is up (deploy/lab up brings one up)")
    return lab


# ---- up -------------------------------------------------------------------------------------------------------

def _name_option(names):
    """How a command names this lab."""
    return f" --name {names.name}" if names.name else ""


def _refuse_second(names):
    if read(names) is None:
        return
    name = _name_option(names)
    if is_running(names):
        raise LabError(f"already up: end it with deploy/lab down{name}, or bring up another one with --name")
    raise LabError(f"the remains of a crashed lab are there: remove them with deploy/lab down{name}")


def _is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
    return True


def _choose_ports(names, nodes):
    # Labs that come up at the same time look in different places.
    port = PORT_FIRST + (20 * (1 + zlib.crc32(names.name.encode()) % 200) if names.name else 0)
    wanted = ["dns", "knot", "rbldnsd", "redis", *(f"http{node}" for node in nodes)]
    chosen = {}
    for use in wanted:
        while not _is_free(port):
            port += 1
        chosen[use] = port
        port += 1
    return chosen


def _service(names, name, argv, ns=None):
    log = os.path.join(names.logs, name + ".log")
    return {"name": name, "argv": argv, "ns": ns, "log": log, "env": {n.MARK: names.mark}}


def _redis(names, port):
    directory = os.path.join(names.state, "redis")
    os.makedirs(directory, exist_ok=True)
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "",
            "--appendonly", "no", "--daemonize", "no"]


def _services(names, options, ports, nodes):
    """Write everybody's settings. Returns the processes in the order of their start."""
    found = []
    world = dns.write(names, ports["dns"], ports["knot"], ports["rbldnsd"])
    if options["dns"] == "lab":
        found += [_service(names, name, argv) for name, argv in world]
    if options["redis"]:
        found.append(_service(names, "redis", _redis(names, ports["redis"])))
    backend = mail.write_backend(names, options["backend"])
    if backend:
        found.append(_service(names, *backend, ns=names.backend_ns))
    found.append(_service(names, *mail.write_sender(names), ns=names.client_ns))
    appliance.write_secret(names, nodes)
    for node in nodes:
        if options["appliance"]:
            found += [_service(names, name, argv)
                      for name, argv in appliance.processes(names, node, options, ports, options["policy"])]
        else:
            appliance.write_site(names, node, options, ports)
    return found


def _make_directories(names, nodes, users):
    for path in (names.run, names.hold, names.state, names.logs, names.mail):
        os.makedirs(path, exist_ok=True)
    os.chmod(names.run_root, 0o755)
    os.chmod(names.state_root, 0o755)
    for node in nodes:
        os.makedirs(names.node_run(node), mode=0o750, exist_ok=True)
        os.makedirs(names.node_state(node), mode=0o750, exist_ok=True)
        if users:
            appliance.open_to_dataplane(names.node_run(node))
            appliance.open_to_dataplane(names.node_state(node))
    # Who only sends when asked to costs nothing until then.
    with open(os.path.join(names.hold, "sender"), "w", encoding="ascii"):
        pass


def _start_supervisor(names):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "supervisor.py")
    with open(os.path.join(names.logs, "supervisor.log"), "ab") as log:
        subprocess.Popen([sys.executable, "-B", script, names.name], stdin=subprocess.DEVNULL, stdout=log,
                         stderr=log, start_new_session=True, env={**os.environ, n.MARK: names.mark})


def _last_line(path):
    try:
        with open(path, "rb") as file:
            lines = [line.strip() for line in file.read()[-4000:].splitlines() if line.strip()]
        return lines[-1].decode("utf-8", "replace") if lines else "its log is empty"
    except OSError:
        return "it has no log"


def _ends_again_and_again(names, lab):
    """Why a process cannot run, or None."""
    for service in lab["services"]:
        record = pids(names)["services"].get(service["name"], {})
        failed = record.get("last_end", "").startswith(("exit", "signal")) and not proc.is_alive(record)
        if failed and (record["restarts"] >= 4 or not lab["restart"]):
            return f"{service['name']} does not run ({record['last_end']}): {_last_line(service['log'])}"
    return None


def _answers(ns, address):
    """Does port 25 of the address, seen from the namespace, answer with a greeting?"""
    try:
        with netns.connect(ns, address, 25, timeout=1) as sock:
            sock.settimeout(15)
            return sock.recv(3) == b"220"
    except OSError:
        return False


def _wait_for_answers(names, lab):
    """Every port 25 of the lab: the backend's and, on all nodes, the appliance's."""
    waiting = [(names.backend_ns, n.BACKEND4)] if lab["options"]["backend"] != "none" else []
    if lab["options"]["appliance"]:
        waiting += [(names.client_ns, front[node - 1]) for node in lab["nodes"] for front in (n.FRONT4, n.FRONT6)]
    deadline = time.monotonic() + ANSWER_SEC
    while waiting:
        # Side by side: each of them may take its greet delay.
        with concurrent.futures.ThreadPoolExecutor(len(waiting)) as threads:
            done = list(threads.map(lambda where: _answers(*where), waiting))
        waiting = [where for where, answers in zip(waiting, done) if not answers]
        why = _ends_again_and_again(names, lab) if waiting else None
        if waiting and why is None and time.monotonic() > deadline:
            addresses = ", ".join(address for _, address in waiting)
            why = f"no answer on port 25 of {addresses} within {ANSWER_SEC:.0f} s; logs: {names.logs}"
        if why:
            raise LabError(why)
        time.sleep(0.1)


def _wait_for_health(lab):
    """Until every node says that it can pass mail on: its backend may have come up after its first look at it."""
    if not lab["options"]["appliance"] or lab["options"]["backend"] == "none":
        return
    deadline = time.monotonic() + ANSWER_SEC
    for node in lab["nodes"]:
        url = f"http://127.0.0.1:{lab['ports'][f'http{node}']}/healthz"
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LabError(f"node {node} is not healthy within {ANSWER_SEC:.0f} s: {error}") from None
            time.sleep(0.1)


def up(names, options):
    """Bring the lab up; on any failure take everything down again and raise."""
    os.makedirs(names.run_root, exist_ok=True)
    # The lock file stays outside of the lab's directory, which comes and goes.
    lock = os.open(os.path.join(names.run_root, f".{names.mark}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise LabError("another deploy/lab up is at work right now") from None
    try:
        _refuse_second(names)
        _up(names, options)
    finally:
        os.close(lock)


def _up(names, options):
    nodes = list(range(1, options["nodes"] + 1))
    for ns in (names.client_ns, names.backend_ns):
        if netns.exists(ns):
            raise LabError(f"the namespace {ns} is there already and not of this lab: remove it with "
                           f"ip netns del {ns}, or use --name")
    try:
        _make_directories(names, nodes, options["users"])
        ports = _choose_ports(names, nodes)
        lab = {"options": options, "nodes": nodes, "ports": ports, "restart": options["restart"], "services": []}
        _write_lab(names, lab)
        net.up(names, nodes)
        lab["services"] = _services(names, options, ports, nodes)
        _write_lab(names, lab)
        _start_supervisor(names)
        _wait_for_answers(names, lab)
        _wait_for_health(lab)
    except BaseException as error:
        if options.get("keep"):
            print(f"lab: left as it is (--keep); deploy/lab down{_name_option(names)} removes it", file=sys.stderr)
        else:
            down(names)
        if isinstance(error, (OSError, net.NetError)):
            raise LabError(str(error)) from error
        raise


def _write_lab(names, lab):
    with open(names.lab_file + ".new", "w", encoding="utf-8") as file:
        json.dump(lab, file, indent=1)
    os.rename(names.lab_file + ".new", names.lab_file)


# ---- down -----------------------------------------------------------------------------------------------------

def _end_processes(names):
    supervisor = pids(names)["supervisor"]
    if proc.is_alive(supervisor):
        proc.end(supervisor["pid"], supervisor["start"], 30.0)
    # What a crashed supervisor left, and whoever else is in the namespaces: both are the lab's own.
    left = set(proc.marked(n.MARK, names.mark))
    for ns in (names.client_ns, names.backend_ns):
        if netns.exists(ns):
            left |= set(netns.pids(ns))
    left.discard(os.getpid())
    for pid in left:
        start = proc.start_time(pid)
        if start is not None:
            proc.end(pid, start, 1.0)


def down(names):
    """Remove the lab, or whatever is there of it. Returns whether there was anything."""
    was_there = os.path.exists(names.run) or os.path.exists(names.state)
    ours = read(names) is not None
    if ours:
        _end_processes(names)
        net.down(names)
    for path in (names.run, names.state):
        shutil.rmtree(path, ignore_errors=True)
    try:
        os.unlink(os.path.join(names.run_root, f".{names.mark}.lock"))
    except FileNotFoundError:
        pass
    for root in (names.run_root, names.state_root):
        try:
            os.rmdir(root)
        except OSError:
            pass  # another lab is there
    return was_there


# ---- telling ----------------------------------------------------------------------------------------------------

def env(names):
    """What tools need to know, as pairs in order. Node 2's names end in _2."""
    lab = must_run(names)
    ports = lab["ports"]
    pairs = [
        ("GL_CLIENT_NS", names.client_ns), ("GL_BACKEND_NS", names.backend_ns),
        ("GL_BACKEND4", n.BACKEND4), ("GL_BACKEND6", n.BACKEND6), ("GL_BACKEND_PORT", n.BACKEND_PORT),
        ("GL_DNS", f"127.0.0.1:{ports['dns']}"), ("GL_DOMAINS", ",".join(n.DOMAINS)),
        ("GL_DNS_DIR", names.dns), ("GL_MAIL_DIR", names.mail),
    ]
    if lab["options"]["redis"]:
        pairs.append(("GL_REDIS", f"127.0.0.1:{ports['redis']}"))
    for node in lab["nodes"]:
        tail = "" if node == 1 else f"_{node}"
        pairs += [
            (f"GL_FRONT4{tail}", n.FRONT4[node - 1]), (f"GL_FRONT6{tail}", n.FRONT6[node - 1]),
            (f"GL_ADMIN_SOCKET{tail}", os.path.join(names.node_run(node), "admin.sock")),
            (f"GL_HTTP{tail}", f"http://127.0.0.1:{ports[f'http{node}']}"),
            (f"GL_CONTROL_PID{tail}", _present_pid(names, f"control{node}") or ""),
            (f"GL_KEYS_PID{tail}", _present_pid(names, f"keys{node}") or ""),
            (f"GL_DATAPLANE_PID{tail}", _present_pid(names, f"dataplane{node}") or ""),
            (f"GL_LOG{tail}", appliance.log_path(names, node)),
            (f"GL_RUN_DIR{tail}", names.node_run(node)), (f"GL_STATE_DIR{tail}", names.node_state(node)),
        ]
    return pairs


def status(names):
    """Lines for people, and whether everything that should run does."""
    lab = must_run(names)
    held = set(os.listdir(names.hold))
    lines = [f"{'process':<12} {'pid':>7}  {'restarts':>8}  state"]
    good = True
    for service in lab["services"]:
        name = service["name"]
        record = pids(names)["services"].get(name, {})
        pid = _present_pid(names, name)
        if pid:
            state = "runs"
        elif name in held:
            state = f"stopped (deploy/lab start{_name_option(names)} {name})"
        else:
            state, good = f"ended: {record.get('last_end') or 'not started'}", False
        lines.append(f"{name:<12} {pid or '-':>7}  {record.get('restarts', 0):>8}  {state}")
    return lines, good


def hold(names, service, stop):
    """Stop a process and keep it stopped, or let it run again; returns when that is so."""
    lab = must_run(names)
    if service not in [entry["name"] for entry in lab["services"]]:
        raise LabError(f"no process {service} here; there are "
                       + ", ".join(entry["name"] for entry in lab["services"]))
    path = os.path.join(names.hold, service)
    if stop:
        with open(path, "w", encoding="ascii"):
            pass
    elif os.path.exists(path):
        os.unlink(path)
    elif _present_pid(names, service) is None:
        with open(path + ".start", "w", encoding="ascii"):
            pass
    deadline = time.monotonic() + 15
    while (_present_pid(names, service) is None) != stop:
        if time.monotonic() > deadline:
            raise LabError(f"{service} did not {'stop' if stop else 'start'} within 15 s")
        time.sleep(0.02)
