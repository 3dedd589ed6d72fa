"""What a page of the documentation would fetch when it is opened is found."""

from pathlib import Path

import pytest
from offline import fetched_from_afar


@pytest.mark.parametrize(
    "part",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<link rel='stylesheet' href='//fonts.example/css?family=X'>",
        '<img src="http://example.org/badge.svg">',
        "<style>@import url('https://example.org/a.css');</style>",
        '<p style="background: url(https://example.org/a.png)">x</p>',
    ],
)
def test_what_is_fetched_from_a_network_is_found(part: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{part}</body></html>")
    found = [(path.name, address) for path, address in fetched_from_afar(tmp_path)]
    assert [name for name, _ in found] == ["page.html"] * len(found)
    assert found
    assert all("example" in address for _, address in found)


def test_fonts_of_a_style_sheet_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url(https://fonts.example/x.woff2); }")
    assert [address for _, address in fetched_from_afar(tmp_path)] == [
        "https://fonts.example/x.woff2"
    ]


def test_links_and_what_lies_beside_the_page_are_not(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://flower.ai">Flower</a><script src="_static/x.js"></script>'
        '<link rel="canonical" href="https://example.org/"><code>https://example.org</code>'
    )
    assert list(fetched_from_afar(tmp_path)) == []
