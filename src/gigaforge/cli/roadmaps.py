"""What `gigaforge codesign` asks of the roadmaps, and how it prints their answers."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from gigaforge.cli.options import quantity
from gigaforge.errors import InputError
from gigaforge.units import format_quantity, percent

if TYPE_CHECKING:
    from rich.console import Console

    from gigaforge.buildout.cooptimise import CoDesign
    from gigaforge.codesign.hardware import Limits

__all__ = ["add_roadmaps", "check_law", "limits_from", "print_roadmaps"]

_NAMES = {
    "flops": ("bf16_flop_s", "flop_rate"),
    "hbm": ("hbm_bytes", "data"),
    "hbm-bandwidth": ("hbm_bandwidth_bytes_s", "bandwidth"),
    "nvlink": ("scale_up_bytes_s", "bandwidth"),
    "scale-out": ("scale_out_bytes_s", "bandwidth"),
    "power": ("power_w", "power"),
    "domain": ("nvlink_domain", "count"),
}


def limits_from(texts: list[str] | None, built_in: str) -> Limits:
    """Read ``--limit hbm=200 GB..600 GB``; an open end is the technology's.

    Raises
    ------
    InputError
        Unknown name or unit, an empty range, or one outside the cost model's validity.

    """
    from gigaforge.codesign.hardware import Limits, technology

    ranges: dict[str, tuple[float, float]] = {}
    most: dict[str, float] = {}
    given: set[str] = set()
    known = technology(built_in).ranges
    for text in texts or []:
        name, _, span = text.partition("=")
        name = name.strip().lower()
        if name in given:
            raise InputError(f"{text!r}; {name} is limited twice", "--limit")
        given.add(name)
        if name == "package":
            from_usd, dots, to_usd = (part.strip() for part in span.partition(".."))
            if dots and from_usd:
                raise InputError(f"{text!r}; a package has a most alone: 'package=..$12K'", "--limit")
            most["package_usd"] = quantity(to_usd or from_usd, "money", f"--limit {text}")
            continue
        if name not in _NAMES or not span.replace(".", "").strip():
            raise InputError(
                f"{text!r}; give NAME=LOW..HIGH with a name of {', '.join([*_NAMES, 'package'])}", "--limit"
            )
        parameter, dimension = _NAMES[name]
        low, dots, high = (part.strip() for part in span.partition(".."))
        least, largest = known[parameter]
        a = quantity(low, dimension, f"--limit {text}") if low else least
        b = quantity(high, dimension, f"--limit {text}") if high else (largest if dots else a)
        if (not low and b < least) or (dots and not high and a > largest):
            c, d = (format_quantity(v, dimension) for v in (least, largest))
            raise InputError(
                f"leaves nothing of the cost model's validity in {built_in}, {c} to {d}; take another technology or range",
                f"--limit {text!r}",
            )
        try:
            Limits({parameter: (a, b)}).within(technology(built_in))
        except InputError as wrong:
            raise InputError(wrong.problem, f"--limit {text!r}") from None
        ranges[parameter] = (a, b)
    together = Limits(ranges, **most)
    try:
        together.within(technology(built_in))
    except InputError as wrong:
        raise InputError(wrong.problem, "--limit") from None
    return together


def check_law(name: str, *, roadmaps: bool) -> None:
    """Refuse a scaling law that there is not, or that nothing asks for, before a plan is searched for minutes."""
    from gigaforge.codesign.models import law

    if not roadmaps:
        raise InputError("asks about the next model, which --no-roadmaps leaves out; drop one of them", "--law")
    try:
        law(name)
    except InputError as wrong:
        raise InputError(wrong.problem, "--law") from None


def add_roadmaps(
    result: CoDesign,
    answer: dict[str, Any],
    *,
    built_in: str,
    limits: Limits,
    pareto: bool,
    by: str | None,
    tell: Callable[[str], None],
) -> None:
    """Ask both roadmaps at the co-optimised plan's prices, models by one scaling law; their answers become keys of the JSON."""
    from gigaforge.buildout.model_roadmap import MODEL_LAW, model_roadmap
    from gigaforge.buildout.roadmaps import hardware_roadmap
    from gigaforge.executor import open_executor

    exchange = result.coordination
    with open_executor() as executor:
        hardware = hardware_roadmap(
            exchange.problem, exchange.relaxation, result.catalog, built_in=built_in, limits=limits, pareto=pareto,
            slopes=result.slopes, executor=executor, tell=tell,
        )  # fmt: skip
    models = model_roadmap(exchange.problem, exchange.relaxation, result.catalog, by=by or MODEL_LAW, tell=tell)
    answer["hardware"] = hardware.to_dict()
    answer["models"] = models.to_dict()
    answer["sensitivity"]["accelerators"] = {
        f"{s.system}.{s.parameter}": {"usd_per_accelerator": s.usd_per_accelerator, "unit": s.unit}
        for s in hardware.sensitivities
    }
    if hardware.next is not None:
        answer["best"]["design"] = hardware.next.to_dict()["general"]
    result.plan.summary["roadmaps"] = {
        "hardware": answer["hardware"],
        "models": answer["models"] | {"curves": models.curves()},
    }


def print_roadmaps(answer: dict[str, Any], console: Console) -> None:
    """Sensitivities, the next generation and the models, in the terminal."""
    if "hardware" not in answer:
        return
    _print_sensitivities(answer["hardware"]["sensitivity"], console)
    if answer["hardware"]["next"]:
        _print_next(answer["hardware"]["next"], console)
    if answer["models"]["choices"]:
        _print_models(answer["models"]["choices"], console)
    for line in (*answer["hardware"]["warnings"], *answer["models"]["warnings"]):
        console.print(f"[yellow]![/yellow] {line}", highlight=False)


def _print_sensitivities(rows: list[dict[str, Any]], console: Console) -> None:
    from rich import box
    from rich.table import Table

    from gigaforge.codesign.hardware.capacity import capacity_words

    for system in dict.fromkeys(r["system"] for r in rows):
        table = Table(box=box.SIMPLE_HEAD, title=f"One more in every accelerator of {system}", title_justify="left")
        for name in ("One more", "is worth", "costs", "so it"):
            table.add_column(name, justify="left" if name in ("One more", "so it") else "right")
        for r in (r for r in rows if r["system"] == system):
            less, cost = r["parameter"] == "power_drawn_w", r["cost_usd_per_accelerator"]
            verdict = "pays" if cost is not None and r["usd_per_accelerator"] > cost else "does not pay"
            table.add_row(
                f"{r['unit']} {_words(r['parameter'])}".strip(),
                f"${r['usd_per_accelerator']:,.0f}",
                "" if cost is None or less else f"${cost:,.0f}",
                "" if cost is None or less else verdict,
            )
        console.print(table)
        for r in (r for r in rows if r["system"] == system and r.get("steps")):
            for line in capacity_words(r["steps"], r["today"]):
                _say(console, line)
            console.print()


def _words(parameter: str) -> str:
    return {
        "power_limit_w": "of power limit",
        "power_drawn_w": "less drawn",
        "hbm_bytes": "HBM",
        "hbm_bandwidth_bytes_s": "HBM bandwidth",
        "scale_up_bytes_s": "NVLink",
        "scale_out_bytes_s": "scale-out",
    }.get(parameter, "")


def _say(console: Console, text: str, first: str = "  ", rest: str = "  ") -> None:
    """A paragraph as wide as the terminal, its first line and the others indented."""
    lines = wrap(text, console.width, initial_indent=first, subsequent_indent=rest)
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _print_next(found: dict[str, Any], console: Console) -> None:
    general, under = found["general"], " " * 12
    low, high = general["relative_cost_interval"]
    console.print(f"[bold]Next generation[/bold] in {found['technology']}, at {found['prices']}:", highlight=False)
    _say(console, general["words"], "  general   ", under)
    cost, reference = percent(general["relative_cost"]), found["reference"]
    _say(
        console,
        f"the plan's work at {cost} of its cost on {reference['system']} ({reference['words']}), {percent(low)} to {percent(high)} as the "
        "cost model's figures range",
        under,
        under,
    )
    _print_about(general, console, under)
    for name, one in found["special"].items():
        same = one["design"] == general["design"]
        _say(console, "the general design" if same else one["words"], f"  {name:9} ", under)
        if not same:
            _print_about(one, console, under)
    if found["special"]:
        saved, noise = percent(found["saved"], 1), percent(found["noise"], 1)
        _say(console, f"A design for each phase saves {saved} more (noise of the search {noise}).")


def _print_about(one: dict[str, Any], console: Console, under: str) -> None:
    """What holds a design, and why its power and its NVLink domain are what they are."""
    from gigaforge.codesign.hardware.explained import domain_words, limit_words, power_words

    about = [
        limit_words(one.get("at_limit") or []),
        power_words(one.get("at_power_limit")),
        domain_words(one.get("nvlink_domains") or [], one["design"]["nvlink_domain"]),
    ]
    if any(about):
        _say(console, " ".join(filter(None, about)), under, under)


def _print_models(choices: dict[str, Any], console: Console) -> None:
    from gigaforge.report.context_words import context_sentence
    from gigaforge.report.roadmap_sections import model_answer, model_question

    console.print("[bold]The next model[/bold]", highlight=False)
    for run, c in choices.items():
        _say(console, model_question(run, c))
        _say(console, model_answer(c), "    ", "    ")
        if words := context_sentence(c):
            _say(console, words, "    ", "    ")
        for warning in c["warnings"]:
            _say(console, warning, "    ! ", "      ")
