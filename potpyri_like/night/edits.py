"""What an observer wrote into night.ecsv, in an editor or a spreadsheet."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from potpyri_like.errors import HeaderError, NightError
from potpyri_like.frame import FrameKind
from potpyri_like.store import one_line
from potpyri_like.store.folders import read_text

__all__ = [
    "FLAGGED",
    "LEAVE_OUT",
    "MEASURED",
    "REJECTED",
    "USE",
    "Edit",
    "Written",
    "instrument_in",
    "read_edited",
    "read_edits",
    "status_of",
    "tell_unknown",
]

log = logging.getLogger(__name__)

USE, LEAVE_OUT, REJECTED, MEASURED, FLAGGED = "use", "leave out", "rejected", "measured", "flagged"
_STATUSES = (USE, LEAVE_OUT, REJECTED, MEASURED, FLAGGED)
# Words that observers write, and that earlier versions wrote.
_SAME = {"exclude": LEAVE_OUT, "excluded": LEAVE_OUT, "left out": LEAVE_OUT, "refused": REJECTED}
_KINDS = tuple(str(kind) for kind in FrameKind)
_DELIMITERS = (",", ";", "\t", " ")


@dataclass(frozen=True)
class Edit:
    """One row of an edited night.ecsv; "" where it says nothing.

    Attributes
    ----------
    kind, camera, band, target, status : str
        What the frame is, and what becomes of it, whatever its header says.
    reason : str
        Why it had that status in the run that wrote the row.
    """

    kind: str = ""
    camera: str = ""
    band: str = ""
    target: str = ""
    status: str = ""
    reason: str = ""

    def checked(self, file: str) -> Edit:
        """The same, kind and status in lower case.

        Raises
        ------
        HeaderError
            The kind or the status is none that there is.
        """
        kind, status = self.kind.lower(), status_of(self.status)
        for name, given, known, to_write in (
            ("kind", kind, _KINDS, _KINDS),
            ("status", status, _STATUSES, (USE, LEAVE_OUT)),
        ):
            if given and given not in known:
                raise HeaderError(
                    f"{file}: night.ecsv has {name} {given!r}; write {', '.join(to_write[:-1])} or {to_write[-1]}"
                )
        return Edit(kind, self.camera, self.band, self.target, status, self.reason)


def status_of(text: str) -> str:
    """Return a status in the words of this version, from what an observer or an earlier version wrote."""
    plain = " ".join(text.lower().replace("_", " ").split())
    return _SAME.get(plain, plain)


_Cells = Mapping[str, Mapping[str, str]]  # of the columns of `Edit`, by file and column


def _of_text(cells: Mapping[str, str]) -> dict[str, str]:
    """The cells of one row; a TypeError where one is no text."""
    if not all(isinstance(value, str) for value in cells.values()):
        raise TypeError("a cell of night.ecsv is text")
    return dict(cells)


def _cells_of(version: Mapping[str, Mapping[str, str]]) -> _Cells:
    """All cells of one version of the table."""
    return {file: _of_text(cells) for file, cells in version.items()}


@dataclass(frozen=True)
class Written:
    """What we wrote into night.ecsv, by which an observer's changes show.

    Attributes
    ----------
    versions : tuple of mappings
        The cells, by file and column; two versions where a run may have been cut off between them; none
        where nothing is known: then all cells count as the observer's.
    asked : mapping of str to Edit
        What the observer had changed before that.
    digests : tuple of str
        The SHA-256 of those versions.
    """

    versions: tuple[_Cells, ...] = ()
    asked: Mapping[str, Edit] = field(default_factory=dict)
    digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, note: object) -> Written:
        """From plain types; nothing where they are not as a run notes them."""
        try:
            match note:
                case {"asked": dict(asked), "versions": [*versions], **rest}:
                    edits = {file: Edit(**_of_text(cells)) for file, cells in asked.items()}
                    noted: Any = rest.get("digests", ())
                    digests = tuple(str(one) for one in noted)
                    return cls(tuple(_cells_of(version) for version in versions), edits, digests)
                case None:
                    return cls()
        except (TypeError, AttributeError):
            pass
        log.warning(
            "what earlier runs wrote into night.ecsv is not known: the journal's note of it is corrupt"
        )
        return cls()

    @classmethod
    def in_table(cls, table: Table, *, asked: Mapping[str, Edit]) -> Written:
        """What a table says."""
        names = [item.name for item in fields(Edit) if item.name in table.colnames]
        columns = [[_text(value) for value in table[name]] for name in names]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
        return cls((dict(zip(map(_text, table["file"]), rows, strict=True)),), asked)

    def and_maybe(self, before: Written) -> Written:
        """Either this or what was written before."""
        return replace(
            self,
            versions=(*self.versions, *before.versions[:1]),
            digests=(*self.digests, *before.digests[:1]),
        )

    def plain(self) -> dict[str, object]:
        """In plain types."""
        asked = {file: asdict(edit) for file, edit in self.asked.items()}
        return {"versions": self.versions, "asked": asked, "digests": self.digests}

    def changes(self, edits: Mapping[str, Edit]) -> dict[str, Edit]:
        """Of the rows that were read, what the observer changed now or before; rows without changes are left out."""
        if not self.versions:
            return dict(edits)
        found = {file: self.change(file, edit) for file, edit in edits.items()}
        return {file: edit for file, edit in found.items() if edit != Edit()}

    def change(self, file: str, edit: Edit) -> Edit:
        """What was changed in one row."""
        before = asdict(self.asked.get(file, Edit()))
        ours = [version.get(file, {}) for version in self.versions]
        return Edit(
            **{
                name: before[name] if any(cells.get(name, "") == value for cells in ours) else value
                for name, value in asdict(edit).items()
            }
        )


def read_edits(table: Table | None, instrument: str) -> dict[str, Edit]:
    """The rows of an edited night.ecsv, by file.

    Parameters
    ----------
    table : Table or None
        Of text or as we wrote it; columns may be missing, and others may be there.
    instrument : str
        A table of another instrument's run says nothing of this one's frames.

    Raises
    ------
    NightError
        There is no column of files.
    """
    if table is None:
        return {}
    if "file" not in table.colnames:
        raise NightError("night.ecsv: no column 'file' in it; repair it, or delete it to start again")
    other = str(table.meta.get("instrument", instrument) or instrument)
    if other.upper() != instrument.upper():
        log.warning("night.ecsv comes from a run with %s: its contents are ignored", other)
        return {}
    columns = [item.name for item in fields(Edit) if item.name in table.colnames]
    return {_text(row["file"]): Edit(**{name: _text(row[name]) for name in columns}) for row in table}


def _text(value: object) -> str:
    """A cell as text; "" where it is masked."""
    return "" if value is np.ma.masked else str(value).strip()


def tell_unknown(edits: Mapping[str, Edit], files: Collection[str]) -> None:
    """Warn of rows whose file is not in the night."""
    unknown = sorted(set(edits) - set(files) - {""})
    if unknown:
        log.warning("night.ecsv has rows of files that are not there: %s", ", ".join(unknown))


def read_edited(path: Path, content: bytes | None = None) -> Table:
    """The text in a table that we wrote and somebody edited.

    Only the line with the columns' names is needed, with `file` among them; cells are set apart by commas,
    semicolons, tabs or blanks.

    Parameters
    ----------
    path : Path
    content : bytes, optional
        What is in it, where that was read already.

    Returns
    -------
    Table
        Of text; a cell left empty is "". `meta["instrument"]`, where a comment still tells it.

    Raises
    ------
    NightError
        It cannot be read any more.
    """
    try:
        lines = (read_text(path) if content is None else content.decode("utf-8-sig")).splitlines()
        head, names, delimiter = _columns_line(lines)
        body = csv.reader(lines[head + 1 :], delimiter=delimiter, strict=True)
        rows = [
            _cells(row, names, head + 1 + body.line_num, delimiter)
            for row in body
            if any(cell.strip() for cell in row)
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise NightError(
            f"{path}: it cannot be read any more ({one_line(str(error))});"
            " repair it, or delete it to start again"
        ) from error
    kept = [name for name in dict.fromkeys(names) if name]
    table = Table({name: np.array([row[name] for row in rows], dtype=object) for name in kept})
    table.meta["instrument"] = next((word for line in lines[:head] for word in instrument_in(line)), "")
    return table


def _columns_line(lines: list[str]) -> tuple[int, list[str], str]:
    """Which line names the columns, their names, and what sets them apart.

    Raises
    ------
    ValueError
        None does.
    """
    for number, line in enumerate(lines):
        if line.lstrip('"').startswith("#"):
            continue
        for delimiter in _DELIMITERS:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
            if "file" in names and len(names) > 1:
                return number, names, delimiter
    raise ValueError("no line names the columns, 'file' among them")


def _cells(row: list[str], names: list[str], line: int, delimiter: str) -> dict[str, str]:
    """The cells of one row, by column.

    Raises
    ------
    ValueError
        There are more than columns; or fewer, and blanks set them apart.
    """
    short = len(row) < len(names) and delimiter == " "
    if short or any(cell.strip() for cell in row[len(names) :]):
        raise ValueError(
            f"line {line} has {len(row)} cells for {len(names)} columns; text with blanks needs quotes"
        )
    filled = [cell.strip() for cell in row] + [""] * len(names)
    return dict(zip(names, filled, strict=False))


def instrument_in(comment: str) -> list[str]:
    """The instrument that a comment names, if it names one."""
    _, found, rest = comment.partition("instrument:")
    name = re.split(r"[{},;\"\t]", rest.strip(" {},;\"'\t"))[0].strip(" '")
    return [name] if found and name else []
