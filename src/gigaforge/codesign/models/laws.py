"""Published scaling laws: what loss a model reaches, each with its constants, its source and the range it was fitted in.

Losses of different laws are nats per token of different tokenizers and corpora; compare models within one law only.

References
----------
.. [1] J. Hoffmann et al., Training Compute-Optimal Large Language Models (2022), https://arxiv.org/abs/2203.15556, section 3.3;
   unrounded constants from the paper's TeX source as given in [2]_.
.. [2] T. Besiroglu et al., Chinchilla Scaling: A Replication Attempt (2024), https://arxiv.org/abs/2404.10102, table 1.
.. [3] Llama Team, The Llama 3 Herd of Models (2024), https://arxiv.org/abs/2407.21783, section 3.2.1 and the legend of figure 3
   (0.537, 0.299; the text rounds to 0.53, 0.29).
.. [4] J. Ludziejewski et al., Joint MoE Scaling Laws (2025), https://arxiv.org/abs/2502.05172, equation 6, table 3, appendix E.
.. [5] J. Krajewski et al., Scaling Laws for Fine-Grained Mixture of Experts (2024), https://arxiv.org/abs/2402.07871, eq. 9, table 1.
.. [6] S. Abnar et al., Parameters vs FLOPs (2025), https://arxiv.org/abs/2501.12370, equation 6, table 3.
.. [7] A. Clark et al., Unified Scaling Laws for Routed Language Models (2022), https://arxiv.org/abs/2202.01169, eq. 1, table 3.
.. [8] N. Sardana et al., Beyond Chinchilla-Optimal (2023), https://arxiv.org/abs/2401.00448: the cost of inference enters the
   optimum; laws hold qualitatively up to 10,000 tokens a parameter, but flatten.
.. [9] C. Tian et al., Towards Greater Leverage (2025), https://arxiv.org/abs/2507.17702, equation 13, table 2; see `leverage`.

"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.models.leverage import Leverage
from gigaforge.errors import InputError, did_you_mean
from gigaforge.units import format_quantity

__all__ = ["LAWS", "Law", "Power", "law", "optimal_tokens_llama3"]

Array = NDArray[np.float64]
Numbers = Array | float

_WORDS: Final = {
    "active": "active parameters",
    "total": "parameters",
    "tokens": "training tokens",
    "ratio": "tokens per active parameter",
    "flop": "training FLOP",
    "experts": "expansion of the experts",
    "granularity": "granularity",
}


@dataclass(frozen=True)
class Law(ABC):
    """Loss of a model by its parameters and training tokens.

    A mixture is described by its expansion: experts held over experts used for a token (1: dense), and by its granularity:
    how many small experts make up one of a dense block's width.

    Attributes
    ----------
    name, label, source : str
        Key; as people cite it; address.
    ranges : mapping
        What it was fitted on, by ``active``, ``total``, ``tokens``, ``ratio``, ``flop``, ``experts``, ``granularity``.
    mixtures : bool
        Whether it knows mixtures of experts.

    """

    name: str
    label: str
    source: str
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    mixtures: bool = False

    def loss(self, active: Numbers, tokens: Numbers, experts: Numbers = 1.0, granularity: Numbers = 1.0) -> Array:
        """Loss of models. [nat/token]

        Parameters
        ----------
        active : array
            Parameters that a token passes through, embeddings aside.
        tokens : array
            Trained on.
        experts, granularity : array
            Expansion and granularity of a mixture.

        Raises
        ------
        InputError
            Sizes, tokens or a granularity not above zero, an expansion below one, or what the law does not model at all.

        """
        n, d, e, g = (np.asarray(x, dtype=float) for x in (active, tokens, experts, granularity))
        for name, values, least in (
            ("active", n, 0.0),
            ("tokens", d, 0.0),
            ("experts", e, 1.0),
            ("granularity", g, 0.0),
        ):
            if not np.all((values >= 1.0) if least else (values > 0.0)):
                raise InputError(
                    f"{_WORDS[name]} of {np.min(values):g}; {'at least one' if least else 'more than zero'} is needed",
                    name,
                )
        return self._loss(n, d, e, g)

    @abstractmethod
    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:
        """As `loss`, of arrays that are sizes."""

    def total(self, active: Numbers, experts: Numbers = 1.0) -> Array:
        """All parameters of a mixture: its feed-forward part, two thirds of a block, is held `experts` times."""
        return np.asarray(np.asarray(active) * (1.0 + FEED_FORWARD_SHARE * (np.asarray(experts) - 1.0)))

    @property
    def floor(self) -> float:
        """Loss that no model of any size goes below. [nat/token]"""
        return 0.0

    def warnings(self, active: float, tokens: float, experts: float = 1.0, granularity: float = 1.0) -> list[str]:
        """What of a model lies outside the range that the law was fitted in, in one sentence; none where all lies within."""
        numbers = {
            "active": active,
            "total": float(self.total(active, experts)),
            "tokens": tokens,
            "ratio": tokens / active,
            "flop": 6.0 * active * tokens,
            "experts": experts,
            "granularity": granularity,
        }
        out = []
        for name, (low, high) in self.ranges.items():
            value = numbers[name]
            again = name == "total" and value == active and "active" in self.ranges
            if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9) and not again:
                times = value / high if value > high else low / value
                side = "above" if value > high else "below"
                many = f"{times:,.0f}" if times >= 100 else f"{times:.3g}"
                at, least, most = (_people(v) for v in (value, low, high))
                out.append(f"{_WORDS[name]} {at} is {many} times {side} the range {least} to {most}")
        return [f"beyond what {self.label} was fitted on: {', '.join(out)}"] if out else []


def _people(value: float) -> str:
    """405B rather than 4.05e+11; compute stays in powers of ten."""
    return format_quantity(value, "count") if value < 1e15 else f"{value:.3g}"


FEED_FORWARD_SHARE: Final = 2.0 / 3.0
"""Of a block's parameters: 8d² of 12d² (https://arxiv.org/abs/2402.07871, section 6.1; 9d² of 13d² in [4]_)."""


@dataclass(frozen=True)
class Power(Law):
    """``L = e + a/N^alpha + b/D^beta`` of dense models [1]_ [2]_."""

    e: float = 0.0
    a: float = 0.0
    alpha: float = 0.0
    b: float = 0.0
    beta: float = 0.0

    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:  # noqa: ARG002 (does not enter)
        """`InputError` for a mixture, which this law does not know."""
        if np.any(experts > 1):
            raise InputError(f"{self.label} knows dense models only; for mixtures take joint-moe-2025", "experts")
        n, d = active, tokens
        return np.asarray(self.e + self.a * n**-self.alpha + self.b * d**-self.beta)

    @property
    def floor(self) -> float:
        """The irreducible term."""
        return self.e

    def optimum(self, flop: float) -> tuple[float, float]:
        """Parameters and tokens of least loss at 6·N·D FLOP, in closed form ([1]_, eq. 4)."""
        s = self.alpha + self.beta
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1.0 / s)
        return g * (flop / 6.0) ** (self.beta / s), (flop / 6.0) ** (self.alpha / s) / g


@dataclass(frozen=True)
class JointMixture(Law):
    """``L = a Ê^delta N^(alpha + gamma ln Ê) + b Ê^omega D^(beta + zeta ln Ê) + c`` [4]_, dense at one expert."""

    def effective(self, experts: Numbers) -> Array:
        """Ê: the expansion, with a start above one and a ceiling ([7]_, [4]_)."""
        return _saturated(experts, 2.0732, 290.4521)

    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:  # noqa: ARG002 (does not enter)
        n, d = active, tokens
        e = self.effective(experts)
        log = np.log(e)
        size = 35.91 * e**-0.2285 * n ** (-0.1889 + 0.0098 * log)
        data = 35.98 * e**0.5529 * d ** (-0.1775 - 0.0259 * log)
        return np.asarray(size + data + 1.3637)

    @property
    def floor(self) -> float:
        """The irreducible term."""
        return 1.3637


@dataclass(frozen=True)
class FineGrained(Law):
    """``L = c + (g/G^gamma + a)/N^alpha + b/D^beta`` at an expansion of 64, N all non-embedding parameters [5]_."""

    expansion: float = 64.0

    def total(self, active: Numbers, experts: Numbers = 64.0) -> Array:
        """8E + 4 over 12 times the active ones ([5]_, section 6.1)."""
        return np.asarray(np.asarray(active) * (8.0 * np.asarray(experts) + 4.0) / 12.0)

    def loss(self, active: Numbers, tokens: Numbers, experts: Numbers = 64.0, granularity: Numbers = 1.0) -> Array:
        """As `Law.loss`, of mixtures where nothing else is said."""
        return super().loss(active, tokens, experts, granularity)

    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:
        """`InputError` for an expansion other than 1 (the dense fit) and 64."""
        e = np.unique(experts)
        if not set(e.tolist()) <= {1.0, self.expansion}:
            raise InputError(
                f"{self.label} was fitted at an expansion of 64 only (and dense), not {', '.join(f'{x:g}' for x in e)}; give "
                "expansions: [1, 64]",
                "experts",
            )
        n, d, g = active, tokens, granularity
        dense = 0.47 + 16.3 * n**-0.126 + 26.7 * d**-0.127
        mixed = 0.47 + (2.1 * g**-0.58 + 18.1) * self.total(n, self.expansion) ** -0.115 + 30.8 * d**-0.147
        return np.asarray(np.where(experts > 1, mixed, dense))

    @property
    def floor(self) -> float:
        """The irreducible term."""
        return 0.47


@dataclass(frozen=True)
class Sparsity(Law):
    """``L = a/N^alpha + b/D^beta + c/(1-S)^lambda + d/((1-S)^delta N^gamma) + e`` with S the share of idle experts [6]_.

    N counts all parameters. Held-out sparsity of 0.98 has R² 0.68: mind it at large expansions.
    """

    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:  # noqa: ARG002 (does not enter)
        """1 - S is one over the expansion."""
        n, d = self.total(active, experts), tokens
        used = 1.0 / experts
        size = 16612.50 * n**-0.5962 + 17.26 * used**-0.1603 * n**-0.1595
        return np.asarray(size + 5455.67 * d**-0.3954 + 0.4598 * used**0.1666 + 0.94)

    @property
    def floor(self) -> float:
        """The irreducible term."""
        return 0.94


@dataclass(frozen=True)
class Routed(Law):
    """``log L = a log N + b log Ê + c log N log Ê + d`` at 130B tokens, logarithms to base 10, N the dense model's size [7]_."""

    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:  # noqa: ARG002 (does not enter)
        """`InputError` for tokens other than the 130B of its runs."""
        if np.any(np.abs(tokens / 130e9 - 1) > 0.01):
            raise InputError(
                f"{self.label} holds for 130B training tokens only; for others take joint-moe-2025", "tokens"
            )
        n = np.log10(active)
        e = np.log10(_saturated(experts, 1.847, 314.478))
        return np.asarray(10 ** (-0.082 * n - 0.108 * e + 0.009 * n * e + 1.104))


@dataclass(frozen=True)
class Leveraged(Law):
    """A mixture is as good as a dense model of `leverage` times its active parameters on the same tokens [9]_.

    So the paper reads its leverage (section 3: a ratio of model scales under fixed data) and checks it. It gives no loss: that is a
    dense law's, of another corpus (assumption).
    """

    dense: Law = field(kw_only=True)
    leverage: Leverage = field(default_factory=Leverage, kw_only=True)

    def _loss(self, active: Array, tokens: Array, experts: Array, granularity: Array) -> Array:
        return self.dense.loss(active * self.leverage(experts, granularity, 6.0 * active * tokens), tokens)

    @property
    def floor(self) -> float:
        """The dense law's."""
        return self.dense.floor

    def warnings(self, active: float, tokens: float, experts: float = 1.0, granularity: float = 1.0) -> list[str]:
        """As `Law.warnings`; of a dense model those of the dense law."""
        if experts <= 1:
            return self.dense.warnings(active, tokens)
        return super().warnings(active, tokens, experts, granularity)


def _saturated(experts: Numbers, start: float, most: float) -> Array:
    """1/Ê = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max ([7]_, section 4.2)."""
    rise = np.asarray(experts, dtype=float) - 1.0 + 1.0 / (1.0 / start - 1.0 / most)
    return np.asarray(1.0 / (1.0 / rise + 1.0 / most))


def optimal_tokens_llama3(flop: float) -> float:
    """Compute-optimal training tokens of dense models in Llama 3's own fit ([3]_): 0.299·C^0.537, fitted 6e18 to 1e22 FLOP."""
    return float(0.299 * flop**0.537)


_CHINCHILLA_RANGE: Final = {
    "active": (5.7e7, 1.6e10),
    "tokens": (2.5e8, 5e11),
    "flop": (1.4e18, 1.3e22),
    "ratio": (0.04, 341.0),
}

_CHINCHILLA: Final = Power(
    "chinchilla-2024", "Besiroglu et al. 2024 (Chinchilla corrected)", "https://arxiv.org/abs/2404.10102",
    _CHINCHILLA_RANGE, e=1.8172, a=482.01, alpha=0.3478, b=2085.43, beta=0.3658,
)  # fmt: skip

LAWS: Final[dict[str, Law]] = {
    one.name: one
    for one in (
        Power(
            "chinchilla-2022", "Hoffmann et al. 2022", "https://arxiv.org/abs/2203.15556", _CHINCHILLA_RANGE,
            e=1.6934, a=406.4, alpha=0.3392, b=410.7, beta=0.2849,
        ),
        _CHINCHILLA,
        JointMixture(
            "joint-moe-2025", "Ludziejewski et al. 2025 (joint mixture law)", "https://arxiv.org/abs/2502.05172",
            {"active": (7.9e7, 2.7e9), "total": (7.9e7, 5e9), "tokens": (5e8, 8e10), "ratio": (0.36, 75.0), "experts": (1, 32)},
            mixtures=True,
        ),
        FineGrained(
            "fine-grained-2024", "Krajewski et al. 2024 (fine-grained mixtures)", "https://arxiv.org/abs/2402.07871",
            {"total": (1.29e8, 3.7e9), "tokens": (1.6e10, 1.3e11), "granularity": (1, 16)}, mixtures=True,
        ),
        Sparsity(
            "sparsity-2025", "Abnar et al. 2025 (sparsity law)", "https://arxiv.org/abs/2501.12370",
            {"flop": (3e19, 1e21), "experts": (1, 50)}, mixtures=True,
        ),
        Routed(
            "routed-2022", "Clark et al. 2022 (routed models)", "https://arxiv.org/abs/2202.01169",
            {"active": (1.5e7, 1.3e9), "experts": (1, 512)}, mixtures=True,
        ),
        Leveraged(
            "leverage-2025", "Tian et al. 2025 (efficiency leverage)", "https://arxiv.org/abs/2507.17702",
            {
                "active": (1.2e7, 4.1e8), "total": (1.2e7, 2.8e10), "tokens": _CHINCHILLA_RANGE["tokens"], "flop": (1e18, 6e20),
                "experts": (1, 128), "granularity": (3.5, 28),
            },
            mixtures=True, dense=_CHINCHILLA,
        ),
    )
}  # fmt: skip
"""By name."""


def law(name: str) -> Law:
    """Look one up; `InputError` names the nearest known one."""
    try:
        return LAWS[name]
    except KeyError:
        hint = did_you_mean(name, LAWS)
        raise InputError(f"unknown scaling law {name!r}{hint} (known: {', '.join(LAWS)})", "law") from None
