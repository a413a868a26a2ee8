"""What the NASA Exoplanet Archive knows of a planet, through a cache; nothing here is needed to reduce a night."""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import re
import warnings
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from potpyri_like.errors import ArchiveError, ProductError
from potpyri_like.store import Output

__all__ = ["COLUMNS", "ENVIRONMENT", "TIMEOUT", "Ephemeris", "cache_folder", "planet_ephemeris"]

log = logging.getLogger(__name__)

COLUMNS = (
    "pl_name",
    "pl_orbper",
    "pl_orbpererr1",
    "pl_tranmid",
    "pl_tranmiderr1",
    "pl_trandur",
    "pl_trandurerr1",
    "pl_ratror",
    "pl_imppar",
)
_TABLE = "pscomppars"
_ARCHIVE = "https://exoplanetarchive.ipac.caltech.edu/TAP"
TIMEOUT = 20  # s
ENVIRONMENT = "POTPYRI_LIKE_CACHE"


@dataclass(frozen=True)
class Ephemeris:
    """When a planet transits, as far as it was known before the night; NaN for what is not known.

    Attributes
    ----------
    name : str
        Of the planet; "" where the observer gave the numbers.
    tc, tc_error : float, days
        A mid-transit, BJD_TDB.
    period, period_error : float, days
    t14, t14_error : float, days
    k, b : float
        Radius ratio; impact parameter.
    source : str
        Where this is known from.
    """

    name: str
    tc: float
    period: float
    tc_error: float = math.nan
    period_error: float = math.nan
    t14: float = math.nan
    t14_error: float = math.nan
    k: float = math.nan
    b: float = math.nan
    source: str = ""

    def near(self, time: float) -> tuple[float, float, int]:
        """The mid-transit nearest to a time, how uncertain it is (days), and its number since `tc`."""
        epoch = round((time - self.tc) / self.period)
        known = [e for e in (self.tc_error, epoch * self.period_error) if math.isfinite(e)]
        return self.tc + epoch * self.period, math.hypot(*known) if known else math.nan, epoch


def cache_folder() -> Path:
    """Where answers are kept: $POTPYRI_LIKE_CACHE, else the user's cache folder."""
    own = os.environ.get(ENVIRONMENT)
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "potpyri_like"


def planet_ephemeris(
    name: str, *, online: bool = False, cache: Path | None = None, url: str | None = None
) -> Ephemeris:
    """The ephemeris of a planet by name, from the cache, else from the NASA Exoplanet Archive.

    Parameters
    ----------
    name : str
        As the archive has it, in any letter case: "WASP-12 b".
    online : bool
        Whether the archive may be asked.
    cache : Path, optional
        A folder; `cache_folder` by default. Only good answers are kept.
    url : str, optional
        Of a TAP service, instead of the one of the archive.

    Raises
    ------
    ArchiveError
        The archive does not know the planet or its period, or cannot be reached, or may not be asked.
    """
    name = " ".join(name.split())
    cache = cache_folder() if cache is None else cache
    file = re.sub(r"[^a-z0-9.+-]+", "_", name.casefold()) + ".json"
    known = _from_cache(Output(cache), file, name)
    if known is not None:
        return known
    if not online:
        raise ArchiveError(
            f"the ephemeris of {name!r} is not in the cache, and the network is off: add --online to ask the NASA"
            " Exoplanet Archive, or give --ephemeris 'TC PERIOD'"
        )
    found = _of_row(name, _ask(name, url))
    _keep(found, cache, file)
    return found


def _keep(found: Ephemeris, cache: Path, file: str) -> None:
    """Remember an answer, where the cache can be written: no run hangs on that."""
    output = Output(cache)
    try:
        output.make()
        output.write_json(file, {key: _plain(value) for key, value in asdict(found).items()})
    except ProductError as error:
        log.warning("the ephemeris of %s is not kept: %s", found.name, error)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _from_cache(cache: Output, file: str, name: str) -> Ephemeris | None:
    """What an earlier call kept of that planet; None where there is nothing, or nothing good."""
    try:
        told = json.loads(cache.read_bytes(file))
        values: dict[str, Any] = {item.name: _kept(item.type, told[item.name]) for item in fields(Ephemeris)}
        known = Ephemeris(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if known.name.casefold() == name.casefold() and _serves(known.tc, known.period) else None


def _kept(kind: object, value: str | float | None) -> str | float:
    """What was kept, as `_plain` made it, of the kind that it has in an ephemeris."""
    return str(value) if kind == "str" else math.nan if value is None else float(value)


def _serves(tc: float, period: float) -> bool:
    """Whether a mid-transit and a period tell when the next one is."""
    return math.isfinite(tc) and 0 < period < math.inf


def _ask(name: str, url: str | None) -> dict[str, object]:
    """The archive's row of a planet."""
    dal = importlib.import_module("pyvo.dal")  # takes half a second to load
    quoted = name.replace("'", "''").casefold()
    query = f"select {','.join(COLUMNS)} from {_TABLE} where lower(pl_name)='{quoted}'"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the service warns of its own tables
            rows = _rows(url or _ARCHIVE, query)
    except (OSError, KeyError, dal.DALServiceError, dal.DALQueryError, dal.DALFormatError) as error:
        raise ArchiveError(
            f"the NASA Exoplanet Archive did not answer about {name!r} ({_short(error)}); try again with a network, or"
            " give --ephemeris 'TC PERIOD'"
        ) from error
    if not rows:
        raise ArchiveError(
            f"the NASA Exoplanet Archive has no planet named {name!r}; give the name that it has there,"
            " as in 'WASP-12 b', or --ephemeris 'TC PERIOD'"
        )
    return rows[0]


def _rows(url: str, query: str) -> list[dict[str, object]]:
    """The rows that a TAP service answers with."""
    dal, http = importlib.import_module("pyvo.dal"), importlib.import_module("pyvo.utils.http")
    session = http.create_session()
    session.request = partial(session.request, timeout=TIMEOUT)
    table = dal.TAPService(url, session=session).search(query).to_table()
    return [{key: row[key] for key in COLUMNS} for row in table]


def _of_row(name: str, row: dict[str, object]) -> Ephemeris:
    """The ephemeris in a row of the archive."""
    number = {key: _number(row[key]) for key in COLUMNS[1:]}
    if not _serves(number["pl_tranmid"], number["pl_orbper"]):
        raise ArchiveError(
            f"the NASA Exoplanet Archive has no period or no mid-transit of {name!r}; give --ephemeris 'TC PERIOD'"
        )
    return Ephemeris(
        name=str(row["pl_name"]),
        tc=number["pl_tranmid"],
        tc_error=number["pl_tranmiderr1"],
        period=number["pl_orbper"],
        period_error=number["pl_orbpererr1"],
        t14=number["pl_trandur"] / 24,
        t14_error=number["pl_trandurerr1"] / 24,
        k=number["pl_ratror"],
        b=number["pl_imppar"],
        source=f"NASA Exoplanet Archive, table {_TABLE}",
    )


def _number(value: object) -> float:
    """A number out of a table's cell, NaN where it is empty; without its unit."""
    if np.any(getattr(value, "mask", False)):
        return math.nan
    try:
        number: Any = getattr(value, "value", value)
        return float(number)
    except (TypeError, ValueError):
        return math.nan


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."
