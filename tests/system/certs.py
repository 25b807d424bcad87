# SPDX-License-Identifier: Apache-2.0
"""Self-made certificates for labs, with keys that only greyline-keys may read, and clients that use TLS."""

import contextlib
import os
import pwd
import shutil
import ssl
import subprocess
import tempfile

from lablib import appliance

import labs
from policies import policy

HOST = "mx.greyline.test"
REQUIRED_PORT = 2525  # of a listener that takes no mail in clear


@contextlib.contextmanager
def directory():
    """Where the dataplane's user may read certificates; pytest's own directories are closed to it."""
    path = tempfile.mkdtemp(prefix="greyline-certs.")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def make(path, kind, host=HOST, days=30):
    """PATH.crt and PATH.key, self-signed; the certificate comes first, as docs/TLS.md says."""
    key = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", *key, "-nodes", "-keyout", path + ".key.new", "-out", path + ".crt.new",
                    "-days", str(days), "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"],
                   check=True, capture_output=True)
    os.chmod(path + ".crt.new", 0o644)
    os.chmod(path + ".key.new", 0o400)
    os.chown(path + ".key.new", pwd.getpwnam(appliance.keys_user()).pw_uid, -1)
    os.rename(path + ".crt.new", path + ".crt")
    os.rename(path + ".key.new", path + ".key")


def policy_with(where, second="rsa", **more):
    certificates = ", ".join(f"{{cert: {where}/{name}.crt, key: {where}/{name}.key}}" for name in ("ec", second))
    return policy(listeners=f"""
    - {{name: mx, front: [198.18.0.25, "2001:2::25"], greet_delay: 0, tls: {{certificates: [{certificates}]}}}}
    - {{name: strict, front: [198.18.0.25], port: {REQUIRED_PORT}, greet_delay: 0,
        tls: {{mode: required, certificates: [{certificates}]}}}}""", **more)


def context(verify=None, kind="ec", version=None):
    """A client's side: verify is the certificate that must be shown; kind chooses what TLS 1.2 can be signed with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_2:
        made.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384" if kind == "rsa" else "ECDHE-ECDSA-AES256-GCM-SHA384")
    if verify:
        made.load_verify_locations(verify)
        made.check_hostname = True
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def secure(client, made=None):
    """Go on in TLS with a connection that has said STARTTLS."""
    client.sock = (made or context()).wrap_socket(client.sock, server_hostname=HOST)
    client.pending = b""


def open_secure(lab, source, made=None):
    client = lab.client(source)
    assert "STARTTLS" in client.hello().lines
    assert client.command("STARTTLS").code == 220
    secure(client, made)
    assert "STARTTLS" not in client.command("EHLO client.greyline.test").lines
    return client


def wait_served(lab, source, certificate):
    """Until new clients are shown this certificate, which a file has only just got."""
    made = context(verify=certificate)

    def is_served():
        try:
            with open_secure(lab, source, made) as client:
                return client.quit().code == 221
        except ssl.SSLCertVerificationError:
            return False

    labs.wait_until(is_served, 20 * labs.SLOW, "the renewed certificate is served")
