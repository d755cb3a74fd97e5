"""Addresses that log one browser in, once: printed on the terminal of whoever starts the server."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

from gigaforge.ledger.access import Identity
from gigaforge.ledger.canonical import sha256

__all__ = ["OneTimeLinks"]

_LIFE_S: Final = 600.0
"""[s] How long an address works."""


class OneTimeLinks:
    """Secrets that each stand for somebody until first used; kept in memory, by hash."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Identity, float]] = {}
        self._lock = threading.Lock()

    def make(self, who: Identity) -> str:
        """A new secret."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._known[sha256(secret.encode())] = who, time.monotonic() + _LIFE_S
        return secret

    def take(self, secret: str) -> Identity | None:
        """Who it stands for; None where it is unknown, used or too old. It works no second time."""
        with self._lock:
            found = self._known.pop(sha256(secret.encode("utf-8", "surrogatepass")), None)
        return None if found is None or found[1] < time.monotonic() else found[0]
