"""What a stage, a recipe and a product are: what they read, what they give, when they run, what may be set.

Nothing here runs anything. Order follows from inputs and outputs; a recipe that cannot work is an error where it
is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field as DataclassField
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from potpyri_like.errors import DeclarationError
from potpyri_like.identity import release
from potpyri_like.recipe_file import file_digest

if TYPE_CHECKING:
    from potpyri_like.frame import Frame
    from potpyri_like.primitives import Setup

__all__ = [
    "GROUPINGS",
    "AnyField",
    "Field",
    "FrameStage",
    "HasFields",
    "Input",
    "Option",
    "Product",
    "Recipe",
    "Stage",
    "coarser",
    "configured",
    "in_order",
    "option",
    "options_of",
]

_T = TypeVar("_T")

# What each grouping of frames shares; a new one is one entry.
GROUPINGS: Mapping[str, tuple[str, ...]] = {
    "frame": ("night", "target", "camera", "band", "binning", "readout", "exposure", "frame"),
    "exposure": ("night", "target", "exposure"),
    "observation": ("night", "target", "camera", "band", "binning", "readout"),
    "target": ("night", "target"),
    "night": ("night",),
    "run": (),
}
_BY = (
    "user",
    "night",
)  # who may set an option: the command line and the user's configuration; the night's file, too
_OPTION = "potpyri_like.option"  # where a dataclass field keeps what is declared of it


@dataclass(frozen=True)
class Field(Generic[_T]):
    """A named, typed thing that stages hand on.

    Attributes
    ----------
    name : str
    type : type
        Of its values.
    about : str
        What it is, in a few words.
    per : str
        The grouping that has one value of it.
    is_pixels : bool
        It is the image of a frame itself, which later stages work on.
    kept : bool
        It is remembered from run to run; images are not.
    at_start : bool
        It is known before the first stage.
    """

    name: str
    type: type[_T]
    about: str
    per: str = "observation"
    is_pixels: bool = False
    kept: bool = True
    at_start: bool = False

    def __post_init__(self) -> None:
        if self.per not in GROUPINGS:
            raise DeclarationError(
                f"field {self.name!r}: per = {self.per!r}; the groupings are {', '.join(GROUPINGS)}"
            )


@dataclass(frozen=True)
class Input(Generic[_T]):
    """A field as a stage reads it.

    Attributes
    ----------
    field : Field
    required : bool
        False: the stage does without where nothing gives it.
    many : bool
        All values within the stage's grouping, in order of time, instead of the one.
    nearest : int
        So many values of other frames, those nearest in time; 0: none but the frame's own.
    """

    field: Field[_T]
    required: bool = True
    many: bool = False
    nearest: int = 0

    def __post_init__(self) -> None:
        if self.many and self.nearest:
            raise DeclarationError(f"input {self.field.name!r}: give either many or nearest, not both")


class HasFields:
    """Something that has the values of fields, and is asked for them by field."""

    def get(self, wanted: Field[_T]) -> _T | None:
        """The value of a field; None where nothing gave it."""
        raise NotImplementedError

    def __getitem__(self, wanted: Field[_T]) -> _T:
        """The value of a field.

        Raises
        ------
        DeclarationError
            Nothing gave it.
        """
        value = self.get(wanted)
        if value is None:
            raise DeclarationError(f"{wanted.name} ({wanted.about}) is not available; declare it in reads")
        return value


AnyField: TypeAlias = Field[Any]
_AnyInput: TypeAlias = Input[Any]


@dataclass(frozen=True)
class Option:
    """Something that may be set.

    Attributes
    ----------
    name : str
        With underscores; `--with-dashes` on the command line.
    type : type
    help : str
    default : object
    choices : tuple of str
    metavar : str
    by : str
        "user": only the command line and the user's configuration; "night": the night's reduce.toml, too.
    """

    name: str
    type: type
    help: str
    default: object = None
    choices: tuple[str, ...] = ()
    metavar: str = ""
    by: str = "user"

    def __post_init__(self) -> None:
        if self.by not in _BY:
            raise DeclarationError(f"option {self.name!r}: by = {self.by!r}; it is {' or '.join(_BY)}")


def option(
    help_: str,
    default: object,
    *,
    choices: tuple[str, ...] = (),
    metavar: str = "",
    by: str = "user",
    kind: type | None = None,
) -> Any:
    """Declare a field of a stage's dataclass that the observer may set under the field's name.

    Parameters
    ----------
    help_ : str
    default : object
    choices : tuple of str
    metavar : str
    by : str
        "user" or "night", as in `Option`.
    kind : type, optional
        int, float or str; that of the default otherwise.
    """
    wanted = kind or (type(default) if default is not None else str)
    if wanted not in (int, float, str, bool):
        raise DeclarationError(f"an option of type {wanted.__name__}; it is int, float, str or bool")
    about = {"help": help_, "choices": choices, "metavar": metavar, "by": by, "type": wanted}
    return field(default=default, metadata={_OPTION: about})


class Stage:
    """One step of a recipe; a subclass is a frozen dataclass, and its fields are its settings.

    Attributes
    ----------
    per : str
        How often it runs: once for each group of `GROUPINGS`.
    reads : tuple of Field or Input
        Everything that it is shown; of a frame that it works on, the fields of frames, too.
    gives : tuple of Field
    takes : tuple of str
        Settings that options of the run set which have the same name, besides those that it declares itself.
    at_the_end : bool
        While a night is observed, it waits until no frame comes.
    version : int
        To be raised when it computes otherwise: what was kept of it is computed again.
    former_names : tuple of str
        Names that it had, which recipes, options and files may still use.
    computes : tuple of str
        Distributions whose release (the first two numbers) its results depend on.
    """

    per: ClassVar[str] = "observation"
    reads: ClassVar[tuple[AnyField | _AnyInput, ...]] = ()
    gives: ClassVar[tuple[AnyField, ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ()
    at_the_end: ClassVar[bool] = False
    version: ClassVar[int] = 1
    former_names: ClassVar[tuple[str, ...]] = ()
    computes: ClassVar[tuple[str, ...]] = ("astropy", "numpy", "scipy", "sep")

    def __init_subclass__(cls, **more: object) -> None:
        super().__init_subclass__(**more)
        if cls.per not in GROUPINGS:
            raise DeclarationError(
                f"stage {cls.__name__}: per = {cls.per!r}; the groupings are {', '.join(GROUPINGS)}"
            )
        for one in (*cls.reads, *cls.gives):
            if not isinstance(one, Field | Input):
                raise DeclarationError(
                    f"stage {cls.__name__}: {one!r} is not a Field; reads and gives must contain Fields"
                )

    @property
    def name(self) -> str:
        """What it is called: its class."""
        return type(self).__name__

    @property
    def made_by(self) -> dict[str, object]:
        """What its results depend on besides what it is shown: its own version, and the releases of what computes.

        Of one in a file of the user's, whose version nobody raises, all of the file counts.
        """
        digest = file_digest(type(self))
        return {
            "stage": self.name,
            "version": self.version,
            **({"file": digest} if digest else {}),
            **{name: release(name) for name in self.computes},
        }

    @property
    def inputs(self) -> tuple[_AnyInput, ...]:
        """Everything that it is shown."""
        return tuple(one if isinstance(one, Input) else Input(one) for one in self.reads)


class FrameStage(Stage):
    """A stage that runs once per frame, on the workers; the first of a recipe gets the frame's description instead.

    It is called with the frame and with what it reads of what all frames share, and gives the frame that it hands on.
    """

    per: ClassVar[str] = "frame"

    def __call__(self, frame: Any, setup: Setup, /) -> Frame:
        raise NotImplementedError


@dataclass(frozen=True)
class Product:
    """Something that people open: from which fields it is made, its file's name, and how.

    Attributes
    ----------
    name : str
        Of the file within the folder of its grouping.
    about : str
    reads : tuple of Field or Input
    make : callable
        Called with what is shown: the contents (bytes, text, a Table, an HDUList or a figure), or None for none.
    per : str
    version : int
        To be raised when it shows its inputs otherwise.
    folder : str
        Within that of its grouping.
    is_of_star : bool
        It shows the light curve of one star: where that is a star that nobody named, its file is called after it,
        star_012.png for lightcurve.png.
    """

    name: str
    about: str
    reads: tuple[AnyField | _AnyInput, ...]
    make: Callable[[Any], object]
    per: str = "observation"
    version: int = 1
    folder: str = ""
    is_of_star: bool = False

    @property
    def path(self) -> str:
        """Its file within the folder of its grouping."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def inputs(self) -> tuple[_AnyInput, ...]:
        """Everything that it is made from."""
        return tuple(one if isinstance(one, Input) else Input(one) for one in self.reads)

    def __post_init__(self) -> None:
        if self.per not in GROUPINGS or self.per in ("frame", "exposure"):
            wanted = [name for name in GROUPINGS if name not in ("frame", "exposure")]
            raise DeclarationError(f"product {self.name!r}: per = {self.per!r}; it is {', '.join(wanted)}")
        for name in (self.name, self.folder or "plain"):
            if not name or name.startswith(".") or set("/\\") & set(name):
                raise DeclarationError(
                    f"product {self.name!r}: file and folder must be plain names, without a path"
                )


@dataclass(frozen=True)
class Recipe:
    """Stages that make a night into products, checked when they are put together.

    Attributes
    ----------
    name : str
        What it is asked for by.
    stages : tuple of Stage
        In the order in which they run: that given, but where one reads what a later one gives.
    about : str
    joins_nights : bool
        Whether the frames of several nights make one observation, each frame calibrated with the masters of its night.

    Raises
    ------
    DeclarationError
        A stage reads what nobody gives, two give the same, or two options have one name.
    """

    name: str
    stages: tuple[Stage, ...]
    about: str = ""
    joins_nights: bool = False

    def __post_init__(self) -> None:
        _check_givers(self.name, self.stages)
        options_of(self.stages, of=f"recipe {self.name}")
        object.__setattr__(self, "stages", in_order(self.stages, of=f"recipe {self.name}"))

    @property
    def options(self) -> tuple[Option, ...]:
        """What may be set of its stages."""
        return options_of(self.stages, of=f"recipe {self.name}")

    def giver(self, wanted: AnyField) -> Stage | None:
        """The stage that gives a field; None where none does."""
        return next((stage for stage in self.stages if wanted in stage.gives), None)

    def until(self, name: str) -> Recipe:
        """The recipe up to a stage and with it.

        Raises
        ------
        DeclarationError
            It has no such stage; the message suggests the nearest.
        """
        last = self.position(name)
        return replace(self, stages=self.stages[: last + 1])

    def without(self, name: str) -> Recipe:
        """The recipe without a stage.

        Raises
        ------
        DeclarationError
            It has no such stage, or another one needs what it gives.
        """
        skipped = self.stages[self.position(name)]
        for stage in self.stages:
            for one in stage.inputs:
                if one.required and one.field in skipped.gives:
                    raise DeclarationError(
                        f"{skipped.name} cannot be skipped: {stage.name} needs {one.field.name} ({one.field.about})"
                    )
        return replace(self, stages=tuple(stage for stage in self.stages if stage is not skipped))

    def position(self, name: str) -> int:
        """The index of a stage, by its name, a former name or its output, in any letter case, without - and _."""
        names = [_plain(stage.name) for stage in self.stages]
        if _plain(name) in names:
            return names.index(_plain(name))
        for number, stage in enumerate(self.stages):
            if _plain(name) in map(_plain, stage.former_names):
                return number
        ends = [i for i, known in enumerate(names) if known.removeprefix("make") == _plain(name)]
        if len(ends) == 1:
            return ends[0]
        near = difflib.get_close_matches(_plain(name), names, n=1, cutoff=0.5)
        hint = f" did you mean {self.stages[names.index(near[0])].name}?" if near else ""
        known = ", ".join(stage.name for stage in self.stages)
        raise DeclarationError(f"recipe {self.name} has no stage {name!r};{hint} its stages are {known}")


def _plain(name: str) -> str:
    """A stage's name without what people write differently."""
    return name.replace("-", "").replace("_", "").casefold()


def coarser(one: str, other: str) -> bool:
    """Whether each group of `one` holds whole groups of `other`, or is one of them."""
    return set(GROUPINGS[one]) <= set(GROUPINGS[other])


def _check_givers(of: str, stages: Sequence[Stage]) -> None:
    """Raise a DeclarationError where a stage reads what nobody gives, or two give the same."""
    givers: dict[str, Stage] = {}
    for stage in stages:
        for given in stage.gives:
            if given.at_start:
                raise DeclarationError(
                    f"recipe {of}: {stage.name} gives {given.name}, which is available from the start"
                )
            if given.name in givers:
                raise DeclarationError(
                    f"recipe {of}: {givers[given.name].name} and {stage.name} both give {given.name}"
                )
            givers[given.name] = stage
    for stage in stages:
        for one in stage.inputs:
            if one.nearest:
                raise DeclarationError(
                    f"recipe {of}: {stage.name} reads {one.field.name} of the nearest frames, which is not implemented"
                    " yet; read it with many=True in a stage that runs per observation"
                )
            if one.required and not one.field.at_start and one.field.name not in givers:
                near = difflib.get_close_matches(one.field.name, list(givers), n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise DeclarationError(
                    f"recipe {of}: {stage.name} reads {one.field.name}, which no stage gives{hint}"
                )


def in_order(stages: Sequence[Stage], *, of: str) -> tuple[Stage, ...]:
    """Stages so that each comes after those whose outputs it reads; the order given where that leaves a choice.

    Raises
    ------
    DeclarationError
        Two wait for one another.
    """
    givers = {given.name: stage for stage in stages for given in stage.gives}
    left, done = list(stages), list[Stage]()
    while left:
        ready = next((stage for stage in left if not _waits(stage, givers, done)), None)
        if ready is None:
            names = ", ".join(stage.name for stage in left)
            raise DeclarationError(f"{of}: circular dependency between the stages {names}")
        done.append(ready)
        left.remove(ready)
    return tuple(done)


def _waits(stage: Stage, givers: Mapping[str, Stage], done: Sequence[Stage]) -> bool:
    """Whether a stage reads what another one still has to give."""
    needed = (givers.get(one.field.name) for one in stage.inputs)
    return any(giver is not None and giver is not stage and giver not in done for giver in needed)


# -- options -------------------------------------------------------------------------------------------------


def options_of(stages: Iterable[object], *, of: str) -> tuple[Option, ...]:
    """The options that stages declare, each once; of nested stages, too.

    Raises
    ------
    DeclarationError
        Two different ones have the same name.
    """
    found: dict[str, tuple[Option, str]] = {}
    for owner, declared in _declared_options(stages):
        before = found.get(declared.name)
        if before is not None and before != (declared, owner):
            raise DeclarationError(
                f"{of}: {owner} and {before[1]} both declare the option {declared.name}; rename one of them"
            )
        found[declared.name] = declared, owner
    return tuple(declared for declared, _ in found.values())


def _declared_options(stages: Iterable[Any]) -> Iterator[tuple[str, Option]]:
    """Each stage's class and option, nested stages included."""
    for stage in stages:
        for item in fields(stage):
            about = item.metadata.get(_OPTION)
            if about is not None:
                yield type(stage).__name__, _as_option(item, about)
            yield from _declared_options(_nested(getattr(stage, item.name)))


def _as_option(item: DataclassField[Any], about: Mapping[str, Any]) -> Option:
    """What is declared of a dataclass's field."""
    return Option(
        item.name,
        about["type"],
        about["help"],
        item.default,
        about["choices"],
        about["metavar"],
        about["by"],
    )


def _nested(value: object) -> tuple[Stage, ...]:
    """The stages in a setting of another stage."""
    values = value if isinstance(value, tuple) else (value,)
    return tuple(one for one in values if isinstance(one, Stage) and is_dataclass(one))


def configured(stage: Any, values: Mapping[str, object]) -> Any:
    """A stage with the options that are set, nested stages included; None says nothing."""
    changes: dict[str, Any] = {}
    for item in fields(stage):
        current = getattr(stage, item.name)
        is_set = _OPTION in item.metadata or item.name in stage.takes
        if is_set and values.get(item.name) is not None:
            changes[item.name] = values[item.name]
        elif _nested(current):
            inner = tuple(configured(one, values) for one in _nested(current))
            changes[item.name] = inner if isinstance(current, tuple) else inner[0]
    return replace(stage, **changes) if changes else stage
