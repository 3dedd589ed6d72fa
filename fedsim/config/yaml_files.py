"""YAML as plain data, read within bounds: experiments, studies, settings on the command line.

YAML 1.2, as ``ruamel.yaml`` reads it: ``1e-4`` is a number, ``no`` is text, a key given twice is an
error. Aliases are allowed, but the values behind them are counted in full, so a short file cannot
stand for gigabytes.
"""

import copy
from collections.abc import Iterable
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.scanner import Scanner, ScannerError

from fedsim.config.shipped import hint
from fedsim.errors import ConfigError, listed
from fedsim.files import read_text

MOST_YAML_BYTES = 1 << 18  # ruamel.yaml reads some 100 kB per second
MOST_YAML_VALUES = 100_000
MOST_BRACKETS = 100  # open at a time: the scanner's time grows with their square
EXPERIMENT = "experiment.yaml"  # in a run directory
LONGEST_LINE = MOST_YAML_BYTES  # no text is folded
LINE_ENDS = "\x85\u2028\u2029"
"""Ends of lines in YAML 1.1, which the emitter would write as they are in the middle of a text."""


def read_yaml_mapping(path: Path, what: str, keys: Iterable[str]) -> dict[Any, Any]:
    """Return the mapping that a YAML file holds.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, with an article, for error messages: "an experiment".
    keys
        The keys that such a mapping can have, for error messages.

    Raises
    ------
    ConfigError
        If the file cannot be read, is larger than `MOST_YAML_BYTES`, is not valid YAML, or holds
        something other than a mapping.
    """
    try:
        text = read_text(path, MOST_YAML_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        name = what.partition(" ")[2]
        other = hint(path) if isinstance(error, FileNotFoundError) else ""
        if isinstance(error, IsADirectoryError) and (path / EXPERIMENT).is_file():
            other = f"; it is a run directory: the experiment of that run is {path / EXPERIMENT}"
        raise ConfigError(f"cannot read the {name} {path}: {error}{other}") from error
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: {what} is a mapping with keys {listed(keys)}")
    return tree


def parse_yaml(text: str, source: str) -> Any:
    """Return YAML as plain data.

    Parameters
    ----------
    text
        The YAML.
    source
        Where it comes from, for error messages.

    Raises
    ------
    ConfigError
        If it is not valid YAML, gives a key twice, holds itself, or holds more than
        `MOST_YAML_VALUES` values.
    """
    try:
        return copy.deepcopy(_parsed(text))
    except MarkedYAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {_reason(error)}") from error
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source} is not valid YAML: {reason}") from error
    except RecursionError as error:
        raise ConfigError(f"{source} is not valid YAML: it is nested too deeply") from error
    except (LookupError, AttributeError, TypeError, AssertionError) as error:  # `!!int ""`
        raise ConfigError(f"{source} is not valid YAML: a value does not fit its tag") from error


@lru_cache(maxsize=64)  # the cells of a study have a base, and most of their changes, in common
def _parsed(text: str) -> Any:
    return _reader().load(text)


def format_yaml(tree: Any) -> str:
    """Return plain data as YAML that `parse_yaml` reads as the same data."""
    stream = StringIO()
    _writer().dump(tree, stream)
    return stream.getvalue()


def _reader() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.Scanner = _BoundedScanner
    reader.Composer = _BoundedComposer
    return reader


def _writer() -> YAML:
    writer = YAML(typ="safe", pure=True)
    writer.Representer = _QuotingRepresenter
    writer.default_flow_style = False
    writer.width = LONGEST_LINE
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return writer


def _reason(error: MarkedYAMLError) -> str:
    """Return what is wrong and where, without the library's advice to its callers."""
    mark = error.problem_mark or error.context_mark
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{' '.join(str(error.problem or error.context).split())}{where}"


class _BoundedScanner(Scanner):
    """Refuses more open brackets than any experiment has, before it looks for what closes them."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: Any) -> None:  # noqa: N803 - the library's name
        if self.flow_level >= MOST_BRACKETS:
            mark = self.reader.get_mark()
            raise ScannerError(None, None, "it is nested too deeply", mark)
        super().fetch_flow_collection_start(TokenClass, to_push)


class _BoundedComposer(Composer):
    """Refuses a document by the number of its values before any of them is built."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _count_values(node, {}) > MOST_YAML_VALUES:
            raise ComposerError(
                None, None, f"it holds more than {MOST_YAML_VALUES:,} values", node.start_mark
            )
        return node


def _count_values(node: Node, counted: dict[Node, int | None]) -> int:
    """Return how many values there are in and below a node, those behind aliases included."""
    if node in counted:
        if (known := counted[node]) is None:
            raise ComposerError(
                None, None, "a value holds itself: it is not plain finite data", node.start_mark
            )
        return known
    counted[node] = None  # until all below it are counted
    inside: list[Node] = []
    if isinstance(node, MappingNode):
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, SequenceNode):
        inside = node.value
    total = counted[node] = 1 + sum(_count_values(part, counted) for part in inside)
    return total


class _QuotingRepresenter(SafeRepresenter):
    """Writes a text that holds a line end of YAML 1.1 in double quotes, with escapes."""

    def represent_text(self, text: str) -> ScalarNode:
        quoted = '"' if any(end in text for end in LINE_ENDS) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=quoted)


_QuotingRepresenter.add_representer(str, _QuotingRepresenter.represent_text)
