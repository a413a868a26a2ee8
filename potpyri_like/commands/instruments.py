"""`reduce instruments`: what is installed, what one declares, and its test."""

from __future__ import annotations

import click

from potpyri_like.commands.shared import (
    ALL_IS_WELL,
    DIFFERS,
    SOMETHING_MISSING,
    known_instrument,
    registry_of,
    say_and_exit,
)
from potpyri_like.interface import runs
from potpyri_like.interface.runs import Plugins

__all__ = ["check"]


class _Instruments(click.Group):
    """`reduce instruments` with a name shows that instrument; `check NAME` tests it."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        tool = super().get_command(ctx, name)
        return tool if tool is not None else _show_command(registry_of(ctx), name)


@click.group(cls=_Instruments, invoke_without_command=True, subcommand_metavar="[NAME] | check NAME")
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


@instruments.command(
    "check", short_help="Test an instrument's declaration, and reduce a synthetic night with it."
)
@click.argument("name")
@click.option("--quick", is_flag=True, help="Skip the synthetic night.")
@click.pass_context
def check(ctx: click.Context, name: str, quick: bool) -> None:
    """Test the declaration of instrument NAME.

    Its cards, sections and times are tested, and a synthetic night is reduced and compared with its true values. Exit
    status 3: a test failed.
    """
    results = runs.check(known_instrument(registry_of(ctx), name), night=not quick)
    for result in results:
        said = f"ok     {result.name}" if result.passed else f"FAILED {result.name}: {result.message}"
        click.echo(said)
    passed = all(result.passed for result in results)
    say_and_exit((), ALL_IS_WELL if passed else SOMETHING_MISSING, DIFFERS)


def _show_command(registry: Plugins, name: str) -> click.Command:
    """The command that prints one instrument's declaration."""
    instrument = known_instrument(registry, name)

    def show() -> None:
        for line in runs.declaration(instrument, registry):
            click.echo(line)

    return click.Command(name, callback=show, help=f"Show what is declared of {instrument.name}.")
