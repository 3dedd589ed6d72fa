"""Breaking JSON and YAML as text: plain data broken first, then written in odd ways."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import yaml

from fuzz.mutators import raw, trees

YAML_ODDITIES = (
    "{key}: !!python/object/apply:os.system [exit 7]",
    "{key}: !!python/name:os.system",
    "{key}: !!int ''",
    "{key}: !!float ''",
    "{key}: !!bool perhaps",
    "{key}: !!timestamp never",
    "{key}: !!timestamp 9999-99-99",
    "{key}: !!binary '='",
    "{key}: 2020-13-45",
    "{key}: 190:20:30",
    "{key}: 0o777777777777777777777777777",
    "{key}: 0x" + "F" * 5000,
    "{key}: " + "9" * 5000,
    "{key}: !!set {{a, b}}",
    "{key}: !!omap [a: 1]",
    "{key}: &self [*self]",
    "{key}: *nowhere",
    "{key}: {{<<: [1, 2]}}",
    "{key}: {{<<: {{seed: 1}}, seed: 2}}",
    "? [a, b]\n: {key}",
    "? {{a: b}}\n: {key}",
    "{key}: =",
    "{key}: " + "[" * 300,
    "{key}: " + "[" * 4000 + "]" * 4000,
    "--- {key}\n--- again",
    "%YAML 9.9\n---\n{key}: 1",
    "{key}:\n\t- tab",
    '{key}: "\\ud800"',
    '{key}: "\\x00"',
    "{key}: [" + "&a" * 40 + "]",
    "{key}: 'open",
    "{key}: 1\n{key}: 2",
)


def laughs(depth: int, width: int = 9) -> str:
    """Return YAML that doubles and redoubles through aliases: width ** depth values."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, depth):
        below = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{below}]")
    return "\n".join(lines)


def merges(depth: int) -> str:
    """Return YAML that doubles through merge keys."""
    lines = ["m0: &m0 {k: 1}"]
    lines += [f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, depth)]
    return "\n".join(lines)


def as_json(tree: Any, random: Random, keys: Sequence[str] = ()) -> bytes:
    """Return the JSON of a broken tree, or broken JSON."""
    if random.random() < 0.02:
        return (b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"")[random.randrange(4)]
    if random.random() < 0.3:
        return raw.mutated(json.dumps(tree).encode(), random)
    return _written(trees.mutated(tree, random, keys)).encode()


def as_yaml(tree: Any, random: Random, keys: Sequence[str] = ()) -> bytes:
    """Return the YAML of a broken tree, broken YAML, or YAML with an oddity in it."""
    kind = random.random()
    if kind < 0.25:
        text = yaml.safe_dump(tree, sort_keys=False)
        return raw.mutated(text.encode(), random)
    if kind < 0.45:
        text = yaml.safe_dump(tree, sort_keys=False)
        oddity = random.choice(YAML_ODDITIES).format(key=random.choice([*tree, "other"]))
        return random.choice((f"{text}\n{oddity}\n", f"{oddity}\n{text}\n", oddity)).encode()
    if kind < 0.48:
        bomb = random.choice((laughs(random.randint(2, 12)), merges(random.randint(2, 30))))
        return f"{bomb}\n{yaml.safe_dump(tree, sort_keys=False)}".encode()
    return _written(trees.mutated(tree, random, keys)).encode()


def _written(tree: Any) -> str:
    """Return a tree as JSON, which is YAML too; numbers that are too long for Python as they are.

    A number of more than 4,300 digits cannot be written by `json`, and is none of ours.
    """
    return json.dumps(tree)
