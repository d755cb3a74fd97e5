"""Deciding on the pages: the same rules as the ledger's, from this very site, once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from gigaforge.ledger import actions
from gigaforge.ledger.access import ROLES
from gigaforge.ledger.keys import read_key
from gigaforge.ledger.statement_signing import sign_statement
from tests.ledger import world
from tests.web.pages.served import HOSTILE, app_of, pending_claim, visitor, write_ledger


def forms(text: str) -> list[str]:
    return re.findall(r'action="/tranches/(\w+)"', text)


def test_a_claim_is_approved_by_both_sides_and_paid(app: FastAPI) -> None:
    ledger, claim = app.state.ledger, pending_claim(app.state.ledger)
    fields = {"tranche": 2, "claim": claim}
    bob, cho, dan = (visitor(app, who, "approver") for who in ("openai/bob", "nvidia/cho", "nvidia/dan"))
    assert forms(bob.get("/tranches").text) == ["approve", "reject"]
    assert (
        bob.post("/tranches/approve", data=fields | {"key": "a"})
        .headers["location"]
        .startswith("/tranches?done=approve")
    )
    assert forms(bob.get("/tranches").text) == []
    cho.post("/tranches/approve", data=fields | {"key": "b"})
    assert "approved" in cho.get("/").text
    assert forms(dan.get("/tranches").text) == ["release"]
    answer = dan.post("/tranches/release", data=fields | {"text": HOSTILE, "key": "c"}, follow_redirects=True)
    assert "Tranche 2 is recorded as paid." in answer.text
    assert "<script>alert" not in answer.text
    assert ledger.state().claims[str(claim)]["status"] == "released"


def test_the_next_tranche_is_claimed_by_its_recipient(app: FastAPI) -> None:
    ledger = app.state.ledger
    world.ready(ledger, 4, first=20)
    assert forms(visitor(app, "nvidia/cho", "recorder").get("/tranches").text) == []
    ann = visitor(app, "openai/ann", "recorder")
    assert forms(ann.get("/tranches").text) == ["claim"]
    key = re.search(r'name="key" value="([^"]+)"', ann.get("/tranches").text)[1]
    before = ledger.state().seq
    for _ in range(2):  # sent twice, recorded once
        assert ann.post("/tranches/claim", data={"tranche": 3, "key": key}).status_code == 303
    assert ledger.state().seq == before + 1


def test_a_rejection_says_why(app: FastAPI) -> None:
    claim = pending_claim(app.state.ledger)
    cho = visitor(app, "nvidia/cho", "approver")
    cho.post("/tranches/reject", data={"tranche": 2, "claim": claim, "text": HOSTILE, "key": "r"})
    assert app.state.ledger.state().claims[str(claim)]["status"] == "rejected"
    assert "<script>alert" not in cho.get("/events").text
    told = cho.get("/tranches").text.partition('id="rejected"')[2]
    assert f'href="/events/{claim}"' in told  # what was claimed, and who said no
    assert "Rejected tranche 2" in told
    assert "<script>alert" not in told


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("act", ["claim", "approve", "reject", "release"])
def test_a_role_does_what_it_may(served: FastAPI, role: str, act: str) -> None:
    needed = "recorder" if act == "claim" else "approver"
    if role == needed:
        return
    before = served.state.ledger.state().seq
    answer = visitor(served, "nvidia/cho", role).post(
        f"/tranches/{act}", data={"tranche": 2, "claim": 1, "text": "x", "key": "k"}
    )
    assert answer.status_code == 403
    assert served.state.ledger.state().seq == before


def test_what_a_rule_forbids_is_told_and_not_recorded(served: FastAPI) -> None:
    ledger = served.state.ledger
    claim, before = pending_claim(ledger), ledger.state().seq
    tries = [("openai/ann", "approver", "approve", {"claim": claim}), ("nvidia/cho", "approver", "release", {"claim": claim, "text": "x"}),
             ("openai/ann", "recorder", "claim", {"tranche": 3}), ("nvidia/cho", "approver", "approve", {"claim": 1}),
             ("nvidia/cho", "approver", "approve", {"claim": 99999}), ("crusoe/eve", "approver", "approve", {"claim": claim}),
             ("nvidia/cho", "approver", "release", {"claim": claim, "text": ""})]  # fmt: skip
    for who, role, act, fields in tries:
        answer = visitor(served, who, role).post(f"/tranches/{act}", data={"tranche": 2, "key": "k", **fields})
        assert answer.status_code == 409, (act, fields, answer.text)
        assert "Not recorded" in answer.text
    assert ledger.state().seq == before


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
                                     {"sec-fetch-site": "", "origin": "http://evil.example"}])  # fmt: skip
def test_another_site_cannot_decide_for_the_reader(served: FastAPI, headers: dict[str, str]) -> None:
    before = served.state.ledger.state().seq
    client = visitor(served, "nvidia/cho", "approver")
    claim = pending_claim(served.state.ledger)
    for path, data in (("/tranches/approve", {"tranche": 2, "claim": claim}), ("/events/1/approve", {}), ("/theme", {"theme": "dark"}),
                       ("/logout", {}), ("/login", {"token": "x"})):  # fmt: skip
        answer = client.post(path, data=data, headers=headers)
        assert answer.status_code == 403, path
        assert "<h1>" in answer.text
    assert served.state.ledger.state().seq == before


@pytest.mark.parametrize("fields", [{}, {"tranche": "x"}, {"tranche": "-1"}, {"tranche": "1", "claim": "9" * 30},
                                    {"tranche": "1", "key": "a b"}, {"tranche": "1", "text": "x" * 2001}])  # fmt: skip
def test_a_form_that_cannot_be_read_is_a_clean_page(served: FastAPI, fields: dict[str, str]) -> None:
    answer = visitor(served, "nvidia/cho", "approver").post("/tranches/approve", data=fields)
    assert answer.status_code == 422
    assert "<h1>That cannot be read</h1>" in answer.text


def test_terms_are_agreed_on_their_page(app: FastAPI) -> None:
    ledger = app.state.ledger
    event = ledger.append(actions.draft("commitment", world.ANN, {"terms": world.terms(version=2)}))
    page = f"/events/{event.seq}"
    assert page in visitor(app, "openai/bob").get("/").text
    for who in ("openai/bob", "nvidia/cho"):
        client = visitor(app, who, "approver")
        assert f'action="{page}/approve"' in client.get(page).text
        assert client.post(f"{page}/approve", data={"key": who.replace("/", "")}).status_code == 303
    assert ledger.state().terms_seq == event.seq
    assert visitor(app, "nvidia/cho", "viewer").post(f"{page}/approve", data={}).status_code == 403


def test_an_event_is_disputed_and_settled_on_its_page(app: FastAPI) -> None:
    ledger, claim = app.state.ledger, pending_claim(app.state.ledger)
    page = f"/events/{claim}"
    cho, bob = visitor(app, "nvidia/cho", "approver"), visitor(app, "openai/bob", "approver")
    assert f'action="{page}/dispute"' not in visitor(app, "nvidia/cho", "viewer").get(page).text
    assert f'action="{page}/dispute"' in cho.get(page).text
    assert cho.post(f"{page}/dispute", data={"text": HOSTILE, "key": "d"}).status_code == 303
    assert (
        cho.post(f"{page}/dispute", data={"text": HOSTILE, "key": "d"}).status_code == 303
    )  # sent twice, recorded once
    assert len(ledger.state().claims[str(claim)]["disputes"]) == 1
    text = cho.get(page).text
    assert "<script>alert" not in text
    assert f'action="{page}/settle"' in text
    assert f'action="{page}/dispute"' not in text
    assert f'action="{page}/settle"' not in bob.get(page).text  # only who objected ends it
    assert "held back" in bob.get("/tranches").text
    assert bob.post(f"{page}/settle", data={"text": "x", "key": "s"}).status_code == 409
    assert cho.post(f"{page}/dispute", data={"text": "", "key": "e"}).status_code == 422
    assert visitor(app, "nvidia/cho", "recorder").post(f"{page}/settle", data={"text": "x"}).status_code == 403
    assert cho.post(f"{page}/settle", data={"text": "measured again", "key": "t"}).status_code == 303
    assert ledger.state().claims[str(claim)]["disputes"] == []


def test_a_statement_is_downloaded_signed_and_checked(app: FastAPI, written: Path, tmp_path: Path) -> None:
    cho, page = visitor(app, "nvidia/cho", "approver"), "/tranches/1/statement"
    assert visitor(app, "nvidia/cho", "viewer").get(page).status_code == 403
    assert cho.get("/tranches/3/statement").status_code == 404
    assert "<script>alert" not in cho.get(page).text
    sent = cho.get(f"{page}.json")
    assert sent.headers["content-disposition"] == 'attachment; filename="statement-1.json"'
    file = tmp_path / "statement-1.json"
    file.write_bytes(sent.content)

    def checked(content: bytes) -> tuple[int, str]:
        answer = cho.post(f"{page}/upload", files={"file": ("<b>s.json", content)})
        return answer.status_code, answer.text

    assert "nobody has signed it yet" in checked(sent.content)[1]
    sign_statement(file, [(world.DAN, read_key(written / "nvidia.key"))])
    assert "signed by nvidia/dan" in checked(file.read_bytes())[1]
    assert "not what the ledger says" in checked(file.read_bytes().replace(b'"tranche": 1', b'"tranche": 2'))[1]
    status, text = checked(b"nonsense")
    assert status == 422
    assert "&lt;b&gt;s.json is not a statement" in text
    assert "What carries it" in cho.get(f"{page}.html").text
    assert (
        visitor(app).post(f"{page}/upload", files={"file": ("s", b"")}).status_code == 303
    )  # a stranger logs in first


def test_signed_decisions_lead_to_the_command_line(tmp_path: Path) -> None:
    where = write_ledger(tmp_path, signed=["claim", "approval", "release"])
    text = visitor(app_of(where), "openai/ann", "recorder").get("/tranches").text
    assert forms(text) == []
    assert "gigaforge ledger claim --tranche 1 --as openai/ann --key openai.key" in text


def test_before_terms_the_page_says_what_to_do(tmp_path: Path) -> None:
    from gigaforge.ledger import Ledger

    with Ledger.create(str(tmp_path / "l.db"), "New", world.parties(tmp_path), world.ANN):
        pass
    client = visitor(app_of(str(tmp_path / "l.db")), "openai/ann", "recorder")
    assert "Nothing is promised yet" in client.get("/").text
    for page in ("/sites", "/deployments", "/events", "/racks", "/tranches"):
        assert client.get(page).status_code == 200, page
