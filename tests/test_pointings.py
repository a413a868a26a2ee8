"""Frames of one OBJECT name at one pointing, and at several."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from fake_report import frame_info

from potpyri_like.instruments import pixel_scale
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night.pointings import field_numbers, side_of, with_fields

SIDE = 0.1


def at(*ra, dec=60.0):
    """Right ascensions in sides of the field."""
    return np.array([(10 + x * SIDE / np.cos(np.radians(dec)), dec) for x in ra], float)


def test_frames_that_share_half_of_the_field_are_one_field():
    assert not field_numbers(at(0, 0.1, -0.2, 0.45, 0, 0), SIDE).any()


def test_frames_that_share_less_are_two():
    assert field_numbers(at(0, 0, 0, 0.6, 0.6, 0.65, 0), SIDE).tolist() == [0, 0, 0, 1, 1, 1, 0]


def test_a_stack_joins_what_overlaps():
    sky = at(0, 0, 0, 0.6, 0.6, 0.65, 1.4, 1.4, 1.4)
    assert not field_numbers(sky, SIDE, joined=True).any()
    assert field_numbers(sky, SIDE).tolist() == [0] * 3 + [1] * 3 + [2] * 3
    apart = at(0, 0, 0, 5, 5, 5)
    assert field_numbers(apart, SIDE, joined=True).tolist() == [0, 0, 0, 1, 1, 1]


def test_two_frames_with_odd_coordinates_make_no_field():
    assert not field_numbers(at(0, 0, 500, 0, 0, -30, 0), SIDE).any()


def test_frames_without_coordinates_belong_to_their_neighbours_in_time():
    sky = at(0, 0, 0, 0, 9, 9, 9, 9)
    sky[[1, 6]] = np.nan
    assert field_numbers(sky, SIDE).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert not field_numbers(np.full((5, 2), np.nan), SIDE).any()


def test_zero_hours_is_no_edge():
    sky = np.array([(359.99, 0.0), (0.01, 0.0), (359.995, 0.0)] * 2)
    assert not field_numbers(sky, SIDE).any()


def frames(places, **changes):
    return [
        replace(
            frame_info(f"a_{i:02d}.fits"),
            mid_time=Time(60000.1 + i / 1440, format="mjd"),
            pointing=None if place is None else SkyCoord(*place, unit="deg"),
            **changes,
        )
        for i, place in enumerate(places)
    ]


@pytest.mark.parametrize("joined", [False, True])
def test_the_second_pointing_of_a_target_has_a_name_of_its_own(joined):
    infos = frames([(10, 20)] * 4 + [(11, 20)] * 4)
    found = with_fields(infos, Opticam(), joined=joined)
    assert [info.target for info in found] == ["WASP-0"] * 4 + ["WASP-0_p2"] * 4
    assert [info.target for info in with_fields(infos[::-1], Opticam())] == ["WASP-0_p2"] * 4 + ["WASP-0"] * 4


def test_a_night_at_one_pointing_or_without_coordinates_stays_as_it_is():
    for places in ([(10, 20)] * 6, [None] * 6, [(10, 20 + 0.0005 * i) for i in range(6)]):
        infos = frames(places)
        assert with_fields(infos, Opticam()) == infos


def test_the_field_is_that_of_the_pixels():
    side = side_of(frames([None])[0], Opticam())
    assert side == pytest.approx(np.sqrt(200 * 240) * pixel_scale(Opticam(), frames([None])[0]) / 3600)
