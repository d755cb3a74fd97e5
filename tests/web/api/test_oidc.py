"""Log-in through an identity provider, with a provider of our own that can also lie."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import RSAKey

from gigaforge.ledger import Actor
from gigaforge.ledger.access import issue
from gigaforge.web.security import COOKIE
from gigaforge.web.security_oidc import Provider, challenge_of, oidc_router
from gigaforge.web.settings import Oidc

ISSUER = "https://idp.example"


class Idp:
    """Answers as a provider does; `claims` and `key` let it lie."""

    def __init__(self) -> None:
        self.honest = self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.claims: dict = {}
        self.query: dict = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            return httpx.Response(200, json={"issuer": ISSUER, **{n: f"{ISSUER}/{p}" for n, p in ends.items()}})
        if request.url.path == "/keys":
            return httpx.Response(200, json={"keys": [self.honest.as_dict(private=False)]})
        sent = parse_qs(request.content.decode())
        if challenge_of(sent["code_verifier"][0]) != self.query["code_challenge"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "client", "exp": now + 60, "nonce": self.query["nonce"], "gigaforge_party": "crusoe",
                  "gigaforge_role": "recorder", "preferred_username": "Eve", **self.claims}  # fmt: skip
        return httpx.Response(200, json={"id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)})


@pytest.fixture
def idp(app: FastAPI) -> Idp:
    found = Idp()
    client = httpx.Client(transport=httpx.MockTransport(found))
    app.include_router(oidc_router(Provider(Oidc(ISSUER, "client", "secret"), client)))
    return found


def log_in(app: FastAPI, idp: Idp, **changes: str) -> tuple[TestClient, int]:
    browser = TestClient(app, base_url="http://127.0.0.1")
    sent = browser.get("/login/oidc?next=/record", follow_redirects=False)
    idp.query = {n: v[0] for n, v in parse_qs(urlsplit(sent.headers["location"]).query).items()}
    back = {"state": idp.query["state"], "code": "c"} | changes
    return browser, browser.get("/login/oidc/callback", params=back, follow_redirects=False).status_code


def test_a_person_of_a_party_logs_in(app: FastAPI, idp: Idp) -> None:
    browser, status = log_in(app, idp)
    assert status == 200
    assert browser.get("/api/v1/me").json() == {"party": "crusoe", "person": "eve", "role": "recorder"}
    assert (
        browser.get(
            "/login/oidc/callback", params={"state": idp.query["state"], "code": "c"}, follow_redirects=False
        ).status_code
        != 200
    )


@pytest.mark.parametrize(
    "lie",
    [{"aud": "another"}, {"iss": "https://evil.example"}, {"exp": 1}, {"nonce": "other"}, {"gigaforge_role": "root"},
     {"gigaforge_party": "nobody"}, {"preferred_username": "../eve"}],
    ids=json.dumps,
)  # fmt: skip
def test_a_token_that_does_not_hold_logs_nobody_in(lie: dict, app: FastAPI, idp: Idp) -> None:
    idp.claims = lie
    browser, status = log_in(app, idp)
    assert status in (303, 401, 403)  # 303: a browser is led to the log-in page
    assert browser.get("/api/v1/me").status_code == 401


def test_who_logged_in_is_listed_and_logged_out_by_their_party(app: FastAPI, idp: Idp) -> None:
    def admin(party: str) -> TestClient:
        secret = issue(app.state.ledger.engine, Actor(party, "adm"), "admin", timedelta(hours=1))[1]
        return TestClient(app, base_url="http://127.0.0.1", headers={"authorization": f"Bearer {secret}"})

    (eve, _), (other, _) = log_in(app, idp), log_in(app, idp)
    own, rival = admin("crusoe"), admin("openai")
    listed = [row for row in own.get("/api/v1/tokens").json()["tokens"] if row["person"] == "eve"]
    assert [(row["party"], row["role"], row["revoked_at"]) for row in listed] == [("crusoe", "recorder", None)] * 2
    assert not any(row["person"] == "eve" for row in rival.get("/api/v1/tokens").json()["tokens"])
    first = hashlib.sha256(eve.cookies[COOKIE].encode()).hexdigest()[:16]
    assert first in [row["id"] for row in listed]
    assert rival.delete(f"/api/v1/tokens/{first}").status_code == 404
    assert eve.get("/api/v1/me").status_code == 200
    assert own.delete(f"/api/v1/tokens/{first}").status_code == 204
    assert eve.get("/api/v1/me").status_code == 401
    assert other.get("/api/v1/me").status_code == 200
    assert own.delete(f"/api/v1/tokens/{first}").status_code == 404


def test_nor_does_another_key_another_browser_or_another_state(app: FastAPI, idp: Idp) -> None:
    assert log_in(app, idp, state="forged")[1] != 200
    log_in(app, idp)
    stranger = TestClient(app, base_url="http://127.0.0.1")
    assert (
        stranger.get(
            "/login/oidc/callback", params={"state": idp.query["state"], "code": "c"}, follow_redirects=False
        ).status_code
        != 200
    )
    idp.key = RSAKey.generate_key(2048, {"kid": "1"})
    assert log_in(app, idp)[1] != 200
