from dataclasses import replace
from itertools import combinations, product

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from headers import make_header, text_headers

from potpyri_like.errors import HeaderError
from potpyri_like.frame import FrameKind, MaskBit
from potpyri_like.imaging import Piece, assemble, parse_section
from potpyri_like.instruments import camera_named, pixel_scale, site_of
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.night.night import serving
from potpyri_like.store.header import RawHeader
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


class TestRealHeaders:
    @pytest.mark.parametrize(
        ("name", "kind", "camera", "band", "binning", "because"),
        [
            ("N20030104S0161", "flat", "GMOS-N EEV", "g", (2, 2), "OBSTYPE is 'flat'"),
            ("N20030107S0163", "science", "GMOS-N EEV", "i", (2, 2), "OBSTYPE is 'object'"),
            ("N20090313S0180", "flat", "GMOS-N EEV", "r through GN2009AQ021-04", (1, 1), "OBSTYPE is 'flat'"),
            ("N20150216S0142", "science", "GMOS-N e2v", "r", (2, 2), "OBSTYPE is 'object'"),
            ("N20150217S0274", "bias", "GMOS-N e2v", "", (1, 1), "OBSTYPE is 'bias'"),
            ("N20150220S0320", "other", "GMOS-N e2v", "", (2, 2), "an arc lamp"),
            ("S20060101S0075", "other", "GMOS-S EEV", "", (2, 1), "a spectrum"),
            ("S20090620S0145", "dark", "GMOS-S EEV", "", (2, 2), "OBSTYPE is 'dark'"),
        ],
    )
    def test_it_is_classified(self, real, name, kind, camera, band, binning, because):
        info = described(real(name))
        assert (info.kind, info.camera, info.band, info.binning) == (kind, camera, band, binning)
        assert because in info.decided_by

    @pytest.mark.parametrize(
        ("name", "time"),
        [
            ("N20030104S0161", "2003-01-04T16:34:24.501"),
            ("N20030107S0163", "2003-01-07T14:31:50.701"),
            ("N20150216S0142", "2015-02-16T14:13:49.900"),
            ("S20060101S0075", "2006-01-01T06:02:03.326"),
        ],
    )
    def test_the_mid_time_is_utstart_and_half_the_exposure(self, real, name, time):
        assert described(real(name)).mid_time.isot == time

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

    def test_north_and_south_have_the_same_bands(self):
        assert described(primary(FILTER2="r_G0326", INSTRUME="GMOS-S", DETTYPE="S10892")).band == "r"


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
        with pytest.raises(HeaderError, match="TIME-OBS"):
            described(header)

    def test_a_file_without_images_is_rejected(self):
        with pytest.raises(HeaderError, match="no image in it"):
            described(make_header(PRIMARY | {"CCDSUM": "2 2"}, extensions=[fits.Header({"NAXIS": 0})]))
