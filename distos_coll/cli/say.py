"""Lines for a terminal that hold names of strangers.

rich reads the strings it is given: `[x]` is markup, `:100:` after a file's name is an emoji, and
the patterns that colour numbers and names take seconds for a word of 20,000 letters. Text it
leaves alone.
"""

from rich.console import Console
from rich.text import Text

from distos_coll.errors import shown


def say(console: Console, line: str, style: str = "") -> None:
    """Print one line, however long, and nothing that a terminal would obey."""
    console.print(Text(shown(line), style), soft_wrap=True)


def complain(error: Exception) -> None:
    """Print what ended a command; an error may have several lines."""
    console = Console(stderr=True)
    for line in f"distos-coll: {error}".split("\n"):
        say(console, line, "red")
