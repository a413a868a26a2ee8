"""Addresses of files on the page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import quote

from potpyri_like.results import RunReport, SetResult

__all__ = ["Link", "address", "below", "target_folder"]


@dataclass(frozen=True)
class Link:
    """A file of the run: what to call it and its address relative to the page."""

    name: str
    href: str


def target_folder(result: SetResult) -> str:
    """The folder of a set's target."""
    return PurePath(result.observed.folder).parent.as_posix()


def below(report: RunReport, folders: Collection[str]) -> list[str]:
    """The products of several observations that lie in some folders."""
    return [path for path in report.of_several if PurePath(path).parent.as_posix() in folders]


def address(path: str) -> str:
    """A path within the output folder as a relative address; undecodable bytes stay as they are."""
    return quote(path.encode("utf-8", "surrogateescape"))
