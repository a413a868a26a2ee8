"""What frames have in common when stages run over them, and the keys under which outcomes are kept.

The key of a stage follows from what it is shown and from nothing else: its settings, its own version and the releases
of what computes for it, the instrument, the fields that it reads, and, of the stages before it, the keys of those whose
outputs it uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from potpyri_like.encoding import fingerprint
from potpyri_like.frame import FrameInfo
from potpyri_like.identity import instrument_identity
from potpyri_like.primitives import Setup
from potpyri_like.recipe_file import CodeFile, files_at_work
from potpyri_like.run.journal import Task
from potpyri_like.stages import AnyField, FrameStage

__all__ = ["NOT_THE_PIXELS", "Job", "Step"]

NOT_THE_PIXELS = ("path", "inside", "notes", "decided_by")  # of what is known of a frame


@dataclass(frozen=True, eq=False)
class Step:
    """One stage of a job.

    Attributes
    ----------
    stage : FrameStage
    follows : frozenset of str
        The names of the stages before it whose outputs it uses, and of those whose outputs these use, and so on.
    shared : mapping of str to str
        Fingerprints of what all frames share that it or a stage before it, whose output it uses, is shown.
    parts : mapping of str to str
        Fingerprints of all that it depends on, by what it is; what comes first is named first where several changed.
    key : str
        The fingerprint of all that.
    """

    stage: FrameStage
    follows: frozenset[str]
    shared: Mapping[str, str]
    parts: Mapping[str, str]
    key: str

    @property
    def is_kept(self) -> bool:
        """Whether something of what it gives is kept, or that it gives nothing but its consent."""
        return not self.stage.gives or any(given.kept for given in self.stage.gives)

    @property
    def hands_on_pixels(self) -> bool:
        """Whether it makes pixels that later stages work on."""
        return any(given.is_pixels for given in self.stage.gives)

    @property
    def takes_pixels(self) -> bool:
        """Whether it works on pixels."""
        return any(one.field.is_pixels for one in self.stage.inputs)


@dataclass(frozen=True, eq=False)
class Job:
    """Stages, and what the frames they run on share.

    Attributes
    ----------
    code : tuple of CodeFile
        Files of the user's, which stages may come from: the first, so that a worker has their classes before the rest.
    steps : tuple of Step
        In the order in which they run.
    setup : Setup
    """

    code: tuple[CodeFile, ...]
    steps: tuple[Step, ...]
    setup: Setup

    @classmethod
    def of(cls, stages: Sequence[FrameStage], setup: Setup) -> Job:
        steps: list[Step] = []
        at_start = {one.field.about for stage in stages for one in stage.inputs if one.field.at_start}
        for stage in stages:
            used = tuple(_used(stage, steps))
            shared = {words: part for step in used for words, part in step.shared.items()}
            shared |= {one.about: fingerprint(setup.get(one)) for one in _shared(stage)}
            shared = dict(sorted(shared.items(), key=lambda item: item[0] not in at_start))  # causes first
            parts = {
                "instrument": instrument_identity(type(setup.instrument)),
                "settings": fingerprint(stage),
                "version of the stage": fingerprint(stage.made_by),
                **shared,
                **{f"outcome of {step.stage.name}": step.key for step in used},
            }
            follows = frozenset(name for step in used for name in {step.stage.name, *step.follows})
            steps.append(Step(stage, follows, shared, parts, fingerprint(stage.name, parts)))
        return cls(files_at_work(), tuple(steps), setup)

    @cached_property
    def stages(self) -> tuple[FrameStage, ...]:
        return tuple(step.stage for step in self.steps)

    @cached_property
    def chain(self) -> str:
        """The stages' names."""
        return " ".join(stage.name for stage in self.stages)

    @cached_property
    def key(self) -> str:
        """What all its outcomes depend on besides the frame."""
        return fingerprint([step.key for step in self.steps])

    @cached_property
    def kept(self) -> tuple[Step, ...]:
        """The steps whose outcomes are kept; none where the job is done for images."""
        done_for = self.steps[-1].stage.gives
        return tuple(step for step in self.steps if step.is_kept) if all(one.kept for one in done_for) else ()

    def kept_of(self, failed: str) -> tuple[Step, ...]:
        """The steps of which something is kept of a frame that failed in a stage: itself and those that follow from it.

        Of others nothing is: their keys do not tell what the frame failed for.

        Parameters
        ----------
        failed : str
            The stage's name; "": the frame did not fail. Any other name: it could not be read.
        """
        if failed not in {stage.name for stage in self.stages}:
            return self.kept
        return tuple(step for step in self.kept if failed in {step.stage.name, *step.follows})

    def task(self, step: Step, info: FrameInfo) -> Task:
        """One step on one frame."""
        file = info.inside or info.path.name
        known = {name: value for name, value in vars(info).items() if name not in NOT_THE_PIXELS}
        return Task(info.label, file, info.path, fingerprint(known), step.stage.name, step.key, step.parts)

    def made_by(self, last: str) -> frozenset[str]:
        """The fields that a stage gives, and those before it whose outputs it uses; by names."""
        upto = self.upto(last)
        steps = (step for step in self.steps if step.stage.name in upto)
        return frozenset(given.name for step in steps for given in step.stage.gives)

    def upto(self, last: str) -> frozenset[str]:
        """The names of a stage and of those that it follows from; none for ""."""
        return frozenset(
            name for step in self.steps if step.stage.name == last for name in {last, *step.follows}
        )

    def can_start_after(self, last: str, lost: Collection[str]) -> bool:
        """Whether the other stages can do without some fields, where the image that a stage makes is at hand."""
        others = (step for step in self.steps if step.stage.name not in self.upto(last))
        return not any(one.field.name in lost for step in others for one in step.stage.inputs)

    def needed(
        self, known: Collection[str], *, at_hand: str = "", images: Collection[str] = ()
    ) -> tuple[FrameStage, ...]:
        """The stages that have to run.

        Parameters
        ----------
        known : collection of str
            The stages whose outcomes are known.
        at_hand : str
            The stage whose image, and what was found out until then, need not be made.
        images : collection of str
            The stages whose images are wanted whatever is known.
        """
        wanted: set[str] = set()
        done = self.upto(at_hand)
        pixels = False
        for step in reversed(self.steps):
            name = step.stage.name
            pixels = pixels and name != at_hand
            missing = (step in self.kept and name not in known) or not self.kept or name in images
            if (missing and name not in done) or (pixels and step.hands_on_pixels):
                wanted.add(name)
                pixels = pixels or step.takes_pixels
        return tuple(stage for stage in self.stages if stage.name in wanted)


def _shared(stage: FrameStage) -> Iterator[AnyField]:
    """What a stage reads of what all frames share."""
    return (one.field for one in stage.inputs if one.field.per != "frame")


def _used(stage: FrameStage, before: Sequence[Step]) -> Iterator[Step]:
    """The steps whose outputs a stage uses: those that give what it reads, and all that made its pixels."""
    read = {one.field.name for one in stage.inputs}
    takes_pixels = any(one.field.is_pixels for one in stage.inputs)
    for step in before:
        gives = {given.name for given in step.stage.gives}
        if gives & read or (takes_pixels and step.hands_on_pixels):
            yield step
