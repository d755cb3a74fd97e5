"""Log in through an identity provider: OpenID Connect, authorisation code with PKCE.

References
----------
.. [1] OpenID Connect Core 1.0, https://openid.net/specs/openid-connect-core-1_0.html.
.. [2] RFC 7636, Proof Key for Code Exchange, https://www.rfc-editor.org/rfc/rfc7636.

"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gigaforge.errors import InputError
from gigaforge.ledger import Actor
from gigaforge.ledger.access import ROLES, Identity, open_session
from gigaforge.web.pages.login import begin_session
from gigaforge.web.problems import ProblemError
from gigaforge.web.security import book
from gigaforge.web.settings import Oidc

__all__ = ["Provider", "challenge_of", "oidc_router"]

_COOKIE: Final = "gigaforge_oidc"
_LIFE_S: Final = 600.0
_WAITING: Final = 1000
"""Log-ins under way at once; the oldest are forgotten first."""
_ALGORITHMS: Final = ["RS256", "ES256", "PS256", "EdDSA"]
_LEEWAY_S: Final = 60


def challenge_of(verifier: str) -> str:
    """What the provider is shown of a secret that it will be told later (S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


@dataclass(frozen=True)
class _Waiting:
    nonce: str
    verifier: str
    onward: str
    until: float


class Provider:
    """The identity provider, as far as a log-in needs it.

    Parameters
    ----------
    settings : Oidc
        Issuer, client, and which claims say what.
    client : httpx.Client, optional
        What to ask it with.

    """

    def __init__(self, settings: Oidc, client: httpx.Client | None = None) -> None:
        self._settings = settings
        self._client = client or httpx.Client(timeout=10.0)
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()

    def begin(self, redirect: str, onward: str) -> tuple[str, str]:
        """The provider's address to send the browser to, and the state to keep in its cookie."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        with self._lock:
            self._waiting[state] = _Waiting(nonce, verifier, onward, time.monotonic() + _LIFE_S)
            for old in list(self._waiting)[:-_WAITING]:
                del self._waiting[old]
        query = {
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": redirect, "state": state,
            "scope": "openid profile", "nonce": nonce, "code_challenge_method": "S256",
            "code_challenge": challenge_of(verifier),
        }  # fmt: skip
        return f"{self._about()['authorization_endpoint']}?{urlencode(query)}", state

    def finish(self, state: str, code: str, redirect: str) -> tuple[Identity, str]:
        """Who logged in, and where they wanted to go; works once for each state."""
        with self._lock:
            waiting = self._waiting.pop(state, None)
        if waiting is None or waiting.until < time.monotonic():
            raise ProblemError(401, "log-in", "this log-in is unknown or too old; begin again")
        about = self._about()
        answer = self._ask(
            "POST", about["token_endpoint"], auth=(self._settings.client_id, self._settings.client_secret),
            data={"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": waiting.verifier},
        )  # fmt: skip
        claims = self._claims(str(answer.get("id_token", "")), self._ask("GET", about["jwks_uri"]))
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), waiting.nonce.encode()):
            raise ProblemError(401, "log-in", "the identity provider answered another log-in")
        return self._identity(claims), waiting.onward

    def _about(self) -> dict[str, Any]:
        issuer = self._settings.issuer.rstrip("/")
        about = self._ask("GET", f"{issuer}/.well-known/openid-configuration")
        ends = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if str(about.get("issuer", "")).rstrip("/") != issuer:
            raise ProblemError(503, "provider", "the identity provider calls itself by another name")
        if not all(str(about.get(end, "")).startswith("https://") for end in ends):
            raise ProblemError(503, "provider", "the identity provider lacks an https address that a log-in needs")
        return about

    def _ask(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, address, **more)
            told = answer.json()
        except (httpx.HTTPError, ValueError):
            raise ProblemError(503, "provider", "the identity provider does not answer") from None
        if answer.status_code != 200 or not isinstance(told, dict):
            raise ProblemError(401, "log-in", "the identity provider refused this log-in")
        return told

    def _claims(self, token: str, keys: dict[str, Any]) -> dict[str, Any]:
        rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={
                "essential": True,
                "values": [self._settings.issuer.rstrip("/"), self._settings.issuer.rstrip("/") + "/"],
            },
            aud={"essential": True, "value": self._settings.client_id},
            exp={"essential": True},
        )
        try:
            found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS)  # type: ignore[arg-type]
            rules.validate(found.claims)
        except (JoseError, ValueError, KeyError, TypeError):
            raise ProblemError(401, "log-in", "the identity provider's token does not hold") from None
        return dict(found.claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        settings = self._settings
        party, role, person = (
            str(claims.get(n, "")) for n in (settings.party_claim, settings.role_claim, settings.person_claim)
        )
        if role not in ROLES:
            raise ProblemError(
                403, "role", f"the identity provider gives no role of the ledger in {settings.role_claim!r}"
            )
        try:
            return Identity(Actor(party, person.lower()), role)
        except InputError as problem:
            raise ProblemError(403, "role", f"the identity provider's names do not fit: {problem.problem}") from None


def oidc_router(provider: Provider) -> APIRouter:
    """The two routes of a log-in."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login/oidc")
    def begin(request: Request, next: str = "/") -> Response:  # noqa: A002 (the parameter's name in the address)
        address, state = provider.begin(str(request.url_for("finish_oidc")), next)
        answer = RedirectResponse(address, 303)
        # Lax, not strict: the provider's own redirection must bring it back.
        answer.set_cookie(
            _COOKIE, state, max_age=int(_LIFE_S), httponly=True, samesite="lax", secure=request.url.scheme == "https"
        )
        return answer

    @router.get("/login/oidc/callback", name="finish_oidc")
    def finish(request: Request, state: str = "", code: str = "") -> Response:
        kept = request.cookies.get(_COOKIE, "")
        if not state or not code or not hmac.compare_digest(kept.encode(), state.encode()):
            raise ProblemError(401, "log-in", "this log-in was not begun in this browser; begin again")
        who, onward = provider.finish(state, code, str(request.url_for("finish_oidc")))
        if who.actor.party not in book(request).state().parties:
            raise ProblemError(403, "role", f"{who.actor.party!r} is not a party of this ledger")
        answer = begin_session(request, open_session(book(request).engine, who), onward)
        answer.delete_cookie(_COOKIE)
        return answer

    return router
