"""Separate prefill and decode pools of a run: as its row prints them, and as its published configuration sets them.

Rows print how many accelerators and workers each pool has; batch limits, tokens of a prefill pass, and which attention is
data parallel stand in the benchmarks' own configuration files (``perf/data/serving_pools.json``). Nothing in it is fitted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from gigaforge.perf.validation.serving_cells import text
from gigaforge.perf.validation.serving_names import Unpredictable

__all__ = ["Pools", "Printed", "printed_pools", "published_pools"]


class Printed(NamedTuple):
    """What a row says of its pools: workers, accelerators and attention ranks of a worker."""

    prefill_workers: float
    prefill_size: float
    prefill_ranks: float
    decode_workers: float
    decode_size: float
    decode_ranks: float


class Pools(NamedTuple):
    """Pools as a run was launched.

    Attributes
    ----------
    sizes : Printed
        Workers, their accelerators and attention ranks.
    slots : float
        Requests that one decode worker runs at a time; infinite where not set.
    chunk_tokens : float or None
        Tokens of a prefill pass on one attention rank; None where not known.
    drafts : float
        Tokens drafted per step.

    """

    sizes: Printed
    slots: float = math.inf
    chunk_tokens: float | None = None
    drafts: float = 0.0


POOLS: Final = re.compile(r"prefill (\d+) GPUs? \((\d+) workers?\), decode (\d+) GPUs? \((\d+) workers?\)")
_RANKS: Final = re.compile(r"prefill (\d+) / decode (\d+)")
_SPLIT: Final = ("true", "1", "y", "1.0")


def printed_pools(row: Mapping[str, Any]) -> Printed | None:
    """Pools of a disaggregated run as its row prints them; None where prefill has no pool of its own.

    Raises
    ------
    Unpredictable
        The run is disaggregated, but the sizes are not printed.

    """
    if text(row, "disaggregated").lower() not in _SPLIT:
        return None
    found = POOLS.search(text(row, "disaggregated_note"))
    if not found:
        raise Unpredictable("disaggregated run without the sizes of its pools")
    prefill_gpus, prefill_workers, decode_gpus, decode_workers = (float(x) for x in found.groups())
    prefill_size, decode_size = prefill_gpus / prefill_workers, decode_gpus / decode_workers
    ranks = _RANKS.search(text(row, "dp_attention"))
    prefill_ranks, decode_ranks = (float(x) for x in ranks.groups()) if ranks else (1.0, 1.0)
    return Printed(
        prefill_workers,
        prefill_size,
        min(prefill_ranks, prefill_size),
        decode_workers,
        decode_size,
        min(decode_ranks, decode_size),
    )


def published_pools(run: Mapping[str, Any], printed: Printed | None) -> Pools | None:
    """Configuration that a benchmark published for a run of its own; None where none fits, and for runs of others.

    Of several that fit, one without drafted tokens (a row says so where it drafts), then the newest of the day, then the next.

    Parameters
    ----------
    run : mapping
        ``source, gpu, model, precision, software, date`` as text; ``input_len, output_len`` [token] as printed, ``concurrency``,
        ``accelerators`` (in all), ``drafts`` as numbers.
    printed : Printed or None
        Pools as the row prints them; None where it prints the sum alone.

    """
    table = _table()
    if not re.search(table["runs"], str(run["source"]).lower()):
        return None
    fits = [
        (entry, pools) for entry, pools in _entries() if _same_run(entry, run) and _same_pools(pools, run, printed)
    ]
    if not fits:
        return None
    today = _day(str(run["date"]))

    def rank(fit: tuple[Mapping[str, Any], Pools]) -> tuple[bool, bool, int]:
        since = _day(str(fit[0]["since"]))
        later = since > today
        return (fit[1].drafts > 0) != (run["drafts"] > 0), later, since if later else -since

    return min(fits, key=rank)[1]


def _day(date: str) -> int:
    """2026-01-30 as 20260130; a date that is not known comes after all."""
    digits = date[:10].replace("-", "")
    return int(digits) if digits.isdigit() else 99999999


def _same_run(entry: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    names = ("gpu", "model", "precision", "software", "input_len", "output_len")
    return all(entry[name] == run[name] for name in names) and run["concurrency"] in entry["concurrencies"]


def _same_pools(pools: Pools, run: Mapping[str, Any], printed: Printed | None) -> bool:
    s = pools.sizes
    if printed is None:
        return bool(s.prefill_workers * s.prefill_size + s.decode_workers * s.decode_size == run["accelerators"])
    workers = (s.prefill_workers, s.prefill_size, s.decode_workers, s.decode_size)
    return workers == (printed.prefill_workers, printed.prefill_size, printed.decode_workers, printed.decode_size)


@cache
def _table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (files("gigaforge.perf") / "data" / "serving_pools.json").read_text(encoding="utf-8")
    )
    return loaded


@cache
def _entries() -> tuple[tuple[dict[str, Any], Pools], ...]:
    table, out = _table(), []
    for values in table["pools"]:
        entry = dict(zip(table["columns"], values, strict=True))
        sizes = Printed(*(float(entry[name]) for name in Printed._fields))
        slots, chunk = entry["slots"], entry["chunk_tokens"]
        pools = Pools(
            sizes,
            math.inf if slots is None else float(slots),
            None if chunk is None else float(chunk),
            float(entry["drafts"]),
        )
        out.append((entry, pools))
    return tuple(out)
