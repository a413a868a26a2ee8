"""The contract of an instrument: header keywords, trimming, calibration and the 3x3 filter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

import astropy.units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta

from potpyri_like.frame import FrameInfo, FrameKind
from potpyri_like.instruments.amplifiers import placed_amplifiers
from potpyri_like.instruments.calibration import Calibration
from potpyri_like.instruments.cameras import Amplifier, Camera, camera_by_header, camera_of_date
from potpyri_like.instruments.checks import check_declaration
from potpyri_like.instruments.description import described
from potpyri_like.instruments.exposure import cycle_of
from potpyri_like.instruments.former import FormerMethods
from potpyri_like.instruments.keywords import Compound, HeaderKeywords, parse_binning, read_keyword
from potpyri_like.instruments.layout import Layout, laid_out
from potpyri_like.instruments.pixel_filter import PixelFilter
from potpyri_like.instruments.pointing import pointing
from potpyri_like.instruments.rules import Rule, declared_rules
from potpyri_like.instruments.simulated import Simulated
from potpyri_like.store.header import CardValue, RawHeader

__all__ = ["Instrument"]


class Instrument(FormerMethods, ABC):
    """What the software has to know of an instrument; a subclass states it, mostly in tables.

    A subclass is checked when it is made: what it lacks, or what contradicts itself, is a DeclarationError
    on the author's own line. ``class Family(Instrument, abstract=True)`` leaves a family of instruments
    unchecked.

    Attributes
    ----------
    name : str
        Upper case; the word on the command line.
    site : EarthLocation
    telescope_diameter : Quantity or None
        Of the primary mirror, for scintillation.
    recipe : str
        The recipe for its nights: "timeseries" or "imaging".
    simulated : Simulated
        What only simulated nights ask for.
    keywords : HeaderKeywords
        Which card holds which quantity.
    kinds : mapping of str to FrameKind, or tuple of Rule and such mappings
        What the `kind` card says of each kind of frame, or `COMMON_KINDS`; or rules, the first that applies decides.
    rules : tuple of Rule
        Those of `kinds`, whichever way they were declared.
    band_names : mapping of str to str
        Our name for a filter's name in the header; filters not listed keep theirs.
    time_scale : str or None
        "utc" where its clock is UTC whatever TIMESYS says; None: TIMESYS is obeyed, UTC where there is none.
    cameras : tuple of Camera
    calibration : Calibration
    pixel_filter : PixelFilter
    """

    name: ClassVar[str]
    site: ClassVar[EarthLocation]
    telescope_diameter: ClassVar[u.Quantity | None] = None
    recipe: ClassVar[str] = "timeseries"
    simulated: ClassVar[Simulated] = Simulated()

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        super().__init_subclass__()
        if not abstract:
            check_declaration(cls)
            cls.rules = declared_rules(cls)

    # -- header keywords -----------------------------------------------------------------------------------

    keywords: ClassVar[HeaderKeywords]
    kinds: ClassVar[Mapping[str, FrameKind] | tuple[Rule | Mapping[str, FrameKind], ...]]
    rules: ClassVar[tuple[Rule, ...]] = ()
    band_names: ClassVar[Mapping[str, str]] = {}
    time_scale: ClassVar[str | None] = None

    @abstractmethod
    def mid_time(self, header: RawHeader, exposure: u.Quantity) -> Time:
        """The middle of the exposure, UTC, to the millisecond where the header allows it.

        Raises
        ------
        HeaderError, KeyError or ValueError
            The header does not tell; the frame is rejected.
        """

    def time_cards(self, start: Time, exposure: u.Quantity) -> dict[str, CardValue]:
        """The cards that `mid_time` reads, for an exposure that began at `start`: its inverse."""
        return {"DATE-OBS": start.utc.isot}

    def plane_time(self, header: RawHeader, exposure: u.Quantity, plane: int) -> Time:
        """The middle of the exposure of one plane of a cube; planes follow each other by `cycle_of`."""
        return self.mid_time(header, exposure) + TimeDelta(plane * cycle_of(header, exposure))

    def describe(
        self,
        header: RawHeader,
        *,
        kind: FrameKind | None = None,
        camera: str | None = None,
        band: str | None = None,
        target: str | None = None,
    ) -> tuple[FrameInfo, ...]:
        """What a raw file is, in our words: one description, or one for each plane of a cube.

        Parameters
        ----------
        header : RawHeader
        kind, camera, band, target : optional
            What the observer says it is, whatever the header says.

        Raises
        ------
        HeaderError
            The file cannot be used; the message says why.
        """
        return described(self, header, kind=kind, camera=camera, band=band, target=target)

    def settle(self, infos: tuple[FrameInfo, ...]) -> tuple[FrameInfo, ...]:
        """A second look at all frames of a night together, for what one header alone cannot tell."""
        return infos

    def camera_of(self, header: RawHeader) -> Camera:
        """The camera that took the frame: by its card, else by the band, else by folder or file name."""
        return camera_by_header(self, header)

    def band_of(self, header: RawHeader, camera: Camera | None) -> str:
        """The band, by our name for it; the camera's only one where the header does not tell."""
        says = str(read_keyword(self, "band", header, optional=True) or "")
        if not says and camera is not None and len(camera.bands) == 1:
            return camera.bands[0]
        return self.band_names.get(says, says)

    def target_of(self, header: RawHeader) -> str:
        """What the observer called the target; "" where the header does not tell."""
        return str(read_keyword(self, "target", header, optional=True) or "")

    def binning_of(self, header: RawHeader) -> tuple[int, int]:
        """Columns and rows that were added on the chip; (1, 1) where the header does not tell."""
        says, keyword = read_keyword(self, "binning", header, optional=True), self.keywords.binning
        if says is None or keyword is None:
            return 1, 1
        read = (
            keyword.cards if isinstance(keyword, Compound) else [c for c in keyword.cards if c in header][:1]
        )
        return parse_binning(header, says, cards=tuple(read))

    def pointing_of(self, header: RawHeader) -> SkyCoord | None:
        """Where the telescope looked, ICRS; None where the header says nothing valid."""
        return pointing(self, header)

    def clock_of(self, header: RawHeader) -> str:
        """What set the time: "GPS", "NTP", "PC"; "" where it is not known."""
        return ""

    def remarks(self, header: RawHeader, camera: Camera) -> Iterable[str]:
        """What was guessed, repaired or doubted about a frame, in sentences."""
        return ()

    # -- trimming ------------------------------------------------------------------------------------------

    cameras: ClassVar[tuple[Camera, ...]]

    def amplifiers_in(self, header: RawHeader, camera: Camera) -> tuple[Amplifier, ...]:
        """The amplifiers in a file of the camera, and where each comes to lie; () where one reads the first image.

        Those that are declared, or one for each image where `Camera.placed_by` names the card on its place. What an
        amplifier leaves out is the camera's.

        Raises
        ------
        HeaderError
            A card on their places is missing.
        """
        return camera.amplifiers if camera.placed_by is None else placed_amplifiers(self, header, camera)

    def layout(self, header: RawHeader, camera: Camera | None = None) -> Layout:
        """Where in the file the pixels of the image are, amplifier by amplifier, and their gain and read noise.

        Parameters
        ----------
        header : RawHeader
        camera : Camera, optional
            That took the frame, where the header does not tell.

        Raises
        ------
        HeaderError
            A card that the declaration needs is missing, or no constant is declared for the frame's time.
        """
        camera = camera or self.camera_of(header)
        camera = replace(camera, amplifiers=self.amplifiers_in(header, camera))
        return laid_out(header, camera_of_date(self, header, camera), self.binning_of(header))

    # -- calibration ---------------------------------------------------------------------------------------

    calibration: ClassVar[Calibration] = Calibration()

    def readout_of(self, header: RawHeader) -> str:
        """What calibrations must share besides camera, binning and shape: mode, region, amplifiers."""
        return ""

    def pedestal(self, header: RawHeader, camera: Camera | None = None) -> tuple[float, float]:
        """Level and its uncertainty, adu, to subtract where a night has neither overscan nor bias frames."""
        camera = camera_of_date(self, header, camera or self.camera_of(header))
        level, error = (
            0.0 if value is None else float(u.Quantity(value).to_value(u.adu))
            for value in (camera.pedestal, camera.pedestal_error)
        )
        return level, error

    # -- the 3x3 filter ------------------------------------------------------------------------------------

    pixel_filter: ClassVar[PixelFilter] = PixelFilter("none")

    def is_filtered(self, info: FrameInfo) -> bool:
        """Whether the frame went through a 3x3 filter before we got it."""
        return False
