"""Each attack sends one hostile input and says how it ended; anything but a clear error or success is raised."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

from gigaforge.errors import GigaforgeError
from gigaforge.ledger import Ledger, actions, verify
from gigaforge.ledger.importing import import_rows
from tests.ledger import hostile
from tests.ledger.world import ANN, CHO, new_ledger, ready

Attack = Callable[[random.Random], str]


def _clear(problem: GigaforgeError) -> str:
    text = str(problem)
    assert text.strip()
    assert "Traceback" not in text
    assert len(text) < 4000, text[:200]
    return "error"


@contextmanager
def _ledger(folder: Path) -> Iterator[Ledger]:
    with new_ledger(str(folder / "ledger.db"), folder) as ledger:
        ready(ledger, 5)
        yield ledger
        assert verify(ledger.engine).sound


@contextmanager
def events(folder: Path) -> Iterator[Attack]:
    """Events with wrong data, through the Python API."""
    with _ledger(folder) as ledger:

        def attack(rng: random.Random) -> str:
            kind, data = hostile.event_data(rng)
            try:
                ledger.append(
                    actions.draft(kind, rng.choice([ANN, CHO]), data if isinstance(data, dict) else {"data": data})
                )
            except GigaforgeError as problem:
                return _clear(problem)
            return "recorded"

        yield attack


@contextmanager
def _imports(folder: Path, make: Callable[[random.Random], bytes]) -> Iterator[Attack]:
    with _ledger(folder) as ledger:

        def attack(rng: random.Random) -> str:
            try:
                report = import_rows(ledger, CHO, "delivery", make(rng), "hostile")
            except GigaforgeError as problem:
                return _clear(problem)
            return "recorded" if report.kept else "error"

        yield attack


def csv(folder: Path) -> AbstractContextManager[Attack]:
    """CSV files."""
    return _imports(folder, hostile.csv_file)


def parquet(folder: Path) -> AbstractContextManager[Attack]:
    """Parquet files."""
    return _imports(folder, hostile.parquet_file)


@contextmanager
def yaml(folder: Path) -> Iterator[Attack]:
    """Scenario files."""
    from gigaforge.catalog import load_catalog
    from gigaforge.scenario import check_against, load_scenario

    good = Path("scenarios/single-site.yaml").read_text(encoding="utf-8")
    catalog, file = load_catalog(), folder / "scenario.yaml"

    def attack(rng: random.Random) -> str:
        file.write_text(hostile.yaml_text(rng, good), encoding="utf-8", errors="surrogatepass")
        try:
            check_against(load_scenario(file), catalog)
        except GigaforgeError as problem:
            return _clear(problem)
        return "read"

    yield attack


@contextmanager
def http(folder: Path) -> Iterator[Attack]:
    """Requests to the API."""
    from fastapi.testclient import TestClient

    from gigaforge.ledger.access import issue
    from gigaforge.web.app import create_app
    from gigaforge.web.settings import Settings

    with _ledger(folder) as ledger:
        app = create_app(Settings(ledger=str(folder / "ledger.db"), requests_per_minute=10**9))
        secrets = [
            issue(ledger.engine, ANN, role, timedelta(hours=1))[1] for role in ("recorder", "approver", "auditor")
        ]
        with TestClient(app, base_url="http://127.0.0.1") as client:

            def attack(rng: random.Random) -> str:
                method, path, request = next(iter(hostile.requests(rng, 1)))
                request["headers"]["authorization"] = f"Bearer {rng.choice(secrets)}"
                answer = client.request(method, path, follow_redirects=False, **request)
                assert answer.status_code < 500, (method, path, request, answer.text)
                if answer.status_code < 400:
                    return "answered"
                # A path with dots is folded before it is sent, and may leave the API: a page says so then.
                page = not answer.request.url.path.startswith("/api/")
                kind = "text/html; charset=utf-8" if page else "application/problem+json"
                assert answer.headers["content-type"] == kind, (method, path, answer.text)
                return "error"

            yield attack


ATTACKS: dict[str, Callable[[Path], AbstractContextManager[Attack]]] = {
    "csv": csv, "events": events, "http": http, "parquet": parquet, "yaml": yaml,
}  # fmt: skip
