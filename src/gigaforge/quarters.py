"""Calendar quarters: "2026-Q3" at the edges, a small ordered value inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

__all__ = ["SECONDS_PER_QUARTER", "Quarter", "quarter_range"]

SECONDS_PER_QUARTER: Final = 365.25 * 86400.0 / 4  # [s] every quarter counts the same

_TEXT: Final = re.compile(r"^(\d{4})-?[Qq]([1-4])$")


@dataclass(frozen=True, order=True, slots=True)
class Quarter:
    """One calendar quarter, ordered and countable: ``Quarter.parse("2026-Q3") + 2 == "2027-Q1"``.

    Parameters
    ----------
    index : int
        Quarters since year 0: ``4 * year + (quarter - 1)``.

    """

    index: int

    @classmethod
    def parse(cls, text: object) -> Quarter:
        """Read "2026-Q3"; ValueError says what was expected."""
        if isinstance(text, Quarter):
            return text
        match = _TEXT.match(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{text!r} is not a quarter; expected for example '2026-Q3'")
        return cls(4 * int(match[1]) + int(match[2]) - 1)

    @property
    def year(self) -> int:
        """Calendar year."""
        return self.index // 4

    @property
    def number(self) -> int:
        """1 to 4."""
        return self.index % 4 + 1

    @property
    def start(self) -> date:
        """First day."""
        return date(self.year, 3 * self.number - 2, 1)

    @property
    def end(self) -> date:
        """First day of the next quarter."""
        return (self + 1).start

    def __add__(self, quarters: int) -> Quarter:
        return Quarter(self.index + quarters)

    def __sub__(self, other: Quarter) -> int:
        return self.index - other.index

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            cls.parse,
            core_schema.is_instance_schema(cls),
            json_schema_input_schema=core_schema.str_schema(pattern=r"^\d{4}-Q[1-4]$"),
            serialization=core_schema.to_string_ser_schema(),
        )


def quarter_range(first: Quarter, last: Quarter) -> list[Quarter]:
    """All quarters from first to last, both included."""
    return [Quarter(i) for i in range(first.index, last.index + 1)]
