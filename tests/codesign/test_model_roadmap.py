"""Scaling laws against their papers, optima against stationarity, and choices at the performance model's costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.catalog import load_catalog, parameter_count
from gigaforge.codesign.hardware import Economics
from gigaforge.codesign.models import (
    LAWS,
    Law,
    ModelCosts,
    Power,
    Running,
    Target,
    choose,
    law,
    optimal_tokens_llama3,
    shape,
    tokens_for_loss,
)
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.inference import Traffic, search
from gigaforge.perf.transformer import Transformer

ECONOMICS = Economics.market(capital_per_year=0.28, watt_usd_per_year=1.6, joule_usd=2.5e-8)
TRAFFIC = Traffic(2048, 512, ttft_s=3.0, tpot_s=0.05, percentile="mean")


def numeric_optimum(one: Law, flop: float, experts: float = 1.0) -> tuple[float, float]:
    sizes = np.exp(np.linspace(np.log(1e7), np.log(1e14), 40001))
    i = int(np.argmin(one.loss(sizes, flop / 6 / sizes, experts)))
    return float(sizes[i]), float(flop / 6 / sizes[i])


def test_chinchilla_at_its_compute_is_70b_on_1_4t() -> None:
    corrected, original = law("chinchilla-2024"), law("chinchilla-2022")
    assert isinstance(corrected, Power)
    assert isinstance(original, Power)
    size, tokens = corrected.optimum(5.76e23)
    assert size == pytest.approx(70e9, rel=0.1)
    assert tokens == pytest.approx(1.4e12, rel=0.1)
    # The original parametric fit itself says 40 billion (Hoffmann et al., figure 4), which is what the correction mends.
    assert original.optimum(5.76e23)[0] == pytest.approx(40e9, rel=0.03)


def test_llama_3_at_its_compute_is_402b_on_16_55t() -> None:
    tokens = optimal_tokens_llama3(3.8e25)
    assert tokens == pytest.approx(16.55e12, rel=0.03)
    assert 3.8e25 / 6 / tokens == pytest.approx(402e9, rel=0.05)


@pytest.mark.parametrize("flop", [1e20, 1e22, 5.76e23, 1e26])
@pytest.mark.parametrize("name", ["chinchilla-2022", "chinchilla-2024"])
def test_closed_form_optima_are_the_numeric_ones(name: str, flop: float) -> None:
    one = law(name)
    assert isinstance(one, Power)
    assert one.optimum(flop) == pytest.approx(numeric_optimum(one, flop), rel=2e-3)


@pytest.mark.parametrize(
    ("flop", "experts", "active", "tokens"),
    [
        (1e20, 1, 1.7e9, 9.7e9), (1e20, 8, 990e6, 17e9), (1e20, 32, 669e6, 24.9e9), (1e21, 4, 4.4e9, 38e9),
        (1e22, 1, 18.8e9, 88.6e9), (1e22, 16, 13.2e9, 126.5e9), (1e22, 32, 12.2e9, 136.9e9),
    ],
)  # fmt: skip
def test_the_joint_mixture_law_gives_its_papers_table_1(
    flop: float, experts: int, active: float, tokens: float
) -> None:
    assert numeric_optimum(law("joint-moe-2025"), flop, experts) == pytest.approx((active, tokens), rel=0.03)


@pytest.mark.parametrize(
    ("active", "tokens", "granularity", "loss"),
    [(1e8, 4.37e9, 8, 3.133), (1e9, 28.94e9, 16, 2.491), (7e9, 137.6e9, 32, 2.076), (1e12, 7.94e12, 64, 1.367)],
)
def test_the_fine_grained_law_gives_its_papers_table_2(
    active: float, tokens: float, granularity: int, loss: float
) -> None:
    assert float(law("fine-grained-2024").loss(active, tokens, 64, granularity)) == pytest.approx(loss, rel=0.011)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["chinchilla-2022", "chinchilla-2024", "joint-moe-2025", "sparsity-2025", "leverage-2025"]),
    active=st.floats(1e8, 1e13),
    tokens=st.floats(1e9, 1e15),
    expansion=st.sampled_from([1, 2, 8, 32]),
)
def test_more_of_anything_never_raises_the_loss(name: str, active: float, tokens: float, expansion: int) -> None:
    one = law(name)
    experts = float(expansion) if one.mixtures else 1.0
    here = float(one.loss(active, tokens, experts, 9.0))
    assert float(one.loss(active * 1.5, tokens, experts, 9.0)) < here
    assert float(one.loss(active, tokens * 1.5, experts, 9.0)) < here
    assert here > one.floor


@pytest.mark.parametrize("name", sorted(LAWS))
def test_what_is_no_size_has_no_loss(name: str) -> None:
    for sizes, what in (((-1e9, 1e10), "active parameters"), ((1e9, 0.0), "training tokens"), ((1e9, 1e10, 0.5), "expansion"),
                        ((1e9, float("nan")), "training tokens")):  # fmt: skip
        with pytest.raises(InputError, match=what):
            law(name).loss(*sizes)


def test_mixtures_beat_dense_models_of_the_same_compute() -> None:
    for name in ("joint-moe-2025", "sparsity-2025"):
        one = law(name)
        best = [float(one.loss(*numeric_optimum(one, 1e21, e), e)) for e in (1, 4, 16, 32)]
        assert (np.diff(best) < 0).all()
    routed = law("routed-2022").loss(1.3e9, 130e9, np.array([1.0, 8.0, 64.0, 512.0]))
    assert (np.diff(routed) < 0).all()
    # DeepSeek-V3's 37 of 671 billion parameters, 256 experts of which eight are used, on 14.8T tokens: a dense model of that
    # loss is ten times larger at its own optimum, a dense one as small needs many times the data, and the best mixture of
    # that loss takes less than half the dense optimum's compute.
    joint = law("joint-moe-2025")
    loss = float(joint.loss(37e9, 14.8e12, 32))
    sizes = np.exp(np.linspace(np.log(1e9), np.log(1e14), 4001))
    dense, mixed = (6 * sizes * tokens_for_loss(joint, sizes, loss, e) for e in (1.0, 32.0))
    assert sizes[np.argmin(dense)] > 8 * 37e9
    assert float(tokens_for_loss(joint, np.array([37e9]), loss)[0]) > 5 * 14.8e12
    assert dense.min() > 2 * mixed.min()
    assert dense.min() > 6 * 37e9 * 14.8e12
    assert float(joint.total(37e9, 32)) == pytest.approx(671e9, rel=0.25)


def test_a_law_asked_outside_its_range_says_so_in_the_answer() -> None:
    warnings = law("chinchilla-2024").warnings(405e9, 15.6e12)
    assert any("active parameters 405B is 25.3 times above the range" in w for w in warnings)
    assert law("chinchilla-2024").warnings(1e9, 20e9) == []
    assert any("expansion" in w for w in law("joint-moe-2025").warnings(1e9, 20e9, 64))
    with pytest.raises(InputError, match="130B training tokens only"):
        law("routed-2022").loss(1e9, 1e12)
    with pytest.raises(InputError, match="dense models only"):
        law("chinchilla-2024").loss(1e9, 1e12, 8)
    with pytest.raises(InputError, match="expansion of 64 only"):
        law("fine-grained-2024").loss(1e9, 1e12, 8)
    with pytest.raises(InputError, match="did you mean 'chinchilla-2024'"):
        law("chinchila-2024")
    assert all(one.source.startswith("https://") for one in LAWS.values())


def per_flop(train: float, serve: float) -> object:
    """Costs of a constant price per FLOP: 6N a trained token, 2N a served one."""
    return lambda n, _e, _d: ModelCosts(6 * n * train, 2 * n * serve, 0.4, 8, 8)


@settings(max_examples=12, deadline=None)
@given(demand=st.floats(1e10, 1e14), loss=st.floats(1.95, 2.2), dear=st.floats(0.3, 3.0))
def test_least_cost_at_a_loss_is_stationary_with_inference_counted(demand: float, loss: float, dear: float) -> None:
    one = law("chinchilla-2024")
    assert isinstance(one, Power)
    found = choose(
        one, Target("loss", loss), running(), serve_tokens=demand, costing=per_flop(1e-18, dear * 1e-18), data_tokens=1e20
    )  # type: ignore[arg-type]  # fmt: skip
    n, d = found.active, found.tokens
    assert found.loss == pytest.approx(loss, abs=1e-6)
    if d < 9e3 * n:
        # Lagrange: α·A·N^-α / (β·B·D^-β) = (cost that grows with N) / (cost that grows with D); Sardana et al., eq. 4.
        ratio = (one.alpha * one.a * n**-one.alpha) / (one.beta * one.b * d**-one.beta)
        assert ratio == pytest.approx((6 * d + 2 * dear * demand) / (6 * d), rel=0.05)
        alone = choose(
            one, Target("loss", loss), running(), costing=per_flop(1e-18, 0.0), data_tokens=1e20  # type: ignore[arg-type]
        )  # fmt: skip
        assert n <= alone.active * 1.02
        assert d >= alone.tokens * 0.98


def running(system: str = "gb200-nvl72") -> Running:
    return Running.on(load_catalog(), system, ECONOMICS, TRAFFIC)


def test_least_loss_at_a_cost_and_least_cost_at_that_loss_are_the_same_model() -> None:
    one, price = law("joint-moe-2025"), per_flop(2e-18, 4e-18)
    at_cost = choose(one, Target("usd", 1e7), running(), serve_tokens=1e12, costing=price, expansions=(1, 8))  # type: ignore[arg-type]
    at_loss = choose(
        one, Target("loss", at_cost.loss), running(), serve_tokens=1e12, costing=price, expansions=(1, 8)
    )  # type: ignore[arg-type]
    assert at_cost.usd == pytest.approx(1e7, rel=0.01)
    assert at_loss.usd == pytest.approx(at_cost.usd, rel=0.01)
    assert at_loss.experts == at_cost.experts == 8


def test_a_real_choice_runs_the_performance_model_and_overtrains_where_much_is_served() -> None:
    one = law("chinchilla-2024")
    loss = float(one.loss(70e9, 1.4e12))
    research = choose(one, Target("loss", loss), running())
    product = choose(one, Target("loss", loss), running(), serve_tokens=2e13)
    assert product.active < research.active / 1.5
    assert product.tokens > research.tokens * 1.5
    assert product.serve_usd > 0
    assert 0.2 < research.mfu < 0.6
    assert research.loss == pytest.approx(loss, abs=1e-6)
    count = parameter_count(product.model)
    assert count.active == pytest.approx(product.active, rel=0.06)
    assert any("was fitted" in w for w in product.warnings)
    assert "curves" not in product.to_dict()


def test_kinds_are_served_in_one_precision_throughout() -> None:
    """A mixture's attention is not dearer than a dense model's for the way that today's checkpoints were quantised."""
    fp4 = replace(running(), serve_precision="fp4")
    transformer = Transformer.from_catalog(shape("x", 40e9, 8))
    best = search(transformer, fp4.hardware, TRAFFIC, precision="nvfp4", attention_precision="nvfp4").best()
    rate = float(best.tokens_per_s_per_gpu[0]) * fp4.utilisation
    assert fp4.serve(shape("x", 40e9, 8))[0] == pytest.approx(fp4.usd_per_s(float(best.system_power_w[0])) / rate)
    shipped = search(transformer, fp4.hardware, TRAFFIC, precision="nvfp4").best()
    assert best.tokens_per_s_per_gpu[0] > 1.05 * shipped.tokens_per_s_per_gpu[0]


def test_a_loss_that_any_model_reaches_is_called_that() -> None:
    found = choose(law("joint-moe-2025"), Target("loss", 20.0), running(), costing=per_flop(1e-18, 1e-18))  # type: ignore[arg-type]
    assert any("a loss of 20 asks for nothing" in w for w in found.warnings)


def test_the_limit_that_holds_the_size_is_named() -> None:
    target, price = Target("loss", 1.9), per_flop(1e-18, 1e-18)
    most = {"data_tokens": 1e13, "serve_tokens": 1e19, "costing": price, "expansions": (1,)}
    assert any(
        "a smaller model would need more than the 10T tokens" in w
        for w in choose(law("joint-moe-2025"), target, running(), **most).warnings
    )  # type: ignore[arg-type]
    free = most | {"data_tokens": 1e20}
    assert any(
        "10,000 tokens a parameter" in w for w in choose(law("joint-moe-2025"), target, running(), **free).warnings
    )  # type: ignore[arg-type]


def test_targets_that_no_model_meets_are_explained() -> None:
    with pytest.raises(NoAnswerError, match=r"no model of .* reaches a loss of 1\.8"):
        choose(law("chinchilla-2024"), Target("loss", 1.8), running(), costing=per_flop(1e-18, 1e-18))  # type: ignore[arg-type]
    with pytest.raises(NoAnswerError, match=r"no model meets a cost of \$1 on .*\n.*ask for fewer tokens to serve"):
        choose(law("chinchilla-2024"), Target("usd", 1.0), running(), serve_tokens=1e15)
    with pytest.raises(NoAnswerError, match=r"a loss of 1\.9 on .*\n.*more than the 1B tokens that there are"):
        choose(law("joint-moe-2025"), Target("loss", 1.9), running(), costing=per_flop(1e-18, 1e-18), data_tokens=1e9)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a positive number"):
        Target("loss", -1.0)
    for few in ((8,), (1, 8)):
        with pytest.raises(InputError, match=r"knows dense models only; give \[1\] alone"):
            choose(law("chinchilla-2024"), Target("loss", 2.0), running(), expansions=few)
    with pytest.raises(InputError, match="expansions: none is given"):
        choose(law("joint-moe-2025"), Target("loss", 2.0), running(), expansions=())
    with pytest.raises(NoAnswerError, match=r"a loss of 1\.3636 (?s:.)*below 1\.3637"):
        choose(law("joint-moe-2025"), Target("loss", 1.3636), running())
    with pytest.raises(InputError, match="tokens to serve"):
        choose(law("chinchilla-2024"), Target("loss", 2.0), running(), serve_tokens=-1.0)


@pytest.mark.parametrize("experts", [1, 8, 32])
@pytest.mark.parametrize("active", [1e9, 8e9, 37e9, 405e9, 2e12])
def test_shapes_have_the_size_asked_for(active: float, experts: int) -> None:
    model = shape("x", active, experts)
    count = parameter_count(model)
    assert count.active == pytest.approx(active, rel=0.05)
    assert model.heads % model.kv_heads == 0
    if experts > 1:
        assert count.total / count.active == pytest.approx(float(law("joint-moe-2025").total(1.0, experts)), rel=0.35)


def test_shapes_out_of_reach_are_refused() -> None:
    with pytest.raises(InputError, match="can be shaped"):
        shape("x", 1e6)
    with pytest.raises(InputError, match="expansion of 3"):
        shape("x", 1e9, 3)
