from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta
from headers import make_header
from toy import Toy

from potpyri_like.errors import DeclarationError, HeaderError
from potpyri_like.frame import FrameKind, MaskBit
from potpyri_like.imaging import Piece, assemble
from potpyri_like.instruments import (
    Always,
    Amplifier,
    Calibration,
    Camera,
    Compound,
    HeaderKeywords,
    Instrument,
    Is,
    Keyword,
    PixelFilter,
    Rule,
    Simulated,
    SimulatedCamera,
    camera_named,
    image_hdus,
    pixel_scale,
    site_of,
    wcs_of,
)
from potpyri_like.testing.cards import blank_headers, cards_of

MAIN = Toy.cameras[0]
E_PER_ADU = u.electron / u.adu
CARDS = {
    "IMAGETYP": "Light",
    "EXPTIME": 30.0,
    "FILTER": "R",
    "OBJECT": "WASP-12",
    "DATE-OBS": "2025-02-23T03:02:49.123",
    "RA": "06:30:32.8",
    "DEC": "+29:40:20",
}


def frame(cards=None, **options):
    options = {"shape": (256, 288)} | options
    return make_header(CARDS | dict(cards or {}), **options)


def lacking(*names, **options):
    options = {"shape": (256, 288)} | options
    return make_header({n: v for n, v in CARDS.items() if n not in names}, **options)


def described(instrument, header, **wishes):
    (info,) = instrument.describe(header, **wishes)
    return info


def declare(**attributes):
    """A class like Toy, but for these attributes."""
    return type(Instrument)("Mine", (Toy,), attributes)


def camera(**changes):
    """Toy's camera, but for these attributes."""
    return replace(MAIN, **changes)


class TestDescription:
    def test_a_frame_is_described_in_our_words(self):
        info = described(Toy(), frame())
        assert (info.kind, info.camera, info.band, info.target) == ("science", "main", "R", "WASP-12")
        assert info.exposure == 30 * u.s
        assert info.mid_time.isot == "2025-02-23T03:03:04.123"
        assert info.binning == (1, 1)
        assert info.shape == (256, 288)
        assert info.pointing.separation(SkyCoord(97.63666667 * u.deg, 29.67222222 * u.deg)) < 0.1 * u.arcsec
        assert info.decided_by == "IMAGETYP is 'light'"

    def test_what_a_person_says_goes_before_the_header(self):
        info = described(Toy(), frame(), kind=FrameKind.FLAT, band="V")
        assert (info.kind, info.band, info.target) == ("flat", "V", "")
        assert info.decided_by == "edited by hand"
        assert described(Toy(), frame(), target="other").target == "other"

    def test_a_kind_that_a_person_confirms_is_still_decided_by_its_rule(self):
        assert described(Toy(), frame(), kind=FrameKind.SCIENCE).decided_by == "IMAGETYP is 'light'"

    def test_a_frame_of_no_kind_is_rejected_unless_a_person_names_it(self):
        header = frame({"IMAGETYP": "test"})
        with pytest.raises(HeaderError, match=r"frame\.fits: no rule of TOY .*IMAGETYP: test.*night\.ecsv"):
            described(Toy(), header)
        assert described(Toy(), header, kind=FrameKind.DARK).kind is FrameKind.DARK

    @pytest.mark.parametrize("card", ["EXPTIME", "DATE-OBS"])
    def test_a_missing_card_is_named_with_the_file(self, card):
        with pytest.raises(HeaderError, match=rf"frame\.fits: .*{card}.*the frame is rejected"):
            described(Toy(), lacking(card))

    def test_a_band_target_or_position_that_is_missing_is_empty(self):
        info = described(Toy(), lacking("FILTER", "OBJECT", "RA"))
        assert (info.band, info.target, info.pointing) == ("", "", None)

    @pytest.mark.parametrize(("kind", "exposure"), [("bias", 0.0), ("flat", np.nan)])
    def test_a_bias_or_a_flat_may_lack_its_exposure(self, kind, exposure):
        found = described(Toy(), make_header({"IMAGETYP": kind}, shape=(256, 288))).exposure
        assert found.to_value(u.s) == pytest.approx(exposure, nan_ok=True)

    def test_a_dark_needs_its_exposure(self):
        with pytest.raises(HeaderError, match="no EXPTIME card"):
            described(Toy(), make_header({"IMAGETYP": "dark"}, shape=(256, 288)))

    @pytest.mark.parametrize("value", [-1.0, "nan", "30 s"])
    def test_an_exposure_that_cannot_be_is_rejected(self, value):
        with pytest.raises(HeaderError, match=r"frame\.fits: .*EXPTIME"):
            described(Toy(), frame({"EXPTIME": value}))

    def test_an_exposure_in_other_units_becomes_seconds(self):
        keywords = replace(Toy.keywords, exposure=Keyword("EXPTIME", u.ms))
        assert described(declare(keywords=keywords)(), frame({"EXPTIME": 1500})).exposure == 1.5 * u.s

    @pytest.mark.parametrize(
        ("text", "binning"),
        [
            ("1x1", (1, 1)),
            ("2 2", (2, 2)),
            ("2,1", (2, 1)),
            ("3", (3, 3)),
            (4, (4, 4)),
            ("22", (2, 2)),
            (2.0, (2, 2)),
            ("1.0", (1, 1)),
            ("2.0x1.0", (2, 1)),
        ],
    )
    def test_a_binning_is_understood_in_the_forms_that_cameras_write(self, text, binning):
        toy = declare(keywords=replace(Toy.keywords, binning=Keyword("BINNING")))()
        assert described(toy, frame({"BINNING": text})).binning == binning

    def test_an_exposure_with_a_decimal_comma_is_read_and_noted(self):
        info = described(Toy(), frame({"EXPTIME": "60,5"}))
        assert info.exposure == 60.5 * u.s
        assert "exposure: EXPTIME = '60,5' is read as 60.5 s" in info.notes
        with pytest.raises(HeaderError, match=r"EXPTIME = '60,000' is not a number"):
            described(Toy(), frame({"EXPTIME": "60,000"}))

    @pytest.mark.parametrize("text", ["none", "0x2", "1x2x3", "-", "1.5"])
    def test_a_binning_that_cannot_be_is_rejected(self, text):
        toy = declare(keywords=replace(Toy.keywords, binning=Keyword("BINNING")))()
        with pytest.raises(HeaderError, match=rf"frame\.fits: a binning of '{text}'"):
            described(toy, frame({"BINNING": text}))

    def test_a_time_in_another_scale_is_told_in_utc(self):
        class Atomic(Toy):
            def mid_time(self, header, exposure):
                return Time(header["DATE-OBS"], scale="tai")

        assert described(Atomic(), frame()).mid_time.isot == "2025-02-23T03:02:12.123"  # 37 leap seconds

    @pytest.mark.parametrize("nonsense", [lambda s, h, e: None, lambda s, h, e: h["DATE-OBS"] + 1])
    def test_a_time_that_cannot_be_made_rejects_the_frame_and_not_the_night(self, nonsense):
        with pytest.raises(HeaderError, match=r"frame\.fits: no valid time"):
            described(declare(mid_time=nonsense)(), frame())

    def test_a_header_that_the_author_did_not_think_of_rejects_the_frame_and_not_the_night(self):
        class Split(Toy):
            def band_of(self, header, camera):
                return header["FILTER"].split("/")[1]

        with pytest.raises(HeaderError, match=r"frame\.fits: TOY cannot make sense .*IndexError") as error:
            described(Split(), frame())
        assert isinstance(error.value.__cause__, IndexError)

    @pytest.mark.parametrize(
        ("says", "step"), [(1.5, 1.5), (1.0, 1.0), (0.2, 1.0), ("none", 1.0), (None, 1.0)]
    )
    def test_planes_of_a_kinetic_series_are_a_cycle_apart(self, says, step):
        header = frame({"EXPTIME": 1.0, "KCT": says}, shape=(3, 256, 288))
        infos = Toy().describe(header)
        mjd = np.array([info.mid_time.mjd for info in infos])
        np.testing.assert_allclose(np.diff(mjd) * 86400, step, atol=1e-5)
        noted = [note for info in infos for note in info.notes if "KCT" in note]
        assert len(noted) == (3 if step == 1.5 else 0)

    def test_a_cube_is_taken_apart_with_a_time_for_each_plane(self):
        infos = Toy().describe(frame({"EXPTIME": 2.0}, shape=(3, 256, 288)))
        assert [info.plane for info in infos] == [0, 1, 2]
        assert [info.label for info in infos] == [f"frame.fits[{plane}]" for plane in range(3)]
        assert [info.mid_time.isot[17:] for info in infos] == ["50.123", "52.123", "54.123"]

    def test_filters_have_our_names(self):
        toy = declare(band_names={"Bessell R": "R"})()
        assert described(toy, frame({"FILTER": "Bessell R"})).band == "R"
        assert described(toy, frame({"FILTER": "V"})).band == "V"


class TestPointing:
    KEYWORDS = replace(
        Toy.keywords, ra=Keyword("RA", u.deg), dec=Keyword("DEC", u.deg), equinox=Keyword("EQ", u.yr)
    )

    def test_numbers_are_in_the_unit_declared(self):
        pointing = described(declare(keywords=self.KEYWORDS)(), frame({"RA": 97.6, "DEC": 29.6})).pointing
        assert (pointing.ra.deg, pointing.dec.deg) == pytest.approx((97.6, 29.6))

    def test_coordinates_of_another_equinox_are_precessed(self):
        """25 years of precession at 50.3 arcsec a year, seen on the ecliptic."""
        here = described(
            declare(keywords=self.KEYWORDS)(), frame({"RA": 90.0, "DEC": 23.4, "EQ": 2025.0})
        ).pointing
        assert here.separation(SkyCoord(90 * u.deg, 23.4 * u.deg)).arcsec == pytest.approx(
            25 * 50.3, rel=0.01
        )

    @pytest.mark.parametrize("cards", [{"EQ": 0.0}, {"DEC": 95.0}, {"RA": "east"}])
    def test_what_cannot_be_is_none(self, cards):
        assert (
            described(declare(keywords=self.KEYWORDS)(), frame({"RA": 90.0, "DEC": 23.4} | cards)).pointing
            is None
        )


class TestKeywords:
    def test_the_first_card_that_is_there_is_read(self):
        keyword = Keyword("EXPTIME", u.s, also=("EXPOSURE", "ITIME"))
        assert keyword.read(make_header({"ITIME": 3.0, "EXPOSURE": 2.0})) == 2 * u.s
        assert keyword.read(make_header({"ITIME": 3.0})) == 3 * u.s

    def test_all_names_are_told_when_none_is_there(self):
        with pytest.raises(HeaderError, match=r"frame\.fits: no EXPTIME or EXPOSURE card"):
            Keyword("EXPTIME", u.s, also=("EXPOSURE",)).read(make_header())

    def test_an_optional_card_may_be_absent(self):
        assert Keyword("A", optional=True).read(make_header()) is None

    def test_the_card_that_holds_no_number_is_named(self):
        with pytest.raises(HeaderError, match=r"frame\.fits: EXPOSURE = 'long' is not a number"):
            Keyword("EXPTIME", u.s, also=("EXPOSURE",)).read(make_header({"EXPOSURE": "long"}))

    def test_text_is_text_whatever_the_card_holds(self):
        assert Keyword("BIN").read(make_header({"BIN": 2})) == "2"

    def test_it_writes_what_it_reads(self):
        keyword = Keyword("EXPTIME", u.ms)
        assert keyword.read(make_header(keyword.write(2.5 * u.s))) == 2.5 * u.s

    FILTERS = Compound(
        ("FILT1", "FILT2"),
        lambda one, two: two if one == "open" else one,
        lambda band: ("open", band),
    )

    def test_a_quantity_of_several_cards_is_combined(self):
        toy = declare(keywords=replace(Toy.keywords, band=self.FILTERS))()
        assert described(toy, frame({"FILT1": "open", "FILT2": "i"})).band == "i"
        assert described(toy, frame({"FILT1": "g", "FILT2": "open"})).band == "g"

    def test_it_writes_all_of_its_cards(self):
        assert self.FILTERS.write("i") == {"FILT1": "open", "FILT2": "i"}
        assert self.FILTERS.read(make_header(self.FILTERS.write("i"))) == "i"

    def test_each_card_that_a_compound_lacks_is_named(self):
        with pytest.raises(HeaderError, match=r"frame\.fits: no FILT1 and no FILT2 card"):
            self.FILTERS.read(make_header())
        assert replace(self.FILTERS, optional=True).read(make_header({"FILT1": "g"})) is None

    @pytest.mark.parametrize(
        "combine",
        [
            lambda a, b: int(b),
            lambda a, b: a + b,
            lambda a, b: a.lower(),
            lambda a, b: b[3],
            lambda a, b: a / 0,
            lambda a, b: {}[b],
        ],
    )
    def test_values_that_do_not_combine_are_named(self, combine):
        compound = Compound(("A", "B"), combine, lambda value: (value, value))
        with pytest.raises(HeaderError, match=r"frame\.fits: A = 1\.5, B = 'x' cannot be combined"):
            compound.read(make_header({"A": 1.5, "B": "x"}))

    def test_an_exposure_of_two_cards_needs_a_unit(self):
        coadds = Compound(("ITIME", "COADDS"), lambda t, n: t * n * u.s, lambda e: (e.to_value(u.s), 1))
        toy = declare(keywords=replace(Toy.keywords, exposure=coadds))()
        assert described(toy, frame({"ITIME": 2.0, "COADDS": 5})).exposure == 10 * u.s
        bare = replace(coadds, combine=lambda t, n: t * n)
        toy = declare(keywords=replace(Toy.keywords, exposure=bare))()
        with pytest.raises(HeaderError, match="ITIME and COADDS"):
            described(toy, frame({"ITIME": 2.0, "COADDS": 5}))


class Twin(Toy):
    """Two cameras with a card, bands and folders of their own."""

    name = "TWIN"
    keywords = replace(
        Toy.keywords, camera=Keyword("DETECTOR", optional=True), binning=Keyword("BIN", optional=True)
    )
    cameras = (
        camera(name="blue", ids=("A12",), bands=("u", "g"), folder=r"(^|/)blue"),
        camera(
            name="red",
            ids=("B34", "B35"),
            bands=("r",),
            folder=r"(^|/)red",
            pixel_scale=0.5 * u.arcsec / u.pix,
            gain=2 * E_PER_ADU,
            site=EarthLocation.from_geodetic(lon=20 * u.deg, lat=45 * u.deg),
        ),
    )


class TestCameras:
    @pytest.mark.parametrize(
        ("cards", "inside", "name"),
        [
            ({"DETECTOR": "b34", "FILTER": "g"}, "blue/x.fits", "red"),
            ({"DETECTOR": "Red", "FILTER": "g"}, "x.fits", "red"),
            ({"FILTER": "u"}, "red/x.fits", "blue"),
            ({"DETECTOR": "C56", "FILTER": "r"}, "x.fits", "red"),
            ({"FILTER": ""}, "night/red/x.fits", "red"),
            ({"FILTER": "clear"}, "blue_1.fits", "blue"),
        ],
    )
    def test_the_card_goes_before_the_band_and_the_band_before_the_folder(self, cards, inside, name):
        assert described(Twin(), frame(cards, inside=inside)).camera == name

    @pytest.mark.parametrize("inside", ["x.fits", "blue/red.fits"])
    def test_one_that_cannot_be_told_is_rejected_with_what_was_looked_at(self, inside):
        with pytest.raises(HeaderError, match=r"\.fits: .*blue, red.*FILTER: clear; DETECTOR: absent"):
            described(Twin(), frame({"FILTER": "clear"}, inside=inside))

    def test_a_frame_that_a_person_gave_a_camera_is_laid_out_for_it(self):
        header = frame({"FILTER": "clear"})
        assert described(Twin(), header, camera="RED").camera == "red"
        assert Twin().layout(header, camera_named(Twin(), "red")).readouts[0].gain == 2
        assert Twin().layout(header, camera_named(Twin(), "blue")).readouts[0].gain == 1.3

    def test_each_has_its_scale_its_gain_and_its_site(self):
        blue, red = (described(Twin(), frame({"FILTER": band, "BIN": "2x2"})) for band in "gr")
        assert pixel_scale(Twin(), blue) == pytest.approx(1.24)
        assert pixel_scale(Twin(), red) == pytest.approx(1.0)
        assert site_of(Twin(), "blue") == Toy.site
        assert site_of(Twin(), "red").lon.deg == pytest.approx(20)

    def test_a_flat_without_a_filter_is_of_the_camera_s_only_band(self):
        cards = {"IMAGETYP": "flat", "FILTER": "", "DETECTOR": "B34"}
        assert described(Twin(), frame(cards)).band == "r"

    def test_an_unknown_name_is_told_with_those_that_are_there(self):
        with pytest.raises(HeaderError, match="TWIN has no camera 'green': it has blue, red"):
            camera_named(Twin(), "green")


class TestLayout:
    def test_data_and_overscan_are_cut_where_they_are_declared(self):
        readout = Toy().layout(frame()).readouts[0]
        assert (readout.data.fits(), readout.overscan.fits()) == ("[1:256,1:256]", "[257:288,1:256]")
        assert (readout.gain, readout.read_noise, readout.saturation) == (1.3, 6, 60000)

    def test_declared_sections_are_divided_by_the_binning(self):
        header = frame({"BIN": "2x2", "FILTER": "g"}, shape=(128, 144))
        readout = Twin().layout(header).readouts[0]
        assert (readout.data.fits(), readout.overscan.fits()) == ("[1:128,1:128]", "[129:144,1:128]")

    @pytest.mark.parametrize(("later", "noise"), [(False, 6), (True, 12)])
    def test_read_noise_grows_only_where_pixels_are_added_after_reading(self, later, noise):
        keywords = replace(Toy.keywords, binning=Keyword("BIN"))
        toy = declare(keywords=keywords, cameras=(camera(binned_after_reading=later),))()
        assert toy.layout(frame({"BIN": "2x2"}, shape=(128, 144))).readouts[0].read_noise == noise

    def test_constants_and_sections_may_be_in_the_header(self):
        carded = camera(
            gain=Keyword("GAIN", E_PER_ADU),
            read_noise=Keyword("RON", u.electron),
            saturation=Keyword("SATUR", u.adu),
            data_section=Keyword("TRIMSEC"),
            overscan_section=Keyword("BIASSEC", optional=True),
        )
        toy = declare(cameras=(carded,))()
        cards = {
            "GAIN": 2.5,
            "RON": 4.0,
            "SATUR": 50000,
            "TRIMSEC": "[11:200,1:256]",
            "BIASSEC": "[1:8,1:256]",
        }
        layout = toy.layout(frame(cards))
        assert layout.shape == (256, 190)
        assert layout.has_overscan
        readout = layout.readouts[0]
        assert (readout.gain, readout.read_noise, readout.saturation) == (2.5, 4, 50000)
        assert not toy.layout(frame({**cards, "BIASSEC": ""})).has_overscan
        for card in ("GAIN", "RON", "SATUR", "TRIMSEC"):
            with pytest.raises(HeaderError, match=rf"frame\.fits: no {card} card"):
                toy.layout(frame({**cards, card: ""}))

    @pytest.mark.parametrize(
        ("cards", "culprit"),
        [
            ({"TRIMSEC": "[1:289,1:256]"}, "the data section"),
            ({"BIASSEC": "[257:300,1:256]"}, "the overscan section"),
            ({"TRIMSEC": "1:256,1:256"}, "TRIMSEC: the section '1:256,1:256'"),
            ({"BIASSEC": "[288:257,1:256]"}, "BIASSEC: the section .* runs backwards"),
        ],
    )
    def test_a_section_that_cannot_be_is_named_with_the_file(self, cards, culprit):
        carded = camera(data_section=Keyword("TRIMSEC"), overscan_section=Keyword("BIASSEC"))
        toy = declare(cameras=(carded,))()
        cards = {"TRIMSEC": "[1:256,1:256]", "BIASSEC": "[257:288,1:256]"} | cards
        with pytest.raises(HeaderError, match=rf"frame\.fits: {culprit}"):
            toy.layout(frame(cards))

    def test_without_a_section_the_whole_image_is_data(self):
        toy = declare(cameras=(camera(data_section=None, overscan_section=None),))()
        layout = toy.layout(frame())
        assert layout.shape == (256, 288)
        assert not layout.has_overscan

    def test_the_pedestal_is_zero_unless_declared(self):
        assert Toy().pedestal(frame()) == (0, 0)
        toy = declare(cameras=(camera(pedestal=300 * u.adu, pedestal_error=15 * u.adu),))()
        assert toy.pedestal(frame()) == (300, 15)


class Quad(Toy):
    """Two HDUs of two amplifiers each, read outwards in x and y, with a gap between the chips."""

    name = "QUAD"
    keywords = replace(Toy.keywords, binning=Keyword("BIN", optional=True))
    cameras = (
        camera(
            data_section=None,
            overscan_section=None,
            gain=Keyword("GAIN", E_PER_ADU),
            amplifiers=(
                Amplifier(hdu=1, data_section="[5:44,1:20]", overscan_section="[1:4,1:20]", x0=0, y0=0),
                Amplifier(hdu=2, data_section="[5:44,1:20]", x0=0, y0=20, flip_y=True),
                Amplifier(hdu=3, data_section="[5:44,1:20]", x0=50, y0=0, flip_x=True),
                Amplifier(
                    hdu=4,
                    data_section="[5:44,1:20]",
                    x0=50,
                    y0=20,
                    flip_x=True,
                    flip_y=True,
                    gain=4 * E_PER_ADU,
                    read_noise=9 * u.electron,
                ),
            ),
        ),
    )


class TestAmplifiers:
    def header(self, **cards):
        chips = [{"NAXIS": 2, "NAXIS1": 44, "NAXIS2": 20, "GAIN": gain} for gain in (1.0, 2.0, 3.0, 99.0)]
        return make_header(CARDS | cards, extensions=chips)

    def test_each_has_its_own_numbers_or_the_camera_s(self):
        readouts = Quad().layout(self.header()).readouts
        assert [readout.gain for readout in readouts] == [1, 2, 3, 4]
        assert [readout.read_noise for readout in readouts] == [6, 6, 6, 9]
        assert [readout.overscan is None for readout in readouts] == [False, True, True, True]
        assert image_hdus(Quad(), self.header()) == (1, 2, 3, 4)
        assert wcs_of(Quad(), self.header(), Quad().layout(self.header())) is None

    @pytest.mark.parametrize("binning", [1, 2])
    def test_a_coded_image_is_assembled_with_flips_and_gaps(self, binning):
        """Each raw pixel holds the place on the sky that its amplifier saw."""
        header = self.header(BIN=f"{binning}x{binning}")
        for hdu in header.hdus[1:]:
            hdu["NAXIS1"], hdu["NAXIS2"] = 44 // binning, 20 // binning
        layout = Quad().layout(header)
        assert layout.shape == (40 // binning, 90 // binning)
        y, x = np.mgrid[: layout.shape[0], : layout.shape[1]]
        sky = 1000.0 * y + x
        raws = [self.exposed(sky, amplifier, binning) for amplifier in Quad.cameras[0].amplifiers]
        pieces = [self.piece(raw, readout) for raw, readout in zip(raws, layout.readouts, strict=True)]
        image = assemble(pieces, shape=layout.shape)
        gap = slice(40 // binning, 50 // binning)
        assert np.all(image.mask[:, gap] == MaskBit.BAD)
        image.mask[:, gap] = 0
        assert not image.mask.any()
        sky[:, gap] = 0
        assert np.array_equal(image.data, sky)

    def exposed(self, sky, amplifier, binning):
        """The part of the sky that an amplifier sees, read out as it is declared."""
        x0, y0 = amplifier.x0 // binning, amplifier.y0 // binning
        part = sky[y0 : y0 + 20 // binning, x0 : x0 + 40 // binning]
        part = np.flipud(part) if amplifier.flip_y else part
        return np.fliplr(part) if amplifier.flip_x else part

    def piece(self, raw, readout):
        assert raw.shape == readout.data.shape
        return Piece(
            raw / readout.gain,
            gain=readout.gain,
            read_noise=readout.read_noise,
            x0=readout.x0,
            y0=readout.y0,
            flip_x=readout.flip_x,
            flip_y=readout.flip_y,
        )

    def test_where_the_headers_tell_the_places_the_rest_is_the_camera_s(self):
        class Tiled(Quad):
            name = "TILED"
            cameras = (
                camera(data_section=Keyword("DATA"), overscan_section=None, gain=Keyword("GAIN", E_PER_ADU)),
            )

            def amplifiers_in(self, header, camera):
                return tuple(Amplifier(hdu=hdu, x0=header.of(hdu)["AT"], y0=0) for hdu in header.images)

        def tiles(*places, **cards):
            chip = {"NAXIS": 2, "NAXIS1": 44, "NAXIS2": 20, "GAIN": 2.0, "DATA": "[5:44,1:20]"} | cards
            return make_header(CARDS, extensions=[chip | {"AT": at} for at in places])

        layout = Tiled().layout(tiles(0, 40, 100))
        assert layout.shape == (20, 140)
        assert [(r.hdu, r.x0, r.gain, r.data.fits()) for r in layout.readouts] == [
            (hdu, x0, 2, "[5:44,1:20]") for hdu, x0 in ((1, 0), (2, 40), (3, 100))
        ]
        assert image_hdus(Tiled(), tiles(0, 40)) == (1, 2)
        with pytest.raises(HeaderError, match=r"frame\.fits: no DATA card in HDU 1; the frame is rejected"):
            Tiled().layout(tiles(0, 40, DATA=""))
        with pytest.raises(HeaderError, match=r"frame\.fits: no image in it"):
            Tiled().layout(make_header(CARDS, extensions=[{"NAXIS": 0}]))

    def test_a_blank_file_has_room_for_all_amplifiers_of_one_hdu(self):
        halves = tuple(
            Amplifier(hdu=0, data_section=data, overscan_section=over, x0=x0, y0=0)
            for data, over, x0 in (
                ("[51:100,1:20]", "[111:120,1:20]", 50),
                ("[1:50,1:20]", "[101:110,1:20]", 0),
            )
        )
        toy = declare(cameras=(camera(data_section=None, overscan_section=None, amplifiers=halves),))()
        (blank,) = blank_headers(toy, toy.cameras[0], size=(10, 10), binning=(1, 1))
        assert (blank["NAXIS1"], blank["NAXIS2"]) == (120, 20)

    def test_a_blank_file_puts_amplifiers_with_cards_side_by_side(self):
        halves = tuple(
            Amplifier(
                hdu=0, data_section=Keyword(f"TRIM{n}"), overscan_section=Keyword(f"BIAS{n}"), x0=x0, y0=0
            )
            for n, x0 in ((1, 0), (2, 30))
        )
        toy = declare(cameras=(camera(data_section=None, overscan_section=None, amplifiers=halves),))()
        (blank,) = blank_headers(toy, toy.cameras[0], size=(30, 10), binning=(1, 1))
        assert [blank[card] for card in ("TRIM1", "BIAS1", "TRIM2", "BIAS2", "NAXIS1")] == [
            "[1:30,1:10]",
            "[31:62,1:10]",
            "[63:92,1:10]",
            "[93:124,1:10]",
            124,
        ]


class TestDeclarations:
    """A mistake is an error on the author's own line, which names the culprit."""

    @pytest.mark.parametrize(
        ("attributes", "culprit"),
        [
            ({"name": None}, "Mine: name is not declared"),
            ({"name": "toy"}, "Mine: name = 'toy'; give capital letters"),
            ({"name": "MY CAM"}, "Mine: name = 'MY CAM'"),
            ({"name": 42}, "Mine: name = 42 is not of type str"),
            ({"keywords": None}, "Mine: keywords is not declared"),
            ({"keywords": {"exposure": "EXPTIME"}}, "Mine: keywords = .* is not of type HeaderKeywords"),
            ({"kinds": None}, "Mine: kinds is not declared"),
            ({"kinds": {}}, "Mine: kinds is empty"),
            ({"kinds": {"light": "scienze"}}, "Mine: kinds: Rule: kind = 'scienze'; it is one of FrameKind"),
            ({"kinds": (Is("A", 1),)}, "Mine: kinds is neither a table nor a tuple of Rule"),
            ({"kinds": Rule(FrameKind.FLAT, Always())}, r"Mine: kinds = .* a tuple of one needs a comma"),
            ({"cameras": None}, "Mine: cameras is not declared"),
            ({"cameras": ()}, r"Mine: cameras = \(\)"),
            ({"cameras": MAIN}, "Mine: cameras = .* a tuple of one needs a comma"),
            ({"cameras": ("main",)}, r"Mine: cameras = \('main',\); give a tuple of Camera"),
            ({"cameras": (MAIN, MAIN)}, "Mine: two cameras have one name among main, main"),
            ({"cameras": (MAIN, camera(name="Main"))}, "Mine: two cameras have one name"),
            (
                {"cameras": (MAIN, camera(name="b"))},
                "Mine: nothing distinguishes camera main from the others",
            ),
            ({"site": None}, "Mine: site is not declared"),
            ({"site": (10, 45)}, "Mine: site = .* is not of type EarthLocation"),
            ({"calibration": None}, "Mine: calibration = None is not of type Calibration"),
            ({"pixel_filter": "median"}, "Mine: pixel_filter = 'median' is not of type PixelFilter"),
            ({"band_names": ("R",)}, "Mine: band_names = .* is not of type Mapping"),
            ({"recipe": "time series"}, "Mine: recipe = 'time series'; give the name of a recipe"),
            ({"simulated": None}, "Mine: simulated = None is not of type Simulated"),
            ({"telescope_diameter": 2.1}, "Mine: telescope_diameter = 2.1 has no unit; give it in m"),
            ({"telescope_diameter": 2.1 * u.s}, "Mine: telescope_diameter = 2.1 s has the unit s"),
        ],
    )
    def test_a_class_is_checked_when_it_is_made(self, attributes, culprit):
        with pytest.raises(DeclarationError, match=culprit):
            declare(**attributes)

    @pytest.mark.parametrize(
        ("declared", "given", "culprit"),
        [
            (Simulated, {"equinox": 2000}, "Simulated: equinox = 2000 has no unit; give it in yr"),
            (Simulated, {"headers": "blank"}, "Simulated: headers = 'blank' is not a function"),
            (SimulatedCamera, {"rotation": 3}, "SimulatedCamera: rotation = 3 has no unit"),
            (SimulatedCamera, {"dark_current": 1 * u.adu}, "SimulatedCamera: dark_current = 1.0 adu"),
        ],
    )
    def test_what_only_simulated_nights_use_has_units_too(self, declared, given, culprit):
        with pytest.raises(DeclarationError, match=culprit):
            declared(**given)

    def test_a_table_of_kinds_needs_its_card(self):
        with pytest.raises(DeclarationError, match="Mine: kinds is a table, so keywords needs kind="):
            declare(keywords=HeaderKeywords(exposure=Keyword("EXPTIME", u.s)))

    def test_rules_need_no_card(self):
        rules = (Rule(FrameKind.SCIENCE, Always()),)
        toy = declare(keywords=HeaderKeywords(exposure=Keyword("EXPTIME", u.s)), kinds=rules)
        assert toy.rules == rules

    def test_the_mid_time_has_to_be_written(self):
        members = {name: getattr(Toy, name) for name in ("name", "keywords", "kinds", "cameras", "site")}
        with pytest.raises(
            DeclarationError, match="Lazy: mid_time is not defined; no default would be honest"
        ):
            type(Instrument)("Lazy", (Instrument,), members)

    def test_the_error_is_raised_on_the_author_s_line(self):
        with pytest.raises(DeclarationError) as error:

            class Wrong(Toy):
                name = "wrong"

        assert error.traceback[0].path.name == "test_instruments.py"
        assert "class Wrong(Toy)" in str(error.traceback[0].statement)

    def test_a_family_is_left_unchecked_and_its_members_are_not(self):
        class Family(Instrument, abstract=True):
            site = Toy.site

            def mid_time(self, header, exposure):
                return Time(header["DATE-OBS"]) + TimeDelta(exposure / 2)

        with pytest.raises(DeclarationError, match="Member: name is not declared"):

            class Member(Family):
                pass

        class Grown(Family):
            name, keywords, kinds, cameras = "GROWN", Toy.keywords, Toy.kinds, Toy.cameras

        assert described(Grown(), frame()).kind is FrameKind.SCIENCE

    @pytest.mark.parametrize(
        ("changes", "culprit"),
        [
            ({"pixel_scale": 0.62}, "Camera 'main': pixel_scale = 0.62 has no unit; give it in arcsec / pix"),
            ({"pixel_scale": 0.62 * u.arcsec}, "Camera 'main': pixel_scale = .* has the unit arcsec"),
            ({"pixel_scale": Keyword("SCALE", u.arcsec / u.pix)}, "Camera 'main': pixel_scale .* is a card"),
            ({"gain": 1.3}, "Camera 'main': gain = 1.3 has no unit; give it in electron / adu"),
            ({"gain": 1.3 * u.adu / u.electron}, "Camera 'main': gain = .* has the unit adu / electron"),
            ({"gain": None}, "Camera 'main': gain = None has no unit"),
            ({"gain": Keyword("GAIN")}, "Camera 'main': gain = .*GAIN.* has no unit|has the unit None"),
            ({"gain": Keyword("GAIN", E_PER_ADU, optional=True)}, "Camera 'main': gain = .* is optional"),
            ({"read_noise": 6 * u.adu}, "Camera 'main': read_noise = 6.0 adu has the unit adu"),
            ({"saturation": 60000}, "Camera 'main': saturation = 60000 has no unit"),
            ({"pedestal": 100}, "Camera 'main': pedestal = 100 has no unit"),
            ({"rotation": 0.2}, "Camera 'main': rotation = 0.2 has no unit"),
            ({"dark_current": 1 * u.adu}, "Camera 'main': dark_current"),
            ({"simulated": {"flipped": True}}, r"Camera 'main': simulated = .*; give SimulatedCamera\("),
            ({"data_section": "[1:10]"}, r"Camera 'main': data_section = '\[1:10\]'"),
            ({"data_section": "[0:10,1:10]"}, "Camera 'main': data_section .* starts before pixel 1"),
            ({"overscan_section": "[9:1,1:10]"}, "Camera 'main': overscan_section .* runs backwards"),
            ({"data_section": (1, 10)}, "Camera 'main': data_section = .*give"),
            ({"size": (255, 256)}, "Camera 'main': data_section .* has 256 x 256 pixels, size says"),
            ({"folder": "(c1"}, "Camera 'main': folder = .* is not a regular expression"),
        ],
    )
    def test_a_camera_names_itself_and_the_attribute(self, changes, culprit):
        with pytest.raises(DeclarationError, match=culprit):
            camera(**changes)

    def test_an_amplifier_names_its_hdu_and_the_attribute(self):
        with pytest.raises(DeclarationError, match="Amplifier of HDU 3: gain = 2 has no unit"):
            Amplifier(hdu=3, x0=0, y0=0, gain=2)
        with pytest.raises(DeclarationError, match="Amplifier of HDU 3: overscan_section = 'none'"):
            Amplifier(hdu=3, x0=0, y0=0, overscan_section="none")

    @pytest.mark.parametrize("missing", ["name", "pixel_scale", "gain", "read_noise", "saturation"])
    def test_a_constant_that_is_left_out_is_an_error_on_its_line(self, missing):
        given = {
            name: getattr(MAIN, name) for name in ("name", "pixel_scale", "gain", "read_noise", "saturation")
        }
        given.pop(missing)
        with pytest.raises(TypeError, match=missing):
            Camera(**given)

    @pytest.mark.parametrize(
        ("make", "culprit"),
        [
            (lambda: Keyword("EXPTIME", "s"), r"Keyword\('EXPTIME'\): unit = 's'; give astropy's"),
            (lambda: Keyword(""), r"Keyword\(''\)"),
            (lambda: Keyword("A", also="B"), r"Keyword\('A'\): 'B' are not cards; give a tuple"),
            (lambda: Compound("A", min, min), "Compound: 'A' are not cards"),
            (lambda: HeaderKeywords(exposure="EXPTIME"), r"exposure = 'EXPTIME'; give Keyword\('EXPTIME'\)"),
            (
                lambda: HeaderKeywords(exposure=Keyword("EXPTIME")),
                "exposure = EXPTIME has the unit None.*u.s",
            ),
            (lambda: HeaderKeywords(exposure=Keyword("EXPTIME", u.m)), "exposure = EXPTIME has the unit m"),
            (
                lambda: replace(Toy.keywords, ra=Keyword("RA", u.s)),
                "ra = RA has the unit s; give one like u.deg",
            ),
            (lambda: replace(Toy.keywords, equinox=Keyword("EQ", u.deg)), "equinox = EQ has the unit deg"),
            (
                lambda: replace(Toy.keywords, band=Keyword("FILTER", u.m)),
                "band = FILTER .* it is text: give none",
            ),
            (lambda: PixelFilter("mean"), "PixelFilter: mode = 'mean'; it is one of median, selective, none"),
            (
                lambda: PixelFilter("median", 10),
                "PixelFilter: minimum_exposure = 10 has no unit; give it in s",
            ),
            (lambda: PixelFilter("median", 1 * u.m), "PixelFilter: minimum_exposure"),
            (lambda: Calibration(combine="mean"), "Calibration: combine = 'mean'"),
        ],
    )
    def test_a_word_of_a_declaration_names_what_is_wrong_with_it(self, make, culprit):
        with pytest.raises(DeclarationError, match=culprit):
            make()

    def test_a_declaration_is_frozen(self):
        with pytest.raises(AttributeError):
            MAIN.gain = 2 * E_PER_ADU


@pytest.mark.parametrize(("exposure", "mode"), [(9.99, "none"), (10, "median"), (30, "median")])
def test_the_filter_starts_at_its_exposure(exposure, mode):
    assert PixelFilter("median", 10 * u.s).for_frames(exposure * u.s) == mode
    assert PixelFilter("median").for_frames(exposure * u.s) == "median"


def test_binned_frames_may_have_another_filter():
    rule = PixelFilter("median", 10 * u.s, binned="selective")
    modes = [rule.for_frames(t * u.s, binning) for t, binning in ((30, (1, 1)), (30, (2, 2)), (3, (2, 2)))]
    assert modes == ["median", "selective", "none"]
    assert PixelFilter("median").for_frames(30 * u.s, (2, 2)) == "median"
    with pytest.raises(DeclarationError, match="PixelFilter: binned = 'mean'"):
        PixelFilter("median", binned="mean")


class TestCards:
    """`cards` is `describe` read backwards."""

    def test_a_frame_s_cards_describe_the_frame(self):
        before = described(Toy(), frame())
        after = described(Toy(), make_header(cards_of(Toy(), before), shape=(256, 288)))
        assert after.pointing.separation(before.pointing) < 0.05 * u.arcsec
        assert abs((after.mid_time - before.mid_time).to_value(u.s)) < 1e-3
        for attribute in ("kind", "camera", "band", "target", "binning", "exposure"):
            assert getattr(after, attribute) == getattr(before, attribute)

    def test_a_rule_on_the_target_s_name_is_obeyed(self):
        rules = (Rule(FrameKind.FLAT, Is("OBJECT", "skyflat")), Rule(FrameKind.SCIENCE, Always()))
        toy = declare(kinds=rules)()
        flat = described(toy, frame({"OBJECT": "SKYFLAT"}))
        assert cards_of(toy, flat)["OBJECT"] == "SKYFLAT"
        assert cards_of(toy, described(toy, frame()))["OBJECT"] == "WASP-12"


class TestSky:
    WCS = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": "124.6",
        "CRVAL2": 25.3,
        "CRPIX1": 100.0,
        "CRPIX2": "120.0",
        "CD1_1": -1e-4,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 1e-4,
    }

    def test_a_wcs_is_that_of_the_trimmed_image_even_where_its_numbers_are_text(self):
        toy = declare(cameras=(camera(data_section="[11:250,21:250]", overscan_section=None),))()
        header = frame(self.WCS)
        wcs = wcs_of(toy, header, toy.layout(header))
        # pixel 100, 120 of the file, from 1, is 89, 99 of the trimmed image, from 0
        sky = wcs.pixel_to_world(89, 99)
        assert (sky.ra.deg, sky.dec.deg) == pytest.approx((124.6, 25.3), abs=1e-9)

    @pytest.mark.parametrize("cards", [{}, {"CTYPE1": "LINEAR"}, {"CRVAL1": "unknown"}, {"CD1_1": 0.0}])
    def test_a_header_without_a_usable_one_has_none(self, cards):
        header = frame(self.WCS | cards if cards else {})
        toy = Toy()
        assert wcs_of(toy, header, toy.layout(header)) is None
