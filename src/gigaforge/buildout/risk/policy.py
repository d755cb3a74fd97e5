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
from gigaforge.buildout.risk.relaxed import Basis, Replan, packed, unpacked
from gigaforge.buildout.risk.template import Numbers, Template
from gigaforge.buildout.risk.world import Worlds
from gigaforge.buildout.tranches import due_tranches

__all__ = ["Commitment", "Outcome", "Policy", "rollout"]

_WHOLE = 1e-6  # a block that is this near to whole is whole
_PLACES_TRIED = 3  # for a run that the relaxation splits
_SHARE_TRIED = 0.02  # of the run
_UNDONE = 1e-3  # of a run's work: so little does not matter


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


@dataclass(frozen=True)
class Commitment:
    """What one plan commits: racks wanted, in blocks (S, K, T), and where runs go, as columns of the template."""

    wanted: Array
    placed: dict[int, int]


@dataclass
class Policy:
    """What every sample of a study starts from.

    Attributes
    ----------
    first : Commitment
        Of the first plan; the same in every world, where nothing is known at the start.
    basis : Basis
        Where the simplex method starts.
    whole_racks, whole_runs : bool
        Whether racks are rounded to whole blocks, and runs put at one place: without, the relaxation stands as it is.

    """

    worlds: Worlds
    template: Template
    first: Commitment | None = None
    basis: Basis | None = None
    whole_racks: bool = True
    whole_runs: bool = True

    def relaxed(self, *, runs_too: bool) -> Policy:
        """The same without the repair of racks, or of racks and runs: what the relaxation would promise."""
        other = replace(self, whole_racks=False, whole_runs=not runs_too)
        if runs_too:
            other.prepare()
        return other

    @property
    def step(self) -> int:
        """Quarters between plans."""
        return self.worlds.risk.replan_quarters

    @property
    def lead(self) -> int:
        """Quarters beyond the next plan whose racks are ordered before it."""
        return 1 if self.worlds.problem.scenario.finance.deposit > 0 else 0

    def prepare(self) -> None:
        """Find the first plan, on what is known at the start."""
        known = any(v.stated.known == "start" for v in self.worlds.variables)
        # Tracks of no particular world: at the start nothing of them shows.
        tracks = [np.full(len(self.template.problem.quarters), v.median) for v in self.worlds.variables]
        believed = self.worlds.problem_of(self.worlds.beliefs(tracks, 0))
        state = _State(self, believed)
        first, self.basis = state.plan(self.template.numbers(believed), None, self.step + self.lead)
        self.first = None if known else first

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "basis": packed(self.basis)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "basis": unpacked(state["basis"])})


def rollout(policy: Policy, index: int) -> Outcome:
    """Live through one world: re-plan, commit, see, until the horizon ends; then settle the whole."""
    world, template = policy.worlds, policy.template
    tracks = world.tracks(index)
    truth = world.problem_of(tracks)
    state, basis = _State(policy, truth), policy.basis
    count = len(truth.quarters)
    for now in range(0, count, policy.step):
        until = min(now + policy.step + policy.lead, count)
        if now == 0 and policy.first is not None:
            decided = policy.first
        else:
            numbers = template.numbers(world.problem_of(world.beliefs(tracks, now)))
            state.admit(numbers)
            decided, basis = state.plan(numbers, basis, until)
        state.commit(decided, until)
        if until == count:
            break
    numbers = template.numbers(truth)
    lower, upper = state.bounds(numbers)
    x = Replan(template, numbers, lower, upper, basis).best()
    return state.outcome(x, numbers)


def _read(template: Template, x: Array, name: str) -> Array:
    columns = template.columns.get(name)
    if columns is None:
        return np.zeros(0)
    return np.where(columns >= 0, x[np.maximum(columns, 0)], 0.0)


class _State:
    """What has been committed so far in one world."""

    def __init__(self, policy: Policy, truth: Problem) -> None:
        self.t, self.truth, self.done, self.policy = policy.template, truth, 0, policy
        self.block = float(truth.scenario.block)
        self.added = np.zeros((len(truth.sites), len(truth.systems), len(truth.quarters)))  # blocks
        self.owed = np.zeros(self.added.shape[:2])  # wanted and not had, part blocks included
        self.placed: dict[int, int] = {}  # run to the column that says where it is
        self.per_block = np.outer(truth.pue_peak, truth.rack_it_w) * self.block  # [W] of facility power
        self.least = np.outer(truth.pue_peak, truth.least_held_w) * self.block  # the same at work under a cap
        # Half of the racks of a quarter work in it, and only those at work can be held to less than their nameplate.
        self.new = (self.per_block + self.least) / 2
        if truth.past is not None:
            over = truth.past.quarters
            self.added[..., :over] = truth.past.added / self.block
            self.done = over

    def plan(self, numbers: Numbers, basis: Basis | None, until: int) -> tuple[Commitment, Basis]:
        """The best that can be done from here on by these numbers; runs that start before `until` at one place each."""
        replan = Replan(self.t, numbers, *self.bounds(numbers), basis)
        x = replan.best()
        placed: dict[int, int] = {}
        for run in self._starting(until) if self.policy.whole_runs else []:
            placed[run], x = self._one_place(replan, x, run)
        return Commitment(_read(self.t, x, "add"), placed), replan.basis

    def _starting(self, until: int) -> list[int]:
        """Runs without a place that may start before a quarter, those due first before the others."""
        first = [int(np.argmax(window)) for window in self.truth.run_window]
        runs = [r for r, t in enumerate(first) if t < until and r not in self.placed]
        return sorted(runs, key=lambda r: int(self.truth.run_due[r]))

    def _one_place(self, replan: Replan, x: Array, run: int) -> tuple[int, Array]:
        """Put a run where the relaxation has it; where it is split, at the largest part that can finish it."""
        columns = self.t.choices(run)
        order = columns[np.argsort(-x[columns], kind="stable")]
        tried = [int(c) for c in order[:_PLACES_TRIED] if x[c] > _SHARE_TRIED] or [int(order[0])]
        found: list[tuple[float, int, Array]] = []
        for column in tried:
            replan.fix(columns, (columns == column).astype(float))
            if x[column] > 1 - _WHOLE:
                return column, x
            y = replan.best()
            found.append((replan.objective, column, y))
            if self.t.unfinished(y, run) < _UNDONE:
                return column, y
        _, best, y = max(found, key=lambda f: f[0])
        replan.fix(columns, (columns == best).astype(float))
        return best, y

    def commit(self, decided: Commitment, until: int) -> None:
        """Place runs, and turn wanted part blocks into whole ones that truth allows: supply that came, power there is."""
        self.placed |= decided.placed
        wanted = decided.wanted
        self.owed[:] = 0.0
        for t in range(self.done, until):
            self.owed += wanted[..., t]
            used = np.einsum("skt,sk->s", self.added[..., : t + 1], self.least)
            room = self.truth.energised_w[:, t] - used - self._kept(t)
            for line in range(len(self.truth.lines)):
                mine = np.flatnonzero(self.truth.line_of == line)
                left = int(self.truth.supply[line, t] // self.block + _WHOLE)
                buy = self._whole if self.policy.whole_racks else self._part
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

    def bounds(self, numbers: Numbers) -> tuple[Array, Array]:
        """Bounds of all columns with what is committed fixed."""
        lower, upper = numbers.lower.copy(), numbers.upper.copy()
        columns = self.t.columns["add"][..., : self.done]
        there = columns >= 0
        lower[columns[there]] = upper[columns[there]] = self.added[..., : self.done][there]
        for run, column in self.placed.items():
            columns = self.t.choices(run)
            lower[columns] = upper[columns] = (columns == column).astype(float)
        if self.policy.whole_racks:
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
        periods = len(p.quarters)
        reached = self.reached()
        dates = [np.flatnonzero(reached >= n) for n in range(1, p.tranche_count + 1)]
        unfinished = [
            self.t.unfinished(x, r) * self.t.problem.run_tokens[r] / p.run_tokens[r] for r in range(len(p.runs))
        ]
        served = _read(self.t, x, "served").sum() * PETA / p.demand.sum() if p.workloads else 1.0
        return Outcome(
            npv_usd=float(numbers.value @ x[:count]) * USD,
            deployed_w=[float(w) for w in self.deployed_w()],
            tranches=[int(d[0]) if len(d) else -1 for d in dates],
            served=float(served),
            capex_usd=self._capex(x),
            short_usd=float(x[count : count + periods].max(initial=0.0)) * USD,
            unfinished=[float(min(u, 1.0)) for u in unfinished],
        )

    def _capex(self, x: Array) -> float:
        p: Any = self.truth
        own = np.array([t != "cloud" for t in p.tenures], dtype=float)
        systems = np.einsum("skt,kt,s->", self.added, p.rack_price_usd, own) * self.block
        built = _read(self.t, x, "built")[:, -1] * GW
        return float(systems + (built * p.facility_usd_per_w).sum())
