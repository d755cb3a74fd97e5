"""Who may use the ledger through the API: tokens of a party's people, with a role, an end and a record of what they read.

A token is 256 random bits, so a plain SHA-256 of it is all that the database needs to keep: there is nothing to guess.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gigaforge.errors import InputError
from gigaforge.ledger.canonical import sha256
from gigaforge.ledger.errors import UnknownError
from gigaforge.ledger.event import Actor, timestamp
from gigaforge.ledger.storage import access_log, plain_writing, reading, sessions, tokens

__all__ = [
    "PERMISSIONS", "ROLES", "Identity", "close_session", "identify", "issue", "list_tokens", "log_read", "open_session",
    "read_log", "revoke", "session_identity",
]  # fmt: skip

ROLES: Final = ("viewer", "recorder", "approver", "auditor", "admin")
PERMISSIONS: Final[Mapping[str, frozenset[str]]] = {
    "read": frozenset(ROLES),
    "read-evidence": frozenset({"recorder", "approver", "auditor", "admin"}),
    "attach": frozenset({"recorder", "approver"}),
    "record": frozenset({"recorder"}),
    "claim": frozenset({"recorder"}),
    "approve": frozenset({"approver"}),
    "audit": frozenset({"auditor", "admin"}),
    "administer": frozenset({"admin"}),
    "compute": frozenset({"recorder", "approver", "auditor", "admin"}),
}
"""What each role may do. Whoever administers neither records nor approves, and whoever records does not approve."""

_PREFIX: Final = "gfl_"
_LONGEST: Final = timedelta(days=366)
_SESSION: Final = timedelta(hours=12)
_NAME: Final = 16
"""Hexadecimal digits that name a token or a session."""


@dataclass(frozen=True)
class Identity:
    """Who asks.

    Attributes
    ----------
    actor : Actor
        Person and party.
    role : str
        One of `ROLES`.
    token : str
        Identifier of the token, empty for a person who logged in through an identity provider.
    session : bool
        Came with a browser's cookie: requests that change something must prove where they come from.

    """

    actor: Actor
    role: str
    token: str = ""
    session: bool = False

    def may(self, permission: str) -> bool:
        """Whether the role allows it."""
        return self.role in PERMISSIONS[permission]


def _now() -> str:
    return timestamp(datetime.now(UTC))


def issue(engine: Engine, actor: Actor, role: str, lifetime: timedelta, label: str = "") -> tuple[str, str]:
    """Make a token; returns its identifier and the token itself, which is shown once and never stored.

    Raises
    ------
    InputError
        An unknown role, or a lifetime of none or more than a year.

    """
    if role not in ROLES:
        raise InputError(f"{role!r} is not a role; known: {', '.join(ROLES)}", "role")
    if not timedelta(0) < lifetime <= _LONGEST:
        raise InputError("a token lives for more than nothing and at most 366 days", "expires")
    identifier, secret = secrets.token_hex(8), _PREFIX + secrets.token_urlsafe(32)
    row = {
        "id": identifier, "sha256": sha256(secret.encode()), "party": actor.party, "person": actor.person, "role": role,
        "label": label[:200], "created_at": _now(), "expires_at": timestamp(datetime.now(UTC) + lifetime), "revoked_at": None,
    }  # fmt: skip
    with plain_writing(engine) as connection:
        connection.execute(sa.insert(tokens).values(row))
    return identifier, secret


def identify(engine: Engine, secret: str) -> Identity | None:
    """Who holds a token; None where it is unknown, expired or revoked."""
    digest = sha256(secret.encode("utf-8", "surrogatepass"))
    with reading(engine) as connection:
        row = connection.execute(sa.select(tokens).where(tokens.c.sha256 == digest)).first()
    if row is None or not hmac.compare_digest(row.sha256, digest) or row.revoked_at or row.expires_at <= _now():
        return None
    return Identity(Actor(row.party, row.person), row.role, row.id)


def list_tokens(engine: Engine, party: str | None = None) -> list[dict[str, Any]]:
    """Tokens (of a party), and browsers that are logged in without one, without anything that would let one use them."""
    query = sa.select(tokens).order_by(tokens.c.created_at, tokens.c.id)
    browsers = sa.select(sessions).where(sessions.c.token.is_(None), sessions.c.expires_at > _now())
    browsers = browsers.order_by(sessions.c.expires_at, sessions.c.sha256)
    if party is not None:
        query, browsers = query.where(tokens.c.party == party), browsers.where(sessions.c.party == party)
    with reading(engine) as connection:
        found = [{n: v for n, v in row._mapping.items() if n != "sha256"} for row in connection.execute(query)]  # noqa: SLF001
        return found + [_browser(row) for row in connection.execute(browsers)]


def _browser(row: sa.Row[Any]) -> dict[str, Any]:
    """A session as a token is listed; the first digits of the secret's hash name it, and open nothing."""
    return {
        "id": row.sha256[:_NAME], "party": row.party, "person": row.person, "role": row.role, "label": "a browser, logged in without a token",
        "created_at": timestamp(datetime.fromisoformat(row.expires_at) - _SESSION), "expires_at": row.expires_at, "revoked_at": None,
    }  # fmt: skip


def revoke(engine: Engine, identifier: str, party: str | None = None) -> None:
    """End a token and its sessions, or one browser's session, at once; `UnknownError` where the party has none of that name."""
    with plain_writing(engine) as connection:
        query = (
            sa.update(tokens)
            .where(tokens.c.id == identifier, tokens.c.revoked_at.is_(None))
            .values(revoked_at=_now())
        )
        if party is not None:
            query = query.where(tokens.c.party == party)
        if connection.execute(query).rowcount == 1:
            connection.execute(sa.delete(sessions).where(sessions.c.token == identifier))
            return
        browser = sa.delete(sessions).where(
            sessions.c.token.is_(None), sa.func.substr(sessions.c.sha256, 1, _NAME) == identifier
        )
        if party is not None:
            browser = browser.where(sessions.c.party == party)
        if not connection.execute(browser).rowcount:
            raise UnknownError(f"no token {identifier[:40]!r} is in use")


def open_session(engine: Engine, who: Identity) -> str:
    """A browser's session: returns the cookie's secret."""
    secret = secrets.token_urlsafe(32)
    row = {
        "sha256": sha256(secret.encode()), "token": who.token or None, "party": who.actor.party,
        "person": who.actor.person, "role": who.role, "expires_at": timestamp(datetime.now(UTC) + _SESSION),
    }  # fmt: skip
    with plain_writing(engine) as connection:
        connection.execute(sa.delete(sessions).where(sessions.c.expires_at <= _now()))
        connection.execute(sa.insert(sessions).values(row))
    return secret


def session_identity(engine: Engine, secret: str) -> Identity | None:
    """Who a session belongs to; None where it ended, or its token did."""
    digest = sha256(secret.encode("utf-8", "surrogatepass"))
    query = (
        sa.select(sessions, tokens.c.revoked_at, tokens.c.expires_at.label("token_end"))
        .join(tokens, tokens.c.id == sessions.c.token, isouter=True)
        .where(sessions.c.sha256 == digest)
    )
    with reading(engine) as connection:
        row = connection.execute(query).first()
    now = _now()
    if row is None or row.expires_at <= now or row.revoked_at or (row.token_end and row.token_end <= now):
        return None
    return Identity(Actor(row.party, row.person), row.role, row.token or "", session=True)


def close_session(engine: Engine, secret: str) -> None:
    """Log out."""
    with plain_writing(engine) as connection:
        connection.execute(
            sa.delete(sessions).where(sessions.c.sha256 == sha256(secret.encode("utf-8", "surrogatepass")))
        )


def log_read(engine: Engine, who: Actor, what: str) -> None:
    """Note that somebody read a sensitive figure."""
    row = {"at": _now(), "party": who.party, "person": who.person, "what": what[:200]}
    with plain_writing(engine) as connection:
        connection.execute(sa.insert(access_log).values(row))


def read_log(engine: Engine, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """What was read, by whom and when."""
    query = sa.select(access_log).where(access_log.c.id > after).order_by(access_log.c.id).limit(limit)
    with reading(engine) as connection:
        return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001
