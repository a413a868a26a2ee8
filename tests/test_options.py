from dataclasses import fields

import pytest

from potpyri_like.errors import UsageError
from potpyri_like.options import COMMAND_LINE, Options, options_with, public_name, read_config, value_type
from potpyri_like.stages import Option


def given(where="reduce.toml", **values):
    return Options().merged(values, where=where)


def rejected(where="reduce.toml", **values):
    with pytest.raises(UsageError) as caught:
        given(where, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_options_are_named_as_people_name_them():
    names = [public_name(item) for item in fields(Options)]
    assert list(Options().named()) == names and "filter" in names and "filter_" not in names
    assert given(filter="none").named()["filter"] == "none"


def test_every_option_says_what_it_does_and_has_one_type():
    for item in fields(Options):
        assert item.metadata["help"].endswith(".")
        assert value_type(item) in (bool, int, float, str)
    types = {public_name(item): value_type(item) for item in fields(Options)}
    assert types["aperture"] is float and types["stars"] is int and types["target_xy"] is str


def test_merging_changes_nothing_but_what_is_given():
    first = Options(stars=20)
    second = first.merged({"aperture": 2}, where="x")
    assert first == Options(stars=20) and second == Options(stars=20, aperture=2.0)
    assert isinstance(second.aperture, float)


def test_names_may_be_written_with_hyphens_or_underscores():
    assert given(**{"target-xy": "1,2"}) == given(target_xy="1,2") == Options(target_xy="1,2")


def test_none_says_nothing():
    assert Options(stars=20).merged({"stars": None, "filter": None}, where="x") == Options(stars=20)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("apperture", "aperture"),
        ("Stars", "stars"),
        ("target_yx", "target_xy"),
        ("ra-dec", "radec"),
        ("filters", "filter"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(wrong, right):
    message = rejected(**{wrong: 1})
    assert message.startswith(
        f"reduce.toml: there is no option {wrong!r}; did you mean {right}? known are target_xy,"
    )


def test_a_name_like_none_lists_what_there_is():
    message = rejected(zzzzzz=1)
    assert "did you mean" not in message
    assert all(name in message for name in Options().named())


def test_an_option_of_the_command_line_only_is_told_to_be_one():
    assert rejected(out="x") == "reduce.toml: out is an option of the command line only (--out)"


@pytest.mark.parametrize("value", [0, -3, 2.5, "12", True, float("nan"), float("inf"), [5], {"a": 1}])
def test_a_count_is_a_whole_number_above_0(value):
    assert rejected(stars=value) == f"reduce.toml: stars = {value!r}: give a whole number above 0"
    assert given(stars=20.0).stars == 20


@pytest.mark.parametrize("value", [0, -1.5, "2", False, float("nan"), float("inf"), [2.0]])
def test_an_aperture_is_a_number_above_0(value):
    assert rejected(aperture=value) == f"reduce.toml: aperture = {value!r}: give a number above 0"
    assert given(aperture=2).aperture == 2.0


@pytest.mark.parametrize("value", ["512,480", "C1:512,480", " C1: 512.5 , 480 ", "-3,1e2", "g:.5,7."])
def test_a_pixel_may_be_written_in_these_ways(value):
    assert given(target_xy=value).target_xy == value.strip()


@pytest.mark.parametrize(
    "value", ["512", "512 480", "a,b", "nan,5", "1,2,3", "C1:", "", "C1:C2:1,2", True, {"x": 1}]
)
def test_a_pixel_may_not_be_written_in_these_ways(value):
    assert rejected(target_xy=value).endswith(": give X,Y or CAMERA:X,Y, as in 512,480 or C1:512,480")


@pytest.mark.parametrize(
    "value",
    [
        "08:18:29.9 +25:19:59",
        "124.625 25.333",
        "124.625,-25",
        "08h18m29.9s -25d19m59s",
        "8 18 29.9 +25 19 59",
    ],
)
def test_coordinates_may_be_written_in_these_ways(value):
    assert given(radec=value).radec == value


@pytest.mark.parametrize("value", ["124.625", "WASP-12", "nan nan", "east north", "", True])
def test_coordinates_may_not_be_written_in_these_ways(value):
    assert "'HH:MM:SS.S +DD:MM:SS' or degrees" in rejected(radec=value)


@pytest.mark.parametrize("value", ["3", "3,5,8", "C1:3, 5"])
def test_comparison_stars_may_be_written_in_these_ways(value):
    assert given(comparisons=value).comparisons == value


@pytest.mark.parametrize("value", ["3,", "a", "3.5", "-1", "3;5", ""])
def test_comparison_stars_may_not_be_written_in_these_ways(value):
    assert rejected(comparisons=value).endswith(": give star numbers, as in 3,5,8 or C1:3,5,8")


def test_a_list_in_the_file_is_as_good_as_commas():
    assert given(target_xy=[512, 480.5], comparisons=[3, 5], radec=[124.625, 25.333]) == Options(
        target_xy="512,480.5", comparisons="3,5", radec="124.625,25.333"
    )


def test_a_number_may_name_a_target():
    assert given(target=51).target == "51"


@pytest.mark.parametrize("value", ["", "  ", {"a": 1}, [["a"]], True])
def test_a_target_is_some_text(value):
    assert rejected(target=value) == f"reduce.toml: target = {value!r}: give text"


def test_a_choice_may_be_written_in_any_letter_case_and_no_other_way():
    assert given(filter="Median", recipe="IMAGING") == Options(filter_="median", recipe="imaging")
    assert rejected(filter="mean") == "reduce.toml: filter = 'mean': give median or selective or none"


def test_a_wrong_value_on_the_command_line_is_quoted_as_it_was_typed():
    assert rejected(COMMAND_LINE, target_xy="left").startswith("--target-xy left: give X,Y")
    assert rejected(COMMAND_LINE, stars=0) == "--stars 0: give a whole number above 0"


def test_a_file_of_options_is_read_with_and_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "reduce.toml"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text('target-xy = [1, 2]\ntarget = "ε Eri"  # near\n', encoding=encoding)
        assert read_config(path) == {"target-xy": [1, 2], "target": "ε Eri"}


@pytest.mark.parametrize("content", [b"stars = ", b"= 5", b"stars = 5\nstars = 6", b"target = '\xff'", b"\0"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"my\.toml: not valid TOML \(.+\)$"):
        read_config(tmp_path / "my.toml")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"my\.toml: it cannot be read \(No such file or directory\)$"):
        read_config(tmp_path / "my.toml")
    with pytest.raises(UsageError, match=r"it cannot be read \(Is a directory\)$"):
        read_config(tmp_path)


def test_a_table_in_the_file_is_no_option():
    assert "there is no option 'reduce'" in rejected(reduce={"stars": 5})


def test_options_are_equal_where_they_say_the_same_whatever_plugins_offer_besides():
    more = options_with([Option("box", int, "Side of the boxes.", 32)])
    assert more(stars=20) == Options(stars=20) and hash(more(stars=20)) == hash(Options(stars=20))
    assert more(stars=20, box=3) != Options(stars=20) != Options(stars=21)
