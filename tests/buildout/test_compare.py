"""Plans side by side: the same figures as their summaries, differences in words, and the command that shows them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from gigaforge.buildout.compare import compare
from gigaforge.buildout.conflict import explain_conflict
from gigaforge.buildout.diff import diff_plans
from gigaforge.buildout.folder import write_plan_folder
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.planner import plan
from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.solver import SolverOptions
from gigaforge.cli.compare import compare as verb
from gigaforge.cli.diff import print_diff
from gigaforge.errors import InputError
from gigaforge.report.figures import plan_figures
from gigaforge.report.report_tables import yearly_table
from gigaforge.report.story import headline
from gigaforge.report.view import PlanView
from tests.buildout.small import catalog, points, scenario
from tests.cli.test_plan_command import run

SHORT = {"first": "2026-Q3", "last": "2028-Q2"}
COMMITMENT = {
    "power": "1 GW", "milestones": [{"power": "0.5 GW", "by": "2027-Q4"}], "late_penalty": "$20/kW-month",
}  # fmt: skip


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    options = SolverOptions(gap=1e-2, time_limit_s=60)
    lease = {"kind": "lease", "by": "lessor", "rate": "10 %", "term_years": 3}
    money = {"discount_rate": "10 %", "opening_cash": "$5B"}
    changes = [{"finance": money}, {"finance": {**money, "systems": lease}, "name": "leased"}]
    return [
        plan(scenario(horizon=SHORT, commitment=COMMITMENT, **c), catalog(), points=points(), options=options)
        for c in changes
    ]


def test_figures_are_the_summaries_and_words_name_the_differences(plans: list[Plan]) -> None:
    made = compare([p.summary for p in plans])
    rows = {r.name: r.values for r in made.rows}
    assert made.names == ["small", "leased"]
    assert rows["net present value to the operator"] == tuple(p.summary["npv_usd"] for p in plans)
    assert rows["lessor's or lender's peak exposure"][0] is None
    assert made.sentences[0].startswith("leased is worth")
    if "as much" not in made.sentences[0]:
        assert ("more" in made.sentences[0]) == (plans[1].summary["npv_usd"] > plans[0].summary["npv_usd"])
    assert json.loads(json.dumps(made.to_dict()))["plans"] == made.names
    without = compare([plans[0].summary, {**plans[1].summary, "irr": None}]).sentences[-1]
    assert without.startswith("leased has no return of the project (IRR)")
    assert without.endswith("as systems are rented out of what they earn.")


def test_a_plan_compared_with_itself_has_no_difference(plans: list[Plan]) -> None:
    made = compare([plans[0].summary, plans[0].summary])
    assert made.names == ["small (1)", "small (2)"]
    assert made.sentences == [
        "small (2) is worth as much to the operator, within what the solver leaves open, as small (1)."
    ]


def test_plan_folders_are_compared_without_planning(plans: list[Plan], tmp_path: Path) -> None:
    long = "a-name-of-a-folder-that-somebody-made-rather-long-so-as-to-remember-it"
    folders = [write_plan_folder(p, tmp_path / name) for p, name in zip(plans, ("bought", long), strict=True)]
    done = run("compare", *folders, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plans"] == ["bought", long]
    shown = run("compare", *folders)
    assert "net present value to the operator" in " ".join(shown.stdout.split())
    differ = run("diff", *folders)
    assert differ.returncode == 0, differ.stderr
    assert max(len(line) for line in (shown.stdout + differ.stdout).splitlines()) <= 80
    assert "…" not in shown.stdout + differ.stdout


def test_plan_compare_and_diff_say_the_same_power(plans: list[Plan]) -> None:
    watts = [201.98e6, 176.4e6]
    made = [
        {**p.summary, "deployed_w": [w] * len(p.summary["quarters"]), "commitment": {"power_w": 300e6, "basis": "facility"},
         "milestones": []}
        for p, w in zip(plans, watts, strict=True)
    ]  # fmt: skip
    row = next(r for r in compare(made).rows if r.name == "power deployed")
    assert row.texts() == ["201 MW", "176 MW"]
    diff = diff_plans((made[0], plans[0].tables), (made[1], plans[1].tables), ("one", "other"))
    assert "by 25.5 MW (176 MW for 201 MW)" in " ".join(diff.sentences)
    out = io.StringIO()
    print_diff(diff, Console(file=out, width=80))
    assert re.search(r"deployed power \[MW\].*201\.9 +176\.4 +−25\.5", out.getvalue(), re.DOTALL)
    view = PlanView(made[0], plans[0].tables)
    assert headline(view).startswith("201 MW of 300 MW deployed")
    assert yearly_table(view).head[1] == "MW deployed"
    assert {row[1] for row in yearly_table(view).rows} == {"201"}
    assert {f.chart.to_dict()["layer"][0]["encoding"]["y"]["title"] for n, f in plan_figures(view).items()
            if n.startswith("deployment")} == {"MW deployed (facility power)"}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scenarios/single-site.yaml"], "one plan alone cannot be compared"),
        (["scenarios/single-site.yaml", "nowhere.yaml"], "no such file"),
        (["scenarios/single-site.yaml", "--set", "finance.discont_rate=3 %"], "did you mean 'finance.discount_rate'"),
        (["scenarios/single-site.yaml", "tests"], "is not a plan folder"),
    ],
)
def test_what_cannot_be_compared_ends_with_one_message(arguments: list[str], says: str) -> None:
    paths = [Path(a) for a in arguments if "--set" not in arguments[: arguments.index(a) + 1]]
    settings = arguments[len(paths) + 1 :] or None
    with pytest.raises(InputError) as problem:
        verb(paths, settings)
    assert says in str(problem.value)


def test_terms_that_hold_money_back_are_named_in_a_conflict() -> None:
    """Ten gigawatts' worth of cash is released only after the racks that it should pay for."""
    asked = scenario(
        horizon=SHORT,
        commitment={"power": "1 GW", "milestones": [{"power": "0.4 GW", "by": "2027-Q1"}]},
        investment={"ceiling": "$90B", "per": "0.05 GW", "amount": "$9B", "conditions": [{"not_before": "2028-Q1"}]},
        serving=[], training=[], sites=[{"site": "south"}],
        finance={"discount_rate": "10 %", "opening_cash": "$1B"},
    )  # fmt: skip
    told = explain_conflict(problem_from(asked, catalog(), points()))
    assert any(t.startswith("commitment.milestones") for t in told)
    assert any(t.startswith(("finance", "investment")) for t in told)
