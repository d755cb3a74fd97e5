"""What the ledger refuses, and why: errors that callers tell apart."""

from __future__ import annotations

from gigaforge.errors import GigaforgeError, InputError, NoAnswerError

__all__ = ["BrokenLedgerError", "HeadMovedError", "RefusedError", "UnavailableError", "UnknownError"]


class RefusedError(NoAnswerError):
    """A rule of the ledger stands against an event (exit 1): nothing was recorded.

    Parameters
    ----------
    rule : str
        Short stable name, e.g. ``"self-approval"``.
    problem : str
        One sentence with the values.

    """

    def __init__(self, rule: str, problem: str, reasons: list[str] | None = None) -> None:
        self.rule = rule
        super().__init__(problem, reasons)


class HeadMovedError(RefusedError):
    """The writer looked at an older state than the one that stands now."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__("head-moved", f"the ledger has moved on: expected head {expected[:12]}, found {found[:12]}; "
                         "read the state again and decide on that")  # fmt: skip
        self.found = found


class UnknownError(InputError):
    """What was asked for is not in the ledger."""


class BrokenLedgerError(GigaforgeError):
    """The record does not agree with itself; `gigaforge ledger verify` says where."""


class UnavailableError(GigaforgeError):
    """The database does not answer or cannot write (exit 1); nothing is wrong with what was asked.

    Parameters
    ----------
    problem : str
        What the database said, and what became of what was sent.
    where : str
        Its file or address.

    """

    def __init__(self, problem: str, where: str) -> None:
        self.problem, self.where = problem, where
        super().__init__(f"{where}: the database failed: {problem}")
