import ast
import importlib
import importlib.metadata as metadata
import logging
import re
import sys
from textwrap import dedent

import pytest
from small_night import run

from potpyri_like.commands.shared import TOOLS
from potpyri_like.errors import PluginError, UnknownInstrument, UsageError
from potpyri_like.identity import instrument_identity
from potpyri_like.instruments.opticam import Opticam
from potpyri_like.options import Options
from potpyri_like.photometry import Optimal
from potpyri_like.plugins import load_plugins
from potpyri_like.products.declaration import instrument_page
from potpyri_like.run import pipeline, recipe
from potpyri_like.testing import NightPlan, simulate_night

INSTRUMENT = dedent(
    '''
    import astropy.units as u
    from astropy.coordinates import EarthLocation
    from astropy.time import Time
    from potpyri_like.instruments import Camera, FrameKind, HeaderKeywords, Instrument, Keyword, hookimpl

    class Mine(Instrument):
        """A camera of somebody.

        More about it.
        """

        name = "MINE"
        keywords = HeaderKeywords(kind=Keyword("IMAGETYP"), exposure=Keyword("EXPTIME", u.s))
        kinds = {"light": FrameKind.SCIENCE}
        cameras = (
            Camera(
                name="main",
                pixel_scale=0.6 * u.arcsec / u.pix,
                gain=1.3 * u.electron / u.adu,
                read_noise=6 * u.electron,
                saturation=60000 * u.adu,
            ),
        )
        site = EarthLocation.from_geodetic(lon=10 * u.deg, lat=45 * u.deg)

        def mid_time(self, header, exposure):
            return Time(header["DATE-OBS"]) + exposure / 2
    '''
)
HOOK = dedent(
    """
    @hookimpl
    def register_instruments():
        return [Mine]
    """
)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a plugin on the path as pip would: a module, and beside it its distribution's metadata."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def install(module, source, *, entry=None, version="1.2"):
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        name = module.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[potpyri_like]\n{entry or module} = {module}\n")
        made.append(module)
        importlib.invalidate_caches()

    yield install
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def registry(install):
    """Install one more plugin, and load what is installed."""

    def registry(source, *, module="plugin_of_mine", entry="mine"):
        install(module, source, entry=entry)
        return load_plugins()

    return registry


def failure_of(registry, module="plugin_of_mine"):
    """Its cause; the others are there nevertheless."""
    assert {"OPTICAM", "GMOS"} <= set(registry.instruments)
    (failure,) = [failure for failure in registry.failures if failure.plugin == module]
    assert failure.origin == module.replace("_", "-") + " 1.2"
    return failure.cause


class TestInstalled:
    def test_a_plugin_of_another_distribution_brings_its_instrument(self, registry):
        found = registry(INSTRUMENT + HOOK)
        assert found["MINE"].name == "MINE"
        mine = found.instruments["MINE"]
        assert (mine.plugin, mine.origin, mine.summary) == (
            "plugin_of_mine",
            "plugin-of-mine 1.2",
            "A camera of somebody.",
        )
        assert not found.failures

    def test_first_party_instruments_come_through_the_same_door(self):
        mine = {
            e.name for e in metadata.entry_points(group="potpyri_like") if e.value.startswith("potpyri_like.")
        }
        assert {"opticam", "gmos"} <= mine
        found = load_plugins()
        assert found.instruments["OPTICAM"].origin.startswith("potpyri-like ")
        assert isinstance(found["OPTICAM"], Opticam)
        assert not load_plugins([]).instruments

    @pytest.mark.parametrize("name", ["OPTICAM", "opticam", "OptiCam"])
    def test_a_name_is_known_in_any_letter_case(self, name):
        assert load_plugins()[name].name == "OPTICAM"

    def test_a_plugin_may_bring_several(self, registry):
        two = (
            INSTRUMENT
            + "\nclass Other(Mine):\n    name = 'OTHER'\n"
            + HOOK.replace("[Mine]", "(Mine, Other)")
        )
        assert {"MINE", "OTHER"} <= set(registry(two).instruments)

    def test_names_are_listed_in_order(self, registry):
        names = list(registry(INSTRUMENT + HOOK).instruments)
        assert names == sorted(names)


class TestFailures:
    """A plugin that fails is named with its cause, and never takes the others down."""

    @pytest.mark.parametrize(
        ("source", "cause"),
        [
            ("import no_such_module_at_all", "ModuleNotFoundError: .*no_such_module_at_all"),
            ("1 / 0", r"ZeroDivisionError: division by zero \(plugin_of_mine.py, line 1\)"),
            ("def broken(:", r"SyntaxError: .*\(plugin_of_mine.py, line 1\)"),
            ("raise SystemExit('run me as a script')", "SystemExit: run me as a script"),
            ("from potpyri_like.instruments import Instrumnet", "ImportError: .*Instrumnet"),
            (
                INSTRUMENT,
                "PluginError: it implements no hook: mark a function register_instruments with @hookimpl",
            ),
            (INSTRUMENT + HOOK.replace("@hookimpl", ""), "PluginError: it implements no hook"),
            (
                INSTRUMENT + HOOK.replace("register_instruments", "register_instrument"),
                "PluginError: .*register_instrument.*; the hooks are register_instruments, register_recipes, ",
            ),
            (INSTRUMENT + HOOK.replace("()", "(config)"), "PluginValidationError: .*config"),
            (
                INSTRUMENT + HOOK.replace("[Mine]", "Mine"),
                "PluginError: .*expected a list of Instrument classes",
            ),
            (INSTRUMENT + HOOK.replace("[Mine]", "None"), "PluginError: .*None; expected a list"),
            (INSTRUMENT + HOOK.replace("[Mine]", "[]"), r"PluginError: .*\[\]; expected a list"),
            (INSTRUMENT + HOOK.replace("[Mine]", "'MINE'"), "PluginError: .*'MINE'; expected a list"),
            (
                INSTRUMENT + HOOK.replace("[Mine]", "['MINE']"),
                "PluginError: .*'MINE', which is not a subclass",
            ),
            (INSTRUMENT + HOOK.replace("[Mine]", "[Mine()]"), "PluginError: .*Mine object.*not a subclass"),
            (INSTRUMENT + HOOK.replace("[Mine]", "[int]"), "PluginError: .*'int'>, which is not a subclass"),
            (
                INSTRUMENT
                + "\nclass Family(Instrument, abstract=True):\n    pass\n"
                + HOOK.replace("Mine", "Family"),
                "DeclarationError: Family: name is not declared",
            ),
            (
                INSTRUMENT + "    def __init__(self):\n        self.x = self.y\n" + HOOK,
                "AttributeError: .*'y'.*plugin_of_mine.py, line",
            ),
        ],
    )
    def test_the_cause_is_told(self, registry, source, cause):
        assert re.search(cause, failure_of(registry(source)))

    @pytest.mark.parametrize(
        ("wrong", "right", "cause"),
        [
            (
                "6 * u.adu,",
                "6 * u.electron,",
                "Camera 'main': read_noise = 6.0 adu has the unit adu; give it in electron",
            ),
            ("1.3,", "1.3 * u.electron / u.adu,", "Camera 'main': gain = 1.3 has no unit"),
            ('"EXPTIME", u.m)', '"EXPTIME", u.s)', "HeaderKeywords: exposure = EXPTIME has the unit m"),
        ],
    )
    def test_a_wrong_unit_names_the_attribute_and_the_plugin_s_line(self, registry, wrong, right, cause):
        source = INSTRUMENT.replace(right, wrong) + HOOK
        told = failure_of(registry(source))
        assert told.startswith(f"DeclarationError: {cause}")
        line = int(told.rsplit("line ", 1)[1].rstrip(")"))
        begins = "cameras = (" if "Camera" in cause else "keywords ="
        lines = source.splitlines()
        assert begins in "\n".join(lines[line - 3 : line])

    @pytest.mark.parametrize("missing", ["name", "keywords", "kinds", "cameras", "site", "mid_time"])
    def test_a_missing_declaration_names_the_class_and_the_attribute(self, registry, missing):
        source = INSTRUMENT.replace(f"def {missing}", f"def not_{missing}").replace(
            f"\n    {missing} =", f"\n    not_{missing} ="
        )
        assert f"DeclarationError: Mine: {missing} is not" in failure_of(registry(source + HOOK))

    def test_a_missing_constant_is_named(self, registry):
        source = INSTRUMENT.replace("            gain=1.3 * u.electron / u.adu,\n", "") + HOOK
        assert "TypeError" in (cause := failure_of(registry(source)))
        assert "'gain'" in cause

    def test_it_is_logged(self, registry, caplog):
        with caplog.at_level(logging.WARNING):
            registry("1 / 0")
        assert (
            "plugin plugin_of_mine (plugin-of-mine 1.2) could not be loaded: ZeroDivisionError" in caplog.text
        )

    def test_asking_for_its_instrument_tells_the_cause(self, registry):
        found = registry("1 / 0")
        with pytest.raises(
            PluginError, match=r"MINE: plugin_of_mine of plugin-of-mine 1\.2 .*division by zero"
        ):
            found["mine"]

    def test_asking_for_an_instrument_of_another_name_tells_that_a_plugin_failed(self, registry):
        found = registry("1 / 0", entry="somebody_s_cameras")
        with pytest.raises(
            UnknownInstrument, match=r"no instrument 'MINE'.*plugin_of_mine .*division by zero"
        ):
            found["MINE"]


class TestRivals:
    def test_a_name_that_two_plugins_claim_belongs_to_neither(self, install):
        install("plugin_a", INSTRUMENT + HOOK)
        install("plugin_b", INSTRUMENT + HOOK, version="2.0")
        found = load_plugins()
        assert "MINE" not in found.instruments
        assert {"OPTICAM", "GMOS"} <= set(found.instruments)
        assert {failure.plugin for failure in found.failures} == {"plugin_a", "plugin_b"}
        with pytest.raises(
            PluginError, match=r"MINE is claimed by plugin_a of plugin-a 1\.2 and plugin_b of plugin-b 2\.0"
        ):
            found["mine"]

    def test_the_other_instruments_of_a_rival_stay(self, install):
        install("plugin_a", INSTRUMENT + HOOK)
        two = (
            INSTRUMENT
            + "\nclass Other(Mine):\n    name = 'OTHER'\n"
            + HOOK.replace("[Mine]", "[Mine, Other]")
        )
        install("plugin_b", two)
        found = load_plugins()
        assert found["OTHER"].name == "OTHER"
        assert "MINE" not in found.instruments

    def test_a_plugin_cannot_take_the_name_of_a_built_in_unseen(self, registry):
        found = registry(INSTRUMENT.replace('"MINE"', '"OPTICAM"') + HOOK)
        with pytest.raises(PluginError, match=r"OPTICAM is claimed by .*plugin_of_mine.*uninstall one"):
            found["opticam"]
        assert "GMOS" in found.instruments


class TestDoor:
    """What pluggy's users expect of a host."""

    def test_a_blocked_plugin_is_not_even_imported(self, install, monkeypatch):
        install("plugin_of_mine", "raise SystemExit('imported')", entry="mine")
        assert not load_plugins(block=["mine"]).failures
        assert load_plugins().failures

    def test_with_ours_blocked_a_stranger_s_still_runs(self, install):
        install("plugin_of_mine", INSTRUMENT + HOOK, entry="mine")
        found = load_plugins(block=["opticam", "gmos", "photometers"])
        assert "MINE" in found.instruments and "OPTICAM" not in found.instruments
        assert "aperture" not in found.photometers

    @pytest.mark.parametrize("version", [0, 2, "1.1"])
    def test_one_written_for_another_interface_is_named_and_not_run(self, registry, version):
        source = (
            INSTRUMENT + HOOK.replace("return [Mine]", "1 / 0") + f"potpyri_like_interface = {version!r}\n"
        )
        cause = failure_of(registry(source))
        assert f"written for version {version} of the plugin interface" in cause and "Zero" not in cause

    def test_one_that_states_this_interface_or_none_runs(self, registry):
        assert "MINE" in registry(INSTRUMENT + HOOK + "potpyri_like_interface = 1\n").instruments

    def test_an_instrument_named_like_a_command_is_rejected_where_it_is_loaded(self, install):
        install("plugin_of_mine", INSTRUMENT.replace('"MINE"', '"WATCH"') + HOOK, entry="mine")
        assert "is already a command of reduce" in failure_of(load_plugins(reserved=["watch", "batch"]))
        assert "WATCH" in load_plugins(reserved=["batch"]).instruments

    @pytest.mark.parametrize("command", TOOLS)
    def test_the_command_line_rejects_an_instrument_that_is_named_like_a_command(self, install, command):
        install("plugin_of_mine", INSTRUMENT.replace('"MINE"', repr(command.upper())) + HOOK, entry="mine")
        done = run("instruments")
        assert done.status == 3 and f"name = '{command.upper()}' is already a command of reduce" in done.err
        assert "OPTICAM" in done.out and command.upper() not in done.out

    def test_the_order_of_products_is_that_of_pluggy_s_calls(self, install):
        product = dedent(
            """
            from potpyri_like.hookspecs import hookimpl
            from potpyri_like.stages import Product

            @hookimpl(MARK)
            def register_products():
                return [Product("NAME.txt", "words", (), lambda shown: "words")]
            """
        )
        for name, mark in (("a", ""), ("b", "trylast=True"), ("c", "tryfirst=True")):
            install(f"plugin_{name}", product.replace("NAME", name).replace("MARK", mark))
        mine = [name for name in load_plugins().products if name in ("a.txt", "b.txt", "c.txt")]
        assert mine == ["c.txt", "a.txt", "b.txt"]

    def test_two_plugins_with_one_product_name_are_both_named(self, install):
        product = dedent(
            """
            from potpyri_like.hookspecs import hookimpl
            from potpyri_like.stages import Product

            @hookimpl
            def register_products():
                return [Product("mine.txt", "words", (), lambda shown: "words")]
            """
        )
        install("plugin_a", product)
        install("plugin_b", product, version="2.0")
        found = load_plugins()
        assert "mine.txt" not in found.products
        assert all("plugin-a 1.2 and plugin_b of plugin-b 2.0" in one.cause for one in found.failures)
        assert {one.plugin for one in found.failures} == {"plugin_a", "plugin_b"}

    def test_a_product_of_ours_stays_where_a_plugin_claims_its_name(self, install):
        product = dedent(
            """
            from potpyri_like.hookspecs import hookimpl
            from potpyri_like.stages import Product

            @hookimpl
            def register_products():
                return [Product("lightcurve.ecsv", "words", (), lambda shown: "words")]
            """
        )
        install("plugin_a", product)
        found = load_plugins()
        assert found.products["lightcurve.ecsv"].plugin == "potpyri_like.products.ours"
        (failure,) = found.failures
        assert failure.plugin == "plugin_a" and "the name lightcurve.ecsv is already used" in failure.cause

    def test_without_our_recipes_and_products_a_strangers_still_run(self, install, tmp_path, monkeypatch):
        stranger = dedent(
            """
            from dataclasses import dataclass
            from potpyri_like.hookspecs import hookimpl
            from potpyri_like.primitives.trim import Trim
            from potpyri_like.stages import Field, FrameStage, Product, Recipe
            from potpyri_like.primitives.fields import TRIMMED

            LEVEL = Field("level_of_frame", float, "median", per="frame")

            @dataclass(frozen=True)
            class Level(FrameStage):
                reads = (TRIMMED,)
                gives = (LEVEL,)

                def __call__(self, frame, setup):
                    return frame.after("level", level_of_frame=float(frame.data.mean()))

            @hookimpl
            def register_recipes():
                return [Recipe("levels", (Trim(), Level()), "levels")]

            @hookimpl
            def register_products():
                return [Product("levels.txt", "levels", (LEVEL,), lambda shown: repr(shown[LEVEL]))]
            """
        )
        install("plugin_a", stranger)
        found = load_plugins(block=("recipes", "products"))
        ours = [one for one in found.products.values() if one.plugin.startswith("potpyri_like.")]
        assert not ours and "timeseries" not in found.recipes and "levels" in found.recipes
        monkeypatch.setattr(recipe, "installed", lambda: found)
        plan = NightPlan(frames=3, cameras=("C1",), size=(96, 96), darks=1, flats=1, stars=3, comparisons=3)
        simulate_night(Opticam(), tmp_path / "night", plan)
        pipeline.reduce_night(Opticam(), tmp_path / "night", options=Options(jobs=1, recipe="levels"))
        folder = tmp_path / "night" / "red" / "WASP-0" / "g"
        assert len(ast.literal_eval((folder / "levels.txt").read_text())) == 3
        assert not list(folder.glob("*.ecsv"))

    def test_a_recipe_that_reads_what_nobody_gives_names_the_author_s_line(self, registry):
        recipe = dedent(
            """
            from dataclasses import dataclass
            from potpyri_like.hookspecs import hookimpl
            from potpyri_like.stages import Field, Recipe, Stage

            @dataclass(frozen=True)
            class Smooth(Stage):
                reads = (Field("moonlight", float, "the light of the moon"),)

            @hookimpl
            def register_recipes():
                return [Recipe("mine", (Smooth(),))]
            """
        )
        cause = failure_of(registry(recipe))
        assert "recipe mine: Smooth reads moonlight, which no stage gives" in cause
        line = 1 + next(n for n, text in enumerate(recipe.splitlines()) if "return [Recipe" in text)
        assert cause.endswith(f"(plugin_of_mine.py, line {line})")


PHOTOMETER = dedent(
    '''
    from dataclasses import dataclass
    from typing import ClassVar
    import numpy as np
    from potpyri_like.hookspecs import hookimpl
    from potpyri_like.photometry import Photometer

    @dataclass(frozen=True)
    class Mine(Photometer):
        """Nothing at all.

        More about it.
        """

        name: ClassVar[str] = "mine"
        half: int = 2

        def sizes(self, template):
            return np.ones(1)

        def measure(self, scene):
            return scene.blank(1)

    @hookimpl
    def register_photometers():
        return [Mine]
    '''
)


class TestPhotometers:
    def test_our_own_come_through_the_same_door(self):
        found = load_plugins()
        assert not load_plugins([]).photometers
        ours = {"aperture", "mask", "optimal", "psf", "shape"}
        assert ours <= set(found.photometers)
        assert all(
            item.origin.startswith("potpyri-like ") for item in (found.photometers[name] for name in ours)
        )
        assert found.photometer("Optimal") == Optimal() and not found.failures

    def test_a_plugin_brings_one_and_no_instrument(self, registry):
        found = registry(PHOTOMETER)
        item = found.photometers["mine"]
        assert (item.summary, item.plugin, item.origin) == (
            "Nothing at all.",
            "plugin_of_mine",
            "plugin-of-mine 1.2",
        )
        assert found.photometer("MINE").half == 2 and not found.failures

    def test_a_plugin_brings_both(self, registry):
        found = registry(
            INSTRUMENT + HOOK + PHOTOMETER.replace("class Mine", "class Other").replace("[Mine]", "[Other]")
        )
        assert found["MINE"].name == "MINE" and found.photometer("mine").name == "mine"

    @pytest.mark.parametrize("wrong", ["apperture", "APERTUR", "apertures"])
    def test_the_nearest_name_is_suggested(self, wrong):
        with pytest.raises(
            UsageError, match=rf"no photometer '{wrong}'; did you mean aperture\? Installed: aperture, "
        ):
            load_plugins().photometer(wrong)

    def test_a_name_that_two_plugins_claim_belongs_to_neither(self, install):
        install("plugin_a", PHOTOMETER)
        install("plugin_b", PHOTOMETER, version="2.0")
        found = load_plugins()
        assert "mine" not in found.photometers and "aperture" in found.photometers
        with pytest.raises(
            PluginError, match=r"mine is claimed by plugin_a of plugin-a 1\.2 and plugin_b of plugin-b 2"
        ):
            found.photometer("mine")

    def test_a_plugin_cannot_take_the_name_of_ours_unseen(self, registry):
        found = registry(PHOTOMETER.replace('"mine"', '"optimal"'))
        with pytest.raises(PluginError, match=r"optimal is claimed by .*plugin_of_mine.* and potpyri_like"):
            found.photometer("optimal")

    def test_one_that_failed_is_told_where_it_is_asked_for(self, registry):
        found = registry("1 / 0")
        for name in ("mine", "other"):
            with pytest.raises((PluginError, UsageError), match=r"plugin_of_mine of .*division by zero"):
                found.photometer(name)

    @pytest.mark.parametrize(
        ("change", "cause"),
        [
            (("@dataclass(frozen=True)", "@dataclass"), "non-frozen|not a frozen dataclass"),
            (("@dataclass(frozen=True)", ""), "Mine cannot be used: not a frozen dataclass"),
            (("half: int = 2", "half: int"), "its field half has no default"),
            (("def measure", "def measures"), "it lacks measure"),
            (('"mine"', '"my own"'), "invalid name 'my own'"),
            (("[Mine]", "[Photometer]"), "Photometer cannot be used: it lacks measure, sizes"),
            (
                ("[Mine]", "[int]"),
                "register_photometers returns <class 'int'>, which is not a subclass of Photometer",
            ),
            (("[Mine]", "Mine"), "expected a list of Photometer classes"),
            (("[Mine]", "[]"), "expected a list of Photometer classes"),
            (
                ("register_photometers", "register_photometer"),
                "the hooks are register_instruments, register_recipes, register_products, register_photometers",
            ),
        ],
        ids=lambda value: value[1] if isinstance(value, tuple) else "",
    )
    def test_the_cause_is_told_where_one_cannot_be_used(self, registry, change, cause):
        assert re.search(cause, failure_of(registry(PHOTOMETER.replace(*change))))

    def test_a_byte_of_its_plugin_changes_its_digest(self, registry, tmp_path):
        photometer = registry(PHOTOMETER).photometer("mine")
        before = photometer.digest
        source = tmp_path / "plugin_of_mine.py"
        source.write_text(source.read_text() + "#")
        assert photometer.digest == before  # it is read once for each process, like the code itself
        instrument_identity.cache_clear()
        assert photometer.digest != before
        assert type(photometer)(3).digest != photometer.digest


class TestUnknown:
    @pytest.mark.parametrize("wrong", ["OPTICOM", "optiam", "OPTICAM2"])
    def test_the_nearest_name_is_suggested(self, wrong):
        with pytest.raises(
            UnknownInstrument, match=rf"no instrument '{wrong}'; did you mean OPTICAM\? Installed: .*GMOS"
        ):
            load_plugins()[wrong]

    def test_nothing_like_it_is_not_suggested(self):
        with pytest.raises(UnknownInstrument, match=r"no instrument 'xyzzy'\. Installed: .*OPTICAM"):
            load_plugins()["xyzzy"]

    def test_without_any_plugin_it_says_so(self):
        with pytest.raises(UnknownInstrument, match="Installed: none"):
            load_plugins([])["OPTICAM"]


class TestPage:
    """What `reduce instruments NAME` prints."""

    def page(self, name):
        found = load_plugins()
        return "\n".join(instrument_page(found[name], found.instruments[name].origin))

    def test_it_shows_cards_rules_cameras_and_constants(self, registry):
        registry(INSTRUMENT + HOOK)
        text = self.page("MINE")
        for line in (
            "MINE: A camera of somebody.",
            "from plugin-of-mine 1.2",
            "  exposure  EXPTIME [s]",
            "  mid-time  from DATE-OBS",
            "  science: IMAGETYP is 'light'",
            "    gain             1.3 electron / adu",
            "  site             +45.00000 deg N, +10.00000 deg E, 0 m",
            "  3x3 filter       none",
            "  recipe           timeseries",
        ):
            assert line in text.splitlines()

    def test_the_page_of_opticam_tells_the_cameras_apart_and_the_time(self):
        text = self.page("OPTICAM")
        for serial in ("VSC-05535", "VSC-05530", "VSC-05522"):
            assert serial in text
        assert "GPSTIME, else UT, else DATE-OBS" in text
        assert "    pedestal         100 adu" in text
        assert "  3x3 filter       median, for exposures of 10 s and longer" in text

    def test_the_page_of_gmos_tells_both_sites_and_the_cards_of_the_constants(self):
        text = self.page("GMOS")
        assert "  band      FILTER1 and FILTER2" in text
        assert "    gain             from the card GAIN [electron / adu]" in text
        assert "-30.24074 deg N" in text
        assert "+19.82383 deg N" in text
