"""What may be recorded, and what is refused."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from gigaforge.cli.ledger_read import show, state
from gigaforge.errors import InputError
from gigaforge.ledger import Actor, HeadMovedError, Ledger, RefusedError, actions, spans, verify
from gigaforge.ledger.access import Identity
from gigaforge.ledger.keys import new_key, read_key
from gigaforge.ledger.overview import overview, rack_row
from gigaforge.ledger.terms import SiteTerms, SystemTerms
from gigaforge.web.pages.tranches import tranche_lines
from tests.ledger.world import (
    AMOUNT,
    ANN,
    BOB,
    CHO,
    COUNTED_W,
    DAN,
    EVE,
    RACK_W,
    TEST,
    accept,
    agree,
    approved,
    deliver,
    new_ledger,
    parties,
    racks,
    ready,
    terms,
)  # fmt: skip


def refused(rule: str):
    return pytest.raises(RefusedError, check=lambda error: error.rule == rule)


def test_a_tranche_from_delivery_to_release(ledger: Ledger) -> None:
    ready(ledger, 5)
    claim = approved(ledger)
    assert claim.data["racks"] == ["R00000", "R00001", "R00002", "R00003"]
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire 1"))
    state = ledger.state()
    assert state.accepted_w == 5 * COUNTED_W
    assert state.released_cents == AMOUNT
    assert verify(ledger.engine).to_dict()["findings"] == []


def test_nobody_approves_what_they_put_forward_nor_twice_nor_for_the_same_party(ledger: Ledger) -> None:
    ready(ledger)
    claim = ledger.append(actions.claim(ledger, ANN))
    with refused("self-approval"):
        ledger.append(actions.approval(ledger, ANN, claim.seq))
    with refused("self-approval"):
        ledger.append(actions.approval(ledger, Actor("nvidia", "ann"), claim.seq))
    with refused("not-approver"):
        ledger.append(actions.approval(ledger, EVE, claim.seq))
    ledger.append(actions.approval(ledger, CHO, claim.seq))
    with refused("second-approval"):
        ledger.append(actions.approval(ledger, CHO, claim.seq))
    with refused("second-approval"):
        ledger.append(actions.approval(ledger, Actor("openai", "cho"), claim.seq))
    with refused("same-party"):
        ledger.append(actions.approval(ledger, DAN, claim.seq))
    with refused("not-approved"):
        ledger.append(actions.release(ledger, DAN, claim.seq, "too early"))


def test_a_tranche_is_released_once_by_the_investor_for_its_amount(ledger: Ledger) -> None:
    ready(ledger)
    claim = approved(ledger)
    with refused("not-investor"):
        ledger.append(actions.release(ledger, BOB, claim.seq, "x"))
    right = actions.release(ledger, DAN, claim.seq, "wire").data
    with refused("amount"):
        ledger.append(actions.draft("release", DAN, {**right, "amount_cents": AMOUNT + 1}))
    ledger.append(actions.draft("release", DAN, right))
    with refused("not-approved"):
        ledger.append(actions.draft("release", DAN, right))


def test_a_rack_never_carries_two_tranches(ledger: Ledger) -> None:
    names = ready(ledger, 8)
    approved(ledger)
    for mixed in (names[:4], [*names[3:7]], ["r00000", *names[4:8]]):
        with refused("double-count"):
            ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": mixed}))
    with refused("rack-exists"):
        deliver(ledger, "r00000")
    with refused("order-of-events"):
        accept(ledger, names[0])
    with pytest.raises(InputError, match="twice"):
        ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": [names[5], names[5].lower()]}))


def test_not_even_after_it_was_taken_back_and_delivered_anew(ledger: Ledger) -> None:
    ready(ledger)
    claim = approved(ledger)
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    test, delivery = ledger.events(kind="acceptance")[-1], ledger.events(kind="delivery")[-1]
    ledger.append(actions.correction(ledger, ANN, test.seq, "wrong rack"))
    assert ledger.state().claims[str(claim.seq)]["live_w"] == 0
    ledger.append(actions.correction(ledger, CHO, delivery.seq, "wrong rack"))
    names = ready(ledger)
    assert ledger.state().claims[str(claim.seq)]["live_w"] == 4 * COUNTED_W
    with refused("double-count"):
        ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": names}))
    assert verify(ledger.engine).sound


def larger_anew(ledger: Ledger, names: list[str]) -> None:
    """Racks of a paid claim that are taken back, and delivered anew where each counts four times as much."""
    for event, who in (("acceptance", ANN), ("delivery", CHO)):
        ledger.append(actions.correction(ledger, who, ledger.events(kind=event, newest=True)[0].seq, "wrong system"))
    deliver(ledger, *names, system="large")
    accept(ledger, *names)


LARGE = {
    "systems": {n: SystemTerms(rack_w=RACK_W, accelerators=72, acceptance=TEST) for n in ("rack", "large")},
    "sites": {"abilene": SiteTerms(pue=1.25, counted_w={"rack": COUNTED_W, "large": 4 * COUNTED_W})},
}


def test_nor_does_it_help_to_carry_another_where_it_counts_more_then(where: str, tmp_path: Path) -> None:
    with new_ledger(where, tmp_path, **LARGE) as ledger:
        names = ready(ledger)
        claim = approved(ledger)
        ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
        larger_anew(ledger, names)
        accept(ledger, *deliver(ledger, "NEW").data["racks"])
        told = overview(ledger.state())
        assert "on 4 racks, 1 MW: released" in told["claims"][0]["words"]
        assert told["next"]["words"] == "tranche 2, $10M: 750 kW more to be accepted"
        with refused("too-little"):
            ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": ["NEW"]}))
        ready(ledger, 3, first=10)
        ledger.append(actions.release(ledger, DAN, approved(ledger).seq, "wire"))
        assert (overview(ledger.state())["notices"], verify(ledger.engine).sound) == ([], True)


def test_what_an_earlier_version_paid_on_such_racks_stays_sound_and_is_told(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_ledger(where, tmp_path, **LARGE) as ledger:
        names = ready(ledger)
        ledger.append(actions.release(ledger, DAN, approved(ledger).seq, "wire"))
        larger_anew(ledger, names)
        accept(ledger, *deliver(ledger, "NEW").data["racks"])
        with monkeypatch.context() as earlier:
            as_earlier_versions(earlier)
            claim = ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": ["NEW"]}))
            for who in (BOB, CHO):
                ledger.append(actions.approval(ledger, who, claim.seq))
            ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
        ledger.rebuild()
        assert verify(ledger.engine).sound
        (notice,) = overview(ledger.state())["notices"]
        assert notice["words"].startswith("tranche 2, $10M, is paid, now lacks 750 kW")


def test_a_tranche_that_earlier_claims_reach_asks_for_one_rack_more(ledger: Ledger) -> None:
    """State, page and claim say the same."""
    names = ready(ledger, 9)
    terms = ledger.state().in_force()
    assert terms is not None
    ledger.append(actions.draft("claim", ANN, {"tranche": 1, "racks": names[:8]}))
    assert overview(ledger.state())["next"]["words"] == "tranche 2, $10M: can be claimed"
    with_one = actions.claim(ledger, ANN)
    assert with_one.data["racks"] == names[8:]
    ledger.append(actions.correction(ledger, ANN, ledger.events(kind="acceptance")[-1].seq, "meter was off"))
    accept(ledger, *names[:8])
    assert overview(ledger.state())["next"]["words"] == "tranche 2, $10M: one rack more to be accepted"
    line = tranche_lines(ledger.state(), terms, Identity(ANN, "recorder"))[1]
    assert (line.note, line.acts) == ("one rack more must be accepted", [])
    with pytest.raises(RefusedError, match="tranche 2 needs one rack; none is free"):
        actions.claim(ledger, ANN)
    accept(ledger, names[8])
    assert [act.name for act in tranche_lines(ledger.state(), terms, Identity(ANN, "recorder"))[1].acts] == ["claim"]
    assert ledger.append(with_one).data["tranche"] == 2
    assert verify(ledger.engine).sound


def test_what_a_disputed_claim_has_over_carries_no_other(ledger: Ledger) -> None:
    """A tranche that stands on the surplus of an earlier one rests on that one's racks."""
    names = ready(ledger, 8)
    test = ledger.events(kind="acceptance")[0]
    ready(ledger, 4, first=10)
    first = ledger.append(actions.draft("claim", ANN, {"tranche": 1, "racks": names}))
    second = ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": ["R00010"]}))
    for claim in (first, second):
        for who in (BOB, CHO):
            ledger.append(actions.approval(ledger, who, claim.seq))
    dispute = ledger.append(actions.dispute(CHO, test.seq, "not measured"))
    told = overview(ledger.state())
    assert (told["due_usd"], told["held_usd"]) == (0, 2 * AMOUNT / 100)
    said = f"held back: while event {dispute.seq} disputes an earlier tranche it lacks 750 kW of accepted racks"
    assert said in told["claims"][1]["words"]
    with refused("too-little"):
        ledger.append(actions.release(ledger, DAN, second.seq, "wire"))
    ledger.append(actions.dispute(CHO, test.seq, "seen", "settled"))
    ledger.append(actions.release(ledger, DAN, second.seq, "wire"))
    assert verify(ledger.engine).sound


def test_what_was_corrected_away_cannot_be_released(ledger: Ledger) -> None:
    ready(ledger)
    claim = approved(ledger)
    ledger.append(actions.correction(ledger, ANN, ledger.events(kind="acceptance")[0].seq, "meter was off"))
    with refused("too-little"):
        ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))


def test_surplus_of_one_tranche_counts_for_the_next_and_the_cap_holds(ledger: Ledger) -> None:
    ready(ledger, 17)
    for _ in range(3):
        ledger.append(actions.release(ledger, DAN, approved(ledger).seq, "wire"))
    with refused("cap"):
        actions.claim(ledger, ANN)
    with refused("cap"):
        ledger.append(actions.draft("claim", ANN, {"tranche": 4, "racks": ["R00012"]}))
    assert ledger.state().released_cents == 3 * AMOUNT


def test_tranches_are_claimed_in_order_by_the_recipient_on_enough_accepted_power(ledger: Ledger) -> None:
    names = ready(ledger, 3)
    with refused("too-little"):
        ledger.append(actions.claim(ledger, ANN))
    with refused("in-order"):
        ledger.append(actions.draft("claim", ANN, {"tranche": 2, "racks": names}))
    deliver(ledger, "LATE")
    with refused("not-accepted"):
        ledger.append(actions.draft("claim", ANN, {"tranche": 1, "racks": [*names, "LATE"]}))
    with refused("not-recipient"):
        ledger.append(actions.draft("claim", CHO, {"tranche": 1, "racks": names}))


def test_a_rejected_claim_gives_its_racks_back(ledger: Ledger) -> None:
    ready(ledger)
    claim = ledger.append(actions.claim(ledger, ANN))
    ledger.append(actions.approval(ledger, CHO, claim.seq, "reject", note="no meter readings"))
    assert approved(ledger).data["tranche"] == 1


def test_a_dispute_holds_money_back_until_who_raised_it_settles(ledger: Ledger) -> None:
    ready(ledger)
    claim = approved(ledger)
    test = ledger.events(kind="acceptance")[0]
    ledger.append(actions.dispute(CHO, test.seq, "power was not measured"))
    with refused("disputed"):
        ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    with refused("no-dispute"):
        ledger.append(actions.dispute(ANN, test.seq, "it was", "settled"))
    ledger.append(actions.dispute(DAN, test.seq, "seen the meter", "settled"))
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    assert verify(ledger.engine).sound


@pytest.mark.parametrize(
    "subject",
    ["its approval", "an approval of the terms", "the terms", "a party", "a correction", "a dispute that ended"],
)
def test_a_dispute_of_anything_that_a_claim_rests_on_holds_its_money_back(ledger: Ledger, subject: str) -> None:
    names = ready(ledger)
    wrong = ledger.events(kind="acceptance")[-1]
    correction = ledger.append(actions.correction(ledger, ANN, wrong.seq, "meter was off"))
    test = accept(ledger, *names)
    ledger.append(actions.dispute(CHO, test.seq, "unsure"))
    ended = ledger.append(actions.dispute(DAN, test.seq, "seen", "settled"))
    claim = approved(ledger)
    seq = {
        "its approval": ledger.events(kind="approval")[-1].seq, "an approval of the terms": ledger.events(kind="approval")[0].seq,
        "the terms": ledger.events(kind="commitment")[0].seq, "a party": 1, "a correction": correction.seq,
        "a dispute that ended": ended.seq,
    }[subject]  # fmt: skip
    dispute = ledger.append(actions.dispute(CHO, seq, "not right"))
    told = overview(ledger.state(), ledger.disputed())
    assert (told["due_usd"], told["held_usd"]) == (0, AMOUNT / 100)
    assert f"held back: event {dispute.seq} disputes event {seq}, on which it rests" in told["claims"][0]["words"]
    assert told["disputes"][0]["claims"] == [claim.seq]
    assert "holds back" in told["disputes"][0]["words"]
    with refused("disputed"):
        ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    assert verify(ledger.engine).sound
    ledger.append(actions.dispute(CHO, seq, "it was", "settled"))
    assert overview(ledger.state())["due_usd"] == AMOUNT / 100
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    assert verify(ledger.engine).sound


def test_nothing_new_is_claimed_while_the_terms_or_a_correction_are_disputed(ledger: Ledger) -> None:
    names = ready(ledger)
    correction = ledger.append(
        actions.correction(ledger, ANN, ledger.events(kind="acceptance")[-1].seq, "meter was off")
    )
    accept(ledger, *names)
    for seq in (ledger.events(kind="commitment")[0].seq, correction.seq):
        dispute = ledger.append(actions.dispute(CHO, seq, "not right"))
        words = overview(ledger.state(), ledger.disputed())["next"]["words"]
        assert f"(event {dispute.seq})" in words or f"event {dispute.seq} disputes what every tranche" in words
        with pytest.raises(RefusedError, match=str(dispute.seq)):
            actions.claim(ledger, ANN)
        with refused("disputed"):
            ledger.append(actions.draft("claim", ANN, {"tranche": 1, "racks": names}))
        ledger.append(actions.dispute(CHO, seq, "it was", "settled"))
    assert approved(ledger).data["racks"] == names


def test_what_an_earlier_version_paid_over_a_dispute_stays_sound_and_is_told(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(ledger)
    claim = approved(ledger)
    dispute = ledger.append(actions.dispute(CHO, ledger.events(kind="commitment")[0].seq, "not right"))
    correction = ledger.append(actions.dispute(CHO, ledger.events(kind="approval")[-1].seq, "not right"))
    with monkeypatch.context() as earlier:
        as_earlier_versions(earlier)
        paid = ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    assert verify(ledger.engine).sound
    ledger.rebuild()
    (notice,) = overview(ledger.state())["notices"]
    assert notice["words"] == f"tranche 1, $10M, was paid (event {paid.seq}) over the dispute of event {dispute.seq}"
    assert notice["events"] == [dispute.seq, correction.seq, paid.seq]
    assert overview(ledger.state())["released_usd"] == AMOUNT / 100


def as_earlier_versions(patch: pytest.MonkeyPatch) -> None:
    """Events are recorded by the rules that history meets."""
    patch.setattr("gigaforge.ledger.state.State.recording", property(lambda _: False, lambda *_: None), raising=False)


def test_a_dispute_without_a_claim_is_told_wherever_somebody_may_look(
    ledger: Ledger, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ready(ledger, 3)
    accept(ledger, *(deliver(ledger, "R1", "R2").data["racks"]))
    test = ledger.events(kind="acceptance", newest=True)[0]
    dispute = ledger.append(actions.dispute(CHO, test.seq, "power [kW] was not measured"))
    told = overview(ledger.state(), ledger.disputed())
    assert told["next"]["disputed_w"] == 2 * COUNTED_W
    said = f"2 accepted racks, 500 kW, are disputed (event {dispute.seq})"
    assert told["next"]["words"] == f"tranche 1, $10M: 250 kW more to be accepted or settled; {said}"
    with pytest.raises(
        RefusedError, match=re.escape(f"tranche 1 lacks 250 kW of accepted racks that are free; {said}")
    ):
        actions.claim(ledger, ANN)
    objection = f"nvidia/cho disputes event {test.seq} (event {dispute.seq}): power [kW] was not measured"
    state(where)
    assert f"open dispute: {objection}" in " ".join(capsys.readouterr().out.split())
    show(test.seq, where)
    assert f"{objection}; until that is settled" in " ".join(capsys.readouterr().out.split())
    show(dispute.seq, where)
    assert "open until its party settles it" in capsys.readouterr().out
    ready(ledger, 1, first=3)
    assert "can be claimed" in overview(ledger.state(), ledger.disputed())["next"]["words"]
    assert "R1" not in ledger.append(actions.claim(ledger, ANN)).data["racks"]
    ledger.append(actions.dispute(CHO, test.seq, "it was", "settled"))
    show(dispute.seq, where)
    assert "settled since" in capsys.readouterr().out


def test_acceptance_is_judged_by_the_prediction(ledger: Ledger) -> None:
    deliver(ledger, *(f"T{n}" for n in range(7)))
    cases = [(1000, 180e3, "pass"), (890, 180e3, "doubtful"), (700, 180e3, "fail"), (1000, 205e3, "doubtful"),
             (1000, 230e3, "fail"), (2000, 180e3, "doubtful"), (1150, 150e3, "pass")]  # fmt: skip
    for n, (throughput, power_w, said) in enumerate(cases):
        assert accept(ledger, f"T{n}", throughput=throughput, power_w=power_w).data["verdict"] == said
    assert ledger.state().accepted_w == 2 * COUNTED_W
    accept(ledger, "T1")
    assert ledger.state().accepted_w == 3 * COUNTED_W
    with refused("verdict"):
        data = {"racks": ["T2"], "throughput": 1.0, "power_w": 1.0, "verdict": "pass"}
        ledger.append(actions.draft("acceptance", ANN, data))


def test_no_step_comes_before_the_one_before_it(ledger: Ledger) -> None:
    deliver(ledger, "A", day="2026-11-20")
    with refused("order-of-events"):
        accept(ledger, "A", day="2026-11-01")  # in the same quarter, and yet before it arrived
    accept(ledger, "A", day="2026-11-20", throughput=1.0)
    with refused("order-of-events"):
        accept(ledger, "A", day="2026-11-19")
    failed = ledger.events(kind="acceptance", newest=True)[0]
    ledger.append(actions.correction(ledger, ANN, failed.seq, "wrong rack"))
    installed = actions.draft("installation", CHO, {"racks": ["A"]}, happened_on="2026-11-21")
    ledger.append(installed)
    assert verify(ledger.engine).sound


@pytest.mark.parametrize(("asked", "enough"), [("installation", "installation"), ("energisation", "energisation")])
def test_terms_may_ask_what_comes_before_a_test(ledger: Ledger, asked: str, enough: str) -> None:
    agree(ledger, version=2, before_test=asked)
    deliver(ledger, "A")
    with refused("order-of-events"):
        accept(ledger, "A")
    if asked == "energisation":
        ledger.append(actions.draft("installation", CHO, {"racks": ["A"]}, happened_on="2026-10-06"))
        with refused("order-of-events"):
            accept(ledger, "A")
    data = {"racks": ["A"]} | ({"site": "abilene"} if enough == "energisation" else {})
    ledger.append(actions.draft(enough, EVE, data, happened_on="2026-10-07"))
    assert accept(ledger, "A").data["verdict"] == "pass"


def test_a_claim_sent_twice_is_one_claim(ledger: Ledger) -> None:
    ready(ledger, 8)
    first = ledger.append(actions.claim(ledger, ANN, key="c1"))
    assert ledger.append(actions.claim(ledger, ANN, key="c1")).seq == first.seq
    assert ledger.append(actions.claim(ledger, ANN, 1, key="c1")).seq == first.seq
    with refused("key-reused"):
        ledger.append(actions.claim(ledger, ANN, 2, key="c1"))
    assert len(ledger.state().claims) == 1


def test_what_is_approved_but_cannot_be_paid_is_not_due(ledger: Ledger) -> None:
    ready(ledger)
    claim = approved(ledger)
    assert overview(ledger.state())["due_usd"] == AMOUNT / 100
    ledger.append(actions.dispute(CHO, claim.seq, "unsure"))
    told = overview(ledger.state())
    assert (told["due_usd"], told["held_usd"]) == (0, AMOUNT / 100)
    assert "held back" in told["claims"][0]["words"]
    ledger.append(actions.dispute(CHO, claim.seq, "sure", "settled"))
    test = ledger.events(kind="acceptance")[0]
    ledger.append(actions.correction(ledger, ANN, test.seq, "wrong"))
    told = overview(ledger.state())
    assert (told["due_usd"], told["held_usd"]) == (0, AMOUNT / 100)
    assert "lacks 1 MW" in told["claims"][0]["words"]


def test_a_system_without_a_test_and_a_site_that_does_not_count(ledger: Ledger) -> None:
    deliver(ledger, "X1", system="other")
    with refused("no-test"):
        accept(ledger, "X1")
    deliver(ledger, "E1", site="elsewhere")
    accept(ledger, "E1")
    assert ledger.state().accepted_w == 0
    with refused("does-not-count"):
        ledger.append(actions.draft("claim", ANN, {"tranche": 1, "racks": ["E1"]}))


def test_only_its_author_corrects_an_event_and_later_ones_first(ledger: Ledger) -> None:
    ready(ledger, 2)
    delivery, test = ledger.events(kind="delivery")[0], ledger.events(kind="acceptance")[0]
    with refused("order-of-events"):
        ledger.append(actions.correction(ledger, CHO, delivery.seq, "oops"))
    with refused("not-author"):
        ledger.append(actions.correction(ledger, CHO, test.seq, "oops"))
    ledger.append(actions.correction(ledger, BOB, test.seq, "oops"))
    with refused("voided"):
        ledger.append(actions.correction(ledger, BOB, test.seq, "oops"))
    with refused("not-reversible"):
        ledger.append(actions.correction(ledger, ANN, 2, "oops"))
    ledger.append(actions.correction(ledger, CHO, delivery.seq, "oops"))
    assert ledger.state().total("delivered") == 0


STEPS = {
    "arrives": ("delivery", CHO, {"system": "rack", "site": "abilene"}, "2026-07-05"),
    "stands": ("installation", EVE, {}, "2026-08-01"),
    "is powered": ("energisation", EVE, {"site": "abilene"}, "2026-09-30"),
    "fails": ("acceptance", ANN, {"throughput": 1.0, "power_w": 180e3}, "2026-10-01"),
    "is in doubt": ("acceptance", ANN, {"throughput": 880.0, "power_w": 180e3}, "2026-10-02"),
    "passes": ("acceptance", ANN, {"throughput": 1000.0, "power_w": 180e3}, "2026-11-02"),
    "goes": ("decommissioning", ANN, {}, "2026-11-10"),
}


@pytest.mark.parametrize("before_test", ["", "energisation"])
def test_a_step_is_taken_back_alone_wherever_the_rest_could_stand_without_it(
    tmp_path: Path, before_test: str
) -> None:
    """Beside each rack whose step is corrected away stands one that never had that step: both are refused, or both are alike."""
    ways = [
        ["arrives", "stands", "is powered", "fails", "passes", "goes"],
        ["arrives", "is powered", "is in doubt", "passes"],
    ]
    if not before_test:
        ways += [["arrives", "fails", "is in doubt", "passes", "goes"], ["arrives", "stands", "goes"]]
    asked = {"before_test": before_test} if before_test else {}
    outcomes = []
    with new_ledger(str(tmp_path / "ledger.db"), tmp_path, **asked) as ledger:

        def walk(name: str, way: list[str]) -> list[int]:
            drafts = [
                actions.draft(kind, who, {"racks": [name], **data}, happened_on=day)
                for kind, who, data, day in map(STEPS.__getitem__, way)
            ]
            return [event.seq for event in ledger.append_many(drafts)]

        for n, way in enumerate(ways):
            for wrong, step in enumerate(way):
                name = f"A-{n}-{wrong}"
                numbers = walk(name, way)
                rest = way[:wrong] + way[wrong + 1 :]
                try:
                    walk(f"B-{n}-{wrong}", rest)
                except RefusedError:
                    with refused("order-of-events"):
                        ledger.append(actions.correction(ledger, STEPS[step][1], numbers[wrong], "wrong rack"))
                    outcomes.append(False)
                    continue
                ledger.append(actions.correction(ledger, STEPS[step][1], numbers[wrong], "wrong rack"))
                left, never = ledger.rack(name), ledger.rack(f"B-{n}-{wrong}")
                for what in ("status", "delivered", "online", "accepted", "retired", "counted_w", "day"):
                    assert getattr(left, what) == getattr(never, what), (way, step, what)
                assert [s[1:] for s in left.history] == [s[1:] for s in never.history]
                outcomes.append(True)
        assert True in outcomes
        assert False in outcomes
        assert verify(ledger.engine).sound


@pytest.mark.parametrize(("first", "day", "stands"), [
    ("2026-Q3", "1026-11-01", False), ("2026-Q3", "2016-11-01", False), ("2026-Q3", "2024-11-01", True),
    (None, "1900-01-01", False), (None, "2020-01-01", True),
])  # fmt: skip
def test_a_mistyped_year_is_refused(tmp_path: Path, first: str | None, day: str, stands: bool) -> None:
    with new_ledger(str(tmp_path / "ledger.db"), tmp_path, **({"first_quarter": first} if first else {})) as ledger:
        if stands:
            assert deliver(ledger, "A", day=day).happened_on == day
            return
        with refused("long-ago"):
            deliver(ledger, "A", day=day)
        with refused("long-ago"):
            reading = {"site": "abilene", "since": day, "until": "2026-08-01", "energy_j": 1}
            ledger.append(actions.draft("meter", EVE, reading, happened_on="2026-08-01"))


def test_meters_are_read_once(ledger: Ledger) -> None:
    def read(since: str, until: str, energy_j: int = 10**12) -> int:
        data = {"site": "abilene", "since": since, "until": until, "energy_j": energy_j}
        return ledger.append(actions.draft("meter", EVE, data)).seq

    first = read("2026-07-01", "2026-08-01")
    read("2026-08-01", "2026-09-01")
    with refused("read-before"):
        read("2026-08-15", "2026-10-01")
    ledger.append(actions.correction(ledger, EVE, first, "wrong register"))
    read("2026-07-10", "2026-08-01", 5)
    read("2026-07-01", "2026-07-10", 3)
    with refused("read-before"):
        read("2026-07-01", "2026-07-10")
    assert ledger.state().meters["abilene"]["2026-Q3"]["energy_j"] == 10**12 + 8
    assert verify(ledger.engine).sound


def test_what_a_correction_took_back_is_free_to_be_read_again(ledger: Ledger) -> None:
    def read(since: str, until: str) -> int:
        data = {"site": "abilene", "since": since, "until": until, "energy_j": 7}
        return ledger.append(actions.draft("meter", EVE, data)).seq

    def take_back(*wrong: int) -> None:
        for seq in wrong:
            ledger.append(actions.correction(ledger, EVE, seq, "wrong days"))

    take_back(read("2026-08-01", "2026-09-01"))
    moved = read("2026-08-15", "2026-09-15")  # beyond what the wrong one covered
    earlier = read("2026-07-01", "2026-07-15")  # months may come late
    with pytest.raises(RefusedError, match="read from 2026-08-15 to 2026-09-01 before"):
        read("2026-07-20", "2026-09-01")
    take_back(moved, earlier, read("2026-07-15", "2026-08-15"))
    read("2026-07-02", "2026-09-20")  # over three at once
    state = ledger.state()
    assert state.meters_read == {"abilene": [["2026-07-02", "2026-09-20"]]}
    assert state.meters["abilene"]["2026-Q3"] == {"energy_j": 7, "it_energy_j": 0, "readings": 1}
    assert verify(ledger.engine).sound


def test_times_read_are_those_of_a_list_of_days() -> None:
    random, days = Random(5), [f"2026-07-{day:02d}" for day in range(1, 20)]
    for _ in range(300):
        read: list[list[str]] = []
        covered: set[str] = set()
        for _ in range(30):
            since, until = sorted(random.sample(range(len(days)), 2))
            wanted = set(days[since:until])
            free = spans.overlap(read, days[since], days[until])
            assert (free is None) == (not wanted & covered)
            if free is None:
                spans.add(read, days[since], days[until])
                covered |= wanted
            elif random.random() < 0.3:
                spans.remove(read, days[since], days[until])
                covered -= wanted
            assert covered == {day for day in days for a, b in read if a <= day < b}
            assert all(a < b for a, b in read)
            assert all(one[1] < other[0] for one, other in pairwise(read))


def test_orders_bound_deliveries(ledger: Ledger) -> None:
    order = {"order": "PO-1", "supplier": "nvidia", "system": "rack", "racks": 2, "amount_cents": 10**9}
    ledger.append(actions.draft("order", ANN, order))
    data = {"racks": ["A", "B"], "system": "rack", "site": "abilene", "order": "PO-1"}
    ledger.append(actions.draft("delivery", CHO, data))
    with refused("too-many"):
        ledger.append(actions.draft("delivery", CHO, {**data, "racks": ["C"]}))
    with refused("order-exists"):
        ledger.append(actions.draft("order", ANN, order))


def test_new_terms_need_every_approver_and_replace_the_old(ledger: Ledger) -> None:
    event = ledger.append(actions.draft("commitment", DAN, {"terms": terms(version=2, per_w=2_000_000)}))
    assert ledger.state().in_force().per_w == 1_000_000
    ledger.append(actions.approval(ledger, CHO, event.seq))
    assert ledger.state().in_force().per_w == 1_000_000
    ledger.append(actions.approval(ledger, ANN, event.seq))
    assert ledger.state().in_force().per_w == 2_000_000
    with refused("version"):
        agree(ledger, version=2)


def test_signatures_where_the_terms_ask_for_them(ledger: Ledger, tmp_path) -> None:
    agree(ledger, version=2, signed=["claim", "approval"])
    ready(ledger)
    openai, nvidia = read_key(tmp_path / "openai.key"), read_key(tmp_path / "nvidia.key")
    claim = actions.claim(ledger, ANN)
    with refused("unsigned"):
        ledger.append(claim)
    with pytest.raises(InputError, match="current"):
        actions.signed(ledger, claim, nvidia)
    recorded = ledger.append(actions.signed(ledger, claim, openai))
    new_key(tmp_path / "new.key")
    fresh = read_key(tmp_path / "new.key")
    ledger.append(actions.rotation(ledger, ANN, openai, fresh))
    with pytest.raises(InputError, match="current"):
        actions.signed(ledger, actions.approval(ledger, BOB, recorded.seq), openai)
    ledger.append(actions.signed(ledger, actions.approval(ledger, BOB, recorded.seq), fresh))
    ledger.append(actions.signed(ledger, actions.approval(ledger, CHO, recorded.seq), nvidia))
    assert ledger.state().claims[str(recorded.seq)]["status"] == "approved"
    assert verify(ledger.engine).sound


def test_the_same_key_records_once_and_another_content_is_refused(ledger: Ledger) -> None:
    data = {"racks": ["K1"], "system": "rack", "site": "abilene"}
    first = ledger.append(actions.draft("delivery", CHO, data, key="once"))
    assert ledger.append(actions.draft("delivery", CHO, data, key="once")).seq == first.seq
    with refused("key-reused"):
        ledger.append(actions.draft("delivery", CHO, {**data, "racks": ["K2"]}, key="once"))
    ledger.append(actions.draft("delivery", EVE, {**data, "racks": ["K2"]}, key="once"))


def test_whoever_decides_on_an_old_state_is_told(ledger: Ledger) -> None:
    seen = ledger.state().head
    deliver(ledger, "H1")
    with pytest.raises(HeadMovedError):
        ledger.append(actions.draft("delivery", CHO, {"racks": ["H2"], "system": "rack", "site": "abilene"}), seen)


@pytest.mark.parametrize(
    ("kind", "data", "field"),
    [
        ("delivery", {"racks": [], "system": "rack", "site": "abilene"}, "racks"),
        ("delivery", {"racks": ["A B"], "system": "rack", "site": "abilene"}, "racks"),
        ("delivery", {"racks": ["A"], "system": "rack", "site": "abilene", "sit": 1}, "sit"),
        ("acceptance", {"racks": ["A"], "throughput": float("nan"), "power_w": 1.0}, "throughput"),
        ("acceptance", {"racks": ["A"], "throughput": "fast", "power_w": 1.0}, "throughput"),
        ("meter", {"site": "abilene", "since": "2026-13-01", "until": "2026-12-01", "energy_j": 1}, "since"),
        ("correction", {"corrects": 1, "hash": "0" * 64, "reason": "a\u202eb"}, "reason"),
        ("nothing", {}, "kind"),
    ],
)  # fmt: skip
def test_wrong_input_names_the_field(kind: str, data: dict, field: str) -> None:
    with pytest.raises(InputError, match=field):
        actions.draft(kind, ANN, data)


def test_a_paid_tranche_that_falls_short_is_told_and_made_up_by_the_next(ledger: Ledger) -> None:
    deliver(ledger, *racks(9))
    accept(ledger, *racks(3))
    last = accept(ledger, "R00003")
    claim = approved(ledger)
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    assert overview(ledger.state())["notices"] == []
    correction = ledger.append(actions.correction(ledger, ANN, last.seq, "the meter was wrong"))
    told = overview(ledger.state())
    words = f"paid, now lacks 250 kW: correction in event {correction.seq}"
    assert (told["claims"][0]["lacks_w"], told["released_usd"]) == (250_000, 10_000_000.0)
    assert words in told["claims"][0]["words"]
    assert told["notices"][0]["events"] == [correction.seq, claim.seq]
    accept(ledger, *racks(5, 4))
    second = ledger.append(actions.claim(ledger, ANN))
    assert second.data["racks"] == racks(5, 4)  # a megawatt, and what the first lacks
    assert overview(ledger.state())["notices"][0]["claim"] == claim.seq
    ledger.append(actions.approval(ledger, BOB, second.seq))
    ledger.append(actions.approval(ledger, CHO, second.seq))
    assert overview(ledger.state())["notices"] == []


def test_everything_about_a_rack_stays_in_its_life(ledger: Ledger) -> None:
    deliver(ledger, "A")
    first = accept(ledger, "A")
    dispute = ledger.append(actions.dispute(CHO, first.seq, "not measured"))
    settled = ledger.append(actions.dispute(CHO, first.seq, "seen", "settled"))
    correction = ledger.append(actions.correction(ledger, ANN, first.seq, "wrong meter"))
    again = accept(ledger, "A")
    told = rack_row(ledger.rack("A"), ledger.state())
    assert told["events"][1:] == [first.seq, dispute.seq, settled.seq, correction.seq, again.seq]
    assert told["taken_back"] == {str(first.seq): correction.seq}
    assert (told["status"], told["disputes"]) == ("accepted", [])
    assert verify(ledger.engine).sound


def test_more_accepted_than_energised_is_told(ledger: Ledger) -> None:
    ready(ledger)
    power = {"site": "abilene", "power_w": 900_000}
    event = ledger.append(actions.draft("energisation", ANN, power))
    told = overview(ledger.state())["notices"]
    assert [(n["site"], n["events"]) for n in told] == [("abilene", [event.seq])]
    assert "need 1 MW of facility power by nameplate, only 900 kW is recorded as energised" in told[0]["words"]
    ledger.append(actions.draft("energisation", ANN, {**power, "power_w": 1_000_000}))
    assert overview(ledger.state())["notices"] == []
    accept(ledger, *deliver(ledger, "E1", site="elsewhere").data["racks"])  # where no power was ever recorded
    told = overview(ledger.state())["notices"]
    words = (
        "elsewhere: accepted racks in place need 250 kW of facility power by nameplate, none is recorded as energised"
    )
    assert [(n["site"], n["events"], n["words"]) for n in told] == [("elsewhere", [], words)]


def test_a_signed_ledger_asks_for_the_first_signature_too(where: str, tmp_path) -> None:
    """Whoever holds the file cannot put the first terms in force, with or without the rule in the terms themselves."""
    kinds = ["commitment", "claim", "approval", "release"]
    with Ledger.create(where, "Small", parties(tmp_path), ANN, signed=kinds) as ledger:
        keys = {party: read_key(tmp_path / f"{party}.key") for party in ("openai", "nvidia")}
        put = actions.draft("commitment", ANN, {"terms": terms()})  # these ask for no signature
        with refused("unsigned"):
            ledger.append(put)
        event = ledger.append(actions.signed(ledger, put, keys["openai"]))
        for who in (BOB, CHO):
            agreed = actions.approval(ledger, who, event.seq)
            with refused("unsigned"):
                ledger.append(agreed)
            ledger.append(actions.signed(ledger, agreed, keys[who.party]))
        state = ledger.state()
        assert state.commitments[str(event.seq)]["signed_by"] == ["openai", "nvidia"]
        assert overview(state)["terms"]["agreed"] == "signed by openai/bob and nvidia/cho"
        assert verify(ledger.engine).sound


def test_terms_agreed_without_a_key_are_said_so(ledger: Ledger) -> None:
    assert overview(ledger.state())["terms"]["agreed"].startswith("unsigned by openai/bob and nvidia/cho")


@pytest.mark.parametrize(("row", "words"), [
    ({"kind": "training", "model": "nope"}, "model_name and d_model are blank"),
    ({"kind": "racing"}, "known: training, inference"),
    ({"model_name": ["x"]}, "model_name is not a number or text"),
    ({"kind": "inference", "model_name": "deepseek-v3", "value": 5}, "gpu, n_gpus, input_len, output_len, metric missing"),
])  # fmt: skip
def test_measurements_that_nobody_can_use_are_refused(tmp_path: Path, row: dict, words: str) -> None:
    run = {"model_name": "llama-3.1-8b", "gpu": "H100", "n_gpus": 8, "seq_len": 8192, "global_batch_sequences": 128,
           "precision": "bf16", "tokens_per_s_per_gpu": 9000}  # fmt: skip
    with new_ledger(str(tmp_path / "ledger.db"), tmp_path) as ledger:
        deliver(ledger, "A")
        data = {"racks": ["A"], "throughput": 1000.0, "power_w": 180e3, "measurements": [run, row]}
        with pytest.raises(InputError, match=words) as told:
            ledger.append(actions.draft("acceptance", ANN, data))
        assert told.value.where == "acceptance.measurements.1"
        ledger.append(actions.draft("acceptance", ANN, data | {"measurements": [run]}))


def test_a_tranche_that_is_paid_is_not_claimed_again_and_says_so(tmp_path: Path) -> None:
    with new_ledger(str(tmp_path / "ledger.db"), tmp_path) as ledger:
        ready(ledger, 4)
        claim = approved(ledger)
        for words in (f"approved by the claim of event {claim.seq}", f"paid, by the claim of event {claim.seq}"):
            with refused("claimed") as told:
                actions.claim(ledger, ANN, 1)
            assert words in str(told.value)
            if "approved" in words:
                ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))


def test_need_and_limit_of_a_site_are_told_apart(tmp_path: Path) -> None:
    with new_ledger(str(tmp_path / "ledger.db"), tmp_path) as ledger:
        ready(ledger, 4)
        ledger.append(actions.draft("energisation", EVE, {"site": "abilene", "power_w": 999_999}))
        words = overview(ledger.state())["notices"][0]["words"]
        assert "need 1 MW of facility power by nameplate, only 999 kW is recorded" in words
