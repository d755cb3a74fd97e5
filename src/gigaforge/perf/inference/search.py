"""Which configurations there are, and the best of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.arrivals import pools_at_rate, replicas_at_rate
from gigaforge.perf.inference.evaluate import Engine, _interval, run
from gigaforge.perf.inference.pools import match
from gigaforge.perf.inference.results import ServingConfigurations, ServingResults
from gigaforge.perf.inference.space import Space, layouts, with_batches
from gigaforge.perf.inference.steady import CHUNK_TOKENS
from gigaforge.perf.inference.traffic import Speculation, Traffic
from gigaforge.perf.power import system_power_w
from gigaforge.perf.transformer import Transformer

__all__ = ["search"]

_NO_LIMIT: Final = 1 << 30
_WIDEST: Final = 16
"""NVLink domains that the pipeline stages of one replica may span."""


def search(
    transformer: Transformer,
    hardware: Hardware,
    traffic: Traffic,
    *,
    accelerators: int | None = None,
    precision: str = "fp8",
    kv_precision: str | None = None,
    attention_precision: str | None = None,
    software: str = "trtllm",
    modes: tuple[str, ...] = ("aggregated", "disaggregated"),
    speculation: Speculation | None = None,
    parameters: Mapping[str, Any] | None = None,
    power_cap_w: Array | None = None,
    chunk_tokens: float = CHUNK_TOKENS,
) -> ServingResults:
    """Evaluate every layout at every batch, aggregated and disaggregated.

    Parameters
    ----------
    transformer, hardware, traffic
        Model, machine, requests.
    accelerators : int, optional
        How many there are in all; default one system, or with ``traffic.rate`` as many as it takes.
    modes : tuple of str
        ``"aggregated"``, ``"disaggregated"``.
    precision, kv_precision, attention_precision, software, speculation, parameters, power_cap_w, chunk_tokens
        As `gigaforge.perf.inference.evaluate`.

    Returns
    -------
    ServingResults
        All configurations that fit, each a deployment of whole workers: ``configurations.replicas`` replicas (decode
        workers), and ``prefill_share`` times as many prefill workers. Without a rate, figures per accelerator count all
        `accelerators`, the idle ones too. With ``traffic.rate`` every deployment serves exactly that rate on as many
        accelerators as it needs (at most `accelerators`, if given), and latencies are those at that rate. use `ServingResults.pareto` and `ServingResults.best`.

    Raises
    ------
    InputError
        The chip lacks the precision, or the arguments contradict each other.

    """
    total = hardware.accelerators if accelerators is None else int(accelerators)
    if traffic.rate is not None and accelerators is None:
        total = _NO_LIMIT
    if total < 1:
        raise InputError(f"{total} accelerators; at least one is needed", "gpus")
    unknown = set(modes) - {"aggregated", "disaggregated"}
    if unknown or not modes:
        raise InputError(f"{sorted(unknown)}; aggregated and disaggregated are known", "modes")
    engine = Engine.of(
        transformer,
        hardware,
        precision=precision,
        kv_precision=kv_precision,
        attention_precision=attention_precision,
        software=software,
        speculation=speculation,
        parameters=parameters,
        chunk_tokens=chunk_tokens,
        power_cap_w=power_cap_w,
    )
    start = time.perf_counter()
    space = layouts(transformer, hardware, min(total, _WIDEST * max(int(hardware.nvlink_domain), 1)))
    candidates = _at_rate if traffic.rate is not None else _at_load
    parts = [run(engine, traffic, c) for c in candidates(engine, traffic, space, total, modes)]
    if not parts and modes == ("disaggregated",) and total < 2:
        raise InputError("disaggregation needs at least two accelerators", "modes")
    # Nothing to try is an answer too: no rows.
    nothing = ServingConfigurations.aggregated(space.accelerators[:1], 1.0)
    result = _join(parts) if parts else run(engine, traffic, nothing).take(slice(0, 0))
    if traffic.rate is None:
        result = _over_all(result, hardware, total)
    low, high = _interval(parameters, hardware, software)
    wall = time.perf_counter() - start
    kept = result.take(np.flatnonzero(result.feasible))
    return replace(kept, evaluated=result.evaluated, wall_s=wall, low=low, high=high)


_Candidates = Iterator[ServingConfigurations]


def _at_load(engine: Engine, traffic: Traffic, space: Space, total: int, modes: tuple[str, ...]) -> _Candidates:
    """Deployments on all accelerators: at every batch, or at the batches that a concurrency leaves."""
    if "aggregated" in modes:
        yield with_batches(space, total, traffic.concurrency)
    if "disaggregated" in modes:
        pairs = match(engine, traffic, space, total)
        if pairs is not None:
            yield pairs


def _at_rate(engine: Engine, traffic: Traffic, space: Space, total: int, modes: tuple[str, ...]) -> _Candidates:
    """Deployments as large as the rate needs."""
    if "aggregated" in modes:
        replicas = replicas_at_rate(engine, traffic, space, total)
        if len(replicas):
            yield replicas
    if "disaggregated" in modes:
        pools = pools_at_rate(engine, traffic, space, total)
        if pools is not None and len(pools):
            yield pools


def _over_all(result: ServingResults, hardware: Hardware, total: int) -> ServingResults:
    """Figures per accelerator over all that there are: those that no worker of a layout can use idle."""
    used = np.minimum(result.configurations.total_accelerators / total, 1.0)
    power = used * result.power_w + (1.0 - used) * np.asarray(hardware.idle_w)
    system = system_power_w(hardware, power) / hardware.accelerators
    tokens = used * result.tokens_per_s_per_gpu
    return replace(
        result,
        tokens_per_s_per_gpu=tokens,
        requests_per_s_per_gpu=used * result.requests_per_s_per_gpu,
        accelerators=total,
        power_w=power,
        system_power_w=system,
        joules_per_token=system / tokens,
    )


def _join(parts: list[ServingResults]) -> ServingResults:
    if len(parts) == 1:
        return parts[0]
    fields: dict[str, Any] = {}
    for name, value in vars(parts[0]).items():
        if isinstance(value, np.ndarray):
            fields[name] = np.concatenate([getattr(p, name) for p in parts])
    names = vars(parts[0].configurations)
    config = ServingConfigurations(
        **{k: np.concatenate([getattr(p.configurations, k) for p in parts]) for k in names}
    )
    return replace(parts[0], configurations=config, evaluated=sum(p.evaluated for p in parts), **fields)
