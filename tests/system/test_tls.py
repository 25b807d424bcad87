# SPDX-License-Identifier: Apache-2.0
"""STARTTLS with real programs: openssl s_client, swaks, and Python's ssl where a test must send what no client would."""

import os
import re

import pytest

from lablib import names as n
from lablib import smtp

import certs
import labs
import messages
from policies import TRUSTED

LAB = {"options": ["--backend", "sink"]}


@pytest.fixture(scope="module", autouse=True)
def certificates():
    with certs.directory() as directory:
        for kind in ("ec", "rsa"):
            certs.make(os.path.join(directory, kind), kind)
        LAB["policy"] = certs.policy_with(directory)
        yield directory


def s_client(lab, *args, say="QUIT\r\n"):
    done = lab.in_client("openssl", "s_client", "-starttls", "smtp", "-connect", f"{n.FRONT4[0]}:25", "-ign_eof", *args,
                         input=say)
    return done.stdout + done.stderr


def context(directory):
    return certs.context(verify=os.path.join(directory, "ec.crt"))


# ---- handshakes -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_verifies_and_talks(lab, certificates, version):
    said = s_client(lab, version, "-CAfile", os.path.join(certificates, "ec.crt"), "-verify_return_error",
                    "-verify_hostname", certs.HOST, "-servername", certs.HOST)
    assert "Verification: OK" in said and "Verify return code: 0 (ok)" in said, said
    assert re.search(r"Server Temp Key: X25519", said)
    assert re.search(r"221 2\.0\.0 mx\.greyline\.test closing connection", said)
    assert "Secure Renegotiation IS NOT supported" not in said or version == "-tls1_3"
    assert "Compression: NONE" in said


def test_rsa_for_clients_that_want_it(lab, certificates):
    said = s_client(lab, "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256", "-CAfile", os.path.join(certificates, "rsa.crt"),
                    "-verify_return_error")
    assert "Verification: OK" in said and "Peer signature type: RSA-PSS" in said, said


@pytest.mark.parametrize("args", [
    ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384"],
    ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256"],
])
def test_what_is_too_old_fails(lab, args):
    said = s_client(lab, *args)
    assert re.search(r"Cipher is \(NONE\)", said), said
    assert "221" not in said


def test_a_ticket_outlives_the_dataplane(lab, tmp_path):
    session = str(tmp_path / "session.pem")
    assert "New, TLSv1.3" in s_client(lab, "-tls1_3", "-sess_out", session)
    assert "Reused, TLSv1.3" in s_client(lab, "-tls1_3", "-sess_in", session)
    assert "New, TLSv1.2" in s_client(lab, "-tls1_2", "-sess_out", session)
    assert "Reused, TLSv1.2" in s_client(lab, "-tls1_2", "-sess_in", session)
    lab.kill("dataplane1")
    lab.wait_for_port_25()
    assert "Reused, TLSv1.2" in s_client(lab, "-tls1_2", "-sess_in", session)


# ---- mail -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", ["tlsv1_2", "tlsv1_3"])
def test_swaks_delivers_in_tls(lab, certificates, protocol):
    mark = f"over-{protocol}"
    done = lab.swaks(TRUSTED + "5", "--from", "a@example.com", "--to", "b@example.org", "--tls", "--tls-protocol", protocol,
                     "--tls-verify", "--tls-ca-path", os.path.join(certificates, "ec.crt"), "--body", mark)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"=== TLS started with cipher TLSv1\.[23]:", done.stdout)
    assert re.search(r"<~  250 2\.0\.0", done.stdout), done.stdout


@pytest.mark.parametrize("size", [0, 1, 1000, 20_000, 3_000_000])
def test_messages_arrive_whole(lab, size):
    content = messages.make(900 + size % 97, size)
    with certs.open_secure(lab, TRUSTED + "6") as client:
        assert client.envelope("a@example.com", "b@example.org").code == 250
        assert client.message(content).code == 250
        assert client.quit().code == 221
    labs.wait_until(lambda: messages.digest(content) in lab.digests(), 10 * labs.SLOW, "the message is at the backend")


def test_tls_required(lab):
    with lab.client(TRUSTED + "7") as plain:
        assert plain.hello().code == 250
        assert plain.command("MAIL FROM:<a@example.com>").code == 250
    done = lab.swaks(TRUSTED + "7", "--from", "a@example.com", "--to", "b@example.org", "--port", str(certs.REQUIRED_PORT))
    assert "530 5.7.0 Must issue a STARTTLS command first" in done.stdout
    done = lab.swaks(TRUSTED + "7", "--from", "a@example.com", "--to", "b@example.org", "--port", str(certs.REQUIRED_PORT), "--tls")
    assert done.returncode == 0, done.stdout


# ---- what nobody should send ------------------------------------------------------------------------------------

def test_commands_behind_starttls_are_thrown_away(lab):
    with lab.client(TRUSTED + "8") as client:
        client.hello()
        client.send("STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.org>\r\n")
        assert client.reply().code == 220
        certs.secure(client)
        assert client.command("RCPT TO:<b@example.org>").code == 503
        assert client.command("NOOP").code == 250
        assert client.quit().code == 221


def test_half_a_message_is_none(lab):
    before = len(lab.digests())
    with certs.open_secure(lab, TRUSTED + "9") as client:
        client.envelope("a@example.com", "b@example.org")
        assert client.command("DATA").code == 354
        client.send("Subject: half\r\n\r\nhalf of it\r\n")
        os.close(client.sock.detach())
    event = lab.wait_for_event(event="session", client=TRUSTED + "9")
    assert event["rule"] == "client_lost"
    assert len(lab.digests()) == before


def test_a_plain_client_after_starttls_is_let_go(lab):
    with lab.client(TRUSTED + "10") as client:
        client.hello()
        assert client.command("STARTTLS").code == 220
        client.send("EHLO still.in.clear\r\n")
        with pytest.raises(smtp.Lost):
            client.reply()


# ---- certificates that change -------------------------------------------------------------------------------------

def test_renewed_files_come_into_force_and_hurt_nobody(lab, certificates):
    with certs.open_secure(lab, TRUSTED + "11", context(certificates)) as old:
        certs.make(os.path.join(certificates, "ec"), "ec")
        certs.wait_served(lab, TRUSTED + "12", os.path.join(certificates, "ec.crt"))
        assert old.envelope("a@example.com", "b@example.org").code == 250
        assert old.message(b"Subject: x\r\n\r\nstill here\r\n").code == 250
        assert old.quit().code == 221


def test_the_coming_end_of_a_certificate_is_said(lab, certificates):
    certs.make(os.path.join(certificates, "rsa"), "rsa", days=3)
    log = os.path.join(lab.names.logs, "dataplane1.log")

    def is_said():
        with open(log, encoding="utf-8") as file:
            return "a certificate ends in 2 days: renew it" in file.read()

    labs.wait_until(is_said, 15 * labs.SLOW, "the dataplane says that a certificate is about to end")


def test_a_push_with_a_certificate_that_cannot_be_used_is_refused(lab, certificates):
    with open(os.path.join(certificates, "broken.crt"), "w", encoding="ascii") as file:
        file.write("no certificate\n")
    path = lab.policy_file(certs.policy_with(certificates, second="broken"), "broken.yaml")
    refused = lab.ctl("policy", "push", path, check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0 and "broken.crt: no usable certificate" in said, said
    with certs.open_secure(lab, TRUSTED + "13") as client:
        assert client.quit().code == 221


def test_a_lab_reads_certificates_and_keys_that_only_root_may(lab, tmp_path):
    """tmp_path is closed to all other users; an installation would refuse both files, see test_keys.py."""
    for kind in ("ec", "rsa"):
        certs.make(os.path.join(tmp_path, kind), kind)
        os.chown(tmp_path / f"{kind}.key", 0, 0)
        os.chmod(tmp_path / f"{kind}.key", 0o600)
    assert os.stat(tmp_path).st_mode & 0o077 == 0
    path = tmp_path / "policy.yaml"
    path.write_text(certs.policy_with(tmp_path))
    lab.ctl("policy", "push", str(path))
    with certs.open_secure(lab, TRUSTED + "40", context(tmp_path)) as client:
        assert client.command("NOOP").code == 250
