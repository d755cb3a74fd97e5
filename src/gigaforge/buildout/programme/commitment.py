"""What was promised: power deployed by the dates of milestones, or its lateness priced."""

from __future__ import annotations

import numpy as np

from gigaforge.buildout.programme.builder import GW, USD, Builder
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step

__all__ = ["commitment"]


def commitment(b: Builder) -> None:
    """Deployed power counts all that was ever accepted; a milestone missed is priced or forbidden."""
    p, c = b.p, b.p.scenario.commitment
    per_block = b.data(p.deployed_w_per_rack * b.block / GW, "site", "system")
    b.deployed = b.variable("deployed", "quarter")
    backlog = np.zeros(len(p.quarters))  # installed and not accepted yet; taken as accepted from now on
    if p.past is not None:
        backlog[: p.past.quarters] = p.past.not_accepted_w.sum(axis=(0, 1)) / GW
    installed = (b.added * per_block).sum(["site", "system"])
    b.rule("", "deployed", b.deployed == installed - b.data(backlog, "quarter"))
    for milestone in c.milestones:
        t = milestone.by - p.quarters[0]
        statement = f"commitment.milestones.{milestone.by}"
        if c.late_penalty is None:
            b.rule(statement, "milestone", b.deployed.isel(quarter=t) >= milestone.power / GW)
    if c.late_penalty is not None and c.milestones:
        due = step({m.by: m.power for m in c.milestones}, p.quarters) / GW
        late = b.variable("late", "quarter", upper=b.data(due, "quarter"))
        b.rule("", "late", late + b.deployed >= b.data(due, "quarter"))
        per_gw = c.late_penalty * SECONDS_PER_QUARTER * GW / USD
        b.penalties.append((late * b.data(p.discount * per_gw, "quarter")).sum())
