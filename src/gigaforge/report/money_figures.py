"""Figures about dollars: the operator's cash, and what a million tokens costs."""

from __future__ import annotations

from typing import Final

import altair as alt
import pandas as pd

from gigaforge.report import theme
from gigaforge.report.money import token_costs
from gigaforge.report.view import PlanView, tidy

__all__ = ["KINDS", "operator_cash", "token_cost"]

# Kind of flow -> the word shown and its colour token, in stacking order.
KINDS: Final = {
    "revenue": ("Revenue", "revenue"),
    "financing": ("Equity", "equity"),
    "debt": ("Debt, net", "debt"),
    "capex": ("Capital expenditure", "capex"),
    "opex": ("Running costs", "opex"),
}


def operator_cash(plan: PlanView) -> theme.Chart | None:
    """Flows in and out by kind, and the cash left; None where no money moves."""
    frame = plan.cash_by_kind()
    if not frame.to_numpy().any():
        return None
    flows = tidy(frame, "kind", "usd")
    flows["usd"] = (flows["usd"] / 1e9).round(3)
    flows = flows[flows["usd"] != 0]
    flows["order"] = flows["kind"].map({k: i for i, k in enumerate(KINDS)})
    flows["kind"] = flows["kind"].map({k: word for k, (word, _) in KINDS.items()})
    balance = pd.DataFrame({"quarter": plan.quarters, "usd": (plan.balance_usd / 1e9).round(3), "kind": "Cash left"})
    shown = [word for word, _ in KINDS.values() if word in set(flows["kind"])]
    colours = [theme.accent(token) for word, token in KINDS.values() if word in shown]
    scale = alt.Scale(domain=[*shown, "Cash left"], range=[*colours, theme.accent("ink")])
    tip = [alt.Tooltip("quarter:O", title="Quarter"), alt.Tooltip("kind:N", title="Flow")]
    x = theme.quarter_x(plan.quarters)
    bars = (
        alt.Chart(flows)
        .mark_bar()
        .encode(
            x=x,
            y=alt.Y("usd:Q", title="$B a quarter; line: $B at its end"),
            color=alt.Color("kind:N", scale=scale),
            order=alt.Order("order:Q"),
            tooltip=[*tip, alt.Tooltip("usd:Q", title="$B", format=",.2f")],
        )
    )
    line = (
        alt.Chart(balance)
        .mark_line(point=alt.OverlayMarkDef(size=26, filled=True), strokeWidth=2)
        .encode(x=x, y="usd:Q", color=alt.Color("kind:N", scale=scale),
                tooltip=[*tip, alt.Tooltip("usd:Q", title="Cash left [$B]", format=",.2f")])
    )  # fmt: skip
    zero = (
        alt.Chart(pd.DataFrame({"usd": [0]})).mark_rule(color=theme.accent("muted"), strokeWidth=1).encode(y="usd:Q")
    )
    words = "Stacked bars: the operator's money in and out by quarter and kind. Line: cash at the end of the quarter."
    return theme.finish(alt.layer(bars, zero, line), "The operator's cash", words, height=340)


def token_cost(plan: PlanView) -> theme.Chart | None:
    """Cost of a million output tokens against its price; None where no token is served."""
    frame = token_costs(plan)
    if frame.empty:
        return None
    names = {"cost": "Full cost", "running": "of which running costs", "price": "Revenue"}
    lines_of = frame.melt("quarter", list(names), "what", "usd")
    lines_of = lines_of[lines_of["usd"] > 0]
    lines_of["what"] = lines_of["what"].map(names)
    lines_of["usd"] = lines_of["usd"].round(5)
    tokens = ["capex", "opex", "revenue"]
    spread = lines_of["usd"].max() / lines_of["usd"].min() if len(lines_of) else 1.0
    plain = {"scale": alt.Scale(zero=True), "axis": alt.Axis(format="$~g", tickCount=5)}
    vertical = theme.log_y(lines_of["usd"].tolist(), "$~r") if spread > 20 else plain
    lines = (
        alt.Chart(lines_of)
        .mark_line(point=alt.OverlayMarkDef(size=34, filled=True))
        .encode(
            x=theme.quarter_x(plan.quarters),
            y=alt.Y("usd:Q", title="USD per million output tokens" + (" (log scale)" if spread > 20 else ""), **vertical),
            color=alt.Color("what:N", legend=alt.Legend(symbolType="stroke"), scale=alt.Scale(
                domain=list(names.values()), range=[theme.accent(t) for t in tokens])),
            strokeDash=alt.StrokeDash("what:N", legend=alt.Legend(symbolType="stroke"), scale=alt.Scale(
                domain=list(names.values()), range=[[1, 0], [5, 4], [1, 0]])),
            tooltip=[
                alt.Tooltip("quarter:O", title="Quarter"),
                alt.Tooltip("what:N", title="What"),
                alt.Tooltip("usd:Q", title="$ per million tokens", format="$,.3~f"),
            ],
        )
    )  # fmt: skip
    words = "Lines: full cost, running cost and revenue of a million output tokens by quarter."
    return theme.finish(alt.layer(lines), "Cost of a million output tokens", words)
