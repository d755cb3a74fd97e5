"""How the ledger bears size: 100,000 racks imported, a million events, the page's state, verification, fifty racing clients.

python benchmarks/ledger_scale.py [--racks 100000] [--events 1000000] [--database sqlite|postgresql] [--brief] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa
from tests.ledger.postgres import Cluster
from tests.ledger.racing import check, race
from tests.ledger.world import ANN, CHO, EVE, new_ledger, ready

from gigaforge.ledger import Draft, Ledger, actions, verify
from gigaforge.ledger.canonical import sha256
from gigaforge.ledger.importing import import_rows
from gigaforge.ledger.overview import overview
from gigaforge.ledger.register import StoredRegister
from gigaforge.ledger.storage import writing
from gigaforge.ledger.writer import Writer, keep_state


def timed(what: Callable[[], object]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def imports(ledger: Ledger, racks: int) -> dict[str, float]:
    """Deliveries and acceptance tests of so many racks, from CSV."""
    rows = [f"R{n:07d},rack,abilene,2026-10-{1 + n % 28:02d}" for n in range(racks)]
    deliveries = "\n".join(["rack,system,site,delivered_on", *rows]).encode()
    rows = [f"R{n:07d},{950 + n % 100},{175000 + n % 1000},2026-11-{1 + n % 20:02d}" for n in range(racks)]
    tests = "\n".join(["rack,throughput,power_w,tested_on", *rows]).encode()
    out = {"deliveries_s": timed(lambda: _all(import_rows(ledger, CHO, "delivery", deliveries, "d.csv"), racks))}
    out["acceptance_s"] = timed(lambda: _all(import_rows(ledger, ANN, "acceptance", tests, "a.csv"), racks))
    out["again_s"] = timed(lambda: import_rows(ledger, ANN, "acceptance", tests, "a.csv"))
    return out


def _all(report: object, racks: int) -> None:
    assert report.kept, report.errors[:3]
    assert report.recorded == racks


def fill(ledger: Ledger, total: int) -> float:
    """Racks delivered, installed, energised and accepted until the ledger holds so many events."""
    started = time.perf_counter()
    while (seq := ledger.state().seq) < total:
        names = [f"F{n:08d}" for n in range(seq, seq + min(2500, (total - seq + 3) // 4))]
        with writing(ledger.engine) as connection:
            state, register = ledger.state_in(connection), StoredRegister(connection)
            writer = Writer(connection, state, register, state.ledger)
            register.prefetch(names)
            for name in names:
                for draft in _life(name):
                    writer.add(draft)
            writer.flush()
    return time.perf_counter() - started


def _life(name: str) -> list[Draft]:
    day = date(2026, 11, 3)
    return [
        Draft("delivery", CHO, {"racks": [name], "system": "rack", "site": "abilene"}, day),
        Draft("installation", EVE, {"racks": [name]}, day),
        Draft("energisation", EVE, {"racks": [name], "site": "abilene"}, day),
        Draft("acceptance", ANN, {"racks": [name], "throughput": 1000.0, "power_w": 180e3}, day),
    ]


def study(where: str, folder: Path, racks: int, total: int, *, brief: bool = False) -> dict[str, float]:
    """Everything, on one database; `brief` leaves out what reads every event."""
    ledger = new_ledger(where, folder, commitment_w=10**14, ceiling_cents=10**17)
    before = time.process_time()
    out = {"racks": racks, **imports(ledger, racks)}
    out["imports_cpu_s"] = time.process_time() - before
    out["fill_s"] = fill(ledger, total)
    out["events"] = ledger.state().seq
    ledger.close()
    opened = []
    for _ in range(15):
        again = Ledger.open(where)
        opened.append(timed(lambda book=again: overview(book.state())))
        again.close()
    out["page_state_cold_ms"] = 1000 * opened[0]
    out["page_state_median_ms"] = 1000 * statistics.median(opened)
    with Ledger.open(where) as ledger:
        out["append_ms"] = 1000 * statistics.median(
            timed(lambda n=n: ledger.append(actions.draft("dispute", CHO, {"subject": 2, "reason": "x", "state": n})))
            for n in ("opened", "settled") * 10
        )
        if not brief:
            out["verify_s"] = timed(lambda: _sound(ledger))
            out["rebuild_s"] = timed(ledger.rebuild)
    return out


def padded(where: str, folder: Path, total: int) -> dict[str, float]:
    """What reading costs among so many events: copies of one in place of recorded ones, so this ledger does not verify."""
    ledger = new_ledger(where, folder, commitment_w=10**14, ceiling_cents=10**17)
    ready(ledger)
    state = ledger.state()
    with ledger.engine.begin() as connection:
        rows = "SELECT n, encode(sha256(n::text::bytea), 'hex'), kind, party, 'pad ' || n, body FROM generate_series(:first, :last) n, "
        rows += "(SELECT kind, party, body FROM events ORDER BY seq DESC LIMIT 1) e"
        between = {"first": state.seq + 1, "last": total - 1}
        connection.execute(sa.text(f"INSERT INTO events (seq, hash, kind, party, key, body) {rows}"), between)
        state.seq, state.head = total - 1, sha256(str(total - 1).encode())
        keep_state(connection, state, first=False)
    ledger.append(actions.draft("dispute", CHO, {"subject": 2, "reason": "x", "state": "opened"}))
    times = [timed(lambda: overview(ledger.state())) for _ in range(15)]
    ledger.close()
    return {
        "events": total,
        "page_state_median_ms": 1000 * statistics.median(times),
        "page_state_first_ms": 1000 * times[0],
    }


def _sound(ledger: Ledger) -> None:
    result = verify(ledger.engine)
    assert result.sound, result.findings[:3]


def racing(where: str, folder: Path) -> dict[str, float]:
    """Fifty clients claim, approve and release whatever they find."""
    with new_ledger(where, folder) as ledger:
        ready(ledger, 16)
        outcomes: dict[str, float] = {}
        outcomes["wall_s"] = timed(lambda: outcomes.update(race(ledger, 3)))
        check(ledger)
        return {**outcomes, "releases": len(ledger.events(kind="release", limit=1000))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--racks", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--brief", action="store_true", help="leave out verification and rebuilding")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--padded", action="store_true", help="only what reading costs among --events, on PostgreSQL")
    given = parser.parse_args()
    if given.padded:
        given.database = "postgresql"
    cluster = Cluster(durable=True) if given.database == "postgresql" else None
    try:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            places = [cluster.database() if cluster else f"{folder}/ledger.db" for folder in (first, second)]
            results = (
                {"padded": padded(places[0], Path(first), given.events)}
                if given.padded
                else {
                    "race": racing(places[1], Path(second)),
                    "scale": study(places[0], Path(first), given.racks, given.events, brief=given.brief),
                }
            )
    finally:
        if cluster:
            cluster.remove()
    if given.json:
        print(json.dumps(results))
        return
    for name, found in results.items():
        for what, value in found.items():
            print(f"{name:6} {what:24} {value:,.1f}" if isinstance(value, float) else f"{name:6} {what:24} {value:,}")


if __name__ == "__main__":
    main()
