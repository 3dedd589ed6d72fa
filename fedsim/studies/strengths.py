"""The axis of defences of a study: each with its strengths, and no defence for comparison.

A study file names defences and how strong each is::

    defences:
      top-k:
        changes: {defences: [{name: top-k}]}
        vary: defences.0.share
        strengths: [0.1, 0.01, 0.001]
      early stopping: {vary: federation.rounds, strengths: [10, 20]}
      secure aggregation:
        strengths:
          sums: {defences: [secure-aggregation], adversaries: [curious-server]}

`changes` apply to every strength. A list of strengths has values of the setting that `vary` names;
each strength is named after both (``share 0.1``). A mapping has the changes of each strength by its
name. The experiment without any of them is the defence ``none``, which every study with defences
has.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from fedsim.config.strict import Strict

DEFENCE, STRENGTH = "defence", "strength"
UNDEFENDED, NO_STRENGTH = "none", "-"

Changes = dict[str, Any]
Setting = bool | int | float | str
Strengths = (
    Annotated[tuple[Setting, ...], Field(min_length=1)]
    | Annotated[dict[str, Changes], Field(min_length=1)]
)


class StudiedDefence(Strict):
    """A defence of a study: its changes to an experiment, and its strengths.

    Attributes
    ----------
    changes
        Dotted keys of the experiment and their new values, for every strength.
    vary
        The key whose values are `strengths`, if these are a list.
    strengths
        The strengths: values, or changes by name.

    Examples
    --------
    >>> top_k = StudiedDefence(
    ...     changes={"defences": [{"name": "top-k"}]},
    ...     vary="defences.0.share",
    ...     strengths=(0.1, 0.01),
    ... )
    >>> list(top_k.by_strength())
    ['share 0.1', 'share 0.01']
    >>> top_k.by_strength()["share 0.01"]
    {'defences': [{'name': 'top-k'}], 'defences.0.share': 0.01}
    """

    changes: Changes = Field(default_factory=dict)
    vary: str = ""
    strengths: Strengths

    @model_validator(mode="after")
    def _varies_something(self) -> Self:
        if isinstance(self.strengths, tuple) != bool(self.vary):
            raise ValueError(
                "a list of strengths needs `vary`, the setting that they are values of; a mapping "
                "of changes by name has none"
            )
        if len(self.by_strength()) < len(self.strengths):
            raise ValueError("two of the strengths have one name, to six digits")
        return self

    def by_strength(self) -> dict[str, Changes]:
        """Return the changes to an experiment, by name of the strength."""
        if not isinstance(self.strengths, tuple):
            return {name: {**self.changes, **own} for name, own in self.strengths.items()}
        setting = self.vary.rpartition(".")[2].replace("_", " ")
        return {
            f"{setting} {_in_words(value)}": {**self.changes, self.vary: value}
            for value in self.strengths
        }


def _require_other_name(defences: dict[str, StudiedDefence]) -> dict[str, StudiedDefence]:
    if UNDEFENDED in defences:
        raise ValueError(
            f"{UNDEFENDED!r} is the experiment without a defence, which is always there"
        )
    return defences


StudiedDefences = Annotated[dict[str, StudiedDefence], AfterValidator(_require_other_name)]
"""Defences by the names that the study calls them."""


def defended(defences: Mapping[str, StudiedDefence]) -> Iterator[tuple[str, str, Changes]]:
    """Yield each defence with each strength and its changes; first the case without a defence."""
    if not defences:
        return
    yield UNDEFENDED, NO_STRENGTH, {}
    for name, defence in defences.items():
        for strength, changes in defence.by_strength().items():
            # Of weight decay that varies the weight decay, the value says all.
            yield name, strength.removeprefix(f"{name} "), changes


def _in_words(value: Setting) -> str:
    return f"{value:g}" if type(value) in (int, float) else str(value).lower()
