"""What is drawn has the shape and the company that was stated; what cannot be is refused by name."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gigaforge.buildout.risk.distributions import distribution
from gigaforge.buildout.risk.sampling import correlation_root, uniforms
from gigaforge.buildout.risk.sensitivity import first_order, sensitivity
from gigaforge.buildout.risk.study import load_risk, risk
from gigaforge.buildout.risk.world import Worlds, check_statements
from gigaforge.errors import InputError
from gigaforge.scenario.uncertainty import Uncertain
from tests.buildout.risk.worlds import problem, risk_of, small
from tests.buildout.small import catalog


def uncertain(**stated: Any) -> Uncertain:
    return Uncertain.model_validate({"what": "x", **stated})


SHAPES = [
    ({"shape": "normal", "mean": 1, "sd": 0.1}, stats.norm(1, 0.1)),
    ({"shape": "normal", "mean": 1, "sd": 0.5, "low": 0.5, "high": 2}, stats.truncnorm(-1, 2, 1, 0.5)),
    ({"shape": "lognormal", "median": 1, "p90": "120 %"}, stats.lognorm(np.log(1.2) / stats.norm.ppf(0.9))),
    ({"shape": "triangular", "low": 0, "mode": "3 months", "high": "1 year"}, stats.triang(0.25, 0, 4)),
    ({"shape": "uniform", "low": 0.5, "high": 2}, stats.uniform(0.5, 1.5)),
]


@pytest.mark.parametrize(("stated", "truth"), SHAPES, ids=lambda v: v["shape"] if isinstance(v, dict) else "")
@given(u=st.floats(0.001, 0.999))
def test_quantiles_are_those_of_the_shape(stated: dict[str, Any], truth: Any, u: float) -> None:
    made = distribution(uncertain(**stated)).quantile(np.array([u]))[0]
    assert made == pytest.approx(truth.ppf(u), rel=1e-6, abs=1e-9)


def test_discrete_and_empirical_shapes_keep_to_what_was_given() -> None:
    draws = np.linspace(0.0005, 0.9995, 1000)
    made = distribution(uncertain(shape="discrete", values=[2, 0], weights=[1, 3])).quantile(draws)
    assert (made == 0).mean() == pytest.approx(0.75, abs=0.002)
    assert set(made) == {0, 2}
    observed = distribution(uncertain(shape="empirical", values=[3, 1, 2])).quantile(draws)
    assert (observed.min(), np.median(observed), observed.max()) == pytest.approx((1, 2, 3))
    assert distribution(uncertain(shape="calibration"), interval=(0.8, 1.25)).quantile(np.array([0.1]))[0] == pytest.approx(0.8)  # fmt: skip


NOTHING = [
    {"shape": "normal", "mean": 1, "sd": 0},
    {"shape": "normal", "mean": 1, "sd": 0.1, "low": 2, "high": 1},
    {"shape": "normal", "mean": 1, "sd": 0.01, "low": 5, "high": 6},
    {"shape": "lognormal", "median": 1, "p90": 1},
    {"shape": "triangular", "low": 0, "mode": 2, "high": 1},
    {"shape": "uniform", "low": 1, "high": 1},
    {"shape": "discrete", "values": []},
    {"shape": "empirical", "values": [1, 1]},
]


def test_what_is_wrong_in_itself_is_refused_before_any_work() -> None:
    told: list[str] = []
    ask = partial(risk, small(), catalog(), samples=4, watch=lambda what, *_: told.append(what))
    with pytest.raises(
        InputError, match=r"a uniform distribution has no support: low 2 is not below high 1 \(in quarters\)"
    ):
        ask(uncertain=risk_of({"what": "sites.*.delay", "shape": "uniform", "low": 2, "high": 1}))
    names = ["platforms.a.supply", "serving.assistant.demand", "serving.assistant.prices"]
    stated = [{"what": n, "shape": "uniform", "low": 0.8, "high": 1.2} for n in names]
    pairs = zip(combinations(names, 2), (0.9, -0.9, 0.9), strict=True)
    with pytest.raises(InputError, match="not positive definite"):
        ask(uncertain=risk_of(*stated, correlations=[{"between": list(b), "value": v} for b, v in pairs]))
    assert not told


@pytest.mark.parametrize("stated", NOTHING, ids=str)
def test_a_distribution_without_support_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"x: an? \w+ distribution has no support"):
        distribution(uncertain(**stated))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"shape": "normal", "mean": 0.1, "sd": 1}, r"reaches -[\d.]+; factors and delays start at 0"),
        ({"shape": "normal", "mean": 1}, "'sd' is missing"),
        ({"shape": "uniform", "low": 0, "high": 1, "sd": 1}, "'sd' is not one of them"),
        ({"shape": "discrete", "values": [1, 2], "weights": [1]}, "one weight for each of its 2 values"),
        ({"shape": "calibration"}, "of performance alone"),
    ],
)
def test_parameters_that_do_not_fit_are_named(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        distribution(uncertain(**stated))


def test_draws_go_together_as_stated_and_cover_evenly() -> None:
    u = uniforms(1024, correlation_root(["a", "b", "c"], {(0, 1): 0.7, (1, 2): -0.4}), seed=3)
    scores = stats.norm.ppf(u)
    assert np.corrcoef(scores, rowvar=False) == pytest.approx(
        np.array([[1, 0.7, 0], [0.7, 1, -0.4], [0, -0.4, 1]]), abs=0.02
    )
    assert np.histogram(u[:, 2], 16, (0, 1))[0] == pytest.approx(np.full(16, 64), abs=12)
    assert (uniforms(100, correlation_root(["a", "b", "c"], {(0, 1): 0.7, (1, 2): -0.4}), seed=3) == u[:100]).all()


def test_correlations_that_cannot_be_name_the_pair() -> None:
    with pytest.raises(
        InputError, match=r"not positive definite\): a with b 0\.9 beside b with c 0\.9, a with c -0\.9"
    ):
        correlation_root(["a", "b", "c"], {(0, 1): 0.9, (1, 2): 0.9, (0, 2): -0.9})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("sites.nroth.delay", r"did you mean 'sites\.north\.delay'\?"),
        ("weather", r"Known kinds: .*operations\.failures"),
        ("platforms.*.colour", "no figure that can be uncertain"),
    ],
)
def test_figures_that_do_not_exist_are_named(what: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Worlds(problem(), risk_of({"what": what, "shape": "uniform", "low": 0, "high": 1}), 4, 1)


def test_a_figure_stated_twice_and_a_correlation_of_nothing_are_refused() -> None:
    delay = {"shape": "uniform", "low": 0, "high": 1}
    with pytest.raises(
        InputError, match=r"sites\.north\.delay is in both 'sites\.\*\.delay' and 'sites\.north\.delay'"
    ):
        Worlds(problem(), risk_of({"what": "sites.*.delay", **delay}, {"what": "sites.north.delay", **delay}), 4, 1)
    pair = [{"between": ["sites.north.delay", "prices"], "value": 0.5}]
    with pytest.raises(InputError, match="'prices' is not among the variables"):
        Worlds(problem(), risk_of({"what": "sites.*.delay", **delay}, correlations=pair), 4, 1)
    with pytest.raises(InputError, match="a delay happens once"):
        Worlds(problem(), risk_of({"what": "sites.*.delay", "pattern": "walk", **delay}), 4, 1)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 1, 0.5), (1, 0, -0.5)], r"sites.\*.delay with platforms.a.supply 0.5 contradicts platforms.a.supply with .* -0.5"),
        ([(1, 1, 0.5)], r"platforms.a.supply with itself 0.5: a figure goes with itself entirely"),
        ([(0, 2, 0.5)], r"'platforms.a.suply' is not among .*did you mean 'platforms.a.supply'\? \(they are sites.\*.delay, platforms"),
    ],
)  # fmt: skip
def test_correlations_that_contradict_each_other_are_refused_before_any_work(
    pairs: list[tuple[int, int, float]], message: str
) -> None:
    names = ["sites.*.delay", "platforms.a.supply", "platforms.a.suply"]
    stated = [{"what": n, "shape": "uniform", "low": 0.8, "high": 1.2} for n in names[:2]]
    correlations = [{"between": [names[a], names[b]], "value": value} for a, b, value in pairs]
    with pytest.raises(InputError, match=message):
        check_statements(risk_of(*stated, correlations=correlations), "risk")


def test_each_of_a_kind_may_go_with_the_others_and_one_of_them_not_otherwise() -> None:
    delay = {"what": "sites.*.delay", "shape": "uniform", "low": 0, "high": 1}
    each = {"between": ["sites.*.delay", "sites.*.delay"], "value": 0.5}
    Worlds(problem(), risk_of(delay, correlations=[each]), 4, 1)
    one = {"between": ["sites.north.delay", "sites.south.delay"], "value": 0.1}
    with pytest.raises(
        InputError, match=r"sites\.\*\.delay with sites\.\*\.delay 0\.5 contradicts sites.north.delay with"
    ):
        Worlds(problem(), risk_of(delay, correlations=[each, one]), 4, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds nothing; uncertain figures are expected under `variables`"),
        ("variables: [{what: x, shape: uniform, low: 0 MW, high: 1}]", r"variables.0.low: '0 MW' is not a factor .* or a delay"),
        ("variables: [{what: x, shape: normal, mean: .nan, sd: 1}]", r"variables.0.mean: nan is not a factor"),
        ("variables: [{what: x, shape: uniform, low: 0, high: 1}]\ncorrelations: [{between: [x, y], value: 1.5}]", r"correlations.0.value: below 1 is expected \(found 1.5\)"),
    ],
)  # fmt: skip
def test_a_file_of_uncertain_figures_is_refused_in_plain_words(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "risk.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_risk(tmp_path / "risk.yaml")


def test_planners_cannot_see_ahead() -> None:
    """Worlds that agree until a quarter are believed to be the same then, whatever they become."""
    worlds = Worlds(problem(), risk_of(), 16, 1)
    count = len(worlds.problem.quarters)
    for now in (0, 1, 4, 6):
        one, two = worlds.tracks(3), worlds.tracks(7)
        merged = [b if v.delay or v.stated.pattern == "constant" else np.where(np.arange(count) < now, a, b)
                  for v, a, b in zip(worlds.variables, one, two, strict=True)]  # fmt: skip
        for v, a, b in zip(worlds.variables, worlds.beliefs(one, now), worlds.beliefs(merged, now), strict=True):
            shows = min(t.first for t in v.targets) < now and v.stated.pattern == "constant"
            if not shows:
                assert (a == b).all(), v.name


def test_what_matters_is_found_in_a_function_whose_shares_are_known() -> None:
    scores = stats.norm.ppf(uniforms(1024, np.eye(4), seed=1))
    outcome = 3 * scores[:, 0] - 2 * scores[:, 1] + scores[:, 2] ** 2
    truth = np.array([9, 4, 2, 0]) / 15
    found = sensitivity(scores, outcome)
    assert found.shapley == pytest.approx(truth, abs=0.03)
    assert found.explained == pytest.approx(1.0, abs=0.01)
    assert first_order(scores, outcome) == pytest.approx(truth, abs=0.06)
    assert (np.sign(found.slope[:2]) == [1, -1]).all()


def test_inputs_that_go_together_share_what_they_explain() -> None:
    """Two of correlation r with equal slopes have equal effects: Owen and Prieur 2017."""
    root = correlation_root(["a", "b", "c"], {(0, 1): 0.8})
    scores = stats.norm.ppf(uniforms(2048, root, seed=2))
    found = sensitivity(scores, scores[:, 0] + scores[:, 1] + scores[:, 2])
    total = 2 + 2 * 0.8 + 1
    assert found.shapley == pytest.approx(np.array([1.8, 1.8, 1.0]) / total, abs=0.02)
