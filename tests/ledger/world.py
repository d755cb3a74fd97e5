"""A small world for the tests: two rivals, a site partner, an auditor; megawatt tranches; and what they do."""

from __future__ import annotations

from pathlib import Path

from gigaforge.ledger import Actor, Event, Ledger, actions
from gigaforge.ledger.keys import new_key
from gigaforge.ledger.terms import AcceptanceTest, Band, MilestoneTerm, SiteTerms, SystemTerms, Terms

ANN, BOB = Actor("openai", "ann"), Actor("openai", "bob")
CHO, DAN = Actor("nvidia", "cho"), Actor("nvidia", "dan")
EVE = Actor("crusoe", "eve")
RACK_W, COUNTED_W = 200_000, 250_000
AMOUNT = 10_000_000_00
TEST = AcceptanceTest(
    test="train a model",
    throughput=Band(value=1000.0, low=900.0, high=1100.0),
    power_w=Band(value=180_000.0, low=162_000.0, high=198_000.0),
    source="test",
)


def terms(**changes: object) -> dict:
    """A megawatt (four racks) pays $10M, at most $35M: three tranches."""
    values = {
        "scenario": "small", "basis": "facility", "commitment_w": 10_000_000,
        "milestones": [MilestoneTerm(power_w=1_000_000, by="2026-Q4")], "investor": "nvidia", "recipient": "openai",
        "per_w": 1_000_000, "amount_cents": AMOUNT, "ceiling_cents": 35_000_000_00, "approvers": ["openai", "nvidia"],
        "systems": {"rack": SystemTerms(rack_w=RACK_W, accelerators=72, acceptance=TEST),
                    "other": SystemTerms(rack_w=RACK_W, accelerators=72)},
        "sites": {"abilene": SiteTerms(pue=1.25, counted_w={"rack": COUNTED_W, "other": COUNTED_W}),
                  "elsewhere": SiteTerms(pue=1.25, counted_w={"rack": 0, "other": 0})},
    }  # fmt: skip
    return Terms(**(values | changes)).model_dump(mode="json", exclude_none=True)


def parties(folder: Path) -> list[dict[str, str]]:
    roles = {"openai": "operator", "nvidia": "investor", "crusoe": "developer"}
    return [{"name": n, "label": n, "role": r, "public_key": new_key(folder / f"{n}.key")} for n, r in roles.items()]


def new_ledger(where: str, folder: Path, **changes: object) -> Ledger:
    """With terms in force."""
    ledger = Ledger.create(where, "Small", parties(folder), ANN)
    agree(ledger, **changes)
    return ledger


def agree(ledger: Ledger, **changes: object) -> Event:
    event = ledger.append(actions.draft("commitment", ANN, {"terms": terms(**changes)}))
    ledger.append(actions.approval(ledger, BOB, event.seq))
    ledger.append(actions.approval(ledger, CHO, event.seq))
    return event


def deliver(
    ledger: Ledger, *racks: str, site: str = "abilene", day: str = "2026-10-05", system: str = "rack"
) -> Event:
    return ledger.append(
        actions.draft("delivery", CHO, {"racks": list(racks), "system": system, "site": site}, happened_on=day)
    )


def accept(
    ledger: Ledger, *racks: str, throughput: float = 1000.0, power_w: float = 180e3, day: str = "2026-11-02"
) -> Event:
    data = {"racks": list(racks), "throughput": throughput, "power_w": power_w}
    return ledger.append(actions.draft("acceptance", ANN, data, happened_on=day))


def racks(count: int, first: int = 0) -> list[str]:
    return [f"R{n:05d}" for n in range(first, first + count)]


def ready(ledger: Ledger, count: int = 4, first: int = 0) -> list[str]:
    """Racks delivered and accepted."""
    names = racks(count, first)
    deliver(ledger, *names)
    accept(ledger, *names)
    return names


def approved(ledger: Ledger) -> Event:
    """A claim that both sides approved."""
    claim = ledger.append(actions.claim(ledger, ANN))
    ledger.append(actions.approval(ledger, BOB, claim.seq))
    ledger.append(actions.approval(ledger, CHO, claim.seq))
    return claim
