"""How the documentation is built: offline, and with warnings as errors (make docs)."""

from importlib import metadata

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from potpyri_like.commands.reduce import instrument_command
from potpyri_like.plugins import load_plugins

project = "potpyri_like"
author = "the potpyri_like developers"
copyright = "2026, the potpyri_like developers"
release = metadata.version("potpyri-like")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc"]
exclude_patterns = ["_build"]
smartquotes = False  # an option begins with two hyphens
html_theme = "furo"
html_title = f"potpyri_like {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more: shapes, units, conventions
numpydoc_show_class_members = False


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


def setup(app) -> None:
    app.add_directive("options-table", OptionsTable)
