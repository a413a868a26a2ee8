"""Classification rules that can say which of them decided."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments.cameras import check_pattern
from potpyri_like.instruments.common_kinds import (
    COMBINED,
    COMMON_CARDS,
    COMMON_KINDS,
    COUNTS,
    NUMBERED,
    folded,
    is_aside,
    is_common,
    why_excluded,
)
from potpyri_like.instruments.former import once_a_method
from potpyri_like.instruments.keywords import Keyword
from potpyri_like.store.header import CardValue, RawHeader

if TYPE_CHECKING:
    from potpyri_like.instruments.base import Instrument

_NAME = "OBJECT"  # the card that calls a calibration frame by its kind in many an observatory
_NUMBERS = re.compile(
    r"([\s_-]+([a-z]p?'?|c?[\d.]+s?)|\d+)+$", re.IGNORECASE
)  # filters, cameras, numbers, exposures
_SHOWN_CARDS, _SHOWN_WORDS = 3, 8  # of a table's rule, in words
_CALIBRATIONS = (FrameKind.BIAS, FrameKind.DARK, FrameKind.FLAT)

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

    def said_by(self, header: RawHeader) -> str:
        """The statement in words, as a header bears it out."""
        return str(self)

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


@dataclass(frozen=True)
class _Table:
    """The words of a declaration's table, and the cards of which the first that says any of them decides.

    `by_name`: the words that a calibration frame's OBJECT may be, where no card says any.
    """

    cards: tuple[str, ...]
    words: tuple[str, ...]
    by_name: tuple[str, ...] = ()

    @cached_property
    def _as_written(self) -> Mapping[str, str]:
        return {word.strip().lower(): word for word in reversed(self.words)}

    @cached_property
    def _as_numbers(self) -> Mapping[float, str]:
        return {value: word for word in reversed(self.words) if (value := numeric(word)) is not None}

    @cached_property
    def _as_folded(self) -> Mapping[str, str]:
        return {folded(word): word for word in reversed(self.words)}

    def found(self, header: RawHeader) -> tuple[str, str]:
        """The card that decides, and the word that it says: as it stands, as a number, or in another spelling."""
        for card in self.cards:
            value = header.get(card)
            if value is not None and (word := self._word(card, str(value).strip())):
                return card, word
        name = self._as_folded.get(folded(_NUMBERS.sub("", str(header.get(_NAME, "")).strip())), "")
        return (_NAME, name) if name in self.by_name else (self.cards[0], "")

    def _word(self, card: str, text: str) -> str:
        text = NUMBERED.get(card, {}).get(text, text)
        number = numeric(text)
        exact = self._as_written.get(text.lower()) or ("" if number is None else self._as_numbers.get(number))
        return exact or self._as_folded.get(folded(text), "")


@dataclass(frozen=True)
class _Spelt(Condition):
    """A table's card says one of these words of it, in whatever spelling."""

    table: _Table
    words: tuple[str, ...]

    def __call__(self, header: RawHeader) -> bool:
        return self.table.found(header)[1] in self.words

    def said_by(self, header: RawHeader) -> str:
        card, word = self.table.found(header)
        return f"{card} is {word.lower()!r}"

    def example(self) -> dict[str, CardValue]:
        return {self.table.cards[0]: self.words[0].upper()}

    def __str__(self) -> str:
        cards = self.table.cards
        named = (
            " or ".join(cards) if len(cards) <= _SHOWN_CARDS else f"{cards[0]}, or another card for the kind,"
        )
        words = " or ".join(repr(word.lower()) for word in self.words[:_SHOWN_WORDS])
        more = len(self.words) - _SHOWN_WORDS
        return f"{named} is {words}" + f" or one of {more} more" * (more > 0)


def _rules_from_table(cards: tuple[str, ...], kinds: Mapping[str, FrameKind]) -> Iterator[Rule]:
    """A rule for each word of the card that says a frame's kind.

    With the common words, one for each of their kinds, and the cards that say what is added up: a calibration frame
    of several exposures is no raw one.
    """
    raw = tuple(word for word, kind in kinds.items() if kind in _CALIBRATIONS) if is_common(kinds) else ()
    table = _Table(cards, tuple(kinds), by_name=raw)
    if not is_common(kinds):
        for word, kind in kinds.items():
            yield Rule(kind, _Spelt(table, (word,)))
        return
    alike: dict[tuple[FrameKind, str], tuple[str, ...]] = {}
    for word, kind in kinds.items():
        key = kind, why_excluded(word) if kind is FrameKind.OTHER else ""
        alike[key] = (*alike.get(key, ()), word)
    yield Rule(FrameKind.OTHER, _added_up() & _Spelt(table, raw), COMBINED)
    yield from (Rule(kind, _Spelt(table, words), why) for (kind, why), words in alike.items())


def _added_up() -> Condition:
    """Some card says that the frame is made of several."""
    return _AnyOf(tuple(Above(card, 1) for card in COUNTS))


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
    parts = (cls.kinds,) if isinstance(cls.kinds, Mapping) else tuple(cls.kinds)
    if not all(isinstance(part, Rule | Mapping) for part in parts):
        raise DeclarationError(
            f"{cls.__name__}: kinds is neither a table nor a tuple of Rule and tables, as in"
            " (COMMON_KINDS, Rule(...)), without an asterisk"
        )
    rules = [_rules_of(cls, part) if isinstance(part, Mapping) else (part,) for part in parts]
    return tuple(rule for some in rules for rule in some)


def _rules_of(cls: type[Instrument], table: Mapping[str, FrameKind]) -> tuple[Rule, ...]:
    """The rules of a table: for the cards that the declaration names, and the common ones for the common words."""
    keyword, common = cls.keywords.kind, COMMON_CARDS if is_common(table) else ()
    if not (isinstance(keyword, Keyword) or (keyword is None and common)):
        raise DeclarationError(
            f"{cls.__name__}: kinds is a table, so keywords needs kind=Keyword('IMAGETYP')"
        )
    cards = tuple(dict.fromkeys((*(keyword.cards if isinstance(keyword, Keyword) else ()), *common)))
    try:
        return tuple(_rules_from_table(cards, table))
    except DeclarationError as error:
        raise DeclarationError(f"{cls.__name__}: kinds: {error}") from error


@once_a_method("kind_of")
def kind_of(instrument: Instrument, header: RawHeader) -> tuple[FrameKind, str]:
    """The kind of a frame, and the rule that decided it.

    A word that only frames for focus, tests or pointing have needs no rule.

    Raises
    ------
    HeaderError
        No rule applies.
    """
    for rule in instrument.rules:
        if rule.when(header):
            said = rule.when.said_by(header)
            return rule.kind, f"{rule.why}: {said}" if rule.why else said
    cards = _kind_cards(instrument)
    words = {card: str(header[card]) for card in cards if card in header}
    for card, word in words.items():
        if is_aside(word):
            return FrameKind.OTHER, f"{why_excluded(word)}: {card} is {word.lower()!r}"
    found = ", ".join(f"{card}: {word}" for card, word in words.items())
    says = f" ({found or f'no {_one_of(cards)} card'})" if cards else ""
    raise HeaderError(
        f"{header.path.name}: no rule of {instrument.name} says what kind of frame this is{says};"
        " the frame is rejected (say what it is in the kind column of night.ecsv"
        f"{_hint(instrument, words.values())})"
    )


def _kind_cards(instrument: Instrument) -> tuple[str, ...]:
    """The cards by which tables of words decide, and the declared one."""
    tables = [rule.when.table.cards for rule in instrument.rules if isinstance(rule.when, _Spelt)]
    card = instrument.keywords.kind
    return tuple(dict.fromkeys((*(card.cards if card else ()), *(c for cards in tables for c in cards))))


def _one_of(cards: tuple[str, ...]) -> str:
    """The names of cards in words, of many the first."""
    return cards[0] if len(cards) == 1 else f"{', '.join(cards[:-1])} or {cards[-1]}"


def _hint(instrument: Instrument, words: Iterable[str]) -> str:
    """What an author may declare for a word that other instruments know; "" where none does."""
    known = any(
        COMMON_CARDS[-1] in r.when.table.cards for r in instrument.rules if isinstance(r.when, _Spelt)
    )
    kind = next((kind for word in words if (kind := COMMON_KINDS.get(folded(word)))), None)
    if known or kind is None:
        return ""
    means = "to be excluded" if kind is FrameKind.OTHER else f"a {kind} frame"
    return f"; with kinds=COMMON_KINDS in the declaration of {instrument.name} it is {means}"
