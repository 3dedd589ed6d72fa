"""Check before round 1 that this machine has the memory for the attacks."""

from collections.abc import Callable, Mapping, Sequence

from fedsim.attacks import Attack, ExpectedObservation, MemoryNeed, memory_there
from fedsim.errors import FedsimError, PluginError, plural

WORTH_A_WORD = 1e9  # bytes


def require_memory(
    attacks: Mapping[str, Attack],
    prospects: Sequence[ExpectedObservation],
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Ask each attack for its memory need, and report large needs.

    Parameters
    ----------
    attacks
        By label.
    prospects
        The expected observations, one for each query of each attacker.
    workers
        How many queries are attacked side by side.
    say
        Takes a sentence for the user.

    Raises
    ------
    FedsimError
        If an attack needs more memory than there is, or cannot run on its observation.
    PluginError
        If an attack's estimate fails.
    """
    at_once = min(workers, len(prospects))
    apart = {(one.snapshots, len(one.records)): one for one in prospects}
    for label, attack in attacks.items():
        found = [(need, one) for one in apart.values() if (need := _need(label, attack, one))]
        if not found:
            continue
        need, prospect = max(found, key=lambda pair: pair[0].size)
        _require(label, need, prospect, at_once)
        if need.size >= WORTH_A_WORD:
            say(
                f"attack {label} takes {need.size / 1e9:.1f} GB of memory: {need.what}, for each "
                f"seed of {plural(len(prospects), 'query', 'queries')}"
            )


def _require(label: str, need: MemoryNeed, prospect: ExpectedObservation, at_once: int) -> None:
    there = memory_there()
    if need.size * at_once <= there:
        return
    times = f" in each of {at_once} processes" if at_once > 1 else ""
    fewer = "set engine.workers: 1, " if need.size <= there else ""
    raise FedsimError(
        f"attack {label} takes {need.size / 1e9:.1f} GB of memory{times} ({need.what}, on "
        f"{plural(prospect.snapshots, 'snapshot')}), but this machine has {there / 1e9:.1f} GB; "
        f"{fewer}{need.instead}"
    )


def _need(label: str, attack: Attack, prospect: ExpectedObservation) -> MemoryNeed | None:
    try:
        need = attack.memory_needed(prospect)
    except FedsimError as error:
        raise type(error)(f"attack {label}: {error}") from error
    except Exception as error:  # a third party's plugin may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PluginError(f"attack {label} cannot say what memory it needs: {reason}") from error
    if need is not None and not isinstance(need, MemoryNeed):
        raise PluginError(
            f"attack {label} says that it needs {need!r}; memory_needed must return a "
            "fedsim.attacks.MemoryNeed or None"
        )
    return need
