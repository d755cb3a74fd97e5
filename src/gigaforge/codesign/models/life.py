"""A model's life: which tokens it serves after its training, and what training and serving cost in all.

A run serves a workload that names the run (or its model) as its own, or a share of one that it says it ``serves``: from the
quarter after its end until a later run that serves the same workload ends, at the longest to the end of the horizon.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog import Catalog
from gigaforge.catalog.schema import Model
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.models.running import ModelCosts, Running
from gigaforge.codesign.precisions import serving_precisions, training_precisions
from gigaforge.errors import NoAnswerError
from gigaforge.perf.inference import Traffic
from gigaforge.quarters import Quarter
from gigaforge.scenario import Scenario, interpolate, output_tokens, peak_over_mean
from gigaforge.scenario.schema import Serving, TrainingRun

__all__ = [
    "Lifetime",
    "Place",
    "Service",
    "demand_tokens",
    "input_spread",
    "lifetime_of",
    "served_by_none",
    "service_as_first",
    "services_of",
]

Array = NDArray[np.float64]

_WEEKS_PER_QUARTER: Final = 365.25 / 7 / 4
_TTFT_S: Final = 5.0
"""Time to first token where nothing in the scenario says (assumption)."""
_CACHED_LIMIT: Final = 0.99
_SPREAD: Final = "input-tokens-spread"


class Place(NamedTuple):
    """Where work is done, and at which prices: a system, what running it costs, its own price [USD] (None: the catalogue's)."""

    system: str
    economics: Economics
    rack_usd: float | None = None


@dataclass(frozen=True)
class Service:
    """What of one workload a model serves.

    Attributes
    ----------
    workload : Serving
        Whose requests, within which latencies.
    tokens : array, shape (quarter,)
        Answer tokens by quarter of the scenario, zero outside the model's life [token].
    cut : bool
        Whether the horizon ends before a later model takes over.

    """

    workload: Serving
    tokens: Array
    cut: bool

    @property
    def total(self) -> float:
        """Answer tokens over the model's life. [token]"""
        return float(self.tokens.sum())

    @property
    def middle(self) -> int:
        """Index of the quarter in which half of them are served."""
        return int(np.searchsorted(np.cumsum(self.tokens), 0.5 * self.total)) if self.total else 0


def services_of(run: TrainingRun, scenario: Scenario, served: Mapping[str, Array] | None = None) -> list[Service]:
    """The workloads that a run's model serves after its training; those of which it serves nothing are left out.

    Parameters
    ----------
    run, scenario
        A run of the scenario.
    served : mapping of workload to array, shape (quarter,)
        Tokens that a plan serves; default all that users ask for.

    """
    found = []
    for workload in scenario.serving:
        share = _share(run, workload)
        until = min((r.end for r in scenario.training if _share(r, workload) and r.end > run.end), default=None)
        alive = np.array([q > run.end and (until is None or q <= until) for q in scenario.quarters])
        tokens = _demanded(workload, scenario.quarters) if served is None else served[workload.name]
        if share and (alive * tokens).any():
            stated = run.serves.get(workload.name)
            limits = {name: getattr(stated, name) for name in ("ttft", "tpot") if getattr(stated, name, None)}
            found.append(Service(workload.model_copy(update=limits), share * alive * tokens, until is None))
    return found


def served_by_none(run: TrainingRun) -> str:
    """What a reader must know of a choice in which nothing but training counts."""
    keys = f"training.{run.name}.serves" + (
        "" if run.choose is None else " or choose.serve_tokens, or serve a workload with it"
    )
    return (
        "no workload is served by it, so only training is counted: the cheapest to train to a loss is far larger than one to use; "
        f"say what it serves with {keys}"
    )


def service_as_first(run: TrainingRun, scenario: Scenario) -> list[Service]:
    """Requests of the scenario's first workload after a run, for a model that is served but to nobody named; none without one."""
    if not scenario.serving:
        return []
    at = np.array([q > run.end for q in scenario.quarters], dtype=float)
    return [Service(scenario.serving[0], at if at.any() else np.ones(len(at)), cut=True)]


def _share(run: TrainingRun, workload: Serving) -> float:
    """Share of a workload's tokens that a run's model serves."""
    stated = run.serves.get(workload.name)
    return stated.share if stated else float(workload.model in (run.name, run.model))


def _demanded(workload: Serving, quarters: list[Quarter]) -> Array:
    """Answer tokens that users ask for. Shape (quarter,)."""
    messages = interpolate(workload.weekly_users, quarters) * interpolate(workload.messages_per_user_week, quarters)
    return np.asarray(messages * output_tokens(workload, quarters) * _WEEKS_PER_QUARTER)


def demand_tokens(run: TrainingRun, scenario: Scenario) -> float:
    """Answer tokens that the scenario's users ask of a run's model over its life."""
    return sum(s.total for s in services_of(run, scenario))


@dataclass(frozen=True)
class Lifetime:
    """Where and how a model is trained, and where and how each of its workloads is served.

    Attributes
    ----------
    training : Running
        System and prices of the training.
    serving : sequence of (Running, float)
        System, prices and requests of each workload, and its share of the served tokens; empty: nothing is served.
    compute_multiple : float
        Experiments and failed runs, as a multiple of the final run, which a larger run has in proportion.

    """

    training: Running
    serving: Sequence[tuple[Running, float]] = ()
    compute_multiple: float = 1.0

    @property
    def name(self) -> str:
        """The systems, in words."""
        return " and ".join(dict.fromkeys(r.hardware.name for r in (self.training, *(r for r, _ in self.serving))))

    def costs(self, model: Model, tokens: float) -> ModelCosts:
        """Train a model on so many tokens, experiments included, and serve it; as `Running.costs`."""
        train, mfu, gang = self.training.train(model, tokens)
        served = [(share, *running.serve(model)) for running, share in self.serving]
        each = tuple(share * usd for share, usd, _ in served)
        replica = max((size for *_, size in served), default=0)
        return ModelCosts(self.compute_multiple * train, sum(each), mfu, gang, replica, each)

    def refusals(self, model: Model) -> list[str]:
        """Workloads whose latencies a model does not meet on their system, in words."""
        return [f"{r.label} on {r.hardware.name}" for r, _ in self.serving if not np.isfinite(r.serve(model)[0])]


def lifetime_of(
    run: TrainingRun,
    scenario: Scenario,
    catalog: Catalog,
    services: Sequence[Service],
    where: Mapping[str, Place],
) -> Lifetime:
    """How a run's model is trained and served.

    Parameters
    ----------
    run, scenario, catalog
        A run of the scenario.
    services : sequence of Service
        What it serves.
    where : mapping
        Run's and workloads' names to where the work is done.

    """
    training = _training(run, catalog, where[run.name])
    discount = _discount(scenario)
    at = float(discount[[run.start <= q <= run.end for q in scenario.quarters]].mean())
    total = sum(s.total for s in services)
    serving = []
    for s in services:
        running = _serving(s, scenario, catalog, where[s.workload.name])
        # A dollar spent on serving later is worth less than one on training, so shares are of discounted tokens.
        serving.append((running, float((s.tokens * discount).sum()) / at / total))
    return Lifetime(training, tuple(serving), run.compute_multiple)


def _discount(scenario: Scenario) -> Array:
    """Today's worth of a dollar in the middle of each quarter. Shape (quarter,)."""
    time = np.arange(len(scenario.quarters)) + 0.5
    return np.asarray((1 + scenario.finance.discount_rate) ** (-time / 4))


def _training(run: TrainingRun, catalog: Catalog, place: Place) -> Running:
    """A system as a run trains on it, for requests that nobody states."""
    tpot = run.choose.tpot if run.choose else 0.05
    traffic = Traffic(2048, 512, ttft_s=_TTFT_S, tpot_s=tpot, percentile="mean")
    running = Running.on(
        catalog, place.system, place.economics, traffic, rack_usd=place.rack_usd, seq_len=run.seq_len, utilisation=1.0,
        spread=catalog.fact(_SPREAD).value,
    )  # fmt: skip
    with contextlib.suppress(NoAnswerError):  # else in what the machine trains in
        running = replace(running, train_precision=training_precisions(running.hardware, run.precision)[0])
    return running


def input_spread(workload: Serving, catalog: Catalog) -> float:
    """Standard deviation of a workload's prompts over their mean: its own, else the catalogue's. [1]"""
    return workload.input_spread if workload.input_spread is not None else catalog.fact(_SPREAD).value


def _serving(service: Service, scenario: Scenario, catalog: Catalog, place: Place) -> Running:
    """A system as a workload is served on it, with requests as in the middle of the model's life."""
    workload, at = service.workload, [scenario.quarters[service.middle]]
    traffic = Traffic(
        max(round(float(interpolate(workload.input_tokens, at)[0])), 1),
        max(round(float(output_tokens(workload, at)[0])), 1),
        prefix_hit=min(workload.cached_share, _CACHED_LIMIT),
        ttft_s=workload.ttft,
        tpot_s=workload.tpot,
        percentile="mean",
    )
    running = Running.on(
        catalog, place.system, place.economics, traffic,
        rack_usd=place.rack_usd,
        label=workload.name,
        spread=input_spread(workload, catalog),
        utilisation=min(workload.utilisation / peak_over_mean(workload, catalog), 1.0),
    )  # fmt: skip
    with contextlib.suppress(NoAnswerError):
        running = replace(running, serve_precision=serving_precisions(running.hardware, workload.precision)[0])
    return running
