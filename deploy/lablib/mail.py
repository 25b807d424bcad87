# SPDX-License-Identifier: Apache-2.0
"""The mail servers of the lab: Postfix or the sink as the backend, and Postfix as a client that retries.

Each Postfix is an instance of its own, with its settings, queue and data below the lab's directory. The
backend takes any user of the lab's domains and keeps every message in one Maildir, mail/backend/all/new; some
names are refused, so that a backend's own refusals can be seen. The sink keeps messages as they came, in
mail/sink (sink.py says more).
"""

import grp
import hashlib
import os
import pwd
import re
import sys

from . import names as n

_COMMON = """compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {log}
maillog_file_prefixes = /var, {logs}
mynetworks_style = host
mydestination =
local_recipient_maps =
local_transport = error:no local mail here
alias_maps =
alias_database =
biff = no
smtpd_peername_lookup = no
smtputf8_enable = no
message_size_limit = 104857600
header_size_limit = 1024000
in_flow_delay = 0
queue_minfree = 0
default_process_limit = 150
"""

_BACKEND = """myhostname = backend.greyline.test
inet_interfaces = {backend4}, {backend6}
inet_protocols = all
mynetworks = 127.0.0.0/8
smtpd_authorized_xclient_hosts = {appliances}
smtpd_client_event_limit_exceptions = static:all
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_error_sleep_time = 0
local_header_rewrite_clients =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
    check_recipient_access inline:{{
        {{ unknown@example.org = 550 5.1.1 no such user here }},
        {{ full@example.org = 452 4.2.2 mailbox full }} }}
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {maildir}
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
"""

_SENDER = """myhostname = sender.greyline.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [{front4}]:25
disable_dns_lookups = yes
smtp_bind_address = {sender4}
smtp_helo_name = sender.greyline.test
smtp_tls_security_level = none
minimal_backoff_time = 3s
maximal_backoff_time = 6s
queue_run_delay = 3s
bounce_queue_lifetime = 0
maximal_queue_lifetime = 5m
"""

_MASTER = """{smtp} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""

SENDER4 = "198.18.40.1"  # the address that the lab's sending Postfix connects from
SENDER_PORT = 2525       # where it takes mail, on 127.0.0.1 of the client namespace


def _make_queue(queue, owner):
    """The queue's directories. `postfix check` would make them too, with settings that it wants elsewhere."""
    postdrop = grp.getgrnam("postdrop").gr_gid
    kinds = {"pid": (0, 0, 0o755), "public": (owner.pw_uid, postdrop, 0o2710),
             "maildrop": (owner.pw_uid, postdrop, 0o1730)}
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
                 "pid", "private", "public", "saved", "trace"):
        path = os.path.join(queue, name)
        uid, gid, mode = kinds.get(name, (owner.pw_uid, 0, 0o700))
        os.makedirs(path, exist_ok=True)
        os.chown(path, uid, gid)
        os.chmod(path, mode)


def _instance(names, kind, settings, smtp):
    directory = os.path.join(names.state, "postfix-" + kind)
    conf = os.path.join(directory, "conf")
    owner = pwd.getpwnam("postfix")
    for path in (conf, os.path.join(directory, "data")):
        os.makedirs(path, exist_ok=True)
    os.chown(os.path.join(directory, "data"), owner.pw_uid, owner.pw_gid)
    log = os.path.join(names.logs, f"postfix-{kind}.log")
    common = _COMMON.format(directory=directory, log=log, logs=names.logs)
    with open(os.path.join(conf, "main.cf"), "w", encoding="ascii") as file:
        file.write(common + settings)
    with open(os.path.join(conf, "master.cf"), "w", encoding="ascii") as file:
        file.write(_MASTER.format(smtp=smtp))
    _make_queue(os.path.join(directory, "queue"), owner)
    return ["/usr/lib/postfix/sbin/master", "-c", conf, "-s"]


def maildir(names):
    return os.path.join(names.mail, "backend")


def sink_dir(names):
    return os.path.join(names.mail, "sink")


def write_backend(names, kind):
    """The backend's process as (name, command), or None for kind none."""
    if kind == "none":
        return None
    if kind == "sink":
        os.makedirs(sink_dir(names), exist_ok=True)
        return ("sink", [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "sink.py"),
                         "--listen", f"{n.BACKEND4},{n.BACKEND6}", "--port", str(n.BACKEND_PORT),
                         "--directory", sink_dir(names)])
    owner = pwd.getpwnam("nobody")
    box = maildir(names)
    os.makedirs(box, exist_ok=True)
    os.chown(box, owner.pw_uid, owner.pw_gid)
    settings = _BACKEND.format(
        backend4=n.BACKEND4, backend6=n.BACKEND6, domains=", ".join([*n.DOMAINS, *n.DOMAINS_BELOW]), maildir=box,
        appliances=", ".join([*n.BACK4, *(f"[{address}]" for address in n.BACK6)]),
        uid=owner.pw_uid, gid=owner.pw_gid)
    return ("postfix", _instance(names, "backend", settings, str(n.BACKEND_PORT)))


def write_sender(names):
    """The sending Postfix, as (name, command)."""
    settings = _SENDER.format(front4=n.FRONT4[0], sender4=SENDER4)
    return ("sender", _instance(names, "sender", settings, str(SENDER_PORT)))


# ---- what arrived -------------------------------------------------------------------------------------------

_ADDED = re.compile(rb"(?:Return-Path|X-Original-To|Delivered-To):[^\n]*\n|"
                    rb"Received: from [^\n]*\n(?:[ \t][^\n]*\n)*?\tby (?:backend|sender)\.greyline\.test "
                    rb"[^\n]*\n(?:[ \t][^\n]*\n)*")


def _as_sent(stored):
    """A message in the Maildir as its sender wrote it: without what the lab's Postfixes put in front, with CR LF."""
    start = 0
    while added := _ADDED.match(stored, start):
        start = added.end()
    return stored[start:].replace(b"\n", b"\r\n")


def _digest(message):
    return hashlib.sha256(message).hexdigest()


def digests(names):
    """SHA-256 of each message that the backend has, as its sender wrote it: a list, one entry a copy."""
    found = []
    new = os.path.join(maildir(names), "all", "new")
    if os.path.isdir(new):
        for file in sorted(os.listdir(new)):
            with open(os.path.join(new, file), "rb") as stored:
                found.append(_digest(_as_sent(stored.read())))
    sink = sink_dir(names)
    if os.path.isdir(sink):
        for file in sorted(os.listdir(sink)):
            if file.endswith(".eml"):
                with open(os.path.join(sink, file), "rb") as stored:
                    found.append(_digest(stored.read()))
    return found
