"""Names and passwords in addresses.

One decision: a login is parted from its address before anything else is done with it, so that none is written or shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Login:
    """A name and a password for one server; never written or shown."""

    host: str
    name: str
    password: str = field(repr=False)


def split_login(url: str) -> tuple[str, Login | None]:
    """An address without the name and password that it may hold, and those."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if host == parts.netloc:
        return url, None
    login = Login(host, unquote(parts.username or ""), unquote(parts.password or ""))
    return parts._replace(netloc=host).geturl(), login
