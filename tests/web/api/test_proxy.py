"""Behind a proxy: who is answered, and who is believed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from gigaforge.ledger import Actor
from gigaforge.ledger.access import issue
from gigaforge.web.app import create_app
from gigaforge.web.proxy import BehindProxy
from gigaforge.web.settings import Settings
from tests.ledger.world import new_ledger

SENT = {"x-forwarded-proto": "https", "x-forwarded-for": "198.51.100.7"}


@pytest.fixture
def served(tmp_path: Path):
    """A client that comes from an address, with a token that holds."""
    where = str(tmp_path / "ledger.db")
    with new_ledger(where, tmp_path) as ledger:
        secret = issue(ledger.engine, Actor.parse("openai/ann"), "auditor", timedelta(hours=1))[1]
    app = create_app(Settings(ledger=where, host="0.0.0.0", behind_proxy="10.9.9.9"))  # noqa: S104
    with TestClient(app):
        yield lambda peer: TestClient(
            app, base_url="http://10.0.0.1", client=(peer, 4000), headers={"authorization": f"Bearer {secret}"}
        )


@pytest.mark.parametrize("peer", ["10.9.9.9", "::ffff:10.9.9.9", "127.0.0.1", "::1"])
def test_the_proxy_and_this_machine_are_answered(peer: str, served) -> None:
    assert served(peer).get("/api/v1/state", headers=SENT).status_code == 200


@pytest.mark.parametrize("peer", ["10.9.9.8", "192.0.2.1", "2001:db8::1", "::ffff:10.9.9.8", "somewhere"])
def test_whoever_else_asks_is_refused_whatever_they_say(peer: str, served) -> None:
    client = served(peer)
    for headers in ({}, SENT, {"x-forwarded-for": "10.9.9.9"}, {"x-forwarded-for": "127.0.0.1"}):
        answers = [client.get(p, headers=headers) for p in ("/api/v1/state", "/login", "/", "/api/v1/health")]
        answers.append(client.post("/login", data={"token": "gfl_x"}, headers=headers))
        assert [answer.status_code for answer in answers] == [403] * 5
        assert answers[0].json()["type"] == "gigaforge:proxy"
        assert "set-cookie" not in answers[-1].headers


@pytest.mark.parametrize(
    ("peer", "seen"), [("10.9.9.9", ("https", "198.51.100.7")), ("127.0.0.1", ("http", "127.0.0.1"))]
)
def test_only_the_proxy_is_believed_about_who_asks(peer: str, seen: tuple[str, str]) -> None:
    found = []

    async def app(scope, receive, send) -> None:
        found.append((scope["scheme"], scope["client"][0]))
        await PlainTextResponse("")(scope, receive, send)

    TestClient(BehindProxy(app, "10.9.9.9"), client=(peer, 4000)).get("/", headers=SENT)
    assert found == [seen]
