"""Classification rules that can say which of them decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments.cameras import check_pattern
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Keyword, read_keyword
from potpyri_like.store.header import CardValue, RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

__all__ = [
    "Above",
    "Always",
    "Below",
    "Condition",
    "Has",
    "InPath",
    "Is",
    "Matches",
    "Rule",
    "declared_rules",
    "kind_of",
    "numeric",
]


class Condition:
    """A statement about a header: combine with ``&``, ``|`` and ``~``; ``str()`` says it in words."""

    def __call__(self, header: RawHeader) -> bool:
        raise NotImplementedError

    def example(self) -> dict[str, CardValue]:
        """Cards that make it true, for simulated frames."""
        return {}

    def __and__(self, other: Condition) -> Condition:
        return _All((self, other))

    def __or__(self, other: Condition) -> Condition:
        return _AnyOf((self, other))

    def __invert__(self) -> Condition:
        return _Not(self)


@dataclass(frozen=True)
class Is(Condition):
    """The card says one of the values, in any letter case, numbers as numbers; `absent`: or is not there."""

    card: str
    values: tuple[str, ...]
    absent: bool

    def __init__(self, card: str, *values: CardValue, absent: bool = False) -> None:
        object.__setattr__(self, "card", card)
        object.__setattr__(self, "values", tuple(str(value).strip().lower() for value in values))
        object.__setattr__(self, "absent", absent)
        if not values:
            raise DeclarationError(f"Is({card!r}): give at least one value")

    def __call__(self, header: RawHeader) -> bool:
        value = header.get(self.card)
        return self.absent if value is None else any(_same(value, wanted) for wanted in self.values)

    def example(self) -> dict[str, CardValue]:
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

    def example(self) -> dict[str, CardValue]:
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

    def example(self) -> dict[str, CardValue]:
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

    def example(self) -> dict[str, CardValue]:
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
class _All(Condition):
    parts: tuple[Condition, ...]

    def __call__(self, header: RawHeader) -> bool:
        return all(part(header) for part in self.parts)

    def example(self) -> dict[str, CardValue]:
        return {card: value for part in self.parts for card, value in part.example().items()}

    def __str__(self) -> str:
        return " and ".join(f"({p})" if isinstance(p, _AnyOf) else str(p) for p in self.parts)


@dataclass(frozen=True)
class _AnyOf(Condition):
    parts: tuple[Condition, ...]

    def __call__(self, header: RawHeader) -> bool:
        return any(part(header) for part in self.parts)

    def example(self) -> dict[str, CardValue]:
        return self.parts[0].example()

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


@dataclass(frozen=True)
class _Not(Condition):
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


def _rules_from_table(card: str, table: Mapping[str, FrameKind]) -> tuple[Rule, ...]:
    """One rule for each value of the card that says a frame's type."""
    return tuple(Rule(kind, Is(card, value)) for value, kind in table.items())


def _same(value: CardValue, wanted: str) -> bool:
    """Whether a card's value is the one wanted, as text or as a number."""
    number = numeric(value)
    return str(value).strip().lower() == wanted or (number is not None and number == numeric(wanted))


def numeric(value: CardValue | None) -> float | None:
    """A number, also from text; None for what is none."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def declared_rules(cls: type[Instrument]) -> tuple[Rule, ...]:
    """The rules that decide the kind of a frame; those of a table look at the `kind` card."""
    if not cls.kinds:
        raise DeclarationError(f"{cls.__name__}: kinds is empty; no frame would be of any kind")
    if not isinstance(cls.kinds, Mapping):
        if not all(isinstance(rule, Rule) for rule in cls.kinds):
            raise DeclarationError(f"{cls.__name__}: kinds is neither a table nor a tuple of Rule")
        return tuple(cls.kinds)
    if not isinstance(cls.keywords.kind, Keyword):
        raise DeclarationError(
            f"{cls.__name__}: kinds is a table, so keywords needs kind=Keyword('IMAGETYP')"
        )
    try:
        return _rules_from_table(cls.keywords.kind.card, cls.kinds)
    except DeclarationError as error:
        raise DeclarationError(f"{cls.__name__}: kinds: {error}") from error


@once_a_method("kind_of")
def kind_of(instrument: Instrument, header: RawHeader) -> tuple[FrameKind, str]:
    """The kind of a frame, and the rule that decided it.

    Raises
    ------
    HeaderError
        No rule applies.
    """
    for rule in instrument.rules:
        if rule.when(header):
            return rule.kind, f"{rule.why}: {rule.when}" if rule.why else str(rule.when)
    card = instrument.keywords.kind
    found = read_keyword(instrument, "kind", header, optional=True)
    says = f" ({' or '.join(card.cards)}: {found})" if card else ""
    raise HeaderError(
        f"{header.path.name}: no rule of {instrument.name} says what kind of frame this is{says};"
        " the frame is rejected (say what it is in the kind column of night.ecsv)"
    )
