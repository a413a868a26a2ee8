import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "potpyri_like"
MODULES = sorted(PACKAGE.rglob("*.py"))
BUILT_IN = ("instruments/opticam.py", "instruments/gmos.py")
NUMERICS = ("imaging", "photometry", "astrometry")
PUBLIC = (
    *NUMERICS,
    "cli",
    "commands.reduce",
    "commands.shared",
    "errors",
    "frame",
    "hookspecs",
    "instruments",
    "night",
    "options",
    "run.pipeline",
    "plugins",
    "primitives",
    "products",
    "stages",
    "results",
    "store",
    "testing",
)


def inside(path):
    return path.relative_to(PACKAGE).as_posix()


@cache
@functools.cache
def parsed(path):
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def tree(path):
    return list(ast.walk(parsed(path)))


def nodes(path, kind):
    return [node for node in tree(path) if isinstance(node, kind)]


def imported(path):
    """The modules that a file imports, by their full names."""
    for node in nodes(path, (ast.Import, ast.ImportFrom)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield "." * node.level + (node.module or "")


def names_in(handler):
    """The names of the exceptions that an except clause catches."""
    if handler.type is None:
        return {"BaseException"}
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


def called(path):
    """The names of the functions that a file calls, with the module for `sys.exit` and its like."""
    return {ast.unparse(call.func) for call in nodes(path, ast.Call)}


def test_imports_go_downwards_only():
    pytest.importorskip("importlinter", reason="import-linter is not installed; make lint asks the same")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_module_has_its_layer():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract, *_ = project["tool"]["importlinter"]["contracts"]
    layers = {name for layer in contract["layers"] for name in layer.split(" | ")}
    assert layers == {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}


def test_imports_are_absolute():
    relative = {inside(path) for path in MODULES for name in imported(path) if name.startswith(".")}
    assert not relative


def test_the_numerics_read_no_file_and_know_no_instrument():
    forbidden = re.compile(
        r"astropy\.(io|nddata)|pathlib|os\b|potpyri_like\.(instruments|store|night|plugins)"
    )
    found = [
        (inside(path), name)
        for package in NUMERICS
        for path in (PACKAGE / package).rglob("*.py")
        for name in imported(path)
        if forbidden.match(name)
    ]
    assert not found


def test_the_core_names_no_instrument():
    found = [
        f"{inside(path)}:{number}: {line.strip()}"
        for path in (*MODULES, *PACKAGE.rglob("*.j2"))
        if inside(path) not in BUILT_IN
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if re.search("opticam|gmos|hall42", line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def test_the_core_names_nothing_that_the_second_example_brings():
    words = ("extras", "skycheck", "unevenness", "CompareCameras", "balance.ecsv")
    example = ROOT / "examples" / "potpyri-like-extras" / "potpyri_like_extras.py"
    text = f"{example.stem}\n{example.read_text('utf-8')}"
    assert all(word in text for word in words), "the example has other words now"
    found = [
        f"{inside(path)}:{number}: {line.strip()}"
        for path in (*MODULES, *PACKAGE.rglob("*.j2"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if re.search("|".join(map(re.escape, words)), line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def test_the_library_neither_prints_nor_exits():
    forbidden = {"print", "sys.exit", "exit", "quit", "os._exit"}
    found = {inside(path): calls for path in MODULES if (calls := called(path) & forbidden)}
    assert found == {"run/workers.py": {"os._exit"}}, "a worker ends with the process that started it"
    shows = {inside(path).partition("/")[0] for path in MODULES if "click.echo" in called(path)}
    assert shows == {"cli.py", "commands", "interface"}
    exits = {inside(path) for path in MODULES if "SystemExit" in called(path)}
    assert exits == {"cli.py", "commands/console.py", "commands/instruments.py", "commands/shared.py"}


def translates(handler):
    """Whether a clause only says the same as another error (sep, for one, raises nothing but Exception)."""
    (*before, last) = handler.body
    return not before and isinstance(last, ast.Raise) and last.exc is not None and last.cause is not None


def test_everything_is_caught_only_where_a_plugin_is_loaded_a_frame_run_or_a_task_handed_over():
    broad = {
        inside(path)
        for path in MODULES
        for handler in nodes(path, ast.ExceptHandler)
        if names_in(handler) & {"Exception", "BaseException"} and not translates(handler)
    }
    assert sorted(broad) == ["plugins.py", "run/runner.py", "run/workers.py"]


def test_a_plugin_that_imports_the_hooks_imports_nothing_else():
    code = (
        "import sys, potpyri_like.hookspecs; print([m for m in sys.modules if m.startswith('potpyri_like.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['potpyri_like.hookspecs']"


def test_importing_the_package_is_cheap():
    code = "import sys, potpyri_like; print({'numpy', 'astropy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def members(thing):
    """A class's own public methods and properties, by name."""
    if not inspect.isclass(thing):
        return
    for name, member in vars(thing).items():
        if not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property | classmethod)
        ):
            yield f"{thing.__name__}.{name}", getattr(thing, name)


@pytest.mark.parametrize("module", PUBLIC)
def test_everything_public_is_documented(module):
    public = importlib.import_module(f"potpyri_like.{module}")
    things = [getattr(public, name) for name in public.__all__]
    things = [thing for thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]
    bare = [thing.__name__ for thing in things if not (thing.__doc__ or "").strip()]
    assert not bare


def test_the_methods_that_an_author_overrides_are_documented():
    from potpyri_like.instruments import Instrument

    bare = [name for name, member in members(Instrument) if not inspect.getdoc(member)]
    assert not bare


def test_the_contract_reads_in_four_sections():
    text = (PACKAGE / "instruments" / "base.py").read_text("utf-8")
    headings = re.findall(r"^    # -- (.+?) -+$", text, re.MULTILINE)
    assert headings == ["header keywords", "trimming", "calibration", "the 3x3 filter"]
    assert len(text.splitlines()) < 300, "it is read in one sitting"


def test_every_module_says_what_it_is():
    assert not [inside(path) for path in MODULES if not ast.get_docstring(parsed(path))]


def test_all_is_what_there_is():
    for module in PUBLIC:
        public = importlib.import_module(f"potpyri_like.{module}")
        assert not [name for name in public.__all__ if not hasattr(public, name)], module
        assert len(set(public.__all__)) == len(public.__all__), module


def own_names(tree):
    """The names that a module makes, but for `__all__` and the logger."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            names = [part.id for part in ast.walk(target) if isinstance(part, ast.Name)] if target else []
            yield from (name for name in names if name not in ("__all__", "log"))


def is_hook_or_command(thing):
    return (
        hasattr(thing, "potpyri_like_impl")
        or hasattr(thing, "potpyri_like_spec")
        or isinstance(thing, click.Command)
    )


def test_every_name_is_public_or_private():
    loose = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        public = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        known = getattr(public, "__all__", [])
        loose += [
            f"{inside(path)}: {name}"
            for name in own_names(parsed(path))
            if name[0] != "_" and name not in known and not is_hook_or_command(getattr(public, name))
        ]
    assert not loose


def test_any_is_for_what_truly_is_anything():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in tree(path):
            notes = [getattr(node, "annotation", None), getattr(node, "returns", None)]
            found += [
                f"{inside(path)}:{part.lineno}"
                for note in notes
                if note is not None
                for part in ast.walk(note)
                if isinstance(part, ast.Name) and part.id == "Any"
            ]
    assert len(found) < 60, found


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    builder = pytest.importorskip(
        "hatchling.builders.wheel", reason="hatchling is not installed"
    ).WheelBuilder
    (wheel,) = builder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"potpyri_like"}
    files = {
        p.relative_to(ROOT).as_posix() for p in PACKAGE.rglob("*") if p.suffix in (".py", ".j2", ".typed")
    }
    assert files <= set(names)


def test_the_verbs_of_the_command_line_go_through_the_python_interface():
    allowed = re.compile(r"(?!potpyri_like)|potpyri_like(\.(commands|interface|errors)(\..*)?)?$")
    found = {
        inside(path): names
        for path in sorted((PACKAGE / "commands").glob("*.py"))
        if (names := {name for name in imported(path) if not allowed.match(name)})
    }
    assert not found
    whole = [
        node.names
        for path in (PACKAGE / "commands").glob("*.py")
        for node in nodes(path, ast.ImportFrom)
        if node.module == "potpyri_like"
    ]
    assert all(name.name == "__version__" for names in whole for name in names)


def in_snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_a_stage_is_in_the_file_of_its_name():
    from potpyri_like import primitives
    from potpyri_like.stages import Stage

    bases = {f"{grouping}Stage" for grouping in ("Frame", "Set", "Target", "Exposure")}
    homes = {
        node.name: path.stem
        for path in sorted((PACKAGE / "primitives").glob("*.py"))
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and bases & {ast.unparse(base) for base in node.bases}
    }
    public = {name for name in primitives.__all__ if issubclass_of(getattr(primitives, name), Stage)}
    assert public - bases <= set(homes) and "MakeMasters" in public
    others = {name: home for name, home in homes.items() if home != in_snake_case(name)}
    assert others == {"DetectStars": "register", "ChooseReference": "register"}


def issubclass_of(thing, base):
    return inspect.isclass(thing) and issubclass(thing, base)
