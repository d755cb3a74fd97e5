"""Every role at every endpoint: only what is allowed passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gigaforge.ledger.access import PERMISSIONS, ROLES
from gigaforge.web.api.events import NEEDED

READ, EVIDENCE, ATTACH, RECORD, CLAIM, APPROVE = "read", "read-evidence", "attach", "record", "claim", "approve"
AUDIT, ADMINISTER, COMPUTE, ANYBODY = "audit", "administer", "compute", ""
ZERO = "0" * 64
# Every endpoint with what it needs; a new one that is missing here fails `test_no_endpoint_is_forgotten`.
ENDPOINTS = {
    ("GET", "/api/v1/health"): ANYBODY,
    ("GET", "/api/v1/me"): READ,
    ("GET", "/api/v1/state"): READ,
    ("GET", "/api/v1/events"): READ,
    ("GET", "/api/v1/events/{seq}"): READ,
    ("GET", "/api/v1/racks"): READ,
    ("GET", "/api/v1/racks/{rack}"): READ,
    ("GET", "/api/v1/actuals"): READ,
    ("GET", "/api/v1/evidence/{sha256}"): EVIDENCE,
    ("GET", "/api/v1/measured-runs"): EVIDENCE,
    ("GET", "/api/v1/statements/{tranche}"): EVIDENCE,
    ("GET", "/api/v1/export"): AUDIT,
    ("GET", "/api/v1/reads"): AUDIT,
    ("POST", "/api/v1/events"): None,  # by the kind of event, below
    ("POST", "/api/v1/drafts"): None,
    ("PUT", "/api/v1/evidence/{sha256}"): ATTACH,
    ("POST", "/api/v1/imports/{kind}"): RECORD,
    ("POST", "/api/v1/claims"): CLAIM,
    ("POST", "/api/v1/events/{seq}/decisions"): APPROVE,
    ("POST", "/api/v1/claims/{seq}/release"): APPROVE,
    ("POST", "/api/v1/tokens"): ADMINISTER,
    ("GET", "/api/v1/tokens"): ADMINISTER,
    ("DELETE", "/api/v1/tokens/{identifier}"): ADMINISTER,
    ("POST", "/api/v1/jobs"): COMPUTE,
    ("GET", "/api/v1/jobs"): COMPUTE,
    ("GET", "/api/v1/jobs/{identifier}"): COMPUTE,
    ("GET", "/api/v1/jobs/{identifier}/progress"): COMPUTE,
    ("DELETE", "/api/v1/jobs/{identifier}"): COMPUTE,
}
BODIES = {
    "/api/v1/claims": {}, "/api/v1/events/{seq}/decisions": {}, "/api/v1/claims/{seq}/release": {"reference": "x"},
    "/api/v1/tokens": {"person": "zoe", "role": "viewer"}, "/api/v1/jobs": {"kind": "plan", "scenario": {}},
}  # fmt: skip


def test_no_endpoint_is_forgotten(app: FastAPI) -> None:
    documented = {
        (method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item
        if path.startswith("/api/")
    }  # fmt: skip
    assert documented == set(ENDPOINTS)


def send(client: TestClient, method: str, path: str) -> int:
    place = path.format(seq=1, rack="R00000", sha256=ZERO, tranche=1, kind="delivery", identifier="0" * 16)
    headers = {"idempotency-key": "k"}
    return client.request(method, place, json=BODIES.get(path), headers=headers).status_code


@pytest.mark.parametrize("role", ["", *ROLES])
def test_only_what_a_role_may_do_passes(role: str, caller: Callable[..., TestClient]) -> None:
    client = caller("openai/ann", role) if role else caller()
    for (method, path), needed in ENDPOINTS.items():
        if needed is None:
            continue
        status = send(client, method, path)
        assert status < 500, (method, path, status)
        if needed == ANYBODY:
            assert status == 200
        elif not role:
            assert status == 401, (method, path, status)
        elif role in PERMISSIONS[needed]:
            assert status not in (401, 403), (method, path, status)
        else:
            assert status == 403, (method, path, status)


@pytest.mark.parametrize("role", ROLES)
def test_only_the_kinds_of_events_that_a_role_may_record_pass(role: str, caller: Callable[..., TestClient]) -> None:
    client = caller("openai/ann", role)
    for kind, needed in NEEDED.items():
        status = client.post(
            "/api/v1/events", json={"kind": kind, "data": {}}, headers={"idempotency-key": kind}
        ).status_code
        assert status == (422 if role in PERMISSIONS[needed] else 403), kind
        asked = client.post("/api/v1/drafts", json={"kind": kind}, headers={"idempotency-key": kind}).status_code
        assert (asked == 403) == (role not in PERMISSIONS[needed]), kind
    opened = client.post("/api/v1/events", json={"kind": "opened", "data": {}}, headers={"idempotency-key": "o"})
    assert opened.status_code == 422


def test_an_actor_is_who_the_token_belongs_to(caller: Callable[..., TestClient]) -> None:
    client = caller("crusoe/eve", "recorder")
    data = {"site": "abilene", "since": "2026-07-01", "until": "2026-08-01", "energy_j": 5}
    event = {"kind": "meter", "data": data, "actor": {"party": "nvidia", "person": "cho"}}
    assert client.post("/api/v1/events", json=event, headers={"idempotency-key": "1"}).status_code == 422
    event.pop("actor")
    made = client.post("/api/v1/events", json=event, headers={"idempotency-key": "1"})
    assert made.json()["actor"] == {"party": "crusoe", "person": "eve"}


def test_a_party_sees_and_ends_only_its_own_tokens_and_jobs(caller: Callable[..., TestClient]) -> None:
    ours, theirs = caller("openai/ann", "admin"), caller("nvidia/cho", "admin")
    made = ours.post("/api/v1/tokens", json={"person": "zoe", "role": "viewer"}).json()
    assert made["party"] == "openai"
    assert made["id"] in str(ours.get("/api/v1/tokens").json())
    assert made["id"] not in str(theirs.get("/api/v1/tokens").json())
    assert theirs.delete(f"/api/v1/tokens/{made['id']}").status_code == 404
    job = ours.post("/api/v1/jobs", json={"kind": "verify"}).json()
    assert theirs.get(f"/api/v1/jobs/{job['id']}").status_code == 404
    assert ours.delete(f"/api/v1/jobs/{job['id']}").status_code == 200
