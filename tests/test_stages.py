from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from potpyri_like.errors import DeclarationError
from potpyri_like.stages import (
    Field,
    Input,
    Option,
    Product,
    Recipe,
    Stage,
    coarser,
    configured,
    option,
)

RAW = Field("raw", bytes, "a file", per="frame")
LEVEL = Field("level", float, "of the sky", per="frame")
CURVE = Field("curve", float, "of the night")
NOISE = Field("noise", float, "of the curve")


@dataclass(frozen=True)
class Read(Stage):
    per = "frame"
    gives = (RAW,)


@dataclass(frozen=True)
class Level(Stage):
    per = "frame"
    reads = (RAW,)
    gives = (LEVEL,)
    box: int = option("Side of the boxes, pixels.", 32, by="night")


@dataclass(frozen=True)
class Join(Stage):
    reads = (Input(LEVEL, many=True), Input(NOISE, required=False))
    gives = (CURVE,)
    inner: tuple[Stage, ...] = (Level(),)


@dataclass(frozen=True)
class Doubt(Stage):
    reads = (Input(CURVE, required=False),)
    gives = (NOISE,)


def names(recipe):
    return [stage.name for stage in recipe.stages]


def test_stages_come_after_those_whose_outputs_they_read():
    assert names(Recipe("mine", (Join(), Level(), Read()))) == ["Read", "Level", "Join"]


def test_where_inputs_leave_a_choice_the_recipe_s_own_order_stands():
    @dataclass(frozen=True)
    class One(Stage):
        pass

    @dataclass(frozen=True)
    class Two(Stage):
        pass

    assert names(Recipe("mine", (Two(), One()))) == ["Two", "One"]
    assert names(Recipe("mine", (One(), Two()))) == ["One", "Two"]


def test_what_is_read_and_given_by_nobody_is_an_error_where_the_recipe_is_made():
    with pytest.raises(DeclarationError, match="recipe mine: Level reads raw, which no stage gives"):
        Recipe("mine", (Level(),))


def test_an_optional_input_may_be_given_by_nobody():
    assert names(Recipe("mine", (Doubt(),))) == ["Doubt"]


def test_stages_that_wait_for_one_another_are_named():
    with pytest.raises(DeclarationError, match="between the stages Join, Doubt"):
        Recipe("mine", (Read(), Level(), Join(), Doubt()))


def test_two_stages_that_give_the_same_are_named():
    @dataclass(frozen=True)
    class Other(Stage):
        per = "frame"
        gives = (RAW,)

    with pytest.raises(DeclarationError, match="Read and Other both give raw"):
        Recipe("mine", (Read(), Other()))


def test_an_option_that_is_taken_is_an_error_that_names_both():
    @dataclass(frozen=True)
    class Other(Stage):
        box: int = option("Another box.", 3)

    with pytest.raises(DeclarationError, match="Other and Level both declare the option box"):
        Recipe("mine", (Read(), Level(), Other()))


def test_options_are_the_settings_of_stages_nested_ones_too():
    recipe = Recipe("mine", (Read(), Level(), Join()))
    assert recipe.options == (Option("box", int, "Side of the boxes, pixels.", 32, by="night"),)
    level, join = (configured(stage, {"box": 8}) for stage in recipe.stages[1:])
    assert level.box == 8 and join.inner[0].box == 8
    assert configured(recipe.stages[1], {"box": None}).box == 32
    assert Level().box == 32


def test_only_the_user_may_set_an_option_that_does_not_say_otherwise():
    @dataclass(frozen=True)
    class Mine(Stage):
        runs: str = option("What runs.", "nothing")

    assert Recipe("mine", (Mine(),)).options[0].by == "user"


def test_a_recipe_ends_with_the_stage_that_is_named():
    recipe = Recipe("mine", (Read(), Level(), Join()))
    assert names(recipe.until("level")) == ["Read", "Level"]
    with pytest.raises(DeclarationError, match="no stage 'levl'; did you mean Level"):
        recipe.until("levl")


def test_a_stage_is_skipped_where_nothing_needs_it():
    recipe = Recipe("mine", (Read(), Level(), Doubt()))
    assert names(recipe.without("Level")) == ["Read", "Doubt"]
    with pytest.raises(DeclarationError, match=r"Read cannot be skipped: Level needs raw \(a file\)"):
        recipe.without("Read")


def test_the_stage_that_gives_a_field_is_found_by_the_field():
    recipe = Recipe("mine", (Read(), Level()))
    assert recipe.giver(LEVEL) == Level() and recipe.giver(CURVE) is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Field("x", int, "", per="star"),
            "field 'x': per = 'star'; the groupings are frame, exposure",
        ),
        (lambda: Input(LEVEL, many=True, nearest=3), "give either many or nearest, not both"),
        (lambda: option("x", [1]), "an option of type list"),
        (lambda: Option("x", int, "", by="anybody"), "by = 'anybody'; it is user or night"),
        (lambda: Product("a/b.txt", "", (), str), "must be plain names"),
        (lambda: Product("b.txt", "", (), str, per="frame"), "per = 'frame'"),
    ],
)
def test_a_wrong_declaration_is_an_error_where_it_is_made(make, words):
    with pytest.raises(DeclarationError, match=words):
        make()


def test_a_stage_s_grouping_and_fields_are_checked_where_its_class_is_made():
    with pytest.raises(DeclarationError, match="stage Odd: per = 'minute'"):

        class Odd(Stage):
            per: ClassVar[str] = "minute"

    with pytest.raises(DeclarationError, match="'level' is not a Field"):

        class Strange(Stage):
            reads = ("level",)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("run", "night", True),
        ("night", "run", False),
        ("target", "observation", True),
        ("exposure", "frame", True),
        ("observation", "exposure", False),
        ("night", "night", True),
    ],
)
def test_a_grouping_is_coarser_where_it_shares_less(one, other, expected):
    assert coarser(one, other) is expected


def test_a_setting_that_is_no_option_cannot_be_set():
    @dataclass(frozen=True)
    class Mine(Stage):
        size: int = field(default=3)

    assert configured(Mine(), {"size": 5}).size == 3


def test_a_stage_answers_to_its_former_names():
    import potpyri_like.primitives as primitives

    recipe = primitives.timeseries()
    former = {old: stage for stage in recipe.stages for old in stage.former_names}
    assert former["PickVariable"].name == "ChooseTarget" and former["HotPixels"].name == "FilterPixels"
    for old, stage in former.items():
        assert recipe.stages[recipe.position(old)] is stage
    assert recipe.until("hot_pixels").stages[-1].name == "FilterPixels"
    assert primitives.PickVariable is primitives.ChooseTarget and primitives.Find is primitives.DetectStars
    with pytest.raises(AttributeError, match="PickNothing"):
        _ = primitives.PickNothing
