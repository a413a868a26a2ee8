"""Whatever bytes and words come: an answer, or an error that was meant, and soon."""

import contextlib
import io
import signal
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from corpus import Sample, tiled
from headers import make_header
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import Toy

from potpyri_like.errors import FrameError, HeaderError, NightError, UsageError
from potpyri_like.instruments import camera_named, pixel_scale, wcs_of
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night.edits import read_edited, read_edits
from potpyri_like.options import Options, read_config
from potpyri_like.store import read_header, read_raw

SOON = 5.0  # s
HOW = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
LONG = [pytest.param(40, id="short"), pytest.param(1500, id="long", marks=pytest.mark.slow)]


@contextlib.contextmanager
def soon():
    """Fail where what is inside does not end."""

    def late(*signal_):
        pytest.fail(f"not done after {SOON} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SOON)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(test, examples):
    """Run a test that takes strategies as often as that."""
    settings(max_examples=examples, **HOW)(test)()


# -- files ---------------------------------------------------------------------------------------------------


def fits_bytes(*hdus):
    written = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(written)
    return written.getvalue()


def several(rng):
    """A file with a primary header and two images, as GMOS writes them."""
    images = [fits.ImageHDU(rng.integers(0, 60000, (8, 12), np.uint16)) for _ in range(2)]
    for image in images:
        image.header["DETSEC"], image.header["DATASEC"] = "[1:8,1:8]", "[1:8,1:8]"
    return fits_bytes(fits.PrimaryHDU(), *images)


def seeds():
    rng = np.random.default_rng(7)
    image = rng.integers(900, 60000, (16, 24), np.uint16)
    plain = fits_bytes(fits.PrimaryHDU(image, fits.Header({"OBJECT": "WASP-0", "EXPOSURE": 20.0})))
    cube = fits_bytes(fits.PrimaryHDU(rng.normal(size=(2, 8, 8)).astype(np.float32)))
    return [plain, several(rng), cube, tiled(Sample(plain))]


SEEDS = seeds()
NUMBERS = st.sampled_from(
    ["-1", "0", "1", "999", "1000", "2147483648", "99999999999999999999", "1E400", "NaN"]
)
CARDS = (
    "SIMPLE XTENSION BITPIX NAXIS NAXIS1 NAXIS2 PCOUNT GCOUNT TFIELDS TFORM1 ZNAXIS ZNAXIS1 ZBITPIX ZTILE1"
    " BZERO BSCALE END"
)
COUNTS = st.sampled_from([f"{card:<8}" for card in CARDS.split()])


AT = st.one_of(
    st.integers(0, 2880), st.integers(0, 12000)
)  # most can be understood wrongly in the first block
CHANGES = st.one_of(
    st.tuples(st.just("turn"), AT, st.integers(0, 255)),
    st.tuples(st.just("insert"), AT, st.binary(min_size=1, max_size=90)),
    st.tuples(st.just("delete"), AT, st.integers(1, 90)),
    st.tuples(st.just("cut"), AT),
    st.tuples(st.just("card"), COUNTS, NUMBERS),
)


def changed(raw, changes):
    """A file in which bytes were turned, put in, taken out, or a card of its structure says otherwise."""
    raw = bytearray(raw)
    for change in changes:
        match change:
            case "turn", at, value:
                raw[at : at + 1] = bytes([value])
            case "insert", at, more:
                raw[at:at] = more
            case "delete", at, count:
                del raw[at : at + count]
            case "cut", at:
                del raw[at:]
            case "card", card, value:
                start = raw.find(card.encode())
                raw[start + 8 : start + 80] = f"= {value:>20}".ljust(72).encode() if start >= 0 else b""
    return bytes(raw)


def read_everything(path):
    """What the run reads of a file."""
    with contextlib.suppress(FrameError):
        header = read_header(path)
        with contextlib.suppress(FrameError):
            assert all(n >= 0 for n in header.image_shape)
            for plane in (None, 0, 1):
                with contextlib.suppress(FrameError):
                    _, images, *_ = read_raw(path, lambda h: h.images, plane=plane)
                    assert all(image.ndim == 2 for image in images.values())


@pytest.mark.parametrize("examples", LONG)
def test_a_spoilt_file_is_read_or_rejected_and_soon(examples, tmp_path):
    path = tmp_path / "frame.fits"

    @given(st.integers(0, len(SEEDS) - 1), st.lists(CHANGES, min_size=1, max_size=4))
    def reading(seed, changes):
        path.write_bytes(changed(SEEDS[seed], changes))
        with soon():
            read_everything(path)

    fuzz(reading, examples)


# -- headers -------------------------------------------------------------------------------------------------

WORDS = (
    "NaN inf -1 0 1e30 0x0 99999x99999 2,2 12 [1:0,5:2] [1:99999999,1:9] object flat BIAS r ../x 10:15:20.4"
    " +15:55:34 99:99:99 -90:00:01 2025-02-23 2025-02-23T05:00:00 2025-02-30T25:61:61 05:00:00 24:00:00 23/02/25"
    " 0000-00-00 9999-12-31T23:59:60 2099-01-01T00:00:00 -4712-01-01"
)
TEXTS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), st.sampled_from(WORDS.split())
)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 1, -1, 0.0, 1e-300, 1e300, 2025.5, None, 1 + 2j]),
)
GMOS_CARDS = {
    "EXPTIME": 30.0, "OBSTYPE": "OBJECT", "FILTER1": "open1-6", "FILTER2": "r_G0303", "OBJECT": "M31",
    "INSTRUME": "GMOS-N", "DETTYPE": "S10892-N", "CCDSUM": "2 2", "RA": 10.0, "DEC": 41.0, "GRATING": "MIRROR",
    "MASKTYP": 0, "DATE-OBS": "2020-01-01", "UTSTART": "05:00:00", "TIME-OBS": "05:00:00", "DETSEC": "[1:128,1:64]",
    "DATASEC": "[1:64,1:32]", "BIASSEC": "[65:96,1:32]", "GAIN": 1.6, "RDNOISE": 4.0, "FRAME": "FK5",
    "MASKNAME": "None", "RAWGEMQA": "USABLE", "OBSCLASS": "science", "SHUTTER": "OPEN", "NODPIX": None,
}  # fmt: skip
OPTICAM_CARDS = {
    "EXPOSURE": 20.0, "IMGTYPE": "object", "OBJECT": "WASP-0", "FILTER": "r", "SERIALN": "VSC-05530",
    "BINNING": "1x1", "CCDXBIN": 1, "CCDYBIN": 1, "RA": "10:15:20.4", "DEC": "+15:55:34", "EQUINOX": 2024.8,
    "UT": "2025-02-23 05:53:51.000", "DATE-OBS": "2025-02-23", "GPSTIME": None, "INITTIME": None, "CAM_TIME": None,
    "EXPCOAD": 1, "CCDMODE": "270 MHz", "GAIN": 1.0, "HISTORY": "nothing",
}  # fmt: skip
TOY_CARDS = {
    "IMAGETYP": "light", "EXPTIME": 20.0, "FILTER": "r", "OBJECT": "WASP-0", "RA": "10:15:20.4",
    "DEC": "+15:55:34", "DATE-OBS": "2025-02-23T05:00:00",
}  # fmt: skip


@st.composite
def odd_headers(draw, cards, *, extensions):
    """The cards of a frame, some of them gone or with other values."""
    changed = draw(st.dictionaries(st.sampled_from(sorted(cards)), VALUES, max_size=5))
    given_ = {card: value for card, value in (cards | changed).items() if value is not None}
    shape = draw(st.sampled_from([(32, 96), (1, 1), (3, 32, 96), (1, 1, 32, 96)]))
    image = {"BITPIX": 16, "NAXIS": 2, "NAXIS1": 96, "NAXIS2": 32, "XTENSION": "IMAGE"}
    return make_header(given_, shape=shape, extensions=[image, image] if extensions else ())


@pytest.mark.parametrize("examples", LONG)
@pytest.mark.parametrize(
    ("instrument", "cards"),
    [(Opticam(), OPTICAM_CARDS), (Gmos(), GMOS_CARDS), (Toy(), TOY_CARDS)],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.slow
def test_an_odd_header_is_described_or_rejected(instrument, cards, examples):
    @given(odd_headers(cards, extensions=instrument.name == "GMOS"))
    def describing(header):
        with contextlib.suppress(FrameError):
            for info in instrument.describe(header):
                camera = camera_named(instrument, info.camera)
                assert pixel_scale(instrument, info) > 0
                assert info.exposure.to_value("s") < 1e6 or not np.isfinite(info.exposure)
                with contextlib.suppress(FrameError):
                    layout = instrument.layout(header, camera)
                    wcs_of(instrument, header, layout)

    fuzz(describing, examples)


# -- what observers edit -------------------------------------------------------------------------------------

OURS = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: file, datatype: string}
# - {name: kind, datatype: string}
# - {name: status, datatype: string}
# meta: !!omap
# - {instrument: OPTICAM}
# schema: astropy-2.0
file kind camera band target binning exposure mid_time status reason
a.fits science C2 r WASP-0 1x1 20.0 2025-02-23T05:00:00.000 measured ""
"b c.fits" science C2 r "WASP 0" 1x1 20.0 2025-02-23T05:00:20.000 "leave out" "cloud ""thick"" at dawn"
c.fits flat C2 r "" 1x1 nan "" use ""
"""
SPREADSHEET = 'file;kind;status\r\n"a.fits";"science";"use"\r\nb.fits;flat;leave_out\r\n'
TOML = 'target-xy = "C1:512,480"\naperture = 1.5\nstars = 80\ncomparisons = [1, 2, 3]\nradec = "08:18:29.9 +25:19:59"\n'
ODD = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*"\"'\n\r\t;,#\0\u2028\ufeff[{=", "1e999", "9" * 400, "[" * 2000]),
)
EDITS = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 30), ODD), max_size=5)


def retyped(text, edits):
    """A text in which somebody struck out and put in something."""
    for at, count, more in edits:
        text = text[:at] + more + text[at + count :]
    return text.encode(errors="surrogatepass")


@pytest.mark.parametrize("examples", LONG)
@pytest.mark.parametrize("text", [OURS, SPREADSHEET], ids=["ours", "spreadsheet"])
def test_a_table_that_was_edited_at_random_is_read_or_rejected(text, examples, tmp_path):
    path = tmp_path / "night.ecsv"

    @given(EDITS)
    def reading(edits):
        path.write_bytes(retyped(text, edits))
        with soon(), contextlib.suppress(NightError):
            table = read_edited(path)
            found = read_edits(table, "OPTICAM")
            assert all(type(cell) is str for edit in found.values() for cell in vars(edit).values())
            for file, edit in found.items():
                with contextlib.suppress(HeaderError):
                    edit.checked(file)

    fuzz(reading, examples)


def test_a_cell_as_long_as_a_book_costs_its_own_length_only(tmp_path):
    path = tmp_path / "night.ecsv"
    rows = "".join(f'{number}.fits;"{"x" * 100_000 if number == 7 else ""}"\n' for number in range(3000))
    path.write_text("file;notes\n" + rows)
    tracemalloc.start()
    try:
        assert len(read_edits(read_edited(path), "OPTICAM")) == 3000
        assert tracemalloc.get_traced_memory()[1] < 2e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("examples", LONG)
def test_a_reduce_toml_that_was_edited_at_random_is_read_or_rejected(examples, tmp_path):
    path = tmp_path / "reduce.toml"

    @given(EDITS)
    def reading(edits):
        path.write_bytes(retyped(TOML, edits))
        with soon(), contextlib.suppress(UsageError):
            Options().merged(read_config(path), where=str(path))

    fuzz(reading, examples)


TOML_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.lists(st.integers(), max_size=3),
    st.sampled_from([10**400, -(10**400), "C1:1,2", "1" * 5000, "  " * 500, ":" * 500, "1." * 500, [[]], {"a": 1}]),
)  # fmt: skip


@pytest.mark.parametrize("examples", LONG)
def test_any_value_of_an_option_is_taken_or_rejected(examples):
    @given(st.sampled_from(sorted(Options().named())), TOML_VALUES)
    def merging(name, value):
        with soon(), contextlib.suppress(UsageError):
            Options().merged({name: value}, where="reduce.toml")

    fuzz(merging, examples)


def test_a_number_too_large_and_brackets_without_end_are_rejected_in_a_sentence(tmp_path):
    path = tmp_path / "reduce.toml"
    path.write_text("stars = " + "9" * 400)
    with pytest.raises(UsageError, match="give a whole number above 0"):
        Options().merged(read_config(path), where="reduce.toml")
    path.write_text("stars = " + "[" * 5000)
    with pytest.raises(UsageError, match="not valid TOML"):
        read_config(path)
