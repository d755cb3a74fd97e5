"""Which bytes a party signs: the documented examples hold, and a file to sign says one thing only."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gigaforge.errors import InputError, NoAnswerError
from gigaforge.ledger import Event, Ledger, actions, verify_copy
from gigaforge.ledger.backup import export
from gigaforge.ledger.canonical import canonical
from gigaforge.ledger.event import Actor, Draft
from gigaforge.ledger.keys import fingerprint, public_of, read_key, sign
from gigaforge.ledger.own_copy import held_against
from gigaforge.ledger.signed import message_of
from gigaforge.ledger.to_sign import read_to_sign, sign_apart, to_sign
from tests.ledger.world import ANN, CHO, DAN, new_ledger, ready

PAGE = Path("docs/signing.md")
EXAMPLE = re.compile(
    r"^([^\n]+):\n\n```json\n(.*?)```\n```text\n(.*?)\n```\n```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL
)
KEYS = [
    Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    for text in (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    )
]


def test_the_documented_examples_hold() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = EXAMPLE.findall(page)
    assert len(found) == page.count("```json") == 6
    assert f"`{fingerprint(public_of(KEYS[0]))}`" in page
    for title, value, message, signatures in found:
        assert canonical(json.loads(value)) == message.encode(), title
        given = signatures.split("\n")
        assert [sign(key, message.encode())["value"] for key in KEYS[: len(given)]] == given, title
        assert len(given) == (2 if title == "A new key" else 1)


@pytest.mark.parametrize("title", ["An approval", "A payment, with evidence", "An acceptance test", "A checkpoint"])
def test_the_examples_are_what_the_ledger_signs(title: str) -> None:
    value, message = next(
        (json.loads(v), m.encode()) for t, v, m, _ in EXAMPLE.findall(PAGE.read_text("utf-8")) if t == title
    )
    if title == "A checkpoint":
        actor = {"party": value["party"], "person": "cho"}
        value = {
            "ledger": value["ledger"],
            "kind": "checkpoint",
            "actor": actor,
            "data": {n: value[n] for n in ("count", "head")},
        }
    ledger, draft = read_to_sign(json.dumps({"format": "gigaforge to sign 1", "content": value}).encode(), "x")
    assert message_of(draft.content(ledger)) == message
    assert draft.kind == "checkpoint" or draft.signed_bytes(ledger) == message


@pytest.fixture
def small(tmp_path: Path) -> Ledger:
    ledger = new_ledger(str(tmp_path / "l.db"), tmp_path)
    ready(ledger)
    return ledger


def asked(ledger: Ledger, actor: Actor, kind: str, **data: object) -> dict:
    return to_sign(ledger, Draft(kind, actor, data, key="k"))


def test_what_the_ledger_knows_need_not_be_given(small: Ledger) -> None:
    claim = asked(small, ANN, "claim")["content"]["data"]
    assert claim == {"tranche": 1, "racks": ["R00000", "R00001", "R00002", "R00003"]}
    event = small.append(actions.claim(small, ANN))
    assert asked(small, CHO, "approval", subject=event.seq)["content"]["data"]["hash"] == event.hash
    paid = asked(small, DAN, "release", claim=event.seq, reference="w")["content"]["data"]
    assert (paid["hash"], paid["amount_cents"]) == (event.hash, 10_000_000_00)
    state = small.state()
    assert asked(small, ANN, "checkpoint")["content"]["data"] == {"count": state.seq, "head": state.head}
    test = {"racks": ["R00000"], "throughput": 1000.0, "power_w": 180e3, "verdict": "pass"}
    assert "verdict" not in asked(small, ANN, "acceptance", **test)["content"]["data"]
    for kind, data in (("approval", {}), ("approval", {"subject": "x"}), ("release", {"claim": [1]}), ("key", {}), ("claim", {"tranche": "1"}),
                       ("checkpoint", {"signature": "x"}), ("dispute", {"subject": 1, "state": "opened", "reason": "\ud800"})):  # fmt: skip
        with pytest.raises(InputError):
            asked(small, ANN, kind, **data)


def test_a_file_that_says_two_things_is_not_signed(small: Ledger) -> None:
    told = asked(small, ANN, "meter", site="abilene", since="2026-07-01", until="2026-08-01", energy_j=5)
    assert read_to_sign(json.dumps(told).encode(), "x")[1].data["energy_j"] == 5
    content = told["content"]
    wrong = [
        {"bytes": base64.b64encode(b"{}").decode()}, {"format": "other"}, {"more": 1}, {"content": content | {"seq": 3}},
        {"content": content | {"kind": "opened"}}, {"content": content | {"ledger": 1}}, {"content": content | {"data": {}}},
        {"content": content | {"happened_on": "2026-13-01"}}, {"content": []}, {"content": {}},
        {"content": content | {"data": content["data"] | {"energy_j": 6}}},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(InputError, match="is not what"):
            read_to_sign(json.dumps(told | change).encode(), "x")
    for file in (b"", b"[]", b"null", b"[" * 100_000, b"\xff"):
        with pytest.raises(InputError, match="is not what"):
            read_to_sign(file, "x")


def test_a_new_key_is_signed_by_both_and_by_no_third(small: Ledger, tmp_path: Path) -> None:
    old, fresh = read_key(tmp_path / "openai.key"), KEYS[0]
    ledger, draft = read_to_sign(json.dumps(asked(small, ANN, "key", public_key=public_of(fresh))).encode(), "x")
    for wrong in (None, KEYS[1]):
        with pytest.raises(InputError, match="new-key"):
            sign_apart(ledger, draft, old, wrong)
    body = sign_apart(ledger, draft, old, fresh).body
    small.append(actions.draft("key", ANN, body["data"]))
    assert small.state().parties["openai"]["keys"][-1]["public"] == public_of(fresh)


def test_who_signs_against_their_own_copy_signs_what_they_read(small: Ledger, tmp_path: Path) -> None:
    claim, copy = small.append(actions.claim(small, ANN)), tmp_path / "own.jsonl"
    export(small, copy)
    public = public_of(read_key(tmp_path / "nvidia.key"))

    def held(told: dict, by: str = public) -> Event | None:
        return held_against(copy, *read_to_sign(json.dumps(told).encode(), "x"), by)[1]

    told = asked(small, CHO, "approval", subject=claim.seq)
    assert held(told) == claim
    assert held(asked(small, CHO, "dispute", subject=1, state="opened", reason="r")) is None
    forged = to_sign(small, Draft("approval", CHO, {"subject": claim.seq, "hash": "0" * 64}))
    with pytest.raises(NoAnswerError, match="it is not the record that you have; do not sign"):
        held(forged)
    with pytest.raises(InputError, match="is not the current key of 'nvidia'"):
        held(told, public_of(KEYS[0]))
    small.append(actions.dispute(CHO, 1, "r"))
    with pytest.raises(InputError, match="export it anew"):
        held(asked(small, CHO, "checkpoint"))
    copy.write_bytes(copy.read_bytes().replace(b"abilene", b"abileme", 1))
    with pytest.raises(NoAnswerError, match="does not hold"):
        held(told)
    other = tmp_path / "other"
    other.mkdir()
    export(new_ledger(str(other / "l.db"), other), other / "own.jsonl")
    with pytest.raises(InputError, match="is a copy of ledger"):
        held_against(other / "own.jsonl", *read_to_sign(json.dumps(told).encode(), "x"))


def test_a_new_copy_is_held_against_the_last(small: Ledger, tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    export(small, old)
    small.append(actions.dispute(CHO, 1, "r"))
    export(small, new)
    assert verify_copy(new, copies=(old,)).sound
    assert "cut off" in verify_copy(old, copies=(new,)).findings[0].problem
