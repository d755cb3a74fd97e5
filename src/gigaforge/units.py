"""People's units at the edges, SI floats inside: "10 GW" ↔ 1e10 [W], "$100B" ↔ 1e11 [USD].

A unit is a product of prefixed base units, "/" dividing all that follows it and "-" or "·" multiplying:
``"TB/s"``, ``"$/kW-month"``, ``"$/GPU-hour"``, ``"J/token"``. Every text carries its unit; a bare number is
accepted only where the dimension is a count or a fraction. One small table of our own instead of a library:
it starts in microseconds (pint: 0.9 s measured) and can name the dimension it expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from gigaforge.errors import did_you_mean

__all__ = [
    "DIMENSIONS",
    "Bandwidth",
    "Bytes",
    "Count",
    "Duration",
    "EnergyPrice",
    "FlopRate",
    "Flops",
    "Fraction",
    "Money",
    "Power",
    "PowerUnit",
    "format_at_least",
    "format_at_most",
    "format_quantity",
    "parse_quantity",
    "percent",
    "power_unit",
    "quantity_field",
]

_PREFIX: Final = {"": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9,
                  "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24}  # fmt: skip
_BINARY: Final = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_HOUR, _DAY, _YEAR = 3600.0, 86400.0, 365.25 * 86400.0

# Base unit -> (dimension exponents, SI factor, takes prefixes).
_BASE: Final[dict[str, tuple[dict[str, int], float, bool]]] = {
    "W": ({"energy": 1, "time": -1}, 1.0, True),
    "J": ({"energy": 1}, 1.0, True),
    "Wh": ({"energy": 1}, _HOUR, True),
    "B": ({"data": 1}, 1.0, True),
    "bit": ({"data": 1}, 0.125, True),
    "b": ({"data": 1}, 0.125, True),
    "FLOP": ({"operation": 1}, 1.0, True),
    "FLOPS": ({"operation": 1, "time": -1}, 1.0, True),
    "s": ({"time": 1}, 1.0, True),
    "min": ({"time": 1}, 60.0, False),
    "minute": ({"time": 1}, 60.0, False),
    "h": ({"time": 1}, _HOUR, False),
    "hour": ({"time": 1}, _HOUR, False),
    "day": ({"time": 1}, _DAY, False),
    "week": ({"time": 1}, 7 * _DAY, False),
    "month": ({"time": 1}, _YEAR / 12, False),
    "quarter": ({"time": 1}, _YEAR / 4, False),
    "year": ({"time": 1}, _YEAR, False),
    "$": ({"money": 1}, 1.0, False),
    "USD": ({"money": 1}, 1.0, False),
    "token": ({"token": 1}, 1.0, True),
    "tok": ({"token": 1}, 1.0, True),
    "GPU": ({}, 1.0, False),
    "accelerator": ({}, 1.0, False),
    "rack": ({}, 1.0, False),
    "user": ({}, 1.0, False),
    "message": ({}, 1.0, False),
    "%": ({}, 0.01, False),
    "m": ({"length": 1}, 1.0, True),
    "g": ({"mass": 1}, 1e-3, True),
    "L": ({"volume": 1}, 1.0, True),
    "Hz": ({"time": -1}, 1.0, True),
}
_PLURAL: Final = {"tokens", "GPUs", "racks", "users", "messages", "days", "weeks", "months", "quarters", "years", "hours",
                  "minutes", "accelerators"}  # fmt: skip
_SUFFIX: Final = {"": 1.0, "K": 1e3, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "thousand": 1e3, "million": 1e6,
                  "billion": 1e9, "trillion": 1e12, "mn": 1e6, "bn": 1e9, "tn": 1e12}  # fmt: skip

# Name -> (dimension exponents, example shown in errors, unit used to print, bare numbers allowed).
DIMENSIONS: Final[dict[str, tuple[dict[str, int], str, str, bool]]] = {
    "power": ({"energy": 1, "time": -1}, "10 GW", "W", False),
    "energy": ({"energy": 1}, "3 MWh", "Wh", False),
    "money": ({"money": 1}, "$100B", "$", False),
    "data": ({"data": 1}, "288 GB", "B", False),
    "bandwidth": ({"data": 1, "time": -1}, "22 TB/s", "B/s", False),
    "flop_rate": ({"operation": 1, "time": -1}, "3.6 PFLOP/s", "FLOP/s", False),
    "flops": ({"operation": 1}, "1e25 FLOP", "FLOP", False),
    "duration": ({"time": 1}, "30 ms", "s", False),
    "frequency": ({"time": -1}, "1.8 GHz", "Hz", False),
    "count": ({}, "700M", "", True),
    "fraction": ({}, "0.85 or 85 %", "", True),
    "tokens": ({"token": 1}, "15T tokens", "token", False),
    "token_rate": ({"token": 1, "time": -1}, "6B tokens/minute", "token/s", False),
    "energy_price": ({"money": 1, "energy": -1}, "$60/MWh", "$/J", False),
    "money_per_power": ({"money": 1, "energy": -1, "time": 1}, "$12M/MW", "$/W", False),
    "money_per_power_time": ({"money": 1, "energy": -1}, "$130/kW-month", "$/W-s", False),
    "money_per_time": ({"money": 1, "time": -1}, "$2.65/GPU-hour", "$/s", False),
    "money_per_token": ({"money": 1, "token": -1}, "$10/Mtoken", "$/token", False),
    "energy_per_token": ({"energy": 1, "token": -1}, "0.5 J/token", "J/token", False),
    "energy_per_flop": ({"energy": 1, "operation": -1}, "0.5 pJ/FLOP", "J/FLOP", False),
    "carbon_intensity": ({"mass": 1, "energy": -1}, "390 g/kWh", "g/J", False),
    "water_intensity": ({"volume": 1, "energy": -1}, "1.8 L/kWh", "L/J", False),
}

# Dimensions printed in the unit people use, not the SI one: (unit text, its SI size).
_PEOPLE: Final[dict[str, tuple[str, float]]] = {
    "energy_price": ("/MWh", 1e6 * _HOUR),
    "money_per_power": ("M/MW", 1.0),
    "money_per_power_time": ("/kW-month", 1e3 * _YEAR / 12),
    "money_per_time": ("/hour", _HOUR),
    "money_per_token": ("/Mtoken", 1e6),
    "carbon_intensity": (" g/kWh", 1e6 * _HOUR),
    "water_intensity": (" L/kWh", 1e3 * _HOUR),
}
_DURATIONS: Final = (("years", _YEAR), ("days", _DAY), ("h", _HOUR), ("min", 60.0))

_TEXT: Final = re.compile(
    r"^\s*(?P<sign>[-+]?)\s*(?P<dollar>\$?)\s*(?P<number>(\d[\d_,]*\.?\d*|\.\d+)([eE][-+]?\d+)?)\s*(?P<rest>.*?)\s*$"
)


@lru_cache(maxsize=4096)
def _unit(text: str) -> tuple[tuple[tuple[str, int], ...], float]:
    """Dimension exponents and SI factor of a unit text; KeyError with the unknown part."""
    exponents: dict[str, int] = {}
    factor = 1.0
    for side, part in enumerate(text.split("/")):
        for atom in re.split(r"[-·*\s]+", part.strip()):
            if not atom:
                continue
            dims, scale = _atom(atom)
            sign = -1 if side else 1
            factor *= scale**sign
            for name, power in dims.items():
                exponents[name] = exponents.get(name, 0) + sign * power
    return tuple(sorted((k, v) for k, v in exponents.items() if v)), factor


def _atom(atom: str) -> tuple[dict[str, int], float]:
    word = atom[:-1] if atom in _PLURAL or (atom.endswith("tokens") and atom != "tokens") else atom
    if word in _BASE:
        dims, scale, _ = _BASE[word]
        return dims, scale
    for prefix, multiple in (*_BINARY.items(), *_PREFIX.items()):
        base = word[len(prefix) :]
        if prefix and word.startswith(prefix) and base in _BASE and (_BASE[base][2]):
            return _BASE[base][0], multiple * _BASE[base][1]
    raise KeyError(atom)


def _known_units(dimension: str) -> list[str]:
    wanted = tuple(sorted(DIMENSIONS[dimension][0].items()))
    texts = [p + b for b, (_, _, prefixed) in _BASE.items() for p in (_PREFIX if prefixed else [""])]
    pairs = [f"{a}/{b}" for a in texts if a[-1:] in "BPsn$" or "FLOP" in a for b in ("s", "h")]
    return [t for t in (*texts, *pairs) if _unit(t)[0] == wanted]


def parse_quantity(value: object, dimension: str) -> float:
    """Read a text with a unit into an SI float.

    Parameters
    ----------
    value : str, int or float
        E.g. ``"10 GW"``; a bare number only for counts and fractions.
    dimension : str
        A key of `DIMENSIONS`.

    Returns
    -------
    float
        In the SI unit of the dimension (W, byte, byte/s, FLOP/s, s, USD, ...).

    Raises
    ------
    ValueError
        Unknown or wrong unit, missing unit, not a number: the message names the value, the dimension
        expected and an example.

    """
    wanted, example, _, bare_allowed = DIMENSIONS[dimension]
    expected = f"expected {_article(dimension)}, for example {example!r}"
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a quantity; {expected}")
    if isinstance(value, int | float):
        if not bare_allowed:
            raise ValueError(f"{value!r} has no unit; {expected}")
        if not math.isfinite(value):
            raise ValueError(f"{value!r} is not a finite number; {expected}")
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a quantity; {expected}")  # noqa: TRY004 (pydantic wants ValueError)
    match = _TEXT.match(value)
    if match is None:
        raise ValueError(f"{value!r} is not a number with a unit; {expected}")
    number = float(match["number"].replace(",", "").replace("_", "")) * (-1.0 if match["sign"] == "-" else 1.0)
    scale, unit = _split_suffix(match["rest"], bool(match["dollar"]), dimension)
    if not unit and not bare_allowed:
        raise ValueError(f"{value!r} has no unit; {expected}")
    try:
        dims, factor = _unit(unit)
    except KeyError as unknown:
        known = _known_units(dimension)
        near = [k for k in known if k.lower() == unit.lower() and "m" not in k]
        hint = f"; did you mean {near[0]!r}?" if near else did_you_mean(unit, known)
        raise ValueError(f"{value!r}: unknown unit {unknown.args[0]!r}{hint} ({expected})") from None
    if dict(dims) != wanted:
        raise ValueError(f"{value!r} is {_describe(dict(dims))}; {expected}")
    result = number * scale * factor
    if not math.isfinite(result):
        raise ValueError(f"{value!r} is not a finite number; {expected}")
    return result


def _split_suffix(rest: str, dollar: bool, dimension: str) -> tuple[float, str]:
    """Take K/M/B/T off money, counts and tokens ("$3.3M", "15T tokens", "18 billion messages")."""
    if dollar or dimension in ("money", "count", "tokens", "token_rate"):
        for suffix in sorted(_SUFFIX, key=len, reverse=True):
            if suffix and re.match(rf"{suffix}(?![A-Za-z])", rest):
                rest = rest[len(suffix) :].strip()
                return _SUFFIX[suffix], ("$" + rest if dollar else rest)
    return 1.0, ("$" + rest if dollar else rest)


def _article(dimension: str) -> str:
    words = dimension.replace("_", " ")
    if words in ("power", "energy", "money", "data", "tokens"):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _describe(dims: dict[str, int]) -> str:
    for name, (exponents, *_) in DIMENSIONS.items():
        if exponents == dims:
            return _article(name)
    return "a different kind of quantity"


def format_quantity(value: float, dimension: str, digits: int = 3) -> str:
    """Print an SI float in people's units: 1e10 W → "10 GW", 1e11 USD → "$100B"."""
    _, _, unit, _ = DIMENSIONS[dimension]
    if math.isnan(value):
        return "n/a"
    if dimension == "fraction":
        return f"{value * 100:.{max(digits - 2, 0)}f} %"
    if dimension in _PEOPLE:
        return _people(value, dimension, digits)
    if dimension == "duration":
        for name, size in _DURATIONS:
            if abs(value) >= 2 * size:
                return f"{_significant(value / size, digits)} {name}"
    money = dimension.startswith("money")
    steps = [("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)] if money or dimension in ("count", "tokens") else [
        ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)]  # fmt: skip
    small = [("m", 1e-3), ("µ", 1e-6)] if not money and dimension not in ("count", "tokens") else []
    if dimension == "energy":
        value /= _HOUR
    prefix, scale = "", 1.0
    for name, size in steps:
        if abs(value) >= size * (1 - 0.5 * 10.0**-digits):
            prefix, scale = name, size
            break
    else:
        if small and 0 < abs(value) < 1:
            prefix, scale = next(((n, s) for n, s in small if abs(value) >= s), small[-1])
    text = _significant(value / scale, digits)
    if money:
        return f"{'-' if text.startswith('-') else ''}${text.lstrip('-')}{prefix}{unit.removeprefix('$')}"
    if dimension in ("count", "tokens"):
        return f"{text}{prefix}{' tokens' if dimension == 'tokens' else ''}"
    return f"{text} {prefix}{unit}"


def percent(share: float, digits: int = 0, *, sign: bool = False) -> str:
    """A share as people read it: 0.441 is "44 %"; with its sign where it is an error: "+44 %"."""
    return f"{100 * share:{'+' if sign else ''}.{digits}f} %"


def format_at_most(value: float, dimension: str) -> str:
    """What stands, three digits, never more than there is: 7.998e9 W → "7.99 GW"."""
    return _rounded(value, dimension, math.floor, 1e-6)


def format_at_least(value: float, dimension: str) -> str:
    """What is lacking, three digits, never less than is needed: 98.12e6 W → "98.2 MW"."""
    return _rounded(value, dimension, math.ceil, -1e-6)


def _rounded(value: float, dimension: str, towards: Callable[[float], int], slack: float) -> str:
    if value <= 0:
        return "0 MW" if dimension == "power" else format_quantity(0.0, dimension)
    return format_quantity(_to_three(value, towards, slack), dimension)


def _to_three(value: float, towards: Callable[[float], int], slack: float) -> float:
    """Three digits of a value above zero, rounded `towards`; `slack` forgives the last bits of a float."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return towards(value / step * (1 + 1e-9 * math.copysign(1, slack)) + slack) * step


@dataclass(frozen=True)
class PowerUnit:
    """One unit of power for a whole table or axis, and how power stands in it: never more than there is.

    Attributes
    ----------
    name : str
        "GW", "MW" or "kW".
    watts : float
        Its size. [W]
    digits : int
        Digits after the point in a table.

    """

    name: str
    watts: float
    digits: int

    def down(self, watts: float) -> float:
        """Power in this unit to three digits, rounded towards zero, for axes and tips; NaN stays."""
        if not math.isfinite(watts) or watts == 0:
            return watts
        return math.copysign(_to_three(abs(watts), math.floor, 1e-6) / self.watts, watts)

    def text(self, watts: float, *, signed: bool = False) -> str:
        """A cell without its unit, rounded towards zero: "–" for nothing at all, "<0.01" where the digits do not show it."""
        if not math.isfinite(watts) or watts == 0:
            return "–"
        step = self.watts / 10**self.digits
        steps = math.floor(abs(watts) / step * (1 + 1e-9) + 1e-6)
        sign = "−" if watts < 0 else "+" if signed else ""
        if not steps:
            return f"{sign if sign != '+' else ''}<{10.0**-self.digits:.{self.digits}f}"
        return f"{sign}{steps / 10**self.digits:,.{self.digits}f}"


def power_unit(top_w: float) -> PowerUnit:
    """The unit in which power up to `top_w` [W] reads best: GW from a gigawatt on, MW from a megawatt on, else kW."""
    if top_w >= 1e9 * (1 - 1e-9):
        return PowerUnit("GW", 1e9, 2)
    name, watts = ("MW", 1e6) if top_w >= 1e6 * (1 - 1e-9) else ("kW", 1e3)
    return PowerUnit(name, watts, 0 if top_w >= 100 * watts else 1)


def _people(value: float, dimension: str, digits: int) -> str:
    """Print in the unit people use: "$60/MWh", "$130/kW-month", "390 g/kWh"."""
    unit, scale = _PEOPLE[dimension]
    number = value * scale
    if dimension == "money_per_power" and abs(number) >= 1e3:
        unit = "/W"  # "$1.5K/W" rather than thousands of millions
    if dimension in ("carbon_intensity", "water_intensity"):
        return f"{_significant(number, digits)}{unit}"
    name, size = next(((n, s) for n, s in (("B", 1e9), ("M", 1e6), ("K", 1e3)) if abs(number) >= s), ("", 1.0))
    return f"{'-' if number < 0 else ''}${_significant(abs(number) / size, digits)}{name}{unit}"


def _significant(number: float, digits: int) -> str:
    if number == 0:
        return "0"
    text = f"{number:.{digits}g}"
    if "e" in text:
        text = f"{number:,.0f}"
    return text


def quantity_field(dimension: str) -> BeforeValidator:
    """For a pydantic field: a text with a unit in the file, a float of at least zero in Python."""

    def validate(value: Any) -> float:
        number = parse_quantity(value, dimension)
        if number < 0:
            raise ValueError(f"{value!r} is negative; {_article(dimension)} of at least zero is expected")
        return number

    return BeforeValidator(validate, json_schema_input_type=str | float)


# Field types for pydantic models: text with a unit in the file, SI float in Python.
Power = Annotated[float, quantity_field("power")]
Money = Annotated[float, quantity_field("money")]
Bytes = Annotated[float, quantity_field("data")]
Bandwidth = Annotated[float, quantity_field("bandwidth")]
FlopRate = Annotated[float, quantity_field("flop_rate")]
Flops = Annotated[float, quantity_field("flops")]
Duration = Annotated[float, quantity_field("duration")]
Count = Annotated[float, quantity_field("count")]
Fraction = Annotated[float, quantity_field("fraction")]
EnergyPrice = Annotated[float, quantity_field("energy_price")]
Tokens = Annotated[float, quantity_field("tokens")]
MoneyPerPower = Annotated[float, quantity_field("money_per_power")]
MoneyPerPowerTime = Annotated[float, quantity_field("money_per_power_time")]
MoneyPerTime = Annotated[float, quantity_field("money_per_time")]
MoneyPerToken = Annotated[float, quantity_field("money_per_token")]
CarbonIntensity = Annotated[float, quantity_field("carbon_intensity")]
WaterIntensity = Annotated[float, quantity_field("water_intensity")]
