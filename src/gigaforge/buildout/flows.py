"""The kinds of payment that a plan knows: who is on the other side, which way money goes, what sort of money it is."""

from __future__ import annotations

from typing import Final

__all__ = ["FLOWS", "OPERATOR"]

OPERATOR: Final = "operator"
# Flow -> who is on the other side ("partner" is the site's own), sign for the operator, kind.
FLOWS: Final[dict[str, tuple[str, int, str]]] = {
    "opening_cash": ("shareholders", 1, "financing"),
    "other_funding": ("other investors", 1, "financing"),
    "equity_tranche": ("investor", 1, "financing"),
    "equity_upfront": ("investor", 1, "financing"),
    "dividends": ("shareholders", -1, "financing"),
    "debt_draw": ("lenders", 1, "debt"),
    "debt_repayment": ("lenders", -1, "debt"),
    "debt_interest": ("lenders", -1, "debt"),
    "credit_draw": ("terms", 1, "debt"),
    "credit_repayment": ("terms", -1, "debt"),
    "credit_interest": ("terms", -1, "debt"),
    "interest_received": ("banks", 1, "revenue"),
    "revenue": ("customers", 1, "revenue"),
    "curtailment_credit": ("utilities", 1, "revenue"),
    "system_purchase": ("supplier", -1, "capex"),
    "facility_construction": ("partner", -1, "capex"),
    "system_lease": ("terms", -1, "opex"),
    "site_lease": ("partner", -1, "opex"),
    "cloud_capacity": ("partner", -1, "opex"),
    "energy": ("utilities", -1, "opex"),
    "maintenance": ("supplier", -1, "opex"),
    "staff": ("staff", -1, "opex"),
    "other_costs": ("revenue partners and staff", -1, "opex"),
    "tax": ("treasury", -1, "opex"),
}
