"""Single steps on single frames."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable, Table

from potpyri_like.astrometry import Match, match_stars
from potpyri_like.errors import FrameError
from potpyri_like.frame import UNUSABLE, MaskBit, Pixels, ccd_of, pixels_of
from potpyri_like.imaging import MEDIAN_COVARIANCE, MEDIAN_PIXEL_FACTOR, fill_bad, filter_hot_pixels
from potpyri_like.imaging import calibrate as calibrate_pixels
from potpyri_like.interface.nights import AnyInstrument, AnyPath, instrument
from potpyri_like.interface.results import COVARIANCE
from potpyri_like.night import rows_of
from potpyri_like.photometry import Context, detect_stars, measure_stars
from potpyri_like.primitives import Setup, Trim

__all__ = ["calibrate", "detect", "filter3x3", "match", "measure", "read"]

_PHOTONS = "photon_factor"  # variance of photons after the 3x3 median


def read(path: AnyPath, which: AnyInstrument) -> CCDData:
    """A raw frame in electrons: overscan or pedestal subtracted, trimmed, amplifiers put together.

    Raises
    ------
    FrameError
        It cannot be read, or the instrument does not understand it; the message says why.
    """
    known, file = instrument(which), Path(path)
    row = rows_of(file, None, file.parent, known, {})[0]
    if row.info is None:
        raise FrameError(row.reason)
    frame = Trim()(row.info, Setup(known))
    ccd = frame.ccd
    info = row.info
    ccd.meta = {
        "kind": str(info.kind),
        "camera": info.camera,
        "band": info.band,
        "target": info.target,
        "exposure": info.exposure,
        "mid_time": info.mid_time,
    }
    return ccd


def filter3x3(frame: CCDData, *, mode: str = "median", dark: CCDData | None = None) -> CCDData:
    """A frame after the 3x3 filter.

    Parameters
    ----------
    frame : CCDData, electron
        As `read` gives it.
    mode : str
        "median": each pixel is the median of itself and its eight neighbours; "selective": hot pixels alone are
        replaced, and flagged.
    dark : CCDData, electron, optional
        In the exposure of the frame: pixels that it explains are not hot for "selective".
    """
    known = None if dark is None or mode != "selective" else pixels_of(dark).data
    filtered = filter_hot_pixels(pixels_of(frame), mode=mode, dark=known)
    more = {COVARIANCE: MEDIAN_COVARIANCE, _PHOTONS: MEDIAN_PIXEL_FACTOR} if mode == "median" else {}
    return _like(frame, filtered, **more)


def calibrate(
    frame: CCDData,
    *,
    bias: CCDData | None = None,
    dark: CCDData | None = None,
    dark_scale: float = 1.0,
    flat: CCDData | None = None,
) -> CCDData:
    """A frame without bias and dark current, divided by the flat; its variance has that of the photons then.

    Parameters
    ----------
    frame : CCDData, electron
        As `read` gives it.
    bias, dark, flat : CCDData, optional
        Masters of the same shape, as `Observation.masters` gives them.
    dark_scale : float
        Exposure of the frame over that of the dark.
    """
    given = {name: None if one is None else pixels_of(one) for name, one in (("bias", bias), ("dark", dark))}
    pixels = calibrate_pixels(
        pixels_of(frame),
        bias=given["bias"],
        dark=given["dark"],
        dark_scale=dark_scale,
        flat=None if flat is None else pixels_of(flat),
        poisson_factor=float(frame.meta.get(_PHOTONS, 1.0)),
    )
    fill_bad(pixels, int(UNUSABLE), out=pixels.data)
    return _like(frame, pixels)


def detect(frame: CCDData, *, threshold: float = 5.0, most: int | None = None) -> QTable:
    """The stars of a calibrated frame, the brightest first.

    Parameters
    ----------
    frame : CCDData
    threshold : float
        In standard deviations of the sky after the matched filter.
    most : int, optional
        At most so many.

    Returns
    -------
    QTable
        x, y [pixel, 0-based], flux, peak, fwhm [pixel], ellipticity, saturated.
    """
    pixels = pixels_of(frame)
    saturated = (pixels.mask & np.uint16(MaskBit.SATURATED)) > 0
    found = detect_stars(
        pixels.data, mask=pixels.mask & UNUSABLE, threshold=threshold, max_stars=most, saturated=saturated
    )
    unit = frame.unit or u.dimensionless_unscaled
    return QTable(
        {
            "x": found.x * u.pix,
            "y": found.y * u.pix,
            "flux": found.flux * unit,
            "peak": found.peak * unit,
            "fwhm": found.fwhm * u.pix,
            "ellipticity": found.ellipticity,
            "saturated": found.saturated,
        }
    )


def match(reference: QTable, stars: QTable) -> Match:
    """The transform from the pixels of one list of stars to those of another, of any rotation and shift.

    Parameters
    ----------
    reference, stars : QTable
        As `detect` gives them.

    Raises
    ------
    RegistrationError
        They have not enough stars in common, as far as can be told.
    """
    return match_stars(
        _places(reference),
        _places(stars),
        source_flux=reference["flux"].value,
        target_flux=stars["flux"].value,
    )


def measure(
    frame: CCDData,
    xy: object,
    *,
    radii: object,
    fwhm: float,
    annulus: tuple[float, float] | None = None,
    recentre: float | None = None,
) -> QTable:
    """The flux of stars in concentric apertures, above the sky of an annulus around each.

    Parameters
    ----------
    frame : CCDData
        Calibrated.
    xy : array_like, shape (n, 2), pixel
        0-based; or a table with columns x and y.
    radii : array_like, pixel
        Of the apertures.
    fwhm : float, pixel
    annulus : (float, float), pixel, optional
        4 and 6 FWHM.
    recentre : float, pixel, optional
        How far a star may be from its place; None: measured where it is said to be.

    Returns
    -------
    QTable
        x, y [pixel], flux, flux_err, shape (n, n_radii), sky (per pixel), flags (bits of StarFlag).
    """
    pixels = pixels_of(frame)
    places = _places(xy) if isinstance(xy, Table) else np.asarray(xy, float).reshape(-1, 2)
    found = measure_stars(
        *pixels,
        places,
        fwhm=fwhm,
        radii=np.atleast_1d(np.asarray(radii, float)),
        annulus=annulus or (4 * fwhm, 6 * fwhm),
        recentre=recentre,
        context=Context(
            covariance=float(frame.meta.get(COVARIANCE, 1.0)), photons=float(frame.meta.get(_PHOTONS, 1.0))
        ),
    )
    unit = frame.unit or u.dimensionless_unscaled
    return QTable(
        {
            "x": found.xy[:, 0] * u.pix,
            "y": found.xy[:, 1] * u.pix,
            "flux": found.flux * unit,
            "flux_err": found.flux_err * unit,
            "sky": found.sky * unit / u.pix,
            "flags": found.flags,
        }
    )


def _places(stars: Table) -> np.ndarray:
    """Positions, shape (n, 2)."""
    columns = (u.Quantity(stars[name]).value for name in ("x", "y"))
    return np.column_stack(list(columns)).astype(float)


def _like(frame: CCDData, pixels: Pixels, **meta: object) -> CCDData:
    """A CCDData of new pixels, with the WCS and the metadata of another."""
    ccd = ccd_of(pixels, unit=str(frame.unit or ""), wcs=frame.wcs)
    ccd.meta = {**frame.meta, **meta}
    return ccd
