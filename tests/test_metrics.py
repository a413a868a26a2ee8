"""Figures of noise by name."""

import pickle

import numpy as np
import pytest

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.metrics import METRICS, Metric, binned, named_metric

NAMES = [*METRICS, "binned:6", "cdpp:15"]
TIME = 2460729.9 + np.arange(500) * 30 / 86400


@pytest.mark.parametrize(("name", "points"), [("p2p", 1), ("std", 1), ("binned", 12), ("binned:6", 12)])
def test_white_noise_gives_what_its_points_per_figure_promise(rng, name, points):
    figures = [named_metric(name)(1 + 0.002 * rng.normal(size=500), TIME) for _ in range(30)]
    assert np.mean(figures) == pytest.approx(0.002 / np.sqrt(points), rel=0.06)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_tells_the_quieter_curve_with_holes_in_any_order(rng, name):
    quiet, loud = 1 + 0.002 * rng.normal(size=500), 1 + 0.003 * rng.normal(size=500)
    for flux in (quiet, loud):
        flux[rng.random(500) < 0.1] = np.nan
    mixed, metric = rng.permutation(500), named_metric(name)
    assert metric(quiet, TIME) < metric(loud, TIME)
    assert metric(quiet[mixed], TIME[mixed]) == pytest.approx(metric(quiet, TIME))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1])
def test_too_few_points_give_nan_in_silence(name, n):
    flux = np.full(20, np.nan)
    flux[:n] = 1.0
    assert np.isnan(named_metric(name)(flux, np.arange(20.0)))
    assert np.isnan(named_metric(name)([], []))


def test_a_trend_raises_the_binned_figure_and_not_the_point_to_point_one(rng):
    flux = 1 + 0.002 * rng.normal(size=500)
    trend = flux + np.linspace(0, 0.01, 500)
    assert binned(trend, TIME) > 3 * binned(flux, TIME)
    assert METRICS["p2p"](trend, TIME) == pytest.approx(METRICS["p2p"](flux, TIME), rel=0.02)


def test_a_bin_that_is_hardly_filled_does_not_count(rng):
    flux = 1 + 0.002 * rng.normal(size=500)
    time, lone = np.append(TIME, TIME[-1] + 1), np.append(flux, 2.0)
    assert binned(lone, time, width=10) == binned(flux, TIME, width=10)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_travels_to_another_process(rng, name):
    flux, metric = 1 + 0.01 * rng.normal(size=500), named_metric(name)
    assert pickle.loads(pickle.dumps(metric))(flux, TIME) == metric(flux, TIME)


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_metrics.py").write_text(
        "import numpy as np\n"
        "def spread(flux, time):\n    flux *= 2\n    return np.nanmax(flux) - np.nanmin(flux)\n"
        "def unknown(flux, time):\n    return float('nan')\n"
        "def many(flux, time):\n    return flux\n"
        "def endless(flux, time):\n    return float('inf')\n"
        "def nothing(flux, time):\n    return None\n"
        "def broken(flux, time):\n    return 1 / 0\n"
        "number = 3\n"
    )
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
def test_a_function_of_one_s_own_is_called_and_cannot_change_the_curve():
    flux = np.array([1.0, np.nan, 1.5])
    assert named_metric("own_metrics:spread")(flux, np.arange(3)) == 1
    assert flux[[0, 2]].tolist() == [1.0, 1.5]
    assert np.isnan(named_metric("own_metrics:unknown")(flux, np.arange(3)))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("own_metric:spread", r"own_metric:spread: the module cannot be imported .* PYTHONPATH"),
        ("own_broken:spread", r"cannot be imported \(ZeroDivisionError"),
        ("own_metrics:spred", "'spred' does not exist there"),
        ("own_metrics:number", "'number' is not a function"),
        ("cdp", "no such name; did you mean cdpp"),
        ("", "there are p2p, std, binned, cdpp"),
        ("own_metrics:", "no such name"),
        ("binned:wide", "'wide' is not a width"),
        ("cdpp:0", "'0' is not a width"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(text, culprit):
    with pytest.raises(UsageError, match=culprit):
        named_metric(text)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", ["many", "endless", "nothing"])
def test_a_result_that_is_no_number_is_told(name):
    with pytest.raises(UsageError, match=f"own_metrics:{name}: the function gave .* one number"):
        named_metric(f"own_metrics:{name}")([1.0, 2.0], [1.0, 2.0])


@pytest.mark.usefixtures("own")
def test_a_function_that_stops_is_told_with_its_cause():
    with pytest.raises(UsageError, match="stopped with ZeroDivisionError") as caught:
        named_metric("own_metrics:broken")([1.0], [1.0])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_metric_says_its_name():
    assert isinstance(named_metric("cdpp:60"), Metric)
    assert named_metric("cdpp:60").name == "cdpp:60"
