"""A party with a token and a key, and no way to the database, does all that asks for its signature."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gigaforge.cli.ledger_sign import sign
from gigaforge.errors import InputError
from gigaforge.ledger import Ledger, actions, verify
from gigaforge.ledger.keys import new_key, public_of, read_key
from gigaforge.web.app import create_app
from gigaforge.web.settings import Settings
from tests.ledger.world import ANN, BOB, CHO, parties, ready, terms

JSON = {"content-type": "application/json"}
KINDS = ["claim", "approval", "release"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """A ledger that asks for signatures, with racks accepted."""
    where = str(tmp_path / "ledger.db")
    with Ledger.create(where, "Small", parties(tmp_path), ANN, signed=KINDS) as ledger:
        event = ledger.append(actions.draft("commitment", ANN, {"terms": terms()}))
        for who in (BOB, CHO):
            agreed = actions.approval(ledger, who, event.seq)
            ledger.append(actions.signed(ledger, agreed, read_key(tmp_path / f"{who.party}.key")))
        ready(ledger, 5)
    found = create_app(Settings(ledger=where, requests_per_minute=100_000))
    with TestClient(found):
        yield found


def test_claim_approvals_payment_rotation_and_checkpoint_through_the_api(
    caller: Callable[..., TestClient], ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft, signed = tmp_path / "draft.json", tmp_path / "signed.json"

    def record(who: str, role: str, kind: str, key: str, data: dict, **more: object) -> dict:
        client, headers = caller(who, role), {"idempotency-key": f"{kind}-{who}"}
        asked = client.post("/api/v1/drafts", json={"kind": kind, "data": data}, headers=headers)
        assert asked.status_code == 200, asked.text
        draft.write_bytes(asked.content)
        sign(draft, tmp_path / key, signed, who=who, **more)
        sent = client.post("/api/v1/events", content=signed.read_bytes(), headers=headers | JSON)
        assert sent.status_code == 201, sent.text
        return sent.json()

    bare = caller("openai/ann", "recorder").post("/api/v1/claims", json={}, headers={"idempotency-key": "bare"})
    assert bare.json()["type"] == "gigaforge:unsigned"
    claim = record("openai/ann", "recorder", "claim", "openai.key", {"tranche": 1})
    said = " ".join(capsys.readouterr().out.split())
    assert "claim by openai/ann" in said
    assert "racks: R00000, R00001, R00002, R00003" in said
    record("openai/bob", "approver", "approval", "openai.key", {"subject": claim["seq"]})
    record("nvidia/cho", "approver", "approval", "nvidia.key", {"subject": claim["seq"], "note": "Größe geprüft"})
    public = new_key(tmp_path / "fresh.key")
    record("nvidia/zoe", "admin", "key", "nvidia.key", {"public_key": public}, new_key=tmp_path / "fresh.key")
    record("nvidia/dan", "approver", "release", "fresh.key", {"claim": claim["seq"], "reference": "wire 1"})
    record("nvidia/zoe", "admin", "checkpoint", "fresh.key", {}, keep=tmp_path / "kept.json")
    found = verify(ledger.engine, checkpoints=(tmp_path / "kept.json",))
    assert (found.findings, found.checkpoints, len(found.agreeing)) == ([], 1, 1)
    assert ledger.state().released_cents == 10_000_000_00
    assert ledger.state().parties["nvidia"]["keys"][-1]["public"] == public


def test_what_is_asked_for_is_not_recorded_and_the_wrong_signature_is_refused(
    caller: Callable[..., TestClient], ledger: Ledger, tmp_path: Path
) -> None:
    client, headers = caller("openai/ann", "recorder"), {"idempotency-key": "c"}
    before = ledger.state().head
    draft, signed = tmp_path / "draft.json", tmp_path / "signed.json"
    draft.write_bytes(client.post("/api/v1/drafts", json={"kind": "claim"}, headers=headers).content)
    assert ledger.state().head == before
    with pytest.raises(InputError, match="is what openai/ann says"):
        sign(draft, tmp_path / "nvidia.key", signed, who="nvidia/cho")
    sign(draft, tmp_path / "nvidia.key", signed)
    stolen = client.post("/api/v1/events", content=signed.read_bytes(), headers=headers | JSON)
    assert (stolen.status_code, "not by the current key" in stolen.json()["detail"]) == (409, True)
    sign(draft, tmp_path / "openai.key", signed)
    other = client.post("/api/v1/events", content=signed.read_bytes(), headers={"idempotency-key": "d"} | JSON)
    assert "does not fit" in other.json()["detail"]  # the key is signed too
    body = json.loads(signed.read_text("utf-8"))
    assert body["signature"]["key"]
    assert public_of(read_key(tmp_path / "openai.key")) not in signed.read_text("utf-8")
    assert client.post("/api/v1/events", content=signed.read_bytes(), headers=headers | JSON).status_code == 201
