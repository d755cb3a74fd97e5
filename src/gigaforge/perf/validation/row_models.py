"""The architecture of a measured row: its own dimensions, and the catalogue's for what it leaves blank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.models import catalogue_model, nearest_models, reshaped
from gigaforge.perf.validation.row_cells import UnpredictableError, blank, match, number, text

__all__ = ["transformer_of"]


def transformer_of(row: Mapping[str, Any], assumed: list[str]) -> Transformer:
    """The row's own dimensions; what it leaves blank from the tables, the catalogue, else by rule, and noted."""
    name = text(row, "model_name")
    lacking = _lacking(row)
    extra = match("measured_models", "models", name)
    if lacking or _catalogue_tells(row, name, extra):
        return _from_catalogue(row, name, lacking, assumed)
    d = number(row, "d_model")
    total = number(row, "n_params_total_b", 0.0)
    layers = number(row, "n_layers", 0.0)
    if not layers:
        layers = float(round(total * 1e9 / (12.0 * d * d)))
        assumed.append(f"{layers:g} layers, from the parameter count")
    heads = number(row, "n_heads", extra.get("heads", 0.0))
    if not heads:
        heads = float(round(d / 128.0))
        assumed.append(f"{heads:g} heads of width 128")
    kv = number(row, "n_kv_heads", extra.get("kv_heads", heads))
    width = number(row, "d_ff", extra.get("d_ff", 0.0))
    experts = number(row, "n_experts", 0.0)
    if not width:
        width = 4.0 * d
        assumed.append("d_ff 4 x d_model")
    vocab = number(row, "vocab", extra.get("vocab", 0.0))
    if not vocab:
        vocab = 51200.0
        assumed.append("vocabulary 51,200")
    moe = experts > 1
    matrices = float(extra.get("ff_matrices", 2 if not moe and abs(width - 4 * d) < 1 else 3))
    mamba = float(extra.get("mamba_layers", 0))
    dense = float(extra.get("dense_layers", 0 if moe else layers))
    if layers < dense and moe:
        dense = 1.0
    if "truncated" in name and moe:
        dense = min(dense, 1.0)
    base = Transformer(
        name=name,
        layers=layers,
        d_model=d,
        heads=heads,
        kv_heads=kv,
        head_dim=float(extra.get("head_dim", d / heads)),
        d_ff=float(extra.get("dense_d_ff", width)),
        vocab=vocab,
        attention_layers=float(extra.get("attention_layers", layers)),
        dense_layers=dense,
        moe_layers=float(extra.get("moe_layers", layers - dense)) if moe else 0.0,
        mamba_layers=mamba,
        ff_matrices=matrices,
        tied_embeddings=float(extra.get("tied_embeddings", 0)),
    )
    known: dict[str, Any] = {k: float(extra[k]) for k in _EXTRA if k in extra}
    if not moe:
        return replace(base, **known)
    known.setdefault("expert_d_model", d)
    return replace(base, experts=experts, experts_per_token=number(row, "top_k", 2.0), expert_d_ff=width, **known)


def _lacking(row: Mapping[str, Any]) -> str:
    """The column without which a row does not tell its architecture."""
    if blank(row.get("d_model")):
        return "d_model"
    return "n_layers" if blank(row.get("n_layers")) and blank(row.get("n_params_total_b")) else ""


def _catalogue_tells(row: Mapping[str, Any], name: str, extra: Mapping[str, Any]) -> bool:
    """Whether heads or feed-forward width are blank and the catalogue's model of this name and width has them."""
    blanks = [c for c, ours in (("n_heads", "heads"), ("d_ff", "d_ff")) if blank(row.get(c)) and ours not in extra]
    known = catalogue_model(name) if blanks and name else None
    return known is not None and float(known.d_model) == number(row, "d_model")


_DIMENSIONS: Final = {
    "n_layers": "layers", "d_model": "d_model", "n_heads": "heads", "n_kv_heads": "kv_heads", "d_ff": "d_ff",
    "vocab": "vocab", "n_experts": "experts", "top_k": "experts_per_token",
}  # fmt: skip


def _from_catalogue(row: Mapping[str, Any], name: str, lacking: str, assumed: list[str]) -> Transformer:
    """The catalogue's architecture of the row's model, with the dimensions that the row gives."""
    if not name:
        raise UnpredictableError(f"model_name and {lacking} are blank")
    known = catalogue_model(name)
    if known is None:
        near = ", ".join(nearest_models(name))
        raise UnpredictableError(f"model {name!r} is not in the catalogue and {lacking} is blank; nearest: {near}")
    given = {ours: number(row, column) for column, ours in _DIMENSIONS.items() if not blank(row.get(column))}
    if not float(known.moe_layers):
        given = {k: v for k, v in given.items() if not k.startswith("experts")}
    assumed.append(f"architecture of {known.name} in the catalogue")
    # The row's own name stays: folds and habits go by it.
    return replace(reshaped(known, given), name=name)


_EXTRA: Final = (
    "shared_d_ff", "expert_d_model", "q_lora_rank", "kv_lora_rank", "rope_head_dim", "v_head_dim", "sliding_window",
    "global_every", "mtp_layers", "mamba_inner", "mamba_state", "mamba_groups", "mamba_heads",
)  # fmt: skip
