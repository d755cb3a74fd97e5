"""Shipped parameter files: constants fitted to published measurements, each file with its sources.

Constants are keyed by chip and precision. A chip that nobody measured takes the geometric mean of its generation; a
generation that nobody measured takes the last one that was; so a data sheet is enough for a prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np

from gigaforge.errors import InputError

__all__ = ["GENERATIONS", "constants", "fallback_chips", "has_constants", "load_parameters"]

GENERATIONS: Final[dict[str, tuple[str, ...]]] = {
    # generation -> where to look next, nearest first
    "volta": ("ampere",),
    "turing": ("ampere",),
    "ampere": ("hopper",),
    "ada": ("hopper",),
    "ada lovelace": ("hopper",),
    "hopper": ("ampere", "blackwell"),
    "blackwell": ("blackwell ultra", "hopper"),
    "blackwell ultra": ("blackwell", "hopper"),
    "rubin": ("blackwell ultra", "blackwell"),
    "rubin ultra": ("rubin", "blackwell ultra", "blackwell"),
    "feynman": ("rubin", "blackwell ultra", "blackwell"),
    "cdna2": ("cdna3", "ampere"),
    "cdna3": ("hopper",),
    "cdna4": ("cdna3", "blackwell", "hopper"),
    "cdna5": ("cdna4", "blackwell ultra", "blackwell"),
    "mi400": ("cdna4", "blackwell ultra", "blackwell"),
    "": ("blackwell", "hopper", "ampere"),
}
_CHIP_GENERATION: Final = {
    "a100": "ampere", "l40s": "ada", "h100": "hopper", "h200": "hopper", "h800": "hopper", "gh200": "hopper",
    "b200": "blackwell", "gb200": "blackwell", "b300": "blackwell ultra", "gb300": "blackwell ultra",
}  # fmt: skip


@cache
def load_parameters(name: str) -> dict[str, Any]:
    """Read one shipped parameter file, e.g. ``"kernels"``.

    Raises
    ------
    InputError
        No such file.

    """
    path = files("gigaforge.perf") / "data" / f"{name}.json"
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no shipped parameters named {name!r}", "perf/data") from None
    return loaded


def fallback_chips(chip: str, generation: str, known: Mapping[str, Any]) -> list[str]:
    """Chips whose constants stand for this one: itself, else its generation's, else the nearest generation's."""
    if chip in known:
        return [chip]
    order = [generation, *GENERATIONS.get(generation, GENERATIONS[""]), *GENERATIONS[""]]
    for wanted in order:
        near = [c for c in known if _CHIP_GENERATION.get(c, c) == wanted]
        if near:
            return near
    return list(known)


@cache
def _lookup(kind: str, chip: str, generation: str, precision: str) -> tuple[tuple[str, float], ...]:
    table: dict[str, dict[str, dict[str, float]]] = load_parameters("kernels")[kind]
    known = {c: v for c, v in table.items() if precision in v}
    if not known:
        raise InputError(f"no {kind} constants for precision {precision!r}", "perf/data/kernels.json")
    rows = [known[c][precision] for c in fallback_chips(chip, generation, known)]
    return tuple((key, float(np.exp(np.mean([np.log(r[key]) for r in rows])))) for key in rows[0])


def has_constants(chip: str) -> bool:
    """Whether the chip's own matrix products were measured."""
    return chip in load_parameters("kernels")["gemm"]


def constants(kind: str, chip: str, generation: str, precision: str) -> dict[str, float]:
    """Constants of one kernel law for a chip and precision, with the fallback that the module describes.

    Parameters
    ----------
    kind : str
        ``"gemm"``, ``"grouped_gemm"``, ``"attention_prefill"``, ``"attention_decode"``, ``"mla_decode"``.
    chip, generation : str
        As `gigaforge.perf.hardware.Hardware` holds them.
    precision : str
        Key of the constants.

    """
    return dict(_lookup(kind, chip, generation, precision))
