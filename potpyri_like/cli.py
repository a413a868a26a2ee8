"""Words on the command line, one call, an exit status."""

from __future__ import annotations

import io
import logging
import math
import os
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import Field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from astropy.utils import iers

from potpyri_like import __version__
from potpyri_like.errors import ReductionError, UnknownInstrument, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.options import COMMAND_LINE, Options, public_name, read_config, value_type
from potpyri_like.pipeline import parse_radec, reduce_night
from potpyri_like.products import closing_lines
from potpyri_like.products.declaration import instrument_page
from potpyri_like.registry import Registry, load_registry
from potpyri_like.store import is_raw_name
from potpyri_like.testing import NightPlan, check_instrument, simulate_night

__all__ = ["main"]

log = logging.getLogger(__name__)

ALL_IS_WELL, NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING = 0, 1, 2, 3
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PATH = click.Path(path_type=Path)
SYNOPSIS = "INSTRUMENT NIGHT [OPTIONS]"


class Reduce(click.Group):
    """Each registered instrument is a command, in any letter case, beside the tools."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*registry_of(ctx).instruments, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        tool = super().get_command(ctx, name.lower())
        return tool if tool is not None else instrument_command(registry_of(ctx), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        registry = registry_of(ctx)
        with formatter.section("Instruments"):
            formatter.write_dl([(name, item.summary) for name, item in registry.instruments.items()])
        with formatter.section("Tools"):
            tools = {name: super(Reduce, self).get_command(ctx, name) for name in super().list_commands(ctx)}
            formatter.write_dl([(name, tool.get_short_help_str(90)) for name, tool in tools.items() if tool])


class Instruments(click.Group):
    """`reduce instruments` with a name shows that instrument; `check NAME` tests it."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        tool = super().get_command(ctx, name)
        return tool if tool is not None else show_command(registry_of(ctx), name)


class Finite(click.FloatRange):
    """A number within a range, and neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return (
            number if math.isfinite(number) else self.fail(f"{value} is no number to work with.", param, ctx)
        )


def registry_of(ctx: click.Context) -> Registry:
    """The installed instruments, loaded once per call."""
    root = ctx.find_root()
    if not isinstance(root.obj, Registry):
        root.obj = load_registry()
    return root.obj


def known_instrument(registry: Registry, name: str) -> Instrument:
    """The instrument of that name; a wrong name is a wrong command line."""
    try:
        return registry[name]
    except UnknownInstrument as error:
        first = " The instrument comes first: reduce INSTRUMENT NIGHT." if Path(name).exists() else ""
        raise click.UsageError(f"{error}{first}") from error


@click.group(cls=Reduce, context_settings=CONTEXT, subcommand_metavar=SYNOPSIS, no_args_is_help=True)
@click.version_option(__version__, prog_name="reduce")
def cli() -> None:
    """From a night of raw telescope frames to calibrated light curves and images.

    reduce INSTRUMENT NIGHT writes everything to the folder NIGHT/red; raw frames are never touched.
    reduce INSTRUMENT --help lists the options.
    """


# -- reduce INSTRUMENT NIGHT ---------------------------------------------------------------------------------


def instrument_command(registry: Registry, name: str) -> click.Command:
    """The command that reduces a night of one instrument."""
    instrument = known_instrument(registry, name)
    about = (type(instrument).__doc__ or "").strip()

    def run(night: Path, out: Path | None, config: Path | None, verbose: bool, **given: Any) -> None:
        reduce_command(instrument, night, out=out, config=config, verbose=verbose, given=given)

    return click.Command(
        instrument.name,
        callback=run,
        params=[
            click.Argument(["night"], type=PATH),
            *map(option_parameter, fields(Options)),
            click.Option(["--out"], type=PATH, metavar="DIR", help="Write there instead of NIGHT/red."),
            click.Option(
                ["--config"],
                type=PATH,
                metavar="FILE",
                help="Read options from this file instead of NIGHT/reduce.toml.",
            ),
            click.Option(["--verbose", "-v"], is_flag=True, help="Show the log on the screen."),
        ],
        help=f"Reduce a night of {instrument.name}.\n\n{about}",
        short_help=about.partition("\n")[0],
    )


def option_parameter(item: Field[Any]) -> click.Option:
    """An option of a run, as declared in `Options`; None means that the command line does not say."""
    choices = item.metadata["choices"]
    default = f"  [default: {item.default}]" if item.default is not None else ""
    return click.Option(
        ["--" + public_name(item).replace("_", "-"), item.name],
        type=click.Choice(choices, case_sensitive=False) if choices else value_type(item),
        default=None,
        metavar=item.metadata["metavar"] or None,
        help=item.metadata["help"] + default,
    )


def reduce_command(
    instrument: Instrument,
    night: Path,
    *,
    out: Path | None,
    config: Path | None,
    verbose: bool,
    given: dict[str, Any],
) -> None:
    """Reduce a night, say what came out, and exit with its status."""
    options, origins = gather_options(night, config, given)
    output = out if out is not None else night / "red"
    with Journal(output, screen=verbose):
        log.info("potpyri_like %s, %s", __version__, shlex.join(["reduce", instrument.name, str(night)]))
        for name, where in origins.items():
            log.info("%s = %s (%s)", name, options.named()[name], where)
        report = reduce_night(
            instrument, night, out=out, options=options, origins=origins, progress=progress_for(sys.stderr)
        )
        log.info("finished with exit status %d", report.exit_status)
    for line in closing_lines(report, folder=output):
        click.echo(line)
    raise SystemExit(report.exit_status)


def gather_options(night: Path, config: Path | None, given: dict[str, Any]) -> tuple[Options, dict[str, str]]:
    """The options in force, and where those that were given came from: the command line, or reduce.toml.

    Raises
    ------
    UsageError
        One of them cannot be.
    """
    path = config or night / "reduce.toml"
    from_file = read_config(path) if config or path.is_file() else {}
    names = {item.name: public_name(item) for item in fields(Options)}
    from_line = {names[name]: value for name, value in given.items() if value is not None}
    options = Options().merged(from_file, where=str(path)).merged(from_line, where=COMMAND_LINE)
    if options.radec is not None:
        parse_radec(options.radec)
    origins = {name.replace("-", "_"): path.name for name in from_file}
    return options, origins | dict.fromkeys(from_line, COMMAND_LINE)


# -- the log and the progress --------------------------------------------------------------------------------


class LogFile(logging.FileHandler):
    """A log in the output folder, begun once that is there: a run that cannot start leaves nothing behind."""

    def __init__(self, output: Path) -> None:
        name = time.strftime("reduce_%Y%m%dT%H%M%S.log", time.gmtime())
        super().__init__(output / "log" / name, encoding="utf-8", delay=True, errors="backslashreplace")
        self.output = output
        self.path = output / "log" / name
        self.waiting: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.waiting.append(record)
        if self.stream is None and not self.output.is_dir():
            return
        with suppress(OSError):  # a folder that cannot be written to is the pipeline's to tell
            self.path.parent.mkdir(exist_ok=True)
            for waiting in self.waiting:
                super().emit(waiting)
            self.waiting.clear()

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk spoils the log, not the screen."""

    def discard(self) -> None:
        """Leave no log behind."""
        self.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()


class Journal:
    """What the package logs goes to a file in the output folder, and to the screen if that is wanted."""

    def __init__(self, output: Path, *, screen: bool) -> None:
        self.file = LogFile(output)
        self.handlers: list[logging.Handler] = [self.file]
        if screen:
            self.handlers.append(logging.StreamHandler(sys.stderr))
        self.logger = logging.getLogger("potpyri_like")
        self.before = self.logger.level, self.logger.propagate

    def __enter__(self) -> None:
        form = logging.Formatter("%(asctime)s UTC %(levelname)s %(name)s: %(message)s")
        form.converter = time.gmtime
        for handler in self.handlers:
            handler.setFormatter(form)
            self.logger.addHandler(handler)
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ReductionError):
            log.error("%s", error)
        elif kind is not None:
            log.error("stopped by %s", kind.__name__, exc_info=error)
        for handler in self.handlers:
            self.logger.removeHandler(handler)
            handler.close()
        level, self.logger.propagate = self.before
        self.logger.setLevel(level)
        if isinstance(error, UsageError):
            self.file.discard()


class Bars:
    """A bar for each stage, on a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None

    def begin(self, what: str, total: int) -> None:
        self.bar = click.progressbar(length=total, label=f"{what:<28}", file=sys.stderr)
        self.bar.__enter__()

    def step(self) -> None:
        self.bar.update(1)

    def end(self) -> None:
        self.bar.__exit__(None, None, None)


class Lines:
    """A line for each stage, in a pipe."""

    def begin(self, what: str, total: int) -> None:
        click.echo(f"{what}: {total} frame{'s' * (total != 1)}", err=True)

    def step(self) -> None: ...

    def end(self) -> None: ...


def progress_for(stream: Any) -> Bars | Lines:
    """What suits a terminal, or a pipe."""
    return Bars() if stream.isatty() else Lines()


# -- reduce instruments --------------------------------------------------------------------------------------


@cli.group(cls=Instruments, invoke_without_command=True, subcommand_metavar="[NAME] | check NAME")
@click.pass_context
def instruments(ctx: click.Context) -> None:
    """List the installed instruments; with a NAME, its cards, cameras and constants."""
    if ctx.invoked_subcommand is None:
        registry = registry_of(ctx)
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

    Its cards, sections and times are tested, and a synthetic night is reduced to its truth.
    """
    results = check_instrument(known_instrument(registry_of(ctx), name), night=not quick)
    for result in results:
        said = f"ok     {result.name}" if result.passed else f"FAILED {result.name}: {result.message}"
        click.echo(said)
    raise SystemExit(ALL_IS_WELL if all(result.passed for result in results) else NOTHING_REDUCED)


def show_command(registry: Registry, name: str) -> click.Command:
    """The command that prints one instrument's declaration."""
    instrument = known_instrument(registry, name)

    def show() -> None:
        for line in instrument_page(instrument, registry.instruments[instrument.name].origin):
            click.echo(line)

    return click.Command(name, callback=show, help=f"Show what is declared of {instrument.name}.")


# -- reduce simulate -----------------------------------------------------------------------------------------


def plan_option(name: str, help_: str, **more: Any) -> Any:
    """An option of `reduce simulate` whose default is that of the plan."""
    return click.option(f"--{name}", default=getattr(NightPlan, name), show_default=True, help=help_, **more)


@cli.command("simulate")
@click.argument("instrument")
@click.argument("folder", type=PATH, metavar="DIR")
@plan_option("seed", "The same seed gives the same bytes.", type=click.IntRange(0), metavar="N")
@plan_option("frames", "Science frames of each camera.", type=click.IntRange(1), metavar="N")
@click.option(
    "--size",
    type=click.IntRange(64),
    metavar="PIXELS",
    help="Side of the images, where the declaration leaves it open.",
)
@plan_option("exposure", "Of each science frame.", type=Finite(0), metavar="SECONDS")
@plan_option("hours", "From the first frame to the last.", type=Finite(0, min_open=True), metavar="H")
@click.option("--bands", metavar="B,B,...", help="The bands, of those that the cameras have.")
@plan_option("depth", "Of the transit; 0.01 is 1 %.", type=Finite(0, 1), metavar="D")
@plan_option("stars", "Faint stars in the field.", type=click.IntRange(0), metavar="N")
@plan_option("drift", "Of the field in the night.", type=Finite(0), metavar="PIXELS")
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
    known = known_instrument(registry_of(ctx), instrument)
    check_free(folder)
    night = NightPlan(
        size=None if size is None else (size, size),
        bands=tuple(band.strip() for band in bands.split(",")) if bands else (),
        flip=NightPlan.flip if flip else None,
        **plan,
    )
    truth = simulate_night(known, folder, night)
    camera, (x, y) = next(iter(truth.target_xy.items()))
    told = folder / "truth.ecsv"
    click.echo(f"{len(truth.frames)} science frames in {folder}; what is true of them is in {told}")
    click.echo(shlex.join(["reduce", known.name, str(folder), "--target-xy", f"{camera}:{x:.1f},{y:.1f}"]))


def check_free(folder: Path) -> None:
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no name of a file or a target is worth a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(args=arguments, prog_name="reduce", standalone_mode=True)
    except UsageError as error:
        fail(error, WRONG_COMMAND)
    except ReductionError as error:
        fail(error, NOTHING_REDUCED)


def fail(error: Exception, status: int) -> None:
    click.echo(f"reduce: {error}", err=True)
    raise SystemExit(status)
