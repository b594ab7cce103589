"""Whether an address stays on this machine: secrets may cross it without TLS."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Names other than `localhost` are not looked up, and so are not believed to be local."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
