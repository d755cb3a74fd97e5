"""Validation cases of single runs: failures, restarts, checkpoints, spares. See `gigaforge.operations.validation`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from gigaforge.operations.job import JobOutcome, simulate_job
from gigaforge.operations.modes import FailureTable, RackClass, default_failures
from gigaforge.operations.policy import CheckpointPolicy, RestartStages, Tier, TrainingPolicy
from gigaforge.operations.validation_case import Case

__all__ = [
    "JOB_CASES",
    "UNATTENDED_S",
    "cluster_job",
    "cluster_table",
    "gemini25_job",
    "in_memory",
    "llama_job",
    "megascale_job",
    "to_storage",
]

DAY: Final = 86400.0
UNATTENDED_S: Final = 2.9 * 3600.0  # fitted to HLAT's manual restarts; the rest of an unattended restart is shared
BURST_GPUS: Final = 6.0  # fitted to Delta's 31 spares at 2.2 h
SAVE_BYTES_PER_PARAMETER: Final = 16.0
STORAGE_BYTES_S: Final = 1e12
_NODE: Final = RackClass("hgx", 8)

LLAMA: Final = "https://arxiv.org/abs/2407.21783"
RSC: Final = "https://arxiv.org/abs/2410.21680"
HSDP: Final = "https://arxiv.org/abs/2602.00277"
ROBUST: Final = "https://arxiv.org/abs/2509.16293"
GEMINI1: Final = "https://storage.googleapis.com/deepmind-media/gemini/gemini_1_report.pdf"
GEMINI2: Final = "https://storage.googleapis.com/deepmind-media/gemini/gemini_v2_5_report.pdf"
DELTA: Final = "https://arxiv.org/abs/2503.11901"
HLAT: Final = "https://glennklockwood.com/garden/job-reliability"
MEGASCALE: Final = "https://arxiv.org/abs/2402.15627"
B200: Final = "https://arxiv.org/abs/2605.09370"
OPT: Final = "https://glennklockwood.com/garden/OPT-175B"
HPN: Final = "https://doi.org/10.1145/3651890.3672265"
AEGIS: Final = "https://www.usenix.org/conference/nsdi25"
BLOOM: Final = "https://github.com/stas00/ml-engineering/blob/master/training/fault-tolerance/README.md"


def cluster_table(node_rate: float | None = None) -> FailureTable:
    """The shared table; scaled to a published rate per 1,000 node-days where a cluster has one.

    Racks of these clusters are 8-GPU nodes; outages and planned rack service are not part of the published counts.
    """
    table = replace(
        default_failures(), outages=(), degraded_rate=0.0, lemon_share=0.0, lemon_multiple=1.0, wear_per_year=0.0
    )
    table = replace(table, modes=tuple(m for m in table.modes if m.kind != "planned_maintenance"))
    if node_rate is None:
        return table
    return table.scaled(node_rate / (table.interrupt_rate(_NODE) * DAY * 1e3))


def _saving_s(parameters: float, bytes_s: float = STORAGE_BYTES_S) -> float:
    return SAVE_BYTES_PER_PARAMETER * parameters / bytes_s


def to_storage(blocking_s: float, interval_s: float | None = None, load_s: float | None = None) -> CheckpointPolicy:
    """Synchronous snapshots to storage; loading takes as long as saving plus a fixed two minutes of a cold read."""
    load = 120.0 if load_s is None else load_s
    return CheckpointPolicy(blocking_s, interval_s, 30.0, (Tier(1, 0.0, load),))


def in_memory(share: float = 0.009, step_s: float = 20.0) -> CheckpointPolicy:
    """Every step to peers' memory, at a published cost."""
    return CheckpointPolicy(share * step_s, step_s, step_s, (Tier(1, step_s, 15.0), Tier(90, 120.0, 120.0)))


def cluster_job(
    accelerators: int,
    days: float,
    policy: TrainingPolicy,
    seed: int,
    node_rate: float | None = None,
    spares: int | None = None,
) -> JobOutcome:
    """One run on a cluster of 8-accelerator nodes, with a hundredth of spares."""
    nodes = math.ceil(accelerators / 8)
    extra = math.ceil(0.01 * nodes) + 4 if spares is None else spares
    policy = replace(policy, spares=extra)
    return simulate_job(_NODE, nodes + extra, days * DAY, policy, cluster_table(node_rate), seed)


def llama_job(seed: int) -> JobOutcome:
    """Llama 3 405B's 54 days."""
    policy = TrainingPolicy(
        checkpoint=to_storage(_saving_s(405e9, 2e12)),
        planned_per_s=47 / (54 * DAY),
        planned_s=RestartStages().mean_s(120.0),
    )
    return cluster_job(16384, 54, policy, seed)


def _unplanned(job: JobOutcome) -> float:
    return float(sum(job.failures.values()))


def _share(job: JobOutcome, *kinds: str) -> float:
    total = sum(job.failures.values())
    return 100.0 * sum(job.failures.get(k, 0) for k in kinds) / total if total else 0.0


def _rsc_ettr(seed: int) -> float:
    policy = TrainingPolicy(checkpoint=to_storage(300.0, 3600.0), stall_s=300.0, planned_per_s=0.0)
    return 100.0 * cluster_job(3072, 60, policy, seed, 6.5).effective


def _rsc_12k(seed: int) -> float:
    policy = TrainingPolicy(checkpoint=to_storage(300.0, 3600.0), stall_s=300.0, planned_per_s=0.0)
    return 100.0 * cluster_job(12000, 60, policy, seed, 1.0).effective


def _mttf_h(accelerators: int, node_rate: float, days: float, seed: int) -> float:
    policy = TrainingPolicy(checkpoint=to_storage(30.0), stall_s=1.0, planned_per_s=0.0)
    job = cluster_job(accelerators, days, policy, seed, node_rate)
    return days * 24.0 / max(job.interruptions, 1)


def _hsdp(mode: str, seed: int) -> float:
    saving = _saving_s(2e12)
    if mode == "synchronous":
        policy = TrainingPolicy("synchronous", to_storage(saving), stall_s=600.0, planned_per_s=0.0)
    else:
        # 3 minutes for the gang; the struck replica is back after the synchronous stall
        policy = TrainingPolicy("fault_tolerant", to_storage(saving), stall_s=600.0, hiccup_s=180.0, fallback=0.0,
                                replica_racks=256, planned_per_s=0.0)  # fmt: skip
    nodes = 12288 if mode != "synchronous" else 12500
    return 100.0 * cluster_job(nodes * 8, 20, policy, seed, 6.5, spares=256).effective


def _robust(seed: int) -> float:
    return 100.0 * cluster_job(9600, 90, TrainingPolicy(checkpoint=in_memory(), planned_per_s=0.0), seed).effective


def megascale_job(seed: int) -> JobOutcome:
    """MegaScale's 175B run for a month."""
    return cluster_job(12288, 30, TrainingPolicy(checkpoint=to_storage(_saving_s(175e9)), planned_per_s=0.0), seed)


def gemini25_job(seed: int) -> JobOutcome:
    """Gemini 2.5's run: slices of 64 hosts drop out while the rest goes on."""
    # slices of 64 hosts drop out while the rest goes on; one fault in ten needs a full restart
    policy = TrainingPolicy(
        "elastic", to_storage(_saving_s(1e12)), replica_racks=16, hiccup_s=60.0, fallback=0.10, planned_per_s=0.0
    )
    return cluster_job(8960 * 4, 60, policy, seed, spares=0)


def _gemini1(memory: bool, seed: int) -> float:
    if memory:
        policy = TrainingPolicy(checkpoint=in_memory(), planned_per_s=0.0)
    else:
        policy = TrainingPolicy(checkpoint=to_storage(40.0, 1800.0), planned_per_s=0.0)
    return 100.0 * cluster_job(4096 * 4, 60, policy, seed).effective


def _hlat(manual: bool, seed: int) -> float:
    stages = RestartStages()
    if manual:
        stages = replace(stages, attended_share=1.0, attended_s=UNATTENDED_S)
    policy = TrainingPolicy(checkpoint=to_storage(_saving_s(70e9)), restart=stages, planned_per_s=0.0)
    return 100.0 * cluster_job(4096, 90, policy, seed).effective


def _opt(seed: int) -> float:
    stages = replace(RestartStages(), attended_share=1.0, attended_s=UNATTENDED_S)
    policy = TrainingPolicy(checkpoint=to_storage(60.0, 3600.0), restart=stages, planned_per_s=0.0)
    return 100.0 * cluster_job(992, 60, policy, seed, 1.25 * 1e3 / 124).effective


def _delta_spares(recovery_h: float, seed: int) -> float:
    """GPUs down at once, 99.9 % of a month; incidents strike a geometric number of GPUs."""
    rng = np.random.default_rng([seed, round(recovery_h * 60)])
    hours = 20000.0
    incidents = rng.poisson(hours / 1.9 / BURST_GPUS)
    start = rng.random(incidents) * hours
    struck = rng.geometric(1.0 / BURST_GPUS, incidents)
    at = np.linspace(recovery_h, hours - recovery_h, 100_000)
    order = np.argsort(start)
    mass = np.concatenate(([0.0], np.cumsum(struck[order])))
    down = mass[np.searchsorted(start[order], at)] - mass[np.searchsorted(start[order], at - recovery_h)]
    return float(np.quantile(down, 0.999, method="higher"))


def _delta_availability(seed: int) -> float:
    """152 nodes of 4 H100, an error every 1.9 h among them, 2.2 h each to recover."""
    table = replace(cluster_table(), modes=tuple(replace(m, auto=1.0, cordon=True) for m in cluster_table().modes))
    rate = 24.0 / 1.9 / 152 * 1e3
    node = RackClass("gh200", 4)
    table = table.scaled(rate / (table.interrupt_rate(node) * DAY * 1e3))
    table = replace(table, repair=replace(table.repair, auto_mean_s=2.2 * 3600.0))
    return (
        100.0
        * simulate_job(node, 152, 365 * DAY, TrainingPolicy(spares=8, planned_per_s=0.0), table, seed).availability
    )


def _standby(seed: int) -> float:
    """P99 of machines that one working shift's failures take among 1,024; replaced every 8 hours."""
    rng = np.random.default_rng(seed)
    rate = cluster_table().interrupt_rate(_NODE)
    per = [m for m in cluster_table().modes if m.per == "accelerator"]
    cordoned = sum(m.rate for m in per if m.cordon) / sum(m.rate for m in per)
    return float(np.quantile(rng.binomial(1024, rate * cordoned * 8 * 3600.0, 200_000), 0.99))


def _xid(seed: int) -> float:
    rate = sum(m.rate for m in cluster_table().modes if m.kind in ("gpu", "hbm", "silent_data_corruption"))
    return float(np.random.default_rng(seed).poisson(rate * 504 * 55 * DAY))


def _lemons_found(seed: int) -> float:
    """Share of failures of the worst 3 of 63 nodes, lemons as Meta's removal of 40 of 2,000 implies (120 times)."""
    rng = np.random.default_rng(seed)
    bad = rng.random(63) < 0.02
    weight = np.where(bad, 120.0, 1.0)
    counts = rng.multinomial(100, weight / weight.sum())
    return float(100.0 * np.sort(counts)[-3:].sum() / counts.sum())


def _network_crashes(seed: int) -> float:
    rate = sum(m.rate for m in cluster_table().modes if m.kind in ("network", "nic"))
    return float(np.random.default_rng(seed).poisson(rate * 1000 * 30 * DAY * 12)) / 12


def _node_mttf_days(seed: int) -> float:
    policy = TrainingPolicy(spares=0, planned_per_s=0.0, checkpoint=to_storage(30.0), stall_s=1.0)
    job = simulate_job(_NODE, 1000, 60 * DAY, policy, cluster_table(), seed)
    return 1000 * 60 / max(sum(job.failures.values()), 1)


def _bloom_saving(seed: int) -> float:
    policy = TrainingPolicy(checkpoint=to_storage(40.0, 3 * 3600.0), planned_per_s=0.0)
    job = cluster_job(384, 110, policy, seed)
    return 100.0 * job.accounts["checkpoint"] / (1.0 - job.accounts["idle"])


def _slow(seed: int) -> float:
    table = replace(cluster_table(), degraded_rate=default_failures().degraded_rate)
    job = simulate_job(_NODE, 630, 60 * DAY, TrainingPolicy(spares=5, planned_per_s=0.0), table, seed)
    return 100.0 * job.accounts["straggler"] / (job.accounts["straggler"] + job.accounts["productive"])


JOB_CASES: Final[tuple[Case, ...]] = (
    Case("Llama 3 405B: unexpected interruptions", LLAMA, "16,384 H100, 54 days, causes per accelerator", "419 (Poisson 379-459)",
         "count", 379, 459, "fitted", lambda s: _unplanned(llama_job(s)), "the table is this count; simulated with restarts, repairs and spares"),
    Case("Llama 3 405B: GPU share of interruptions", LLAMA, "the same", "268 of 419 = 64.0 % (the page prints 58.7 %)", "%", 59, 69, "fitted",
         lambda s: _share(llama_job(s), "gpu", "hbm", "silent_data_corruption"),
         "the printed 58.7 % repeats the paper's typo of 30.1 % for 148/419"),
    Case("Llama 3 405B: network share", LLAMA, "the same", "35 of 419 = 8.4 %", "%", 5.6, 11.5, "fitted", lambda s: _share(llama_job(s), "network")),
    Case("Llama 3 405B: effective training time", LLAMA, "saving 6.5 TB at 2 TB/s, best interval, 47 planned stops, shared restart",
         "> 90 %", "%", 90, 95, "untouched", lambda s: 100 * llama_job(s).effective),
    Case("FT-HSDP, 100,000 GPUs: synchronous", HSDP, "Meta's 6.5 per 1,000 node-days, stall 10 min, saving 2T parameters at 1 TB/s, best interval",
         "44 %", "%", 40, 48, "untouched", lambda s: _hsdp("synchronous", s),
         "model size is an assumption: 1T gives 47 %, 3T gives 41 %"),
    Case("FT-HSDP, 100,000 GPUs: fault tolerant", HSDP, "the same failures, stall 3 min, replica of 2,048 GPUs back after 10 min", "80 %", "%", 76, 84,
         "untouched", lambda s: _hsdp("fault_tolerant", s), "replica size is an assumption"),
    Case("ByteRobust: ETTR at 9,600 GPUs", ROBUST, "three months, in-memory checkpoint every step at 0.9 %, warm standby", "97 %", "%", 96.5, 97.5,
         "fitted", _robust, "sets automatic detection to 30 s and warm-up to 30 s"),
    Case("ByteRobust: warm standby for 1,024 machines", ROBUST, "P99 of machines lost in an 8-hour shift", "4", "count", 3, 5, "untouched", _standby,
         "shift length is an assumption"),
    Case("HLAT: manual restarts", HLAT, "4,096 accelerators, 70B, nobody on call", "77.83 %", "%", 75.8, 79.8, "fitted", lambda s: _hlat(True, s),
         "sets an unattended restart to 2.9 h", 48),
    Case("HLAT: automatic restarts", HLAT, "the same with shared automatic restart", "98.81 %", "%", 97.8, 99.8, "untouched", lambda s: _hlat(False, s)),
    Case("Gemini 2.5: share of time computing", GEMINI2, "four pods of 8,960 chips (assumption), slice-granular elasticity, one fault in ten restarts all",
         "93.4 %", "%", 91.4, 95.4, "untouched", lambda s: 100.0 * gemini25_job(s).effective),
    Case("Gemini 1: goodput from storage checkpoints", GEMINI1, "four pods of 4,096 chips, 40 s every 30 min (assumptions)", "85 %", "%", 81, 89, "untouched",
         lambda s: _gemini1(False, s), "interval and chips are assumptions: consistent rather than predicted"),
    Case("Gemini 1: goodput from in-memory replicas", GEMINI1, "the same chips", "97 %", "%", 95, 99, "untouched", lambda s: _gemini1(True, s)),
    Case("MegaScale: effective training time", MEGASCALE, "12,288 GPUs, 175B, 30 days, shared restart", "> 90 %", "%", 90, 100, "untouched",
         lambda s: 100 * megascale_job(s).effective),
    Case("MegaScale: repairs and restarts in weeks", MEGASCALE, "the same", "> 100", "count", 100, 400, "untouched",
         lambda s: float(megascale_job(s).interruptions)),
    Case("Delta: spares for 99.9 %, 2.2 h recovery", DELTA, "608 H100, an error every 1.9 h", "31 GPUs (5 %)", "count", 26, 36, "fitted",
         lambda s: _delta_spares(2.2, s), "sets the burst size to 6 GPUs"),
    Case("Delta: spares for 99.9 %, 5 min recovery", DELTA, "the same errors", "2 % = 12 GPUs", "count", 9, 15, "untouched",
         lambda s: _delta_spares(1 / 12, s)),
    Case("Delta: H100 node availability", DELTA, "an error every 1.9 h among 152 nodes, 2.2 h each", "99.3 %", "%", 99.0, 99.6, "untouched",
         _delta_availability),
    Case("Meta RSC-1: MTTF of 16,384 GPUs", RSC, "6.5 per 1,000 node-days", "1.8 h (their projection)", "h", 1.7, 1.9, "untouched",
         lambda s: _mttf_h(16384, 6.5, 60, s)),
    Case("Meta RSC-1: MTTF of 131,072 GPUs", RSC, "the same", "0.23 h (their projection)", "h", 0.21, 0.25, "untouched",
         lambda s: _mttf_h(131072, 6.5, 10, s), replications=4),
    Case("Meta RSC-1: MTTF of 1,024 GPUs from the node rate", RSC, "6.5 per 1,000 node-days", "7.9 h (measured)", "h", 7.1, 8.7, "untouched",
         lambda s: _mttf_h(1024, 6.5, 120, s),
         "misses: the node rate counts only faults laid at a node's door. A measured 8-GPU job fails every 47.7 days, 21 per "
         "1,000 node-days, so two thirds of what stops a job (software, storage, network, its own bugs) is not node hardware"),
    Case("Meta RSC-1: MTTF of 1,024 GPUs from the 8-GPU job", RSC, "one failure in 47.7 days of an 8-GPU job", "7.9 h (measured)", "h", 7.1, 9.3,
         "untouched", lambda s: _mttf_h(1024, 1e3 / 47.7, 120, s), "1/N from the job rate holds to 13 %"),
    Case("Meta RSC-1: ETTR of the largest jobs", RSC, "3,072 GPUs (the middle of 2,048-4,096, an assumption), hourly checkpoint of 5 min, restart 5 min",
         "85-90 %", "%", 85, 90, "untouched", _rsc_ettr, "2,048 GPUs give 88.4 %, 4,096 give 84.5 %"),
    Case("Meta: ETTR at 12,000 GPUs and 1 per 1,000 node-days", RSC, "the same checkpoint", "90 %", "%", 87, 93, "untouched", _rsc_12k),
    Case("OPT-175B: job uptime", OPT, "992 A100, 1.25 incidents a day, hourly checkpoint, unattended restart", "51.7-58.9 %", "%", 51.7, 58.9,
         "untouched", _opt,
         "misses: 55 % needs 8.6 h lost at each incident (45 % of 24 h over 1.25), three times what a restart and half a save interval take; the logbook's incidents also held diverged losses, rewinds of whole days and cloud machines cycled by hand"),
    Case("504 B200: GPU (XID) failures in 55 days", B200, "shared GPU and HBM rates", "10", "count", 4, 17, "untouched", _xid, replications=200),
    Case("63 B200 nodes: exclusions from the worst 3", B200, "lemons as Meta's 14 -> 4 % implies", "> 50 %", "%", 50, 100, "untouched", _lemons_found,
         replications=400),
    Case("Alibaba HPN: network crashes of one job a month", HPN, "1,000 accelerators (assumption), shared network and NIC rates", "1-2", "count", 1.0, 2.0,
         "untouched", _network_crashes, replications=50),
    Case("Alibaba Aegis: H100 host MTTF", AEGIS, "all shared causes of an 8-GPU host", "~200 days", "days", 150, 250, "untouched", _node_mttf_days,
         "misses: their hosts fail 1.3 times as often as Llama 3's; Meta's own two clusters differ by 2.8 times"),
    Case("BLOOM-176B: time saving checkpoints", BLOOM, "40 s every 3 h", "0.37 %", "%", 0.35, 0.39, "untouched", _bloom_saving),
    Case("Stragglers: lost to bad workers", "https://arxiv.org/abs/2505.05713", "5,000 accelerators (assumption)", "1.7 % of GPU-hours", "%", 1.3, 2.1,
         "fitted", _slow, "sets the rate of degradations"),
)  # fmt: skip
