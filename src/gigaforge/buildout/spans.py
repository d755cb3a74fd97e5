"""Which training runs may span two sites: what their gradients need against what the line between them carries."""

from __future__ import annotations

from dataclasses import dataclass

from gigaforge.catalog import Catalog, Model
from gigaforge.codesign.training_points import batch_tokens
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import Scenario
from gigaforge.scenario.schema import Link, TrainingRun

__all__ = ["Span", "spans_of"]

_GRADIENT_BYTES = 2.0  # bfloat16, as production runs exchange them between replicas
_BUSY = 2 / 3  # of its window that the final run takes: gangs are sized so


@dataclass(frozen=True)
class Span:
    """One run on one line.

    Attributes
    ----------
    run, first, second : int
        Indices of the run and the two sites.
    needed_bytes_s, bandwidth_bytes_s : float
        In each direction, to exchange gradients within a step, and what the line carries [B/s].
    efficiency : float
        Share of the time that computes when the exchange is not hidden behind it; 0 where the run may not span.

    """

    run: int
    first: int
    second: int
    needed_bytes_s: float
    bandwidth_bytes_s: float
    efficiency: float

    @property
    def allowed(self) -> bool:
        """Whether the run may work at both sites at once."""
        return self.efficiency > 0


def spans_of(scenario: Scenario, catalog: Catalog) -> list[Span]:
    """Every run on every line between sites that it may use, allowed or not."""
    sites = [s.site for s in scenario.sites]
    out = []
    for r, run in enumerate(scenario.training):
        for link in scenario.links:
            if run.sites and not set(link.between) <= set(run.sites):
                continue
            needed = _needed_bytes_s(run, catalog.model(run.model))
            first, second = (sites.index(name) for name in link.between)
            out.append(Span(r, first, second, needed, link.bandwidth, _efficiency(needed, link)))
    return out


def _needed_bytes_s(run: TrainingRun, model: Model) -> float:
    """All gradients once per exchange, in the time of the steps between exchanges."""
    rate = run.tokens / ((run.end - run.start + 1) * SECONDS_PER_QUARTER * _BUSY)
    interval_s = batch_tokens(run) / rate * run.exchange_every
    return float(Transformer.from_catalog(model).parameters) * _GRADIENT_BYTES / interval_s


def _efficiency(needed: float, link: Link) -> float:
    """Steps and exchanges one after the other: 1 / (1 + exchange / step); none where the exchange outlasts the step."""
    return 1 / (1 + needed / link.bandwidth) if needed <= link.bandwidth else 0.0
