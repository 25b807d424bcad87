# SPDX-License-Identifier: Apache-2.0
"""Policies for tests: what an operator writes, with short times. The lab supplies ports, DNS and store.

Client networks with a meaning of their own, beside those that the lab's DNS knows (deploy/lablib/names.py):
"""

TRUSTED = "198.18.90."   # networks.trusted
DENIED = "198.18.91."    # networks.deny
ALLOWED = "198.18.92."   # networks.allow
LISTED = "198.18.10."    # bl.greyline.test lists it
SCORED = "198.18.11."    # score.greyline.test lists it
WELCOME = "198.18.12."   # wl.greyline.test, an allow zone, lists it
NO_PTR = "198.18.66."
UNCONFIRMED = "198.18.67."
PEERS = ("198.18.0.0/24", '"2001:2::/120"')  # where those of bridge/peer.py are: only with trusted=PEERS

BLOCK_SEC = 2
WINDOW_SEC = 12


POOLS = "{main: {servers: [{address: 198.19.0.10, port: 25}], check_interval: 500ms}}"
DOMAINS = "{example.org: {pool: main}, example.net: {pool: main}}"
LISTENERS = '[{name: mx, front: [198.18.0.25, "2001:2::25"], greet_delay: 300ms}]'


def policy(block=f"{BLOCK_SEC}s", window=f"{WINDOW_SEC}s", pools=POOLS, domains=DOMAINS, listeners=LISTENERS,
           trusted=(), deny=f"[{DENIED}0/24]", more_policies="", more=""):
    """The text of a policy. listeners None: the lab supplies them. trusted: networks beside TRUSTED."""
    return f"""
domains: {domains}
pools: {pools}
networks:
    trusted: [{", ".join((*trusted, f"{TRUSTED}0/24"))}]
    allow: [{ALLOWED}0/24]
    deny: {deny}
limits: {{connections_per_network: 0}}
zones:
    - {{zone: bl.greyline.test, score: 10, smtp_blocking: true}}
    - {{zone: score.greyline.test, score: 30}}
    - {{zone: wl.greyline.test, kind: allow, score: -10}}
policies:
    default:
        greylist: {{block: {block}, window: {window}}}
        reverse_dns: {{missing: reject, unconfirmed: score, unconfirmed_score: 5}}
    {more_policies}
{f"listeners: {listeners}" if listeners else ""}
{more}
"""
