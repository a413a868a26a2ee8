import hashlib

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from toy import Toy

from potpyri_like.astrometry import fit_similarity
from potpyri_like.errors import PixelError, UsageError
from potpyri_like.instruments.gmos import Gmos
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.night import scan
from potpyri_like.store import read_header, read_raw
from potpyri_like.testing import NightPlan, simulate_night
from potpyri_like.testing.detector import photon_noise, read_out
from potpyri_like.testing.sky import PROFILES, Transit, star_image

pytestmark = pytest.mark.slow

GAIN, READ_NOISE = 1.3, 6.0  # of the toy
SHORT = {"frames": 3, "biases": 2, "darks": 1, "flats": 1}
NONE = {"biases": 0, "darks": 0, "flats": 0}
PLAIN = {"vignetting": 0.0, "dust": 0, "hot": 0.0, "bias_structure": 0.0, "wander": 0.0}


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def frames_of(folder, instrument, kind="science"):
    return [info for info in scan(folder, instrument).frames if info.kind == kind]


def pixels(path, hdu=0):
    return read_raw(path, lambda header: (hdu,))[1][hdu].astype(float)


def image(info, hdu=0):
    return pixels(info.path, hdu)


def centroid(picture, x, y, half=12):
    """Of the star near (x, y), above the local median."""
    x0, y0 = round(x) - half, round(y) - half
    stamp = picture[y0 : y0 + 2 * half + 1, x0 : x0 + 2 * half + 1]
    stamp = np.clip(stamp - np.median(stamp), 0, None)
    rows, columns = np.indices(stamp.shape)
    return x0 + np.sum(columns * stamp) / stamp.sum(), y0 + np.sum(rows * stamp) / stamp.sum()


# -- the sky ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("fwhm", [1.5, 4.0, 20.0])
def test_a_stars_pixels_add_up_to_its_flux(profile, fwhm):
    picture = star_image(
        (256, 256), np.array([[120.3, 131.8]]), np.array([1e5]), fwhm=(fwhm, fwhm), profile=profile
    )
    assert picture.sum(dtype=float) == pytest.approx(1e5, rel=1e-5)


@pytest.mark.parametrize("fwhm", [1.5, 3.0, 6.0])
def test_a_moffat_star_is_integrated_over_its_pixels(fwhm):
    x, y, alpha = 30.3, 29.6, fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)
    picture = star_image((61, 61), np.array([[x, y]]), np.array([1.0]), fwhm=(fwhm, fwhm))
    fine = (np.arange(61 * 15) + 0.5) / 15 - 0.5
    profile = 2 / (np.pi * alpha**2) / (1 + ((fine - x) ** 2 + (fine[:, None] - y) ** 2) / alpha**2) ** 3
    by_hand = profile.reshape(61, 15, 61, 15).sum(axis=(1, 3)) / 15**2
    assert np.abs(picture - by_hand).max() < 3e-3 * by_hand.max()  # 0.2 % lies beyond the stamp


def test_a_star_off_the_image_leaves_its_inner_part():
    flux = np.array([1.0])
    cut = star_image((40, 50), np.array([[-0.5, 20.0]]), flux, fwhm=(4, 4), profile="gauss")
    assert cut.sum() == pytest.approx(0.5, abs=1e-4)
    assert not star_image((40, 50), np.array([[-100.0, 20.0]]), flux, fwhm=(4, 4)).any()


def test_positions_and_fluxes_are_left_alone():
    xy, flux = np.array([[10.2, 11.7]]), np.array([100.0])
    before = xy.copy(), flux.copy()
    star_image((30, 30), xy, flux, fwhm=(3, 3))
    assert np.array_equal(xy, before[0])
    assert np.array_equal(flux, before[1])


def test_a_transits_mean_over_an_exposure_is_its_integral():
    transit = Transit(depth=0.02, centre=5.0, t14=0.1)
    times, exposure = np.linspace(4.93, 5.07, 29), 0.004
    fine = times[:, None] + exposure * ((np.arange(4000) + 0.5) / 4000 - 0.5)
    whole = transit.mean_flux(fine, 0.0).mean(axis=1)
    assert transit.mean_flux(times, exposure) == pytest.approx(whole, abs=1e-5)
    assert transit.mean_flux(np.array([4.9]), exposure) == pytest.approx([1.0], abs=1e-12)


def test_a_transit_is_as_deep_at_its_middle_as_was_asked_for_and_begins_and_ends_at_its_contacts():
    transit = Transit(depth=0.02, centre=5.0, t14=0.1, b=0.5, u1=0.6, u2=0.2)
    assert transit.mean_flux(np.array([5.0]), 0.0) == pytest.approx([0.98], abs=1e-9)
    contacts = np.array([4.9499, 4.9501, 5.0499, 5.0501])
    flux = transit.mean_flux(contacts, 0.0)
    assert flux[[0, 3]] == pytest.approx([1, 1], abs=1e-15)
    assert (flux[[1, 2]] < 1).all()
    uniform = Transit(depth=0.02, centre=5.0, t14=0.1, b=0.5, u1=0.0, u2=0.0)
    second = uniform.mean_flux(4.95 + uniform.t12 * np.array([0.98, 1.02, 1.5]), 0.0)
    assert second[0] > 0.98001, "the fall goes on until second contact"
    assert second[1:] == pytest.approx([0.98, 0.98], abs=1e-9)


# -- the detector -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [20.0, 150.0])
def test_photon_noise_has_poissons_mean_variance_and_skewness(rng, mean):
    counts = photon_noise(rng, np.full((1000, 1000), mean, np.float32)).astype(float)
    assert counts.mean() == pytest.approx(mean, abs=5e-3 * np.sqrt(mean))
    assert counts.var() == pytest.approx(mean, rel=0.01)
    assert np.mean((counts - mean) ** 3) / mean**1.5 == pytest.approx(1 / np.sqrt(mean), abs=0.02)


@pytest.fixture(scope="module")
def dull(tmp_path_factory):
    """A night of the toy without stars or structure: what the detector does is all there is."""
    folder = tmp_path_factory.mktemp("dull")
    detector = PLAIN | {"hot": 0.01, "hot_rate": 300.0}
    calibrations = {"biases": 2, "darks": 1, "flats": 2, "dark_exposures": (10.0, 30.0)}
    simulate_night(Toy(), folder, NightPlan(frames=1, **calibrations, **detector))
    return folder


def test_the_bias_has_the_level_and_the_read_noise_asked_for(dull):
    one, two = (image(info) for info in frames_of(dull, Toy(), "bias"))
    assert one.shape == (256, 288)
    assert one.mean() == pytest.approx(1000, abs=0.1)
    wanted = np.sqrt((READ_NOISE / GAIN) ** 2 + 1 / 12)  # and digitisation
    assert np.std(one - two) / np.sqrt(2) == pytest.approx(wanted, rel=0.01)


def test_the_overscan_has_the_bias_and_no_light(dull):
    flat = image(frames_of(dull, Toy(), "flat")[0])
    assert flat[:, 256:].mean() == pytest.approx(1000, abs=0.3)
    assert flat[:, 256:].std() == pytest.approx(READ_NOISE / GAIN, rel=0.03)
    assert flat[:, :256].min() > 10000


def test_two_flats_give_the_gain_asked_for(dull):
    cool = image(frames_of(dull, Toy(), "dark")[1])[:, :256] < 1200
    flats = [image(info)[:, :256][cool] - 1000 for info in frames_of(dull, Toy(), "flat")]
    levels = [flat.mean() for flat in flats]
    ratio = flats[0] / levels[0] - flats[1] / levels[1]  # the pixels' response cancels
    assert abs(levels[0] - levels[1]) > 100
    gain = sum(1 / level for level in levels) / ratio.var()
    assert gain == pytest.approx(GAIN, rel=0.02)


def test_hot_pixels_are_as_many_as_asked_for_stay_in_place_and_grow_with_the_exposure(dull):
    ten, thirty = (image(info)[:, :256] - 1000 for info in frames_of(dull, Toy(), "dark"))
    hot = thirty > 200  # the least has 0.1 x 300 electron/s x 30 s = 692 adu; the noise is 5
    assert hot.sum() == round(0.01 * 256 * 256)
    assert np.array_equal(hot, ten > 120)
    full = thirty[hot] < 58000
    assert np.sum(thirty[hot][full]) / np.sum(ten[hot][full]) == pytest.approx(3, rel=0.01)


def test_the_brightest_pixels_stop_at_saturation(tmp_path):
    simulate_night(Toy(), tmp_path, NightPlan(frames=1, **NONE, target_flux=1e7))
    assert image(frames_of(tmp_path, Toy())[0]).max() == 60000


def test_reading_out_leaves_the_electrons_alone(rng, tmp_path):
    simulate_night(Toy(), tmp_path, NightPlan(frames=1, **NONE))
    layout = Toy().layout(read_header(next(tmp_path.glob("*.fits"))))
    electrons = np.ones((256, 256), np.float32)
    read_out(rng, electrons, layout, {})
    assert (electrons == 1).all()


# -- the night ----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path):
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    for folder, seed in ((one, 1), (again, 1), (other, 2)):
        simulate_night(Toy(), folder, NightPlan(**SHORT, seed=seed))
    assert len(hashes(one)) == 9
    assert hashes(one) == hashes(again)
    assert not set(hashes(one).values()) & set(hashes(other).values())


def test_a_frame_does_not_depend_on_how_many_follow(tmp_path):
    where = {"start": "2025-02-23T00:00:00.000", "radec": SkyCoord(150 * u.deg, 30 * u.deg)}
    for name, frames in (("few", 2), ("many", 5)):
        plan = NightPlan(**SHORT | {"frames": frames}, depth=0.0, cadence=60, **where)
        simulate_night(Toy(), tmp_path / name, plan)
    few, many = hashes(tmp_path / "few"), hashes(tmp_path / "many")
    # The second science frame is the end of one night and not of the other.
    assert {name for name in few if few[name] != many[name]} == {"250222_main_R_0002.fits", "truth.ecsv"}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A night of three cameras, with its truth."""
    folder = tmp_path_factory.mktemp("three")
    files = {"binning": (2, 2), "size": (512, 512), "folders": True, "biases": 1, "darks": 1, "flats": 1}
    return simulate_night(Opticam(), folder, NightPlan(frames=5, exposure=10.001, **files, **PLAIN))


def test_opticam_frames_have_their_own_dialect(three):
    path = next(three.folder.glob("C2/*_r_0001.fits"))
    header = fits.getheader(path)
    assert header["SERIALN"] == "VSC-05530"
    assert header["EXPOSURE"] == 10.001
    assert header["BINNING"] == "2x2"
    assert len(header["UT"]) == len("2025-02-23 06:11:51.000")
    assert header["UT"][10] == " "
    assert not {"EXPTIME", "CHECKSUM", "DATE"} & set(header)


def test_three_cameras_observe_at_the_same_times_under_the_same_numbers(three):
    infos = frames_of(three.folder, Opticam())
    assert len(infos) == 15
    for number in range(1, 6):
        together = [info for info in infos if info.path.stem.endswith(f"_{number:04d}")]
        assert {(info.camera, info.band) for info in together} == {("C1", "g"), ("C2", "r"), ("C3", "z")}
        assert len({info.mid_time.isot for info in together}) == 1


def test_mid_times_read_back_are_true_to_a_millisecond(three):
    truth = {row["file"]: Time(row["mid_time"], scale="utc") for row in three.frames}
    for info in frames_of(three.folder, Opticam()):
        off = info.mid_time - truth[info.path.relative_to(three.folder).as_posix()]
        assert abs(off.to_value(u.ms)) < 0.1


def test_cameras_see_the_field_at_their_own_scale_rotation_and_place(three):
    stars = {name: three.stars[three.stars["camera"] == name] for name in ("C1", "C3")}
    both = sorted(set(stars["C1"]["star"]) & set(stars["C3"]["star"]))
    one, three_ = (
        np.array([[row["x"], row["y"]] for star in both for row in table[table["star"] == star]])
        for table in stars.values()
    )
    transform = fit_similarity(one, three_)
    assert transform.scale == pytest.approx(0.1397 / 0.1661, rel=1e-9)
    assert transform.rotation == pytest.approx(-0.33, abs=1e-9)
    assert transform(np.array([[255.5, 255.5]]))[0] == pytest.approx([255.5 - 3.0, 255.5 + 39.3], abs=1e-6)


@pytest.mark.parametrize("camera", ["C1", "C2", "C3"])
def test_the_target_is_where_the_truth_says_before_and_after_the_flip(three, camera):
    rows = three.frames[three.frames["camera"] == camera]
    assert list(rows["flipped"]) == [False, False, False, True, True]
    assert abs(rows["rotation"][-1]) == pytest.approx(180 - 0.2, abs=1e-6)
    for row in rows:
        angle = np.radians(row["rotation"])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        x, y = turn @ (np.array(three.target_xy[camera]) - 255.5) + 255.5 + [row["dx"], row["dy"]]
        found = centroid(pixels(three.folder / row["file"]), x, y)
        assert found == pytest.approx((x, y), abs=0.15)


def test_the_target_has_the_flux_of_the_truth(tmp_path):
    alone = PLAIN | NONE | {"response": 0.0, "comparisons": 0, "stars": 0, "drift": 5, "profile": "gauss"}
    plan = NightPlan(frames=5, depth=0.5, scintillation=False, seeing=(4.0, 4.0), sky=1.0, **alone)
    truth = simulate_night(Toy(), tmp_path, plan)
    flux = truth.stars["flux"][truth.stars["star"] == 0][0]
    assert list(truth.frames["target_factor"].round(3)) == [
        1.0,
        1.0,
        0.5,
        1.0,
        1.0,
    ]  # averaged over the exposure
    for row in truth.frames:
        electrons = (pixels(tmp_path / row["file"])[:, :256] - 1000) * GAIN
        light = electrons.sum() - 256**2 * row["sky"]
        wanted = flux * 30 * row["transparency"] * row["target_factor"]
        error = np.sqrt(wanted + 256**2 * (row["sky"] + READ_NOISE**2))
        assert error < 0.01 * wanted
        assert light == pytest.approx(wanted, abs=4 * error)


def test_every_amplifier_of_gmos_gives_the_same_sky(tmp_path):
    empty = PLAIN | {"response": 0.0, "stars": 0, "comparisons": 0, "target_flux": 0.001}
    plan = NightPlan(
        cameras=("GMOS-N Ham",), frames=1, size=(1, 128), binning=(2, 2), sky=300, biases=0, flats=0, **empty
    )
    truth = simulate_night(Gmos(), tmp_path, plan)
    info = frames_of(tmp_path, Gmos())[0]
    layout = Gmos().layout(read_header(info.path))
    sky = truth.frames["sky"][0]
    assert len(layout.readouts) == 12
    assert len({readout.gain for readout in layout.readouts}) == 12
    for readout in layout.readouts:
        raw = image(info, readout.hdu)
        level = (raw[readout.data.slices].mean() - raw[readout.overscan.slices].mean()) * readout.gain
        error = np.sqrt((sky + readout.read_noise**2) / raw[readout.data.slices].size)
        overscan = readout.read_noise / np.sqrt(raw[readout.overscan.slices].size)
        assert level == pytest.approx(sky, abs=4 * np.hypot(error, overscan))


def test_the_truth_can_be_read_and_lacks_nothing(three):
    table = Table.read(three.folder / "truth.ecsv")
    assert len(table) == 15
    assert all((three.folder / name).is_file() for name in table["file"])
    for column in ("bjd_tdb", "airmass", "fwhm_pix", "dx", "dy", "sky", "transparency", "target_factor"):
        assert np.isfinite(table[column]).all()
    assert table.meta["target_xy"]["C2"] == pytest.approx(three.target_xy["C2"])
    assert table.meta["depth"] == {"g": 0.015, "r": 0.015, "z": 0.015}
    assert table.meta["tc_bjd_tdb"] == three.tc
    assert table.meta["plan"]["seed"] == NightPlan.seed
    assert {"star", "camera", "band", "x", "y", "flux"} == set(
        Table.read(three.folder / "stars.ecsv").colnames
    )


def test_the_target_is_high_in_a_dark_night(three):
    assert three.frames["airmass"].max() < 1.3
    assert np.ptp(three.frames["bjd_tdb"]) == pytest.approx(3 / 24, rel=0.01)
    middle = three.frames["bjd_tdb"][2]
    assert middle - three.tc == pytest.approx(5.0005 / 86400, abs=1e-8)  # tc is the middle of the starts


def test_seeing_is_best_in_the_middle_of_the_night(three):
    fwhm = three.frames["fwhm_pix"][three.frames["camera"] == "C1"]
    assert np.argmin(fwhm) == 2
    assert fwhm[2] == pytest.approx(1.6 / (2 * 0.1397), rel=0.1)
    assert fwhm[0] == pytest.approx(2.6 / (2 * 0.1397), rel=0.1)


def test_hostile_frames_are_rejected_for_what_is_wrong_with_them(tmp_path):
    asked = ("truncated", "zeros", "no exposure", "shape")
    truth = simulate_night(Toy(), tmp_path, NightPlan(**SHORT, bad=asked))
    night = scan(tmp_path, Toy())
    reasons = {row.file: row.reason for row in night.rejected}
    assert "truncated" in reasons.pop(truth.bad["truncated"])
    assert "no EXPTIME card" in reasons.pop(truth.bad["no exposure"])
    assert "288 x 224 pixels" in reasons.pop(truth.bad["shape"])
    assert not reasons
    with pytest.raises(PixelError, match="every pixel"):
        pixels(tmp_path / truth.bad["zeros"])
    assert not set(truth.bad.values()) & set(truth.frames["file"])


def test_one_camera_takes_several_bands_in_turn(tmp_path):
    truth = simulate_night(
        Toy(), tmp_path, NightPlan(**SHORT | {"frames": 4}, bands=("V", "R"), depth={"V": 0.02})
    )
    found = sorted(frames_of(tmp_path, Toy()), key=lambda info: info.mid_time.mjd)
    assert [info.band for info in found] == list(truth.frames["band"]) == ["V", "R", "V", "R"]
    assert {info.band for info in frames_of(tmp_path, Toy(), "flat")} == {"V", "R"}
    assert truth.depth == {"V": 0.02, "R": 0.0}


def test_darks_of_other_exposures_are_made_on_request(tmp_path):
    simulate_night(Toy(), tmp_path, NightPlan(**SHORT, dark_exposures=(3.0, 60.0)))
    assert sorted(info.exposure.to_value(u.s) for info in frames_of(tmp_path, Toy(), "dark")) == [3.0, 60.0]


def test_a_cloud_takes_light(tmp_path):
    truth = simulate_night(Toy(), tmp_path, NightPlan(frames=9, **NONE, cloud=0.5, extinction=0.0))
    assert truth.frames["transparency"][2] == pytest.approx(0.5, rel=0.03)  # a quarter into the night
    assert truth.frames["transparency"][6] == pytest.approx(1.0, rel=0.03)


def test_a_night_that_cannot_be_is_rejected(tmp_path):
    with pytest.raises(UsageError, match="profile = 'airy'"):
        NightPlan(profile="airy")
    with pytest.raises(UsageError, match="bad = 'rotten'"):
        NightPlan(bad=("rotten",))
    with pytest.raises(UsageError, match="no camera of C1, C2, C3 has Q"):
        simulate_night(Opticam(), tmp_path, NightPlan(bands=("Q",)))
