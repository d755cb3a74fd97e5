"""What is asked of a model choice and what is answered: a target, the curves of models that meet it, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog.schema import Model
from gigaforge.codesign.models.laws import LAWS
from gigaforge.errors import InputError
from gigaforge.units import format_quantity

__all__ = ["Choice", "Curve", "Target", "iso_loss_rows"]

Array = NDArray[np.float64]

_SAME_LOSS: Final = 1e-3
"""Losses of a curve closer than this [nat/token] are one target's."""


@dataclass(frozen=True)
class Target:
    """What the model is to reach.

    Attributes
    ----------
    kind : {"loss", "usd", "flop"}
        Least cost at this loss [nat/token]; least loss at this cost of training and serving [USD]; least loss at this
        compute for training [FLOP].
    value : float
        How much.

    """

    kind: Literal["loss", "usd", "flop"]
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("loss", "usd", "flop"):
            raise InputError(f"{self.kind!r}; loss, usd and flop are known", "target.kind")
        if not (np.isfinite(self.value) and self.value > 0):
            raise InputError(f"{self.value!r}; a positive number is expected", f"target.{self.kind}")

    @property
    def words(self) -> str:
        """As people say it: "a cost of $500M"."""
        return {
            "loss": f"a loss of {self.value:.4g}",
            "usd": f"a cost of {format_quantity(self.value, 'money')}",
            "flop": f"a compute of {self.value:.3g} FLOP",
        }[self.kind]


class Curve(NamedTuple):
    """Models of one expansion and context that all meet the target; arrays of shape (size,).

    `active`, `tokens` [count]; `loss` in use [nat/token]; `train_usd`, `serve_usd` over the model's life [USD]; `mfu` [1]; `flop` of the
    training; `context` [token], None where it was left out; `penalty` that the context adds to the loss [nat/token]; `cut` share of
    requests [1].
    """

    experts: int
    active: Array
    tokens: Array
    loss: Array
    train_usd: Array
    serve_usd: Array
    mfu: Array
    flop: Array
    context: int | None
    penalty: Array
    cut: float

    @property
    def usd(self) -> Array:
        """Training and serving. [USD]"""
        return self.train_usd + self.serve_usd


@dataclass(frozen=True)
class Choice:
    """The model to train.

    Attributes
    ----------
    law : str
        Whose.
    experts : int
        Expansion: experts held over experts used.
    active, total, tokens, flop : float
        Parameters, training tokens and training compute.
    loss, train_usd, serve_usd, serve_tokens : float
        What it reaches in use and costs over its life.
    mfu : float
        Of its training.
    model : Model
        An architecture of this size, and with the context chosen.
    context_penalty : float
        What of the loss comes of requests that the context cuts [nat/token].
    requests_cut : float
        Share of them [1].
    warnings : list of str
        What lies outside the law's range, and what else a reader must know.
    curves : list of Curve
        All expansions and contexts chosen among, for the figure.
    contexts : list of Curve
        The chosen expansion with every context, those that cut too many requests too.

    """

    law: str
    experts: int
    active: float
    total: float
    tokens: float
    flop: float
    loss: float
    train_usd: float
    serve_usd: float
    serve_tokens: float
    mfu: float
    model: Model
    context_penalty: float = 0.0
    requests_cut: float = 0.0
    warnings: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    contexts: list[Curve] = field(default_factory=list)

    @property
    def usd(self) -> float:
        """Training and serving. [USD]"""
        return self.train_usd + self.serve_usd

    def by_expansion(self) -> list[dict[str, Any]]:
        """The best of each expansion tried: ``experts, context, active, total, tokens, loss, train_usd, serve_usd, usd`` and more."""
        return [self._row(c, _best(c)) for c in _best_by_expansion(self.curves)]

    def by_context(self) -> list[dict[str, Any]]:
        """The chosen expansion with each context, as `by_expansion`; none where context was left out."""
        return [self._row(c, _best(c)) for c in self.contexts]

    def _row(self, c: Curve, i: int) -> dict[str, Any]:
        total = float(LAWS[self.law].total(c.active[i], c.experts)) if self.law in LAWS else float(c.active[i])
        return {
            "experts": c.experts, "context": c.context, "total": total, "usd": float(c.usd[i]),
            "context_penalty": float(c.penalty[i]), "requests_cut": c.cut,
        } | {name: float(getattr(c, name)[i]) for name in ("active", "tokens", "loss", "train_usd", "serve_usd")}  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the curves."""
        plain = {k: v for k, v in vars(self).items() if k not in ("model", "curves", "contexts")}
        m = self.model
        return plain | {
            "usd": self.usd,
            "context": m.max_context,
            "expansions": self.by_expansion(),
            "contexts": self.by_context(),
            "architecture": {
                "layers": m.layers, "d_model": m.d_model, "heads": m.heads, "kv_heads": m.kv_heads, "d_ff": m.d_ff,
                "experts": m.experts, "experts_per_token": m.experts_per_token, "expert_d_ff": m.expert_d_ff,
            },
        }  # fmt: skip


def _same_loss(curves: Sequence[Curve]) -> bool:
    return all(float(np.ptp(c.loss)) < _SAME_LOSS for c in curves)


def _best(curve: Curve) -> int:
    """The cheapest of one loss, else the one of least loss."""
    return int(np.argmin(curve.usd if _same_loss([curve]) else curve.loss))


def _best_by_expansion(curves: Sequence[Curve]) -> list[Curve]:
    """Of each expansion's curves the one with the best model."""
    by = "usd" if _same_loss(curves) else "loss"
    best: dict[int, Curve] = {}
    for c in curves:
        if c.experts not in best or getattr(c, by).min() < getattr(best[c.experts], by).min():
            best[c.experts] = c
    return list(best.values())


def iso_loss_rows(choice: Choice, count: int = 90) -> list[dict[str, Any]]:
    """A choice's curves as plain rows for a figure, each expansion's with its best context: those within four times the least cost,
    or 0.4 of the least loss.
    """
    curves = _best_by_expansion(choice.curves)
    same = _same_loss(curves)
    least = min(float((c.usd if same else c.loss).min()) for c in curves)
    rows = []
    for c in curves:
        near = np.flatnonzero(c.usd <= 4 * least if same else c.loss <= least + 0.4)
        if not near.size:
            continue
        rows += [
            {
                "experts": c.experts, "context": c.context, "active": float(c.active[i]), "tokens": float(c.tokens[i]), "loss": float(c.loss[i]),
                "train_usd": float(c.train_usd[i]), "serve_usd": float(c.serve_usd[i]), "usd": float(c.usd[i]),
            }
            for i in near[np.unique(np.linspace(0, near.size - 1, count).astype(int))]
        ]  # fmt: skip
    return rows
