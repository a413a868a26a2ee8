"""A file of Python that the user named: its code, imported once in each process, workers included."""

from __future__ import annotations

import hashlib
import sys
import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from potpyri_like.errors import PluginError, UsageError

__all__ = ["CodeFile", "file_digest", "files_at_work", "line_in_file", "names_file"]

_PREFIX = "_recipe_of_a_file_"  # begins the names of modules
_CODE = "__potpyri_like_code__"  # where such a module keeps what it was made of


def names_file(recipe: object) -> bool:
    """Whether a recipe is one of a file, whose code would be run, and no name."""
    return str(recipe).lower().endswith(".py")


@dataclass(frozen=True)
class CodeFile:
    """The code in a file. Where it is unpickled, as in a worker, its module is there for what is unpickled after it.

    Attributes
    ----------
    path : str
    source : bytes
    """

    path: str
    source: bytes

    @classmethod
    def read(cls, path: str) -> CodeFile:
        """The code in a file as it is now.

        Raises
        ------
        UsageError
            It cannot be read.
        """
        try:
            return cls(path, Path(path).expanduser().read_bytes())
        except OSError as error:
            raise UsageError(
                f"--recipe {path}: the file cannot be read ({error.strerror or error}); give the path of a Python"
                " file with a recipe, or the name of an installed recipe"
            ) from error

    @cached_property
    def sha256(self) -> str:
        """Of its bytes, wherever it lies."""
        return hashlib.sha256(self.source).hexdigest()

    @cached_property
    def module_name(self) -> str:
        """By which its classes are found again in every process."""
        return _PREFIX + hashlib.sha256(self.path.encode() + b"\n" + self.source).hexdigest()[:16]

    def module(self) -> ModuleType:
        """The module that it makes; whatever its code raises is raised."""
        known = sys.modules.get(self.module_name)
        if known is not None:
            return known
        made = ModuleType(self.module_name)
        made.__file__ = self.path
        setattr(made, _CODE, self)
        sys.modules[self.module_name] = made  # its dataclasses look for it
        done = False
        try:
            exec(compile(self.source, self.path, "exec"), vars(made))  # the user named it
            done = True
        finally:
            if not done:
                del sys.modules[self.module_name]
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.path, self.source)


def _unpickled(path: str, source: bytes) -> CodeFile:
    """The code, and its module in this process.

    Raises
    ------
    PluginError
        It cannot be imported here.
    """
    code = CodeFile(path, source)
    try:
        code.module()
    except Exception as error:
        raise PluginError(
            f"{path}: a worker cannot import it: {type(error).__name__}: {error}{line_in_file(error)}"
        ) from error
    return code


def files_at_work() -> tuple[CodeFile, ...]:
    """The files that were imported in this process, so that workers can be given them."""
    modules = (module for name, module in list(sys.modules.items()) if name.startswith(_PREFIX))
    return tuple(code for module in modules if (code := getattr(module, _CODE, None)) is not None)


def file_digest(cls: type) -> str:
    """The SHA-256 of the file that a class comes from; "" for one of an installed package."""
    code = getattr(sys.modules.get(cls.__module__), _CODE, None)
    return code.sha256 if isinstance(code, CodeFile) else ""


def line_in_file(error: BaseException) -> str:
    """Where in such a file an error arose, in brackets; "" where it did not."""
    frames = [(frame.f_globals.get(_CODE), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(code, line) for code, line in frames if isinstance(code, CodeFile)]
    return f" ({Path(own[-1][0].path).name}, line {own[-1][1]})" if own else ""
