"""What a simulation answers: goodput and its waterfall, availability, energy, tokens, and what to change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from gigaforge.operations.books import RESEARCH_FALL, SERVING_FALL, WATERFALL, Books, balance
from gigaforge.operations.closed_form import best_policy, best_spares, expected_availability, expected_goodput, mttf_s
from gigaforge.operations.fleet import Fleet, Group, Site
from gigaforge.operations.modes import RackClass
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.ramps import ramp_need, step_phases

__all__ = ["SimulationResult", "feedback", "fleet_factors"]

_SCALES: Final = tuple(8 * 4**k for k in range(9))  # 8 to 524,288 accelerators


@dataclass(frozen=True)
class SimulationResult:
    """One simulated fleet.

    Attributes
    ----------
    fleet : Fleet
    seed : int
    books : Books
        Totals, balanced.
    hourly : DataFrame
        Hourly means of power and tokens, by site and in all, for figures.
    wall_s, cpu_s : float
        Of this run [s].
    out : str
        Folder with the 5-minute tables, where one was asked for.

    """

    fleet: Fleet
    seed: int
    books: Books
    hourly: pd.DataFrame
    wall_s: float
    cpu_s: float
    out: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def waterfall(self) -> dict[str, float]:
        """Training rack time by account, shares that sum to 1; of serving racks where nothing trains."""
        return self.training_waterfall or self.serving_waterfall

    @property
    def training_waterfall(self) -> dict[str, float]:
        """Training rack time by account; empty without training."""
        return self._fall("training", WATERFALL)

    @property
    def serving_waterfall(self) -> dict[str, float]:
        """Serving rack time: at work, ready for more, lent, off, in repair, held back by power; empty without any."""
        return self._fall("serving", SERVING_FALL)

    def _fall(self, kind: str, names: tuple[str, ...]) -> dict[str, float]:
        books = [b for b, _ in self._pairs(kind)]
        total = sum(b.rack_s for b in books)
        return {name: sum(b.accounts[name] for b in books) / total for name in names} if total > 0.0 else {}

    @property
    def availability(self) -> float:
        """Rack time in service over rack time [fraction]."""
        total = sum(b.rack_s for b in self.books.groups)
        return 1.0 - sum(b.down_s for b in self.books.groups) / total if total > 0 else 1.0

    @property
    def goodput(self) -> float | None:
        """Productive share of training rack time; None where nothing trains [fraction]."""
        return self.training_waterfall.get("productive")

    def summary(self) -> dict[str, Any]:
        """The object that ``gigaforge simulate --json`` prints."""
        books, serving = self.books, list(self.books.serving.values())
        demanded = sum(w.demanded for w in serving)
        facility = sum(s.facility_j for s in books.sites)
        it = sum(s.it_j for s in books.sites)
        visits = {k.kind for k in self.fleet.table.modes if k.planned}
        return {
            "name": self.fleet.name,
            "racks": int(max(np.sum([g.racks for g in self.fleet.groups], axis=0))),
            "accelerators": int(max(np.sum([g.racks * g.rack.accelerators for g in self.fleet.groups], axis=0))),
            "simulated_s": books.time_s,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "seed": self.seed,
            "events": books.events,
            "goodput": self.goodput,
            "availability": self.availability,
            "waterfall_of": "training" if self.training_waterfall else "serving" if self.serving_waterfall else None,
            "waterfall": self.waterfall,
            "serving_waterfall": self.serving_waterfall,
            "research_waterfall": self._fall("research", RESEARCH_FALL),
            "energy_j": facility,
            "it_energy_j": it,
            "grid_energy_j": sum(s.grid_j for s in books.sites),
            "pue": facility / it if it > 0.0 else 1.0,
            "peak_power_w": books.peak_w,
            "tokens_served": sum(w.served_paid + w.served_free for w in serving),
            "tokens_demanded": demanded,
            "tokens_trained": sum(b.tokens for b, g in self._pairs("training")),
            "slo_violations": sum(w.shed + w.late for w in serving) / demanded if demanded > 0.0 else 0.0,
            "cost_usd": sum(s.cost_usd for s in books.sites),
            "carbon_kg": sum(s.carbon_g for s in books.sites) / 1e3,
            "failures": {k: v for k, v in books.modes.items() if v and k not in visits},
            "services": books.services,
            "downtime": self._downtime(),
            "training": [self._training(i) for i, g in enumerate(self.fleet.groups) if g.kind == "training"],
            "serving": {name: _serving(w) for name, w in books.serving.items()},
            "research": [self._research(i) for i, g in enumerate(self.fleet.groups) if g.kind == "research"],
            "sites": {s.name: _site(b, s) for s, b in zip(self.fleet.sites, books.sites, strict=True)},
            "quarters": books.quarters,
            "mttf_s": {
                str(n): mttf_s(n, self.fleet.table, self._common().accelerators) for n in (8, 1024, 16384, 131072)
            },
            "by_scale": self.by_scale(),
            "feedback": feedback(self),
            "out": self.out,
        }

    def _pairs(self, kind: str) -> list[tuple[Any, Any]]:
        return [
            (b, g)
            for b, g in zip(self.books.groups, self.fleet.groups, strict=True)
            if g.kind == kind and b.rack_s > 0
        ]

    def _training(self, index: int) -> dict[str, Any]:
        book, group = self.books.groups[index], self.fleet.groups[index]
        total = max(book.rack_s, 1e-9)
        stretches = [self._stretch(group, s) for s in book.stretches]
        at = max(range(len(stretches)), key=lambda i: (stretches[i]["racks"], i))  # its largest, the last such
        large, window = stretches[at], int(book.stretches[at]["last"])
        active = max(large["racks"] - large["spares"], 0)
        ramp = ramp_need(self.fleet.sites[group.site], group, active, window)
        return {
            "name": group.name,
            "workload": group.workload,
            "mode": large["mode"],
            "racks": large["racks"],
            "accelerators_per_rack": group.rack.accelerators,
            "goodput": book.accounts["productive"] / total,
            "expected_goodput": sum(
                s["expected_goodput"] * b["rack_s"] for s, b in zip(stretches, book.stretches, strict=True)
            )
            / total,
            "availability": 1.0 - book.down_s / total,
            "interruptions": book.interruptions,
            "mean_racks": book.rack_s / max(book.time_s, 1e-9),
            "mttf_s": book.time_s / book.interruptions if book.interruptions else None,
            "stops": {
                kind: {"count": n, "rolled_back": back} for kind, (n, back) in sorted(book.stops.items(), key=_most)
            },
            "phase_power_w": _phases(group, active, window),
            **{k: large[k] for k in ("checkpoint_interval_s", "best_checkpoint_interval_s", "spares", "best_spares")},
            "stretches": stretches,
            "tokens": book.tokens,
            "stop_step_w": ramp.stop_step_w,
            "ramp_storage_w": ramp.storage_w,
            "ramp_storage_j": ramp.storage_j,
            "ramp_s": ramp.ramp_s,
            "swing_w": ramp.swing_w,
            "swing_after_storage_w": ramp.swing_after_w,
            "swing_storage_j": ramp.swing_storage_j,
            "swing_hold_w": ramp.hold_w,
            "waterfall": {name: value / total for name, value in book.accounts.items()},
        }

    def _stretch(self, group: Group, found: dict[str, float]) -> dict[str, Any]:
        """Quarters in which a run kept its size and its way with failures, beside the closed form's advice."""
        window, racks = int(found["first"]), int(found["racks"])
        policy, rack, table = group.policies[window], group.rack, self.fleet.table
        free = replace(policy, checkpoint=replace(policy.checkpoint, interval_s=None))  # whatever interval was given
        goodput, best = (
            expected_goodput(rack.accelerators, racks, policy=p, table=table, tray=rack.tray) for p in (policy, free)
        )
        return {
            "from": str(self.fleet.start + window),
            "to": str(self.fleet.start + int(found["last"])),
            "mode": policy.mode,
            "racks": racks,
            "spares": int(found["spares"]),
            "best_spares": best_spares(rack.accelerators, racks, policy, table=table, tray=rack.tray),
            "checkpoint_interval_s": found["interval_s"],
            "best_checkpoint_interval_s": best.interval_s,
            "goodput": found["productive_s"] / max(found["rack_s"], 1e-9),
            "expected_goodput": goodput.goodput,
        }

    def _research(self, index: int) -> dict[str, Any]:
        book, group = self.books.groups[index], self.fleet.groups[index]
        total = max(book.rack_s, 1e-9)
        used = sum(book.accounts[name] for name in ("productive", "rework", "restart", "power"))
        return {
            "name": group.name,
            "racks": book.racks,
            "asked_share": group.use,
            "used_share": used / total,
            "jobs": book.jobs,
            "mean_wait_s": book.waited_s / book.jobs if book.jobs else 0.0,
            "interruptions": book.interruptions,
            "waterfall": {name: book.accounts[name] / total for name in RESEARCH_FALL},
        }

    def _downtime(self) -> dict[str, float]:
        """Share of rack time that each kind of failure, outage and service took."""
        total = max(sum(b.rack_s for b in self.books.groups), 1e-9)
        return {kind: time / total for kind, time in self.books.down_s.items() if time > 0.0}

    def _common(self) -> RackClass:
        """The racks that worked longest."""
        return max(zip(self.books.groups, self.fleet.groups, strict=True), key=lambda p: float(p[0].rack_s))[1].rack

    def by_scale(self) -> list[dict[str, Any]]:
        """Runs of growing size on this fleet's most common racks, in closed form.

        Time between interruptions, the share of time in which all racks of a run are in service, and its expected
        goodput in the best mode and stopping as a whole at each failure.
        """
        rack, table, out = self._common(), self.fleet.table, []
        load = 1.0 - expected_availability(rack.accelerators, tray=rack.tray, table=table)
        for racks in sorted({max(1, size // rack.accelerators) for size in _SCALES}):
            both = [best_policy(rack.accelerators, racks, table=table, replica_racks=min(racks, r)) for r in (1, 8)]
            sync = expected_goodput(rack.accelerators, racks, policy=TrainingPolicy(), table=table, tray=rack.tray)
            best = max(
                (expected_goodput(rack.accelerators, racks, policy=p, table=table, tray=rack.tray) for p in both),
                key=lambda e: e.goodput,
            )
            out.append({
                "accelerators": racks * rack.accelerators, "racks": racks, "mttf_s": mttf_s(racks * rack.accelerators, table, rack.accelerators),
                "all_up": (1.0 - load) ** racks, "goodput": best.goodput, "best_mode_spares": best.spares, "goodput_synchronous": sync.goodput, "spares": sync.spares,
            })  # fmt: skip
        return out

    def to_pandas(self) -> pd.DataFrame:
        """One row a group."""
        rows = []
        for book, group in zip(self.books.groups, self.fleet.groups, strict=True):
            total = max(book.rack_s, 1e-9)
            rows.append({
                "group": group.name, "site": self.fleet.sites[group.site].name, "system": group.rack.name,
                "workload": group.workload, "kind": group.kind, "racks": book.racks,
                "availability": 1.0 - book.down_s / total, "failures": book.failures, "tokens": book.tokens,
                "energy_j": book.energy_j, **{k: v / total for k, v in book.accounts.items()},
            })  # fmt: skip
        return pd.DataFrame(rows)

    def to_arrow(self) -> pa.Table:
        """One row a group."""
        return pa.Table.from_pandas(self.to_pandas(), preserve_index=False)

    def check(self) -> None:
        """Check the books once more as a whole; each window was checked when it was booked."""
        for book, group in [*self._pairs("training"), *self._pairs("serving"), *self._pairs("research")]:
            balance(sum(book.accounts.values()), book.rack_s, f"time of {group.name}")
        balance(
            sum(b.energy_j for b in self.books.groups), sum(s.it_j for s in self.books.sites), "energy of all groups"
        )


def _most(item: tuple[str, list[int]]) -> tuple[int, str]:
    return -item[1][0], item[0]


def _phases(group: Group, active: int, window: int) -> dict[str, float]:
    """IT power of a run while it computes, exchanges, saves a snapshot, and stands still [W]."""
    idle = float(group.idle_w[window])
    compute, exchange = step_phases(float(group.full_w[window]), idle)
    return {
        "compute": active * compute,
        "exchange": active * exchange,
        "checkpoint": active * idle,
        "stopped": active * idle,
    }


def _serving(book: Any) -> dict[str, float | None]:
    up = max(book.up_s, 1e-9)
    served = book.served_paid + book.served_free
    known = book.tpot_token_s > 0.0
    return {
        "tokens_demanded": book.demanded,
        "tokens_served": book.served_paid + book.served_free,
        "served_share": (book.served_paid + book.served_free) / book.demanded if book.demanded else 1.0,
        "shed_share": book.shed / book.demanded if book.demanded else 0.0,
        "late_share": book.late / book.demanded if book.demanded else 0.0,
        "slo_violations": (book.shed + book.late) / book.demanded if book.demanded else 0.0,
        "beyond_all_racks_share": book.short / book.demanded if book.demanded else 0.0,
        "ttft_s": book.ttft_token_s / served if served > 0.0 and book.ttft_token_s > 0.0 else None,
        "tpot_s": book.tpot_token_s / served if served > 0.0 and known else None,
        "active_share": book.active_s / up,
        "backfill_rack_s": book.backfill_s,
    }


def _site(book: Any, site: Site) -> dict[str, float]:
    return {
        "energy_j": book.facility_j,
        "pue": book.facility_j / book.it_j if book.it_j else 1.0,
        "peak_power_w": book.peak_w,
        "peak_grid_w": book.peak_grid_w,
        "limit_w": float(site.limit_w.max()),
        "cost_usd": book.cost_usd,
        "carbon_kg": book.carbon_g / 1e3,
        "over_limit_s": book.over_limit_s,
        "feeder_cut_j": book.feeder_cut_j,
        "demand_responses": book.responses,
        "largest_ramp_w": book.ramp_w,
        "mean_repair_wait_s": book.waited_s / book.repairs if book.repairs else 0.0,
    }


def feedback(result: SimulationResult) -> dict[str, dict[str, float]]:
    """What a planner should believe instead of its assumptions, by ``workload/system``.

    Returns
    -------
    dict
        ``{"llama/gb300-nvl72": {"availability": 0.99, "goodput": 0.93}}``: availability of capacity in service;
        goodput of a run's allocated racks, or for serving the capacity in service that latency lets be used.

    """
    rows: dict[str, list[Any]] = {}
    for book, group in zip(result.books.groups, result.fleet.groups, strict=True):
        if book.rack_s > 0.0:
            rows.setdefault(f"{group.workload}/{group.rack.name}", []).append((book, group))
    out = {}
    for name, members in sorted(rows.items()):
        total = sum(b.rack_s for b, _ in members)
        capacity = sum(b.capacity_s for b, _ in members) / total
        if members[0][1].kind == "serving":
            goodput = capacity
        else:
            goodput = sum(b.accounts["productive"] for b, _ in members) / total
        out[name] = {"availability": capacity, "goodput": goodput}
    return out


def fleet_factors(result: SimulationResult) -> dict[str, float]:
    """The same as two numbers for the whole fleet: what a scenario's ``operations`` block holds.

    Returns
    -------
    dict
        ``availability``, mean capacity in service of all racks; ``training_goodput``, such that their product is the
        simulated goodput of training racks (1 without training).

    """
    pairs = [(b, g) for b, g in zip(result.books.groups, result.fleet.groups, strict=True) if b.rack_s > 0.0]
    availability = sum(b.capacity_s for b, _ in pairs) / sum(b.rack_s for b, _ in pairs)
    trained = [b for b, g in pairs if g.kind == "training"]
    if not trained:
        return {"availability": availability, "training_goodput": 1.0}
    goodput = sum(b.accounts["productive"] for b in trained) / sum(b.rack_s for b in trained)
    return {"availability": availability, "training_goodput": min(1.0, goodput / availability)}
