"""Fleet simulation: speed, memory and truth beside the peers, in one run.

    python benchmarks/operations.py [--quick]

Peers' figures were measured on a 2-core machine (CPU seconds); ours are printed for this one.
"""

import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from gigaforge.operations import simulate
from gigaforge.operations.build import default_parts, default_technicians
from gigaforge.operations.checkpoint import renewal_goodput
from gigaforge.operations.engine import fresh_state, run_window
from gigaforge.operations.failures import Cohort
from gigaforge.operations.fleet import Fleet, Group, ServingWorkload, Site
from gigaforge.operations.job import simulate_job, single_job_fleet
from gigaforge.operations.modes import Mode, RackClass, Repair, default_failures
from gigaforge.operations.policy import CheckpointPolicy, Tier, TrainingPolicy
from gigaforge.operations.sitepower import Loads, run_site
from gigaforge.operations.weather import climate_at
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter

DAY = 86400.0
RACK = RackClass("gb300-nvl72", 72, 4)
# Meta RSC-1's published node rate, 6.5 per 1,000 node-days (https://arxiv.org/abs/2410.21680): 0.96 M a year
TABLE = default_failures().scaled(6.5e-3 / (default_failures().interrupt_rate(RackClass("node", 8)) * DAY))


def fleet_of(racks, sites=5, windows=4):
    """Gang training (synchronous and fault tolerant), serving, research; power, cooling, weather on every site."""
    places, groups = [], []
    each = racks // sites
    for i in range(sites):
        here = [(RACK, each)]
        places.append(Site(
            f"site{i}", np.full(windows, each * 165e3), np.full(windows, 1.15), np.full(windows, each * 132e3),
            climate_at(30 + 3 * i), 30 + 3 * i, technicians=np.full(windows, default_technicians(TABLE, here)),
            parts=np.full(windows, default_parts(TABLE, here)),
        ))  # fmt: skip
        large, small, serve = int(each * 0.45), int(each * 0.05), int(each * 0.4)
        shares = (
            ("large", "training", large, TrainingPolicy("fault_tolerant", replica_racks=min(8, max(1, large // 2)))),
            ("small", "training", small, TrainingPolicy()),
            ("serve", "serving", serve, TrainingPolicy()),
            ("research", "research", each - large - small - serve, TrainingPolicy()),
        )
        for name, kind, count, policy in shares:
            cohorts = tuple([Cohort(0, count, -365 * DAY)] for _ in range(windows))
            workload = "chat" if kind == "serving" else f"{name}{i}"
            groups.append(Group(
                f"{name}{i}", i, RACK, kind, workload, np.full(windows, count), np.full(windows, 1e6),
                np.full(windows, 132e3), np.full(windows, 40e3), cohorts, (policy,) * windows,
            ))  # fmt: skip
    chat = ServingWorkload("chat", np.full(windows, 0.55 * sites * int(each * 0.4) * 1e6))
    return Fleet(f"{racks} racks", Quarter.parse("2028-Q1"), tuple(places), tuple(groups), (chat,), TABLE)


def cpu(function):
    begin = time.process_time()
    answer = function()
    return time.process_time() - begin, answer


def fleet_year(racks):
    with tempfile.TemporaryDirectory() as folder:
        spent, result = cpu(lambda: simulate(fleet_of(racks), 1, out=folder))
        size = sum(f.stat().st_size for f in Path(folder).rglob("*.parquet") if f.is_file())
    return spent, result, size


def airesim(seed, stall_s=23 * 60.0):
    """AIReSim's default case: 4,096 of 4,360 servers, 256 days of work, no rollback, repairs of 2 h and 2 days.

    Its 15 % bad servers fail six times as often until a repair succeeds: 0.6 of the automatic fifth, 0.8 of the rest,
    0.76 together; here only repairs by hand cure, 0.95 of four fifths. Returns all failures, those that stop the job,
    and the days that it took, each for 256 days of work.
    """
    base = default_failures().plain()
    rate = 0.01 / DAY * (1 + 0.15 * 5)
    mode = Mode("fault", "rack", rate, auto=0.2)
    repair = Repair(7200.0, 50 * 3600.0, 1e-9, 0.0, 0.0, 1.0, sticks=0.95)
    table = replace(base, modes=(mode,), repair=repair, lemon_share=0.15, lemon_multiple=6.0)
    checkpoint = CheckpointPolicy(0.0, 1.0, 1.0, (Tier(1, 0.0, 0.0),))
    policy = TrainingPolicy(checkpoint=checkpoint, stall_s=stall_s, spares=264, planned_per_s=0.0)
    fleet = single_job_fleet(RackClass("server", 8), 4360, 30 * 50 * DAY, policy, table, windows=50)
    state, done = fresh_state(fleet), 0.0
    while done < 256 * DAY * 4096:
        run_window(fleet, seed, state)
        done = state.books.groups[0].accounts["productive"]
    book, part = state.books.groups[0], 256 * DAY * 4096 / done
    return book.failures * part, book.interruptions * part, book.rack_s / 4360 / DAY * part


def site_layer():
    fleet = fleet_of(45_000)
    flat = np.full(round(SECONDS_PER_QUARTER / 300), 2e8)
    return [run_site(fleet, s, w, 1, Loads(flat, flat, flat, flat), 0.0) for s in range(5) for w in range(4)]


def daly():
    rate, table = 419 / (54 * DAY), default_failures().plain()
    table = replace(table, modes=(Mode("fault", "rack", rate / 2048, cordon=False, lost="none"),))
    policy = TrainingPolicy(
        checkpoint=CheckpointPolicy(60.0, 1800.0, 1.0, (Tier(1, 0.0, 0.0),)),
        stall_s=300.0,
        spares=0,
        planned_per_s=0.0,
    )
    got = [
        simulate_job(RackClass("n", 8), 2048, 4800 * 3600.0, policy, table, s).accounts["productive"]
        for s in range(40)
    ]
    return np.mean(got), 1.96 * np.std(got, ddof=1) / np.sqrt(len(got)), renewal_goodput(rate, 1800.0, 60.0, 300.0)


def availability():
    table = replace(default_failures().plain(), modes=(Mode("fault", "rack", 1 / (20 * DAY), auto=1.0),),
                    repair=Repair(12 * 3600.0, 1.0, 0.1, 0.0, 0.0, 1.0))  # fmt: skip
    runs = [
        simulate_job(RackClass("r", 8), 45_000, 365 * DAY, TrainingPolicy(spares=2000, planned_per_s=0.0), table, s)
        for s in range(3)
    ]
    start = (1 - 20 / 20.5) * (0.5 * 20 / 20.5) / 365  # all racks are up at first
    return np.mean([r.availability for r in runs]) - start, 20 / 20.5


def main(quick):
    spent, result, size = fleet_year(45_000)
    spent, result, size = fleet_year(45_000)  # imports are warm now
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("45,000 racks (3.2 M accelerators), five sites, one year, 5-minute output")
    print(
        f"  failures {result.books.events:,}  CPU {spent:.2f} s (bar 10, stretch 2)  peak memory {memory:.0f} MB (bar 1024)  output {size / 1e6:.1f} MB"
    )
    print(
        f"  fleet-years a CPU-minute: {60 / spent:.1f}   RAPS 0.023 (no failures), AIReSim 0.002-0.013 (failures only), OpenDC 0.002"
    )
    print(
        f"  goodput {result.goodput:.3f}  availability {result.availability:.4f}  Arrow pool {pa.total_allocated_bytes() / 1e6:.0f} MB"
    )
    spent, counts = cpu(lambda: [airesim(s) for s in range(30)])
    print(f"AIReSim's default case, 30 replications: CPU {spent:.2f} s (AIReSim 430, bar 15, stretch 3)")
    failures, _, days = np.mean(counts, axis=0)
    alike = np.mean([airesim(s, 0.0)[1] for s in range(30)])
    print(
        f"  servers that fail only while the job computes, as AIReSim's do: {alike:,.0f} failures (AIReSim 11,224)\n"
        f"  servers that fail while it restarts and as spares too, as real ones do: {failures:,.0f} in {days:.0f} days, "
        "for 256 days of work"
    )
    spent, _ = cpu(site_layer)
    print(
        f"five sites, one year, 5 minutes, power and weather alone: CPU {spent:.2f} s (vessim 11.2, bar 3, stretch 0.5)"
    )
    mean, half, exact = daly()
    print(
        f"goodput against the exact renewal form: {mean:.4f} +- {half:.4f}, exact {exact:.4f}, off {100 * (mean - exact):+.3f} points (bar 0.2)"
    )
    got, exact = availability()
    print(f"availability against MTBF/(MTBF+MTTR): off {got - exact:+.1e} (bar 1e-4, SimPy floor 4e-5)")
    print("cost by size, one year (beyond the smallest: microseconds for each further failure; constant is linear):")
    least = None
    for racks in (100, 1_000, 10_000) if quick else (100, 1_000, 10_000, 100_000):
        spent, done, _ = fleet_year(racks)
        print(
            f"  {racks:>7,} racks {done.books.events:>9,} failures  CPU {spent:6.2f} s"
            + (f"  {1e6 * (spent - least[0]) / (done.books.events - least[1]):6.2f} us each" if least else "")
        )
        least = least or (spent, done.books.events)


if __name__ == "__main__":
    main("--quick" in sys.argv)
