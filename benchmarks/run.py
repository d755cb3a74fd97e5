"""Run every benchmark: speeds as ratios to a naive version in the same run, beside what peers were measured at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).parent
    for script in sorted(here.glob("*.py")):
        if script.name not in ("run.py", "usage.py"):
            print(f"\n== {script.stem} ==", flush=True)
            subprocess.run([sys.executable, str(script)], check=True)


if __name__ == "__main__":
    main()
