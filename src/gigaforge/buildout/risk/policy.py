"""A policy that cannot see the future: plan on what is known, commit a year, see what happens, plan again.

What is committed are racks and where training runs start; a year's work, debt and the power paid for are settled on what
really happened. Racks for the quarter after a re-plan are ordered before it, where systems are paid a deposit ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import GW, PETA, USD
from gigaforge.buildout.risk.template import Basis, Numbers, Template
from gigaforge.buildout.risk.world import Worlds
from gigaforge.buildout.tranches import due_tranches

__all__ = ["Outcome", "Policy", "rollout"]

_WHOLE = 1e-6  # a block that is this near to whole is whole


@dataclass(frozen=True)
class Outcome:
    """What became of one world.

    Attributes
    ----------
    npv_usd : float
        The operator's net present value [USD].
    deployed_w : list of float
        Cumulative accepted power by quarter [W].
    tranches : list of int
        Quarter (position in the horizon) in which each tranche is released; -1 where it is not.
    served : float
        Output tokens served over demanded.
    capex_usd : float
        Systems bought and buildings, undiscounted [USD].
    short_usd : float
        Most cash that was missing at once; 0 where the purse held [USD].
    unfinished : list of float
        Share of each training run's work not done in its window.

    """

    npv_usd: float
    deployed_w: list[float]
    tranches: list[int]
    served: float
    capex_usd: float
    short_usd: float
    unfinished: list[float]


@dataclass
class Policy:
    """What every sample of a study starts from.

    Attributes
    ----------
    first : array
        Racks of the first commitment, in blocks; the same in every world, where nothing is known at the start.
        Shape (S, K, T).
    basis : Basis
        Where the simplex method starts.

    """

    worlds: Worlds
    template: Template
    first: Array | None = None
    first_chosen: Array | None = None
    basis: Basis | None = None
    whole: bool = True

    def with_part_racks(self) -> Policy:
        """The same without the repair to whole racks: what the relaxation alone would promise."""
        return replace(self, whole=False)

    @property
    def step(self) -> int:
        """Quarters between plans."""
        return self.worlds.risk.replan_quarters

    def prepare(self) -> None:
        """Find the first plan, on what is known at the start."""
        known = any(v.stated.known == "start" for v in self.worlds.variables)
        # Tracks of no particular world: at the start nothing of them shows.
        tracks = [np.full(len(self.template.problem.quarters), v.distribution.median) for v in self.worlds.variables]
        numbers = self.template.numbers(self.worlds.problem_of(self.worlds.beliefs(tracks, 0)))
        x, self.basis = self.template.solve(numbers, self.template.lower, self.template.upper)
        if not known:
            self.first = _read(self.template, x, "add")
            self.first_chosen = _read(self.template, x, "chosen")


def rollout(policy: Policy, index: int) -> Outcome:
    """Live through one world: re-plan, commit, see, until the horizon ends; then settle the whole."""
    world, template = policy.worlds, policy.template
    tracks = world.tracks(index)
    truth = world.problem_of(tracks)
    state = _State(template, truth, whole=policy.whole)
    basis = policy.basis
    count = len(truth.quarters)
    lead = 1 if truth.scenario.finance.deposit > 0 else 0
    for now in range(0, count, policy.step):
        until = min(now + policy.step + lead, count)
        if now == 0 and policy.first is not None and policy.first_chosen is not None:
            wanted, chosen = policy.first, policy.first_chosen
        else:
            numbers = template.numbers(world.problem_of(world.beliefs(tracks, now)))
            state.admit(numbers)
            lower, upper = state.bounds()
            x, basis = template.solve(numbers, lower, upper, basis)
            wanted, chosen = _read(template, x, "add"), _read(template, x, "chosen")
        state.commit(wanted, until)
        state.place(chosen, until)
        if until == count:
            break
    numbers = template.numbers(truth)
    lower, upper = state.bounds()
    x, _ = template.solve(numbers, lower, upper, basis)
    return state.outcome(x, numbers)


def _read(template: Template, x: Array, name: str) -> Array:
    columns = template.columns.get(name)
    if columns is None:
        return np.zeros(0)
    return np.where(columns >= 0, x[np.maximum(columns, 0)], 0.0)


class _State:
    """What has been committed so far in one world."""

    def __init__(self, template: Template, truth: Problem, *, whole: bool) -> None:
        self.t, self.truth, self.done, self.whole = template, truth, 0, whole
        self.block = float(truth.scenario.block)
        self.added = np.zeros((len(truth.sites), len(truth.systems), len(truth.quarters)))  # blocks
        self.owed = np.zeros(self.added.shape[:2])  # wanted and not had, part blocks included
        self.chosen = np.full((len(truth.runs), *self.added.shape[:2]), np.nan)
        self.per_block = np.outer(truth.pue_peak, truth.rack_it_w) * self.block  # [W] of facility power
        self.least = np.outer(truth.pue_peak, truth.least_held_w) * self.block  # the same at work under a cap
        # Half of the racks of a quarter work in it, and only those at work can be held to less than their nameplate.
        self.new = (self.per_block + self.least) / 2
        if truth.past is not None:
            over = truth.past.quarters
            self.added[..., :over] = truth.past.added / self.block
            self.done = over

    def commit(self, wanted: Array, until: int) -> None:
        """Turn wanted part blocks into whole ones that truth allows: supply that came, power that stands."""
        self.owed[:] = 0.0
        for t in range(self.done, until):
            self.owed += wanted[..., t]
            used = np.einsum("skt,sk->s", self.added[..., : t + 1], self.least)
            room = self.truth.energised_w[:, t] - used - self._kept(t)
            for line in range(len(self.truth.lines)):
                mine = np.flatnonzero(self.truth.line_of == line)
                left = int(self.truth.supply[line, t] // self.block + _WHOLE)
                buy = self._whole if self.whole else self._part
                bought = buy(self.owed[:, mine], self.new[:, mine], room, left)
                bought *= self.truth.can_host[:, mine, t]
                self.added[:, mine, t] = bought
                self.owed[:, mine] -= bought
                room -= (bought * self.new[:, mine]).sum(axis=1)
        self.done = until

    def _kept(self, t: int) -> Array:
        """Power that retirement gives back: systems beyond their service life are gone. Shape (S,)."""
        gone = self.added[..., : max(t + 1 - self.truth.service_quarters, 0)]
        return -np.asarray(np.einsum("skt,sk->s", gone, self.least))

    def _whole(self, owed: Array, per_block: Array, room: Array, left: int) -> Array:
        """Whole blocks nearest to what is owed: whole parts first, then the largest remainders."""
        out = np.zeros_like(owed)
        total = min(int(np.floor(owed.sum() + 0.5 - _WHOLE)), left)
        room = room.copy()
        base = np.maximum(np.floor(owed + _WHOLE), 0.0)
        order = np.argsort(-(owed - base).ravel(), kind="stable")
        for step in (base.ravel(), np.ones(owed.size)):
            for flat in order:
                s, k = divmod(int(flat), owed.shape[1])
                if total <= 0:
                    return out
                if owed[s, k] <= _WHOLE:
                    continue
                fits = int(max(room[s], 0.0) / per_block[s, k] + _WHOLE)
                n = min(int(step[flat]), fits, total)
                out[s, k] += n
                room[s] -= n * per_block[s, k]
                total -= n
        return out

    def _part(self, owed: Array, per_block: Array, room: Array, left: int) -> Array:
        """As much of what is owed as there is power for and supply."""
        out = np.maximum(owed, 0.0)
        need = (out * per_block).sum(axis=1)
        out *= np.minimum(1.0, np.maximum(room, 0.0) / np.maximum(need, 1e-9))[:, None]
        return np.asarray(out * min(1.0, left / max(out.sum(), 1e-9)))

    def place(self, chosen: Array, until: int) -> None:
        """Runs that start before the next plan stay where the plan put them."""
        for r in range(len(self.truth.runs)):
            if np.isnan(self.chosen[r]).all() and int(np.argmax(self.truth.run_window[r])) < until:
                best = np.unravel_index(int(np.argmax(chosen[r])), chosen[r].shape)
                if chosen[r][best] > 0.5:  # else it is at linked sites, or not yet decided
                    self.chosen[r] = 0.0
                    self.chosen[r][best] = 1.0

    def bounds(self) -> tuple[Array, Array]:
        """Bounds of all columns with what is committed fixed."""
        lower, upper = self.t.lower.copy(), self.t.upper.copy()
        columns = self.t.columns["add"][..., : self.done]
        there = columns >= 0
        lower[columns[there]] = upper[columns[there]] = self.added[..., : self.done][there]
        if self.truth.runs:
            columns = self.t.columns["chosen"]
            there = (columns >= 0) & ~np.isnan(self.chosen)
            lower[columns[there]] = upper[columns[there]] = self.chosen[there]
        if self.whole:
            self._release(lower, upper)
        return lower, upper

    def _release(self, lower: Array, upper: Array) -> None:
        """Tranches of the past are whole ones."""
        reached = self.reached()[: self.done].astype(float)
        if "tranches" in self.t.columns:
            flat = self.t.columns["tranches"].ravel()[: self.done]
            there = flat >= 0
            upper[flat[there]] = lower[flat[there]] = reached[there]
        for number, row in enumerate(self.t.columns.get("tranche", []), 1):
            there = row[: self.done] >= 0
            upper[row[: self.done][there]] = lower[row[: self.done][there]] = (reached >= number)[there]

    def admit(self, numbers: Numbers) -> None:
        """What was had was there: beliefs about power and supply give way to racks that stand."""
        done, p = self.done, self.truth
        used = np.einsum(
            "skt,sk->st", np.cumsum(self.added, axis=2), self.per_block
        )  # no more than what is energised
        for s, site in enumerate(p.sites):
            rows = self.t.rows[f"sites.{site}.power|energised"].ravel()
            seen = np.minimum(used[s], p.energised_w[s]) / GW
            seen[: max(done - 1, 0)] = p.energised_w[s, : max(done - 1, 0)] / GW
            seen[done:] = seen[done - 1] if done else 0.0
            there = rows >= 0
            numbers.rhs[rows[there]] = np.maximum(numbers.rhs[rows[there]], seen[there])
        for line, name in enumerate(p.lines):
            rows = self.t.rows[f"platforms.{name}.supply|supply"].ravel()[:done]
            had = self.added[:, p.line_of == line, :done].sum(axis=(0, 1))
            there = rows >= 0
            numbers.rhs[rows[there]] = np.maximum(numbers.rhs[rows[there]], had[there])

    def deployed_w(self) -> Array:
        """Cumulative accepted power [W]. Shape (T,)."""
        each = self.truth.deployed_w_per_rack * self.block
        out = np.einsum("skt,sk->t", np.cumsum(self.added, axis=2), each)
        if self.truth.past is not None:
            out[: self.truth.past.quarters] -= self.truth.past.not_accepted_w.sum(axis=(0, 1))
        return np.asarray(out)

    def reached(self) -> NDArray[np.int_]:
        """Tranches released by the end of each quarter. Shape (T,)."""
        p = self.truth
        own = np.array([t != "cloud" for t in p.tenures], dtype=float)
        delivered = np.einsum("skt,kt,s->t", self.added, p.rack_price_usd, own) * self.block
        ends = {run: int(due) for run, due in zip(p.runs, p.run_due, strict=True)}
        return due_tranches(p, self.deployed_w(), np.cumsum(delivered), {**ends})

    def outcome(self, x: Array, numbers: Numbers) -> Outcome:
        """Read the settled world."""
        p, count = self.truth, self.t.shape[1]
        slack = x[count:]
        periods = len(p.quarters)
        reached = self.reached()
        dates = [np.flatnonzero(reached >= n) for n in range(1, p.tranche_count + 1)]
        unfinished = np.zeros(len(p.runs))
        place = {row: i for i, (row, _, _) in enumerate(self.t.slack)}
        for r, run in enumerate(p.runs):
            rows = [place[int(i)] for i in self.t.rows[f"training.{run}|work"].ravel() if int(i) in place]
            unfinished[r] = slack[rows].sum() / (p.run_tokens[r] / PETA)
        served = _read(self.t, x, "served").sum() * PETA / p.demand.sum() if p.workloads else 1.0
        return Outcome(
            npv_usd=float(numbers.value @ x[:count]) * USD,
            deployed_w=[float(w) for w in self.deployed_w()],
            tranches=[int(d[0]) if len(d) else -1 for d in dates],
            served=float(served),
            capex_usd=self._capex(x),
            short_usd=float(slack[:periods].max(initial=0.0)) * USD,
            unfinished=[float(min(u, 1.0)) for u in unfinished],
        )

    def _capex(self, x: Array) -> float:
        p: Any = self.truth
        own = np.array([t != "cloud" for t in p.tenures], dtype=float)
        systems = np.einsum("skt,kt,s->", self.added, p.rack_price_usd, own) * self.block
        built = _read(self.t, x, "built")[:, -1] * GW
        return float(systems + (built * p.facility_usd_per_w).sum())
