"""Windows to choose among: what each adds to a model's loss in use, to its training and to its serving.

A model is trained at the run's sequence length and, for a longer window, on a share of its tokens in sequences as long as that
window (Llama 3's long-context stage, taken at its full length throughout, which overstates it: theirs rose in six steps). It
serves prompts as the window leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog.schema import Model
from gigaforge.codesign.models.contexts import CONTEXT_LAW, ContextLaw
from gigaforge.codesign.models.life import Lifetime
from gigaforge.codesign.models.running import ModelCosts, Running
from gigaforge.errors import InputError
from gigaforge.perf.transformer import Transformer

__all__ = ["LifeWindow", "Window", "window_of", "windows_of"]

Array = NDArray[np.float64]

_WHOLE: Final = 0.995
"""Prompts that a window leaves so much of cost what whole ones do: below what a search of configurations resolves."""


class Window(Protocol):
    """A context, and what it means for the models that have it."""

    @property
    def context(self) -> int:
        """Longest sequence. [token]"""

    @property
    def cut(self) -> float:
        """Share of requests that it cuts. [1]"""

    @property
    def whole(self) -> bool:
        """Whether it leaves prompts so whole that serving costs the same."""

    def penalty(self, active: Array | float) -> Array:
        """What it adds to the loss of models in use. [nat/token]"""

    def compute(self, model: Model) -> float:
        """Training compute over that of the run's sequence length. [1]"""

    def costs(self, model: Model, tokens: float, base: ModelCosts) -> ModelCosts:
        """What a model costs with this context, from what it costs at the run's sequence length and with prompts held whole."""

    def warnings(self, active: float) -> list[str]:
        """What a reader must know of it."""


@dataclass(frozen=True)
class LifeWindow:
    """A context over a model's life, as `Window`.

    Attributes
    ----------
    context : int
        Longest sequence [token].
    life : Lifetime
        How the model is trained, and whose requests it serves.
    long_share : float
        Of the training tokens in sequences of this context, where it is longer than the run's [1].
    law : ContextLaw
        What context is worth.

    """

    context: int
    life: Lifetime
    long_share: float
    law: ContextLaw = CONTEXT_LAW

    def __post_init__(self) -> None:
        if not 0 <= self.long_share <= 1:
            raise InputError(f"{self.long_share!r}; a share from 0 to 1 is expected", "long_share")

    def _mean(self, values: Sequence[Array | float]) -> Array:
        """Over the tokens of all workloads."""
        shares = np.array([share for _, share in self.life.serving])
        return np.asarray(np.tensordot(shares / shares.sum(), np.array(values), 1))

    @property
    def cut(self) -> float:
        """Share of requests that it cuts, in the mean over the tokens of all workloads. [1]"""
        return float(self._mean([r.requests.cut(self.context) for r, _ in self.life.serving]))

    @property
    def whole(self) -> bool:
        """Whether it leaves every workload's prompts so whole that serving costs the same."""
        return all(self._whole(r) for r, _ in self.life.serving)

    def penalty(self, active: Array | float) -> Array:
        """What it adds to the loss of models in use, in the mean over the tokens of all workloads. [nat/token]"""
        return self._mean([self.law.penalty(active, r.requests, self.context) for r, _ in self.life.serving])

    @property
    def _long(self) -> float:
        return self.long_share if self.context > self.life.training.seq_len else 0.0

    def compute(self, model: Model) -> float:
        """Training compute over that of the run's sequence length: attention over longer sequences. [1]"""
        return 1.0 + self._long * (self._flop_ratio(model) - 1.0)

    def _flop_ratio(self, model: Model) -> float:
        transformer = Transformer.from_catalog(model)
        long, base = (
            float(np.asarray(transformer.training_flops_per_token(float(n))))
            for n in (self.context, self.life.training.seq_len)
        )
        return long / base

    def costs(self, model: Model, tokens: float, base: ModelCosts) -> ModelCosts:
        """As `Window.costs`: a share of the training at full length, and serving searched again where prompts are cut."""
        train, mfu = self._train(model, tokens, base)
        each = base.each_serve_usd_per_token or (base.serve_usd_per_token,)
        served = [
            usd if self._whole(r) else share * r.cut_to(self.context).serve(model)[0]
            for usd, (r, share) in zip(each, self.life.serving, strict=True)
        ]
        return replace(
            base, train_usd_per_token=train, mfu=mfu, serve_usd_per_token=sum(served), each_serve_usd_per_token=()
        )

    def _whole(self, running: Running) -> bool:
        return running.requests.kept(self.context) >= _WHOLE * running.requests.prompt

    def _train(self, model: Model, tokens: float, base: ModelCosts) -> tuple[float, float]:
        """A trained token [USD/token] and MFU of both stages."""
        share = self._long
        if not share or not np.isfinite(base.train_usd_per_token):
            return base.train_usd_per_token, base.mfu
        usd, mfu, _ = self.life.training.train_long(model, tokens, self.context, base.train_accelerators)
        if not mfu:
            return float("inf"), 0.0
        flop = share * self._flop_ratio(model)
        train = (1 - share) * base.train_usd_per_token + share * self.life.compute_multiple * usd
        return train, (1 - share + flop) / ((1 - share) / base.mfu + flop / mfu)

    def warnings(self, active: float) -> list[str]:
        """Whose mean request it does not hold, and what lies outside the law's range."""
        short = [
            f"a mean request of {r.label}, {r.requests.message:,.0f} tokens, is longer than the context of {self.context:,}"
            for r, _ in self.life.serving
            if r.requests.message > self.context
        ]
        return [*short, *self.law.warnings(active, self.context)]


def windows_of(life: Lifetime, contexts: Sequence[int], long_share: float) -> list[LifeWindow]:
    """The windows among some contexts that have room for every workload's answers, shortest first.

    Parameters
    ----------
    life : Lifetime
        How a model is trained, and whose requests it serves.
    contexts : sequence of int
        Longest sequences [token].
    long_share : float
        Of the training tokens in sequences of the context, where it is longer than the run's [1].

    Raises
    ------
    InputError
        No context, one that is not above zero, none that has room for the answers, or nobody whose requests could be held.

    """
    wrong = [c for c in contexts if not c >= 1]
    if wrong or not contexts:
        raise InputError(
            f"{wrong[0]!r} tokens; at least 1 is needed" if wrong else "is empty; give one context or more",
            "contexts",
        )
    if not life.serving:
        raise InputError(
            "nothing is served, so no request says what a context is worth; give one context, or say what is served",
            "contexts",
        )
    answer = max(r.requests.answer for r, _ in life.serving)
    roomy = sorted({int(c) for c in contexts if c > answer})
    if not roomy:
        raise InputError(
            f"none of {', '.join(f'{c:,}' for c in contexts)} tokens has room beside answers of {answer:,.0f}; give a longer one",
            "contexts",
        )
    return [LifeWindow(c, life, long_share) for c in roomy]


def window_of(life: Lifetime, model: Model, long_share: float) -> LifeWindow | None:
    """A model's own context over a life, as `windows_of`; None where nothing is served, or its answers alone are longer."""
    if any(r.requests.answer >= model.max_context for r, _ in life.serving) or not life.serving:
        return None
    return LifeWindow(model.max_context, life, long_share)
