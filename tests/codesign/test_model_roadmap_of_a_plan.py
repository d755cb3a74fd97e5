"""The next-model question takes the plan's own tokens, systems and prices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gigaforge.buildout import model_roadmap as asked_of
from gigaforge.buildout.model_roadmap import model_roadmap
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import PETA, build
from gigaforge.buildout.roadmaps import plan_prices
from gigaforge.buildout.solver import Relaxation, relax
from gigaforge.codesign.models.life import Place, Service
from tests.buildout.small import catalog, points, scenario, scenario_data


@pytest.fixture(scope="module")
def planned() -> tuple[Problem, Relaxation]:
    problem = problem_from(scenario(), catalog(), points())
    return problem, relax(build(problem).model)


class Asked(Exception):  # noqa: N818 (carries the question, no error)
    """Stops before anything is searched, with what would be asked."""


def question(
    problem: Problem, relaxation: Relaxation, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Service], dict[str, Place]]:
    def note(
        _run: object, _scenario: object, _catalog: object, services: list[Service], where: dict[str, Place]
    ) -> None:
        raise Asked(services, where)

    monkeypatch.setattr(asked_of, "lifetime_of", note)
    with pytest.raises(Asked) as found:
        model_roadmap(problem, relaxation, catalog())
    return found.value.args  # type: ignore[return-value]


def test_a_life_counts_what_the_plan_serves_where_it_serves_it(
    planned: tuple[Problem, Relaxation], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, relaxation = planned
    run = problem.scenario.training[0]
    served = relaxation.values["served"].transpose("workload", "quarter").values[0] * PETA
    (service,), where = question(problem, relaxation, monkeypatch)
    assert service.total == pytest.approx(float(served[[q > run.end for q in problem.quarters]].sum()))
    assert service.total > 1e12
    assert service.cut
    assert set(where) == {"run-1", "assistant"}
    made = {k: v for k, v in plan_prices(problem, relaxation).tokens_made.items() if k[0] == "assistant"}
    alive = service.tokens > 0
    assert where["assistant"].system == max(made, key=lambda k: float(made[k][alive].sum()))[1]
    system = problem.systems.index(where["assistant"].system)
    paid = problem.rack_price_usd[system]
    assert paid.min() <= (where["assistant"].rack_usd or 0.0) <= paid.max()


def test_a_run_that_serves_a_share_is_asked_with_that_share(
    planned: tuple[Problem, Relaxation], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, relaxation = planned
    (whole,), _ = question(problem, relaxation, monkeypatch)
    run = scenario_data()["training"][0] | {"serves": {"assistant": {"share": "25 %"}}}
    less = replace(problem, scenario=scenario(training=[run]))
    (part,), _ = question(less, relaxation, monkeypatch)
    assert part.total == pytest.approx(0.25 * whole.total)
