"""Frames of many programs and observatories, each checked by hand: kind, exposure, filter, time, binning.

The dialects are those of 24 programs (tests/dialects.py). Beside the checkout there may be their whole headers, real
ones of FLAMINGOS-2 and LRIS, and frames of LCO, OPTICAM and the Lowell 42-inch; without them those tests are skipped.
"""

import re

import astropy.units as u
import pytest
from astropy.coordinates import EarthLocation
from astropy.io import fits
from astropy.time import Time
from dialects import FORMS, WRITTEN
from headers import make_header, text_headers

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind
from potpyri_like.instruments import (
    COMMON_KINDS,
    Always,
    Amplifier,
    Camera,
    Compound,
    Has,
    HeaderKeywords,
    Instrument,
    Is,
    Keyword,
    Matches,
    Rule,
)
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.store import read_header

SCIENCE, BIAS, DARK, FLAT, OTHER = FrameKind
A_CAMERA = Camera(
    name="main",
    pixel_scale=1 * u.arcsec / u.pix,
    gain=1 * u.electron / u.adu,
    read_noise=5 * u.electron,
    saturation=65535 * u.adu,
)
KIND_CARDS = ("IMAGETYP", "FRAME", "OBSTYPE", "CALFRAME")


class AnyCamera(Instrument):
    """A camera whose programs nobody knows beforehand."""

    name = "ANYCAMERA"
    keywords = HeaderKeywords(
        exposure=Keyword("EXPTIME", u.s, also=("EXPOSURE", "EXP")),
        band=Keyword("FILTER", also=("FILTERS", "FILT-1"), optional=True),
        target=Keyword("OBJECT", optional=True),
        binning=Keyword("XBINNING", also=("CCDSUM", "BINNING"), optional=True),
    )
    # SharpCap, DWARF, Unistellar, PRISM, MicroObservatory and some archives name no kind
    kinds = (COMMON_KINDS, *(Rule(SCIENCE, ~Has(card)) for card in KIND_CARDS))
    cameras = (A_CAMERA,)
    site = EarthLocation.from_geodetic(lon=-110 * u.deg, lat=30 * u.deg, height=1000 * u.m)

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + exposure / 2

    def binning_of(self, header):
        """PRISM has the columns of the detector and of the image instead."""
        if "X1" not in header:
            return super().binning_of(header)
        factor = round((header["X2"] - header["X1"] + 1) / header.image_shape[-1])
        return factor, factor


# kind, exposure [s], filter, middle of the exposure (UTC), binning, and what has to be said of it
ONCE, TWICE, THRICE = (1, 1), (2, 2), (3, 3)
BY_HAND = {
    # its DATE-OBS is cut to seconds: DATE-HP says 15:42:46.530
    "acp_maxim_calibrated": (SCIENCE, 300, "SII", "2021-12-29T15:45:16", ONCE, ""),
    "apt_light": (SCIENCE, 240, "", "2018-09-17T21:06:46", ONCE, ""),  # its JD is the end
    "asiair_light": (SCIENCE, 60, "", "2021-07-10T22:30:30.123456", ONCE, "a mosaic of colours"),
    "astroimagej_calibrated": (SCIENCE, 300, "ip", "2021-12-29T15:45:16.53", ONCE, ""),  # JD_UTC: 15:45:16.5
    "astropixelprocessor_master_flat": (OTHER, 1.28, "", None, ONCE, ""),
    "ccdciel_light": (SCIENCE, 60, "V", "2025-11-21T03:00:30", TWICE, ""),
    "ccdsoft_light": (SCIENCE, 300, "R", "2020-04-18T00:59:28.604", THRICE, ""),
    "dwarf2_light": (SCIENCE, 15, "", "2023-06-10T21:38:26.942", TWICE, ""),
    "ekos_indi_light": (SCIENCE, 60, "Red", "2025-11-21T03:00:30", TWICE, ""),
    "indi_2018_frame_only": (SCIENCE, 900, "Ha", "2018-10-13T21:20:11.56", ONCE, ""),
    "indi_2_dark": (DARK, 60, "", "2025-11-21T03:00:30", TWICE, ""),
    "indi_2_flat": (FLAT, 60, "", "2025-11-21T03:00:30", TWICE, ""),
    "indi_2_light": (SCIENCE, 60, "Red", "2025-11-21T03:00:30", TWICE, ""),
    "indigo_darkflat": (DARK, 2, "", "2025-11-21T03:00:01", ONCE, ""),
    "lco_banzai_e91": (SCIENCE, 40.284, "rp", "2017-08-19T18:50:34.423", TWICE, ""),
    "maxim_6_bias": (BIAS, 0, "", "2021-12-29T15:42:46.53", ONCE, ""),
    "maxim_6_flat": (FLAT, 3, "V", "2021-12-29T15:42:48.03", ONCE, ""),
    "maxim_6_light_itelescope_raw": (SCIENCE, 300, "Green", "2021-12-29T15:45:16.53", ONCE, ""),
    # its date is local, its MJD-OBS 03:00:00 UTC of the next day
    "microobservatory_light": (SCIENCE, 60, "Clear", "2025-11-21T03:00:30", ONCE, "is local time"),
    "nina_1_9_unquoted_dates": (SCIENCE, 120, "", "2019-11-19T19:42:48.288", ONCE, ""),
    "nina_3_flat": (FLAT, 2, "Rc", "2025-11-21T01:00:01", ONCE, ""),
    "nina_3_light": (SCIENCE, 60, "Rc", "2025-11-21T03:00:30", ONCE, ""),
    "pixinsight_master_light": (OTHER, 120, "", "2022-03-07T21:59:44.06", ONCE, ""),
    "prism_light": (SCIENCE, 120, "Filter_L", "2022-07-26T01:36:23.232", TWICE, ""),
    "seestar_s30pro_sub": (SCIENCE, 10, "IRCUT", "2025-05-13T22:48:40.751879", ONCE, "a mosaic of colours"),
    "seestar_s50_stack": (
        SCIENCE,
        10,
        "IRCUT R",
        "2025-05-13T22:48:40.751879",
        ONCE,
        "187 exposures are combined",
    ),
    "seestar_s50_sub": (SCIENCE, 10, "IRCUT", "2025-05-13T22:48:40.751879", ONCE, "a mosaic of colours"),
    "sgp_light": (SCIENCE, 30, "HaOIII", "2020-05-30T00:23:04.096882", ONCE, ""),
    "sharpcap_2019": (SCIENCE, 2, "", "2019-04-29T20:25:28.821958", ONCE, "is the end of the exposure"),
    "sharpcap_4_1_frame": (SCIENCE, 8, "", "2025-03-19T22:57:49.926813", ONCE, "a mosaic of colours"),
    "sharpcap_4_1_livestack": (
        SCIENCE,
        280,
        "R",
        "2025-03-19T22:57:49.926813",
        ONCE,
        "its middle is DATE-AVG",
    ),
    "siril_stack": (SCIENCE, 60, "Rc", "2025-11-21T03:00:30", ONCE, "60 exposures are combined"),
    "theskyx_dark": (DARK, 120, "", "2023-08-15T02:41:00.466", TWICE, ""),
    "theskyx_light": (SCIENCE, 120, "V", "2023-08-15T02:41:00.466", TWICE, ""),
    # 3 December, by the comment; the exposure is 90 s
    "trap_exposure_in_ms": (SCIENCE, 90, "", "1996-12-03T02:04:13", ONCE, "is in milliseconds"),
    "unistellar_stackinput": (SCIENCE, 4, "", "2025-11-21T03:00:02", ONCE, ""),
}
# what has to be named of a frame that lacks what a science frame needs
REJECTED = {
    "itelescope_premium": "no 'DATE-OBS' card",
    "lco_2018_no_date_obs": "no 'DATE-OBS' card",  # it has DATE, which other programs write with the file
    "sharpcap_3_2_8bit": "no EXPTIME or EXPOSURE or EXP card",
}


def essence(name):
    """The header of a form, from what matters of it."""
    cards, shape = FORMS[name]
    header = make_header(inside=f"{name}.txt", shape=shape)
    header.hdus[0].update(cards)
    for written in WRITTEN.get(name, ()):
        header.hdus[0].append(fits.Card.fromstring(written))
    return header


def check(instrument, header, kind, exposure, band, time, binning, said=""):
    info = instrument.describe(header)[0]
    assert (info.kind, info.band, info.binning) == (kind, band, binning)
    assert info.exposure.to_value(u.s) == pytest.approx(exposure, abs=1e-9)
    if time is None:
        assert info.mid_time is None
    else:
        assert abs((info.mid_time - Time(time, scale="utc")).to_value(u.ms)) < 1
    notes = "; ".join(info.notes)
    assert said in notes
    assert said or not [
        note for note in info.notes if note.startswith(("time", "clock", "exposure", "file"))
    ], notes


def test_every_form_is_checked_by_hand():
    assert set(FORMS) == {*BY_HAND, *REJECTED}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_form_is_described_right(name):
    check(AnyCamera(), essence(name), *BY_HAND[name])


@pytest.mark.parametrize("name", REJECTED)
def test_a_form_without_exposure_or_time_is_rejected_by_the_card(name):
    with pytest.raises(HeaderError, match=re.escape(f"{name}.txt: ") + ".*" + re.escape(REJECTED[name])):
        AnyCamera().describe(essence(name))


def test_a_whole_header_is_described_as_its_essence(real_data):
    folder = real_data / "headers" / "dialects"
    if not folder.is_dir():
        pytest.skip("no headers of dialects beside the checkout")
    names = {path.stem for path in folder.glob("*.txt")}
    assert names == {*BY_HAND, *REJECTED}
    for name in BY_HAND:
        check(AnyCamera(), text_headers(folder / f"{name}.txt"), *BY_HAND[name])
    for name, said in REJECTED.items():
        with pytest.raises(HeaderError, match=re.escape(said)):
            AnyCamera().describe(text_headers(folder / f"{name}.txt"))


# -- FLAMINGOS-2 -------------------------------------------------------------------------------------------------


def f2_band(one, two):
    """The filter of two wheels of which one is open."""
    return "open" if one == two == "Open" else (two if one == "Open" else one).partition("_")[0]


class Flamingos2(Instrument):
    """FLAMINGOS-2 at Gemini South, its images."""

    name = "F2"
    keywords = HeaderKeywords(
        exposure=Keyword("EXPTIME", u.s),
        band=Compound(("FILTER1", "FILTER2"), f2_band, lambda band: (band, "Open")),
        target=Keyword("OBJECT"),
    )
    kinds = (
        Rule(DARK, Is("OBSTYPE", "DARK") | Matches("FILTER2", "^DK")),  # the dark slide
        Rule(OTHER, Is("OBSTYPE", "ARC"), why="an arc"),
        Rule(OTHER, ~Is("GRISM", "Open"), why="a spectrum"),
        Rule(OTHER, Matches("OBSCLASS", "^acq"), why="an acquisition image"),
        COMMON_KINDS,
    )
    cameras = (A_CAMERA,)
    site = EarthLocation.from_geodetic(lon=-70.7367 * u.deg, lat=-30.2407 * u.deg, height=2722 * u.m)

    def mid_time(self, header, exposure):
        return Time(f"{header['DATE-OBS']}T{header['UTSTART']}", scale="utc") + exposure / 2


# Kind, exposure [s], filter, UTSTART + EXPTIME / 2; EXPTIME is that of one of COADDS = 1
F2 = {
    "S20141130S0001": (
        DARK,
        2,
        "",
        "2014-11-29T23:11:02.275831",
    ),  # OBSTYPE is OBJECT: the archive's tag is DARK
    "S20150101S0261": (SCIENCE, 85, "J", "2015-01-01T04:05:12.994034"),
    "S20150103S0144": (DARK, 4, "", "2015-01-03T06:53:03.148842"),
    "S20150113S0186": (FLAT, 60, "J", "2015-01-13T09:29:43.433985"),
    "S20150213S0110": (OTHER, 10, "", "2015-02-13T07:35:05.841804"),
    "S20150622S0011": (OTHER, 300, "", "2015-06-22T00:21:26.323529"),
    "S20160220S0125": (OTHER, 10, "", "2016-02-20T08:14:24.404835"),
    "S20160616S0034": (OTHER, 10, "", "2016-06-16T04:07:09.936097"),
    "S20170221S0005": (OTHER, 120, "", "2017-02-20T19:17:54.646449"),
    "S20181230S0026": (OTHER, 300, "", "2018-12-30T02:40:06.346127"),
    "S20191214S0301": (DARK, 6, "", "2019-12-14T09:14:47.610147"),
    "S20220203S0019": (OTHER, 8, "", "2022-02-02T19:49:28.444406"),
}


@pytest.mark.parametrize("name", F2)
def test_a_real_header_of_flamingos_2_is_described_right(real_data, name):
    path = real_data / "headers" / "f2" / f"{name}.fits.header"
    if not path.is_file():
        pytest.skip("no headers of FLAMINGOS-2 beside the checkout")
    (info,) = Flamingos2().describe(text_headers(path))
    kind, exposure, band, time = F2[name]
    assert (info.kind, info.band, info.binning, info.shape) == (kind, band, (1, 1), (2048, 2048))
    assert info.exposure == exposure * u.s
    assert abs((info.mid_time - Time(time, scale="utc")).to_value(u.ms)) < 1


def test_all_real_headers_of_flamingos_2_are_in_the_table(real_data):
    found = {path.name.partition(".")[0] for path in (real_data / "headers" / "f2").glob("*.header")}
    if not found:
        pytest.skip("no headers of FLAMINGOS-2 beside the checkout")
    assert found == set(F2)


# -- LRIS --------------------------------------------------------------------------------------------------------


class LrisRed(Instrument):
    """The red side of LRIS at Keck, of which the headers tell the taps that read it, and where their pixels are."""

    name = "LRISRED"
    keywords = HeaderKeywords(
        exposure=Keyword("EXPTIME", u.s),
        binning=Compound(("BINFAC1", "BINFAC2"), lambda x, y: (x, y), lambda binning: binning.split("x")),
    )
    kinds = (Rule(SCIENCE, Always()),)
    cameras = (A_CAMERA,)
    site = EarthLocation.from_geodetic(lon=-155.478 * u.deg, lat=19.828 * u.deg, height=4160 * u.m)

    def mid_time(self, header, exposure):
        return Time(header["DATE-OBS"], scale="utc") + exposure / 2

    def amplifiers_in(self, header, camera):
        """One for each DSECn, at the first column and row of CSECn; the parts of the file are not turned."""
        numbers = [n for n in range(4) if f"DSEC{n}" in header]
        return tuple(self._amplifier(header, n) for n in numbers)

    def _amplifier(self, header, number):
        binning = self.binning_of(header)
        first = [min(part) for part in ranges(header[f"CSEC{number}"])]
        overscan = [
            (min(part) * n - n + 1, max(part) * n)
            for part, n in zip(ranges(header[f"BSEC{number}"]), binning, strict=True)
        ]
        return Amplifier(
            hdu=0,
            x0=(first[0] - 1) // binning[0] * binning[0],
            y0=(first[1] - 1) // binning[1] * binning[1],
            data_section=Keyword(f"DSEC{number}"),
            overscan_section="[{}:{},{}:{}]".format(*overscan[0], *overscan[1]),  # in unbinned pixels
        )


def ranges(section):
    """First and last number along each axis of a section, as written, without the step."""
    return [tuple(int(n) for n in part.split(":")[:2]) for part in section.strip("[]").split(",")]


# Binning; the size of the image without overscan, columns and rows of the file; data and overscan of each amplifier,
# from 0 to 3: by hand from DSECn and BSECn, which run backwards where the tap reads from the other side.
LRIS = {
    "L1U1_2_1": (
        (2, 1),
        (2056, 4128),
        [("[5:1032,61:4188]", "[1033:1104,61:4188]"), ("[1177:2204,61:4188]", "[1105:1176,61:4188]")],
    ),
    "L2L1_1_1": (
        (1, 1),
        (4114, 4128),
        [("[8:4121,2185:4248]", "[4122:4174,2185:4248]"), ("[8:4121,1:2064]", "[4122:4174,1:2064]")],
    ),
    "L2U2L1U1_1_1": (
        (1, 1),
        (4114, 4128),
        [
            ("[8:2064,2185:4248]", "[2065:2117,2185:4248]"),
            ("[8:2064,1:2064]", "[2065:2117,1:2064]"),
            ("[2171:4227,2185:4248]", "[2118:2170,2185:4248]"),
            ("[2171:4227,1:2064]", "[2118:2170,1:2064]"),
        ],
    ),
    "L2U2L1U1_2_2": (
        (2, 2),
        (2056, 2064),
        [
            ("[5:1032,1153:2184]", "[1033:1104,1153:2184]"),
            ("[5:1032,1:1032]", "[1033:1104,1:1032]"),
            ("[1177:2204,1153:2184]", "[1105:1176,1153:2184]"),
            ("[1177:2204,1:1032]", "[1105:1176,1:1032]"),
        ],
    ),
    "L2U2_1_1": (
        (1, 1),
        (4114, 4128),
        [("[8:2064,1:4128]", "[2065:2117,1:4128]"), ("[2171:4227,1:4128]", "[2118:2170,1:4128]")],
    ),
    "L2U2_2_2": (
        (2, 2),
        (2056, 2064),
        [("[5:1032,1:2064]", "[1033:1104,1:2064]"), ("[1177:2204,1:2064]", "[1105:1176,1:2064]")],
    ),
    "L2_1_2": ((1, 2), (4114, 2064), [("[8:4121,1:2064]", "[4122:4174,1:2064]")]),
    "U2U1_1_1": (
        (1, 1),
        (4114, 4128),
        [("[54:4167,2185:4248]", "[1:53,2185:4248]"), ("[54:4167,1:2064]", "[1:53,1:2064]")],
    ),
}


@pytest.mark.parametrize("name", LRIS)
def test_a_real_header_of_lris_is_laid_out_right(real_data, name):
    path = real_data / "headers" / "lris_red" / f"header{name}.txt"
    if not path.is_file():
        pytest.skip("no headers of LRIS beside the checkout")
    header, (binning, (columns, rows), sections) = text_headers(path), LRIS[name]
    whole = [int(n) for card in header if card.startswith("TSEC") for n in re.findall(r"\d+", header[card])]
    # the headers are of the sections alone: what a file has besides is put in
    wide, high = max(whole[0::4] + whole[1::4]), max(whole)
    cards = {"NAXIS": 2, "NAXIS1": wide, "NAXIS2": high, "EXPTIME": 60.0, "DATE-OBS": "2021-04-22T08:00:00"}
    header.hdus[0].update(cards)
    (info,) = LrisRed().describe(header)
    assert (info.binning, info.mid_time.isot) == (binning, "2021-04-22T08:00:30.000")
    layout = LrisRed().layout(header)
    assert layout.shape == (rows, columns)
    assert [(readout.data.fits(), readout.overscan.fits()) for readout in layout.readouts] == sections


# -- frames ------------------------------------------------------------------------------------------------------

# Number: filter, DATE-OBS, EXPTIME; UTSTOP - UTSTART is EXPTIME in all of them
LCO = {
    518: ("up", "18:50:14.281", 40.284),
    519: ("up", "18:51:05.446", 40.285),
    520: ("up", "18:51:56.044", 40.292),
    521: ("gp", "18:53:06.492", 10.279),
    522: ("gp", "18:53:28.171", 10.279),
    523: ("gp", "18:53:47.067", 10.285),
    524: ("rp", "18:54:37.606", 12.275),
    525: ("rp", "18:54:59.959", 12.281),
    526: ("rp", "18:55:22.138", 12.282),
    527: ("zs", "18:55:53.772", 14.289),
    528: ("zs", "18:56:17.080", 14.290),
    529: ("zs", "18:56:39.542", 14.288),
}


def test_real_frames_of_lco_are_described_right(real_data):
    files = sorted((real_data / "lco").glob("*.fits.fz"))
    if not files:
        pytest.skip("no frames of LCO beside the checkout")
    assert [int(path.name.split("-")[3]) for path in files] == list(LCO)
    for path, (band, start, exposure) in zip(files, LCO.values(), strict=True):
        (info,) = AnyCamera().describe(read_header(path))
        assert (info.kind, info.target, info.band, info.binning) == (SCIENCE, "PDS 110", band, (2, 2))
        assert (info.exposure, info.shape) == (exposure * u.s, (1020, 1523))
        middle = Time(f"2017-08-19T{start}", scale="utc") + exposure / 2 * u.s
        assert abs((info.mid_time - middle).to_value(u.ms)) < 1


# UT = 03:02:49.000 in all three, 5 s, 2x2
@pytest.mark.parametrize(("number", "camera", "band"), [(1, "C1", "g"), (2, "C2", "r"), (3, "C3", "z")])
def test_real_frames_of_opticam_are_described_right(real_data, number, camera, band):
    path = real_data / "opticam" / f"get_last_c{number}.fit"
    if not path.is_file():
        pytest.skip("no frames of OPTICAM beside the checkout")
    (info,) = Opticam().describe(read_header(path))
    assert (info.kind, info.camera, info.band, info.binning) == (SCIENCE, camera, band, (2, 2))
    assert (info.exposure, info.shape) == (5 * u.s, (1024, 1024))
    assert info.mid_time.isot == "2023-11-22T03:02:51.500"


class Lowell(AnyCamera):
    """The 42-inch of the Lowell Observatory, with the common words instead of its own."""

    name = "LOWELL"
    keywords = HeaderKeywords(
        exposure=Keyword("EXPTIME", u.s),
        band=Keyword("FILTNAME"),
        target=Keyword("OBJECT"),
        binning=Keyword("CCDSUM"),
    )
    kinds = COMMON_KINDS

    def mid_time(self, header, exposure):
        return Time(f"{header['DATE-OBS']}T{header['UTCSTART']}", scale="utc") + exposure / 2


# Of each folder: kind, and file, filter, UTCSTART, exposure
HALL42 = {
    "zero": (
        BIAS,
        [
            (n, "", t, 0)
            for n, t in [(1, "01:04:25.00"), (2, "01:04:34.01"), (5, "01:05:01.16"), (7, "01:05:19.21")]
        ],
    ),
    "flat": (
        FLAT,
        [
            (100, "V", "02:02:50.58", 2.7),
            (101, "VR", "02:03:35.99", 2.7),
            (110, "VR", "02:05:40.29", 3.3),
            (115, "VR", "02:07:01.94", 4.5),
        ],
    ),
    "5945": (
        SCIENCE,
        [(126, "VR", "02:27:31.13", 300), (156, "VR", "05:02:02.00", 300), (183, "VR", "07:21:13.84", 300)],
    ),
}


@pytest.mark.parametrize("folder", HALL42)
def test_real_frames_of_the_lowell_42_inch_are_described_right(real_data, folder):
    where = real_data / "hall42" / folder
    if not where.is_dir():
        pytest.skip("no frames of the Lowell 42-inch beside the checkout")
    kind, frames = HALL42[folder]
    assert {Lowell().describe(read_header(path))[0].kind for path in where.glob("*.fits")} == {kind}
    for number, band, start, exposure in frames:
        (info,) = Lowell().describe(read_header(where / f"20190326.{number:04d}.fits"))
        assert (info.band, info.binning, info.exposure) == (band, (3, 3), exposure * u.s)
        middle = Time(f"2019-03-26T{start}", scale="utc") + exposure / 2 * u.s
        assert abs((info.mid_time - middle).to_value(u.ms)) < 1
