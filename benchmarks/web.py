"""First paint of every page in Chromium, and what the server takes for each: `python benchmarks/web.py PLAN_DIR LEDGER [SCENARIO]`.

The server runs in this process and draws in the background as `gigaforge web` does. Each page is opened once, whatever is drawn by
then, and when everything is drawn `REPEATS` times in a fresh tab. `--first /plan` opens that page before all others. Processor
time is this process's (server and the browser's remote control); Chromium's is not in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import sync_playwright

from gigaforge.ledger.access import Identity, open_session
from gigaforge.ledger.event import Actor
from gigaforge.web.app import create_app
from gigaforge.web.pages import warming
from gigaforge.web.security import COOKIE
from gigaforge.web.settings import Settings

REPEATS = 5
PAGES = (
    "/",
    "/plan",
    "/sites",
    "/deployments",
    "/events",
    "/racks?status=accepted",
    "/tranches",
    "/what-if",
    "/performance",
    "/fleet",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("ledger")
    parser.add_argument("scenario", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--first", default="/", help="page to open before all others")
    given = parser.parse_args()
    app = create_app(Settings(given.ledger, plan=given.plan, scenario=given.scenario, requests_per_minute=10**6))
    drawing = warming.warm(app)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    ledger = app.state.ledger
    party = next(iter(ledger.state().parties))
    secret = open_session(ledger.engine, Identity(Actor(party, "bench"), "auditor"))
    found = {
        "events": ledger.state().seq,
        "state_ms": _state_ms(ledger),
        "pages": _measure(address, secret, given.first, drawing),
    }
    server.should_exit = True
    for path, row in found["pages"].items():
        print(
            f"{path:24} first visit {row['first_ms']:6.0f} ms   paint {row['paint_ms']:6.0f} ms   server {row['server_ms']:6.0f} ms, "
            f"{row['processor_ms']:5.0f} ms of processor   {row['kilobytes']:6.0f} kB"
        )
    print(f"{found['events']:,} events; state of the ledger {found['state_ms']:.1f} ms")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _state_ms(ledger: Any) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ledger.state()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _measure(address: str, secret: str, first: str, drawing: threading.Thread) -> dict[str, dict[str, float]]:
    out = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(base_url=address, viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": COOKIE, "value": secret, "url": address, "sameSite": "Strict"}])
        before = {path: _open(context, path)["paint_ms"] for path in sorted(PAGES, key=lambda path: path != first)}
        drawing.join()
        for path in PAGES:
            rows = [_open(context, path) for _ in range(REPEATS)]
            out[path] = {name: statistics.median(r[name] for r in rows) for name in rows[0]} | {
                "first_ms": before[path]
            }
        browser.close()
    return out


def _open(context: Any, path: str) -> dict[str, float]:
    page = context.new_page()
    began = time.process_time()
    page.goto(path, wait_until="commit")
    painted: list[float] = []
    while not painted:
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)")
    server, size = page.evaluate(
        "(() => { const n = performance.getEntriesByType('navigation')[0]; return [n.responseStart - n.requestStart, n.transferSize]; })()"
    )
    page.wait_for_load_state()
    used = time.process_time() - began
    page.close()
    return {"processor_ms": used * 1e3, "paint_ms": painted[0], "server_ms": server, "kilobytes": size / 1e3}


if __name__ == "__main__":
    main()
