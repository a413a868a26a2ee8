"""Match the cameras of one telescope with each other."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from potpyri_like.errors import RegistrationError
from potpyri_like.primitives.fields import CAMERA_MATCH, REFERENCE
from potpyri_like.primitives.reference_match import at, base_of, match_references
from potpyri_like.primitives.stage import TargetStage, Tools, Work
from potpyri_like.results import Choice, Grade, Problem

__all__ = ["MatchCameras"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MatchCameras(TargetStage):
    """Match the stars of each set's reference to those of the first set of the same target."""

    reads = (REFERENCE,)
    gives = (CAMERA_MATCH,)

    def __call__(self, works: tuple[Work, ...], tools: Tools) -> tuple[Work, ...]:
        first = base_of(works)
        return tuple(work if work is first else self.matched(work, first) for work in works)

    def matched(self, work: Work, first: Work) -> Work:
        """A set with its stars' counterparts in the first set."""
        try:
            match = match_references(at(first), work)
        except RegistrationError as error:
            what = f"{work.observed.name} and {first.observed.name}"
            why = f"the stars of the two cameras could not be matched: {error}"
            return work.found(problems=[Problem(what, "match cameras", why, Grade.REMARK)])
        same = {int(there): int(here) for here, there in match.pairs}
        log.info("%s: %d stars are those of %s", work.observed.name, len(same), first.observed.name)
        transform = match.transform
        why = (
            f"{len(same)} stars agree, scale {transform.scale:.4f}, rotation {transform.rotation:+.2f} deg,"
            f" rms {match.rms:.2f} pixels"
        )
        return work.found(
            same_as=same,
            same_as_set=first.observed.folder,
            choices=[Choice(f"stars matched to {first.observed.name}", f"{len(same)} stars", why)],
        )
