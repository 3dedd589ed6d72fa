"""A plugin's description is read from its source, and nothing is imported for it."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fedsim import plugins
from fedsim.plugins.groups import GROUPS, Library, origin_of
from fedsim.plugins.source_reading import exported_names, source_file, summary_of

PACKAGE = {
    "__init__.py": "raise RuntimeError('imported')\n",
    "deep/__init__.py": (
        "from .inner import Defined as Renamed\nfrom ..other import there\n"
        "__all__ = ['Renamed', 'there']\n"
    ),
    "deep/inner.py": 'class Defined:\n    """Defined below.\n\n    More.\n    """\n',
    "other.py": 'def there():\n    """Beside it."""\n\ndef silent():\n    return 1\n',
    "broken.py": "def (:\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in PACKAGE.items():
        path = tmp_path / "unloved" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return "unloved"


def test_it_is_read_from_the_source_through_re_exports(package: str) -> None:
    assert summary_of(f"{package}.deep.inner:Defined") == "Defined below."
    assert summary_of(f"{package}.deep:Renamed") == "Defined below."
    assert summary_of(f"{package}.deep:there") == "Beside it."
    assert exported_names(f"{package}.deep") == ("Renamed", "there")
    assert package not in sys.modules


def test_what_its_source_does_not_say_is_imported(package: str) -> None:
    for reference in ("other:silent", "broken:x"):
        with pytest.raises(RuntimeError, match="imported"):
            summary_of(f"{package}.{reference}")
    assert summary_of(f"{__name__}:OwnList") == (list.__doc__ or "").partition("\n")[0]


class OwnList(list[int]):
    __doc__ = list.__doc__


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.below", "sys", "json.absent"])
def test_a_module_without_source_has_no_names(module: str) -> None:
    assert source_file(module) is None or module == "sys"
    assert exported_names(module) == ()


def test_names_that_are_computed_and_absolute_re_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "computed_names.py").write_text("other = 1\n__all__ = sorted(['a'])\n")
    assert exported_names("computed_names") == ()
    (tmp_path / "named_first.py").write_text("__all__ = ['a']\nother = 1\n")
    assert exported_names("named_first") == ("a",)
    (tmp_path / "handed_on.py").write_text("from defining import Thing\nraise RuntimeError\n")
    (tmp_path / "defining.py").write_text('class Thing:\n    """Defined there."""\n')
    assert summary_of("handed_on:Thing") == "Defined there."


def test_a_module_that_has_no_specification_has_no_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = ModuleType("bare_module")
    assert bare.__spec__ is None
    monkeypatch.setitem(sys.modules, "bare_module", bare)
    assert source_file("bare_module") is None


@pytest.mark.parametrize("group", GROUPS)
def test_every_description_is_the_docstring_of_the_member(group: str) -> None:
    for name, point in plugins.available(group).items():
        told = summary_of(point.value)
        assert told == plugins.summary(plugins.resolve(group, name)), name
        assert told.endswith("."), name
        assert origin_of(group, point) in {"fedsim", "flwr", "flwr-datasets"}


@pytest.mark.parametrize("group", [name for name, of in GROUPS.items() if of.library])
def test_a_librarys_members_are_its_public_classes(group: str) -> None:
    library = GROUPS[group].library
    assert isinstance(library, Library)
    for name in {*exported_names(library.module)} - library.others:
        assert isinstance(plugins.resolve(group, name), type)
    assert library.others <= {*exported_names(library.module)}


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("group", ["", *GROUPS])
def test_no_name_is_broken_and_no_text_is_lost(group: str, columns: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "fedsim", "list", *filter(None, [group])],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": columns, "PYTHONPATH": ":".join(filter(None, sys.path))},
    ).stdout
    together = " ".join(said.split())
    expected = GROUPS if not group else plugins.available(group)
    assert all(name in together.split() for name in expected)
    for name, point in plugins.available(group).items() if group else ():
        assert {*summary_of(point.value).split()} <= {*together.split()}, name
    if group:
        return
    for name, of in GROUPS.items():
        assert str(len(plugins.available(name))) in together
        assert {*of.description.split()} <= {*together.split()}
