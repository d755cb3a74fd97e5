"""What a mixture is worth: how many times its active parameters a dense model needs to be as good on the same training tokens.

References
----------
.. [1] C. Tian et al., Towards Greater Leverage: Scaling Laws for Efficient Mixture-of-Experts Language Models (2025),
   https://arxiv.org/abs/2507.17702, equations 10 and 13, table 2; appendix C for the compute, tables 7 and 8 for the runs.

The paper prints "log" without a base. Of 2, e and 10 only 2 for granularity puts the optimum where the paper finds it (8 to 12:
11.3, instead of 33 or 3,200), and then only 10 for compute gives the "over 7" of section 4.2.2 (7.2, instead of thousands).

Its activation ratio is stated with the shared expert, yet its runs are labelled without (0.8 % is 2 of 256, 3.1 % 2 of 64): taken
as labelled, one over the expansion.

"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.models.shapes import DENSE_WIDTHS

__all__ = ["Leverage"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Leverage:
    """``EL = Â^(a + d log10 C + gamma (log2 G)^2 + beta log2 G)``, ``Â`` the saturated share of experts at work [1]_.

    Attributes
    ----------
    most_flop : float
        Training compute beyond which leverage grows no more [FLOP]: the largest at which the paper checked a prediction (assumption).
        As printed it grows for ever, and counting forbids that: at the 7e26 FLOP of a run of 300B parameters on 400T tokens eight
        times the experts would be worth 7.0 times the active parameters, of which the mixture has 5.7 times in all.

    """

    a: float = 1.23
    d: float = -7.61e-2
    gamma: float = 1.67e-2
    beta: float = -1.17e-1
    start: float = 1.63e-2
    most: float = 5.28e16
    most_flop: float = 1e22

    def __call__(self, experts: Array | float, granularity: Array | float, flop: Array | float) -> Array:
        """Active parameters of the dense model that is as good, over the mixture's own; one for a dense model.

        Parameters
        ----------
        experts : array
            Expansion: experts held over experts used.
        granularity : array
            Experts that make up one dense block's width; the paper counts those of two model widths.
        flop : array
            Training compute, forward and backward [FLOP].

        """
        e, c = np.asarray(experts, dtype=float), np.minimum(flop, self.most_flop)
        share = 1.0 / e + 1.0 / (1.0 / self.start - 1.0 / self.most)
        saturated = 1.0 / (1.0 / share + 1.0 / self.most)
        fine = np.log2(np.asarray(granularity, dtype=float) * 2.0 / DENSE_WIDTHS)
        power = self.a + self.d * np.log10(c) + self.gamma * fine**2 + self.beta * fine
        return np.asarray(np.where(e > 1.0, saturated**power, 1.0))
