"""What a model's window is worth: how requests' lengths spread, which of them a window cuts, and what that costs in loss.

A window of c tokens holds a prompt and its answer, which is taken at its mean; of a longer prompt the oldest tokens are cut. What the cut context would have
brought is told by a published law of loss against context, so that the loss in use is that of the scaling law plus a penalty that
falls to zero as the window grows. The scaling law's own loss is taken as that of requests held whole (assumption: none of the
laws states its loss by context).

References
----------
.. [1] W. Xiong et al., Effective Long-Context Scaling of Foundation Models (2023), https://arxiv.org/abs/2309.16039, figure 1 and
   section 3.1: validation loss ``(alpha/c)^beta + gamma`` of Llama 2 Long, 7B to 70B, to 32,768 tokens; twice the context takes
   the 70B model's first term to 0.7 times, as 2^-0.51 does.

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gigaforge.errors import InputError
from gigaforge.units import format_quantity

__all__ = ["CONTEXTS", "CONTEXT_LAW", "ContextLaw", "Requests"]

Array = NDArray[np.float64]

CONTEXTS: Final = (8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)
"""Windows compared where none is asked for [token]: from Llama 3's before its last stage to the longest on offer."""

_ALIKE: Final = 1e-4
"""Spread below which prompts are all of one length [1]."""


@dataclass(frozen=True)
class Requests:
    """How long a workload's requests are.

    Prompts are lognormal: of 12,031 conversations of the Mooncake trace (mean 12,035, spread 1.31), windows of 1, 2, 4 and 8 times
    the mean keep 58, 79, 92 and 99 % of the tokens; a lognormal of that mean and spread keeps 62, 81, 93 and 98 %.

    Attributes
    ----------
    prompt : float
        Mean tokens of a prompt, the conversation so far included [token].
    answer : float
        Mean tokens of an answer, for which the window must have room [token].
    spread : float
        Standard deviation of a prompt's tokens over their mean [1]; 0: all alike.

    """

    prompt: float
    answer: float
    spread: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.prompt) and self.prompt > 0):
            raise InputError(f"{self.prompt!r} tokens; a mean above zero is expected", "requests.prompt")
        if not (np.isfinite(self.answer) and self.answer >= 0):
            raise InputError(f"{self.answer!r} tokens; at least zero is expected", "requests.answer")
        if not 0 <= self.spread <= 20:
            raise InputError(f"{self.spread!r}; a ratio from 0 to 20 is expected", "requests.spread")

    @property
    def message(self) -> float:
        """Prompt and answer of a mean request. [token]"""
        return self.prompt + self.answer

    def cut(self, window: float) -> float:
        """Share of requests whose prompt a window cuts. [1]"""
        room = self._room(window)
        return float(ndtr(-self._normal(room))) if self._sigma else float(self.prompt > room)

    def kept(self, window: float) -> float:
        """Mean tokens of a prompt that a window leaves, E[min(X, room)]. [token]"""
        room = self._room(window)
        if not self._sigma:
            return min(self.prompt, room)
        z = self._normal(room)
        return float(self.prompt * ndtr(z - self._sigma) + room * ndtr(-z))

    def lost(self, window: float, beta: Array) -> Array:
        """E[min(X, room)^-beta] - E[X^-beta]: how much less the prompts' context brings by a power law. [token^-beta]

        Parameters
        ----------
        window : float
            Longest sequence [token].
        beta : array
            Exponent of the law, above zero.

        """
        room, b, s = self._room(window), np.asarray(beta, dtype=float), self._sigma
        if not self._sigma:
            return np.asarray(min(self.prompt, room) ** -b - self.prompt**-b)
        z = self._normal(room)
        whole = np.exp(-b * self._mu + 0.5 * (b * s) ** 2)
        # Of the prompts beyond the room only, so that a small difference is not that of two large numbers.
        return np.asarray(np.maximum(room**-b * ndtr(-z) - whole * ndtr(-z - b * s), 0.0))

    def _room(self, window: float) -> float:
        """What the answer leaves of a window for the prompt. [token]"""
        if window <= self.answer:
            raise InputError(
                f"a context of {window:,.0f} tokens has no room beside answers of {self.answer:,.0f}; give longer ones",
                "contexts",
            )
        return float(window - self.answer)

    @property
    def _sigma(self) -> float:
        return float(np.sqrt(np.log1p(self.spread**2))) if self.spread > _ALIKE else 0.0

    @property
    def _mu(self) -> float:
        return float(np.log(self.prompt) - 0.5 * self._sigma**2)

    def _normal(self, room: float) -> float:
        return float((np.log(room) - self._mu) / self._sigma)


@dataclass(frozen=True)
class ContextLaw:
    """Loss of a token by the context before it, ``(alpha/c)^beta + gamma``, its constants by model size.

    Attributes
    ----------
    label, source : str
        As people cite it; address.
    active : tuple of float
        Sizes of the models fitted, rising.
    alpha, beta : tuple of float
        Constants of each; between them ln alpha and beta are interpolated in the logarithm of size, beyond them held.
    longest : float
        Context up to which they were fitted [token].

    """

    label: str
    source: str
    active: tuple[float, ...]
    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    longest: float

    def constants(self, active: Array | float) -> tuple[Array, Array]:
        """Alpha [token] and beta of models by their active parameters."""
        at, of = np.log(np.asarray(active, dtype=float)), np.log(self.active)
        return np.exp(np.interp(at, of, np.log(self.alpha))), np.asarray(np.interp(at, of, self.beta))

    def penalty(self, active: Array | float, requests: Requests, window: float) -> Array:
        """What a window adds to the loss of models in use; zero for one that cuts nothing. [nat/token]"""
        alpha, beta = self.constants(active)
        return np.asarray(alpha**beta * requests.lost(window, beta))

    def warnings(self, active: float, window: float) -> list[str]:
        """What lies outside the range that the law was fitted in, in one sentence; none where all lies within."""
        low, high = self.active[0], self.active[-1]
        out = []
        if not low * 0.99 <= active <= high * 1.01:
            times, side = (active / high, "above") if active > high else (low / active, "below")
            at, least, most = (format_quantity(v, "count") for v in (active, low, high))
            out.append(f"active parameters {at} is {times:.3g} times {side} the range {least} to {most}")
        if window > self.longest:
            out.append(f"context {window:,.0f} is {window / self.longest:.3g} times above {self.longest:,.0f} tokens")
        return [f"beyond what {self.label} fitted the worth of context on: {', '.join(out)}"] if out else []


CONTEXT_LAW: Final = ContextLaw(
    "Xiong et al. 2023",
    "https://arxiv.org/abs/2309.16039",
    (7e9, 13e9, 34e9, 70e9),
    (25.4, 19.5, 17.7, 17.9),
    (0.45, 0.48, 0.50, 0.51),
    32768.0,
)
"""Figure 1 of [1]_."""
