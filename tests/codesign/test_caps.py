"""Power caps: what they do to speed, to joules, and to what a site holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.codesign.caps import cap_levels, held_w
from gigaforge.codesign.point import full_power_w
from gigaforge.codesign.serving_space import serving_space, worth_choosing
from gigaforge.codesign.training_space import training_space
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.scenario.schema import Serving, TrainingRun
from tests.perf.serving_fixtures import gb200, h100, served

QUARTERS = [Quarter.parse("2026-Q3"), Quarter.parse("2026-Q4")]
SERVING = Serving.model_validate(
    {"name": "chat", "model": "llama-3-70b", "weekly_users": "1M", "messages_per_user_week": 10,
     "input_tokens": {"2026-Q3": "2000 tokens", "2026-Q4": "3000 tokens"}, "output_tokens": "500 tokens", "ttft": "2 s",
     "tpot": "50 ms", "precision": "fp8",
     "prices": {"input": "$1/Mtoken", "output": "$4/Mtoken", "cached": "$0.1/Mtoken"}}
)  # fmt: skip
RUN = TrainingRun.model_validate(
    {"name": "run", "model": "llama-3-70b", "tokens": "2T tokens", "start": "2026-Q3", "end": "2026-Q4"}
)


def test_levels_run_from_the_least_that_can_be_kept_to_the_limit() -> None:
    levels = cap_levels(h100(), count=5)
    assert levels[-1] == 700.0
    assert 0.25 * 700 < levels[0] < 0.4 * 700
    assert (np.diff(levels) > 0).all()
    with pytest.raises(InputError, match="lowest cap"):
        cap_levels(h100(), 100.0)
    with pytest.raises(InputError, match="at least one"):
        cap_levels(h100(), count=0)


def test_a_rack_holds_its_nameplate_at_the_limit_and_less_below() -> None:
    assert held_w(gb200(), 1200.0) == pytest.approx(full_power_w(gb200()))
    assert held_w(gb200(), 900.0) == pytest.approx(full_power_w(gb200()) - 72 * 300.0)


@pytest.fixture(scope="module")
def points():
    found, evaluated, _ = serving_space(served("llama-3-70b"), gb200(), SERVING, QUARTERS, caps=6, moments=2)
    assert evaluated > 6 * len(found)
    return found


def test_a_lower_cap_is_never_faster(points) -> None:
    for t in range(2):
        best = {}
        for p in points:
            best[p.cap_w] = max(best.get(p.cap_w, 0.0), p.tokens_per_s_by_quarter[t])
        rates = [best[cap] for cap in sorted(best)]
        assert rates == sorted(rates)


def test_a_cap_gives_more_tokens_per_joule_than_the_limit(points) -> None:
    ratio = {p.cap_w: 0.0 for p in points}
    for p in points:
        ratio[p.cap_w] = max(ratio[p.cap_w], p.tokens_per_s_by_quarter[0] / p.held_w_per_rack)
    assert max(ratio.values()) > ratio[1200.0] * 1.01  # little here: latency targets bind as clocks fall


def test_no_point_draws_more_than_is_held_for_it(points) -> None:
    assert all(p.it_power_w_per_rack <= p.held_w_per_rack * (1 + 1e-9) for p in points)
    assert all(p.ttft_s <= SERVING.ttft and p.tpot_s <= SERVING.tpot for p in points)


def test_the_first_points_are_the_fastest_at_full_power(points) -> None:
    first = points[0]
    assert first.cap_w == 1200.0
    assert first.tokens_per_s_by_quarter[0] == max(p.tokens_per_s_by_quarter[0] for p in points)


def test_training_is_slower_under_a_lower_cap_and_thriftiest_at_a_knee() -> None:
    found = training_space(served("llama-3-70b"), gb200(), RUN, caps=6)
    caps = [p.cap_w for p in found]
    assert caps == sorted(caps, reverse=True)
    rates = [p.tokens_per_s_per_rack for p in found]
    assert rates == sorted(rates, reverse=True)
    ratio = np.array([p.tokens_per_s_per_rack / p.held_w_per_rack for p in found])
    knee = int(ratio.argmax())
    assert 0 < knee < len(ratio) - 1
    assert (np.diff(ratio[: knee + 1]) > 0).all()
    assert (np.diff(ratio[knee:]) < 0).all()
    assert len({p.racks_per_unit for p in found}) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=1, max_size=12), st.floats(0.01, 10))
def test_what_is_kept_holds_the_best_at_any_price(rows: list[tuple[float, float]], price: float) -> None:
    tokens, power = np.array(rows).T
    kept = worth_choosing(tokens, power, 0.5)
    value = tokens - price * (power - 0.5)
    if value.max() > 1e-9:
        assert value[kept].max() == pytest.approx(value.max())
