"""The command line: one call, an exit status."""

from __future__ import annotations

import io
import sys
import warnings

import click
from astropy.utils import iers
from erfa import ErfaWarning

from potpyri_like.commands.group import cli
from potpyri_like.commands.shared import NOTHING_REDUCED, WRONG_COMMAND
from potpyri_like.errors import ReductionError, UsageError

__all__ = ["main"]


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
