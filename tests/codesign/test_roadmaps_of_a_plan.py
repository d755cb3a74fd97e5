"""A plan's prices taken to the roadmaps: they match what a changed plan is worth, and the answers are readable."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.roadmaps import plan_prices
from gigaforge.buildout.solver import Relaxation, relax
from gigaforge.cli.roadmaps import limits_from, print_roadmaps
from gigaforge.codesign.hardware import Platform, Work, sensitivities
from gigaforge.codesign.hardware.sensitivity import _moved
from gigaforge.codesign.prices import Prices
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.report.roadmap_figures import design_pareto, hardware_sensitivity, iso_loss, specialised_designs
from gigaforge.report.roadmap_sections import hardware_parts, model_parts
from tests.buildout.small import catalog, points, scenario
from tests.codesign.test_hardware_roadmap import decode, machine, training

ROWS: list[dict[str, Any]] = [
    {
        "system": "rack-a", "parameter": p, "unit": "unit", "today": 10.0, "plan_usd": 1e6, "plan_usd_low": 8e5,
        "plan_usd_high": 1.2e6, "usd_per_accelerator": 100.0, "cost_usd_per_accelerator": cost,
        "net_usd_per_accelerator": None if cost is None else 100.0 - cost, "elasticity": {},
    }
    for p, cost in (("hbm_bytes", 90.0), ("hbm_bandwidth_bytes_s", 40.0), ("power_drawn_w", None))
]  # fmt: skip
DESIGN = {
    "bf16_flop_s": 4e15, "hbm_bytes": 3e11, "hbm_bandwidth_bytes_s": 2e13, "scale_up_bytes_s": 2e12,
    "scale_out_bytes_s": 1e11, "power_w": 2000.0, "nvlink_domain": 72.0,
}  # fmt: skip
ABOUT: dict[str, Any] = {
    "at_power_limit": {"limit_w": 2000.0, "full_power_w": 3000.0, "clock": 0.8, "bf16_flop_s": 3.2e15},
    "nvlink_domains": [
        {"nvlink_domain": d, "cost": c, "seconds": t, "system_usd": u, "system_w": u}
        for d, c, t, u in ((8.0, 1.2, 1.25, 0.97), (72.0, 1.0, 1.0, 1.0), (144.0, None, None, 1.01))
    ],
}
NEXT: dict[str, Any] = {
    "technology": "n3-hbm4", "prices": "a plan", "reference": {"system": "rack-a", "design": DESIGN, "words": "today's"},
    "general": {"design": DESIGN, "words": "the next", "relative_cost": 0.6, "relative_cost_interval": [0.48, 0.78], "at_limit": ["heat"]} | ABOUT,
    "special": {"decode": {"design": DESIGN, "words": "for decode", "relative_cost": 0.5} | ABOUT}, "specialised_relative_cost": 0.57,
    "saved": 0.05, "noise": 0.001,
    "by_work": [{"work": "w", "design": d, "relative_cost": u} for d, u in (("general", 0.6), ("made for decode", 0.5))],
    "pareto": [
        {"relative_cost": c, "relative_joules": j, "words": w, "design": DESIGN} for c, j, w in ((0.6, 0.7, "x"), (0.8, 0.5, "y"))
    ],
}  # fmt: skip
CHOICE = {
    "law": "joint-moe-2025", "experts": 8, "active": 4e10, "total": 2e11, "tokens": 1e13, "loss": 1.8, "usd": 1e8,
    "serve_tokens": 1e14, "warnings": ["active parameters are far above the range"], "named_usd": 2e8,
    "train_usd": 4e7, "serve_usd": 6e7,
    "named": {"active": 8e10, "total": 8e10, "tokens": 1e13, "experts": 1, "usd": 2e8, "train_usd": 5e7, "serve_usd": 1.5e8},
    "life": {"workloads": {"chat": 1e14}, "first": "2028-Q1", "last": "2029-Q4"},
    "expansions": [
        {"experts": e, "active": 4e10, "total": 2e11, "tokens": 1e13, "loss": 1.8, "train_usd": 4e7, "serve_usd": 6e7, "usd": 1e8} for e in (1, 8)
    ],
    "at_named_usd": {"loss": 1.7, "experts": 1, "active": 4.2e12, "tokens": 1.5e13},
}  # fmt: skip
CURVE = [
    {"experts": e, "active": n, "tokens": 1e13, "loss": 1.8, "train_usd": 4e7, "serve_usd": n / 1e3, "usd": 4e7 + n / 1e3}
    for e in (1, 8)
    for n in np.geomspace(1e10, 1e11, 8).tolist()
]  # fmt: skip


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_from(scenario(), catalog(), points())


@pytest.fixture(scope="module")
def relaxed(problem: Problem) -> Relaxation:
    return relax(build(problem).model)


def value(problem: Problem) -> float:
    return relax(build(problem).model).objective * USD


def test_prices_times_quantities_match_finite_differences_of_yields(problem: Problem, relaxed: Relaxation) -> None:
    prices = plan_prices(problem, relaxed)
    checked = 0
    for k, system in enumerate(problem.systems):
        made = {key: v for key, v in prices.tokens_made.items() if key[1] == system}
        if not made:
            continue
        predicted = sum(float((prices.token_usd[w] * v).sum()) for (w, _), v in made.items())
        ends = []
        for step in (-0.005, 0.005):
            factor = 1 + step
            ends.append(
                value(
                    replace(
                        problem,
                        point_tokens=np.where((problem.point_system == k)[:, None], factor, 1) * problem.point_tokens,
                        train_rate=np.where(problem.train_system == k, factor, 1) * problem.train_rate,
                    )
                )
            )
        assert predicted > 1e6
        assert predicted == pytest.approx((ends[1] - ends[0]) / 0.01, rel=0.05)
        checked += 1
        break  # each check solves the programme twice; one platform is enough
    assert checked


@pytest.mark.slow
def test_prices_times_racks_match_finite_differences_of_power(problem: Problem) -> None:
    # Nameplate also earns deployed power; without a commitment a watt more only has to be held.
    base = replace(problem, counts=np.zeros_like(problem.counts))
    prices = plan_prices(base, relax(build(base).model))
    k = int(np.argmax([prices.racks_online[s].sum() for s in base.systems]))
    system = base.systems[k]
    predicted = float((prices.watt_usd[system] * prices.racks_online[system]).sum())
    ends = []
    for watts in (-500.0, 500.0):
        more = watts * (np.arange(len(base.systems)) == k)
        ends.append(
            value(
                replace(
                    base,
                    rack_it_w=base.rack_it_w + more,
                    point_held_w=base.point_held_w + more[base.point_system],
                    train_held_w=base.train_held_w + more[base.train_system],
                )
            )
        )
    assert predicted > 0
    assert predicted == pytest.approx(-(ends[1] - ends[0]) / 1000.0, rel=0.05)


def test_the_figures_and_sections_draw_what_codesign_answers() -> None:
    for chart in (
        hardware_sensitivity(ROWS),
        iso_loss(CHOICE, CURVE),
        design_pareto(
            NEXT["pareto"], [{"relative_cost": 1.0, "relative_joules": 1.0, "label": "reference", "words": "now"}]
        ),
        specialised_designs(NEXT["by_work"]),
    ):
        assert chart.to_dict()["$schema"]
    roadmaps: dict[str, Any] = {
        "hardware": {"sensitivity": ROWS, "next": NEXT, "warnings": []},
        "models": {"choices": {"run": CHOICE}, "curves": {"run": CURVE}, "warnings": ["mind this"]},
    }
    lead, points_, figures, tables = hardware_parts(roadmaps, str.title)
    assert any("60 % of what it costs" in line for line in lead)
    assert any("One unit more of HBM bandwidth in every Rack-A accelerator is worth $100" in line for line in lead)
    assert {f.name for f in figures} == {"hardware-sensitivity", "specialised-designs", "design-pareto"}
    assert len(tables[0].rows) == 3
    assert tables[0].rows[1][-3:] == ["3,000", "3.20", "60 %"]
    assert [row[1] for row in tables[1].rows] == ["8", "72 (chosen)", "144"] * 2
    assert any(
        "would draw 3,000 W; within 2,000 W the clock then falls to 80 %, 3,200 TFLOP/s" in line for line in lead
    )
    assert "Its NVLink domain is 72. The same accelerator over 144 could not do all of the work." in lead
    lead, points_, figures, tables = model_parts(roadmaps)
    assert lead[0] == (
        "run (80B of 80B parameters, 10T tokens) serves 100T tokens of chat from 2028-Q1 to 2029-Q4 and costs $200M: "
        "$50M of training, $150M of serving."
    )
    assert "40B active parameters (a mixture with 8 times the experts it uses) on 10T tokens: $100M" in lead[1]
    assert "could be 1.700 instead of 1.800: 4.2T active parameters (dense) on 15T tokens" in lead[1]
    assert [row[0] for row in tables[0].rows] == ["dense", "8 x experts", "the one named"]
    assert points_ == ["Mind this.", "run: active parameters are far above the range."]
    assert figures[0].name == "iso-loss-run"
    facets = hardware_sensitivity(ROWS).to_dict()["spec"]["layer"]
    assert all("data" not in layer for layer in facets), "a facet shows its own platform's rows"
    # The model named is drawn wherever it lies: it is what the reader compares with.
    far = CHOICE | {"named": CHOICE["named"] | {"active": 1e9, "usd": 5e9}}  # type: ignore[operator]
    layers = iso_loss(far, CURVE).to_dict()
    assert len(layers["layer"]) == 5
    low, high = layers["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low < 5e9 < high
    assert hardware_parts({}, str.title) == ([], [], [], [])
    with pytest.raises(InputError, match="no model to draw"):
        iso_loss(CHOICE, [])


def test_a_terminal_of_80_columns_shows_the_roadmaps_indented() -> None:
    console = Console(width=80, file=StringIO())
    far = NEXT | {"general": NEXT["general"] | {"words": " ".join(["1.2 PFLOP/s"] * 12)}}
    answer = {
        "hardware": {"sensitivity": ROWS, "next": far, "warnings": []},
        "models": {"choices": {"run": CHOICE}, "warnings": []},
    }
    print_roadmaps(answer, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    told = lines[next(i for i, line in enumerate(lines) if line.startswith("Next generation")) + 1 :]
    assert all(line.startswith("  ") for line in told if line != "The next model")


def test_limits_are_read_with_units_and_refused_by_name() -> None:
    limits = limits_from(["hbm=200 GB..320 GB", "power=..1500 W", "domain=72", "package=$9K"], "n3-hbm4")
    assert limits.ranges["hbm_bytes"] == (200e9, 320e9)
    assert limits.ranges["power_w"] == (600.0, 1500.0)
    assert limits.ranges["nvlink_domain"] == (72.0, 72.0)
    assert limits.package_usd == 9000.0
    for text, message in (
        ("hbm=300 GB..200 GB", "is empty"),
        ("hbm=300 GB..9000 GB", "leaves the cost model's validity in n3-hbm4"),
        ("memory=1 GB", "NAME=LOW..HIGH"),
        ("power=many", "--limit power=many"),
        ("power=..10 W", "leaves nothing of the cost model's validity in n3-hbm4, "),
        ("package=$5K..$12K", r"a package has a most alone: 'package=..\$12K'"),
        ("hbm=..", "NAME=LOW..HIGH"),
        ("domain=60..71", "no NVLink domain from 60 to 71 exists in n3-hbm4; there are 8, "),
        ("package=$1", r"no package can be made for \$1 in n3-hbm4: the least in these ranges costs \$"),
        ("package=$0", "must be above zero"),
    ):
        with pytest.raises(InputError, match=message):
            limits_from([text], "n3-hbm4")
    with pytest.raises(InputError, match="hbm is limited twice"):
        limits_from(["hbm=200 GB..", "hbm=..300 GB"], "n3-hbm4")


def test_market_prices_are_level_in_todays_dollars() -> None:
    quarters = [Quarter(4 * 2026 + i) for i in range(8)]
    prices = Prices.market(
        quarters, systems=["x"], power_usd_per_w_year=2.0, energy_usd_per_j=2e-8, token_usd={"w": 1e-6}, discount_rate=0.1
    )  # fmt: skip
    assert prices.mean(prices.watt_usd["x"]) == pytest.approx(0.5)
    assert prices.mean(prices.token_usd["w"], np.arange(8.0)) == pytest.approx(1e-6)
    assert (np.diff(prices.dollar_usd) < 0).all()
    with pytest.raises(InputError, match="no quarter"):
        Prices.market([], power_usd_per_w_year=1.0, energy_usd_per_j=0.0, token_usd={}, discount_rate=0.1)
    with pytest.raises(InputError, match=r"prices\.power"):
        Prices.market(quarters, power_usd_per_w_year=-1.0, energy_usd_per_j=0.0, token_usd={}, discount_rate=0.1)


@pytest.mark.slow
def test_every_sensitivity_of_an_accelerator_matches_a_plan_with_that_number_changed(
    problem: Problem, relaxed: Relaxation
) -> None:
    """Each number of the busiest platform 2 % up and down, every work run again on it, and the relaxed plan solved again."""
    prices = plan_prices(problem, relaxed)
    k = int(np.argmax([prices.racks_online[s].sum() for s in problem.systems]))
    system = problem.systems[k]
    platform = Platform(machine("dgx-h100"))
    works: dict[str, Work] = dict.fromkeys(problem.workloads, replace(decode(), steps=20))
    works |= dict.fromkeys(problem.runs, training())
    found = {s.parameter: s for s in sensitivities(prices, {system: platform}, works)}
    step, limit = 0.02, float(platform.hardware.power_limit_w)
    ways = {w.name: w.candidates(platform.hardware) for w in set(works.values())}

    def factors(parameter: str, sign: int) -> dict[str, float]:
        at = np.array([1.0, 1.0 + sign * step])
        down = parameter == "power_limit_w"  # nothing is known of a chip above its limit
        cap = limit * (np.array([1.0, 1.0 - step]) if down and sign < 0 else np.ones(2))
        moved = _moved(platform.hardware, {"hbm_bytes" if down else parameter: np.ones(2) if down else at})
        out = {w.name: w.output(moved, ways[w.name], cap).tokens_per_s for w in set(works.values())}
        return {name: float(out[w.name][1] / out[w.name][0]) for name, w in works.items()}

    def moved_plan(by: dict[str, float]) -> float:
        serve = np.array([by[problem.workloads[w]] for w in problem.point_workload])
        train = np.array([by[problem.runs[r]] for r in problem.train_run])
        return value(
            replace(
                problem,
                point_tokens=problem.point_tokens * np.where(problem.point_system == k, serve, 1.0)[:, None],
                train_rate=problem.train_rate * np.where(problem.train_system == k, train, 1.0),
            )
        )

    for parameter in (
        "bf16_flop_s",
        "hbm_bytes",
        "hbm_bandwidth_bytes_s",
        "scale_up_bytes_s",
        "scale_out_bytes_s",
        "power_limit_w",
    ):
        ends = [moved_plan(factors(parameter, sign)) for sign in (-1, 1)]
        width = step if parameter == "power_limit_w" else 2 * step
        one = found[parameter]
        scale = sum(float((prices.token_usd[w] * v).sum()) for (w, s), v in prices.tokens_made.items() if s == system)
        assert one.usd * one.today * width == pytest.approx(ends[1] - ends[0], rel=0.05, abs=1e-4 * scale), parameter


@pytest.mark.slow
def test_a_watt_less_drawn_is_worth_what_a_plan_with_a_watt_less_gains(problem: Problem, relaxed: Relaxation) -> None:
    prices = plan_prices(problem, relaxed)
    k = int(np.argmax([prices.racks_online[s].sum() for s in problem.systems]))
    system, platform = problem.systems[k], Platform(machine("dgx-h100"))
    works: dict[str, Work] = dict.fromkeys(problem.workloads, decode()) | dict.fromkeys(problem.runs, training())
    drawn = next(s for s in sensitivities(prices, {system: platform}, works) if s.parameter == "power_drawn_w")
    less = 10.0 * platform.hardware.accelerators  # [W] of a rack

    def with_less() -> Problem:
        changes: dict[str, Any] = {}
        for name, systems in (
            ("rack_it_w", np.arange(len(problem.systems))), ("rack_idle_w", np.arange(len(problem.systems))),
            ("least_held_w", np.arange(len(problem.systems))), ("point_held_w", problem.point_system),
            ("point_power_w", problem.point_system), ("train_held_w", problem.train_system),
            ("train_power_w", problem.train_system),
        ):  # fmt: skip
            now = getattr(problem, name)
            mine = (systems == k).reshape(-1, *[1] * (now.ndim - 1))
            changes[name] = now - less * mine
        # What racks count as deployed stays: only what they draw falls.
        changes["counts"] = problem.counts * problem.rack_it_w / changes["rack_it_w"]
        return replace(problem, **changes)

    assert drawn.usd == pytest.approx((value(with_less()) - value(problem)) / 10.0, rel=0.05)
