"""Single settings that replace those of an experiment's file: ``--set section.key=value``."""

from typing import Any

from fedsim.config.yaml_files import parse_yaml
from fedsim.errors import ConfigError


def apply_override(tree: dict[Any, Any], override: str) -> None:
    """Change one setting of an experiment.

    Parameters
    ----------
    tree
        The experiment as plain data, before it is checked; changed in place.
    override
        ``a.b=c``: sets key ``b`` in section ``a`` to the YAML value ``c``. A number in the path is
        a position in a list; a plugin that is given by its name alone becomes a mapping.

    Raises
    ------
    ConfigError
        If it is not of that form, or its path leads nowhere.

    Examples
    --------
    >>> tree = {"federation": {"rounds": 3}, "attacks": ["loss"]}
    >>> apply_override(tree, "federation.rounds=5")
    >>> apply_override(tree, "attacks.0.label=again")
    >>> tree
    {'federation': {'rounds': 5}, 'attacks': [{'name': 'loss', 'label': 'again'}]}
    """
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override!r} is not of the form section.key=value")
    *sections, last = path.split(".")
    place: Any = tree
    for section in sections:
        place = _step_into(place, section, override)
    if not isinstance(place, dict | list):
        raise ConfigError(f"--set {override!r}: {'.'.join(sections)!r} holds a single value")
    place[_key_of(place, last, override)] = parse_yaml(text, f"--set {override!r}")


def _step_into(place: Any, section: str, override: str) -> Any:
    """Return what a section of a path leads to; what is missing there is created."""
    key = _key_of(place, section, override)
    if isinstance(place, dict):
        place.setdefault(key)
    if place[key] is None:
        place[key] = {}
    elif isinstance(place[key], str):  # a plugin's name alone
        place[key] = {"name": place[key]}
    return place[key]


def _key_of(place: Any, section: str, override: str) -> Any:
    """Return the key or position that a section of a path stands for."""
    if isinstance(place, dict):
        return section
    if not isinstance(place, list):
        raise ConfigError(f"--set {override!r}: nothing can be set below a single value")
    if section not in map(str, range(len(place))):
        raise ConfigError(
            f"--set {override!r}: {section!r} is no position; valid: 0 to {len(place) - 1}"
        )
    return int(section)
