"""The report's contents, in order, before any page is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from gigaforge.report import money_tables as accounts
from gigaforge.report import report_tables as tables
from gigaforge.report.change_tables import change_parts
from gigaforge.report.codesign_sections import codesign_parts
from gigaforge.report.context_words import context_tables
from gigaforge.report.figures import Figure, plan_figures
from gigaforge.report.report_tables import Link, Table
from gigaforge.report.roadmap_sections import hardware_parts, model_parts
from gigaforge.report.scarcities import scarcities
from gigaforge.report.story import chosen_models, sentences
from gigaforge.report.view import PlanView

__all__ = ["Section", "plan_sections"]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in the order of the fields; what is empty is not shown.

    Attributes
    ----------
    name, title : str
        Address inside the page, and heading.
    lead : list of str
        Sentences.
    points : list of str
        Statements, listed.
    figures : list of Figure
    tables : list of Table
    terms : list of (str, str)
        Words and what they mean.
    links : list of (Link, str)
        Sources, and what each was used for.
    folded : bool
        Tables start closed (long lists that few read).

    """

    name: str
    title: str
    lead: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    terms: list[tuple[str, str]] = field(default_factory=list)
    links: list[tuple[Link, str]] = field(default_factory=list)
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Nothing to show."""
        return not (self.lead or self.points or self.figures or self.tables or self.terms or self.links)


def _present(*made: Table | None) -> list[Table]:
    return [t for t in made if t is not None]


def plan_sections(plan: PlanView) -> list[Section]:
    """All sections that the plan has data for."""
    figures = plan_figures(plan)

    def take(*names: str) -> list[Figure]:
        return [figures[n] for n in names if n in figures]

    scarce = [f"{s[0].upper()}{s[1:]}." for s in scarcities(plan, 6)]
    shadows = take("shadow-power", "shadow-supply", "shadow-cash", "shadow-demand")
    roadmaps = plan.summary.get("roadmaps") or {}
    chosen, mind = chosen_models(plan.summary)
    made = [
        Section("story", "The plan in brief", sentences(plan), list(plan.summary.get("warnings") or []),
                tables=_present(tables.yearly_table(plan))),
        Section("power", "Power", [], [plan.in_words(e) for e in plan.summary.get("explanations") or []],
                take("deployment-by-site", "deployment-by-platform", "site-map", "site-power"),
                _present(tables.milestone_table(plan), tables.deployment_table(plan), tables.rack_table(plan))),
        Section("reasons", "Why here and now", points=accounts.reason_sentences(plan)
                + accounts.unfit_sentences(plan)),
        Section("investment", "Investment", [w for w in [accounts.circle_sentence(plan)] if w],
                accounts.terms_sentences(plan), take("tranches"),
                _present(tables.tranche_table(plan), accounts.circle_table(plan))),
        Section("money", "Money", figures=take("cash", "token-cost"),
                tables=_present(accounts.measures_table(plan), tables.parties_table(plan), accounts.annual_table(plan))),
        Section("parties", "Cash of each party", tables=accounts.party_tables(plan), folded=True),
        Section("work", "Tokens and training", chosen, [*mind, *accounts.training_notes(plan)],
                figures=take("tokens", "served-share", "training"), tables=_present(tables.training_table(plan), *context_tables(plan.summary), accounts.demand_table(plan))),
        Section("surroundings", "Energy, carbon and water", tables=_present(accounts.environment_table(plan), accounts.months_table(plan))),
        Section("scarcity", "What would help most", points=scarce, figures=shadows),
        Section("together", "Solved together", *codesign_parts(plan)),
        Section("changes", "What would change the plan", *change_parts(plan)),
        Section("next-accelerator", "The next accelerator", *hardware_parts(roadmaps, plan.label)),
        Section("next-model", "The next model", *model_parts(roadmaps)),
        Section("checks", "Checks", _check_lines(plan), _check_notes(plan),
                tables=_present(tables.cross_check_table(plan), _fleet_table(plan))),
        Section("assumptions", "Assumptions", tables=_present(tables.assumption_table(plan)), folded=True),
        Section("sources", "Sources", links=_links(plan)),
        Section("method", "Method", terms=_terms(plan), tables=[tables.run_facts(plan)], folded=True),
    ]  # fmt: skip
    return [s for s in made if not s.empty]


def _check_lines(plan: PlanView) -> list[str]:
    checks = plan.summary.get("checks") or {}
    failed = checks.get("failed") or []
    if failed:
        return ["An independent check of the tables found rules broken: " + "; ".join(str(f) for f in failed) + "."]
    if checks.get("passed"):
        return [(f"An independent check of the tables passed all of its {checks['passed']} rules: power, supply, cash and "
                "tranches hold in every quarter.")]  # fmt: skip
    return []


def _check_notes(plan: PlanView) -> list[str]:
    """What stands behind each comparison with a published figure."""
    checks = [c for c in plan.summary.get("cross_checks") or [] if c.get("note")]
    return [f"{str(c['what'])[:1].upper()}{str(c['what'])[1:]}: {c['note']}." for c in checks]


def _fleet_table(plan: PlanView) -> Table | None:
    check = plan.summary.get("fleet_check") or {}
    shares = {"goodput", "availability", "training_goodput"}
    rows: list[list[tables.Cell]] = []
    for key, value in check.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        share = key in shares and isinstance(value, float)
        rows.append(
            [
                key.replace("_", " ").replace("pue", "PUE").capitalize() if "pue" not in key else "PUE",
                f"{value * 100:.1f} %" if share else tables.plain_text(value),
            ]
        )
    return Table("The planned fleet in operation", ["What", "Value"], rows) if rows else None


def _links(plan: PlanView) -> list[tuple[Link, str]]:
    out = []
    for s in plan.summary.get("sources") or []:
        used = s.get("used_for") or ""
        used = ", ".join(used) if isinstance(used, list) else str(used)
        out.append((Link(str(s.get("title") or s.get("key")), str(s.get("url") or "")), used))
    return out


def _terms(plan: PlanView) -> list[tuple[str, str]]:
    dollars = str(plan.summary.get("dollars") or "nominal")
    basis = "facility power" if plan.basis == "facility" else "IT power"
    gap = plan.summary.get("mip_gap")
    close = f" This plan is proved to be within {gap * 100:.2f} % of the best possible." if gap is not None else ""
    return [
        ("Facility power", ("what a site draws from the grid: IT power times its power usage effectiveness (PUE). The PUE "
         "at the hottest hour counts against a site's limit, the mean PUE in the energy bill.")),
        ("Deployed power", (f"accepted nameplate power to date, counted as {basis} for the commitment, whatever is capped "
         "or retired later.")),
        ("Rack", ("one system as sold: accelerators, hosts, switches and their cooling, with its share of the network "
         "between racks. An accelerator is one package; dies are not counted apart.")),
        ("Tranche", ("a sum of equity released in the quarter in which deployed power reaches its threshold, and usable "
         "only from then on.")),
        ("Net present value", (f"the operator's: revenue less running and capital costs, interest and the debt left, plus "
         f"the book value of systems and buildings at the end, discounted to the first quarter. Equity is not income. "
         f"All sums are {dollars} dollars.")),
        ("Value of one more unit", ("the shadow price of a limit: what the objective would gain from one more megawatt, "
         "rack, dollar or token, everything else unchanged. A megawatt stays once it is there, so its price in a quarter is what it "
         "gains by coming in that quarter and not in the next. It holds for small changes only, and comes from the plan "
         "with whole-rack decisions relaxed.")),
        ("Gap", "how far the plan's objective may be from the best possible, as proved by the solver." + close),
    ]  # fmt: skip
