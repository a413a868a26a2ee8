from dataclasses import dataclass, field, replace
from itertools import combinations, product

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from headers import make_header, text_headers

import potpyri_like as pl
from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind, MaskBit
from potpyri_like.imaging import Piece, assemble, parse_section
from potpyri_like.instruments import camera_named, pixel_scale, site_of
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.night.fitting import fits_settings
from potpyri_like.night.night import is_flat_of, serving
from potpyri_like.store.header import RawHeader
from potpyri_like.testing import NightPlan
from potpyri_like.testing.cards import raw_header
from potpyri_like.testing.simulate import a_frame

GMOS = Gmos()
PRIMARY = {
    "INSTRUME": "GMOS-N",
    "DETTYPE": "S10892-N",
    "OBSTYPE": "OBJECT",
    "OBSCLASS": "science",
    "OBJECT": "M51",
    "GRATING": "MIRROR",
    "MASKNAME": "None",
    "MASKTYP": 0,
    "FILTER1": "open1-6",
    "FILTER2": "r_G0303",
    "SHUTTER": "OPEN",
    "EXPTIME": 60.0,
    "DATE-OBS": "2020-02-16",
    "TIME-OBS": "14:13:19.9",
    "UTSTART": "14:13:19.9",
    "RAWGEMQA": "USABLE",
    "FRAME": "FK5",
    "RA": 202.48,
    "DEC": 47.2,
}


def frame_of(camera, *, binning=(2, 2), size=(512, 200), **cards):
    """The header of a frame of any generation, from the declaration read backwards."""
    header = raw_header(
        GMOS,
        a_frame(
            FrameKind.SCIENCE,
            camera_named(GMOS, camera),
            band="r",
            target="M51",
            exposure=60.0,
            binning=binning,
        ),
        size=size,
    )
    header.hdus[0].update(cards)
    return header


def described(header):
    (info,) = GMOS.describe(header)
    return info


def primary(**cards):
    """A Hamamatsu frame with these primary cards."""
    header = frame_of("GMOS-N Ham")
    header.hdus[0].update(PRIMARY | cards)
    return header


@pytest.fixture
def real(real_data):
    """A real header by its name."""
    return lambda name: text_headers(real_data / "gmos_headers" / f"{name}.fits.header")


EEV_NORTH = ((2.04, 3.5), (2.32, 3.3), (2.19, 3.0))
EEV_SOUTH = ((2.0, 3.2), (1.9, 3.5), (1.9, 3.1))
E2V = ((2.04, 3.5), (2.14, 3.5), (2.32, 3.3), (2.22, 3.5), (2.19, 3.0), (2.18, 3.3))
OVERSCAN = {EEV_NORTH: "LLR", EEV_SOUTH: "RRL", E2V: "LRLRRL"}  # on which side of the data it is
COLUMNS = {EEV_NORTH: (0, 2048, 4096), EEV_SOUTH: (0, 2048, 4096), E2V: (1024, 0, 3072, 2048, 4096, 5120)}


@dataclass(frozen=True)
class Seen:
    """What a person reads in a real header, and in what words we say it."""

    name: str
    kind: str
    because: str
    camera: str
    band: str
    exposure: float
    middle: str
    binning: tuple
    amplifiers: tuple
    rows: tuple = ((1, 4608),)
    readout: str = ""
    cards: dict = field(default_factory=dict)

    def __str__(self):
        return self.name


NORTH, SOUTH = {"INSTRUME": "GMOS-N"}, {"INSTRUME": "GMOS-S", "DETTYPE": "SDSU II CCD"}
NORTH_EEV, NORTH_E2V = NORTH | {"DETTYPE": "SDSU II CCD"}, NORTH | {"DETTYPE": "SDSU II e2v DD CCD42-90"}
IMAGING = {"GRATING": "MIRROR", "MASKNAME": "None", "MASKTYP": 0, "SHUTTER": "OPEN", "FILTER1": "open1-6"}
REAL = (
    Seen(
        "N20030104S0161",
        "flat",
        "OBSTYPE is 'flat'",
        "GMOS-N EEV",
        "g",
        1.00210392475128,
        "2003-01-04T16:34:24.501",
        (2, 2),
        EEV_NORTH,
        cards=NORTH_EEV
        | IMAGING
        | {"OBSTYPE": "FLAT", "OBJECT": "Twilight", "FILTER2": "g_G0301", "UTEND": "16:34:25.0"}
        | {
            "DATE-OBS": "2003-01-04",
            "UTSTART": "16:34:24.0",
            "EXPTIME": 1.00210392475128,
            "GCALLAMP": "IRlow",
        },
    ),
    Seen(
        "N20030107S0163",
        "science",
        "OBSTYPE is 'object'",
        "GMOS-N EEV",
        "i",
        100.001399993896,
        "2003-01-07T14:31:50.701",
        (2, 2),
        EEV_NORTH,
        cards=NORTH_EEV
        | IMAGING
        | {"OBSTYPE": "OBJECT", "OBJECT": "NGC3379_field2", "FILTER2": "i_G0302", "UTEND": "14:32:40.7"}
        | {"DATE-OBS": "2003-01-07", "UTSTART": "14:31:00.7", "EXPTIME": 100.001399993896},
    ),
    Seen(
        "N20090313S0180",
        "flat",
        "OBSTYPE is 'flat'",
        "GMOS-N EEV",
        "r through GN2009AQ021-04",
        0.999710083007812,
        "2009-03-13T22:00:01.200",
        (1, 1),
        EEV_NORTH,
        cards=NORTH_EEV
        | IMAGING
        | {
            "OBSTYPE": "FLAT",
            "OBSCLASS": "dayCal",
            "MASKTYP": 1,
            "MASKNAME": "GN2009AQ021-04",
            "FILTER2": "r_G0303",
        }
        | {
            "DATE-OBS": "2009-03-13",
            "UTSTART": "22:00:00.7",
            "UTEND": "22:00:01.7",
            "EXPTIME": 0.999710083007812,
        },
    ),
    Seen(
        "N20150216S0142",
        "science",
        "OBSTYPE is 'object'",
        "GMOS-N e2v",
        "r",
        59.9990060329437,
        "2015-02-16T14:13:49.900",
        (2, 2),
        E2V,
        cards=NORTH_E2V
        | IMAGING
        | {
            "OBSTYPE": "OBJECT",
            "OBSCLASS": "science",
            "OBJECT": "M51F2",
            "FILTER2": "r_G0303",
            "NCCDS": 3,
            "NAMPS": 2,
        }
        | {
            "DATE-OBS": "2015-02-16",
            "UTSTART": "14:13:19.9",
            "UTEND": "14:14:19.9",
            "EXPTIME": 59.9990060329437,
        },
    ),
    Seen(
        "N20150217S0274",
        "bias",
        "OBSTYPE is 'bias'",
        "GMOS-N e2v",
        "",
        0.000518083572387695,
        "2015-02-17T17:02:08.000",
        (1, 1),
        E2V,
        cards=NORTH_E2V
        | {
            "OBSTYPE": "BIAS",
            "OBSCLASS": "dayCal",
            "GRATING": "B1200+_G5301",
            "MASKTYP": 1,
            "SHUTTER": "CLOSED",
        }
        | {"FILTER1": "open1-6", "FILTER2": "open2-8", "EXPTIME": 0.000518083572387695}
        | {"DATE-OBS": "2015-02-17", "UTSTART": "17:02:08.0", "UTEND": "17:02:08.0"},
    ),
    Seen(
        "N20150220S0320",
        "other",
        "an arc lamp",
        "GMOS-N e2v",
        "",
        19.9992311000824,
        "2015-02-20T19:36:07.400",
        (2, 2),
        E2V,
        rows=((79, 446), (1807, 2818), (3801, 4174)),
        cards=NORTH_E2V
        | IMAGING
        | {
            "OBSTYPE": "ARC",
            "OBSCLASS": "dayCal",
            "OBJECT": "CuAr",
            "MASKTYP": 1,
            "FILTER2": "r_G0303",
            "DETNROI": 3,
        }
        | {
            "DATE-OBS": "2015-02-20",
            "UTSTART": "19:35:57.4",
            "UTEND": "19:36:17.4",
            "EXPTIME": 19.9992311000824,
        },
    ),
    Seen(
        "S20060101S0075",
        "other",
        "a spectrum",
        "GMOS-S EEV",
        "",
        2000.45237588882,
        "2006-01-01T06:02:03.326",
        (2, 1),
        EEV_SOUTH,
        cards=SOUTH
        | IMAGING
        | {
            "OBSTYPE": "OBJECT",
            "OBSCLASS": "science",
            "GRATING": "B600+_G5323",
            "MASKTYP": -1,
            "FILTER2": "g_G0325",
        }
        | {
            "DATE-OBS": "2006-01-01",
            "UTSTART": "05:45:23.10",
            "UTEND": "06:18:44.4",
            "EXPTIME": 2000.45237588882,
        },
    ),
    Seen(
        "S20090620S0145",
        "dark",
        "OBSTYPE is 'dark'",
        "GMOS-S EEV",
        "",
        2879.97321152687,
        "2009-06-20T06:01:16.500",  # nod and shuffle took 3173.2 s: the middle between UTSTART and UTEND
        (2, 2),
        EEV_SOUTH,
        readout=", shuffled",
        cards=SOUTH
        | IMAGING
        | {
            "OBSTYPE": "DARK",
            "OBSCLASS": "dayCal",
            "GRATING": "R400+_G5325",
            "MASKTYP": -1,
            "SHUTTER": "CLOSED",
        }
        | {"FILTER2": "z_G0328", "NODPIX": 42, "UTEND": "06:27:43.1", "EXPTIME": 2879.97321152687}
        | {"DATE-OBS": "2009-06-20", "UTSTART": "05:34:49.9"},
    ),
)


def made(seen):
    """The essence of a real header."""
    wide, high = seen.binning
    chip, columns = 2048 // (len(seen.amplifiers) // 3), COLUMNS[seen.amplifiers]
    amplifiers = []
    for (first, last), (number, (gain, noise)) in product(seen.rows, enumerate(seen.amplifiers)):
        rows, pixels = (last - first + 1) // high, chip // wide
        data, bias = ((33, 1), (1, pixels + 1))[OVERSCAN[seen.amplifiers][number] == "R"]
        amplifiers.append(
            fits.Header(
                {
                    "NAXIS": 2,
                    "NAXIS1": pixels + 32,
                    "NAXIS2": rows,
                    "EXTNAME": "SCI",
                    "CCDSUM": f"{wide} {high}",
                }
                | {"GAIN": gain, "RDNOISE": noise, "DATASEC": f"[{data}:{data + pixels - 1},1:{rows}]"}
                | {"BIASSEC": f"[{bias}:{bias + 31},1:{rows}]"}
                | {"DETSEC": f"[{columns[number] + 1}:{columns[number] + chip},{first}:{last}]"}
            )
        )
    return make_header(seen.cards, extensions=amplifiers)


class TestRealHeaders:
    @pytest.fixture(params=["real", "made"])
    def header_of(self, request):
        """The header that a person read: the real one where it is there, and what matters of it."""
        if request.param == "made":
            return made
        return lambda seen: request.getfixturevalue("real")(seen.name)

    @pytest.mark.parametrize("seen", REAL, ids=str)
    def test_it_is_described_as_a_person_reads_it(self, header_of, seen):
        header = header_of(seen)
        info = described(header)
        assert (info.kind, info.camera, info.band, info.binning) == (
            seen.kind,
            seen.camera,
            seen.band,
            seen.binning,
        )
        assert seen.because in info.decided_by
        assert info.exposure.to_value(u.s) == seen.exposure
        assert info.mid_time.isot == seen.middle
        assert info.gain_setting == "low"
        number = len(seen.amplifiers) // 3
        assert info.readout == f"{number} amplifier{'s' * (number > 1)} a chip{seen.readout}"
        assert not [note for note in info.notes if note.startswith(("file:", "saturation:"))]

    @pytest.mark.parametrize("seen", REAL, ids=str)
    def test_its_amplifiers_are_those_that_a_person_reads(self, header_of, seen):
        wide, high = seen.binning
        layout = GMOS.layout(header_of(seen))
        expected = [amplifier for _ in seen.rows for amplifier in seen.amplifiers]
        assert [(round(r.gain, 2), round(r.read_noise, 1)) for r in layout.readouts] == expected
        columns = COLUMNS[seen.amplifiers] * len(seen.rows)
        gap = 37 // wide
        lows = [first - 1 for first, _ in seen.rows for _ in seen.amplifiers]
        for readout, column, low, side in zip(
            layout.readouts, columns, lows, OVERSCAN[seen.amplifiers] * len(seen.rows), strict=True
        ):
            assert readout.x0 == column // wide + column // 2048 * gap
            assert readout.y0 == low // high - (seen.rows[0][0] - 1) // high
            assert readout.overscan.shape == (readout.data.shape[0], 32)
            assert (readout.overscan.x1 <= readout.data.x0) == (side == "L")
            assert readout.data.shape[1] == 2048 // (len(seen.amplifiers) // 3) // wide
            assert readout.saturation == 65535

    def test_what_was_imaged(self, real):
        info = described(real("N20150216S0142"))
        assert info.target == "M51F2"
        assert info.pointing.ra.deg == pytest.approx(202.48845833)
        assert info.pointing.dec.deg == pytest.approx(47.20578333)
        assert pixel_scale(GMOS, info) == pytest.approx(2 * 0.0728)

    def test_azimuth_and_elevation_are_no_coordinates(self, real):
        for name in ("N20090313S0180", "N20150217S0274", "S20090620S0145"):
            assert described(real(name)).pointing is None

    def test_a_flat_through_a_mask_serves_no_open_field(self, real):
        assert described(real("N20090313S0180")).band != described(frame_of("GMOS-N EEV")).band

    def test_a_dark_with_shuffled_charge_serves_no_other(self, real):
        dark = real("S20090620S0145")
        plain = real("S20090620S0145")
        plain.hdus[0].remove("NODPIX")
        assert described(dark).readout != described(plain).readout

    @pytest.mark.parametrize(
        ("name", "amplifiers", "shape", "columns"),
        [
            ("N20030107S0163", 3, (2304, 3 * 1024 + 2 * 18), [0, 1042, 2084]),
            ("N20090313S0180", 3, (4608, 6144 + 2 * 37), [0, 2085, 4170]),
            ("N20150217S0274", 6, (4608, 6144 + 2 * 37), [1024, 0, 3109, 2085, 4170, 5194]),
            ("N20150216S0142", 6, (2304, 3 * 1024 + 2 * 18), [512, 0, 1554, 1042, 2084, 2596]),
            ("S20060101S0075", 3, (4608, 3 * 1024 + 2 * 18), [0, 1042, 2084]),
        ],
    )
    def test_the_amplifiers_come_to_lie_where_detsec_says(self, real, name, amplifiers, shape, columns):
        layout = GMOS.layout(real(name))
        assert len(layout.readouts) == amplifiers
        assert layout.shape == shape
        assert [readout.x0 for readout in layout.readouts] == columns
        assert {readout.y0 for readout in layout.readouts} == {0}
        assert layout.has_overscan

    def test_regions_of_interest_are_stacked_where_they_were_read(self, real):
        layout = GMOS.layout(real("N20150220S0320"))
        assert len(layout.readouts) == 18
        # rows 79:446, 1807:2818 and 3801:4174 of the detector, by twos, from the lowest on
        rows = {(readout.y0, readout.y0 + readout.data.shape[0]) for readout in layout.readouts}
        assert rows == {(0, 184), (864, 1370), (1861, 2048)}
        assert layout.shape == (2048, 3108)

    def test_each_amplifier_has_its_own_gain_and_read_noise(self, real):
        readouts = GMOS.layout(real("N20150216S0142")).readouts
        assert [round(r.gain, 2) for r in readouts] == [2.04, 2.14, 2.32, 2.22, 2.19, 2.18]
        assert [round(r.read_noise, 1) for r in readouts] == [3.5, 3.5, 3.3, 3.5, 3.0, 3.3]

    def test_the_regions_are_part_of_what_calibrations_must_share(self, real):
        stacked, full = described(real("N20150220S0320")), described(real("N20150216S0142"))
        assert stacked.readout == full.readout == "2 amplifiers a chip"
        assert full.window == (0, 0, 3108, 2304)
        assert stacked.window == (0, 39, 3108, 2048)
        full, stacked = replace(full, kind=FrameKind.BIAS), replace(stacked, kind=FrameKind.SCIENCE)
        assert serving(full, stacked).cut == (0, 39, 3108, 2048)
        assert serving(stacked, full) is None


class TestGenerations:
    """Every generation, synthesised from the declaration."""

    CASES = [
        ("GMOS-N EEV", 3, 37),
        ("GMOS-N e2v", 6, 37),
        ("GMOS-N Ham", 12, 67),
        ("GMOS-S EEV", 3, 37),
        ("GMOS-S Ham", 12, 61),
    ]

    @pytest.mark.parametrize(("camera", "amplifiers", "gap"), CASES)
    @pytest.mark.parametrize("binning", [(1, 1), (2, 2), (4, 4), (2, 1)])
    def test_chips_are_set_apart_by_the_gap_of_their_generation(self, camera, amplifiers, gap, binning):
        header = frame_of(camera, binning=binning)
        layout = GMOS.layout(header)
        assert len(layout.readouts) == amplifiers
        assert layout.shape[1] == 6144 // binning[0] + 2 * (gap // binning[0])
        assert described(header).camera == camera

    @pytest.mark.parametrize(("camera", "amplifiers", "gap"), CASES)
    def test_positions_agree_with_detsec_and_nothing_overlaps(self, camera, amplifiers, gap):
        header = frame_of(camera, binning=(2, 2))
        layout = GMOS.layout(header)
        for readout in layout.readouts:
            detector = parse_section(header.hdus[readout.hdu]["DETSEC"])
            chip = detector.x0 // 2048
            assert readout.x0 == detector.x0 // 2 + chip * (gap // 2)
            assert readout.data.shape[1] * 2 == detector.x1 - detector.x0
        for one, other in combinations(layout.readouts, 2):
            assert one.x0 + one.data.shape[1] <= other.x0 or other.x0 + other.data.shape[1] <= one.x0
        assert sum(r.data.shape[0] * r.data.shape[1] for r in layout.readouts) == layout.shape[0] * 3072

    def test_north_and_south_stand_where_they_stand(self):
        assert site_of(GMOS, "GMOS-N Ham").lat.deg == pytest.approx(19.824, abs=0.001)
        assert site_of(GMOS, "GMOS-S Ham").lat.deg == pytest.approx(-30.241, abs=0.001)
        assert site_of(GMOS, "GMOS-S Ham").height.to_value(u.m) == pytest.approx(2722)

    def test_one_chip_of_four_amplifiers_is_an_image_of_its_own(self):
        whole = frame_of("GMOS-S Ham")
        header = RawHeader(whole.path, (whole.hdus[0], *whole.hdus[5:9]), whole.inside)
        layout = GMOS.layout(header)
        assert layout.shape[1] == 1024
        assert [readout.x0 for readout in layout.readouts] == [0, 256, 512, 768]
        assert described(header).window == (1024 + 30, 956, 1024, 200)
        assert serving(described(header), described(whole)) is None
        assert serving(described(whole), described(header)).cut == (1024 + 30, 0, 1024, 200)

    def test_a_coded_image_is_assembled_in_the_order_of_the_sky(self):
        """Each pixel holds its own column on the detector; the gaps are bad."""
        header = frame_of("GMOS-N e2v", binning=(2, 2))
        layout = GMOS.layout(header)
        pieces = []
        for readout in layout.readouts:
            own = header.hdus[readout.hdu]
            raw = np.full((own["NAXIS2"], own["NAXIS1"]), -1.0)
            detector = parse_section(own["DETSEC"])
            raw[readout.data.slices] = np.arange(detector.x0, detector.x1, 2)
            pieces.append(Piece(raw[readout.data.slices], gain=1, read_noise=1, x0=readout.x0, y0=readout.y0))
        image = assemble(pieces, shape=layout.shape)
        good = image.mask[0] == 0
        assert np.array_equal(image.data[0][good], np.arange(0, 6144, 2))
        assert np.flatnonzero(~good).tolist() == [*range(1024, 1042), *range(2066, 2084)]
        assert set(image.mask[0][~good]) == {MaskBit.BAD}


def test_each_card_that_a_camera_declares_is_the_one_that_is_read():
    """The same files with other names for their cards, and a declaration that says so."""
    names = {"GAIN": "EGAIN", "RDNOISE": "RON", "DATASEC": "TRIMSEC", "BIASSEC": "OVERSEC"}
    header = frame_of("GMOS-N Ham")
    renamed = replace(header, hdus=tuple(fits.Header(hdu, copy=True) for hdu in header.hdus))
    for hdu, (old, new) in product(renamed.hdus[1:], names.items()):
        hdu.rename_keyword(old, new)
    camera = camera_named(GMOS, "GMOS-N Ham")
    fields = ("gain", "read_noise", "data_section", "overscan_section")
    cards = {field: getattr(camera, field) for field in fields}
    other = replace(camera, **{f: replace(card, card=names[card.card]) for f, card in cards.items()})
    assert GMOS.layout(renamed, other) == GMOS.layout(header)
    assert len({readout.gain for readout in GMOS.layout(header).readouts}) == 12


class TestKind:
    @pytest.mark.parametrize(
        ("cards", "kind", "because"),
        [
            ({}, "science", "OBSTYPE is 'object'"),
            ({"OBSCLASS": "partnerCal", "OBJECT": "PG1323-086"}, "science", ""),
            ({"OBSCLASS": "dayCal", "OBJECT": "Twilight"}, "flat", "OBJECT matches"),
            (
                {"OBSCLASS": "dayCal", "OBJECT": "GCALflat"},
                "other",
                "a daytime calibration, not an image of the sky",
            ),
            ({"OBSCLASS": "dayCal", "OBSTYPE": "FLAT", "OBJECT": "GCALflat"}, "flat", ""),
            ({"OBSCLASS": "dayCal", "OBSTYPE": "BIAS"}, "bias", ""),
            ({"OBSCLASS": "progCal"}, "science", ""),
            ({"GCALLAMP": "QH", "OBJECT": "GCALflat"}, "other", "the light of a calibration lamp"),
            ({"GCALLAMP": "Off"}, "science", ""),
            ({"OBSTYPE": "FLAT", "OBJECT": "GCALflat"}, "flat", ""),
            ({"OBSTYPE": "BIAS", "SHUTTER": "CLOSED", "GRATING": "B600"}, "bias", ""),
            ({"OBSCLASS": "acq"}, "other", "an acquisition"),
            ({"MASKTYP": 1, "MASKNAME": "GN2020A-01"}, "other", "through a mask"),
            ({"MASKTYP": -1, "MASKNAME": "IFU-2"}, "other", "the IFU"),
            ({"MASKTYP": 0.0}, "science", ""),
            ({"MASKTYP": "0"}, "science", ""),
            ({"GRATING": "R400+_G5305"}, "other", "a spectrum"),
            ({"SHUTTER": "CLOSED"}, "other", "shutter"),
            ({"RAWGEMQA": "FAIL"}, "other", "quality"),
            ({"RAWGEMQA": "FAIL", "OBSTYPE": "BIAS"}, "other", "quality"),
            ({"OBSTYPE": "MASK"}, "other", "neither image"),
            ({"OBJECT": "the twilight zone"}, "science", ""),
        ],
    )
    def test_the_first_rule_that_applies_decides_and_is_told(self, cards, kind, because):
        info = described(primary(**cards))
        assert info.kind == kind
        assert because in info.decided_by

    @pytest.mark.parametrize("card", ["OBSCLASS", "SHUTTER", "RAWGEMQA", "MASKTYP"])
    def test_a_card_that_old_headers_lack_is_not_needed(self, card):
        header = primary()
        header.hdus[0].remove(card)
        assert described(header).kind is FrameKind.SCIENCE

    def test_a_header_without_a_type_is_rejected(self):
        header = primary()
        header.hdus[0].remove("OBSTYPE")
        with pytest.raises(HeaderError, match="no rule of GMOS says what kind"):
            described(header)


class TestBand:
    @pytest.mark.parametrize(
        ("first", "second", "band"),
        [
            ("open1-0", "g_G0301", "g"),
            ("g_G0325", "open2-8", "g"),
            ("open1-6", "open2-8", ""),
            ("GG455_G0305", "r_G0303", "GG455+r"),
            ("open1-6", "CaT_G0309", "CaT"),
        ],
    )
    def test_it_is_the_filter_of_either_wheel(self, first, second, band):
        assert described(primary(FILTER1=first, FILTER2=second)).band == band

    def test_a_frame_without_a_filter_has_flats_without_one(self):
        """Both wheels are open: the flats of another band do not serve it."""
        frame = described(primary(FILTER1="open1-6", FILTER2="open2-8"))
        flat = described(primary(FILTER1="open1-6", FILTER2="open2-8", OBSTYPE="FLAT"))
        other = described(primary(OBSTYPE="FLAT"))
        assert serving(flat, frame) and is_flat_of(flat, frame)
        assert serving(other, frame) and not is_flat_of(other, frame)

    def test_north_and_south_have_the_same_bands(self):
        assert described(primary(FILTER2="r_G0326", INSTRUME="GMOS-S", DETTYPE="S10892")).band == "r"


@pytest.mark.slow
def test_a_night_of_frames_that_each_lack_something(tmp_path):
    """No time; no BIASSEC; an amplifier fewer; a bias of other rows, a bias without GAIN: each is right, or named."""
    plan = {
        "size": (128, 128),
        "binning": (4, 4),
        "bands": ("R",),
        "stars": 40,
        "exposure": 3.0,
        "flip": None,
    }
    pl.simulate(
        "GMOS", tmp_path, NightPlan(cameras=("GMOS-N EEV",), frames=5, hours=0.3, flats=2, darks=0, **plan)
    )

    def edit(number, change, kind="R"):
        (path,) = tmp_path.glob(f"*_EEV_{kind}_{number:04d}.fits")
        with fits.open(path, lazy_load_hdus=False) as hdus:
            [hdu.data for hdu in hdus]
            change(hdus)
            hdus.writeto(path, overwrite=True)

    def without_overscan(hdus):
        del hdus[2].header["BIASSEC"]
        hdus[3].header["BIASSEC"] = "[0:0,0:0]"

    def other_rows(hdus):
        for hdu in hdus[1:]:
            hdu.header["DETSEC"] = hdu.header["DETSEC"].partition(",")[0] + ",1:512]"

    edit(2, lambda hdus: [hdus[0].header.remove(card) for card in ("UTSTART", "TIME-OBS")])
    edit(3, without_overscan)
    edit(4, lambda hdus: hdus.pop(3))
    edit(1, other_rows, "bias")
    edit(2, lambda hdus: [hdu.header.remove("GAIN") for hdu in hdus[1:]], "bias")
    options = {"recipe": "timeseries", "target_xy": "700,64", "fit": "none", "jobs": 1, "animation": "no"}
    report = pl.reduce(tmp_path, "GMOS", **options).report
    (result,) = report.sets
    assert [label[-9:-5] for label in result.series.frames] == ["0001", "0003", "0004", "0005"]
    bias = result.masters.bias
    assert [name[-9:-5] for name in bias.inputs] == ["0002", "0003", "0004", "0005", "0006", "0007"]
    said = {problem.what[-9:-5]: problem.why for problem in report.all_problems if "_R_0" in problem.what}
    assert said["0003"].startswith("no BIASSEC in HDU 2, 3, as its other amplifiers have: the level there")
    assert said["0004"].startswith(
        "only 2 of 3 amplifiers are in it: columns 1043:1554, rows 1:128 of the image"
    )
    (rejected,) = report.night.rejected
    assert "no UTSTART and no TIME-OBS card" in rejected.reason
    sky = result.series.sky  # the level wanders by 1 adu from frame to frame, and is some 1000
    assert np.nanmedian(np.abs(sky[1] - np.median(sky[[0, 3]], axis=0))) < 5 * 1.7
    lost = result.series.reference_xy[:, 0] > 1060
    assert lost.any() and np.isnan(result.series.flux[2][lost]).all()
    assert np.isfinite(result.series.flux[2][~lost][:, 5]).mean() > 0.8


class TestNodAndShuffle:
    """UTEND - UTSTART beyond EXPTIME."""

    CARDS = {"UTSTART": "23:50:00.0", "UTEND": "00:24:30.0", "EXPTIME": 1800.0}

    def test_the_time_is_the_middle_and_a_doubt(self):
        info = described(primary(**self.CARDS))
        assert info.mid_time.isot == "2020-02-17T00:07:15.000"
        (note,) = info.notes
        assert note == (
            "time: UTSTART = '23:50:00.0' and UTEND = '00:24:30.0' are 2070.0 s apart, for an exposure of 1800.0 s (the"
            " shutter was closed in between, as in nod and shuffle); the middle between them is taken"
        )
        shuffled = described(primary(**self.CARDS, NODPIX=42))
        assert "1800.0 s (nod and shuffle)" in shuffled.notes[0]
        assert shuffled.readout != info.readout

    @pytest.mark.parametrize("end", ["14:14:19.9", "14:14:20.4", "14:14:22.0", "", "14:13:50.0"])
    def test_an_exposure_that_ends_when_it_should_is_not_doubted(self, end):
        info = described(primary(UTEND=end))
        assert info.mid_time.isot == "2020-02-16T14:13:49.900"
        assert not info.notes


class TestMissing:
    def test_an_unknown_detector_is_rejected_with_what_was_found(self):
        with pytest.raises(HeaderError, match=r"GMOS-N EEV.*DETTYPE: CCD47"):
            described(primary(DETTYPE="CCD47"))

    @pytest.mark.parametrize("card", ["DETSEC", "DATASEC"])
    def test_an_amplifier_without_its_section_is_named(self, card):
        header = frame_of("GMOS-N EEV")
        header.hdus[2].remove(card)
        with pytest.raises(HeaderError, match=rf"\.fits: no {card} card in HDU 2"):
            GMOS.layout(header)

    def test_a_gain_that_had_to_be_assumed_is_told(self):
        header = frame_of("GMOS-N EEV")
        header.hdus[3].remove("GAIN")
        assert GMOS.layout(header).readouts[2].gain == 1.63
        assert "file: no GAIN in HDU 3: 1.63 electron / adu assumed" in described(header).notes
        assert not described(frame_of("GMOS-N EEV")).notes

    def test_a_frame_without_any_gain_is_of_either_mode(self):
        low, high, none = (
            frame_of("GMOS-N EEV"),
            frame_of("GMOS-N EEV"),
            frame_of("GMOS-N EEV", OBSTYPE="BIAS"),
        )
        for hdu in (*high.hdus[1:],):
            hdu["GAIN"] = 4.9
        for hdu in none.hdus[1:]:
            hdu.remove("GAIN")
        low, high, none = map(described, (low, high, none))
        assert [info.gain_setting for info in (low, high, none)] == ["low", "high", ""]
        assert fits_settings(none, low) and fits_settings(none, high) and not fits_settings(low, high)
        assert none.notes == (
            "no GAIN in HDU 1, 2, 3: 1.63 electron / adu assumed",
        )  # of a bias, not on the screen

    def test_fewer_images_than_announced_are_said(self):
        header = frame_of("GMOS-N e2v", NCCDS=3, NAMPS=2, DETNROI=1)
        assert not described(header).notes
        lost = RawHeader(header.path, header.hdus[:-1], header.inside)
        assert described(lost).notes == (
            "file: 5 images, whereas NCCDS, NAMPS and DETNROI announce 6: amplifiers are missing in it",
        )

    def test_a_section_that_leaves_its_image_is_rejected(self):
        header = frame_of("GMOS-N EEV")
        header.hdus[2]["DATASEC"] = "[33:2081,1:512]"
        with pytest.raises(HeaderError, match=r"\.fits: the data section \[33:2081,1:512\] leaves the image"):
            GMOS.layout(header)

    def test_without_utstart_the_time_is_time_obs(self):
        header = primary()
        header.hdus[0].remove("UTSTART")
        assert described(header).mid_time.isot == "2020-02-16T14:13:49.900"
        header.hdus[0].remove("TIME-OBS")
        with pytest.raises(HeaderError, match="no UTSTART and no TIME-OBS card"):
            described(header)

    def test_a_file_without_images_is_rejected(self):
        with pytest.raises(HeaderError, match="no image in it"):
            described(make_header(PRIMARY | {"CCDSUM": "2 2"}, extensions=[fits.Header({"NAXIS": 0})]))
