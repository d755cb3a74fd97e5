"""Pull the plug while a thousand writes are under way, again and again: what was acknowledged must be there afterwards.

Each round starts two processes whose threads record 1,000 events between them and say which came back recorded. At a random
moment everything is killed with SIGKILL: the writers, and on PostgreSQL in every second round the whole server too. Then the
ledger is opened again, every acknowledged event is looked up by its hash, and the ledger is verified.

    python benchmarks/ledger_durability.py [--rounds 200] [--writes 1000] [--databases sqlite,postgresql] [--seed 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.ledger.killing import trial
from tests.ledger.postgres import Cluster


def study(kind: str, rounds: int, writes: int, seed: int) -> dict:
    """All rounds on one kind of database."""
    rng = random.Random(seed)
    cluster = Cluster(durable=True) if kind == "postgresql" else None
    out = {"rounds": 0, "acknowledged": 0, "found": 0, "lost": 0, "unsound": 0}
    started = time.monotonic()
    try:
        for number in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                where = cluster.database() if cluster else f"{folder}/ledger.db"
                done = trial(where, Path(folder), writes, rng, cluster if number % 2 else None)
            out["rounds"] += 1
            for name in ("acknowledged", "found", "lost"):
                out[name] += done[name]
            out["unsound"] += not done["sound"]
            if number % 10 == 9:
                print(f"{kind}: {out}", file=sys.stderr, flush=True)
    finally:
        if cluster:
            cluster.remove()
    return {**out, "wall_s": round(time.monotonic() - started)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--writes", type=int, default=1000)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = {kind: study(kind, given.rounds, given.writes, given.seed) for kind in given.databases.split(",")}
    if given.json:
        print(json.dumps(results))
        return
    for kind, r in results.items():
        print(
            f"{kind}: {r['rounds']} kills, {r['acknowledged']:,} acknowledged, {r['lost']} lost, {r['unsound']} unsound"
        )
    if any(r["lost"] or r["unsound"] for r in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
