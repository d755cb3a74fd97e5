"""Which model to train: parameters, experts and tokens of least cost over its life at a loss, or of least loss at a cost.

Cost counts training and all tokens that the model will serve (N. Sardana et al., Beyond Chinchilla-Optimal,
https://arxiv.org/abs/2401.00448), each at what the performance model finds for a model of that shape on the chosen system: not a
price per FLOP, so that a mixture's memory, its all-to-all and a small model's poor utilisation are paid for. Where windows are
given, context is chosen with them: loss is that in use, which a window that cuts requests raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog.schema import Model
from gigaforge.codesign.models.answer import Choice, Curve, Target
from gigaforge.codesign.models.laws import Law
from gigaforge.codesign.models.running import ModelCosts
from gigaforge.codesign.models.shapes import CONTEXT, EXPANSIONS, shape, shaped_granularity
from gigaforge.codesign.models.windows import Window
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.units import format_quantity, percent

__all__ = ["MOST_CUT", "MOST_TOKENS", "choose", "curve", "tokens_for_loss"]

Array = NDArray[np.float64]

_SIZES: Final = 9
"""Sizes at which the performance model is asked; between them cost per token is interpolated in logarithms."""
_FINE: Final = 1200
_SLACK: Final = 0.01
"""A loss this far below the one asked for [nat/token] is not what was asked for."""
MOST_CUT: Final = 0.01
"""Share of requests that a context may cut (assumption). By loss alone shorter ones would do: a mean token loses little by a cut that
ruins a question about the part cut off."""
_SPAN: Final = 6.0
"""Sizes from a sixth power of e below to as far above the compute-optimal one: 400 times each way."""


MOST_TOKENS: Final = 3e14
"""Public human text, 10^14 to 10^15 tokens (P. Villalobos et al., Will we run out of data?, https://arxiv.org/abs/2211.04325)."""
MOST_RATIO: Final = 1e4
"""Training tokens per active parameter, up to which runs still followed a law (Sardana et al., section 5)."""


def tokens_for_loss(law: Law, active: Array, loss: Array | float, experts: float = 1.0) -> Array:
    """Training tokens with which shaped models of given sizes reach a loss; infinite where no amount does. Shape (size,)."""
    fine = shaped_granularity(experts)
    low, high = np.full(len(active), np.log(1e6)), np.full(len(active), np.log(1e20))
    reach = law.loss(active, np.exp(high), experts, fine) <= loss
    for _ in range(80):
        middle = 0.5 * (low + high)
        there = law.loss(active, np.exp(middle), experts, fine) <= loss
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return np.where(reach, np.exp(high), np.inf)


class Costed(Protocol):
    """What says what a model costs: one system (`Running`), or all that it meets over its life (`Lifetime`)."""

    @property
    def name(self) -> str:
        """Where it is trained and served."""

    def costs(self, model: Model, tokens: float) -> ModelCosts:
        """Train a model on so many tokens and serve it."""


Costing = Callable[[float, int, float], ModelCosts]
"""(active parameters, expansion, training tokens) → costs."""


def curve(
    law: Law,
    target: Target,
    costing: Costing,
    experts: int,
    serve_tokens: float,
    *,
    data_tokens: float = MOST_TOKENS,
    sizes: int = _SIZES,
    window: Window | None = None,
) -> Curve | None:
    """All models of one expansion (and one context) that meet a target; None if none does.

    Parameters
    ----------
    law : Law
        Of the loss.
    target : Target
        What to meet.
    costing : callable
        What a size costs.
    experts : int
        Expansion.
    serve_tokens : float
        Tokens served over the model's life.
    data_tokens : float
        Distinct training tokens that there are; and nobody trains on more than `MOST_RATIO` a parameter.
    sizes : int
        At which costs are asked.
    window : Window, optional
        What the context adds to loss and costs; default nothing.

    """
    coarse = _sizes(law, target, experts, sizes)
    first = _tokens(law, target, coarse, experts, None, serve_tokens)
    trained = [float(min(max(d, 1e9), 1e16)) for d in first]
    asked = [costing(float(n), experts, d) for n, d in zip(coarse, trained, strict=True)]
    fine = np.exp(np.linspace(np.log(coarse[0]), np.log(coarse[-1]), _FINE))
    context, cut, penalty, compute = None, 0.0, np.zeros(len(fine)), np.ones(len(fine))
    if window is not None:
        models = [shape("window", float(n), experts, context=window.context) for n in coarse]
        asked = [window.costs(m, d, c) for m, d, c in zip(models, trained, asked, strict=True)]
        context, cut, penalty = window.context, window.cut, window.penalty(fine)
        compute = _interpolate(coarse, [window.compute(m) for m in models], fine)
    train, serve = (_interpolate(coarse, [getattr(c, name) for c in asked], fine) for name in _USD)
    if serve_tokens == 0:
        serve = np.zeros(len(fine))
    if target.kind == "loss":
        tokens = tokens_for_loss(law, fine, target.value - penalty, experts)
    else:
        tokens = _tokens(law, target, fine, experts, train, serve_tokens, serve) / (
            compute if target.kind == "flop" else 1.0
        )
    most = np.minimum(data_tokens, MOST_RATIO * fine)
    if target.kind == "usd":
        tokens = np.minimum(tokens, most)  # what is left of the budget stays unspent
    tokens = np.where(tokens <= most * (1 + 1e-9), tokens, np.inf)
    good = np.isfinite(tokens) & np.isfinite(train) & np.isfinite(serve) & (tokens > 0)
    if not good.any():
        return None
    fine, tokens, train, serve, penalty, compute = (a[good] for a in (fine, tokens, train, serve, penalty, compute))
    mfu = np.interp(np.log(fine), np.log(coarse), [c.mfu for c in asked])
    loss = law.loss(fine, tokens, experts, shaped_granularity(experts)) + penalty
    return Curve(
        experts, fine, tokens, loss, train * tokens, serve * serve_tokens, mfu,
        6.0 * fine * tokens * compute, context, penalty, cut,
    )  # fmt: skip


_USD: Final = ("train_usd_per_token", "serve_usd_per_token")


def _sizes(law: Law, target: Target, experts: int, count: int) -> Array:
    """Sizes around the compute-optimal one."""
    every = np.exp(np.linspace(np.log(2.1e8), np.log(5e13), 600))
    if target.kind == "loss":
        tokens = tokens_for_loss(law, every, target.value, experts)
        if not np.isfinite(tokens).any():
            raise NoAnswerError(
                f"no model of {law.label} reaches a loss of {target.value:.8g} with an expansion of {experts}",
                [f"no size and no amount of data goes below {law.floor:.8g}; ask for a higher loss"],
            )
        middle = every[np.argmin(np.where(np.isfinite(tokens), every * tokens, np.inf))]
    else:
        # A dollar buys about 1e18 FLOP (H100 at $2 an hour and 40 % of 989 TFLOP/s: 7e17).
        flop = target.value if target.kind == "flop" else target.value * 1e18
        loss = law.loss(every, np.maximum(flop / (6.0 * every), 1e3), experts, shaped_granularity(experts))
        middle = every[np.argmin(loss)]
    low, high = np.clip([middle * np.exp(-_SPAN), middle * np.exp(_SPAN / 2)], every[0], every[-1])
    return np.exp(np.linspace(np.log(low), np.log(max(high, low * 2)), count))


def _tokens(
    law: Law,
    target: Target,
    active: Array,
    experts: int,
    train: Array | None,
    serve_tokens: float,
    serve: Array | None = None,
) -> Array:
    """Training tokens that meet the target at each size."""
    if target.kind == "loss":
        return tokens_for_loss(law, active, target.value, experts)
    if target.kind == "flop":
        return target.value / (6.0 * active)
    if train is None or serve is None:
        return np.asarray(20.0 * active)  # only sizes the gang
    left = target.value - np.where(np.isfinite(serve), serve, np.inf) * serve_tokens if serve_tokens else target.value
    return np.asarray(np.maximum(left, 0.0) / train)


def _interpolate(at: Array, values: Sequence[float], wanted: Array) -> Array:
    """In logarithms; infinite beyond and next to what cannot be run."""
    known = np.asarray(values, dtype=float)
    good = np.isfinite(known)
    if not good.any():
        return np.full(len(wanted), np.inf)
    out = np.exp(np.interp(np.log(wanted), np.log(at[good]), np.log(np.maximum(known[good], 1e-300))))
    inside = (wanted >= at[good][0] * (1 - 1e-9)) & (wanted <= at[good][-1] * (1 + 1e-9))
    return np.where(inside, out, np.inf)


def choose(
    law: Law,
    target: Target,
    running: Costed,
    *,
    serve_tokens: float = 0.0,
    expansions: Sequence[int] = EXPANSIONS,
    data_tokens: float = MOST_TOKENS,
    name: str = "chosen",
    costing: Costing | None = None,
    windows: Sequence[Window] = (),
    most_cut: float = MOST_CUT,
    compare: bool = True,
) -> Choice:
    """The best model for a target.

    Parameters
    ----------
    law : Law
        Of the loss.
    target : Target
        Least cost at a loss, or least loss at a cost or at a compute.
    running : Running or Lifetime
        Where, at which prices, for which requests.
    serve_tokens : float
        Answer tokens served over the model's life.
    expansions : sequence of int
        Experts held over experts used; default all, of which a law that knows no mixtures is asked the dense one.
    data_tokens : float
        Distinct training tokens that there are.
    name : str
        Of the model.
    costing : callable, optional
        Own costs by size; default the performance model on `running`.
    windows : sequence of Window
        Contexts to choose among; none: context is left out of loss and costs.
    most_cut : float
        Share of requests that the chosen one may cut [1]; where all cut more, the longest is taken.
    compare : bool
        Whether the chosen expansion is asked with every context, for `Choice.by_context`.

    Raises
    ------
    InputError
        Negative demand, or no expansion.
    NoAnswerError
        Nothing meets the target on this system.

    """
    if not data_tokens > 0:
        raise InputError(f"{data_tokens!r} training tokens; more than zero are needed", "data_tokens")
    if not (np.isfinite(serve_tokens) and serve_tokens >= 0):
        raise InputError(f"{serve_tokens!r} tokens to serve; at least zero is expected", "serve_tokens")
    if not len(expansions):
        raise InputError("none is given; 1 is a dense model", "expansions")
    tried = [e for e in expansions if law.mixtures or e == 1]
    if len(tried) < len(expansions) and expansions is not EXPANSIONS:
        raise InputError(
            f"{law.label} knows dense models only; give [1] alone, or take the law joint-moe-2025", "expansions"
        )
    windows = sorted(windows, key=lambda w: w.context)
    # Windows share what a model costs before its context is counted.
    price = functools.cache(costing or (lambda n, e, d: running.costs(shape(name, n, e), d)))
    asked = functools.partial(curve, law, target, price, serve_tokens=serve_tokens, data_tokens=data_tokens)
    allowed = [w for w in windows if w.cut <= most_cut] or list(windows[-1:])
    curves = _curves(asked, tried, allowed, "usd" if target.kind == "loss" else "loss")
    if not curves:
        raise NoAnswerError(f"no model meets {target.words} on {running.name}", [_why_none(target, data_tokens)])
    by = "usd" if target.kind == "loss" else "loss"
    best = min(curves, key=lambda c: float(getattr(c, by).min()))
    i = int(np.argmin(getattr(best, by)))
    active, tokens = float(best.active[i]), float(best.tokens[i])
    warnings = [
        *law.warnings(active, tokens, float(best.experts), shaped_granularity(best.experts)),
        *_of_context(windows, best, active),
        *_of_size(law, target, best, i, data_tokens),
    ]
    if len(tried) > 1 and best.experts == max(tried):
        warnings.append(f"{best.experts} times the experts it uses are the most that were tried; more may be better")
    return Choice(
        law=law.name,
        experts=best.experts,
        active=active,
        total=float(law.total(active, best.experts)),
        tokens=tokens,
        flop=float(best.flop[i]),
        loss=float(best.loss[i]),
        train_usd=float(best.train_usd[i]),
        serve_usd=float(best.serve_usd[i]),
        serve_tokens=serve_tokens,
        mfu=float(best.mfu[i]),
        context_penalty=float(best.penalty[i]),
        requests_cut=best.cut,
        model=shape(name, active, best.experts, context=best.context or CONTEXT),
        warnings=warnings,
        curves=curves,
        contexts=[
            c
            for w in (windows if compare else ())
            if (c := best if w.context == best.context else asked(experts=best.experts, window=w)) is not None
        ],
    )


def _curves(
    asked: Callable[..., Curve | None], expansions: Sequence[int], windows: Sequence[Window], by: str
) -> list[Curve]:
    """All expansions with the shortest window, and with longer ones where these may be better.

    A window that leaves requests whole costs no less than none and brings no more: where an expansion without any window is no
    better than the best found, it need not be searched with that window.
    """
    first = windows[0] if windows else None
    found = [c for e in expansions if (c := asked(experts=e, window=first)) is not None]
    for window in windows[1:]:
        for e in expansions:
            least = min((float(getattr(c, by).min()) for c in found), default=np.inf)
            bound = asked(experts=e) if window.whole else None
            if window.whole and (bound is None or float(getattr(bound, by).min()) >= least):
                continue
            if (c := asked(experts=e, window=window)) is not None:
                found.append(c)
    return found


def _of_size(law: Law, target: Target, best: Curve, i: int, data_tokens: float) -> list[str]:
    """What holds the size chosen, the one at `i`, where it is not a balance of costs."""
    active, tokens, out = float(best.active[i]), float(best.tokens[i]), []
    held = _needs_more(law, target, best, data_tokens) if i == 0 else ""
    there = format_quantity(data_tokens, "count")
    if tokens >= data_tokens * 0.99:
        out.append(f"the choice trains on all of the {there} tokens that there are taken to be")
    elif held == "data":
        out.append(f"a smaller model would need more than the {there} tokens that there are taken to be")
    elif tokens >= MOST_RATIO * active * 0.99 or held == "ratio":
        out.append(
            f"the choice trains on {MOST_RATIO:,.0f} tokens a parameter, the most that runs have been tried with"
        )
    elif i in (0, len(best.active) - 1):
        out.append(
            "the best size is the smallest or largest that could be run or was tried; the optimum may lie beyond"
        )
    if target.kind == "loss" and best.loss[i] < target.value - _SLACK:
        out.append(
            f"a loss of {target.value:.4g} asks for nothing: the least training of the smallest model tried reaches {best.loss[i]:.3f}"
        )
    return out


def _of_context(windows: Sequence[Window], best: Curve, active: float) -> list[str]:
    """What a reader must know of the context chosen."""
    window = next((w for w in windows if w.context == best.context), None)
    if window is None:
        return []
    out = window.warnings(active)
    if best.cut > MOST_CUT:
        out.append(
            f"{percent(best.cut, 1)} of requests are cut to the context of {window.context:,} tokens: loss counts what their mean "
            "token loses, not what a question about a part cut off does"
        )
    if len(windows) > 1 and window.context in (windows[0].context, windows[-1].context):
        end = "shortest" if window.context == windows[0].context else "longest"
        out.append(f"the context of {window.context:,} tokens is the {end} tried; the optimum may lie beyond")
    return out


def _why_none(target: Target, data_tokens: float) -> str:
    there = format_quantity(data_tokens, "count")
    return {
        "loss": f"all sizes tried need more than the {there} tokens that there are or {MOST_RATIO:,.0f} a parameter, or are too large or "
        "too slow for it; ask for a higher loss, more data or longer latencies",
        "usd": "all sizes tried cost more to serve, or are too large or too slow for it; give more, or ask for fewer tokens to serve",
        "flop": f"all sizes tried would train on more than the {there} tokens that there are, or are too large or too slow for it; ask for "
        "less compute",
    }[target.kind]


def _needs_more(law: Law, target: Target, curve: Curve, data_tokens: float) -> str:
    """Why no smaller model is chosen: ``"data"`` that it would need to meet a loss, tokens for each parameter (``"ratio"``), or neither."""
    if target.kind != "loss":
        return ""
    smaller = np.array([curve.active[0] * np.exp(-(_SPAN * 1.5) / (_FINE - 1))])
    needed = float(tokens_for_loss(law, smaller, target.value - float(curve.penalty[0]), float(curve.experts))[0])
    return "data" if needed > data_tokens else "ratio" if needed > MOST_RATIO * float(smaller[0]) else ""
