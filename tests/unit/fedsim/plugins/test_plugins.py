"""Plugins are found by entry point or by name, and their signature is their schema."""

import re
import shutil
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pytest

from fedsim import plugins
from fedsim.errors import ConfigError, DataError, PluginError
from fedsim.plugins import groups as plugin_groups


class Thing:
    """Keep what it is given.

    And more about it.
    """

    def __init__(
        self,
        size: int,
        rate: float = 0.5,
        kind: Literal["a", "b"] = "a",
        pair: tuple[int, ...] = (),
    ) -> None:
        self.given = (size, rate, kind, pair)


def network(num_classes: int, width: int = 3) -> tuple[int, int]:
    return num_classes, width


def needs_data(problem: str) -> None:
    errors: dict[str, Exception] = {
        "file": FileNotFoundError(2, "no such file", "x.npy"),
        "key": KeyError("labels"),
        "lines": RuntimeError("one\n  two"),
        "ours": DataError("in our own words"),
        "refused": ValueError("depth is 5;\n valid: 6n + 2"),
    }
    if problem == "library":
        np.ones(3).reshape(2)
    raise errors[problem]


class Accountant(Protocol):
    """A type that pydantic cannot check."""


def odd(anything, helper: Accountant | None = None, *rest: int) -> tuple[Any, Any]:  # type: ignore[no-untyped-def]
    return anything, helper


NOT_CALLABLE = 3
HERE = __name__


def test_settings_become_the_types_of_the_signature() -> None:
    built = plugins.build("attacks", f"{HERE}:Thing", {"size": 2, "rate": 1, "pair": [1, 2]})
    assert built.given == (2, 1.0, "a", (1, 2))
    assert type(built.given[1]) is float


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "setting 'size' is missing"),
        ({"size": "2"}, "setting 'size' is '2': Input should be a valid integer"),
        ({"size": 2.0}, "setting 'size' is 2.0"),
        ({"size": True}, "setting 'size' is True"),
        ({"size": 2, "kind": "c"}, "setting 'kind' is 'c': Input should be 'a' or 'b'"),
        ({"size": 2, "pair": [1, "x"]}, "setting 'pair.1' is 'x'"),
        ({"size": 2, "colour": 1}, "unknown setting 'colour'; valid: kind, pair, rate, size"),
        ({"sizes": 2}, "unknown setting 'sizes'; valid: kind, pair, rate, size"),
        ({"size": object()}, "setting size is of type object, which is not plain"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(PluginError) as error:
        plugins.check("attacks", f"{HERE}:Thing", settings)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{HERE}:Thing: ")


def test_a_type_that_cannot_be_checked_takes_anything() -> None:
    assert plugins.build("attacks", f"{HERE}:odd", {"anything": [1, "x"]}) == ([1, "x"], None)
    with pytest.raises(PluginError, match="unknown setting 'rest'; valid: anything, helper"):
        plugins.check("attacks", f"{HERE}:odd", {"anything": 1, "rest": [2]})


def halves(labels: list[int]) -> list[int]:
    return labels


def test_a_function_with_other_arguments_than_it_is_given_says_which_those_are() -> None:
    told = "setting 'labels' is missing; fedsim gives a function here task, other arguments are se"
    with pytest.raises(PluginError, match=told):
        plugins.check("partitioners", f"{HERE}:halves", {})


def test_provided_parameters_are_filled_in_and_may_be_overridden() -> None:
    name = f"{HERE}:network"
    plugins.check("models", name, {})
    provided = {"input_shape": (4,), "num_classes": 10}
    assert plugins.build("models", name, {"width": 7}, **provided) == (10, 7)
    assert plugins.build("models", name, {"num_classes": 2}, **provided) == (2, 3)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_such_module:x", "cannot import plugin 'no_such_module:x': ModuleNotFoundError"),
        (f"{HERE}:Absent", "has no attribute 'Absent'"),
        (f"{HERE}:", f"cannot import plugin '{HERE}:': write it as module:attribute"),
        (":Thing", "cannot import plugin ':Thing': write it as module:attribute"),
        ("a" * 100_000, "aaa... among the attacks; valid: "),
        (f"{HERE}:NOT_CALLABLE", "is a int, not a callable"),
        (
            "los",
            "there is no 'los' among the attacks; valid: base, confidence-series, ",
        ),
    ],
)
def test_a_plugin_that_is_not_there(name: str, told: str) -> None:
    with pytest.raises(PluginError) as error:
        plugins.resolve("attacks", name)
    assert told in str(error.value)


def test_a_module_that_fails_while_imported_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('first line\\nsecond line')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError) as error:
        plugins.resolve("models", "broken_plugin:net")
    assert str(error.value) == (
        "cannot import plugin 'broken_plugin:net': RuntimeError: first line second line"
    )


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("file", "cannot be built: FileNotFoundError: [Errno 2] no such file: 'x.npy'"),
        ("key", "cannot be built: KeyError: 'labels'"),
        ("lines", "cannot be built: RuntimeError: one two"),
    ],
)
def test_a_plugin_that_fails_while_built_is_one_sentence(problem: str, told: str) -> None:
    with pytest.raises(PluginError) as error:
        plugins.build("datasets", f"{HERE}:needs_data", {"problem": problem})
    said, _, where = str(error.value).rpartition(" (")
    assert said == f"{HERE}:needs_data {told}"
    assert re.fullmatch(r".*test_plugins\.py, line \d+\)", where)


def test_a_value_error_of_its_own_is_how_a_plugin_refuses_its_settings() -> None:
    """Its text serves as it is; one that a library raises says where the plugin called it."""
    with pytest.raises(PluginError) as error:
        plugins.build("datasets", f"{HERE}:needs_data", {"problem": "refused"})
    assert str(error.value) == f"{HERE}:needs_data cannot be built: depth is 5; valid: 6n + 2"
    with pytest.raises(
        PluginError, match=r"ValueError: cannot reshape .* \(.*test_plugins\.py, line"
    ):
        plugins.build("datasets", f"{HERE}:needs_data", {"problem": "library"})


@dataclass(frozen=True)
class Sizes:
    width: int = 1

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError(f"width must be at least 1, not {self.width}")


def sized(sizes: Sizes | None = None) -> Sizes | None:
    return sizes


def test_a_class_of_settings_that_refuses_a_value_says_of_which_plugin() -> None:
    assert plugins.build("attacks", f"{HERE}:sized", {"sizes": {"width": 2}}) == Sizes(2)
    with pytest.raises(PluginError, match=r":sized: width must be at least 1, not 0$"):
        plugins.check("attacks", f"{HERE}:sized", {"sizes": {"width": 0}})


def test_a_long_value_leaves_the_sentence_its_end() -> None:
    with pytest.raises(
        PluginError, match=r"setting 'size' is 'xxx.*\.\.\.: Input should be a valid"
    ):
        plugins.check("attacks", f"{HERE}:Thing", {"size": "x" * 100_000})


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(DataError, match=r"^in our own words$"):
        plugins.build("datasets", f"{HERE}:needs_data", {"problem": "ours"})


def test_every_entry_point_of_ours_is_listed_and_leads_to_a_documented_callable() -> None:
    assert list(plugins.available("adversaries"))[:2] == ["curious-participant", "curious-server"]
    assert list(plugins.available("models")) == [
        "alexnet",
        "densenet",
        "fully-connected",
        "mean-embedding",
        "resnet",
    ]
    for group in plugins.GROUPS:
        names = list(plugins.available(group))
        assert names == sorted(names)
        for name in names:
            assert plugins.summary(plugins.resolve(group, name)).endswith("."), name


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "fedsim.attacks"
    points = [EntryPoint("loss", f"{package}:Loss", group) for package in ("a", "b")]
    monkeypatch.setattr(plugin_groups, "_installed", lambda stamps: {"attacks": points})
    with pytest.raises(PluginError, match=r"two installed packages offer attacks 'loss' \(a:Loss"):
        plugins.available("attacks")
    points[1] = points[0]  # the same package twice on the path
    assert list(plugins.available("attacks")) == ["loss"]


def test_summary_is_the_first_line_of_the_documentation() -> None:
    assert plugins.summary(Thing) == "Keep what it is given."
    assert plugins.summary(network) == ""


def install(site: Path, name: str, value: str) -> Path:
    """Write what an installer leaves of a package that offers a model."""
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[fedsim.models]\n{name} = {value}\n")
    return folder


def test_packages_that_come_and_go_in_one_process_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "late" not in plugins.available("models")
    folder = install(tmp_path, "late", "late_package:net")
    assert plugins.available("models")["late"].value == "late_package:net"
    shutil.rmtree(folder)
    assert "late" not in plugins.available("models")
    install(tmp_path, "late", "late_package:other_net")
    assert plugins.available("models")["late"].value == "late_package:other_net"


def test_entry_points_are_read_once_as_long_as_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[EntryPoints] = []

    def counted() -> EntryPoints:
        reads.append(EntryPoints())
        return reads[-1]

    monkeypatch.setattr(plugin_groups, "entry_points", counted)
    monkeypatch.syspath_prepend(str(tmp_path))
    for group in 2 * [*plugins.GROUPS]:
        plugins.available(group)
    assert len(reads) == 1
