"""Words on the command line, one call, an exit status."""

from __future__ import annotations

import io
import logging
import math
import os
import shlex
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
from astropy.utils import iers
from erfa import ErfaWarning

from potpyri_like import __version__
from potpyri_like.batch import Outcome, nights_in, run_batch
from potpyri_like.console import Log, interruptible
from potpyri_like.errors import ReductionError, UnknownInstrument, UsageError
from potpyri_like.inject import Trial, inject_transits, recovery_of
from potpyri_like.instruments import Instrument
from potpyri_like.options import (
    OptionField,
    OptionValue,
    public_name,
    value_type,
)
from potpyri_like.pipeline import (
    Standing,
    loaded,
    options_type,
    output_of,
    reduce_night,
    standing,
)
from potpyri_like.plugins import Plugins
from potpyri_like.products import aligned, explanation, plural, timing_lines
from potpyri_like.products.declaration import instrument_page
from potpyri_like.record import last_run, metric_word, recipe_word, run_record
from potpyri_like.results import STATUS_WORDS, Timing
from potpyri_like.runner import Progress
from potpyri_like.settings import gather_options, user_options
from potpyri_like.store import is_raw_name
from potpyri_like.testing import NightPlan, check_instrument, simulate_night
from potpyri_like.verify import Check, verify_night
from potpyri_like.watch import watch_night
from potpyri_like.workers import workers

__all__ = [
    "ALL_IS_WELL",
    "DOUBTFUL",
    "NOTHING_REDUCED",
    "SOMETHING_MISSING",
    "WRONG_COMMAND",
    "instrument_command",
    "main",
    "reduce_one",
]

log = logging.getLogger(__name__)

ALL_IS_WELL, NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING, DOUBTFUL = 0, 1, 2, 3, 4
_WORST_FIRST = (NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING, DOUBTFUL)
_STATUSES = (
    "Exit status: 0 all is well; 1 nothing could be reduced; 2 the command line or reduce.toml is wrong; 3 something"
    " asked for or normally made is missing; 4 a number on the first screen is doubtful; 130 interrupted."
)
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_PATH = click.Path(path_type=Path)
_DIFFERS = {3: "something differs from what it should be"}
_COMMAND = "potpyri_like.command"  # where click keeps the command as it was given
_UNCHANGED = "stopped; nothing was changed"
_SYNOPSIS = "INSTRUMENT NIGHT [OPTIONS]"
_OF_A_RUN_AGAIN = ("metric", "recipe", "jobs", "scheduler", "online")  # what run.json is not asked for


class _Reduce(click.Group):
    """Each registered instrument is a command, in any letter case, beside the tools."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_COMMAND] = shlex.join(["reduce", *args])
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_registry_of(ctx).instruments, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        tool = super().get_command(ctx, name.lower())
        return tool if tool is not None else instrument_command(_registry_of(ctx), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        registry = _registry_of(ctx)
        with formatter.section("Instruments"):
            formatter.write_dl([(name, item.summary) for name, item in registry.instruments.items()])
        with formatter.section("Tools"):
            tools = {name: super(_Reduce, self).get_command(ctx, name) for name in super().list_commands(ctx)}
            formatter.write_dl([(name, tool.get_short_help_str(90)) for name, tool in tools.items() if tool])


class _Instruments(click.Group):
    """`reduce instruments` with a name shows that instrument; `check NAME` tests it."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        tool = super().get_command(ctx, name)
        return tool if tool is not None else _show_command(_registry_of(ctx), name)


class _Finite(click.FloatRange):
    """A number within a range, and neither NaN nor infinite."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return (
            number if math.isfinite(number) else self.fail(f"{value} is no number to work with.", param, ctx)
        )


def _registry_of(ctx: click.Context) -> Plugins:
    """The installed instruments, loaded once per call."""
    root = ctx.find_root()
    if not isinstance(root.obj, Plugins):
        root.obj = loaded(frozenset(cli.commands))
    return root.obj


def _known_instrument(registry: Plugins, name: str) -> Instrument:
    """The instrument of that name; a wrong name is a wrong command line."""
    try:
        return registry[name]
    except UnknownInstrument as error:
        first = " The instrument comes first: reduce INSTRUMENT NIGHT." if Path(name).exists() else ""
        raise click.UsageError(f"{error}{first}") from error


@click.group(
    cls=_Reduce,
    context_settings=_CONTEXT,
    subcommand_metavar=_SYNOPSIS,
    no_args_is_help=True,
    epilog=_STATUSES,
)
@click.version_option(__version__, prog_name="reduce")
def cli() -> None:
    """From a night of raw telescope frames to calibrated light curves and images.

    reduce INSTRUMENT NIGHT writes everything to the folder NIGHT/red; raw frames are never touched.
    reduce INSTRUMENT --help lists the options.
    """


# -- reduce INSTRUMENT NIGHT ---------------------------------------------------------------------------------


def instrument_command(registry: Plugins, name: str) -> click.Command:
    """The command that reduces a night of one instrument."""
    instrument = _known_instrument(registry, name)
    about = (type(instrument).__doc__ or "").strip()

    def run(night: Path, out: Path | None, config: Path | None, **given: OptionValue) -> None:
        flags, options = _split_flags(given)
        with interruptible(plain=flags.verbose) as progress:
            done = reduce_one(
                instrument, night, out=out, config=config, flags=flags, given=options, progress=progress
            )
        _say_and_exit(done.lines, done.exit_status)

    return click.Command(
        instrument.name,
        callback=run,
        params=[
            click.Argument(["night"], type=_PATH),
            *_run_parameters(),
            click.Option(["--out"], type=_PATH, metavar="DIR", help="Write there instead of NIGHT/red."),
            click.Option(
                ["--config"],
                type=_PATH,
                metavar="FILE",
                help="Read options from this file instead of NIGHT/reduce.toml.",
            ),
        ],
        help=f"Reduce a night of {instrument.name}.\n\n{about}",
        epilog=_STATUSES,
        short_help=about.partition("\n")[0],
    )


def _option_parameters(only: Collection[str] = ()) -> list[click.Parameter]:
    """The options of a run, as declared in `Options`; None means that the command line does not say."""
    return [_option_parameter(item) for item in fields(options_type()) if not only or item.name in only]


def _run_parameters() -> list[click.Parameter]:
    """The same, and the flags of `_Flags`."""
    return [
        *_option_parameters(),
        click.Option(["--redo"], is_flag=True, help="Forget what earlier runs did: do everything again."),
        click.Option(["--timings"], is_flag=True, help="Show at the end where the time went."),
        click.Option(["--verbose", "-v"], is_flag=True, help="Show the log on the screen."),
    ]


class _WithRunParameters(click.Command):
    """A command with the parameters of a run besides its own; which there are, the plugins say when it is called."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_run_parameters(), *super().get_params(ctx)]


class _WithOptions(click.Command):
    """The same, without the flags of `_Flags`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_option_parameters(), *super().get_params(ctx)]


class _WithOptionsOfARunAgain(click.Command):
    """A command with those options that run.json is not asked for."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_option_parameters(_OF_A_RUN_AGAIN), *super().get_params(ctx)]


def _option_parameter(item: OptionField) -> click.Option:
    """One of them."""
    choices, names = item.metadata["choices"], ["--" + public_name(item).replace("_", "-"), item.name]
    if value_type(item) is bool:
        return click.Option(names, is_flag=True, default=None, help=item.metadata["help"])
    default = f"  [default: {item.default}]" if item.default is not None else ""
    return click.Option(
        names,
        type=click.Choice(choices, case_sensitive=False) if choices else value_type(item),
        default=None,
        metavar=item.metadata["metavar"] or None,
        help=item.metadata["help"] + default,
    )


@dataclass(frozen=True)
class _Flags:
    """What only the command line says of a run."""

    redo: bool = False
    timings: bool = False
    verbose: bool = False


def _split_flags(given: dict[str, OptionValue]) -> tuple[_Flags, dict[str, OptionValue]]:
    """What click hands over, as flags and as options by the names of their fields."""
    flags = {item.name: bool(given[item.name]) for item in fields(_Flags)}
    return _Flags(**flags), {name: value for name, value in given.items() if name not in flags}


def _say_and_exit(lines: Sequence[str], status: int, words: Mapping[int, str] = STATUS_WORDS) -> None:
    """The last lines on the screen, and the exit status, which the last of them names where it is not 0."""
    _say(lines)
    if status != ALL_IS_WELL:
        click.echo(f"exit status {status}: {words[status]} (see above)")
    raise SystemExit(status)


def _warn(sentence: str) -> None:
    click.echo(sentence, err=True)


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)


def reduce_one(
    instrument: Instrument,
    night: Path,
    *,
    out: Path | None,
    config: Path | None,
    flags: _Flags,
    given: dict[str, OptionValue],
    progress: Progress,
    executor: Executor | None = None,
) -> Standing:
    """Reduce a night where anything has changed since the last run."""
    options, origins = gather_options(night, config, given, say=_warn)
    output = output_of(night, out).root
    before = None if flags.redo else standing(instrument, night, out=out, options=options)
    if before is not None:
        progress.say(f"{night}: nothing has changed since the last run; its products stand (--redo)")
        return _with_timings(before, Timing()) if flags.timings else before
    with Log(output_of(night, out), screen=flags.verbose):
        command = click.get_current_context().meta[_COMMAND]
        log.info("potpyri_like %s, %s", __version__, command)
        for name, where in origins.items():
            log.info("%s = %s (%s)", name, options.named()[name], where)
        report = reduce_night(
            instrument,
            night,
            out=out,
            options=options,
            origins=origins,
            command=command,
            redo=flags.redo,
            progress=progress,
            executor=executor,
        )
        log.info("finished with exit status %d", report.exit_status)
    done = Standing.of(report, output)
    return _with_timings(done, report.timing) if flags.timings else done


def _with_timings(done: Standing, timing: Timing) -> Standing:
    """What a run came to, with where its time went among its last lines."""
    return replace(done, lines=(*done.lines, *timing_lines(timing)))


# -- reduce instruments --------------------------------------------------------------------------------------


@cli.group(cls=_Instruments, invoke_without_command=True, subcommand_metavar="[NAME] | check NAME")
@click.pass_context
def instruments(ctx: click.Context) -> None:
    """List the installed instruments; with a NAME, its cards, cameras and constants."""
    if ctx.invoked_subcommand is None:
        registry = _registry_of(ctx)
        items = registry.instruments.items()
        wide = max((len(name) for name, _ in items), default=0)
        wider = max((len(item.origin) for _, item in items), default=0)
        for name, item in items:
            click.echo(f"{name:<{wide}}  {item.origin:<{wider}}  {item.summary}")
        for failure in registry.failures:
            click.echo(f"{failure.plugin} of {failure.origin} could not be loaded: {failure.cause}", err=True)
        raise SystemExit(SOMETHING_MISSING if registry.failures else ALL_IS_WELL)


@instruments.command("check", short_help="Test an instrument's declaration, and a synthetic night with it.")
@click.argument("name")
@click.option("--quick", is_flag=True, help="Leave out the synthetic night.")
@click.pass_context
def check(ctx: click.Context, name: str, quick: bool) -> None:
    """Test the declaration of instrument NAME.

    Its cards, sections and times are tested, and a synthetic night is reduced to its truth. Exit status 3 says that a
    test failed.
    """
    results = check_instrument(_known_instrument(_registry_of(ctx), name), night=not quick)
    for result in results:
        said = f"ok     {result.name}" if result.passed else f"FAILED {result.name}: {result.message}"
        click.echo(said)
    passed = all(result.passed for result in results)
    _say_and_exit((), ALL_IS_WELL if passed else SOMETHING_MISSING, _DIFFERS)


def _show_command(registry: Plugins, name: str) -> click.Command:
    """The command that prints one instrument's declaration."""
    instrument = _known_instrument(registry, name)

    def show() -> None:
        for line in instrument_page(instrument, registry.instruments[instrument.name].origin):
            click.echo(line)

    return click.Command(name, callback=show, help=f"Show what is declared of {instrument.name}.")


# -- reduce batch, reduce verify -----------------------------------------------------------------------------


@cli.command(
    "batch", cls=_WithRunParameters, short_help="Reduce many nights on one pool of workers, or one cluster."
)
@click.argument("nights", nargs=-1, required=True, metavar="NIGHT...")
@click.option("--instrument", metavar="NAME", help="The instrument of all nights for which no file names it.")
@click.option("--out", type=_PATH, metavar="DIR", help="Write to DIR/NAME-OF-NIGHT instead of NIGHT/red.")
@click.pass_context
def batch(
    ctx: click.Context,
    nights: tuple[str, ...],
    instrument: str | None,
    out: Path | None,
    **given: OptionValue,
) -> None:
    """Reduce many nights, and end with a table of what became of each.

    NIGHT is a folder, or a file that names nights, one in a line: NIGHT or INSTRUMENT NIGHT. The instrument
    is the one named, else that of an earlier run, else the one that understands the headers. Each night's
    reduce.toml holds for it. The exit status is that of the worst night: 1 before 2, 3 and 4.
    """
    registry, (flags, options) = _registry_of(ctx), _split_flags(given)
    entries = [replace(e, instrument=e.instrument or instrument or "") for e in nights_in(nights)]
    for name in {entry.instrument for entry in entries} - {""}:
        _known_instrument(registry, name)
    own = user_options(options)
    outcomes: list[Outcome] = []
    with (
        interruptible(plain=flags.verbose, tell=lambda: _say(_batch_table(outcomes))) as progress,
        workers(own.jobs, own.scheduler, most=sys.maxsize) as executor,
    ):

        def reduce(known: Instrument, night: Path, output: Path | None) -> Standing:
            progress.say(f"night {len(outcomes) + 1} of {len(entries)}: {known.name} {night}")
            done = reduce_one(
                known,
                night,
                out=output,
                config=None,
                flags=flags,
                given=options,
                progress=progress,
                executor=executor,
            )
            for line in () if done.is_old and not flags.timings else done.lines:
                progress.say(line)
            return done

        for outcome in run_batch(entries, registry, reduce, out=out):
            outcomes.append(outcome)
            if not outcome.frames:
                progress.say(f"{outcome.night}: {outcome.word}")
    _say_and_exit(_batch_table(outcomes), _worst({outcome.status for outcome in outcomes}))


def _batch_table(outcomes: Sequence[Outcome]) -> list[str]:
    """What became of each night, in straight columns."""
    rows = [
        [
            str(o.night),
            o.instrument,
            f"{o.measured} of {plural(o.frames, 'frame')}" if o.frames else "",
            o.word,
        ]
        for o in outcomes
    ]
    return aligned(rows)


def _worst(statuses: set[int]) -> int:
    """The exit status of several nights: that of the worst of them."""
    return next((status for status in _WORST_FIRST if status in statuses), ALL_IS_WELL)


@cli.command("watch", cls=_WithOptions, short_help="Follow a night while it is observed.")
@click.argument("instrument")
@click.argument("night", type=_PATH)
@click.option("--out", type=_PATH, metavar="DIR", help="Write there instead of NIGHT/red.")
@click.option(
    "--config", type=_PATH, metavar="FILE", help="Read options from this file, not NIGHT/reduce.toml."
)
@click.option(
    "--idle",
    type=_Finite(0, min_open=True),
    metavar="MINUTES",
    help="Stop after so many minutes without a new frame.",
)
@click.option(
    "--serve",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve the page on this computer (0: any port).",
)
@click.option("--verbose", "-v", is_flag=True, help="Show the log on the screen.")
@click.pass_context
def watch(
    ctx: click.Context,
    instrument: str,
    night: Path,
    out: Path | None,
    config: Path | None,
    idle: float | None,
    serve: int | None,
    verbose: bool,
    **given: OptionValue,
) -> None:
    """Follow NIGHT while frames arrive: the light curves and the page keep up with them.

    The page loads itself again every few seconds. Whenever the night is quiet, all products are brought to the state
    in which `reduce INSTRUMENT NIGHT` leaves them. Ctrl-C ends the watch.
    """
    known = _known_instrument(_registry_of(ctx), instrument)
    options, origins = gather_options(night, config, given, say=_warn)
    with interruptible(plain=verbose) as progress, ExitStack() as stack:
        stack.enter_context(Log(output_of(night, out), screen=verbose))
        done = watch_night(
            known,
            night,
            out=out,
            options=options,
            origins=origins,
            command=ctx.meta[_COMMAND],
            idle=None if idle is None else 60 * idle,
            serve=serve,
            executor=stack.enter_context(workers(options.jobs, options.scheduler, most=sys.maxsize)),
            progress=progress,
            say=lambda text: progress.say(f"{time.strftime('%H:%M:%S', time.gmtime())} UT  {text}"),
        )
    _say_and_exit(done.lines, done.exit_status)


@cli.command(
    "verify",
    cls=_WithOptionsOfARunAgain,
    short_help="Verify checksums of raw files and products, and recompute a sample.",
)
@click.argument("night", type=_PATH)
@click.option("--all", "every", is_flag=True, help="Compute everything again, not a sample of the frames.")
@click.option("--out", type=_PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="Of the choice of frames; each time another one."
)
@click.option("--verbose", "-v", is_flag=True, help="Show the log on the screen.")
@click.pass_context
def verify(
    ctx: click.Context,
    night: Path,
    every: bool,
    out: Path | None,
    seed: int | None,
    verbose: bool,
    **given: OptionValue,
) -> None:
    """Verify the last run of NIGHT.

    Every raw file and every product is compared with its SHA-256 in run.json; then a dozen frames of each
    set, or all of them, are computed again, and the products from them, and compared bit by bit. Nothing is
    changed. Exit status 3 says that something differs.
    """
    same = True
    with interruptible(_UNCHANGED, plain=verbose) as progress, Log(None, screen=verbose):
        instrument = _registry_of(ctx)[last_run(night, out=out).instrument]
        for check in verify_night(
            instrument,
            night,
            out=out,
            every=every,
            seed=seed,
            own=user_options(given),
            progress=progress,
        ):
            progress.end()
            same = same and not check.wrong
            for line in _check_lines(check):
                click.echo(line)
    _say_and_exit((), ALL_IS_WELL if same else SOMETHING_MISSING, _DIFFERS)


def _check_lines(check: Check) -> list[str]:
    """One check in words."""
    if check.is_word:
        return [check.what]
    head = f"{check.what}: {check.count}"
    if not check.wrong:
        return [f"{head}, all as they were"]
    return [f"{head}, {len(check.wrong)} NOT as they were", *(f"  {name}" for name in check.wrong)]


# -- reduce explain ------------------------------------------------------------------------------------------


@cli.command("explain", short_help="Explain the choices of the last run, with the rejected candidates.")
@click.argument("night", type=_PATH)
@click.argument("what", default="")
@click.option("--all", "everything", is_flag=True, help="List all rejected candidates, not a dozen of each.")
@click.option("--out", type=_PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option(
    "--metric",
    metavar="MODULE:FUNCTION",
    help="The function of your own that the run used: whether it is still the same.",
)
@click.option(
    "--recipe",
    metavar="FILE.py",
    help="The file with a recipe of your own that the run used: whether it is still the same.",
)
def explain(
    night: Path, what: str, everything: bool, out: Path | None, metric: str | None, recipe: str | None
) -> None:
    """Explain why the last run of NIGHT chose its reference, masters, aperture, comparison stars and baseline.

    WHAT is a part of the name of a target, a band, a camera or a choice: reduce explain NIGHT aperture.
    """
    with run_record(night, out) as (run, _):
        lines = explanation(run, what=what, everything=everything)
    if not lines:
        raise UsageError(
            f"{what!r}: the last run of {night} made no such choice; leave it out to see all choices"
        )
    run_before = last_run(night, out=out)
    if run_before.metric or metric:
        lines.append(metric_word(run_before, metric))
    if run_before.recipe or recipe:
        lines.append(recipe_word(run_before, recipe))
    _say(lines)


# -- reduce inject -------------------------------------------------------------------------------------------


@cli.command(
    "inject",
    cls=_WithOptionsOfARunAgain,
    short_help="Inject transits into the raw pixels, and report how well they are recovered.",
)
@click.argument("night", type=_PATH)
@click.option(
    "--depths",
    default="0.003,0.006,0.012",
    show_default=True,
    metavar="D,D,...",
    help="Transit depths; 0.01 is 1 %. Each depth takes one pass over the frames.",
)
@click.option(
    "--stars",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    metavar="N",
    help="Stars to inject at a time: the target, if it has no transit, and constant stars like it.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the mid-transit times.",
)
@click.option("--out", type=_PATH, metavar="DIR", help="Where the products are, if not in NIGHT/red.")
@click.option("--verbose", "-v", is_flag=True, help="Show the log on the screen.")
@click.pass_context
def inject(
    ctx: click.Context,
    night: Path,
    depths: str,
    stars: int,
    seed: int,
    out: Path | None,
    verbose: bool,
    **given: OptionValue,
) -> None:
    """Put known transits into the raw pixels of the frames of NIGHT, reduce them, and tell what was recovered.

    For each set: by how much the depth is off, and the shallowest transit that is recovered at 5 standard
    deviations. Nothing in NIGHT or its products is changed.
    """
    wanted = _depth_list(depths)
    trials: list[Trial] = []
    with interruptible(_UNCHANGED, plain=verbose) as progress, Log(None, screen=verbose):
        instrument = _registry_of(ctx)[last_run(night, out=out).instrument]
        for trial in inject_transits(
            instrument,
            night,
            out=out,
            depths=wanted,
            stars=stars,
            seed=seed,
            own=user_options(given),
            progress=progress,
        ):
            progress.end()
            trials.append(trial)
    _say_and_exit(_injection_lines(trials), ALL_IS_WELL if trials else NOTHING_REDUCED)


def _depth_list(text: str) -> list[float]:
    """Depths between 0 and 1 out of a text."""
    try:
        depths = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--depths {text}: give numbers, as in 0.003,0.01") from error
    if not all(0 < depth < 0.5 for depth in depths):
        raise UsageError(f"--depths {text}: give depths between 0 and 0.5; 0.01 is 1 %")
    return depths


def _injection_lines(trials: Sequence[Trial]) -> list[str]:
    """Every trial, then what those of each set say together."""
    if not trials:
        return ["no star could take a transit: there are too few constant stars as bright as the target"]
    rows = [
        [
            trial.set_name,
            "target" if trial.is_target else f"star {trial.star}",
            f"injected {100 * trial.injected:.3f} %",
            trial.why or f"recovered {100 * trial.recovered:.3f} ± {100 * trial.error:.3f} %",
        ]
        for trial in trials
    ]
    sets = dict.fromkeys(trial.set_name for trial in trials)
    found = [recovery_of([trial for trial in trials if trial.set_name == name]) for name in sets]
    said = [
        f"{one.set_name}: depth {100 * one.bias:+.1f} ± {100 * one.bias_error:.1f} % off in"
        f" {plural(one.trials, 'trial')}, pulls {one.pull_mean:+.2f} ± {one.pull_std:.2f}; a transit of"
        f" {100 * one.shallowest:.3f} % is recovered at 5 sigma"
        for one in found
    ]
    return [*aligned(rows), *said]


# -- reduce simulate -----------------------------------------------------------------------------------------


def _plan_option(name: str, help_: str, **more: Any) -> Any:
    """An option of `reduce simulate` whose default is that of the plan."""
    return click.option(f"--{name}", default=getattr(NightPlan, name), show_default=True, help=help_, **more)


@cli.command("simulate")
@click.argument("instrument")
@click.argument("folder", type=_PATH, metavar="DIR")
@_plan_option("seed", "The same seed gives the same bytes.", type=click.IntRange(0), metavar="N")
@_plan_option("frames", "Science frames of each camera.", type=click.IntRange(1), metavar="N")
@click.option(
    "--size",
    type=click.IntRange(64),
    metavar="PIXELS",
    help="Side of the images, where the declaration leaves it open.",
)
@_plan_option("exposure", "Exposure of each science frame.", type=_Finite(0), metavar="SECONDS")
@_plan_option("hours", "From the first frame to the last.", type=_Finite(0, min_open=True), metavar="H")
@click.option("--bands", metavar="B,B,...", help="The bands, of those that the cameras have.")
@_plan_option("depth", "Of the transit; 0.01 is 1 %.", type=_Finite(0, 1), metavar="D")
@_plan_option("stars", "Faint stars in the field.", type=click.IntRange(0), metavar="N")
@_plan_option("drift", "Drift of the field during the night.", type=_Finite(0), metavar="PIXELS")
@click.option("--flip/--no-flip", default=True, show_default=True, help="A meridian flip in the night.")
@click.option("--folders", is_flag=True, help="One folder for each camera.")
@click.option(
    "--bad",
    multiple=True,
    type=click.Choice(["truncated", "zeros", "no exposure", "shape"]),
    metavar="WHAT",
    help="Add a frame that cannot be used: truncated, zeros, 'no exposure' or shape (repeat for more).",
)
@click.pass_context
def simulate(
    ctx: click.Context,
    instrument: str,
    folder: Path,
    size: int | None,
    bands: str | None,
    flip: bool,
    **plan: Any,
) -> None:
    """Write a night of synthetic raw frames of INSTRUMENT into DIR, with truth.ecsv."""
    known = _known_instrument(_registry_of(ctx), instrument)
    _check_free(folder)
    night = NightPlan(
        size=None if size is None else (size, size),
        bands=tuple(band.strip() for band in bands.split(",")) if bands else (),
        flip=NightPlan.flip if flip else None,
        **plan,
    )
    truth = simulate_night(known, folder, night)
    camera, (x, y) = next(iter(truth.target_xy.items()))
    told = folder / "truth.ecsv"
    click.echo(f"{len(truth.frames)} science frames in {folder}; true values: {told}")
    click.echo(shlex.join(["reduce", known.name, str(folder), "--target-xy", f"{camera}:{x:.1f},{y:.1f}"]))


def _check_free(folder: Path) -> None:
    """Raise a UsageError where raw files lie in a folder: a synthetic night is not mixed with another."""
    names = (name for _, _, names in os.walk(folder) for name in names)
    raw = next((name for name in names if is_raw_name(name)), None)
    if raw is not None:
        raise UsageError(
            f"{folder}: frames lie there already ({raw}, ...); give an empty folder, or a new one"
        )


# -- the program ---------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every deliberate error is one sentence on screen and an exit status."""
    iers.conf.auto_download = False  # nothing is fetched to know the time
    # It warns of years later than its own, from 2029 on of all.
    warnings.filterwarnings("ignore", category=ErfaWarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no name of a file or a target is worth a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(args=arguments, prog_name="reduce", standalone_mode=True)
    except UsageError as error:
        _fail(error, WRONG_COMMAND)
    except ReductionError as error:
        _fail(error, NOTHING_REDUCED)


def _fail(error: Exception, status: int) -> None:
    click.echo(f"reduce: {error}", err=True)
    raise SystemExit(status)
