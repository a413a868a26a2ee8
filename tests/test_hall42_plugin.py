"""The example plugin, `examples/potpyri-like-hall42`, on real headers of its night."""

import ast
import sys
import tomllib
from pathlib import Path

import astropy.units as u
import pytest
from astropy.io import fits
from astropy.time import Time
from headers import make_header

from potpyri_like.errors import HeaderError
from potpyri_like.instruments import pixel_scale, wcs_of
from potpyri_like.night import scan
from potpyri_like.store import read_header
from potpyri_like.testing import check_instrument

EXAMPLE = Path(__file__).parents[1] / "examples" / "potpyri-like-hall42"
FIRST = "5945/20190326.0126.fits"


@pytest.fixture
def plugin(monkeypatch):
    """The example's module, whether it is installed or not."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, "potpyri_like_hall42", raising=False)
    import potpyri_like_hall42

    yield potpyri_like_hall42
    sys.modules.pop("potpyri_like_hall42", None)


@pytest.fixture
def hall42(plugin):
    (cls,) = plugin.register_instruments()
    return cls()


@pytest.fixture
def night(real_data, hall42):
    return scan(real_data / "hall42", hall42)


def test_it_is_declared_in_some_twenty_lines():
    """The lines between the class's docstring and its methods."""
    (cls,) = [
        n
        for n in ast.parse((EXAMPLE / "potpyri_like_hall42.py").read_text()).body
        if isinstance(n, ast.ClassDef)
    ]
    declared = [n for n in cls.body if isinstance(n, ast.Assign)]
    assert sum(n.end_lineno - n.lineno + 1 for n in declared) <= 25


def test_its_distribution_names_its_module(plugin):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["potpyri_like"] == {"hall42": plugin.__name__}


def test_it_keeps_the_contract(hall42):
    failed = [result for result in check_instrument(hall42, night=False) if not result.passed]
    assert not failed


@pytest.mark.slow
def test_the_frames_of_the_night_are_what_they_are(night):
    kinds = [(info.kind, info.band) for info in night.frames]
    assert not night.rejected
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        ("science", "VR"): 20,
        ("flat", "V"): 1,
        ("flat", "VR"): 7,
        ("bias", ""): 7,
    }
    assert {info.binning for info in night.frames} == {(3, 3)}


def test_the_flat_of_another_filter_is_left_out_of_the_set(night):
    (observed,) = night.sets()
    assert observed.target == "5945 Roachapproach"
    assert (len(observed.frames), len(observed.biases), len(observed.flats)) == (20, 7, 7)


def test_the_mid_time_is_half_way_between_the_cards_of_start_and_end(real_data, night):
    for info in night.sets()[0].frames:
        cards = fits.getheader(info.path)
        start, end = (
            Time(f"{cards['DATE-OBS']}T{cards[card]}", scale="utc") for card in ("UTCSTART", "UTCEND")
        )
        assert abs((info.mid_time - start).to_value(u.s) - 150) < 1e-3
        # the shutter's own time, of some tenths of a second
        assert abs((info.mid_time - (start + (end - start) / 2)).to_value(u.s)) < 1


def test_an_independent_pipeline_read_the_same_mid_time(real_data, night):
    """The frames went through another pipeline, which left its MIDTIMJD (a Julian date)."""
    info = night.sets()[0].frames[0]
    theirs = Time(fits.getheader(info.path)["MIDTIMJD"], format="jd", scale="utc")
    assert abs((info.mid_time - theirs).to_value(u.s)) < 1e-3


def test_the_image_is_trimmed_and_has_its_amplifier_s_numbers(real_data, hall42):
    header = read_header(real_data / "hall42" / FIRST)
    layout = hall42.layout(header)
    assert layout.shape == (1370, 1365)
    assert layout.readouts[0].overscan.fits() == "[1388:1432,1:1370]"
    assert (layout.readouts[0].gain, layout.readouts[0].read_noise) == (4.95, 9.3)


def test_the_wcs_of_text_cards_points_where_the_telescope_did(real_data, hall42):
    """CRPIX 716, 685 of the file is 698 - 1 columns, 685 - 1 rows into the trimmed image."""
    header = read_header(real_data / "hall42" / FIRST)
    wcs = wcs_of(hall42, header, hall42.layout(header))
    sky = wcs.pixel_to_world(716 - 1 - 17, 685 - 1)
    assert sky.ra.deg == pytest.approx(124.6185920672, abs=1e-4)
    assert sky.dec.deg == pytest.approx(25.32885681452, abs=1e-4)
    (info,) = hall42.describe(header)
    assert sky.separation(info.pointing) < 2 * u.arcmin
    east = wcs.pixel_to_world(716 - 1 - 17 + 100, 685 - 1)
    assert sky.separation(east).arcsec == pytest.approx(100 * pixel_scale(hall42, info), rel=0.15)


def test_a_frame_without_its_start_is_rejected_by_the_card(hall42):
    cards = {"IMAGETYP": "OBJECT", "EXPTIME": 300.0, "FILTNAME": "VR", "DATE-OBS": "2019-03-26"}
    with pytest.raises(HeaderError, match=r"frame\.fits: no valid time .*no 'UTCSTART' card"):
        hall42.describe(make_header(cards))
