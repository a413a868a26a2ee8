"""Classification rules that can say which of them decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from potpyri_like.errors import DeclarationError
from potpyri_like.frame import FrameKind
from potpyri_like.header import RawHeader
from potpyri_like.instruments.cameras import check_pattern

__all__ = ["Above", "Always", "Below", "Condition", "Has", "InPath", "Is", "Matches", "Rule"]


class Condition:
    """A statement about a header: combine with ``&``, ``|`` and ``~``; ``str()`` says it in words."""

    def __call__(self, header: RawHeader) -> bool:
        raise NotImplementedError

    def example(self) -> dict[str, Any]:
        """Cards that make it true, for simulated frames."""
        return {}

    def __and__(self, other: Condition) -> Condition:
        return All((self, other))

    def __or__(self, other: Condition) -> Condition:
        return Any_((self, other))

    def __invert__(self) -> Condition:
        return Not(self)


@dataclass(frozen=True)
class Is(Condition):
    """The card says one of the values, in any letter case, numbers as numbers; `absent`: or is not there."""

    card: str
    values: tuple[str, ...]
    absent: bool

    def __init__(self, card: str, *values: Any, absent: bool = False) -> None:
        object.__setattr__(self, "card", card)
        object.__setattr__(self, "values", tuple(str(value).strip().lower() for value in values))
        object.__setattr__(self, "absent", absent)
        if not values:
            raise DeclarationError(f"Is({card!r}): give at least one value")

    def __call__(self, header: RawHeader) -> bool:
        value = header.get(self.card)
        return self.absent if value is None else any(same(value, wanted) for wanted in self.values)

    def example(self) -> dict[str, Any]:
        return {self.card: self.values[0].upper()}

    def __str__(self) -> str:
        return f"{self.card} is {' or '.join(map(repr, self.values))}" + " or absent" * self.absent


@dataclass(frozen=True)
class Matches(Condition):
    """The regular expression is found in the card, in any letter case (anchor it with ``^`` and ``$``)."""

    card: str
    pattern: str
    like: str = ""
    absent: bool = False

    def __post_init__(self) -> None:
        check_pattern(f"Matches({self.card!r})", "pattern", self.pattern)

    def __call__(self, header: RawHeader) -> bool:
        value = header.get(self.card)
        return self.absent if value is None else bool(re.search(self.pattern, str(value), re.IGNORECASE))

    def example(self) -> dict[str, Any]:
        return {self.card: self.like} if self.like else {}

    def __str__(self) -> str:
        return f"{self.card} matches /{self.pattern}/" + " or is absent" * self.absent


@dataclass(frozen=True)
class Below(Condition):
    """The card holds a number at or below the limit."""

    card: str
    limit: float

    def __call__(self, header: RawHeader) -> bool:
        value = numeric(header.get(self.card))
        return value is not None and value <= self.limit

    def example(self) -> dict[str, Any]:
        return {self.card: self.limit}

    def __str__(self) -> str:
        return f"{self.card} is at most {self.limit:g}"


@dataclass(frozen=True)
class Above(Condition):
    """The card holds a number above the limit."""

    card: str
    limit: float

    def __call__(self, header: RawHeader) -> bool:
        value = numeric(header.get(self.card))
        return value is not None and value > self.limit

    def example(self) -> dict[str, Any]:
        return {self.card: self.limit + 1}

    def __str__(self) -> str:
        return f"{self.card} is above {self.limit:g}"


@dataclass(frozen=True)
class Has(Condition):
    """The card is there and not blank."""

    card: str

    def __call__(self, header: RawHeader) -> bool:
        return self.card in header

    def __str__(self) -> str:
        return f"{self.card} is given"


@dataclass(frozen=True)
class InPath(Condition):
    """The regular expression is found in the file's name or in that of a folder within the night."""

    pattern: str

    def __post_init__(self) -> None:
        check_pattern("InPath", "pattern", self.pattern)

    def __call__(self, header: RawHeader) -> bool:
        return bool(re.search(self.pattern, header.inside or header.path.name, re.IGNORECASE))

    def __str__(self) -> str:
        return f"the path matches /{self.pattern}/"


@dataclass(frozen=True)
class Always(Condition):
    """True of every frame: the last rule of a list."""

    def __call__(self, header: RawHeader) -> bool:
        return True

    def __str__(self) -> str:
        return "nothing says otherwise"


@dataclass(frozen=True)
class All(Condition):
    parts: tuple[Condition, ...]

    def __call__(self, header: RawHeader) -> bool:
        return all(part(header) for part in self.parts)

    def example(self) -> dict[str, Any]:
        return {card: value for part in self.parts for card, value in part.example().items()}

    def __str__(self) -> str:
        return " and ".join(f"({p})" if isinstance(p, Any_) else str(p) for p in self.parts)


@dataclass(frozen=True)
class Any_(Condition):
    parts: tuple[Condition, ...]

    def __call__(self, header: RawHeader) -> bool:
        return any(part(header) for part in self.parts)

    def example(self) -> dict[str, Any]:
        return self.parts[0].example()

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


@dataclass(frozen=True)
class Not(Condition):
    part: Condition

    def __call__(self, header: RawHeader) -> bool:
        return not self.part(header)

    def __str__(self) -> str:
        return f"not ({self.part})"


@dataclass(frozen=True)
class Rule:
    """Frames of which the condition is true are of this kind; the first rule that applies decides.

    Attributes
    ----------
    kind : FrameKind
    when : Condition
    why : str
        For kind OTHER: why such a frame is left out, as in "a spectrum".
    """

    kind: FrameKind
    when: Condition
    why: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, FrameKind):
            kinds = ", ".join(f"FrameKind.{kind.name}" for kind in FrameKind)
            raise DeclarationError(f"Rule: kind = {self.kind!r}; it is one of {kinds}")
        if not isinstance(self.when, Condition):
            raise DeclarationError(
                f"Rule: when = {self.when!r}; give a condition, as in Is('IMAGETYP', 'flat')"
            )

    def __str__(self) -> str:
        return f"{self.kind}: {self.when}" + (f" ({self.why})" if self.why else "")


def rules_from_table(card: str, table: Mapping[str, FrameKind]) -> tuple[Rule, ...]:
    """One rule for each value of the card that says a frame's type."""
    return tuple(Rule(kind, Is(card, value)) for value, kind in table.items())


def same(value: Any, wanted: str) -> bool:
    """Whether a card's value is the one wanted, as text or as a number."""
    number = numeric(value)
    return str(value).strip().lower() == wanted or (number is not None and number == numeric(wanted))


def numeric(value: Any) -> float | None:
    """A number, also from text; None for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
