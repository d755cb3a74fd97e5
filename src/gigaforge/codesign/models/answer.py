"""What is asked of a model choice and what is answered: a target, the curves of models that meet it, and the best of them."""

from __future__ import annotations

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
    """Models of one expansion that all meet the target; arrays of shape (size,).

    `active`, `tokens` [count]; `loss` [nat/token]; `train_usd`, `serve_usd` over the model's life [USD]; `mfu` [1].
    """

    experts: int
    active: Array
    tokens: Array
    loss: Array
    train_usd: Array
    serve_usd: Array
    mfu: Array

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
        What it reaches and costs over its life.
    mfu : float
        Of its training.
    model : Model
        An architecture of this size.
    warnings : list of str
        What lies outside the law's range, and what else a reader must know.
    curves : list of Curve
        All expansions tried, for the figure.

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
    warnings: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    @property
    def usd(self) -> float:
        """Training and serving. [USD]"""
        return self.train_usd + self.serve_usd

    def by_expansion(self) -> list[dict[str, float]]:
        """The best of each expansion tried: ``experts, active, total, tokens, loss, train_usd, serve_usd, usd``."""
        rows = []
        for c, i in ((c, _best(c)) for c in self.curves):
            total = float(LAWS[self.law].total(c.active[i], c.experts)) if self.law in LAWS else float(c.active[i])
            rows.append({"experts": c.experts, "total": total, "usd": float(c.usd[i])} | {
                name: float(getattr(c, name)[i]) for name in ("active", "tokens", "loss", "train_usd", "serve_usd")
            })  # fmt: skip
        return rows

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the curves."""
        plain = {k: v for k, v in vars(self).items() if k not in ("model", "curves")}
        m = self.model
        return plain | {
            "usd": self.usd,
            "context": m.max_context,
            "expansions": self.by_expansion(),
            "architecture": {
                "layers": m.layers, "d_model": m.d_model, "heads": m.heads, "kv_heads": m.kv_heads, "d_ff": m.d_ff,
                "experts": m.experts, "experts_per_token": m.experts_per_token, "expert_d_ff": m.expert_d_ff,
            },
        }  # fmt: skip


def _best(curve: Curve) -> int:
    """The cheapest of one loss, else the one of least loss."""
    return int(np.argmin(curve.usd if np.ptp(curve.loss) < _SAME_LOSS else curve.loss))


def iso_loss_rows(choice: Choice, count: int = 90) -> list[dict[str, Any]]:
    """A choice's curves as plain rows for a figure: those within four times the least cost, or 0.4 of the least loss."""
    same = all(float(np.ptp(c.loss)) < _SAME_LOSS for c in choice.curves)
    least = min(float((c.usd if same else c.loss).min()) for c in choice.curves)
    rows = []
    for c in choice.curves:
        near = np.flatnonzero(c.usd <= 4 * least if same else c.loss <= least + 0.4)
        if not near.size:
            continue
        rows += [
            {
                "experts": c.experts, "active": float(c.active[i]), "tokens": float(c.tokens[i]), "loss": float(c.loss[i]),
                "train_usd": float(c.train_usd[i]), "serve_usd": float(c.serve_usd[i]), "usd": float(c.usd[i]),
            }
            for i in near[np.unique(np.linspace(0, near.size - 1, count).astype(int))]
        ]  # fmt: skip
    return rows
