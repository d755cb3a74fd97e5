"""The state keeps the times that stand as read at a site: no table changes, but the kept view is folded anew."""

from __future__ import annotations

__all__ = ["downgrade", "upgrade"]

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing to change in the tables."""


def downgrade() -> None:
    """Nor back."""
