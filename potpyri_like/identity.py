"""What computes: this software, the packages under it, and the code of an instrument's plugin."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from potpyri_like import __version__

__all__ = [
    "HOME",
    "code_identity",
    "hash_of",
    "instrument_identity",
    "module_identity",
    "release",
    "source_of",
    "sources",
    "versions",
    "with_contract",
]

_PACKAGES = ("numpy", "scipy", "astropy", "photutils", "sep", "ccdproc", "matplotlib")
_THAT_COMPUTE = ("potpyri_like", "python", "numpy", "scipy", "astropy", "sep")
HOME = Path(__file__).parent
_CONTRACT = "potpyri_like.instruments."
_BESIDE = (
    "cli.py",
    "commands/",
    "interface/",
    "products/",
    "run/arrivals.py",
    "run/batch.py",
    "run/live.py",
    "run/verify.py",
    "run/watch.py",
    "testing/",
)  # what no frame's numbers depend on


@cache
def versions() -> dict[str, str]:
    """Versions of this software, of Python, and of the packages that compute."""
    found = {"potpyri_like": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def release(name: str) -> str:
    """The release of a distribution that computes: the first two numbers of its version; "" where it is not there."""
    try:
        return ".".join(metadata.version(name).split(".")[:2])
    except metadata.PackageNotFoundError:
        return ""


@cache
def code_identity(*, whole: bool = False) -> dict[str, str]:
    """What a frame's numbers depend on besides the frame: versions, and the SHA-256 of this software's source.

    Parameters
    ----------
    whole : bool
        With what only draws and writes.
    """
    files = (
        path for path in sources(HOME) if whole or not path.relative_to(HOME).as_posix().startswith(_BESIDE)
    )
    parts = versions() if whole else {name: v for name, v in versions().items() if name in _THAT_COMPUTE}
    return {**parts, "source": hash_of(files, HOME)}


@cache
def instrument_identity(cls: type) -> str:
    """The name of a class, and the SHA-256 of the source that makes it what it is.

    Of a plugin, that is all of its source; of ours, the modules of the class and its bases, and of an instrument those
    that the contract is spread over.
    """
    homes = {source_of(base.__module__) for base in cls.__mro__[:-1]} - {None, HOME}
    parts = [hash_of(sources(home), home.parent) for home in homes if home]
    ours = {base.__module__ for base in cls.__mro__[:-1] if source_of(base.__module__) == HOME}
    files = [Path(sys.modules[name].__file__ or "") for name in with_contract(ours) if name in sys.modules]
    parts += [hash_of(files, HOME)] if files else []
    return " ".join([f"{cls.__module__}.{cls.__qualname__}", *sorted(parts)])


def with_contract(modules: set[str]) -> set[str]:
    """The modules, and those beside the instruments from which what they name comes."""
    found: set[str] = set()
    new = set(modules)
    while new:
        found |= new
        things = (thing for name in new if name in sys.modules for thing in vars(sys.modules[name]).values())
        homes = {str(getattr(thing, "__module__", "")) for thing in things}
        new = {home for home in homes if home.startswith(_CONTRACT)} - found
    return found


def module_identity(module: str) -> str:
    """The SHA-256 of the source of a module, or of the package that it belongs to; "" for what comes with Python."""
    home = source_of(module)
    return "" if home is None else hash_of(sources(home), home.parent)


def source_of(module: str) -> Path | None:
    """The folder of the package that a module belongs to, or its file; None for what comes with Python itself."""
    parts = module.split(".")
    names = [
        ".".join(parts[: n + 1]) for n in range(len(parts))
    ]  # one that is split over folders has no file
    file = next((f for name in names if (f := getattr(sys.modules.get(name), "__file__", None))), None)
    if file is None or parts[0] in sys.stdlib_module_names:
        return None
    path = Path(file)
    return path.parent if path.name == "__init__.py" else path


def sources(home: Path) -> Iterator[Path]:
    """The files of a package, code and what it brings along; or the one file of a module."""
    if home.is_file():
        yield home
    for path in home.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def hash_of(files: Iterable[Path], home: Path) -> str:
    """The SHA-256 of some source files and their names."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(home)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
