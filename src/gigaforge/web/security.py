"""Who asks, and may they: tokens, browser sessions, where a request comes from, how often, how large, and safe headers.

Cross-site requests are told by the headers that browsers themselves set (Sec-Fetch-Site, and Origin against Host), not by
secrets in forms: a request that changes something and carries a session must come from this very site.

References
----------
.. [1] https://words.filippo.io/csrf/ (why Sec-Fetch-Site and Origin are enough, as Go 1.25 does).

"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from gigaforge.ledger import Actor, Ledger
from gigaforge.ledger.access import Identity, identify, session_identity
from gigaforge.web.problems import ProblemError, bug, for_reader, problem
from gigaforge.web.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "COOKIE", "LOCAL", "Guard", "RateLimit", "book", "identity", "maybe_identity", "require", "same_site", "settings_of",
]  # fmt: skip

COOKIE: Final = "gigaforge_session"
LOCAL: Final = Identity(Actor("local", "you"), "auditor", session=True)
"""Whoever sits at this machine, where no ledger is served: reads and computes; there is nothing to record."""
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_UPLOADS: Final = ("/api/v1/evidence/", "/api/v1/imports/", "/upload")
_WORDS: Final = {
    "read-evidence": "read evidence", "attach": "store evidence", "approve": "decide: approve, reject, record a payment, dispute", "audit": "audit",
    "compute": "start work on this server",
}  # fmt: skip
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def settings_of(request: Request) -> Settings:
    """The server's settings."""
    return cast("Settings", request.app.state.settings)


def book(request: Request) -> Ledger:
    """The ledger that is served; refused where there is none."""
    found = request.app.state.ledger
    if found is None:
        raise ProblemError(404, "no-ledger", "this server shows no ledger; start it with --ledger")
    return cast("Ledger", found)


def maybe_identity(request: Request) -> Identity | None:
    """Who asks, by token or session; None for a stranger. A token that does not hold is refused at once."""
    if not hasattr(request.state, "identity"):
        request.state.identity = _find(request)
    found: Identity | None = request.state.identity
    return found


def _find(request: Request) -> Identity | None:
    if request.app.state.ledger is None:
        if request.url.hostname not in _HERE:  # another site's name that leads here (DNS rebinding)
            raise ProblemError(403, "host", "without a ledger, the page answers on this machine's own address only")
        return LOCAL
    engine = book(request).engine
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, secret = given.partition(" ")
        found = identify(engine, secret.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise ProblemError(
                401, "token", "this token is unknown, expired or revoked", {"www-authenticate": "Bearer"}
            )
        return found
    cookie = request.cookies.get(COOKIE)
    return session_identity(engine, cookie) if cookie else None


def identity(request: Request) -> Identity:
    """Who asks; a stranger is refused, and so is a session's request from another site."""
    found = maybe_identity(request)
    if found is None:
        raise ProblemError(
            401, "log-in", "log in, or send a token as 'Authorization: Bearer ...'", {"www-authenticate": "Bearer"}
        )
    if found.session and request.method not in _SAFE:
        same_site(request)
    return found


def same_site(request: Request) -> None:
    """Refuse a request that another site made the browser send."""
    fetched = request.headers.get("sec-fetch-site")
    if fetched in ("same-origin", "none"):
        return
    origin = request.headers.get("origin")
    if fetched is None and origin is not None and urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise ProblemError(403, "cross-site", "this request comes from another site")


def require(permission: str) -> Callable[[Request], Identity]:
    """A dependency: somebody whose role allows it."""

    def check(request: Request) -> Identity:
        found = identity(request)
        if not found.may(permission):
            raise ProblemError(403, "role", f"the role {found.role!r} may not {_WORDS.get(permission, permission)}")
        return found

    return check


Reader = Annotated[Identity, Depends(require("read"))]


class RateLimit:
    """A bucket for each caller that refills by the minute; the oldest callers are forgotten first."""

    def __init__(self, per_minute: int, callers: int = 10_000) -> None:
        self._rate = per_minute / 60.0
        self._full = float(per_minute)
        self._callers = callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str, cost: float = 1.0) -> float:
        """Seconds until the caller may go on; 0 lets it through now. [s]"""
        now = time.monotonic()
        level, then = self._buckets.pop(caller, (self._full, now))
        level = min(self._full, level + (now - then) * self._rate)
        allowed = level >= cost
        self._buckets[caller] = (level - cost if allowed else level, now)
        while len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (cost - level) / self._rate


class Guard:
    """Around the whole application: how often, how large, and the headers of every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._limit = RateLimit(settings.requests_per_minute)
        self._headers = dict(_HEADERS)
        if settings.secure:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                out = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    out.setdefault(name, value)
                if "cache-control" not in out:
                    out["cache-control"] = "no-store"
            await send(message)

        refused = self._refusal(scope, headers)
        if refused is not None:
            await for_reader(Request(scope), refused)(scope, receive, answer)
            return
        try:
            await self._app(scope, _Bounded(receive, self._largest(scope)), answer)
        except Exception as error:
            if begun:  # too late to say anything else
                raise
            await bug(Request(scope), error)(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> Any:
        caller = headers.get("authorization") or (scope.get("client") or ("?",))[0]
        known = "authorization" in headers or COOKIE in headers.get("cookie", "")
        wait = self._limit.wait_s(str(caller), 1.0 if known else 10.0)
        if wait:
            seconds = str(max(1, round(wait)))
            return problem(429, "too-often", f"too many requests; wait {seconds} s", headers={"retry-after": seconds})
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._largest(scope):
            return problem(413, "too-large", f"a body here has at most {self._largest(scope):,} bytes")
        return None

    def _largest(self, scope: Scope) -> int:
        upload = any(part in scope["path"] for part in _UPLOADS)
        return self._settings.upload_bytes if upload else self._settings.body_bytes


class _Bounded:
    """Stops a body that is longer than it said."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413, "the body is larger than allowed")
        return message
