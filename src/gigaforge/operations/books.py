"""The books: totals of a run that must balance, whatever happened in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gigaforge.errors import NoAnswerError
from gigaforge.operations.fleet import Fleet

if TYPE_CHECKING:
    from gigaforge.operations.fleet import ServingWorkload
    from gigaforge.operations.serving import ServingWindow
    from gigaforge.operations.sitepower import SiteWindow
    from gigaforge.operations.window import GroupWindow, SiteFailures

__all__ = ["RESEARCH_FALL", "SERVING_FALL", "WATERFALL", "Books", "GroupBook", "ServingBook", "SiteBook", "balance"]

WATERFALL: Final = ("productive", "checkpoint", "rework", "restart", "wait", "straggler", "power", "idle")
SERVING_FALL: Final = ("productive", "headroom", "backfill", "idle", "repair", "power")
RESEARCH_FALL: Final = ("productive", "rework", "restart", "power", "repair", "idle")
_ACCOUNTS: Final = (*WATERFALL, "headroom", "backfill", "repair")
_TOLERANCE: Final = 1e-9


@dataclass
class GroupBook:
    """One group's totals. [rack s], [token], [J]; ``time_s`` in which it had racks [s].

    ``stretches``: windows in which a run kept its size and its way: ``first, last, racks, spares, interval_s, rack_s,
    productive_s``.
    """

    rack_s: float = 0.0
    time_s: float = 0.0
    down_s: float = 0.0
    tokens: float = 0.0
    energy_j: float = 0.0
    failures: int = 0
    interruptions: int = 0
    possible_tokens: float = 0.0
    capacity_s: float = 0.0
    interval_s: float = 0.0
    spares: int = 0
    racks: int = 0
    services: int = 0
    jobs: int = 0
    waited_s: float = 0.0
    stops: dict[str, list[int]] = field(default_factory=dict)
    stretches: list[dict[str, float]] = field(default_factory=list)
    accounts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_ACCOUNTS, 0.0))


@dataclass
class ServingBook:
    """One workload's totals. [token], [rack s]"""

    demanded: float = 0.0
    served_paid: float = 0.0
    served_free: float = 0.0
    shed: float = 0.0
    late: float = 0.0
    active_s: float = 0.0
    needed_s: float = 0.0
    backfill_s: float = 0.0
    up_s: float = 0.0
    short: float = 0.0
    ttft_token_s: float = 0.0
    tpot_token_s: float = 0.0


@dataclass
class SiteBook:
    """One site's totals. [J], [W], [USD], [g]"""

    it_j: float = 0.0
    facility_j: float = 0.0
    grid_j: float = 0.0
    peak_w: float = 0.0
    peak_grid_w: float = 0.0
    cost_usd: float = 0.0
    carbon_g: float = 0.0
    over_limit_s: float = 0.0
    responses: int = 0
    solar_j: float = 0.0
    waited_s: float = 0.0
    repairs: int = 0
    ramp_w: float = 0.0
    feeder_cut_j: float = 0.0


class Books:
    """All totals of a run."""

    def __init__(self, fleet: Fleet) -> None:
        self.groups = [GroupBook() for _ in fleet.groups]
        self.serving = {w.name: ServingBook() for w in fleet.serving}
        self.sites = [SiteBook() for _ in fleet.sites]
        self.modes: dict[str, int] = {k.kind: 0 for k in fleet.table.kinds()}
        self.down_s: dict[str, float] = {k.kind: 0.0 for k in fleet.table.kinds()}
        self.quarters: list[dict[str, Any]] = []
        self.peak_w = 0.0
        self.events = 0  # failures and outages
        self.services = 0  # planned maintenance
        self.time_s = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the state file."""
        return {
            "groups": [asdict(g) for g in self.groups],
            "serving": {name: asdict(w) for name, w in self.serving.items()},
            "sites": [asdict(s) for s in self.sites],
            "modes": self.modes,
            "quarters": self.quarters,
            "peak_w": self.peak_w,
            "events": self.events,
            "services": self.services,
            "down_s": self.down_s,
            "time_s": self.time_s,
        }

    @classmethod
    def from_dict(cls, fleet: Fleet, data: dict[str, Any]) -> Books:
        """Read back."""
        books = cls(fleet)
        books.groups = [GroupBook(**g) for g in data["groups"]]
        books.serving = {name: ServingBook(**w) for name, w in data["serving"].items()}
        books.sites = [SiteBook(**s) for s in data["sites"]]
        books.modes, books.peak_w, books.events = data["modes"], data["peak_w"], data["events"]
        books.time_s, books.quarters = data["time_s"], data["quarters"]
        books.services, books.down_s = data["services"], data["down_s"]
        return books

    def add(self, fleet: Fleet, window: int, groups: list[GroupWindow | None],
            serving: list[tuple[ServingWorkload, ServingWindow]], sites: list[SiteWindow],
            failures: list[SiteFailures]) -> None:  # fmt: skip
        """Book one window and check that it balances."""
        step = fleet.step_s
        before = self._totals()
        self.time_s += fleet.length_s(window)
        for index, found in enumerate(groups):
            if found is not None:
                self._group(fleet, index, found, window)
        for workload, result in serving:
            _book_serving(self.serving[workload.name], result, step, workload.name)
        _book_energy(fleet, self.groups, groups, serving, sites)
        facility = np.zeros(round(fleet.length_s(window) / step))
        for book, site in zip(self.sites, sites, strict=True):
            _book_site(book, site, step)
            facility += site.facility_w
        self.peak_w = max(self.peak_w, float(facility.max()))
        for book, found_failures in zip(self.sites, failures, strict=True):
            self._broken(fleet, book, found_failures, fleet.length_s(window))
        self._close(fleet, window, before, float(facility.max()))

    def _broken(self, fleet: Fleet, book: SiteBook, found: SiteFailures, length: float) -> None:
        """Failures and services of one site, and the time that each kind took racks out."""
        events, planned = found.down.events, fleet.table.planned
        book.waited_s += float(found.down.waited_s.sum())
        book.repairs += int(events.by_hand.sum())
        kinds = np.bincount(events.mode, minlength=len(self.modes))
        lost = np.bincount(found.mode, np.minimum(found.end_s, length) - found.start_s, len(self.modes))
        for name, count, time in zip(self.modes, kinds.tolist(), lost.tolist(), strict=True):
            self.modes[name] += count
            self.down_s[name] += time
        self.services += int(kinds[planned].sum())
        self.events += int(kinds[~planned].sum())
        visit = planned[events.mode]
        for group, (broke, served) in enumerate(zip(
            np.bincount(events.group[~visit], minlength=len(self.groups)).tolist(),
            np.bincount(events.group[visit], minlength=len(self.groups)).tolist(), strict=True)):  # fmt: skip
            self.groups[group].failures += broke
            self.groups[group].services += served

    def _totals(self) -> dict[str, float]:
        """What a quarter's line is made of."""
        serving, trained = self.serving.values(), [b for b in self.groups if b.interval_s > 0.0]
        return {
            "failures": float(self.events),
            "services": float(self.services),
            "energy_j": sum(s.facility_j for s in self.sites),
            "cost_usd": sum(s.cost_usd for s in self.sites),
            "tokens_demanded": sum(w.demanded for w in serving),
            "tokens_served": sum(w.served_paid + w.served_free for w in serving),
            "shed": sum(w.shed for w in serving),
            "late": sum(w.late for w in serving),
            "beyond_all_racks": sum(w.short for w in serving),
            "training_rack_s": sum(b.rack_s for b in trained),
            "productive_rack_s": sum(b.accounts["productive"] for b in trained),
        }

    def _close(self, fleet: Fleet, window: int, before: dict[str, float], peak_w: float) -> None:
        """One line for the quarter."""
        line = {name: value - before[name] for name, value in self._totals().items()}
        demanded, scheduled = line["tokens_demanded"], line.pop("training_rack_s")
        productive = line.pop("productive_rack_s")
        shares = {name: line.pop(name) / demanded if demanded > 0.0 else 0.0
                  for name in ("shed", "late", "beyond_all_racks")}  # fmt: skip
        self.quarters.append({
            "quarter": str(fleet.start + window), **line, "tokens_planned": _planned(fleet, window), "failures": int(line["failures"]), "services": int(line["services"]), "peak_power_w": peak_w,
            "goodput": productive / scheduled if scheduled > 0.0 else None, "slo_violations": shares["shed"] + shares["late"],
            "shed_share": shares["shed"], "late_share": shares["late"], "beyond_all_racks_share": shares["beyond_all_racks"],
        })  # fmt: skip

    def _group(self, fleet: Fleet, index: int, found: GroupWindow, window: int) -> None:
        book, length = self.groups[index], fleet.length_s(window)
        book.rack_s += found.racks * length
        book.time_s += length
        book.down_s += found.down_rack_s
        book.tokens += float(found.tokens.sum())
        book.capacity_s += float(found.up.sum()) * fleet.step_s
        book.possible_tokens += found.racks * length * float(found.group.tokens_per_s[window])
        book.interruptions += found.interruptions
        book.jobs, book.waited_s = book.jobs + found.jobs, book.waited_s + found.waited_s
        for kind, counts in found.stops.items():
            have = book.stops.setdefault(kind, [0, 0])
            have[:] = [a + b for a, b in zip(have, counts, strict=True)]
        book.interval_s, book.spares, book.racks = found.interval_s, found.spares, max(book.racks, found.racks)
        if found.group.kind == "training":
            _stretch(book, found, window, found.racks * length)
        if found.accounts:
            balance(sum(found.accounts.values()), found.racks * length, f"time of {found.group.name}")
            for name, value in found.accounts.items():
                book.accounts[name] += value
        if not -_TOLERANCE * found.racks * length <= found.down_rack_s <= found.racks * length * (1 + _TOLERANCE):
            raise NoAnswerError(
                f"{found.group.name}: racks down {found.down_rack_s:g} of {found.racks * length:g} rack-s"
            )


def _stretch(book: GroupBook, found: GroupWindow, window: int, rack_s: float) -> None:
    """Lengthen the stretch before, where nothing changed, or begin another."""
    policies = found.group.policies
    now = {"racks": found.racks, "spares": found.spares, "interval_s": found.interval_s}
    last = book.stretches[-1] if book.stretches else None
    if last is None or last["last"] != window - 1 or any(last[k] != v for k, v in now.items()) or (
        policies[window] != policies[window - 1]
    ):  # fmt: skip
        last = {"first": window, **now, "rack_s": 0.0, "productive_s": 0.0}
        book.stretches.append(last)
    last["last"] = window
    last["rack_s"] += rack_s
    last["productive_s"] += found.accounts["productive"]


def _planned(fleet: Fleet, window: int) -> float | None:
    """What the plan counts on serving in a window [token]; None where there is no plan."""
    rates = [float(w.planned[window]) for w in fleet.serving if w.planned is not None]
    return sum(rates) * fleet.length_s(window) if rates else None


def balance(got: float, expected: float, what: str) -> None:
    """Raise unless two totals agree to one part in a billion."""
    if abs(got - expected) > _TOLERANCE * max(abs(expected), 1.0):
        raise NoAnswerError(f"{what} does not balance: {got!r} against {expected!r}; please report this")


def _book_serving(book: ServingBook, result: ServingWindow, step: float, name: str) -> None:
    demanded, shed = float(result.demand.sum()) * step, float(result.shed.sum()) * step
    paid, free = float(result.served_paid.sum()) * step, float(result.served_free.sum()) * step
    balance(paid + free + shed, demanded, f"tokens of {name}")
    book.demanded += demanded
    book.served_paid += paid
    book.served_free += free
    book.shed += shed
    book.late += float(((result.served_paid + result.served_free) * result.late).sum()) * step
    served = result.served_paid + result.served_free
    book.short += float(np.minimum(result.short, result.shed).sum()) * step
    book.ttft_token_s += float(np.nansum(served * result.ttft_s)) * step
    book.tpot_token_s += float(np.nansum(served * result.tpot_s)) * step
    book.active_s += float(result.active.sum()) * step
    book.needed_s += float(result.needed.sum()) * step
    book.backfill_s += float(result.backfill.sum()) * step
    book.up_s += float((result.active + result.backfill).sum()) * step


def _book_energy(fleet: Fleet, books: list[GroupBook], groups: list[GroupWindow | None],
                 serving: list[tuple[ServingWorkload, ServingWindow]], sites: list[SiteWindow]) -> None:  # fmt: skip
    """Energy by group after throttling; the sum over groups is the sites' IT energy."""
    step, total = fleet.step_s, 0.0
    before = sum(b.energy_j for b in books)
    power = [None if g is None else g.power_w for g in groups]
    for workload, result in serving:
        mine = [g for g, found in enumerate(groups)
                if found is not None and found.group.kind == "serving" and found.group.workload == workload.name]  # fmt: skip
        for row, g in enumerate(mine):
            power[g] = result.power_w[row]
    used = [0.0] * len(sites)
    for g, series in enumerate(power):
        if series is not None:
            books[g].energy_j += float(series.sum()) * step
            used[fleet.groups[g].site] += float(series.sum()) * step
    for index, site in enumerate(sites):
        it = float(site.it_w.sum()) * step
        cut = used[index] - it
        if cut < -_TOLERANCE * max(used[index], 1.0):
            raise NoAnswerError(f"energy of {fleet.sites[index].name} does not balance: {it!r} of {used[index]!r} J")
        # what throttling saved is shared by the site's groups
        for g, series in enumerate(power):
            if series is not None and fleet.groups[g].site == index and used[index] > 0.0:
                books[g].energy_j -= cut * float(series.sum()) * step / used[index]
        total += it
    balance(sum(b.energy_j for b in books) - before, total, "energy of all groups")


def _book_site(book: SiteBook, site: SiteWindow, step: float) -> None:
    book.it_j += float(site.it_w.sum()) * step
    book.facility_j += float(site.facility_w.sum()) * step
    book.grid_j += float(site.grid_w.sum()) * step
    book.peak_w = max(book.peak_w, float(site.facility_w.max()))
    book.peak_grid_w = max(book.peak_grid_w, float(site.grid_w.max()))
    book.cost_usd += site.cost_usd
    book.carbon_g += site.carbon_g
    book.over_limit_s += site.over_limit_s
    book.responses += site.responses
    book.solar_j += site.solar_j
    book.feeder_cut_j += site.feeder_cut_j
    book.ramp_w = max(book.ramp_w, float(np.abs(np.diff(site.facility_w)).max(initial=0.0)))
