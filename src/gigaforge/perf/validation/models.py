"""Architectures of measured runs by name: what a row calls its model, found in the catalogue."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from gigaforge.catalog import load_catalog
from gigaforge.catalog.schema import Model
from gigaforge.perf.transformer import Transformer

__all__ = ["catalogue_model", "nearest_models", "reshaped"]

_SAME: Final = ((r"^llama3(8b|70b)$", r"llama31\1"),)
"""Llama 3 and 3.1 share widths and layers (https://arxiv.org/abs/2407.21783, table 3)."""
_WORDS: Final = re.compile(r"(^meta(?=llama))|((instruct|chat|base|hf|it)$)")
"""What a name may carry that does not change the architecture."""


def catalogue_model(name: str) -> Transformer | None:
    """The catalogue's model of this name or label, however it is punctuated; None where there is none.

    Owner ("meta-llama/"), what stands in parentheses ("(LoRA)") and "Instruct", "Chat", "Base" may be there or not.
    """
    index = _index()
    bare = re.sub(r"\([^)]*\)", "", name).rsplit("/", 1)[-1]
    plain = [_key(name), _key(bare)]
    forms = [*plain, *(_WORDS.sub("", key) for key in plain)]
    forms += [re.sub(pattern, same, form) for form in forms for pattern, same in _SAME]
    found = next((index[form] for form in forms if form in index), None)
    return None if found is None else Transformer.from_catalog(found)


def nearest_models(name: str, count: int = 3) -> list[str]:
    """Catalogue names most like this one, nearest first."""
    index = _index()
    near = difflib.get_close_matches(_key(name), index, 3 * count, 0.0)
    return list(dict.fromkeys(index[key].name for key in near))[:count]


def reshaped(t: Transformer, given: Mapping[str, float]) -> Transformer:
    """The same architecture with the dimensions that a row gives; counts of layers by part keep their proportion.

    Parameters
    ----------
    t : Transformer
        The catalogue's.
    given : mapping
        Any of ``layers, d_model, heads, kv_heads, d_ff, vocab, experts, experts_per_token``; `d_ff` is the width of an
        expert where there are experts.

    """
    new: dict[str, Any] = dict(given)
    moe = float(t.moe_layers) > 0
    if moe and "d_ff" in new:
        new["expert_d_ff"] = new.pop("d_ff")
    if "layers" in new and new["layers"] != float(t.layers):
        share = new["layers"] / float(t.layers)
        for part in ("attention_layers", "dense_layers", "moe_layers", "mamba_layers"):
            new[part] = float(round(float(getattr(t, part)) * share))
        if moe and not float(t.mamba_layers):
            # Leading dense layers are the same few in a truncated model.
            new["dense_layers"] = min(float(t.dense_layers), new["layers"] - 1.0)
            new["moe_layers"] = new["layers"] - new["dense_layers"]
    if "d_model" in new and float(t.expert_d_model) == float(t.d_model):
        new["expert_d_model"] = new["d_model"]
    changed = any(k in new and new[k] != float(getattr(t, k)) for k in ("heads", "d_model"))
    if changed and not float(t.kv_lora_rank):
        new["head_dim"] = new.get("d_model", float(t.d_model)) / new.get("heads", float(t.heads))
        new["v_head_dim"] = new["head_dim"]
    return replace(t, **new)


def _key(text: str) -> str:
    return re.sub(r"[\s\-_.]", "", text).lower()


@cache
def _index() -> dict[str, Model]:
    models = load_catalog().models.values()
    names = {_key(m.name): m for m in models}
    return {_key(m.label): m for m in models if m.label} | names
