"""A served ledger with something in every state, and callers who are logged in."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from gigaforge.ledger import Actor, Event, Ledger, actions
from gigaforge.ledger.access import Identity, issue, open_session
from gigaforge.web.app import create_app
from gigaforge.web.security import COOKIE
from gigaforge.web.settings import Settings
from tests.ledger import world

BASE = "http://127.0.0.1"
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
POSITION = {"latitude": 32.4, "longitude": -99.7}
SAME_SITE = {"sec-fetch-site": "same-origin"}


def write_ledger(folder: Path, **terms: object) -> str:
    """Eight racks accepted, one in doubt, two on the way; tranche 1 paid, tranche 2 claimed; hostile words everywhere."""
    where = str(folder / "ledger.db")
    places = {"abilene": world.SiteTerms(label="Abilene", pue=1.25, counted_w={"rack": 250_000, "other": 250_000}, **POSITION),
              "elsewhere": world.SiteTerms(pue=1.25, counted_w={"rack": 0, "other": 0})}  # fmt: skip
    with world.new_ledger(where, folder, sites=places, **terms) as ledger:
        proof = ledger.put_evidence(f"<h1>{HOSTILE}</h1>\n1,2,3\n".encode(), f"{HOSTILE}.html"[:200], "text/html")
        world.deliver(ledger, *world.racks(11))
        data = {"racks": world.racks(8), "throughput": 1000.0, "power_w": 180e3}
        ledger.append(actions.draft("acceptance", world.ANN, data, happened_on="2026-11-02", evidence=(proof,)))
        world.accept(ledger, "R00008", throughput=880.0)
        order = ledger.append(actions.draft("order", world.CHO, {"order": "PO-1", "supplier": "nvidia", "system": "rack", "racks": 3,
                                                         "quarter": "2026-Q4"}))  # fmt: skip
        if not terms.get("signed"):
            paid = world.approved(ledger)
            ledger.append(actions.release(ledger, world.DAN, paid.seq, HOSTILE))
            ledger.append(actions.claim(ledger, world.ANN, 2, note=HOSTILE))
        ledger.append(actions.dispute(world.CHO, order.seq, HOSTILE))
    return where


def proof_event(ledger: Ledger) -> Event:
    """The acceptance test with a file."""
    return next(e for e in ledger.events(kind="acceptance", limit=100) if e.parts.get("evidence"))


def pending_claim(ledger: Ledger) -> int:
    return next(c["seq"] for c in ledger.state().claims.values() if c["status"] == "pending")


def app_of(where: str, **settings: object) -> FastAPI:
    """On a day that the ledger's events lead up to."""
    app = create_app(Settings(ledger=where, requests_per_minute=1_000_000, **settings))
    app.state.workplace.today = lambda: date(2026, 11, 23)
    return app


def visitor(app: FastAPI, who: str = "", role: str = "viewer") -> TestClient:
    """A browser, logged in where `who` is given."""
    client = TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False, headers=SAME_SITE)
    if who:
        client.cookies.set(COOKIE, open_session(app.state.ledger.engine, Identity(Actor.parse(who), role)))
    return client


def token(app: FastAPI, who: str, role: str) -> str:
    return issue(app.state.ledger.engine, Actor.parse(who), role, timedelta(hours=1))[1]
