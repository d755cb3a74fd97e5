"""The next-model question takes the plan's own tokens, systems and prices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gigaforge.buildout import model_roadmap as asked_of
from gigaforge.buildout.model_roadmap import MODEL_LAW, model_roadmap
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import PETA, build
from gigaforge.buildout.roadmaps import plan_prices
from gigaforge.buildout.solver import Relaxation, relax
from gigaforge.catalog import load_catalog
from gigaforge.catalog.schema import Model
from gigaforge.codesign.models import Law, ModelCosts, Target
from gigaforge.codesign.models.life import Place, Service
from gigaforge.perf.transformer import Transformer
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


@pytest.mark.parametrize("name", [MODEL_LAW, "leverage-2025"])
def test_the_law_asked_for_judges_the_named_model_and_chooses(
    name: str, planned: tuple[Problem, Relaxation], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, relaxation = planned
    run = problem.scenario.training[0]
    mixture = load_catalog().model("deepseek-v3")
    known = replace(
        catalog(), models=catalog().models | {run.model: mixture}, facts=load_catalog().facts | catalog().facts
    )

    def note(by: Law, target: Target, **_rest: object) -> None:
        raise Asked(by, target)

    class Free:
        """A life that costs nothing: what is asked about does not hang on it."""

        def costs(self, _model: Model, _tokens: float) -> ModelCosts:
            return ModelCosts(0.0, 0.0, 0.4, 1, 1)

    for what, instead in (
        ("choose", note), ("lifetime_of", lambda *_: Free()), ("windows_of", lambda *_: []), ("window_of", lambda *_: None),
    ):  # fmt: skip
        monkeypatch.setattr(asked_of, what, instead)
    with pytest.raises(Asked) as found:
        model_roadmap(problem, relaxation, known, by=name)
    by, target = found.value.args
    assert by.name == name
    active = float(Transformer.from_catalog(mixture).active_parameters)
    # DeepSeek-V3's: 256 experts of 2,048, eight used, in a width of 7,168.
    assert target.value == pytest.approx(float(by.loss(active, run.tokens, 32, 3.5 * 7168 / 2048)))
