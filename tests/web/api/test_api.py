"""What the API promises to those who call it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from gigaforge.errors import InputError
from gigaforge.ledger import Actor, Ledger, access, verify
from gigaforge.ledger.kinds import KINDS
from gigaforge.ledger.storage import tokens
from gigaforge.web import api
from gigaforge.web.api.events import NEEDED
from gigaforge.web.api.strict import StrictRoute
from gigaforge.web.app import create_app
from gigaforge.web.security import COOKIE
from gigaforge.web.settings import Oidc, Settings

Caller = Callable[..., TestClient]


def key(text: str) -> dict[str, str]:
    return {"idempotency-key": text}


def meter(day: int) -> dict:
    data = {"site": "abilene", "since": f"2026-07-{day:02d}", "until": f"2026-07-{day + 1:02d}", "energy_j": 5}
    return {"kind": "meter", "data": data}


def test_a_tranche_through_the_api(caller: Caller, ledger: Ledger) -> None:
    ann, bob = caller("openai/ann", "recorder"), caller("openai/bob", "approver")
    cho, dan = caller("nvidia/cho", "approver"), caller("nvidia/dan", "approver")
    claim = ann.post("/api/v1/claims", json={}, headers=key("c"))
    assert claim.status_code == 201
    assert ann.post("/api/v1/claims", json={}, headers=key("c")).json() == claim.json()
    seq = claim.json()["seq"]
    early = dan.post(f"/api/v1/claims/{seq}/release", json={"reference": "w"}, headers=key("early"))
    assert (early.status_code, early.json()["type"]) == (409, "gigaforge:not-approved")
    for who in (bob, cho):
        assert who.post(f"/api/v1/events/{seq}/decisions", json={}, headers=key("yes")).status_code == 201
    paid = dan.post(f"/api/v1/claims/{seq}/release", json={"reference": "wire 1"}, headers=key("r"))
    assert paid.status_code == 201
    state = dan.get("/api/v1/state").json()
    assert state["released_usd"] == 10_000_000
    assert dan.get("/api/v1/statements/1").json()["statement"]["claim"]["status"] == "released"
    assert verify(ledger.engine).sound


def test_who_decides_attaches_what_the_decision_rests_on(caller: Caller, ledger: Ledger) -> None:
    """An approver stores a file, and every decision, payment and objection may name it."""
    ann, bob = caller("openai/ann", "recorder"), caller("openai/bob", "approver")
    cho, dan = caller("nvidia/cho", "approver"), caller("nvidia/dan", "approver")

    def stored(who: TestClient, content: bytes) -> list[dict]:
        digest = hashlib.sha256(content).hexdigest()
        return [who.put(f"/api/v1/evidence/{digest}?name=note.txt", content=content).json()]

    files = {who: stored(who, name) for who, name in ((ann, b"claim"), (bob, b"yes"), (cho, b"why"), (dan, b"wire"))}
    claim = ann.post("/api/v1/claims", json={"evidence": files[ann]}, headers=key("c")).json()
    agreed = bob.post(
        f"/api/v1/events/{claim['seq']}/decisions", json={"evidence": files[bob]}, headers=key("b")
    ).json()
    cho.post(f"/api/v1/events/{claim['seq']}/decisions", json={}, headers=key("c"))
    sent = {"reference": "wire 1", "evidence": files[dan]}
    paid = dan.post(f"/api/v1/claims/{claim['seq']}/release", json=sent, headers=key("r")).json()
    objection = {"kind": "dispute", "data": {"subject": 2, "state": "opened", "reason": "see the note"}}
    disputed = cho.post("/api/v1/events", json=objection | {"evidence": files[cho]}, headers=key("d")).json()
    for event, who in ((claim, ann), (agreed, bob), (disputed, cho), (paid, dan)):
        assert event["evidence"] == files[who], event
    unknown = {"reference": "w", "evidence": [files[dan][0] | {"sha256": "0" * 64}]}
    assert dan.post(f"/api/v1/claims/{claim['seq']}/release", json=unknown, headers=key("u")).status_code in (
        409,
        422,
    )
    assert verify(ledger.engine).sound


def test_the_document_describes_the_data_of_every_kind(app: FastAPI) -> None:
    document = app.openapi()
    kinds = {one["title"]: one["properties"] for one in document["components"]["schemas"]["EventIn"]["oneOf"]}
    assert set(kinds) == set(NEEDED)
    for kind, parts in kinds.items():
        assert parts["kind"]["const"] == kind
        fields = KINDS[kind].model_fields
        assert set(parts["data"]["properties"]) == set(fields)
        assert set(parts["data"].get("required", [])) == {n for n, f in fields.items() if f.is_required()}
        assert "#/$defs/" not in json.dumps(parts)
    summaries = [how["summary"] for ways in document["paths"].values() for how in ways.values()]
    assert all(" " in words for words in summaries)
    assert len(set(summaries)) == len(summaries)


def test_a_key_records_once_and_whoever_is_late_is_told(caller: Caller) -> None:
    eve = caller("crusoe/eve", "recorder")
    head = eve.get("/api/v1/state").headers["etag"]
    first = eve.post("/api/v1/events", json=meter(1), headers=key("m") | {"if-match": head})
    again = eve.post("/api/v1/events", json=meter(1), headers=key("m") | {"if-match": head})
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    other = eve.post("/api/v1/events", json=meter(5), headers=key("m"))
    assert (other.status_code, other.json()["type"]) == (409, "gigaforge:key-reused")
    late = eve.post("/api/v1/events", json=meter(2), headers=key("n") | {"if-match": head})
    assert (late.status_code, late.json()["head"]) == (412, first.json()["hash"])
    assert eve.post("/api/v1/events", json=meter(2)).status_code == 422


def test_pages_follow_each_other_without_gap(caller: Caller) -> None:
    client = caller("openai/ann")
    seen, after = [], 0
    while after is not None:
        page = client.get("/api/v1/events", params={"after": after, "limit": 2}).json()
        seen += [event["seq"] for event in page["events"]]
        after = page["next"]
    assert seen == list(range(1, client.get("/api/v1/state").json()["events"] + 1))
    racks = client.get("/api/v1/racks", params={"limit": 3}).json()
    assert client.get("/api/v1/racks", params={"after": racks["next"]}).json()["racks"][0]["rack"] == "R00003"
    tag = client.get("/api/v1/state").headers["etag"]
    assert client.get("/api/v1/state", headers={"if-none-match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404), ("GET", "/api/v1/events/999999", 404), ("GET", "/api/v1/events/x", 422),
        ("GET", "/api/v1/racks/NONE", 404), ("PATCH", "/api/v1/state", 405), ("GET", "/api/v1/events?limit=0", 422),
        ("POST", "/api/v1/claims", 422), ("GET", "/api/v1/statements/9", 404), ("GET", "/api/v1/events?kind=x", 422),
    ],
)  # fmt: skip
def test_every_failure_has_one_shape(method: str, path: str, status: int, caller: Caller) -> None:
    answer = caller("openai/ann", "recorder").request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(answer.json())
    assert answer.json()["status"] == status


def test_a_field_that_stands_twice_is_refused(caller: Caller) -> None:
    said = '{"kind": "meter", "data": {"site": "abilene", "since": "2026-07-01", "until": "2026-07-02", "energy_j": 5, "energy_j": 6}}'
    headers = {**key("t"), "content-type": "application/json"}
    for path in ("events", "drafts"):
        answer = caller("openai/ann", "recorder").post(f"/api/v1/{path}", content=said, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (422, "gigaforge:input")
        assert "'energy_j' stands twice" in answer.json()["detail"]


def test_every_body_of_the_api_is_read_to_the_letter() -> None:
    parts = [part.router for part in vars(api).values() if isinstance(getattr(part, "router", None), APIRouter)]
    routes = [r for part in parts for r in part.routes if isinstance(r, APIRoute) and r.body_field]
    assert len(routes) >= 7
    assert [r.path for r in routes if not isinstance(r, StrictRoute)] == []


def test_evidence_goes_in_by_its_hash_and_comes_out_as_a_download(caller: Caller, ledger: Ledger) -> None:
    ann = caller("openai/ann", "recorder")
    content = b"<script>alert(1)</script>"
    digest = hashlib.sha256(content).hexdigest()
    assert ann.put(f"/api/v1/evidence/{'0' * 64}", content=content).status_code == 422
    row = ann.put(f"/api/v1/evidence/{digest}", params={"name": "a.html"}, content=content).json()
    event = {**meter(3), "evidence": [row]}
    assert ann.post("/api/v1/events", json=event, headers=key("e")).status_code == 201
    missing = {**meter(4), "evidence": [{**row, "sha256": "1" * 64}]}
    assert ann.post("/api/v1/events", json=missing, headers=key("f")).status_code == 422
    out = ann.get(f"/api/v1/evidence/{digest}")
    assert out.content == content
    assert out.headers["content-disposition"].startswith("attachment")
    assert out.headers["content-type"] == "application/octet-stream"
    reads = caller("nvidia/aud", "auditor").get("/api/v1/reads").json()["reads"]
    assert reads[-1]["what"] == f"evidence {digest}"
    assert (reads[-1]["party"], reads[-1]["person"]) == ("openai", "ann")
    assert verify(ledger.engine).sound


@pytest.mark.parametrize(
    ("said", "asked", "kept"),
    [("text/plain", {}, "text/plain"), ("text/plain", {"media_type": "text/csv"}, "text/csv"),
     (None, {}, "application/octet-stream"), ("application/x-www-form-urlencoded", {}, "application/octet-stream")],
)  # fmt: skip
def test_evidence_is_of_the_kind_that_its_sender_said(
    said: str | None, asked: dict, kept: str, caller: Caller
) -> None:
    digest = hashlib.sha256(b"note").hexdigest()
    headers = {} if said is None else {"content-type": said}
    sent = caller("openai/ann", "recorder").put(
        f"/api/v1/evidence/{digest}", params=asked, content=b"note", headers=headers
    )
    assert sent.json()["media_type"] == kept


def test_imports_report_rows_and_record_all_or_nothing(caller: Caller) -> None:
    cho = caller("nvidia/cho", "recorder")
    good = "rack,system,site,delivered_on\nN1,rack,abilene,2026-10-01\n"
    bad = good + "N2,rack,nowhere,2026-10-01\n"
    refused = cho.post("/api/v1/imports/delivery", content=bad.encode())
    assert refused.status_code == 422
    given = {"rack": "N2", "system": "rack", "site": "nowhere", "delivered_on": "2026-10-01"}
    problem = "site 'nowhere' is not in the terms; known: abilene, elsewhere"
    assert refused.json()["errors"] == [{"row": 3, "field": "", "problem": problem, "given": given}]
    assert cho.get("/api/v1/racks/N1").status_code == 404
    sheet = cho.post("/api/v1/imports/delivery", content=b"PK\x03\x04")
    assert (sheet.status_code, "save its sheet as CSV" in sheet.json()["detail"]) == (422, True)
    kept = cho.post("/api/v1/imports/delivery", params={"resume": True}, content=bad.encode()).json()
    assert (kept["recorded"], kept["refused"]) == (1, 1)
    again = cho.post("/api/v1/imports/delivery", content=good.encode()).json()
    assert (again["recorded"], again["known"]) == (0, 1)


def test_tokens_are_hashed_at_rest_and_end(app: FastAPI, caller: Caller) -> None:
    engine = app.state.ledger.engine
    identifier, secret = access.issue(engine, Actor("openai", "ann"), "viewer", timedelta(hours=1))
    with engine.connect() as connection:
        stored = str(connection.execute(sa.select(tokens)).all())
    assert secret not in stored
    assert hashlib.sha256(secret.encode()).hexdigest() in stored
    client = caller()
    client.headers["authorization"] = f"Bearer {secret}"
    assert client.get("/api/v1/me").status_code == 200
    access.revoke(engine, identifier)
    assert client.get("/api/v1/me").status_code == 401
    with engine.begin() as connection:
        connection.execute(sa.update(tokens).values(revoked_at=None, expires_at="2026-01-01T00:00:00.000000Z"))
    assert client.get("/api/v1/me").status_code == 401


def test_a_session_acts_only_from_its_own_site(app: FastAPI, caller: Caller) -> None:
    secret = access.issue(app.state.ledger.engine, Actor("crusoe", "eve"), "recorder", timedelta(hours=1))[1]
    browser = caller()
    same = {"sec-fetch-site": "same-origin"}
    assert browser.post("/login", data={"token": secret}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    answer = browser.post("/login", data={"token": secret}, headers=same, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/api/v1/me").json()["person"] == "eve"
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {}):
        refused = browser.post("/api/v1/events", json=meter(6), headers=key("s") | headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "gigaforge:cross-site")
    assert browser.post("/api/v1/events", json=meter(6), headers=key("s") | same).status_code == 201
    stolen = browser.cookies[COOKIE]
    browser.post("/logout", headers=same)
    browser.cookies.set(COOKIE, stolen)
    assert browser.get("/api/v1/me").status_code == 401


def test_answers_carry_safe_headers(caller: Caller) -> None:
    for path in ("/api/v1/health", "/api/v1/nothing"):
        headers = caller().get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_bodies_and_requests_are_bounded(tmp_path: Path, app: FastAPI) -> None:
    where = app.state.settings.ledger
    small = create_app(Settings(ledger=where, body_bytes=100, upload_bytes=1000, requests_per_minute=60))
    with TestClient(small) as client:
        assert client.post("/api/v1/claims", content=b"x" * 101).status_code == 413
        chunked = client.post("/api/v1/claims", content=iter([b"x" * 60, b"x" * 60]))
        assert chunked.status_code == 413
        assert client.put(f"/api/v1/evidence/{'0' * 64}", content=b"x" * 1001).status_code == 413
        answers = [client.get("/api/v1/health") for _ in range(10)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "settings",
    [
        Settings(host="0.0.0.0"), Settings(host="example.org"), Settings(host="10.0.0.1"), Settings(host="::"),  # noqa: S104
        Settings(behind_proxy="proxy"), Settings(certificate=Path("cert.pem")),
        Settings(oidc=Oidc("http://idp.example", "a", "b")), Settings(oidc=Oidc("https://idp.example", "", "b")),
        Settings(oidc=Oidc("https://idp.example", "a", "")), Settings(ledger="", oidc=Oidc("https://idp.example", "a", "b")),
    ],
)  # fmt: skip
def test_unsafe_settings_are_refused(settings: Settings) -> None:
    with pytest.raises(InputError):
        settings.check()


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(host="localhost"), Settings(host="::1"), Settings(host="0.0.0.0", behind_proxy="10.0.0.2")]  # noqa: S104
)  # fmt: skip
def test_safe_settings_pass(settings: Settings) -> None:
    settings.check()


def test_long_work_tells_how_far_it_is(caller: Caller) -> None:
    client = caller("openai/ann", "auditor")
    started = client.post("/api/v1/jobs", json={"kind": "verify"})
    assert started.status_code == 202
    with client.stream("GET", f"{started.headers['location']}/progress") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        text = "".join(stream.iter_text())
    last = json.loads(text.strip().rsplit("data: ", 1)[1])
    assert last["status"] == "done"
    assert last["result"]["sound"]
    assert client.get(started.headers["location"]).json()["result"]["events"] == 6


def test_a_scenario_that_cannot_be_read_is_refused_before_any_work(caller: Caller) -> None:
    client = caller("openai/ann", "recorder")
    for scenario in ({}, {"name": 3}, None, {"schema": 99}):
        answer = client.post("/api/v1/jobs", json={"kind": "plan", "scenario": scenario})
        assert answer.status_code == 422, scenario


@pytest.mark.slow
def test_a_plan_runs_with_progress_and_can_be_stopped(caller: Caller) -> None:
    import yaml

    client = caller("openai/ann", "recorder")
    scenario = yaml.safe_load(Path("scenarios/single-site.yaml").read_text(encoding="utf-8"))
    started = client.post("/api/v1/jobs", json={"kind": "plan", "scenario": scenario, "gap": 0.05}).json()
    second = client.post("/api/v1/jobs", json={"kind": "plan", "scenario": scenario}).json()
    assert client.delete(f"/api/v1/jobs/{second['id']}").json()["status"] == "cancelled"
    end = time.monotonic() + 1200  # a machine may be busy
    while (job := client.get(f"/api/v1/jobs/{started['id']}").json())["status"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.3)
    assert job["status"] == "done", job["error"]
    assert job["result"]["plan"]["name"] == "single-site"
    assert job["progress"]["stage"]
