"""Terms from a scenario: what it promises, what each rack counts, and what the performance model says a rack must show."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Final

from gigaforge.catalog import Catalog, System
from gigaforge.errors import GigaforgeError, InputError
from gigaforge.ledger.terms import AcceptanceTest, Band, MilestoneTerm, SiteTerms, SystemTerms, Terms
from gigaforge.scenario import Scenario, check_against, load_scenario
from gigaforge.units import percent

__all__ = ["ACCEPTANCE_MODEL", "acceptance_test", "terms_from"]

ACCEPTANCE_MODEL: Final = "llama-3.1-8b"
"""Trained for the acceptance test unless told otherwise: it fits every system, from a node to a rack."""
_SEQ_LEN: Final = 8192
_SEQUENCES_PER_GPU: Final = 4
_POWER_MARGIN: Final = 0.15
"""Half-width of the power interval as a share (assumption: the closed MLPerf power results of 8 x B200 nodes spread from 9.0
to 10.4 kW, 14 %; https://github.com/mlcommons/inference_results_v5.1)."""


def terms_from(
    path: Path,
    catalog: Catalog,
    *,
    model: str = ACCEPTANCE_MODEL,
    number: int = 1,
    approvers: list[str] | None = None,
    signed: list[str] | None = None,
    before_test: str = "",
) -> Terms:
    """Read a scenario as terms.

    Parameters
    ----------
    path : path
        The scenario; its hash goes into the terms.
    catalog : Catalog
        Power of systems, PUE of sites.
    model : str
        Catalogue model whose training step accepts a rack.
    number : int
        Version of the terms.
    approvers : list of str
        Parties whose people approve; default investor and recipient.
    signed : list of str
        Kinds of events that must carry their party's signature.
    before_test : str
        What a rack must have been through before its test: installation, energisation, or nothing.

    Raises
    ------
    InputError
        The scenario has no tranches, or names what the catalogue does not have.

    """
    if before_test not in ("", "installation", "energisation"):
        raise InputError(f"{before_test!r}; installation or energisation can be asked for", "--before-test")
    scenario = load_scenario(path)
    check_against(scenario, catalog, str(path))
    investment = scenario.investment
    if investment is None or investment.per is None:
        raise InputError("has no investment that is released by deployed power (investment.per)", str(path))
    amount_usd = investment.amount or investment.ceiling * investment.per / scenario.commitment.power
    systems = [catalog.system(name) for line in scenario.platforms for name in line.systems]
    return Terms(
        version=number,
        scenario=scenario.name,
        scenario_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        basis=scenario.commitment.basis,
        commitment_w=round(scenario.commitment.power),
        milestones=[MilestoneTerm(power_w=round(m.power), by=str(m.by)) for m in scenario.commitment.milestones],
        first_quarter=str(scenario.horizon.first),
        investor=investment.investor,
        recipient=investment.recipient,
        per_w=round(investment.per),
        amount_cents=round(amount_usd * 100),
        ceiling_cents=round(investment.ceiling * 100),
        upfront_cents=round(sum(investment.upfront.values()) * 100),
        approvers=approvers or [investment.investor, investment.recipient],
        signed=signed or [],  # type: ignore[arg-type]
        before_test=before_test,  # type: ignore[arg-type]
        systems={system.name: _system(system, catalog, model) for system in systems},
        sites={entry.site: _site(entry.site, scenario, catalog, systems) for entry in scenario.sites},
    )


def _rack_w(system: System) -> int:
    if system.power is None:
        raise InputError(f"{system.name!r} has no power in the catalogue; add it in a folder given with --catalog")
    return round(system.power.value + (system.overhead_power.value if system.overhead_power else 0.0))


def _system(system: System, catalog: Catalog, model: str) -> SystemTerms:
    return SystemTerms(
        label=system.label,
        rack_w=_rack_w(system),
        accelerators=system.accelerators,
        acceptance=acceptance_test(system, catalog, model),
    )


def _site(name: str, scenario: Scenario, catalog: Catalog, systems: list[System]) -> SiteTerms:
    site = catalog.site(name)
    counts = next(s.counts for s in scenario.sites if s.site == name)
    design = site.pue_peak.value if scenario.commitment.basis == "facility" else 1.0
    counted = {
        s.name: round(_rack_w(s) * design)
        if counts and catalog.accelerator(s.accelerator).vendor in scenario.commitment.suppliers
        else 0
        for s in systems
    }
    return SiteTerms(
        label=site.label, partner=site.partner, latitude=site.latitude, longitude=site.longitude,
        pue=site.pue_peak.value, counted_w=counted,
    )  # fmt: skip


def acceptance_test(system: System, catalog: Catalog, model: str = ACCEPTANCE_MODEL) -> AcceptanceTest | None:
    """What the performance model predicts for training a model on one system; None where the model cannot say.

    The throughput interval is the training model's own (80 % of left-out published runs); the power interval is ±15 %.
    """
    from gigaforge.perf.hardware import Hardware  # noqa: PLC0415 (0.3 s)
    from gigaforge.perf.training import TrainingJob, search  # noqa: PLC0415
    from gigaforge.perf.transformer import Transformer  # noqa: PLC0415

    entry = catalog.model(model)
    job = TrainingJob(system.accelerators, _SEQUENCES_PER_GPU * system.accelerators, _SEQ_LEN, "bf16")
    try:
        hardware = Hardware.from_catalog(system, catalog.accelerator(system.accelerator))
        found = search(Transformer.from_catalog(entry), hardware, job, keep=1)
    except GigaforgeError:
        return None
    if not found.feasible_count:
        return None
    best = found.records(1)[0]
    rate, power = best["tokens_per_s_per_gpu"], best["system_power_w"] * system.accelerators
    run: dict[str, str | int | float] = {
        "model_name": model, "gpu": system.accelerator, "n_gpus": system.accelerators, "seq_len": _SEQ_LEN, "precision": "bf16",
        "gpus_per_node_or_nvl_domain": system.nvlink_domain, "global_batch_sequences": job.global_batch,
        "tp": best["tensor_parallel"], "pp": best["pipeline_parallel"], "cp": best["context_parallel"],
        "dp": best["data_parallel"], "ep": best["expert_parallel"], "micro_batch": best["micro_batch"],
        "recompute": best["recompute"], "software": job.software,
    }  # fmt: skip
    layout = ", ".join(
        f"{name.replace('_', ' ')} {best[name]}"
        for name in ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel", "micro_batch")
    )
    return AcceptanceTest(
        test=f"train {model} on {system.accelerators} accelerators: {job.global_batch} sequences of {_SEQ_LEN} tokens, "
        f"bf16, {layout}, recompute {best['recompute']}",
        # A step that is slower by a factor is a rate that is lower by it.
        throughput=_band(rate, 1 / found.high, 1 / found.low),
        run=run,
        power_w=_band(power, 1 - _POWER_MARGIN, 1 + _POWER_MARGIN),
        source=f"gigaforge {version('gigaforge')} training model; throughput: 80 % interval of left-out published runs; power: "
        f"±{percent(_POWER_MARGIN)}, assumption: spread of published node power",
    )


def _band(value: float, low: float, high: float) -> Band:
    return Band(value=float(f"{value:.6g}"), low=float(f"{value * low:.6g}"), high=float(f"{value * high:.6g}"))
