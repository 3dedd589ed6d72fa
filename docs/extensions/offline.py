"""A page must not ask anybody for anything when it is opened: no font, script or picture from afar.

Links that a reader may follow are none of that. What is found is a warning, hence an error.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
AFAR = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class _Fetches(HTMLParser):
    """Collects what a browser fetches when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attribute of a tag that makes a browser fetch."""
        given = dict(attrs)
        address = given.get(FETCHED.get(tag, "")) or ""
        if AFAR.match(address) and given.get("rel") != "canonical":
            self.found.append(address)
        self.found += IN_STYLE.findall(given.get("style") or "")


def fetched_from_afar(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a built site that fetches from a network, and the address."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            page = _Fetches()
            text = path.read_text(encoding="utf-8")
            page.feed(text)
            for address in page.found + IN_STYLE.findall(text):
                yield path, address
        elif path.suffix == ".css":
            for address in IN_STYLE.findall(path.read_text(encoding="utf-8")):
                yield path, address


def _look(app: Sphinx, failed: Exception | None) -> None:
    if failed or app.builder.format != "html":
        return
    for path, address in fetched_from_afar(app.outdir):
        logging.getLogger(__name__).warning("%s would fetch %s when opened", path, address)


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at what was built."""
    app.connect("build-finished", _look)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
