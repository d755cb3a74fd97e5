"""What load a row was measured under: closed loop, static batch or benchmark scenario, and its lengths."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.rates import usual_cache
from gigaforge.perf.inference.traffic import Dataset, dataset_of
from gigaforge.perf.validation.serving_cells import number, text
from gigaforge.perf.validation.serving_names import Unpredictable

__all__ = ["cache_precision", "lengths_of", "load_of"]


def cache_precision(printed: str, precision: str, software: str, machine: Hardware) -> str | None:
    """Cache precision: as printed, else as usual.

    Published recipes pass an fp8 cache with fp8 mixtures on Blackwell and keep bf16 on Hopper; where neither is printed, the
    runs themselves say so: with bf16 the printed requests would not fit, and the queue that follows was not measured.
    """
    text = printed.lower()
    if "fp8 on blackwell" in text:
        return "fp8" if "fp4" in machine.peak_flop_s else "bf16"
    if "fp8" in text:
        return "fp8"
    if "16" in text:
        return "bf16"
    return usual_cache(precision, software, machine)


_SCENARIO: Final = re.compile(r"\b(offline|server|interactive)\b", re.IGNORECASE)
_TARGET: Final = re.compile(r"TTFT ?<?=? ?([\d.]+) ?ms.*?TPOT ?<?=? ?([\d.]+) ?ms")


def load_of(row: Mapping[str, Any], model: str) -> tuple[str, Dataset | None, tuple[float, float]]:
    """Kind of load, the benchmark's data set and its targets [s].

    Raises
    ------
    Unpredictable
        Neither a concurrency nor a known load, or a scenario without its targets.

    """
    none = (math.inf, math.inf)
    load, notes, locator = text(row, "load"), text(row, "notes"), text(row, "source_locator")
    if "static batch" in notes or "batch-1 first token" in notes or ("median of" in notes and "prompt" in notes):
        return "static", None, none
    if "prompt_size=" in locator:
        return "static", None, none
    concurrency = number(row, "concurrency", 0.0)
    if concurrency < 0:
        raise Unpredictable(f"concurrency is {concurrency:g}: at least one request in flight is expected")
    if concurrency >= 1:
        return "closed", None, none
    if "max load" in load.lower() or "infinite" in load.lower():
        return "limit", None, none
    said = _SCENARIO.search(load) or _SCENARIO.search(re.sub(r".*scenario ", "", notes)) or _SCENARIO.search(locator)
    dataset = dataset_of(model)
    if not said:
        given = text(row, "concurrency")
        if given and not load:
            raise Unpredictable(f"concurrency {given} is not at least one request in flight")
        raise Unpredictable("neither concurrency nor a known load")
    scenario = said.group(1).lower()
    if scenario == "offline":
        return "target", dataset, none
    stated = _TARGET.search(notes)
    if stated:
        return "target", dataset, (float(stated.group(1)) / 1e3, float(stated.group(2)) / 1e3)
    if dataset is None or scenario not in dataset.targets:
        raise Unpredictable(f"{scenario} load without its latency targets")
    return "target", dataset, dataset.targets[scenario]


def lengths_of(row: Mapping[str, Any], dataset: Dataset | None) -> tuple[float, float]:
    """Tokens of a prompt and of an answer as printed, else those of the data set.

    Raises
    ------
    Unpredictable
        They make no sense, or nothing gives them.

    """
    given = number(row, "input_len"), number(row, "output_len")
    filled = tuple(
        value if math.isfinite(value) else (default if dataset is not None else math.nan)
        for value, default in zip(
            given, (dataset.input_len, dataset.output_len) if dataset else (0.0, 0.0), strict=True
        )
    )
    for name, value in zip(("input_len", "output_len"), given, strict=True):
        if value < 1:
            expected = "at least one token" if value >= 0 else "a positive number"
            raise Unpredictable(f"{name} is {value:g}: {expected} is expected")
    for name, value in zip(("input_len", "output_len"), filled, strict=True):
        if not (math.isfinite(value) and value >= 1):
            raise Unpredictable(f"{name} is not known, and no data set is named that gives it")
    return filled[0], filled[1]
