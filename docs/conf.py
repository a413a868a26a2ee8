"""How the documentation is built: offline, and with warnings as errors (make docs)."""

import atexit
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))

from drawing import drawing

from potpyri_like.commands.reduce import instrument_command
from potpyri_like.plugins import load_plugins

project = "potpyri_like"
author = "the potpyri_like developers"
copyright = "2026, the potpyri_like developers"
release = metadata.version("potpyri-like")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc"]
exclude_patterns = ["_build"]
smartquotes = False  # an option begins with two hyphens
html_theme = "furo"
html_title = f"potpyri_like {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

# The tutorials are notebooks: each is run from top to bottom, in a temporary folder; a cell that fails is a warning.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True

# They use the commands of this environment, and neither the configuration nor the cache of whoever builds.
elsewhere = Path(tempfile.mkdtemp(prefix="tutorials-"))
atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
os.environ |= {
    "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
    **dict.fromkeys(("XDG_CONFIG_HOME", "POTPYRI_LIKE_CACHE", "IPYTHONDIR"), str(elsewhere)),
}
profile = elsewhere / "profile_default"
(profile / "startup").mkdir(parents=True)
shutil.copy(Path(__file__).with_name("shell_cells.py"), profile / "startup")
(profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40  # errors\n")

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more: shapes, units, conventions
numpydoc_show_class_members = False


class HouseDrawing(SphinxDirective):
    """The rooms of the house and the imports between them, drawn from the code as it is."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", drawing(), format="html")]


class OptionsTable(SphinxDirective):
    """The options of ``reduce INSTRUMENT``, from the command itself."""

    def run(self) -> list[nodes.Node]:
        registry = load_plugins()
        command = instrument_command(registry, next(iter(registry.instruments)))
        rows = [line for option in command.params if isinstance(option, click.Option) for line in row(option)]
        text = [".. list-table::", "   :widths: 30 70", "   :class: options", "", *rows]
        container = nodes.container()
        self.state.nested_parse(StringList(text, source="options"), 0, container)
        return container.children


def row(option: click.Option) -> list[str]:
    """An option as a row of a table."""
    names = ", ".join(f"``{name}``" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('reduce')))}"
    return [f"   * - {names}{value}", f"     - {option.help}"]


def as_console(app, doctree: nodes.document) -> None:
    """Show cells of the shell as what is typed in a terminal."""
    for block in doctree.findall(nodes.literal_block):
        first, _, rest = block.rawsource.partition("\n")
        if first.startswith("%%bash"):
            text = re.sub(r"(?m)^(?=\S)", "$ ", rest)
            block.rawsource, block["language"] = text, "console"
            block.children = [nodes.Text(text)]


def setup(app) -> dict[str, bool]:
    app.connect("doctree-read", as_console)
    app.add_directive("house-drawing", HouseDrawing)
    app.add_directive("options-table", OptionsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
