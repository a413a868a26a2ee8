"""Everything that can go wrong, and is meant to be read by a person.

::

    ReductionError
    |-- UsageError              the command line or reduce.toml is wrong (exit status 2)
    |-- InstrumentError
    |   |-- UnknownInstrument   no plugin provides that name
    |   |-- PluginError         a plugin could not be loaded, or two claim one name
    |   `-- DeclarationError    an instrument's class contradicts itself; raised where the class is made
    |-- NightError              nothing can be reduced: no folder, no frames, no science frames
    |   `-- NotUnderstood       the instrument understands none of the frames; nothing is written
    |-- FrameError              one frame cannot be used; the others go on
    |   |-- HeaderError         a card is missing or says what cannot be
    |   |-- PixelError          the pixels are missing, truncated, or all the same
    |   `-- UnavailableError    circumstances, not its bytes: no such file, no permission, no memory; tried again
    |-- CalibrationError        a master cannot be made from the frames that are there
    |-- RegistrationError       a frame or a camera could not be matched
    |-- ArchiveError            a catalogue on the network cannot be asked, or does not know
    `-- ProductError            a product cannot be written
"""

__all__ = [
    "ArchiveError",
    "CalibrationError",
    "DeclarationError",
    "FrameError",
    "HeaderError",
    "InstrumentError",
    "NightError",
    "NotUnderstood",
    "PixelError",
    "PluginError",
    "ProductError",
    "ReductionError",
    "RegistrationError",
    "UnavailableError",
    "UnknownInstrument",
    "UsageError",
]


class ReductionError(Exception):
    """An error whose message says which file, what was found, what was wanted and what to do."""


class UsageError(ReductionError):
    """The command line or the configuration file asks for what does not exist."""


class InstrumentError(ReductionError):
    """Something about an instrument or the plugin that brings it."""


class UnknownInstrument(InstrumentError):
    """No plugin provides an instrument of that name."""


class PluginError(InstrumentError):
    """A plugin could not be loaded, or two plugins claim one name."""


class DeclarationError(InstrumentError):
    """An instrument's declaration lacks something or contradicts itself."""


class NightError(ReductionError):
    """Nothing in the night can be reduced."""


class NotUnderstood(NightError):
    """An instrument understands none of the frames of a night; nothing is written."""


class FrameError(ReductionError):
    """One frame cannot be used; the run goes on without it."""


class HeaderError(FrameError):
    """A header lacks a card, or a card says what cannot be."""


class PixelError(FrameError):
    """The pixels of a frame are missing, truncated or meaningless."""


class UnavailableError(FrameError):
    """A file could not be read for the moment; its bytes were not seen, and it is tried again."""


class CalibrationError(ReductionError):
    """A master frame cannot be made from the frames at hand."""


class RegistrationError(ReductionError):
    """A frame, or a camera, could not be matched to its reference."""


class ArchiveError(ReductionError):
    """A catalogue on the network cannot be reached, or does not know what it was asked."""


class ProductError(ReductionError):
    """A product cannot be written."""
