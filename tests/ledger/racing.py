"""Fifty people at once on one ledger, and what must hold afterwards."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from gigaforge.ledger import Actor, Ledger, RefusedError, actions, verify
from gigaforge.ledger.errors import UnknownError
from tests.ledger.world import AMOUNT

CLIENTS = 50


def race(ledger: Ledger, tranches: int) -> dict[str, int]:
    """Fifty people of both sides claim, approve and pay whatever they find, as fast as they can."""
    outcomes = {"recorded": 0, "refused": 0}

    def one(n: int) -> tuple[int, int]:
        rng = random.Random(n)
        actor = Actor(("openai", "nvidia")[n % 2], f"person{n}")
        done = refused = 0
        for _ in range(3 * tranches):
            try:
                state = ledger.state()
                claims = [c for c in state.claims.values() if c["status"] != "released"]
                drafts = [lambda: actions.claim(ledger, actor)]
                drafts += [lambda c=c: actions.approval(ledger, actor, c["seq"]) for c in claims]
                drafts += [lambda c=c: actions.release(ledger, actor, c["seq"], "wire") for c in claims]
                ledger.append(rng.choice(drafts)())
                done += 1
            except (RefusedError, UnknownError):
                refused += 1
        return done, refused

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done, refused in pool.map(one, range(CLIENTS)):
            outcomes["recorded"] += done
            outcomes["refused"] += refused
    return outcomes


def check(ledger: Ledger) -> None:
    """Never twice, never over the cap, each by the rules."""
    state = ledger.state()
    releases = [event.data for event in ledger.events(kind="release", limit=1000)]
    assert len({r["claim"] for r in releases}) == len(releases)
    assert state.released_cents == len(releases) * AMOUNT <= 35_000_000_00
    paid = [c for c in state.claims.values() if c["status"] == "released"]
    assert len({c["tranche"] for c in paid}) == len(paid)
    for claim in paid:
        assert len({a["party"] for a in claim["approvals"]}) == 2
        assert len({a["person"] for a in claim["approvals"]} | {claim["by"]["person"]}) == 3
    racks = [rack for e in ledger.events(kind="claim") if state.claims[str(e.seq)]["status"] != "rejected"
             for rack in e.data["racks"]]  # fmt: skip
    assert len(set(racks)) == len(racks)
    assert verify(ledger.engine).sound
