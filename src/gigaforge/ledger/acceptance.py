"""A rack is judged by what the performance model predicts for it: pass, doubtful or fail.

The model's interval holds 80 % of measured runs. What lies inside passes. What lies outside by no more than the
interval's own width, counted as a ratio, is doubtful: one test says little, so test again. Beyond that it fails, or, on
the good side, the measurement is not believed: also doubtful.
"""

from __future__ import annotations

from typing import Final, Literal

from gigaforge.ledger.terms import AcceptanceTest, Band

__all__ = ["Verdict", "verdict"]

Verdict = Literal["pass", "doubtful", "fail"]
_RANK: Final[dict[Verdict, int]] = {"pass": 0, "doubtful": 1, "fail": 2}


def verdict(test: AcceptanceTest, throughput: float, power_w: float) -> Verdict:
    """Judge a measurement.

    Parameters
    ----------
    test : AcceptanceTest
        The prediction.
    throughput : float
        Measured. [tokens/s per accelerator]
    power_w : float
        Measured mean IT power of one rack. [W]

    Returns
    -------
    str
        The worse of the two: throughput must not be low, power must not be high.

    """
    fast = _one_sided(test.throughput, throughput)
    # Turned over: drawing more is what falls short.
    power = Band(value=1 / test.power_w.value, low=1 / test.power_w.high, high=1 / test.power_w.low)
    return max(fast, _one_sided(power, 1 / power_w), key=_RANK.__getitem__)


def _one_sided(band: Band, measured: float) -> Verdict:
    if measured < band.low * (band.low / band.value):
        return "fail"
    if measured < band.low or measured > band.high * (band.high / band.value):
        return "doubtful"
    return "pass"
