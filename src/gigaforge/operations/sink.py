"""Results as they come: one Parquet part a window, each written whole or not at all, and a state to resume from.

A folder ``sites.parquet/part-0003.parquet`` reads as one table with pandas, Polars, DuckDB and Arrow. After each
window the state (a few hundred kB) replaces the one before; a run that was stopped continues from it and ends with
the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gigaforge.errors import InputError
from gigaforge.operations.books import Books
from gigaforge.operations.engine import RunState, WindowResult
from gigaforge.operations.fleet import Fleet
from gigaforge.operations.repair import Crew
from gigaforge.operations.research import PoolState, QueueState
from gigaforge.operations.training import GangState

__all__ = ["FolderSink", "HourlySink", "digest", "load_state"]

_STATE: Final = "state.json"
_SERVED: Final = ["served_paid_tokens_per_s", "served_free_tokens_per_s"]
# table on disk, its key, and what each hourly quantity is the sum of
_HOURLY_OF: Final[tuple[tuple[str, str, dict[str, list[str]]], ...]] = (
    ("sites", "site", {"facility_w": ["facility_w"]}),
    ("serving", "workload", {"demand": ["demand_tokens_per_s"], "served": _SERVED}),
)


def digest(value: Any) -> str:
    """SHA-256 of a value made of dataclasses, arrays, sequences and plain values."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha: Any, value: Any) -> None:
    if is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            sha.update(f.name.encode())
            _feed(sha, getattr(value, f.name))
    elif isinstance(value, np.ndarray):
        sha.update(str(value.dtype).encode() + value.tobytes())
    elif isinstance(value, list | tuple):
        sha.update(f"[{len(value)}".encode())
        for item in value:
            _feed(sha, item)
    elif isinstance(value, dict):
        _feed(sha, sorted(value.items()))
    else:
        sha.update(repr(value).encode())


class HourlySink:
    """Hourly means in memory, for figures: a few bytes per site-hour."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.parts: list[pd.DataFrame] = []

    def __call__(self, result: WindowResult, state: RunState) -> None:
        """Keep one window's."""
        del state
        time = result.edges[:-1] + result.index * self.fleet.window_s
        for site, found in zip(self.fleet.sites, result.sites, strict=True):
            self._keep(time, site.name, "facility_w", found.facility_w)
        for workload, served in result.serving:
            self._keep(time, workload.name, "demand", served.demand)
            self._keep(time, workload.name, "served", served.served_paid + served.served_free)

    def _keep(self, time: Any, name: str, quantity: str, values: Any) -> None:
        hour = (time // 3600).astype(np.int64)
        first, count = int(hour[0]), np.bincount(hour - hour[0])
        mean = np.bincount(hour - hour[0], weights=values) / count
        at = 3600.0 * (first + np.arange(count.size))
        self.parts.append(pd.DataFrame({"time_s": at, "name": name, "quantity": quantity, "value": mean}))

    def restore(self, folder: Path, windows: int) -> None:
        """Take the windows that an earlier run wrote."""
        for index in range(windows):
            for name, key, columns in _HOURLY_OF:
                path = folder / f"{name}.parquet" / f"part-{index:04d}.parquet"
                if path.exists():
                    self._take(pd.read_parquet(path), key, columns)

    def _take(self, table: pd.DataFrame, key: str, columns: dict[str, list[str]]) -> None:
        for name, rows in table.groupby(key, observed=True, sort=False):
            for quantity, parts in columns.items():
                values = rows[parts].astype(np.float64).sum(axis=1).to_numpy()
                self._keep(rows["time_s"].to_numpy(), str(name), quantity, values)

    def table(self) -> pd.DataFrame:
        """``time_s, name, quantity, value``."""
        if not self.parts:
            return pd.DataFrame({"time_s": [], "name": [], "quantity": [], "value": []})
        whole = pd.concat(self.parts, ignore_index=True)
        # a quarter ends on a half hour: the hour that two windows share is the mean of its halves
        key = ["name", "quantity", "time_s"]
        return whole.groupby(key, as_index=False, sort=False).agg({"value": "mean"})[["time_s", *key[:2], "value"]]


class FolderSink:
    """Writes a window's tables and the state into a folder.

    Parameters
    ----------
    folder : Path
    fleet : Fleet
    seed : int
    events : bool
        Write every failure too (about 25 bytes each).

    """

    def __init__(self, folder: Path, fleet: Fleet, seed: int, *, events: bool = False) -> None:
        self.folder, self.fleet, self.seed, self.events = folder, fleet, seed, events
        self.digest = digest((fleet, seed))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise InputError(f"cannot be written: {problem.strerror}", f"--out {folder}") from None

    def __call__(self, result: WindowResult, state: RunState) -> None:
        """Write one window, then the state that follows it."""
        offset = result.index * self.fleet.window_s
        time = (result.edges[:-1] + offset).astype(np.int64)
        self._write("sites", result.index, _site_table(self.fleet, result, time))
        if result.serving:
            self._write("serving", result.index, _serving_table(result, time))
        if any(g is not None and g.group.kind == "training" for g in result.groups):
            self._write("training", result.index, _training_table(self.fleet, result, time))
        if self.events:
            self._write("failures", result.index, _failure_table(self.fleet, result, offset))
        self._state(state)

    def _write(self, name: str, index: int, table: pa.Table) -> None:
        folder = self.folder / f"{name}.parquet"
        folder.mkdir(exist_ok=True)
        path = folder / f"part-{index:04d}.parquet"
        temporary = path.with_suffix(".tmp")
        pq.write_table(
            table.replace_schema_metadata(
                {"time_s": f"seconds since {self.fleet.start.start.isoformat()}T00:00:00Z"}
            ),
            temporary,
            compression="zstd",
            compression_level=1,
            use_dictionary=["site", "workload", "group", "mode"],
        )
        temporary.replace(path)

    def _state(self, state: RunState) -> None:
        data = {
            "digest": self.digest,
            "window": state.window,
            "charge_j": state.charge_j,
            "pools": [asdict(p) for p in state.pools],
            "gangs": [{f.name: getattr(g, f.name) for f in fields(g)} for g in state.gangs],
            "crews": [{f.name: np.asarray(getattr(c, f.name)).tolist() for f in fields(c)} for c in state.crews],
            "books": state.books.as_dict(),
        }
        temporary = self.folder / f"{_STATE}.tmp"
        temporary.write_text(json.dumps(data), encoding="utf-8")
        temporary.replace(self.folder / _STATE)


def load_state(folder: Path, fleet: Fleet, seed: int) -> RunState | None:
    """State of an earlier run of the same fleet and seed in a folder, None where there is none.

    Raises
    ------
    InputError
        The folder holds another run's state.

    """
    path = folder / _STATE
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["digest"] != digest((fleet, seed)):
            raise InputError("holds another fleet or seed; choose another folder", f"--out {folder}")
        crews = [
            Crew(c["technicians"], c["parts"], np.array(c["down_rack"], dtype=np.int64), np.array(c["down_until_s"], dtype=np.float64),
                 np.array(c["down_share"], dtype=np.float64), np.array(c["cured"], dtype=np.int64),
                 np.array(c["down_mode"], dtype=np.int64))
            for c in data["crews"]
        ]  # fmt: skip
        return RunState(
            data["window"],
            crews,
            [GangState(**g) for g in data["gangs"]],
            [_pool(p) for p in data["pools"]],
            data["charge_j"],
            Books.from_dict(fleet, data["books"]),
        )
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise InputError(f"is not a simulation's state ({problem}); remove it to start again", str(path)) from None


def _pool(data: dict[str, Any]) -> PoolState:
    queues = [QueueState(**{**q, "waiting": [tuple(job) for job in q["waiting"]]}) for q in data["queues"]]
    return PoolState(data["racks"], queues)


def _names(values: list[str], bins: int) -> pa.DictionaryArray:
    index = np.repeat(np.arange(len(values), dtype=np.int32), bins)
    return pa.DictionaryArray.from_arrays(pa.array(index), pa.array(values))


def _f32(arrays: list[Any]) -> pa.Array:
    return pa.array(np.concatenate(arrays).astype(np.float32))


def _known(arrays: list[Any]) -> pa.Array:
    """Null where a value is unknown (NaN)."""
    return pa.array(np.concatenate(arrays).astype(np.float32), from_pandas=True)


def _site_table(fleet: Fleet, result: WindowResult, time: Any) -> pa.Table:
    sites = result.sites
    return pa.table({
        "time_s": pa.array(np.tile(time, len(sites))),
        "site": _names([s.name for s in fleet.sites], time.size),
        "it_w": _f32([s.it_w for s in sites]),
        "facility_w": _f32([s.facility_w for s in sites]),
        "grid_w": _f32([s.grid_w for s in sites]),
        "pue": _f32([s.pue for s in sites]),
        "temperature_c": _f32([s.temperature_c for s in sites]),
        "limit_w": _f32([s.limit_w for s in sites]),
        "cost_usd": _f32([s.grid_w * s.price_usd_per_j * fleet.step_s for s in sites]),
        "carbon_kg": _f32([s.grid_w * s.carbon_g_per_j * fleet.step_s / 1e3 for s in sites]),
    })  # fmt: skip


def _serving_table(result: WindowResult, time: Any) -> pa.Table:
    rows = [r for _, r in result.serving]
    return pa.table({
        "time_s": pa.array(np.tile(time, len(rows))),
        "workload": _names([w.name for w, _ in result.serving], time.size),
        "demand_tokens_per_s": _f32([r.demand for r in rows]),
        "served_paid_tokens_per_s": _f32([r.served_paid for r in rows]),
        "served_free_tokens_per_s": _f32([r.served_free for r in rows]),
        "shed_tokens_per_s": _f32([r.shed for r in rows]),
        "late_share": _f32([r.late for r in rows]),
        "ttft_s": _known([r.ttft_s for r in rows]),
        "tpot_s": _known([r.tpot_s for r in rows]),
        "needed_racks": _f32([r.needed for r in rows]),
        "active_racks": _f32([r.active.sum(axis=0) for r in rows]),
        "backfill_racks": _f32([r.backfill.sum(axis=0) for r in rows]),
    })  # fmt: skip


def _training_table(fleet: Fleet, result: WindowResult, time: Any) -> pa.Table:
    rows = [g for g in result.groups if g is not None and g.group.kind == "training"]
    return pa.table({
        "time_s": pa.array(np.tile(time, len(rows))),
        "group": _names([g.group.name for g in rows], time.size),
        "racks_up": _f32([g.up for g in rows]),
        "running": _f32([g.running for g in rows]),
        "tokens_per_s": _f32([g.tokens / fleet.step_s for g in rows]),
        "it_w": _f32([g.power_w for g in rows]),
    })  # fmt: skip


def _failure_table(fleet: Fleet, result: WindowResult, offset: float) -> pa.Table:
    kinds = pa.array([k.kind for k in fleet.table.kinds()])
    parts = []
    for index, found in enumerate(result.failures):
        events = found.down.events
        size = events.size
        parts.append(pa.table({
            "time_s": pa.array(events.time_s + offset),
            "site": pa.DictionaryArray.from_arrays(pa.array(np.full(size, index, dtype=np.int32)), pa.array([s.name for s in fleet.sites])),
            "group": pa.DictionaryArray.from_arrays(pa.array(events.group.astype(np.int32)), pa.array([g.name for g in fleet.groups])),
            "rack": pa.array(events.rack.astype(np.int32)),
            "mode": pa.DictionaryArray.from_arrays(pa.array(events.mode.astype(np.int32)), kinds),
            "planned": pa.array(fleet.table.planned[events.mode]),
            "down_s": pa.array((found.down.until_s - events.time_s).clip(min=0.0).astype(np.float32)),
            "waited_s": pa.array(found.down.waited_s.astype(np.float32)),
        }))  # fmt: skip
    return pa.concat_tables(parts)
