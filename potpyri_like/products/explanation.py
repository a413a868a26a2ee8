"""The choices of a run and their reasons: the choices in run.json in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from potpyri_like.lightcurves import TIME_SCALES
from potpyri_like.products.words import plural

__all__ = ["explanation", "times_template", "topics"]

_SHOWN = 12  # rejected candidates of each choice


def explanation(run: Mapping[str, Any], *, what: str = "", everything: bool = False) -> list[str]:
    """The lines of `reduce explain`.

    Parameters
    ----------
    run : mapping
        The contents of run.json.
    what : str
        Part of the name of a target, band, camera or choice, or a night: only what it fits; "" for all. Where it is the
        whole name of a target, band, camera or night, it means that.
    everything : bool
        Name all candidates, not only the first dozen rejected ones.
    """
    lines: list[str] = []
    several = len({result.get("night") for result in run.get("sets", ())}) > 1
    named = [result for result in run.get("sets", ()) if _is_name(what, result)]
    for result in named or run.get("sets", ()):
        about = f"{result['target']}, {result['camera']} {result['band']}".rstrip()
        about += f", {result['night']}" if several else ""
        whole = bool(named) or what.casefold() in about.casefold()
        choices = [c for c in result["choices"] if whole or what.casefold() in c["what"].casefold()]
        if choices:
            lines += [*([""] if lines else []), about]
        for choice in choices:
            lines += _choice_lines(choice, everything)
        lines += [f"  note: {note}" for note in result.get("notes", ()) if whole and choices]
    return lines


def topics(run: Mapping[str, Any]) -> list[str]:
    """Return the names of the choices of a run, each once, in their order."""
    return list(dict.fromkeys(c["what"] for result in run.get("sets", ()) for c in result["choices"]))


def _is_name(what: str, result: Mapping[str, Any]) -> bool:
    """Whether a word is the name of a set's target, camera, band or night: "r" is no part of "aperture"."""
    names = (result["target"], result["camera"], result["band"], result.get("night", ""))
    return bool(what) and what.casefold() in (name.casefold() for name in names)


def _choice_lines(choice: Mapping[str, Any], everything: bool) -> Iterator[str]:
    """One choice, its reason, and the candidates."""
    candidates = choice.get("candidates") or []
    yield f"  {choice['what']}: {choice['chosen']}"
    yield f"    {choice['why']}"
    lost = [c for c in candidates if c["lost"]]
    shown = lost if everything else lost[:_SHOWN]
    if lost:
        taken = len(candidates) - len(lost)  # of a baseline none: a constant is no candidate
        some = f"chosen from {len(candidates)}; {plural(len(lost), 'candidate')} rejected:"
        yield f"    {some if taken else plural(len(lost), 'candidate') + ', all rejected:'}"
    wide = max((len(c["name"]) for c in shown), default=0)
    wider = max((len(c["figures"]) for c in shown), default=0)
    for c in shown:
        yield f"      {c['name']:<{wide}}  {c['figures']:<{wider}}  {c['lost']}".rstrip()
    if len(shown) < len(lost):
        yield f"      ... and {len(lost) - len(shown)} more (--all)"


def times_template(run: Mapping[str, Any]) -> list[str]:
    """An empty times.csv for a night, as lines: the scale of its light curves, and what is known of the transit.

    Parameters
    ----------
    run : mapping
        The contents of run.json.
    """
    sets = [result for result in run.get("sets", ()) if result.get("light_curve")]
    names = [result["light_curve"]["time"] for result in sets]
    scale = TIME_SCALES.get(names[0], "bjd_tdb") if names else "bjd_tdb"
    lines = [
        f"# time: {scale.upper()}",
        "# intervals out of transit, in days, one in each line: 2460380.4012,2460380.4187",
    ]
    for result in sets:
        fit = result.get("transit")
        if fit and TIME_SCALES.get(fit["time"] or "") == scale:
            tc, half = fit["tc"]["value"], fit["t14"]["value"] / 2
            lines.append(
                f"# {result['target']}: the fitted transit lasts from {tc - half:.5f} to {tc + half:.5f}"
            )
    return [*dict.fromkeys(lines), "init_time,final_time"]
