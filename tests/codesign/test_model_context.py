"""What a context is worth: requests' lengths against samples, the law against its paper, choices against their limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gigaforge.catalog import load_catalog
from gigaforge.codesign.hardware import Economics
from gigaforge.codesign.models import (
    CONTEXT_LAW,
    CONTEXTS,
    Choice,
    Lifetime,
    LifeWindow,
    ModelCosts,
    Requests,
    Running,
    Target,
    choose,
    iso_loss_rows,
    law,
    shape,
    windows_of,
)
from gigaforge.errors import InputError
from gigaforge.perf.inference import Traffic
from gigaforge.perf.transformer import Transformer

ECONOMICS = Economics.market(capital_per_year=0.28, watt_usd_per_year=1.6, joule_usd=2.5e-8)
REQUESTS = st.builds(Requests, st.floats(50, 2e5), st.floats(0, 500), st.floats(0, 4))
SIZES = np.array([1e9, 7e9, 2e10, 7e10, 1e12])


def life(prompt: float = 4000, spread: float = 1.31, share: float = 0.5, **more: object) -> Lifetime:
    traffic = Traffic(prompt, 600, ttft_s=5.0, tpot_s=0.05, percentile="mean")
    running = Running.on(load_catalog(), "gb200-nvl72", ECONOMICS, traffic, spread=spread, label="chat", **more)
    return Lifetime(running, [(running, share)])


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.31, 3.0])
@pytest.mark.parametrize("window", [900.0, 5000.0, 40000.0])
def test_closed_forms_are_what_samples_say(spread: float, window: float) -> None:
    requests = Requests(4000, 600, spread)
    sigma = np.sqrt(np.log1p(spread**2))
    normal = np.random.default_rng(5).standard_normal(2_000_000)
    prompts = np.exp(np.log(4000) - sigma**2 / 2 + sigma * normal)
    held = np.minimum(prompts, window - 600)
    assert requests.cut(window) == pytest.approx((prompts > window - 600).mean(), abs=1e-3)
    assert requests.kept(window) == pytest.approx(held.mean(), rel=0.01)
    for beta in (0.45, 0.51):
        assert requests.lost(window, beta) == pytest.approx((held**-beta - prompts**-beta).mean(), rel=0.02, abs=1e-7)


def test_the_law_is_its_papers() -> None:
    # Figure 1; and section 3.1: twice the context takes the 70B model's reducible loss to 0.7 times.
    for active, alpha, beta in ((7e9, 25.4, 0.45), (13e9, 19.5, 0.48), (34e9, 17.7, 0.50), (70e9, 17.9, 0.51)):
        assert np.array(CONTEXT_LAW.constants(active)) == pytest.approx((alpha, beta))
    alike = [Requests(c, 0.0, 0.0) for c in (8192.0, 16384.0)]
    # Prompts all alike, cut to half: what is lost is the law's own difference.
    for requests in alike:
        half = CONTEXT_LAW.penalty(70e9, requests, requests.prompt / 2)
        whole = (17.9 / requests.prompt) ** 0.51
        assert half == pytest.approx(whole * (2**0.51 - 1))
        assert whole / (whole + half) == pytest.approx(0.7, abs=0.005)


def test_a_lognormal_of_a_traces_mean_and_spread_keeps_what_the_trace_keeps() -> None:
    # Mooncake's conversations: 12,031 prompts, mean 12,035, spread 1.31; shares of tokens that windows leave, and that they cut.
    requests = Requests(12035, 0.0, load_catalog().fact("input-tokens-spread").value)
    for times, kept, cut in ((1, 0.582, 0.328), (2, 0.790, 0.128), (4, 0.920, 0.036), (8, 0.991, 0.007)):
        assert requests.kept(times * 12035) / 12035 == pytest.approx(kept, abs=0.04)
        assert requests.cut(times * 12035) == pytest.approx(cut, abs=0.025)


@settings(max_examples=200, deadline=None)
@given(requests=REQUESTS, window=st.floats(600, 2e6), wider=st.floats(1.0, 50.0))
def test_a_wider_window_never_loses_more(requests: Requests, window: float, wider: float) -> None:
    near, far = (CONTEXT_LAW.penalty(SIZES, requests, w) for w in (window, window * wider))
    assert (near >= 0).all()
    assert (far <= near * (1 + 1e-9) + 1e-15).all()
    assert requests.cut(window * wider) <= requests.cut(window)
    assert requests.kept(window) <= requests.kept(window * wider) * (1 + 1e-9) <= requests.prompt * (1 + 1e-6)
    assert (CONTEXT_LAW.penalty(SIZES, requests, 1e30) < 1e-9).all()


@settings(max_examples=100, deadline=None)
@given(prompt=st.floats(100, 1e5), longer=st.floats(1.0, 20.0), spread=st.floats(0.1, 3), window=st.floats(1000, 1e6))
def test_longer_requests_are_cut_more(prompt: float, longer: float, spread: float, window: float) -> None:
    short, long = Requests(prompt, 600, spread), Requests(prompt * longer, 600, spread)
    assert long.cut(window) >= short.cut(window)
    assert long.kept(window) >= short.kept(window) * (1 - 1e-9)


def flat(n: float, experts: int, _tokens: float) -> ModelCosts:
    return ModelCosts(6 * n * 1e-18, 2 * n * (1 + experts / 50) * 1e-18, 0.4, 72, 8)


class Flat(LifeWindow):
    """Costs of constant prices per FLOP: what a window keeps is served, what it lengthens is trained."""

    def costs(self, model: object, tokens: float, base: ModelCosts) -> ModelCosts:
        running = self.life.serving[0][0]
        kept = running.requests.kept(self.context) / running.requests.prompt
        return replace(
            base,
            train_usd_per_token=base.train_usd_per_token * self.compute(model),  # type: ignore[arg-type]
            serve_usd_per_token=base.serve_usd_per_token * (0.5 + 0.5 * kept),
        )


def chosen(prompt: float, target: Target, most_cut: float = 0.01, share: float = 0.05, **more: object) -> Choice:
    windows = [Flat(c, life(prompt), share) for c in CONTEXTS]
    return choose(
        law("joint-moe-2025"), target, life(), serve_tokens=1e13, costing=flat, windows=windows, most_cut=most_cut,
        **({"expansions": (1, 8)} | more),  # type: ignore[arg-type]
    )  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(prompt=st.floats(300, 3e4), longer=st.floats(1.0, 8.0), kind=st.sampled_from(["loss", "usd", "flop"]))
def test_longer_requests_choose_no_shorter_context(prompt: float, longer: float, kind: str) -> None:
    target = Target(kind, {"loss": 1.9, "usd": 1e8, "flop": 1e25}[kind])  # type: ignore[arg-type]
    one, other = chosen(prompt, target), chosen(prompt * longer, target)
    assert one.model.max_context <= other.model.max_context
    for c in (one, other):
        assert c.requests_cut <= 0.01 or c.model.max_context == max(CONTEXTS)
        assert c.model.max_context > 600
        assert c.context_penalty >= 0


@settings(max_examples=6, deadline=None)
@given(
    prompt=st.floats(1000, 2e4), most=st.sampled_from([0.01, 0.1, 1.0]), kind=st.sampled_from(["loss", "usd", "flop"])
)
def test_the_choice_is_the_best_of_all_pairs(prompt: float, most: float, kind: str) -> None:
    """Pairs that are not searched could not have been better."""
    target = Target(kind, {"loss": 1.9, "usd": 1e8, "flop": 1e25}[kind])  # type: ignore[arg-type]
    found = chosen(prompt, target, most)
    by = "usd" if kind == "loss" else "loss"
    alone = []
    for context in CONTEXTS:
        window = Flat(context, life(prompt), 0.05)
        if window.cut <= most:
            alone.append(choose(law("joint-moe-2025"), target, life(), serve_tokens=1e13, costing=flat, windows=[window], expansions=(1, 8)))  # fmt: skip
    assume(alone)
    assert getattr(found, by) == pytest.approx(min(getattr(c, by) for c in alone), rel=1e-9)
    # The rows tell the same by context, and the loss reached counts the penalty.
    row = next(r for r in found.by_context() if r["context"] == found.model.max_context)
    assert row[by] == pytest.approx(getattr(found, by))
    rule = law("joint-moe-2025")
    assert found.loss == pytest.approx(
        float(rule.loss(found.active, found.tokens, found.experts)) + found.context_penalty
    )
    if kind == "loss":
        assert found.loss == pytest.approx(1.9)
    if kind == "flop":
        assert found.flop == pytest.approx(1e25)


def test_without_windows_nothing_of_context_enters() -> None:
    found = choose(
        law("joint-moe-2025"), Target("loss", 1.9), life(), serve_tokens=1e13, costing=flat, expansions=(1,)
    )
    assert (found.context_penalty, found.requests_cut, found.by_context()) == (0.0, 0.0, [])
    assert found.flop == pytest.approx(6 * found.active * found.tokens)
    assert found.to_dict()["context"] == 131072


def test_a_context_given_is_kept_and_its_range_and_cut_told() -> None:
    windows = [Flat(8192, life(12000), 0.05)]
    found = choose(
        law("joint-moe-2025"), Target("loss", 1.9), life(), serve_tokens=1e13, costing=flat, windows=windows
    )
    assert found.model.max_context == 8192
    assert any(
        "a mean request of chat, 12,600 tokens, is longer than the context of 8,192" in w for w in found.warnings
    )
    assert any("% of requests are cut to the context of 8,192 tokens" in w for w in found.warnings)
    long = chosen(60000, Target("flop", 1e26))
    assert any("Xiong et al. 2023" in w and "times above 32,768 tokens" in w for w in long.warnings)
    (said,) = CONTEXT_LAW.warnings(2.8e11, 65536)
    assert said.startswith(
        "beyond what Xiong et al. 2023 fitted the worth of context on: active parameters 280B is 4 times above "
    )
    assert said.endswith("the range 7B to 70B, context 65,536 is 2 times above 32,768 tokens")
    assert CONTEXT_LAW.warnings(13e9, 32768) == []


def test_where_all_contexts_cut_too_many_the_longest_is_taken() -> None:
    found = chosen(5e5, Target("loss", 1.9))
    assert found.model.max_context == max(CONTEXTS)
    assert any("is the longest tried" in w for w in found.warnings)


def test_deepseek_v3s_long_stage_costs_about_what_it_took() -> None:
    """119 of 2,664 thousand GPU hours, 4.5 %, for 62.9B tokens at 32K and as many at 128K beside 14.8T at 4K (tables 1, section 4.3)."""
    catalog, whole = load_catalog(), Traffic(2048, 512, ttft_s=5.0, tpot_s=0.05, percentile="mean")
    one = Running.on(catalog, "hgx-h800", ECONOMICS, whole, seq_len=4096, rack_usd=3e5)
    model = catalog.model("deepseek-v3")
    base, _, gang = one.train(model, 14.8e12)
    short, long = (one.train_long(model, 14.8e12, context, 2048)[0] for context in (32768, 131072))
    assert gang <= 2048
    stage = 62.9e9 * (short + long) / (14.8e12 * base)
    assert 119 / 2664 / 1.6 < stage < 119 / 2664 * 1.6  # 2.9 %


def test_a_longer_context_costs_more_training_and_less_of_its_peak() -> None:
    model, one = shape("m", 37e9, 32), life()
    base = one.costs(model, 14.8e12)
    costs = [w.costs(model, 14.8e12, base) for w in windows_of(one, (8192, 32768, 131072, 1048576), 0.05)]
    assert costs[0].train_usd_per_token == base.train_usd_per_token
    assert np.diff([c.train_usd_per_token for c in costs]).min() > 0
    assert costs[2].mfu < base.mfu
    # Compute by attention's own FLOPs; no share, no stage.
    window = LifeWindow(131072, one, 0.05)
    flops = Transformer.from_catalog(model).training_flops_per_token
    assert window.compute(model) == pytest.approx(0.95 + 0.05 * float(flops(131072.0)) / float(flops(8192.0)))
    assert LifeWindow(131072, one, 0.0).costs(model, 14.8e12, base).train_usd_per_token == base.train_usd_per_token


def test_prompts_cut_are_cheaper_to_serve_and_whole_ones_cost_the_same() -> None:
    model, one = shape("m", 37e9), life(12000)
    base = one.costs(model, 1e13)
    short, long = windows_of(one, (8192, 262144), 0.05)
    assert not short.whole
    assert long.whole
    assert short.costs(model, 1e13, base).serve_usd_per_token < 0.95 * base.serve_usd_per_token
    assert long.costs(model, 1e13, base).serve_usd_per_token == base.serve_usd_per_token


def test_curves_carry_their_context() -> None:
    found = chosen(4000, Target("loss", 1.9))
    rows = iso_loss_rows(found)
    assert {r["context"] for r in rows if r["experts"] == found.experts} == {found.model.max_context}
    assert [r["context"] for r in found.by_context()] == list(CONTEXTS)
    cut = [r["requests_cut"] for r in found.by_context()]
    assert cut == sorted(cut, reverse=True)


def test_wrong_contexts_are_refused_by_name() -> None:
    for contexts, message in (((), "is empty; give one"), ((0,), "0 tokens; at least 1"), ((100, 600), "none of 100, 600 tokens has room beside answers of 600")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            windows_of(life(), contexts, 0.05)
    with pytest.raises(InputError, match="nothing is served, so no request says what a context is worth"):
        windows_of(replace(life(), serving=()), (8192,), 0.05)
    with pytest.raises(InputError, match="a share from 0 to 1"):
        windows_of(life(), (8192,), 1.5)
    for wrong in ({"prompt": 0.0}, {"answer": -1.0}, {"spread": 21.0}, {"prompt": float("nan")}):
        with pytest.raises(InputError, match=r"requests\."):
            Requests(**({"prompt": 4000.0, "answer": 600.0, "spread": 1.0} | wrong))
