"""Plan, sites, predictions, what-ifs and fleet for whoever sits at this machine, without a ledger."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gigaforge.cli import main
from gigaforge.errors import InputError
from gigaforge.report.figures import Figure
from gigaforge.report.html import render_report
from gigaforge.report.report_tables import Table
from gigaforge.report.view import PlanView
from gigaforge.web.pages import studies
from gigaforge.web.pages.explorer import Question, answer
from gigaforge.web.pages.fleet import FleetForm
from gigaforge.web.pages.painter import Painter
from gigaforge.web.pages.pictures import Picture
from gigaforge.web.settings import Settings
from tests.web.pages.served import HOSTILE, SAME_SITE, app_of

SCENARIO = Path(__file__).parents[3] / "scenarios" / "alliance-10gw.yaml"


@pytest.fixture(scope="module")
def planned(plan_folder: Path) -> FastAPI:
    return app_of("", scenario=SCENARIO, plan=plan_folder)


def client(app: FastAPI, base: str = "http://127.0.0.1:8765") -> TestClient:
    return TestClient(app, base_url=base, raise_server_exceptions=False, follow_redirects=False, headers=SAME_SITE)


@pytest.mark.slow
def test_the_plan_says_what_the_report_says(planned: FastAPI, plan_folder: Path) -> None:
    report = render_report(PlanView.read(plan_folder))
    page = client(planned).get("/plan").text
    for pattern in (
        r'<dd class="value">([^<]+)</dd>',
        r"<h1>([^<]+)</h1>",
        r"<h3>([^<]+)</h3>",
        r'<th scope="row">([^<]+)</th>',
    ):
        theirs, ours = re.findall(pattern, report), re.findall(pattern, page)
        assert theirs, pattern
        assert ours == theirs, pattern
    assert 'aria-hidden="true"' in page
    assert "data-tip=" in page


def test_the_first_reader_sees_the_plan_before_its_drawings(
    plan_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is sent as far as it is made, and sent whole to the next reader, with every figure drawn once."""
    sent = bytearray()
    drawn: dict[str, bytes] = {}

    def draw(figure: Figure) -> Picture:
        assert figure.name not in drawn
        drawn[figure.name] = bytes(sent)
        return Picture("<svg></svg>", "", Table("", [], []))

    async def send(message: dict) -> None:
        sent.extend(message.get("body", b""))

    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict:
        return next(asked, None) or await asyncio.Event().wait()  # the reader stays

    monkeypatch.setattr("gigaforge.web.pages.shelf.draw_picture", draw)
    app = app_of("", plan=plan_folder)
    scope = {"type": "http", "method": "GET", "path": "/plan", "raw_path": b"/plan", "query_string": b"", "scheme": "http",
             "http_version": "1.1", "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    first = next(iter(drawn.values()))
    assert b"<h1>" in first
    assert b"</main>" not in first
    assert bytes(sent).rstrip().endswith(b"</html>")
    figures = len(drawn)
    assert (
        client(app).get("/plan").text.count("<svg></svg>")
        == figures
        == len(app.state.workplace.shelf.current().figures)
    )


def test_a_drawing_that_fails_is_told_in_its_place_and_tried_again(
    plan_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [ValueError("no such mark"), RuntimeError("the process that draws ended")]

    def draw(figure: Figure) -> Picture:
        if broken:
            raise broken.pop()
        return Picture("<svg></svg>", "", Table("", [], []))

    monkeypatch.setattr("gigaforge.web.pages.shelf.draw_picture", draw)
    reader = client(app_of("", plan=plan_folder))
    page, again = reader.get("/plan").text, reader.get("/plan").text
    assert page.rstrip().endswith("</html>")
    assert page.count("This drawing could not be made") == 2
    assert page.count("<svg></svg>") == again.count("<svg></svg>") - 2
    assert "could not be made" not in again


def test_drawings_go_on_whatever_becomes_of_the_process_that_makes_them() -> None:
    painter = Painter()
    mark = json.dumps({"mark": "point", "data": {"values": [{"x": 1}]}, "encoding": {"x": {"field": "x"}}})
    try:
        with pytest.raises(RuntimeError, match="Error"):
            painter.svg("no specification")
        assert painter.svg(mark).startswith("<svg")
        assert painter._process is not None
        painter._process.kill()
        painter._process.wait()
        assert painter.svg(mark).startswith("<svg")
    finally:
        painter.close()


def test_who_asks_for_the_head_alone_gets_what_a_page_would_have(
    plan_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(figure: Figure) -> Picture:
        drawn.append(figure.name)
        return Picture("<svg></svg>", "", Table("", [], []))

    monkeypatch.setattr("gigaforge.web.pages.shelf.draw_picture", draw)
    reader = client(app_of("", plan=plan_folder))
    for page in ("/plan", "/nothing", "/static/app.css"):
        head = reader.head(page)
        assert len(drawn) <= 1  # nothing is drawn for who does not look
        whole = reader.get(page)
        drawn.clear()
        for told in (head, reader.head(page)):
            assert (told.status_code, told.content) == (whole.status_code, b""), page
            assert told.headers["content-type"] == whole.headers["content-type"]
            assert "default-src 'self'" in told.headers["content-security-policy"]
    assert reader.head("/theme").status_code == 405


def test_pages_of_a_plan(planned: FastAPI) -> None:
    asked = client(planned)
    assert asked.get("/").headers["location"] == "/plan"
    for page in ("/sites", "/sites/" + planned.state.workplace.shelf.current().view.sites[0], "/what-if", "/fleet"):
        answer = asked.get(page)
        assert answer.status_code == 200, answer.text
        assert "Log in" not in answer.text
    for page in ("/deployments", "/tranches", "/events", "/api/v1/state", "/login/once/x"):
        assert asked.get(page).status_code in (401, 404), page
    assert asked.post("/api/v1/jobs", json={"kind": "verify"}).status_code == 404


def test_another_name_of_this_machine_is_refused(planned: FastAPI) -> None:
    assert client(planned, "http://evil.example:8765").get("/plan").status_code == 403
    assert client(planned).post("/what-if", headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize(("fields", "words"), [({"settings": "nonsense"}, "nonsense"), ({"settings": HOSTILE + "=1"}, "script"),
                                               ({"settings": "base=/etc/passwd"}, "cannot be changed here"),
                                               ({"settings": "finance.discount_rate=10 parsecs"}, "parsecs"),
                                               ({"settings": "x=1\n" * 200}, "at most 100"),
                                               ({"objective": "fame"}, "fame")])  # fmt: skip
def test_a_what_if_that_cannot_be_read_says_so(planned: FastAPI, fields: dict[str, str], words: str) -> None:
    answer = client(planned).post("/what-if", data=fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert "--set" not in answer.text  # nobody typed an option here
    assert 'aria-invalid="true"' in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("fields", [{"years": "x"}, {"years": "-1"}, {"years": "nan"}, {"years": "1e9"}, {"seed": "-1"}, {"first": "1999-Q1"},
                                    {"seed": "9" * 19}, {"seed": "1.5"}])  # fmt: skip
def test_a_simulation_that_cannot_be_run_says_so(planned: FastAPI, fields: dict[str, str]) -> None:
    answer = client(planned).post("/fleet", data=fields)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_a_form_reads_as_its_job_was_asked() -> None:
    asked = FleetForm("1.5", "", "3").request(Path("plan"), ["2027-Q1"])
    assert FleetForm.of(asked) == FleetForm("1.5", "", "3")
    assert FleetForm.of(FleetForm("", "2027-Q1", "0").request(Path("plan"), ["2027-Q1"])).years == ""


@pytest.mark.parametrize("fields", [{"model": "none"}, {"system": "none"}, {"precision": "fp3"}, {"input": "0"}, {"output": "many"}, {"ttft": "-1 s"},
                                    {"tpot": "x"}, {"work": "train", "gpus": "9" * 30}, {"input": "1e400"}, {"ttft": "nan s"},
                                    {"work": "train", "gpus": "7", "batch": "3"}, {"input": "2000000"}])  # fmt: skip
def test_a_question_that_has_no_answer_is_told_in_words(fields: dict[str, str]) -> None:
    from gigaforge.catalog import load_catalog

    told = answer(Question.read(fields), load_catalog())
    assert told.wrong or "nothing meets" in told.headline
    assert all("Traceback" not in text and text for text in told.wrong.values())


def test_the_explorer_says_what_infer_and_train_say(planned: FastAPI) -> None:
    for page, words in (("/performance", "tokens/s per accelerator"), ("/performance?work=train&model=llama-3.1-70b&system=gb200-nvl72&gpus=512",
                                                                       "of peak")):  # fmt: skip
        text = client(planned).get(page).text
        assert words in re.search(r"<h1>([^<]+)</h1>", text)[1]
        assert "<svg" in text


def test_beyond_this_machine_a_page_without_ledger_is_refused() -> None:
    for more in ({"host": "0.0.0.0"}, {"behind_proxy": "10.0.0.1"}):  # noqa: S104
        with pytest.raises(InputError, match="without a ledger"):
            Settings(ledger="", **more).check()


def test_with_nothing_at_hand_one_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(words: list[str]) -> object:
        monkeypatch.setattr("sys.argv", ["gigaforge", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code

    monkeypatch.chdir(tmp_path)
    assert run(["web"]) == 2
    said = capsys.readouterr().err
    assert "gigaforge plan" in said
    assert "gigaforge ledger init" in said
    assert "Traceback" not in said
    assert run(["web", "--scenario", str(SCENARIO), "--as", "a/b"]) == 2


def test_a_what_if_is_checked_before_it_waits() -> None:
    request = {
        "scenario": str(SCENARIO),
        "settings": ["finance.discount_rate=10 %"],
        "objective": "npv",
        "catalog": [],
    }
    studies.check(request)
