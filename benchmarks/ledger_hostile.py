"""Ten thousand hostile inputs: events, CSV, Parquet, YAML, HTTP; each must end in one clear error, or be right.

python benchmarks/ledger_hostile.py [--each 2000] [--seed 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.ledger.attacks import ATTACKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    results = {}
    for name, make in ATTACKS.items():
        rng, outcomes, started = random.Random(f"{given.seed} {name}"), Counter(), time.monotonic()
        with tempfile.TemporaryDirectory() as folder, make(Path(folder)) as attack:
            for number in range(given.each):
                try:
                    outcomes[attack(rng)] += 1
                except Exception as bug:  # noqa: BLE001 (counted and shown)
                    outcomes["FAILED"] += 1
                    print(f"{name} {number}: {type(bug).__name__}: {str(bug)[:300]}", file=sys.stderr)
        results[name] = {**outcomes, "wall_s": round(time.monotonic() - started, 1)}
    if given.json:
        print(json.dumps(results))
    else:
        for name, found in results.items():
            print(f"{name:8} {', '.join(f'{k} {v}' for k, v in found.items())}")
    if any(found.get("FAILED") for found in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
