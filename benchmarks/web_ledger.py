"""A ledger to look at: the racks that a plan deploys by some quarter, delivered, tested, claimed, approved and paid for.

python benchmarks/web_ledger.py SCENARIO PLAN_DIR FOLDER [--through 2028-Q3]

Everything is dated between July and now, since no ledger takes events of the future. It writes FOLDER/ledger.db and the keys.
"""

from __future__ import annotations

import argparse
import io
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from gigaforge.catalog import load_catalog
from gigaforge.ledger import Actor, Ledger, actions
from gigaforge.ledger.contract import terms_from
from gigaforge.ledger.importing import import_rows
from gigaforge.ledger.investment import terms_of
from gigaforge.ledger.keys import new_key
from gigaforge.scenario import load_scenario

ANN, BOB, EVA = Actor("openai", "ann"), Actor("openai", "bob"), Actor("openai", "eva")
CHO, DAN = Actor("nvidia", "cho"), Actor("nvidia", "dan")
PARTIES = {"openai": ("OpenAI", "operator"), "nvidia": ("NVIDIA", "investor"), "crusoe": ("Crusoe", "developer")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("scenario", "plan", "folder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--through", default="2028-Q3")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with _agreed(given.scenario, given.folder) as ledger:
        racks = _deployed(given.plan, given.through)
        _deliver_and_test(ledger, racks)
        _sites(ledger, given.plan, given.through)
        _money(ledger)
        print(f"{ledger.state().seq:,} events of {len(racks):,} racks in {given.folder / 'ledger.db'}")


def _agreed(scenario: Path, folder: Path) -> Ledger:
    terms = terms_from(scenario, load_catalog())
    rows = [
        {"name": name, "label": label, "role": role, "public_key": new_key(folder / f"{name}.key")}
        for name, (label, role) in PARTIES.items()
    ]
    ledger = Ledger.create(str(folder / "ledger.db"), load_scenario(scenario).title, rows, ANN)
    put = ledger.append(actions.draft("commitment", ANN, {"terms": terms.model_dump(mode="json", exclude_none=True)}))
    for actor in (BOB, CHO):
        ledger.append(actions.approval(ledger, actor, put.seq))
    return ledger


def _deployed(plan: Path, through: str) -> pd.DataFrame:
    table = pd.read_parquet(plan / "deployment.parquet")
    table = table[(table["quarter"] <= through) & (table["racks_added"] > 0)]
    rows = [
        {"rack": f"{site[:4]}-{row:02d}-{n:04d}".upper(), "system": system, "site": site}
        for row, (site, system, added) in enumerate(
            table[["site", "system", "racks_added"]].itertuples(index=False), 1
        )
        for n in range(1, int(added) + 1)
    ]
    days = (datetime.now(UTC).date() - date(2026, 7, 6)).days - 20
    out = pd.DataFrame(rows)
    out["delivered_on"] = [date(2026, 7, 6) + timedelta(days=int(n * days / len(out))) for n in range(len(out))]
    return out


def _csv(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_csv(out, index=False)
    return out.getvalue()


def _deliver_and_test(ledger: Ledger, racks: pd.DataFrame) -> None:
    """Nine in ten pass, a few are in doubt or fail, the last are not tested yet."""
    tests, chance = terms_of(ledger.state()).systems, random.Random(1)
    report = import_rows(ledger, CHO, "delivery", _csv(racks), "deliveries-2026.csv")
    assert report.kept, report.errors[:3]
    measured = racks.iloc[: int(0.94 * len(racks))].drop(columns=["site"])
    measured = measured[[tests[s].acceptance is not None for s in measured["system"]]]
    rows = []
    for rack, system, delivered in measured.itertuples(index=False):
        band = tests[system].acceptance
        quality = chance.choices(
            [1.0, band.throughput.low / band.throughput.value * 0.97, 0.3], [0.985, 0.01, 0.005]
        )[0]
        rows.append({"rack": rack, "throughput": band.throughput.value * quality * chance.uniform(0.99, 1.03),
                     "power_w": band.power_w.value * chance.uniform(0.97, 1.03), "tested_on": delivered + timedelta(days=14)})  # fmt: skip
    report = import_rows(ledger, ANN, "acceptance", _csv(pd.DataFrame(rows)), "acceptance-2026.csv")
    assert report.kept, report.errors[:3]


def _sites(ledger: Ledger, plan: Path, through: str) -> None:
    limits = pd.read_parquet(plan / "sites.parquet")
    limits = limits[(limits["quarter"] == through) & (limits["energised_w"] > 0)]
    for site, power_w in limits[["site", "energised_w"]].itertuples(index=False):
        data = {"site": site, "power_w": int(power_w)}
        ledger.append(actions.draft("energisation", EVA, data, happened_on="2026-09-30"))
        for since, until in _months():
            reading = {"site": site, "since": since, "until": until, "energy_j": int(power_w * 0.7 * 86400 * 30)}
            ledger.append(actions.draft("meter", EVA, reading, happened_on=until))


def _months() -> Iterator[tuple[str, str]]:
    yield from (("2026-09-01", "2026-10-01"), ("2026-10-01", "2026-11-01"))


def _money(ledger: Ledger) -> None:
    """The first tranche paid, the second approved, the third claimed; one delivery disputed."""
    terms = terms_of(ledger.state())
    for number in range(1, min(3, ledger.state().accepted_w // terms.per_w) + 1):
        claim = ledger.append(actions.claim(ledger, ANN))
        approvers = {1: (BOB, CHO), 2: (BOB, CHO), 3: (BOB,)}[number]
        for actor in approvers:
            ledger.append(actions.approval(ledger, actor, claim.seq))
        if number == 1:
            ledger.append(actions.release(ledger, DAN, claim.seq, "wire 2026-11-20/1"))
    last = ledger.events(kind="delivery", limit=1, newest=True)[0]
    ledger.append(actions.dispute(CHO, last.seq, "this rack arrived with a damaged manifold"))


if __name__ == "__main__":
    main()
