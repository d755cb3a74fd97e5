"""How published benchmark runs were launched, where their rows do not print it.

Facts of ``perf/data/serving_recipes.json``, each from the benchmark's own scripts: nothing in it is fitted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from gigaforge.perf.inference.steady import CHUNK_TOKENS

__all__ = ["Recipe", "recipe_of", "spreads_mixtures"]


class Recipe(NamedTuple):
    """Settings of a run: mean over printed length, tokens of a prefill pass, decode steps that a request waits to be admitted,
    tensor parallel degree of a benchmark's replica (zero: not known).
    """

    length_share: float = 1.0
    chunk_tokens: float = CHUNK_TOKENS
    admission_steps: float = 0.0
    tensor_parallel: float = 0.0


_SETTINGS: Final = (
    "length_share",
    "chunk_tokens",
    "chunk_prompts",
    "polled_steps",
    "batching_steps",
    "tensor_parallel",
)
_PROMPT_ROOM: Final = 64.0
"""Tokens that scripts leave beyond the prompts of a pass."""


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    path = files("gigaforge.perf") / "data" / "serving_recipes.json"
    return tuple(json.loads(path.read_text(encoding="utf-8"))["recipes"])


def recipe_of(run: Mapping[str, Any]) -> Recipe:
    """Settings of one run; of several entries that fit, the last that says a thing counts.

    Parameters
    ----------
    run : mapping
        ``source, software, gpu, model, precision, date`` as text; ``input_len, output_len, concurrency, tp, ranks`` as numbers.

    """
    said: dict[str, float] = {}
    for entry in _entries():
        if _fits(entry, run):
            said |= {k: float(entry[k]) for k in _SETTINGS if k in entry}
    prompts = said.get("chunk_prompts")
    chunk = said.get("chunk_tokens", CHUNK_TOKENS)
    if prompts is not None:
        chunk = prompts * float(run["input_len"]) + _PROMPT_ROOM
    # A poll comes at any moment of its interval; a batch that waits for company waits until its time is up.
    steps = 0.5 * said.get("polled_steps", 0.0) + said.get("batching_steps", 0.0)
    return Recipe(said.get("length_share", 1.0), chunk, steps, said.get("tensor_parallel", 0.0))


def spreads_mixtures(source: str) -> bool:
    """Whether a source ran its mixtures with data-parallel attention and spread experts on the ranks that it prints as ``tp``."""
    return any("mixtures_spread" in e and re.search(e["source"], source.lower()) for e in _entries())


def _fits(entry: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    for name in ("source", "software", "gpu", "model", "precision"):
        if name in entry and not re.search(entry[name], str(run[name]).lower()):
            return False
    for name in ("input_len", "output_len"):
        if name in entry and run[name] != entry[name]:
            return False
    within = (
        run["concurrency"] >= entry.get("concurrency_from", 0.0)
        and run["concurrency"] < entry.get("concurrency_below", float("inf"))
        and run["tp"] < entry.get("tp_below", float("inf"))
        and run["ranks"] >= entry.get("ranks_from", 0.0)
    )
    return bool(within and str(run["date"]) < entry.get("before", "9"))
