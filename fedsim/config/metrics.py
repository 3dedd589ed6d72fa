"""Which metrics an experiment asks for: ``auc``, ``tpr@0.01``, or a plugin with its settings."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from fedsim import plugins
from fedsim.config.choice import Choice
from fedsim.errors import FedsimError, PluginError


class MetricChoice(Choice):
    """A metric by name; what stands behind an ``@`` is its first setting.

    >>> MetricChoice(name="tpr@0.01").plugin()
    ('tpr', {'fpr': 0.01})
    """

    def plugin(self) -> tuple[str, dict[str, Any]]:
        """Return the plugin's name and its settings.

        Raises
        ------
        PluginError
            If there is no such plugin, or it has no setting that the ``@`` could be for.
        """
        name, at, value = self.name.partition("@")
        if not at:
            return name, self.settings
        fields = plugins.settings_schema(plugins.resolve("metrics", name), ()).model_fields
        first = next(iter(fields), None)
        if first is None:
            raise PluginError(f"metric {name!r} has no settings; write it without {at + value!r}")
        if first in self.settings:
            raise PluginError(f"metric {self.name!r} has {first!r} twice; give it once")
        try:
            number = json.loads(value)
        except ValueError:
            number = value
        return name, {first: number, **self.settings}

    def written(self) -> str | dict[str, Any]:
        """Return the choice as an experiment's YAML has it: the name alone where that is all."""
        return {"name": self.name, **self.settings} if self.settings else self.name


DEFAULT_CHOICES = (
    MetricChoice(name="accuracy"),
    MetricChoice(name="auc"),
    *(
        MetricChoice.model_validate({"name": name, "fewest_false_positives": 10})
        for name in ("tpr@0.01", "tpr@0.001")
    ),
)
"""What is measured where an experiment names nothing.

With fewer than ten false positives a TPR is biased upward, and says little from below: who wants
it all the same names it.
"""


def metric_faults(choices: Iterable[MetricChoice]) -> Iterator[str]:
    """Yield what is wrong with each metric that cannot be built or is doubled, a sentence each."""
    names: set[str] = set()
    for choice in choices:
        try:
            name = str(getattr(plugins.build("metrics", *choice.plugin()), "name", choice.name))
        except FedsimError as error:
            yield str(error)
            continue
        if name in names:
            yield f"metrics has {name!r} twice; name each once"
        names.add(name)
