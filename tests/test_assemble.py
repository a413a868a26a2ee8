"""Overscan levels and assembled images, on simulated readouts."""

import numpy as np
import pytest

from potpyri_like.errors import DeclarationError, PixelError
from potpyri_like.frame import MaskBit
from potpyri_like.imaging import (
    Piece,
    Section,
    assemble,
    counts_of,
    level_of_data,
    overscan_level,
    rounding_variance,
)

ROWS, COLS, READ_NOISE = 2000, 32, 4.0


def strip_of(rng, level):
    """Overscan as an analogue-to-digital converter gives it."""
    return np.rint(np.asarray(level)[:, None] + rng.normal(0, READ_NOISE, (len(level), COLS))).astype(
        np.uint16
    )


SHAPES = {
    "constant": lambda t: 1000 + 0 * t,
    "sloping": lambda t: 1000 + 3 * t,
    "curved": lambda t: 1000 - 2 * t + 4 * t**2,
    "cubic": lambda t: 1000 + t - 3 * t**2 + 5 * t**3,
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_level_is_found_within_its_stated_variance(rng, name):
    truth = SHAPES[name](np.linspace(-1, 1, ROWS))
    level, variance = overscan_level(strip_of(rng, truth))
    # a cubic has four coefficients, so the sum of the squared pulls over the rows averages to 1
    pulls = (level - truth) / np.sqrt(variance)
    assert np.mean(pulls**2) < 5
    assert np.abs(level - truth).max() < 6 * READ_NOISE / np.sqrt(COLS * ROWS) * 4


def test_a_constant_level_adds_no_more_noise_than_its_mean(rng):
    """The error must be that of one number from all the pixels, not of one number per row."""
    levels, variances = [], []
    for _ in range(60):
        level, variance = overscan_level(strip_of(rng, np.full(300, 500.0)))
        levels.append(level)
        variances.append(variance)
    expected = READ_NOISE**2 / (300 * COLS)
    # BIC lets a superfluous slope in now and then; 4 coefficients always would be a factor of 4
    assert np.var(levels) < 2 * expected
    assert np.mean(variances) == pytest.approx(expected, rel=0.35)


def test_a_stated_degree_is_used(rng):
    truth = SHAPES["sloping"](np.linspace(-1, 1, ROWS))
    strip = strip_of(rng, truth)
    assert np.ptp(overscan_level(strip, degree=0).level) == 0
    straight = overscan_level(strip, degree=1).level
    np.testing.assert_allclose(np.diff(straight, n=2), 0, atol=1e-9)


def test_cosmic_rays_and_bad_rows_do_not_move_the_level(rng):
    strip = strip_of(rng, np.full(ROWS, 1000.0))
    strip[rng.random(strip.shape) < 0.01] = 30000
    strip[700:703] = 9000
    level, _ = overscan_level(strip)
    assert np.abs(level - 1000).max() < 0.1


def test_columns_are_rows_of_the_transposed_strip(rng):
    strip = strip_of(rng, SHAPES["curved"](np.linspace(-1, 1, ROWS)))
    one, other = overscan_level(strip), overscan_level(strip.T, along="columns")
    np.testing.assert_array_equal(one.level, other.level)


def test_nan_pixels_and_rows_are_bridged(rng):
    strip = strip_of(rng, np.full(300, 500.0)).astype(float)
    strip[10:20] = np.nan
    strip[50, 3] = np.inf
    assert np.abs(overscan_level(strip).level - 500).max() < 1


def test_a_constant_strip_has_its_value_and_no_variance():
    level, variance = overscan_level(np.full((50, 8), 321, np.uint16))
    np.testing.assert_allclose(level, 321, rtol=1e-12)
    np.testing.assert_allclose(variance, 0, atol=1e-12)


@pytest.mark.parametrize("strip", [np.zeros((0, 4)), np.zeros(5), np.full((3, 3), np.nan)])
def test_a_strip_without_pixels_has_no_level(strip):
    with pytest.raises(PixelError, match="no level"):
        overscan_level(strip)


def test_overscan_runs_along_rows_or_columns():
    with pytest.raises(PixelError, match="'rows' or 'columns'"):
        overscan_level(np.ones((4, 4)), along="x")


def coded(number, rows, cols):
    """Raw values that tell their amplifier, row and column."""
    return (10000 * number + 100 * np.arange(rows)[:, None] + np.arange(cols)).astype(">u2")


def test_a_coded_mosaic_comes_back_with_its_flips_gains_levels_and_gap():
    """Two columns of two amplifiers about a gap of three columns, each read out towards its corner."""
    pieces, truth = [], np.zeros((20, 33))
    for number, (right, up) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)], start=1):
        raw, gain, level = coded(number, 10, 15), 1 + number / 10, 50.0 * number
        pieces.append(
            Piece(raw, gain, 3.0, level=level, x0=18 * right, y0=10 * up, flip_x=bool(right), flip_y=bool(up))
        )
        for row in range(10):
            for col in range(15):
                y = 19 - row if up else row
                x = 32 - col if right else col
                truth[y, x] = gain * (10000 * number + 100 * row + col - level)
    image = assemble(pieces, shape=(20, 33))
    np.testing.assert_allclose(image.data, truth, rtol=1e-6)
    gap = np.zeros((20, 33), dtype=bool)
    gap[:, 15:18] = True
    np.testing.assert_array_equal(image.mask, np.where(gap, MaskBit.BAD, 0))
    assert [plane.dtype for plane in image] == [np.float32, np.float32, np.uint16]
    assert all(np.isfinite(plane).all() for plane in image)


def test_a_level_per_row_belongs_to_the_row_as_read_out():
    raw = np.zeros((4, 3)) + np.arange(4)[:, None]
    image = assemble([Piece(raw, 2.0, 1.0, level=np.arange(4.0), flip_y=True)], shape=(4, 3))
    np.testing.assert_array_equal(image.data, 0)
    across = assemble(
        [Piece(raw.T.copy(), 2.0, 1.0, level=np.arange(4.0)[None, :], flip_x=True)], shape=(3, 4)
    )
    np.testing.assert_array_equal(across.data, 0)


def test_a_small_integer_below_the_level_is_negative_and_does_not_wrap():
    image = assemble([Piece(np.full((2, 2), 90, np.uint16), 1.5, 3.0, level=100.0)], shape=(2, 2))
    np.testing.assert_array_equal(image.data, -15)


def test_large_integers_lose_nothing_before_the_level_is_subtracted():
    raw = np.array([[2**24 + 1, 2**30 + 5]], np.int32)
    image = assemble([Piece(raw, 1.0, 3.0, level=np.array([[2.0**24, 2.0**30]]))], shape=(1, 2))
    np.testing.assert_array_equal(image.data, [[1, 5]])


def test_the_variance_is_that_of_simulated_dark_rows(rng):
    """Read noise, rounding to whole ADU, and the error of the level that is subtracted."""
    gain, read_noise, of_level = 5.0, 3.0, 0.2
    values = []
    for _ in range(400):
        raw = np.rint(200 + rng.normal(0, read_noise / gain, (10, 20))).astype(np.uint16)
        level = 200 + rng.normal(0, of_level, 10)
        piece = Piece(raw, gain, read_noise, level=level, level_variance=np.full(10, of_level**2))
        image = assemble([piece], shape=(10, 20))
        values.append(image.data)
    # 80 000 pixels, and 4000 levels that make a twelfth of the variance
    allowed = 4 * (np.sqrt(2 / 80_000) + np.sqrt(2 / 4000) / 12)
    assert np.var(values) == pytest.approx(image.variance.mean(), rel=allowed)


def test_saturation_is_judged_on_raw_values():
    raw = np.array([[59999, 60000, 65535]], np.uint16)
    for kind in (np.uint16, np.float32):
        image = assemble([Piece(raw.astype(kind), 0.5, 3.0, level=1000.0, saturation=59999.5)], shape=(1, 3))
        np.testing.assert_array_equal(image.mask, [[0, MaskBit.SATURATED, MaskBit.SATURATED]])
    just = assemble([Piece(raw[:, :2], 0.5, 3.0, saturation=60000)], shape=(1, 2))
    np.testing.assert_array_equal(just.mask, [[0, MaskBit.SATURATED]])
    beyond = assemble([Piece(raw, 0.5, 3.0, saturation=70000)], shape=(1, 3))
    assert not beyond.mask.any()


def test_raw_pixels_that_are_not_finite_are_bad_and_zero():
    raw = np.array([[1, np.nan], [np.inf, -np.inf]], ">f4")
    image = assemble([Piece(raw, 1.0, 3.0, saturation=100.0)], shape=(2, 2))
    np.testing.assert_array_equal(image.data, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(image.mask & MaskBit.BAD, [[0, 1], [1, 1]])


@pytest.mark.parametrize(("x0", "y0"), [(-1, 0), (0, -1), (3, 0), (0, 2)])
def test_a_piece_outside_the_image_is_a_wrong_declaration(x0, y0):
    with pytest.raises(DeclarationError, match="leaves the image"):
        assemble([Piece(np.ones((3, 4)), 1.0, 3.0, x0=x0, y0=y0)], shape=(4, 6))


def test_pieces_that_overlap_are_a_wrong_declaration():
    one, other = Piece(np.ones((3, 4)), 1.0, 3.0), Piece(np.ones((3, 4)), 1.0, 3.0, x0=3)
    with pytest.raises(DeclarationError, match="overlap"):
        assemble([one, other], shape=(3, 8))


def test_a_piece_is_two_dimensional():
    with pytest.raises(PixelError, match="2-D"):
        Piece(np.ones((2, 3, 4)), 1.0, 3.0)


def test_the_raw_data_and_strips_are_left_alone(rng):
    raw, level = coded(1, 10, 15), rng.normal(size=10)
    strip = strip_of(rng, np.full(300, 500.0))
    before = raw.copy(), level.copy(), strip.copy()
    assemble([Piece(raw, 1.0, 3.0, level=level, flip_x=True)], shape=(10, 15))
    overscan_level(strip)
    for each, was in zip((raw, level, strip), before, strict=True):
        np.testing.assert_array_equal(each, was)


@pytest.mark.parametrize("of_level", [0.3, "rows"], ids=["one level", "a level per row"])
def test_the_variance_of_one_amplifier_is_what_it_is_among_others(rng, of_level):
    """The same readout, alone and with a strip of a second one beside it."""
    of_level = rng.random(10).astype(np.float32) if of_level == "rows" else of_level
    raw = coded(1, 10, 15)
    one = Piece(raw, 1.7, 3.0, level=100.0, level_variance=of_level, flip_y=True)
    other = Piece(raw[:, :2], 1.7, 3.0, x0=15)
    alone, among = assemble([one], shape=(10, 15)), assemble([one, other], shape=(10, 17))
    for plane, wide in zip(alone, among, strict=True):
        assert plane.shape == (10, 15) and plane.dtype == wide.dtype
        np.testing.assert_array_equal(plane, wide[:, :15])
    assert alone.variance.strides[1] == 0


@pytest.mark.parametrize("level", [100.3, np.full(10, 100.3)], ids=["number", "rows"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_an_image_was_counted_in_gives_the_counts_back(rng, kind, level):
    raw = rng.integers(0, np.iinfo(kind).max, (10, 15)).astype(kind)
    piece = Piece(raw, 1.7, 3.0, level=level)
    counts = counts_of([piece], shape=(10, 15))
    back = assemble([piece], shape=(10, 15)).data.astype(float) / counts.gain + counts.level
    np.testing.assert_allclose(back, raw, atol=0.02)


def test_an_image_of_two_levels_or_of_other_numbers_was_not_counted_in_one():
    raw = np.ones((4, 6), np.uint16)
    for pieces in (
        [Piece(raw, 1.7, 3.0, level=np.arange(4.0))],
        [Piece(raw.astype(np.float32), 1.7, 3.0)],
        [Piece(raw.astype(np.int32), 1.7, 3.0)],
        [Piece(raw[:2], 1.7, 3.0)],
        [Piece(raw[:2], 1.7, 3.0), Piece(raw[2:], 1.7, 3.0, y0=2)],
    ):
        assert counts_of(pieces, shape=(4, 6)) is None


@pytest.mark.parametrize("gain", [0.7, 3.0, 12.0])
def test_rounding_to_whole_counts_adds_a_twelfth_of_the_squared_gain(rng, gain):
    true = rng.normal(5000, 40 * gain, 200_000)  # electrons, the noise of many counts
    added = np.var(gain * np.round(true / gain) - true)
    assert rounding_variance([gain]) == pytest.approx(added, rel=0.02)
    assert rounding_variance([gain, 2 * gain]) == pytest.approx(2.5 * added, rel=0.02)


class TestLevelOfData:
    """An overscan of other rows or columns than the data."""

    IMAGE = 500 + np.arange(40.0)[:, None] + np.zeros((40, 30))  # rows that climb by 1

    def test_beside_the_data_it_gives_a_level_for_each_of_its_rows(self):
        data, overscan = Section(0, 20, 5, 35), Section(22, 30, 0, 40)
        for degree in (None, 1):
            level, variance = level_of_data(self.IMAGE, data, overscan, degree=degree)
            np.testing.assert_allclose(level, 505 + np.arange(30), atol=1e-9)
            assert variance.shape == (30,)

    def test_rows_beyond_it_have_the_level_of_the_nearest(self):
        """As of an amplifier whose data begin with the second row, and its overscan with the first."""
        level, _ = level_of_data(self.IMAGE, Section(0, 20, 1, 40), Section(22, 30, 0, 36))
        np.testing.assert_allclose(level[:35], 501 + np.arange(35), atol=1e-9)
        np.testing.assert_allclose(level[35:], 535, atol=1e-9)

    @pytest.mark.parametrize("overscan", [Section(0, 30, 36, 40), Section(5, 25, 36, 40)])
    def test_above_the_data_it_gives_a_level_for_each_of_its_columns(self, overscan):
        image = self.IMAGE.T[:30] + np.zeros((40, 1))[:30]  # columns that climb
        image = np.vstack([image, image[:10]])
        level, variance = level_of_data(image, Section(6, 24, 0, 36), overscan)
        assert level.shape == variance.shape == (1, 18)
        np.testing.assert_allclose(level[0], 506 + np.arange(18), atol=1e-9)

    def test_an_image_is_the_same_whichever_way_its_levels_lie(self, rng):
        raw = rng.normal(1000, 3, (40, 30))
        rows = Piece(raw, gain=2, read_noise=1, level=np.full(40, 7.0), level_variance=np.full(40, 0.5))
        columns = Piece(
            raw, gain=2, read_noise=1, level=np.full((1, 30), 7.0), level_variance=np.full((1, 30), 0.5)
        )
        one, other = (assemble([piece], shape=raw.shape) for piece in (rows, columns))
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.variance, other.variance)
