"""Models whose serving was measured: architectures, and the one name that factors in the parameter file go by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from gigaforge.perf.transformer import Transformer

__all__ = ["canonical_model", "served_models", "transformer_of"]


@cache
def served_models() -> tuple[tuple[re.Pattern[str], Transformer, float, float], ...]:
    """Pattern of the printed name, architecture, parameters in all and active per token, for every model in the table."""
    path = files("gigaforge.perf") / "data" / "serving_models.json"
    rows = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        shape = transformer_of(entry)
        rows.append(
            (
                re.compile(entry["pattern"]),
                shape,
                float(np.asarray(shape.parameters)),
                float(np.asarray(shape.active_parameters)),
            )
        )
    return tuple(rows)


def transformer_of(entry: Mapping[str, Any]) -> Transformer:
    """A `Transformer` from one row of the table of served models."""
    shape = {k: v for k, v in entry.items() if k not in ("pattern", "source")}
    shape.setdefault("attention_layers", shape["layers"])
    if shape.get("experts"):
        shape.setdefault("dense_layers", 0)
        shape.setdefault("moe_layers", shape["layers"] - shape["dense_layers"])
        shape.setdefault("expert_d_model", shape["d_model"])
    else:
        shape["dense_layers"] = shape["layers"]
    return Transformer(**shape)


def canonical_model(name: str) -> str:
    """The table's name of a model ("deepseek-r1" and "DeepSeek-V3.1" are one architecture), or the name itself."""
    text = name.lower()
    for pattern, shape, _, _ in served_models():
        if pattern.search(text):
            return shape.name
    return text
