"""Thousands of wrong, broken and malicious inputs: each ends in one clear error, or is simply right."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator

import pandas as pd

NASTY = [
    "", " ", "\x00", "A" * 70, "A" * 100_000, "../../etc/passwd", "'; DROP TABLE events; --", "<script>alert(1)</script>",
    "\u202eevil", "\ud800", "é", "Ａ", "0", "-1", "1e999", "nan", "NaN", "inf", "-inf", "1e-400", "None", "null", "true", "[]",
    "{}", "=cmd|' /C calc'!A0", "%s%n", "${jndi:x}", "2026-02-30", "9999-12-31", "0000-00-00", "2026-10-05T00:00:00",
    "10 GW", "1,5", "１２３", "\ufeffrack", "a\nb", 'a"b', "a,b", "\r\n",
]  # fmt: skip
VALUES = [
    *NASTY,
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    2**200,
    0.1,
    -0.0,
    1e308,
    [],
    {},
    [[]],
    {"a": {}},
    ["A"] * 3,
]
KINDS = ["opened", "party", "key", "commitment", "order", "delivery", "installation", "energisation", "acceptance", "meter",
         "decommissioning", "correction", "claim", "approval", "release", "dispute", "checkpoint", "nothing", "", "\x00"]  # fmt: skip
GOOD = {
    "delivery": {"racks": ["H1"], "system": "rack", "site": "abilene"},
    "acceptance": {"racks": ["R00000"], "throughput": 1000.0, "power_w": 180e3},
    "meter": {"site": "abilene", "since": "2026-07-01", "until": "2026-08-01", "energy_j": 5},
    "claim": {"tranche": 1, "racks": ["R00000"]},
    "approval": {"subject": 2, "hash": "0" * 64, "decision": "approve"},
    "release": {"claim": 2, "hash": "0" * 64, "amount_cents": 1, "reference": "x"},
    "dispute": {"subject": 2, "state": "opened", "reason": "x"},
    "correction": {"corrects": 2, "hash": "0" * 64, "reason": "x"},
    "energisation": {"site": "abilene", "power_w": 5},
    "order": {"order": "P1", "supplier": "nvidia", "system": "rack", "racks": 5},
}  # fmt: skip


def event_data(rng: random.Random) -> tuple[str, object]:
    """Data of an event with something wrong in it."""
    kind = rng.choice([*GOOD, *KINDS])
    data: object = dict(GOOD.get(kind, {}))
    assert isinstance(data, dict)
    for _ in range(rng.randint(1, 3)):
        field = rng.choice([*data, "extra", rng.choice(NASTY)])
        if rng.random() < 0.2:
            data.pop(field, None)
        else:
            data[field] = rng.choice(VALUES)
    return kind, data if rng.random() < 0.95 else rng.choice(VALUES)


def csv_file(rng: random.Random) -> bytes:
    """A CSV with a wrong header, wrong cells, wrong bytes."""
    columns = ["rack", "system", "site", "delivered_on", "order"]
    if rng.random() < 0.3:
        columns[rng.randrange(5)] = rng.choice(NASTY)
    rng.shuffle(columns)
    rows = [[_cell(rng, c) for c in columns] for _ in range(rng.randint(0, 4))]
    text = "\n".join([",".join(columns), *(",".join(r) for r in rows)])
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if content and rng.random() < 0.3:
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content[: rng.randrange(len(content) + 1)] if rng.random() < 0.1 else content)


def _cell(rng: random.Random, column: str) -> str:
    good = {
        "rack": f"H{rng.randrange(10**6)}",
        "system": "rack",
        "site": "abilene",
        "delivered_on": "2026-10-05",
        "order": "",
    }
    return good.get(column, "x") if rng.random() < 0.7 else rng.choice(NASTY)


_parquet: list[bytes] = []


def parquet_file(rng: random.Random) -> bytes:
    """A Parquet file of wrong columns or types, or with bytes changed or cut."""
    if not _parquet:
        good = {"rack": ["H1"], "system": ["rack"], "site": ["abilene"], "delivered_on": ["2026-10-05"]}
        tables = [good, {**good, "rack": [1.5]}, {**good, "rack": [None]}, {**good, "rack": [["A"]]}, {"x": [1]}, {},
                  {**good, "delivered_on": [pd.Timestamp("2026-10-05")]}, {**good, "site": [b"\xff"]}]  # fmt: skip
        for table in tables:
            out = io.BytesIO()
            pd.DataFrame(table).to_parquet(out, index=False)
            _parquet.append(out.getvalue())
    content = bytearray(rng.choice(_parquet))
    if rng.random() < 0.8:
        for _ in range(rng.randint(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    if rng.random() < 0.2:
        content = content[: rng.randrange(len(content))]
    return bytes(content)


def yaml_text(rng: random.Random, good: str) -> str:
    """A scenario with lines lost, doubled, moved, or values replaced."""
    lines = good.splitlines()
    for _ in range(rng.randint(1, 4)):
        n = rng.randrange(len(lines))
        choice = rng.random()
        if choice < 0.25:
            del lines[n]
        elif choice < 0.4:
            lines.insert(n, lines[rng.randrange(len(lines))])
        elif choice < 0.55:
            lines[n] = " " * rng.randint(0, 6) + lines[n].lstrip()
        else:
            head, colon, _ = lines[n].partition(":")
            bad = str(rng.choice([*NASTY, "&a [*a]", "!!python/object:os.system x", "{a: " * 50, "[" * 2000, "? :"]))
            lines[n] = f"{head}{colon} {bad}"
        if not lines:
            lines = [""]
    return "\n".join(lines)


def requests(rng: random.Random, count: int) -> Iterator[tuple[str, str, dict]]:
    """HTTP requests with something wrong in path, headers or body."""
    paths = ["state", "events", "events/1", "events/{}", "racks", "racks/{}", "evidence/{}", "claims", "events/{}/decisions",
             "claims/{}/release", "drafts", "tokens", "tokens/{}", "jobs/{}", "imports/{}", "statements/{}", "actuals", "export",
             "reads", "{}", "../{}", "measured-runs"]  # fmt: skip
    for _ in range(count):
        path = rng.choice(paths).format(_wire(rng).replace("\n", "").replace("\r", "") or "x")
        headers = {"idempotency-key": _header(rng)} if rng.random() < 0.8 else {}
        if rng.random() < 0.3:
            headers["if-match"] = _header(rng)
        if rng.random() < 0.1:
            headers["content-type"] = rng.choice(
                ["text/xml", "multipart/form-data", "application/json; charset=utf-99", ""]
            )
        body: dict = {"headers": headers}
        kind, data = event_data(rng)
        content = rng.random()
        if content < 0.5:
            body["content"] = json.dumps({"kind": kind, "data": data}).encode()
        elif content < 0.7:
            body["content"] = json.dumps(rng.choice(VALUES)).encode()
        elif content < 0.85:
            body["content"] = rng.randbytes(rng.randrange(200))
        elif content < 0.9:
            body["content"] = b"[" * 100_000
        if rng.random() < 0.3:
            body["params"] = {rng.choice(["after", "limit", "kind", "through", "claim", "site"]): _wire(rng)[:500]}
        yield rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH"]), f"/api/v1/{path}", body


def _wire(rng: random.Random) -> str:
    return rng.choice(NASTY).encode("utf-8", "replace").decode()[:300].replace("\x00", "%00")


def _header(rng: random.Random) -> str:
    return "".join(c for c in rng.choice(NASTY)[:300] if " " <= c <= "~").strip()
