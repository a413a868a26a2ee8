"""How the kernel of a tutorial runs a cell of the shell (`%%bash`) when the documentation is built.

IPython's own magic passes on what a command writes in pieces of 100 bytes, which would break lines on the page.
"""

import subprocess

from IPython.core.magic import register_cell_magic


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run a cell; it ends with its first command that fails, and messages stand where they came."""
    done = subprocess.run(
        ["bash", "-e", "-c", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout, end="")  # noqa: T201
    done.check_returncode()
