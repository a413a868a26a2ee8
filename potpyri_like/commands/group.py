"""The program: each registered instrument is a command, beside the tools."""

from __future__ import annotations

import shlex
from importlib import import_module

import click

from potpyri_like import __version__
from potpyri_like.commands.reduce import instrument_command
from potpyri_like.commands.shared import COMMAND, CONTEXT, STATUSES, TOOLS, registry_of

__all__ = ["cli"]

_SYNOPSIS = "INSTRUMENT NIGHT [OPTIONS]"


class _Reduce(click.Group):
    """Each registered instrument is a command, in any letter case, beside the tools."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[COMMAND] = shlex.join(["reduce", *args])
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*registry_of(ctx).instruments, *TOOLS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return _tool(name.lower()) if name.lower() in TOOLS else instrument_command(registry_of(ctx), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        registry = registry_of(ctx)
        with formatter.section("Instruments"):
            formatter.write_dl([(name, item.summary) for name, item in registry.instruments.items()])
        with formatter.section("Tools"):
            formatter.write_dl([(name, _tool(name).get_short_help_str(90)) for name in TOOLS])


def _tool(name: str) -> click.Command:
    """The command of that name, in the file of that name; loaded when it is asked for."""
    command: click.Command = getattr(import_module(f"potpyri_like.commands.{name}"), name)
    return command


@click.group(
    cls=_Reduce,
    context_settings=CONTEXT,
    subcommand_metavar=_SYNOPSIS,
    no_args_is_help=True,
    epilog=STATUSES,
)
@click.version_option(__version__, prog_name="reduce")
def cli() -> None:
    """From a night of raw telescope frames to calibrated light curves and images.

    reduce INSTRUMENT NIGHT writes everything to the folder NIGHT/red; raw frames are never touched.
    reduce INSTRUMENT --help lists the options.
    """
