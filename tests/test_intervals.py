"""Intervals out of transit."""

import numpy as np
import pytest

from potpyri_like.errors import UsageError
from potpyri_like.lightcurves.intervals import named_scale, parse_intervals, select

TIME = 2460729.87 + np.arange(200) / 1000  # to 2460730.069


def parse(text):
    return parse_intervals(text, path_name="times.csv")


def test_intervals_are_read_in_order_of_time_whatever_surrounds_them():
    text = "\ufeff# out of transit\r\nFinal_Time, init_time ,note\r\n\r\n2460730.0,2460729.98,egress\r\n"
    text += "2460729.9,2460729.88\r\n,,\r\n"
    assert parse(text) == [(2460729.88, 2460729.9), (2460729.98, 2460730.0)]


@pytest.mark.parametrize("text", ["", "\n", "init_time,final_time\n", "# nothing yet\ninit_time,final_time"])
def test_an_empty_template_holds_no_interval(text):
    assert parse(text) == []


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("2460729.9,2460730.0\n", "line 1: the header is '2460729.9,2460730.0', without init_time and final"),
        ("init_time,end\n1,2\n", "line 1: .* without final_time; write 'init_time,final_time'"),
        ("init_time,final_time\n\n1,noon\n", "line 3: 'noon' is not a time; write two Julian dates"),
        ("init_time,final_time\n1,nan\n", "line 2: 'nan' is not a time"),
        ("init_time,final_time\n1\n", "line 2: '' is not a time"),
        (
            "init_time,final_time\n1,2\n4,3\n",
            "line 3: the interval begins at 4.0+ and ends at 3.0+; .*exchange",
        ),
        ("init_time,final_time\n5,6\n5,5\n", "line 3: the interval begins at"),
        ("init_time,final_time\n5,7\n1,2\n6,8\n", "lines 2 and 4: the intervals overlap, .*join them"),
    ],
)
def test_a_mistake_is_told_with_its_line(text, culprit):
    with pytest.raises(UsageError, match=f"times.csv, {culprit}"):
        parse(text)


def test_the_points_of_all_intervals_are_selected_ends_included():
    time = np.array([1.0, 2.0, 3.0, np.nan, 4.0, 5.0])
    assert select(time, [(2.0, 3.0), (4.5, 9.0)]).tolist() == [False, True, True, False, False, True]
    assert np.isnan(time[3])


def test_intervals_that_touch_are_two():
    assert parse("init_time,final_time\n1,2\n2,3\n") == [(1.0, 2.0), (2.0, 3.0)]


def test_without_intervals_all_points_are_taken():
    assert select([1.0, np.nan, 2.0], []).tolist() == [True, False, True]


def test_an_interval_without_a_point_is_told():
    with pytest.raises(UsageError, match=r"times.csv: interval 2, 2460735.0+ to .* correct the interval"):
        select(TIME, [(2460729.9, 2460730.0), (2460735.0, 2460736.0)], path_name="times.csv")
    with pytest.raises(UsageError, match="which has no times"):
        select([np.nan], [(1.0, 2.0)])


@pytest.mark.parametrize(
    ("offset", "advice"),
    [
        (-2400000.0, "add 2400000.0"),
        (-2400000.5, "add 2400000.5"),
        (2400000.0, "subtract 2400000.0"),
        (2400000.5, "subtract 2400000.5"),
    ],
)
def test_times_of_another_count_of_days_are_recognised(offset, advice):
    with pytest.raises(UsageError, match=f"another count of days: {advice}$"):
        select(TIME, [(2460729.9 + offset, 2460730.0 + offset)])


@pytest.mark.parametrize(
    ("first", "scale"),
    [("# time: BJD_TDB", "bjd_tdb"), ("# Scale = jd", "jd_utc"), ("# timed by hand: JD", ""), ("", "")],
)
def test_a_comment_names_the_scale_of_the_times(first, scale):
    text = f"{first}\ninit_time,final_time\n1,2\n"
    assert named_scale(text, path_name="times.csv") == scale
    assert parse_intervals(text, path_name="times.csv") == [(1.0, 2.0)]


def test_a_scale_that_is_not_known_is_an_error():
    with pytest.raises(UsageError, match=r"times.csv, line 1: MJD is no scale .* write BJD_TDB or JD_UTC"):
        named_scale("# time: MJD\n", path_name="times.csv")
