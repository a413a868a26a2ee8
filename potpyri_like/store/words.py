"""How names and texts of files are shown on screen and in cards."""

from __future__ import annotations

__all__ = ["ascii_text", "one_line", "printable"]


def one_line(text: str) -> str:
    """Text without line breaks or anything else that does not print."""
    return printable(" ".join(text.split()))


def ascii_text(text: str) -> str:
    """Text that a FITS header takes: printable ASCII in one line, other characters as their escapes."""
    return one_line(text).encode("ascii", "backslashreplace").decode()


def printable(text: str) -> str:
    """Text in which what does not print, or is no Unicode (a file name in another encoding), is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
