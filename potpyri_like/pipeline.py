"""Runs a recipe over a night, and writes what came of it: the products, the page, run.json."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from itertools import count, groupby, takewhile
from pathlib import Path, PurePath

import numpy as np
from astropy.coordinates import SkyCoord

from potpyri_like.earlier import (
    check_instrument_of,
    check_night_of,
    digest_of,
    earlier_table,
    note_owner,
    write_night_table,
)
from potpyri_like.edits import Written
from potpyri_like.encoding import Kept, fingerprint
from potpyri_like.errors import (
    DeclarationError,
    NightError,
    NotUnderstood,
    ProductError,
    ReductionError,
    UsageError,
)
from potpyri_like.frame import FrameFlag, FrameInfo
from potpyri_like.identity import code_identity, instrument_identity
from potpyri_like.instruments import Instrument, pixel_scale
from potpyri_like.journal import FOLDER, Journal
from potpyri_like.lightcurves import named_metric
from potpyri_like.night import (
    NIGHT_TABLE,
    RUN_RECORD,
    Night,
    ObservationSet,
    list_files,
    scan,
)
from potpyri_like.options import ENGINE, Options, options_with, public_name, told_value
from potpyri_like.plugins import Plugins, load_plugins
from potpyri_like.primitives import Setup, Work
from potpyri_like.primitives.fields import REGISTRATION
from potpyri_like.primitives.saved import SAVABLE, names_of
from potpyri_like.primitives.stage import AnyStage, exposures_of
from potpyri_like.primitives.target import located, pixel_set, target_spec
from potpyri_like.products import (
    Picture,
    closing_lines,
    contents,
    count_frames,
    made_of,
    master_images,
    night_page,
    plural,
    run_json,
    write_content,
)
from potpyri_like.recipe_file import CodeFile, names_file
from potpyri_like.results import Choice, Grade, Problem, Reference, RunReport, SetResult
from potpyri_like.runner import Progress, Runner, Silent
from potpyri_like.stages import FrameStage, Recipe, configured
from potpyri_like.store import Output, signature
from potpyri_like.workers import workers

__all__ = [
    "Memory",
    "Standing",
    "as_remarks",
    "by_target",
    "check_understood",
    "draw",
    "fields_in_time",
    "in_turn",
    "installed",
    "is_incidental",
    "loaded",
    "many_unusable",
    "options_type",
    "output_of",
    "parse_radec",
    "plugins_for",
    "recipe_of",
    "record",
    "reduce_night",
    "report_of",
    "run_fields",
    "run_groupings",
    "run_recipes",
    "run_stages",
    "scan_again",
    "standing",
    "start",
    "statuses",
    "wanted_sets",
    "with_their_radec",
    "worth",
    "write_products",
]

log = logging.getLogger(__name__)

_LOST_MANY = 0.25  # of an observation's frames: more than single frames are missing
# Observations that no exit status is about: by OBJECT, or so few frames, so many times fewer than another has.
_TEST_NAME = re.compile(r"(?<![a-z])(focus|foco|focusing|test|prueba|pointing)(?![a-z])", re.IGNORECASE)
_FEW_FRAMES, _FEW_OF = 5, 8
# Frames that show another field than the others; stars of its reference; ratio of the two references' FWHM.
_FEWEST_OF_FIELD, _FEWEST_STARS, _ALIKE_FWHM = 3, 6, 1.8
_FAR = 1.0  # degrees from where the telescope looked: --radec is that of another target
_FRAMES_WORTH_A_WORKER = 12  # a worker takes a second to start
_FILTERED = {
    "median": "on science, darks and flats alike",
    "selective": "on science frames, without what the dark explains",
    "none": "on no frame",
}
_OUTPUT = "{out}"  # stands for the output folder in lines that are kept


def reduce_night(
    instrument: Instrument,
    folder: Path,
    *,
    out: Path | None = None,
    options: Options | None = None,
    origins: Mapping[str, str] | None = None,
    command: str = "",
    redo: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> RunReport:
    """Reduce every target in a folder of raw frames, and write the products.

    What an earlier run did and still holds is not done again.

    Parameters
    ----------
    instrument : Instrument
    folder : Path
        Never written to, but for the folder `red` in it where `out` is not given.
    out : Path, optional
    options : Options, optional
    origins : mapping of str to str, optional
        Where each option came from, for the report.
    command : str
        As it was given, for the report.
    redo : bool
        Forget what earlier runs did.
    progress : Progress, optional
    executor : Executor, optional
        Workers that several runs share, instead of those that the options ask for.

    Raises
    ------
    NightError
        There is nothing to reduce.
    NotUnderstood
        The instrument understands none of the frames: nothing is written.
    Busy
        Another run is at work on the same output folder.
    ProductError
        Nothing can be written.
    UsageError
        An option does not fit the night, or the products of another instrument or night lie in the output folder.
    """
    options = options or options_type()()
    output = output_of(folder, out)
    with ExitStack() as stack:
        check_instrument_of(output, instrument, folder)
        memory = Memory(instrument)
        if output.folder.below(FOLDER).is_there():
            memory.journal = stack.enter_context(Journal(output))
        if out is not None:
            check_night_of(output, folder, memory.journal)
        if memory.journal is not None and redo:
            memory.journal.start_again()
        key = _run_key(instrument, folder, output, options)  # before the scan: what comes later is not in it
        night = scan_again(folder, instrument, output, memory)
        check_understood(night)
        _check_options(night, options)
        output.make()
        journal = memory.journal or stack.enter_context(Journal(output))
        note_owner(journal, instrument, folder)
        journal.forget("run")
        memory.hand_over(journal)
        output.tidy()
        is_ours = write_night_table(output, journal, night, {})
        executor = executor or stack.enter_context(
            workers(options.jobs, options.scheduler, most=worth(night))
        )
        runner = stack.enter_context(Runner(output, options, progress or Silent(), executor, journal))
        report = run_recipes(night, options, runner)
        named = options.named().items()
        report = replace(
            report,
            options={name: (value, (origins or {}).get(name, "default")) for name, value in named},
            command=command,
        )
        is_ours = write_night_table(output, journal, night, report.status) and is_ours
        report = write_products(report, runner)
        names = sorted({*output.written, *runner.kept})
        record(report, output, journal, names, digests=_digests_of(options))
        if options.target is None:  # what the night does not give any more: a set that got another name
            output.remove(journal.forget_others({*names, RUN_RECORD}))
        output.tidy()  # a run that is noted as finished is not looked at again
        if runner.settled and is_ours and not any(row.passing for row in night.rows):
            _finish(report, journal, [*names, RUN_RECORD], key)
    return report


def output_of(folder: Path, out: Path | None) -> Output:
    """Where the products of a night go."""
    return Output.of_night(folder, out)


def scan_again(
    folder: Path,
    instrument: Instrument,
    output: Output,
    memory: Memory,
    *,
    waiting: Collection[Path] = (),
) -> Night:
    """The night, with what the observer changed in an earlier run's night.ecsv, and no header read twice."""
    written = Written.of(memory.journal.note(NIGHT_TABLE) if memory.journal else None)
    seen, edited = digest_of(output), earlier_table(output)
    night = scan(
        folder,
        instrument,
        edited=edited,
        written=written,
        skip=output.root,
        memory=memory,
        waiting=waiting,
    )
    return replace(night, edited_digest=seen)


def worth(night: Night) -> int:
    """How many workers are worth starting."""
    return max((len(observed.frames) for observed in night.sets()), default=0) // _FRAMES_WORTH_A_WORKER


def run_recipes(night: Night, options: Options, runner: Runner) -> RunReport:
    """The recipe over all targets of a night."""
    sets = wanted_sets(night, options)
    recipe = recipe_of(night.instrument, options)
    groups = by_target(night, sets, options)
    runner.saves = _saved_kinds(recipe, options)
    runner.names = {
        (kind, label): name
        for kind in SAVABLE
        for observed in sets
        for label, name in names_of(observed.frames, f"{observed.folder}/{kind}").items()
    }
    taken = {observed.target.casefold() for observed in sets}
    works = run_groupings(recipe.stages, groups, runner, taken)
    plugins = plugins_for(options)
    works = [_gathered(work, plugins) for work in works]
    report = report_of(night, works, options)
    there = {*runner.output.written, *runner.kept}
    images = {name: label for (_, label), name in runner.names.items() if name in there}
    return replace(report, timing=runner.timing, is_part=options.until is not None, images=images)


_WIDE: Mapping[str, Callable[[ObservationSet], object]] = {
    "night": lambda observed: observed.night,
    "run": lambda observed: "",
}  # groupings that hold several targets: what their observations share


def run_groupings(
    stages: Sequence[AnyStage],
    groups: Sequence[tuple[Work, ...]],
    runner: Runner,
    taken: Collection[str] = (),
) -> list[Work]:
    """The stages on each target in turn; from the first that looks at a whole night or run on, on what they group."""
    first = tuple(takewhile(lambda stage: stage.per not in _WIDE, stages))
    works = in_turn(groups, lambda group: run_fields(first, group, runner, taken))
    before = tuple(stage for stage in first if stage.per == "frame")
    for per, some in groupby(
        stages[len(first) :], key=lambda stage: stage.per if stage.per in _WIDE else "target"
    ):
        alike = tuple(some)
        together: dict[object, list[int]] = defaultdict(list)
        for index, work in enumerate(works):
            together[_WIDE.get(per, _target_of)(work.observed)].append(index)
        for indices in together.values():
            done = run_stages(alike, tuple(works[i] for i in indices), runner, before=before)
            for index, work in zip(indices, done, strict=True):
                works[index] = work
        before = (*before, *(stage for stage in alike if stage.per == "frame"))
    return works


def _target_of(observed: ObservationSet) -> object:
    return observed.night, observed.target.casefold()


def _saved_kinds(recipe: Recipe, options: Options) -> frozenset[str]:
    """The kinds of images that a run saves: those asked for, and that with which it ends where it ends early.

    Raises
    ------
    UsageError
        There is no such kind, or no stage that is run makes it.
    """
    asked = [name.strip() for name in (options.save or "").split(",") if name.strip()]
    for name in asked:
        if name not in SAVABLE:
            raise UsageError(f"--save {name}: give {' or '.join(SAVABLE)}")
        if recipe.giver(SAVABLE[name]) is None:
            raise UsageError(
                f"--save {name}: no stage that is run makes them; the stages are"
                f" {', '.join(stage.name for stage in recipe.stages)}"
            )
    at_the_end = recipe.stages[-1].gives if options.until is not None else ()
    return frozenset({*asked, *(kind for kind, made in SAVABLE.items() if made in at_the_end)})


def _part_of(recipe: Recipe, options: Options) -> Recipe:
    """The stages of a recipe that the options ask for."""
    try:
        for name in (options.skip or "").split(","):
            recipe = recipe.without(name.strip()) if name.strip() else recipe
        return recipe.until(options.until) if options.until else recipe
    except DeclarationError as error:
        asked = "--skip" if options.skip else "--until"
        raise UsageError(f"{asked}: {error}") from error


def loaded(commands: Collection[str] = (), file: CodeFile | None = None) -> Plugins:
    """What the installed plugins bring, and a file; nothing has the name of a command, or of an option of every run."""
    return load_plugins(reserved=commands, options={public_name(item) for item in fields(Options)}, file=file)


@cache
def installed() -> Plugins:
    """The same, asked once for each process."""
    return loaded()


@cache
def _with_file(file: CodeFile) -> Plugins:
    """The same, and what a file brings."""
    return loaded(file=file)


def plugins_for(options: Options) -> Plugins:
    """What the installed plugins bring, and the file with the user's own recipe where one is named.

    Raises
    ------
    UsageError
        It cannot be read.
    PluginError
        What it brings cannot be used.
    """
    file = _own_file(options)
    return _with_file(CodeFile.read(file)) if file else installed()


def _own_file(options: Options) -> str:
    """The file with the user's own recipe; "" where none is named."""
    return options.recipe if options.recipe is not None and names_file(options.recipe) else ""


@cache
def options_type() -> type[Options]:
    """The options of a run, those that stages of plugins declare among them."""
    recipes = (one.item for one in installed().recipes.values())
    return options_with(dict.fromkeys(declared for recipe in recipes for declared in recipe.options))


def recipe_of(instrument: Instrument, options: Options) -> Recipe:
    """The recipe asked for, or the instrument's, with the options in the settings of its stages.

    Raises
    ------
    UsageError
        No plugin brings it, or the photometer that the options name; or no stage of it makes what is to be saved.
    PluginError
        The plugin or the file that should bring it failed, or two claim its name.
    """
    plugins, file = plugins_for(options), _own_file(options)
    whole = plugins.recipe_of(file) if file else plugins.recipe(options.recipe or instrument.recipe)
    recipe = _part_of(whole, options)
    values = {**options.named(), "photometer": plugins.photometer(options.photometer)}
    recipe = replace(recipe, stages=tuple(configured(stage, values) for stage in recipe.stages))
    _saved_kinds(recipe, options)
    return recipe


def report_of(night: Night, works: Sequence[Work], options: Options) -> RunReport:
    """What was made of a night so far."""
    results = tuple(work.result for work in works)
    asked_for = options.target is not None
    return RunReport(
        instrument=night.instrument.name,
        recipe=recipe_of(night.instrument, options).name,
        night=night,
        sets=results
        if asked_for
        else tuple(as_remarks(r) if is_incidental(r, results) else r for r in results),
        status=statuses(night, works),
        problems=(*many_unusable(night), *_copies_found(night)),
    )


def is_incidental(result: SetResult, others: Sequence[SetResult]) -> bool:
    """Whether an observation is of focus or test frames, by its name or by how few they are beside the night's own."""
    frames = [len(other.observed.frames) for other in others if not _TEST_NAME.search(other.observed.target)]
    if not frames:
        return False
    few = len(result.observed.frames) <= _FEW_FRAMES and _FEW_OF * len(result.observed.frames) <= max(frames)
    return few or _TEST_NAME.search(result.observed.target) is not None


def as_remarks(result: SetResult) -> SetResult:
    """The same result, whose problems change no exit status."""
    return replace(result, problems=tuple(replace(p, grade=Grade.REMARK) for p in result.problems))


def many_unusable(night: Night) -> Iterator[Problem]:
    """A problem where so many files could not be used that more than single frames are missing."""
    lost = sum(row.info is None for row in night.refused)
    if lost > _LOST_MANY * len(night.rows):
        why = f"{lost} of {plural(len(night.rows), 'file')} could not be used; the reason of each is in night.ecsv"
        yield Problem("night", "frames", why)


def _copies_found(night: Night) -> Iterator[Problem]:
    """A remark where frames are copies of others."""
    if night.copies:
        first, many = night.copies[0], len(night.copies)
        rest = f" (and {many - 1} more: night.ecsv names each)" if many > 1 else ""
        why = f"{first.file} is {first.reason}{rest}; copies are excluded, and the raw frame is used"
        yield Problem(f"{many} cop{'ies' if many > 1 else 'y'}", "night", why, Grade.REMARK)


def write_products(report: RunReport, runner: Runner) -> RunReport:
    """Write the tables, the figures and the page; the report with the products' names, and with what failed."""
    output, sets, problems = runner.output, list(report.sets), list(report.problems)
    options = {n: told_value(n, value) for n, (value, _) in report.options.items() if n not in ENGINE}
    pictures: dict[str, Picture] = {}
    of_several: list[str] = []
    for product in plugins_for(runner.options).products.values():
        for shown in made_of(product.item, report.sets, options):
            name = shown.path(product.item)
            try:
                content = contents(product.item, shown)
            except ProductError as error:
                log.error("%s: %s", name, error, exc_info=error.__cause__)
                problems.append(Problem(name, "products", f"{product.plugin} of {product.origin}: {error}"))
                continue
            if content is None:
                continue
            if isinstance(content, Picture):
                pictures[name] = content
            else:
                write_content(output, name, content)
            if product.item.per != "observation":
                of_several.append(name)
                continue
            (its,) = (i for i, one in enumerate(report.sets) if one is shown.results[0])
            sets[its] = replace(sets[its], products={**sets[its].products, PurePath(name).name: name})
    images = draw(pictures | master_images(report), runner)
    report = replace(report, sets=tuple(sets), problems=tuple(problems), of_several=tuple(of_several))
    output.write_text("report.html", night_page(report, images))
    return report


def draw(pictures: Mapping[str, Picture], runner: Runner) -> dict[str, bytes]:
    """Draw and write figures; one that shows what it showed before stands."""
    images = {}
    shown: dict[int, str] = {}  # what several figures show is looked at once
    for name, picture in pictures.items():
        if id(picture.of) not in shown:
            shown[id(picture.of)] = fingerprint(code_identity(whole=True), picture.of)
        key = partial(fingerprint, picture.kind, shown[id(picture.of)])
        if runner.recall(name, key) is not None:
            images[name] = runner.output.read_bytes(name)
            continue
        images[name] = picture()
        runner.output.write_bytes(name, images[name])
        runner.keep(name, key(), True)
    return images


def record(
    report: RunReport, output: Output, journal: Journal, names: Sequence[str], *, digests: Mapping[str, str]
) -> None:
    """Write run.json: what was made from what; and note it in the journal.

    Parameters
    ----------
    report : RunReport
    output : Output
    journal : Journal
    names : sequence of str
        All products, those of an earlier run that still stand among them.
    digests : mapping of str to str
        The SHA-256 of the user's own code, by the options that name it.
    """
    products = {
        name: {
            "sha256": journal.unchanged(name) or journal.keep_product(name),
            "bytes": output.signature(name)[0],
        }
        for name in names
    }
    raw = _raw_files(report.night, journal)
    output.write_json(RUN_RECORD, run_json(report, raw=raw, products=products, digests=digests))
    journal.keep_product(RUN_RECORD)


def _raw_files(night: Night, journal: Journal) -> dict[str, dict[str, object]]:
    """SHA-256, size and time of each raw file that is still there, by the names that the night gives its rows."""
    found: dict[str, dict[str, object]] = {}
    for row in night.rows:
        file = row.info.inside if row.info is not None else row.file
        path = night.root / file
        with suppress(OSError):  # it is gone, or may not be read
            if path.is_file() and path.resolve().is_relative_to(night.root.resolve()):
                size, modified, *_ = signature(path)
                about = {"sha256": journal.content(file, path), "bytes": size, "modified_ns": modified}
                found[row.file] = about if file == row.file else {"path": file, **about}
    return found


# -- what was done before ------------------------------------------------------------------------------------


@dataclass
class Memory:
    """What was made of the headers before, and what is made of them now.

    The journal has it where there is one already; a night that cannot be reduced leaves nothing behind.

    Attributes
    ----------
    instrument : Instrument
    journal : Journal or None
    forgetful : bool
        All headers are read again.
    new : dict of str to (str, list)
        What the journal does not have yet: key and rows, by file.
    """

    instrument: Instrument
    journal: Journal | None = None
    forgetful: bool = False
    new: dict[str, tuple[str, object]] = field(default_factory=dict)

    def key(self, path: Path, *more: object) -> str:
        """What the description of a file depends on."""
        return fingerprint(code_identity(), instrument_identity(type(self.instrument)), signature(path), more)

    def rows(self, file: str, key: str) -> Kept:
        return None if self.journal is None or self.forgetful else self.journal.rows(file, key)

    def keep(self, file: str, key: str, rows: object) -> None:
        self.new[file] = key, rows

    def hand_over(self, journal: Journal) -> None:
        """Put into a journal what is new."""
        for file, (key, rows) in self.new.items():
            journal.keep_rows(file, key, rows)
        self.new.clear()


@dataclass(frozen=True)
class Standing:
    """What a run came to.

    Attributes
    ----------
    exit_status : int
    lines : tuple of str
        Its last lines on the screen.
    measured, frames : int
        Science frames that were measured, and all.
    is_old : bool
        It was an earlier run, and nothing has changed since.
    """

    exit_status: int
    lines: tuple[str, ...]
    measured: int = 0
    frames: int = 0
    is_old: bool = False

    @classmethod
    def of(cls, report: RunReport, folder: Path) -> Standing:
        """Of a run that has just ended."""
        counts = [count_frames(report, result) for result in report.sets]
        lines = closing_lines(report, folder=folder)
        return cls(
            report.exit_status, tuple(lines), sum(n.measured for n in counts), sum(n.total for n in counts)
        )


def standing(instrument: Instrument, folder: Path, *, out: Path | None, options: Options) -> Standing | None:
    """The last run into the same folder, where nothing has changed since: raw files, options, code, products.

    Files are told by size, times and place on the disk; `verify` reads them.

    Raises
    ------
    Busy
        Another run is at work on the same output folder.
    """
    output = output_of(folder, out)
    if not output.folder.below(FOLDER).is_there() or not folder.is_dir():
        return None
    with Journal(output) as journal:
        match journal.note("run"):
            case {
                "key": str(key),
                "products": [*products],
                "exit_status": int(status),
                "lines": [*lines],
                "measured": int(measured),
                "frames": int(frames),
            } if all(isinstance(text, str) for text in (*products, *lines)):
                pass
            case _:
                return None
        if key != _run_key(instrument, folder, output, options) or not all(map(journal.product, products)):
            return None
    told = tuple(line.replace(_OUTPUT, str(output.root)) for line in lines)
    return Standing(status, told, measured, frames, is_old=True)


def _run_key(instrument: Instrument, folder: Path, output: Output, options: Options) -> str:
    """The fingerprint of everything that a run depends on."""
    named = {name: value for name, value in options.named().items() if name not in ENGINE}
    files = [
        (path.relative_to(folder).as_posix(), signature(path))
        for path in list_files(folder, output.root).files
        if path.exists()
    ]
    code = code_identity(whole=True)
    stages = fingerprint(recipe_of(instrument, options).stages)
    plugins = instrument_identity(type(instrument)), stages, _digests_of(options)
    return fingerprint(code, plugins, str(folder.absolute()), named, files)


def _digests_of(options: Options) -> dict[str, str]:
    """The SHA-256 of the user's own code, by the options that name it."""
    metric = "" if options.metric is None else named_metric(options.metric).digest
    file = _own_file(options)
    digests = {"metric": metric, "recipe": CodeFile.read(file).sha256 if file else ""}
    return {name: digest for name, digest in digests.items() if digest}


def _finish(report: RunReport, journal: Journal, names: Sequence[str], key: str) -> None:
    """Note that a run came to its end, and under which key."""
    run = vars(Standing.of(report, Path(_OUTPUT))) | {"key": key, "products": list(names)}
    journal.write_note("run", run)


def check_understood(night: Night) -> None:
    """Raise a NotUnderstood where the instrument understands none of the frames, before anything is written."""
    if not night.is_understood:
        name, number = night.instrument.name, len(night.rows)
        raise NotUnderstood(
            f"{night.root}: no science frames: {name} understands none of {number} file{'s' * (number != 1)};"
            f" nothing was written{_first_reasons(night)}"
        )


def _first_reasons(night: Night) -> str:
    """Why the first few frames cannot be used, in lines of their own."""
    return "".join(f"\n  {row.reason}" for row in night.refused[:5])


def _check_options(night: Night, options: Options) -> None:
    """Raise a UsageError for an option that names what the night does not have, before anything is written."""
    science = [frame for observed in night.sets() for frame in observed.frames]
    if options.metric is not None:
        named_metric(options.metric)
    if options.target is not None and science:
        wanted_sets(night, options)
    if options.target_xy is not None and science:
        camera, _ = target_spec(options.target_xy)
        known = {name.casefold() for frame in science for name in (frame.camera, frame.band)}
        if camera and camera.casefold() not in known:
            names = ", ".join(sorted({frame.camera for frame in science}))
            raise UsageError(
                f"--target-xy {options.target_xy}: no frames of a camera {camera}; there are {names}"
            )
        sets = wanted_sets(night, options)
        if pixel_set(_targets_of(night, sets), options.target_xy, options.target_frame) is None:
            raise UsageError(
                f"--target-frame {options.target_frame}: no science frame"
                f"{f' of {camera}' if camera else ''} has that name"
            )


def wanted_sets(night: Night, options: Options) -> tuple[ObservationSet, ...]:
    """The sets to reduce.

    Raises
    ------
    NightError
        There is none; the message says what there is instead.
    """
    sets = night.sets(joined=recipe_of(night.instrument, options).joins_nights)
    if not sets:
        kinds = Counter(str(info.kind) for info in night.frames)
        found = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "no frame that can be used"
        raise NightError(f"{night.root}: no science frames; there are {found}{_first_reasons(night)}")
    if options.target is None:
        return sets
    wanted = tuple(s for s in sets if options.target.casefold() in s.target.casefold())
    if not wanted:
        names = ", ".join(dict.fromkeys(s.target for s in sets))
        raise UsageError(f"--target {options.target}: no such target; there are {names}")
    return wanted


def _targets_of(night: Night, sets: Sequence[ObservationSet]) -> list[tuple[ObservationSet, ...]]:
    """The sets of each target of each night, in the order of the instrument's cameras."""
    order = [camera.name for camera in night.instrument.cameras]

    def name(observed: ObservationSet) -> tuple[str, str]:
        return observed.night, observed.target.casefold()

    alike = groupby(sorted(sets, key=name), key=name)
    return [tuple(sorted(group, key=lambda s: (order.index(s.camera), s.folder))) for _, group in alike]


def by_target(night: Night, sets: Sequence[ObservationSet], options: Options) -> list[tuple[Work, ...]]:
    """The work on each target of each night, its sets in the order of the instrument's cameras."""
    groups = _targets_of(night, sets)
    spec = options.target_xy
    own = None if spec is None else pixel_set(groups, spec, options.target_frame)
    return [
        tuple(start(night, s, for_them).with_(pixel_read_here=s is own) for s in group)
        for group, for_them in zip(groups, with_their_radec(groups, options), strict=True)
    ]


def with_their_radec(groups: Sequence[Sequence[ObservationSet]], options: Options) -> list[Options]:
    """The options for each target: --radec is that of the nearest only, where headers say that others are far."""
    if options.radec is None:
        return [options] * len(groups)
    target = parse_radec(options.radec)
    apart = []
    for group in groups:
        known = [info.pointing for observed in group for info in observed.frames if info.pointing is not None]
        apart.append(float(known[len(known) // 2].separation(target).deg) if known else 0.0)
    there_is_one = min(apart, default=0.0) <= _FAR
    return [replace(options, radec=None) if there_is_one and far > _FAR else options for far in apart]


def in_turn(
    groups: Sequence[tuple[Work, ...]], reduce: Callable[[tuple[Work, ...]], tuple[Work, ...]]
) -> list[Work]:
    """What a function makes of the works on each target; that in which the target's pixel was read off is the first.

    The others are given its place.
    """
    order = sorted(range(len(groups)), key=lambda i: not any(work.pixel_read_here for work in groups[i]))
    done: dict[int, tuple[Work, ...]] = {}
    there = None
    for i in order:
        done[i] = reduce(tuple(work.with_(elsewhere=there or work.elsewhere) for work in groups[i]))
        there = there or located(done[i])
    return [work for i in range(len(groups)) for work in done[i]]


def start(night: Night, observed: ObservationSet, options: Options) -> Work:
    """The work on one set, before its first stage."""
    instrument = night.instrument
    mode = options.filter_ or instrument.pixel_filter.for_frames(observed.exposure, observed.binning)
    coordinates, why = _target_coordinates(observed, options)
    setup = Setup(
        instrument,
        filter_mode=mode,
        coordinates=coordinates,
        coordinates_why=why,
        coordinates_given=options.radec is not None,
    )
    asked = (
        "as --filter asks"
        if options.filter_
        else f"{instrument.name}'s rule for {observed.exposure:g} exposures binned"
        f" {observed.binning[0]}x{observed.binning[1]}"
    )
    result = SetResult(
        observed,
        pixel_scale=pixel_scale(instrument, observed.frames[0]),
        choices=(Choice("3x3 filter", mode, f"{asked}; {_FILTERED[mode]}"),),
    )
    return Work(observed, setup, result)


def _target_coordinates(observed: ObservationSet, options: Options) -> tuple[SkyCoord | None, str]:
    """Where the target is, ICRS, and where that is known from."""
    if options.radec is not None:
        return parse_radec(options.radec), "the coordinates given with --radec"
    known = [info.pointing for info in observed.frames if info.pointing is not None]
    if not known:
        return None, ""
    middle = known[len(known) // 2]
    where = middle.to_string("hmsdms", precision=0)
    return (
        middle,
        f"the headers' pointing, {where}, which may be minutes of arc off the target: up to 0.1 s each",
    )


def parse_radec(text: str) -> SkyCoord:
    """Coordinates in degrees or sexagesimal (hours, degrees).

    Raises
    ------
    UsageError
        They are neither.
    """
    words = text.replace(",", " ").split()
    try:
        if len(words) == 2 and not any(":" in w or "h" in w for w in words):
            return SkyCoord(float(words[0]), float(words[1]), unit="deg")
        return SkyCoord(" ".join(words), unit=("hourangle", "deg"))
    except ValueError as error:
        raise UsageError(
            f"--radec {text!r}: give 'HH:MM:SS.S +DD:MM:SS' or degrees, 'RA DEC' ({error})"
        ) from error


def run_fields(
    stages: Sequence[AnyStage], works: tuple[Work, ...], runner: Runner, taken: Collection[str] = ()
) -> tuple[Work, ...]:
    """Stages over the sets of one target; where its frames show two fields, over those of each, as of two targets."""
    done = run_stages(stages, works, runner)
    apart = [_second_field(work, before, stages, runner) for work, before in zip(done, works, strict=True)]
    if not any(apart):
        return done
    log.info("%s: its frames show two fields", works[0].observed.target)
    groups = fields_in_time(works, apart, runner.options, taken)
    return tuple(in_turn(groups, lambda group: run_stages(stages, group, runner)))


def _second_field(work: Work, before: Work, stages: Sequence[AnyStage], runner: Runner) -> frozenset[str]:
    """The names of the frames that show another field than the reference, and the same as one another; none mostly."""
    registering = next((stage for stage in stages if REGISTRATION in stage.gives), None)
    if registering is None or work.failed:
        return frozenset()
    strange = [o.info for o in work.outcomes if o.stage == registering.name and o.reason and not o.refused]
    if len(strange) < _FEWEST_OF_FIELD:
        return frozenset()
    ahead = tuple(takewhile(lambda stage: stage.per == "observation", stages))
    registered = tuple(stage for stage in stages if stage.per == "frame")
    registered = registered[: 1 + registered.index(registering)]
    (alone,) = run_stages(ahead, (_with_frames_of(before, strange),), runner)
    first, second = work.setup.reference, alone.setup.reference
    if alone.failed or first is None or second is None or not _alike_in_kind(first, second):
        return frozenset()
    outcomes = runner.run_frames(strange, registered, alone.setup, what="")
    found = frozenset(outcome.info.label for outcome in outcomes if not outcome.reason)
    return found if len(found) >= max(_FEWEST_OF_FIELD, len(strange) / 2) else frozenset()


def _alike_in_kind(one: Reference, other: Reference) -> bool:
    """Whether what was found in a frame are stars as in another: neither few, nor as sharp as hot pixels."""
    return len(other.xy) >= _FEWEST_STARS and 1 / _ALIKE_FWHM < other.fwhm / one.fwhm < _ALIKE_FWHM


def fields_in_time(
    works: tuple[Work, ...], apart: Sequence[frozenset[str]], options: Options, taken: Collection[str] = ()
) -> list[tuple[Work, ...]]:
    """The sets of each of two fields, the one observed first before the other, which has a name of its own.

    Parameters
    ----------
    works : tuple of Work
        Before their first stage.
    apart : sequence of frozenset of str
        The frames of each set that show another field than the rest.
    options : Options
    taken : collection of str
        Names of other targets.
    """
    early: list[Work] = []
    late: list[Work] = []
    for work, there in zip(works, apart, strict=True):
        parts = [[i for i in work.observed.frames if (i.label in there) is other] for other in (False, True)]
        parts.sort(key=lambda part: part[0].mid_time.mjd if part and part[0].mid_time is not None else np.inf)
        name = options.target_frame  # without one the pixel was read off in the first frame
        in_late = name is not None and any(name in (i.label, i.path.name, str(i.path)) for i in parts[1])
        early.append(
            _with_frames_of(work, parts[0]).with_(pixel_read_here=work.pixel_read_here and not in_late)
        )
        if parts[1]:
            second = _with_frames_of(work, parts[1]).with_(pixel_read_here=work.pixel_read_here and in_late)
            late.append(_named_second(second, taken))
    return [tuple(early), tuple(late)]


def _with_frames_of(work: Work, frames: Sequence[FrameInfo]) -> Work:
    """The work on some of the frames of a set, before its first stage."""
    observed = replace(work.observed, frames=tuple(frames))
    return work.with_(observed=observed, result=replace(work.result, observed=observed))


def _named_second(work: Work, taken: Collection[str] = ()) -> Work:
    """The work on a set under the name of its target's second field, in a folder of that name."""
    observed = work.observed
    end = next(f"_p{n}" for n in count(2) if f"{observed.target}_p{n}".casefold() not in taken)
    above, folder, band = ("", *observed.folder.split("/"))[-3:]
    path = "/".join(filter(None, (above, f"{folder}{end}", band)))
    observed = replace(observed, target=f"{observed.target}{end}", folder=path)
    return work.with_(observed=observed, result=replace(work.result, observed=observed))


def _gathered(work: Work, plugins: Plugins) -> Work:
    """The work, with what products of plugins read of it among its results."""
    read = {one.field for product in plugins.products.values() for one in product.item.inputs}
    more = {one.name: work.setup.get(one) for one in read if one.per != "frame"}
    for one in read:
        if one.per == "frame":
            known = [(o.info.label, o.results[one.name]) for o in work.outcomes if one.name in o.results]
            more[one.name] = tuple(known) or None
    known_ones = {name: value for name, value in more.items() if value is not None}
    return work.found(more=known_ones) if known_ones else work


def run_stages(
    stages: Sequence[AnyStage],
    works: tuple[Work, ...],
    runner: Runner,
    *,
    before: tuple[FrameStage, ...] = (),
) -> tuple[Work, ...]:
    """Stages over the sets of one target; a set that fails is left behind with its reason.

    Parameters
    ----------
    stages : sequence of Stage
    works : tuple of Work
    runner : Runner
    before : tuple of FrameStage
        Those that ran over the frames already, of which later ones take pixels.
    """
    so_far = before
    for per, group in groupby(stages, key=lambda stage: stage.per):
        alike = tuple(group)
        if per == "frame":
            so_far = (*so_far, *alike)
            works = tuple(w if w.failed else _measure(w, so_far, runner) for w in works)
            continue
        for stage in alike:
            if per == "exposure":
                works = _apply_to_exposures(stage, works, runner)
            elif per == "observation":
                works = tuple(w if w.failed else _apply_to_set(stage, w, runner) for w in works)
            else:
                works = _apply_to_group(stage, works, runner)
    return works


def _apply_to_set(stage: AnyStage, work: Work, runner: Runner) -> Work:
    """One stage on one set."""
    name = stage.name
    try:
        with runner.timed(name):
            return stage(work, runner)
    except (UsageError, ProductError):
        raise
    except ReductionError as error:
        log.warning("%s: %s: %s", work.observed.name, name, error)
        return work.found(problems=[Problem(work.observed.name, name, str(error))]).with_(failed=True)


def _apply_to_exposures(stage: AnyStage, works: tuple[Work, ...], runner: Runner) -> tuple[Work, ...]:
    """One stage on each exposure, all its chips and cameras together; what it gives stands with each of the sets."""
    alive = [work for work in works if not work.failed]
    with runner.timed(stage.name):
        done = [(exposure, stage(exposure)) for exposure in exposures_of(alive, stage)]
    for given in stage.gives:
        values = tuple((exposure.infos[0].label, result.get(given)) for exposure, result in done)
        works = tuple(
            work if work.failed else work.with_(shared=work.shared.giving({given: values})) for work in works
        )
    return works


def _apply_to_group(stage: AnyStage, works: tuple[Work, ...], runner: Runner) -> tuple[Work, ...]:
    """One stage on all sets of a target, a night or the run that have come so far."""
    alive = tuple(work for work in works if not work.failed)
    if not alive:
        return works
    with runner.timed(stage.name):
        done = dict(zip((id(work) for work in alive), stage(alive, runner), strict=True))
    return tuple(done.get(id(work), work) for work in works)


def _measure(work: Work, stages: Sequence[FrameStage], runner: Runner) -> Work:
    """The frame stages over all frames of a set."""
    outcomes = runner.run_frames(work.observed.frames, stages, work.setup, what=work.observed.name, save=True)
    lost = [o for o in outcomes if o.reason]
    problems = [Problem(o.info.label, o.stage, o.reason, Grade.REMARK) for o in lost]
    if len(lost) > _LOST_MANY * len(outcomes):
        why = f"{len(lost)} of {len(outcomes)} frames could not be measured; the reason of each is in night.ecsv"
        problems.append(Problem(work.observed.name, "frames", why))
    return work.with_(outcomes=tuple(outcomes)).found(problems=problems)


def statuses(night: Night, works: Sequence[Work]) -> dict[str, tuple[str, str]]:
    """What became of each raw file, where it is more than the night already knew."""
    found: dict[str, tuple[str, str]] = {}
    names = {(row.info.path, row.info.plane): row.file for row in night.rows if row.info is not None}
    for work in works:
        for problem in work.result.problems:
            if problem.stage.startswith("master"):
                for row in night.rows:
                    if row.info is not None and row.info.label == problem.what:
                        found[row.file] = ("refused", problem.why)
        series = work.result.series
        flagged = (
            dict(zip(series.frames, zip(series.flags, series.reasons, strict=True), strict=True))
            if series
            else {}
        )
        for outcome in work.outcomes:
            file = names[outcome.info.path, outcome.info.plane]
            bits, reason = flagged.get(outcome.info.label, (0, outcome.reason))
            if outcome.refused:
                found[file] = ("refused", outcome.reason)
            elif bits or outcome.reason:
                found[file] = ("flagged", reason or str(FrameFlag(int(bits))))
            else:
                found[file] = ("measured", "")
    return found
