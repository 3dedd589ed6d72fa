"""The commands and snippets of README.md and of the pages under docs, as they stand there.

A fenced block says what it is by its language, and has ``title="..."`` where it is a file that the
reader is to write. An indented block is commands. Blocks of language ``text`` (diagrams, formulas,
what a command prints) are for the eye.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
README = "README.md"
FOR_THE_EYE = "text"
TITLE = re.compile(r'title="([\w./-]+)"')
PROGRAMS = ("fedsim ", "flwr ", "make ", "pip ", "python ", "ray ", "$ ")


@dataclass(frozen=True)
class Snippet:
    """A block of a page: where it begins, its language, the file it is to become, and its text."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of a shell block, without their comments, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in joined.splitlines())
        return tuple(" ".join(line.split()) for line in lines if line)


def pages() -> list[str]:
    """Return README.md and every page under docs, by path from the repository's root."""
    under_docs = sorted((ROOT / "docs").rglob("*.md"))
    return [README, *(str(path.relative_to(ROOT)) for path in under_docs)]


def snippets(page: str) -> Iterator[Snippet]:
    """Yield the blocks of a page from top to bottom; those of Sphinx itself are none."""
    for token in MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type not in ("fence", "code_block"):
            continue
        language = token.info.partition(" ")[0] if token.type == "fence" else "bash"
        if language.startswith("{"):
            continue
        titled = TITLE.search(token.info)
        line = token.map[0] + 1 if token.map else 0
        yield Snippet(page, line, language, titled[1] if titled else "", token.content)
