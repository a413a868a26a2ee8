import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import potpyri_like
from potpyri_like.identity import (
    code_identity,
    hash_of,
    instrument_identity,
    source_of,
    sources,
    versions,
    with_contract,
)
from potpyri_like.instruments import Instrument
from potpyri_like.instruments.opticam import Opticam

HOME = Path(potpyri_like.__file__).parent
ASK = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("identity", sys.argv[1])
identity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(identity)
home = identity.HOME
files = ["run/journal.py", "photometry/measure.py", "cli.py", "testing/sky.py"]
files += ["products/page/night.py", "products/page/page.html.j2"]
def both():
    identity.code_identity.cache_clear()
    return identity.code_identity()["source"], identity.code_identity(whole=True)["source"]
found = {}
for name in files:
    path, before = home / name, (home / name).read_bytes()
    first = both()
    path.write_bytes(before + b" ")
    second = both()
    path.write_bytes(before)
    assert both() == first
    found[name] = [a != b for a, b in zip(first, second)]
(home / "new.py").write_text("")
found["new.py"] = [a != b for a, b in zip(first, both())]
(home / "new.py").unlink()
(home / "__pycache__").mkdir(exist_ok=True)
(home / "__pycache__" / "new.pyc").write_bytes(b"0")
found["new.pyc"] = [a != b for a, b in zip(first, both())]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Whether the identity of a copy of our source changes with a file: without and with what only draws."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(HOME, folder / "potpyri_like", ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-c", ASK, folder / "potpyri_like" / "identity.py"]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Make an instrument of a plugin's source files; what is imported is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(module, files, name="Copy"):
        for file, text in files.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text)
        importlib.invalidate_caches()
        return getattr(importlib.import_module(module), name), tmp_path

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


SOURCE = """
from potpyri_like.instruments.opticam import Opticam

class Copy(Opticam):
    '''A copy.'''
    name = "COPY"
"""


def identity_of(cls):
    instrument_identity.cache_clear()
    return instrument_identity(cls)


@pytest.mark.parametrize("file", ["run/journal.py", "photometry/measure.py", "new.py"])
def test_a_byte_of_what_computes_changes_the_identity_of_the_code(told, file):
    assert told[file] == [True, True]


@pytest.mark.parametrize(
    "file", ["cli.py", "products/page/night.py", "products/page/page.html.j2", "testing/sky.py"]
)
def test_what_only_draws_and_writes_changes_the_whole_identity_alone(told, file):
    assert told[file] == [False, True]


def test_bytecode_does_not_count(told):
    assert told["new.pyc"] == [False, False]


def test_versions_of_what_computes_are_part_of_the_identity():
    parts = code_identity()
    assert {"potpyri_like", "python", "numpy", "scipy", "astropy", "sep"} < set(parts)
    assert "matplotlib" not in parts and "matplotlib" in code_identity(whole=True)
    assert all(versions()[name] == version for name, version in parts.items() if name != "source")


def test_a_new_version_of_a_package_changes_the_identity(monkeypatch):
    before = dict(code_identity())
    monkeypatch.setattr("potpyri_like.identity.versions", lambda: {**versions(), "numpy": "99"})
    code_identity.cache_clear()
    try:
        assert code_identity() == {**before, "numpy": "99"}
    finally:
        code_identity.cache_clear()


def test_a_name_and_an_end_of_file_are_told_apart(tmp_path):
    for name, text in {"a/ab.py": "c", "b/a.py": "bc"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    one, other = (hash_of(sources(tmp_path / name), tmp_path / name) for name in "ab")
    assert one != other


@pytest.mark.parametrize(
    ("module", "files", "changed"),
    [
        ("single", {"single.py": SOURCE}, "single.py"),
        ("whole", {"whole/__init__.py": SOURCE, "whole/cards.py": ""}, "whole/cards.py"),
        ("deep.camera", {"deep/__init__.py": "", "deep/camera.py": SOURCE}, "deep/__init__.py"),
        ("table", {"table/__init__.py": SOURCE, "table/bad_pixels.csv": "1,2"}, "table/bad_pixels.csv"),
        ("split.camera", {"split/camera/__init__.py": SOURCE, "split/camera/x.py": ""}, "split/camera/x.py"),
    ],
    ids=["a module", "a package", "its top", "its data", "a namespace"],
)
def test_a_byte_of_a_plugin_changes_the_identity_of_its_instrument(plugin, module, files, changed):
    cls, folder = plugin(module, files)
    before = identity_of(cls)
    assert identity_of(cls) == before
    (folder / changed).write_text((folder / changed).read_text() + "#")
    assert identity_of(cls) != before


def test_the_plugin_whose_instrument_another_builds_upon_counts_too(plugin):
    files = {
        "below.py": SOURCE,
        "above.py": "from below import Copy\n\nclass More(Copy):\n    '''More.'''\n    name = 'MORE'\n",
    }
    cls, folder = plugin("above", files, name="More")
    before = identity_of(cls)
    (folder / "below.py").write_text(SOURCE + "#")
    assert identity_of(cls) != before


def test_two_instruments_of_one_plugin_have_two_identities(plugin):
    cls, _ = plugin(
        "two", {"two.py": SOURCE + "\nclass Other(Copy):\n    '''Another.'''\n    name = 'OTHER'\n"}
    )
    assert identity_of(cls) != identity_of(sys.modules["two"].Other)


def test_our_own_instruments_are_part_of_the_code():
    name, digest = instrument_identity(Opticam).split(" ")
    assert name == "potpyri_like.instruments.opticam.Opticam" and len(digest) == 64
    assert source_of(Instrument.__module__) == HOME


def test_an_instrument_of_ours_is_also_the_modules_that_its_contract_is_spread_over():
    found = with_contract({"potpyri_like.instruments.opticam", "potpyri_like.instruments.base"})
    names = {name.rpartition(".")[2] for name in found}
    assert {"layout", "cameras", "dates", "clock", "exposure", "keywords", "pointing", "description"} < names
    assert "gmos" not in names, "another instrument is not part of it"
    assert with_contract({"potpyri_like.photometry.photometers"}) == {"potpyri_like.photometry.photometers"}


def test_what_comes_with_python_has_no_source_to_watch():
    assert source_of("abc") is None and source_of("no_such_module") is None
