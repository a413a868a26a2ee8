"""Words on the command line, one call, an exit status."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from astropy.utils import iers

from potpyri_like import __version__
from potpyri_like.errors import ReductionError, UnknownInstrument, UsageError
from potpyri_like.instruments import Instrument
from potpyri_like.options import Options, public_name, read_config
from potpyri_like.pipeline import reduce_night
from potpyri_like.products import closing_lines
from potpyri_like.products.declaration import instrument_page
from potpyri_like.registry import Registry, load_registry
from potpyri_like.testing import NightPlan, check_instrument, simulate_night

__all__ = ["main"]

ALL_IS_WELL, NOTHING_REDUCED, WRONG_COMMAND, SOMETHING_MISSING = 0, 1, 2, 3
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


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


def registry_of(ctx: click.Context) -> Registry:
    """The installed instruments, loaded once per call."""
    root = ctx.find_root()
    if not isinstance(root.obj, Registry):
        root.obj = load_registry()
    return root.obj


@click.group(cls=Reduce, context_settings=CONTEXT, subcommand_metavar="INSTRUMENT NIGHT [OPTIONS]", no_args_is_help=True)
@click.version_option(__version__, prog_name="reduce")
def cli() -> None:
    """From a night of raw telescope frames to calibrated light curves and images.

    reduce OPTICAM /path/to/night writes everything to /path/to/night/red; raw frames are never touched.
    reduce OPTICAM --help lists the options.
    """


def instrument_command(registry: Registry, name: str) -> click.Command:
    """The command that reduces a night of one instrument."""
    try:
        instrument = registry[name]
    except UnknownInstrument as error:
        raise click.UsageError(str(error)) from error

    def run(night: Path, out: Path | None, config: Path | None, verbose: bool, **given: Any) -> None:
        reduce_command(instrument, night, out, config, verbose, given)

    return click.Command(
        instrument.name,
        callback=run,
        params=[
            click.Argument(["night"], type=click.Path(path_type=Path)),
            click.Option(["--out"], type=click.Path(path_type=Path), help="Write there instead of NIGHT/red.", metavar="DIR"),
            *option_parameters(),
            click.Option(["--config"], type=click.Path(path_type=Path), help="Read options from this file instead of NIGHT/reduce.toml.", metavar="FILE"),
            click.Option(["--verbose", "-v"], is_flag=True, help="Show the log on the screen."),
        ],
        help=f"Reduce a night of {instrument.name}.\n\n{(type(instrument).__doc__ or '').strip()}",
        short_help=(type(instrument).__doc__ or "").strip().partition("\n")[0],
    )


def option_parameters() -> list[click.Parameter]:
    """The options of a run, as declared in `Options`; None means that the command line does not say."""
    parameters: list[click.Parameter] = []
    for item in fields(Options):
        flag = "--" + public_name(item).replace("_", "-")
        choices = item.metadata.get("choices")
        type_ = click.Choice(choices, case_sensitive=False) if choices else next(t for t in (int, float, str) if t.__name__ in str(item.type))
        default = f" [{item.default}]" if item.default is not None else ""
        parameters.append(
            click.Option([flag, item.name], type=type_, default=None, metavar=item.metadata.get("metavar"), help=item.metadata["help"] + default)
        )
    return parameters


def reduce_command(
    instrument: Instrument, night: Path, out: Path | None, config: Path | None, verbose: bool, given: dict[str, Any]
) -> None:
    """Reduce a night, say what came out, and exit with its status."""
    output = out if out is not None else night / "red"
    options, origins = gather_options(night, config, given)
    if night.is_dir():
        start_log(output, verbose)
    report = reduce_night(instrument, night, out=out, options=options, origins=origins, progress=progress_for(sys.stderr))
    for line in closing_lines(report, folder=output):
        click.echo(line)
    raise SystemExit(report.exit_status)


def gather_options(night: Path, config: Path | None, given: dict[str, Any]) -> tuple[Options, dict[str, str]]:
    """The options in force and where each came from: the command line, then reduce.toml, then the default."""
    path = config or night / "reduce.toml"
    from_file = read_config(path) if config or path.is_file() else {}
    options = Options().merged(from_file, where=str(path))
    names = {item.name: public_name(item) for item in fields(Options)}
    from_line = {names[name]: value for name, value in given.items() if value is not None}
    origins = {name.replace("-", "_"): path.name for name in from_file} | dict.fromkeys(from_line, "command line")
    return options.merged(from_line, where="command line"), origins


def start_log(output: Path, verbose: bool) -> None:
    """Log to a file in the output folder, and to the screen when asked."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if verbose else []
    name = time.strftime("reduce_%Y%m%dT%H%M%S.log", time.gmtime())
    try:
        (output / "log").mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(output / "log" / name, encoding="utf-8"))
    except OSError:
        pass  # the pipeline says that the folder cannot be written to
    logger = logging.getLogger("potpyri_like")
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


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
        click.echo(f"{what}: {total} frames", err=True)

    def step(self) -> None: ...

    def end(self) -> None: ...


def progress_for(stream: Any) -> Bars | Lines:
    return Bars() if stream.isatty() else Lines()


@cli.group(cls=Instruments, invoke_without_command=True, subcommand_metavar="[NAME] | check NAME")
@click.pass_context
def instruments(ctx: click.Context) -> None:
    """List the installed instruments; with a NAME, its cards, cameras and constants."""
    if ctx.invoked_subcommand is None:
        registry = registry_of(ctx)
        for name, item in registry.instruments.items():
            click.echo(f"{name:<10} {item.origin:<28} {item.summary}")
        for failure in registry.failures:
            click.echo(f"{failure.plugin} of {failure.origin} could not be loaded: {failure.cause}", err=True)
        raise SystemExit(SOMETHING_MISSING if registry.failures else ALL_IS_WELL)


@instruments.command("check")
@click.argument("name")
@click.option("--quick", is_flag=True, help="Leave out the synthetic night.")
@click.pass_context
def check(ctx: click.Context, name: str, quick: bool) -> None:
    """Test an instrument's declaration: cards, sections, times, and a synthetic night reduced to its truth."""
    results = check_instrument(known_instrument(registry_of(ctx), name), night=not quick)
    for result in results:
        click.echo(f"{'ok    ' if result.passed else 'FAILED'} {result.name}" + ("" if result.passed else f": {result.message}"))
    raise SystemExit(ALL_IS_WELL if all(result.passed for result in results) else NOTHING_REDUCED)


@cli.command("simulate")
@click.argument("instrument")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--frames", type=click.IntRange(1), default=60, show_default=True, help="Science frames of each camera.")
@click.option("--size", type=click.IntRange(64), default=None, metavar="PIXELS", help="Side of the images, where the declaration leaves it open.")
@click.option("--exposure", type=float, default=30.0, show_default=True, metavar="SECONDS")
@click.option("--hours", type=float, default=3.0, show_default=True, help="From the first frame to the last.")
@click.option("--bands", default="", metavar="B,B,...", help="The bands, of those that the cameras have.")
@click.option("--depth", type=float, default=0.015, show_default=True, help="Of the transit.")
@click.option("--stars", type=click.IntRange(0), default=80, show_default=True, help="Faint stars in the field.")
@click.option("--drift", type=float, default=30.0, show_default=True, metavar="PIXELS", help="Of the field in the night.")
@click.option("--flip/--no-flip", default=True, show_default=True, help="A meridian flip in the night.")
@click.option("--folders", is_flag=True, help="One folder for each camera.")
@click.option("--bad", multiple=True, type=click.Choice(["truncated", "zeros", "no exposure", "shape"]), help="Add a frame that cannot be used (repeat for more).")
@click.pass_context
def simulate(ctx: click.Context, instrument: str, folder: Path, size: int | None, bands: str, flip: bool, **plan: Any) -> None:
    """Write a night of synthetic raw frames of INSTRUMENT into DIR, with truth.ecsv."""
    night = NightPlan(
        size=None if size is None else (size, size),
        bands=tuple(band for band in bands.split(",") if band),
        flip=NightPlan.flip if flip else None,
        **plan,
    )
    known = known_instrument(registry_of(ctx), instrument)
    truth = simulate_night(known, folder, night)
    camera, (x, y) = next(iter(truth.target_xy.items()))
    click.echo(f"{len(truth.frames)} science frames in {folder}; what is true of them is in {folder / 'truth.ecsv'}")
    click.echo(f"reduce {known.name} {folder} --target-xy {camera}:{x:.1f},{y:.1f}")


def show_command(registry: Registry, name: str) -> click.Command:
    """The command that prints one instrument's declaration."""
    instrument = known_instrument(registry, name)

    def show() -> None:
        for line in instrument_page(instrument, registry.instruments[instrument.name].origin):
            click.echo(line)

    return click.Command(name, callback=show, help=f"Show what is declared of {instrument.name}.")


def known_instrument(registry: Registry, name: str) -> Instrument:
    try:
        return registry[name]
    except UnknownInstrument as error:
        raise click.UsageError(str(error)) from error


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every deliberate error is one sentence on screen and an exit status."""
    iers.conf.auto_download = False  # nothing is fetched to know the time
    try:
        cli.main(args=arguments, prog_name="reduce", standalone_mode=True)
    except UsageError as error:
        fail(error, WRONG_COMMAND)
    except ReductionError as error:
        fail(error, NOTHING_REDUCED)


def fail(error: Exception, status: int) -> None:
    click.echo(f"reduce: {error}", err=True)
    raise SystemExit(status)
