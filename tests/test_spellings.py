"""One target is one target, however its name is written; two are two."""

from dataclasses import replace

import pytest
from astropy.coordinates import SkyCoord
from fake_report import frame_info

from potpyri_like.night.spellings import other_spellings, with_one_spelling


def frames(*names, dec=20.0, step=0.0):
    return [
        replace(
            frame_info(f"a_{i:02d}.fits"),
            target=name,
            pointing=None if dec is None else SkyCoord(10, dec + step * i, unit="deg"),
        )
        for i, name in enumerate(names)
    ]


@pytest.mark.parametrize("other", ["HAT-P-32b", "hat_p_32 B", "HAT P 32-b", "hatp32b"])
def test_spellings_of_one_name_in_one_field_are_one_target(other):
    found = with_one_spelling(frames("HAT-P-32 b", other, "HAT-P-32 b"))
    assert {info.target for info in found} == {"HAT-P-32 b"}


@pytest.mark.parametrize(
    "names", [("NGC4993-1", "NGC4993-2"), ("NGC4993-1", "NGC49931"), ("TrES-3", "TrES-4")]
)
def test_digits_count(names):
    assert other_spellings(frames(*names)) == {}


def test_another_field_is_another_target_and_an_unknown_one_is_left_to_the_stars():
    assert other_spellings(frames("M 67", "M67", step=0.1)) == {}
    assert other_spellings(frames("M 67", "M67", dec=None)) == {"M 67": "M67"}
    assert other_spellings(frames("M 67", "M67", step=0.01)) == {"M 67": "M67"}
