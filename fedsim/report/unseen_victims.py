"""Victims whom an adversary saw in no observed round, so that no attack on them was made."""

from typing import Annotated

from pydantic import Field

from fedsim.report.strict_model import Name, StrictModel


class UnseenVictims(StrictModel):
    """The victims of an adversary of whom it saw nothing.

    Attributes
    ----------
    adversary
        Its label.
    victims
        The keys of the queries that were left out.
    none_seen
        Whether these are all of its victims: it then has no row among the results.

    Examples
    --------
    >>> UnseenVictims(adversary="server", victims=("participant-3",), none_seen=True).sentence
    'server saw none of its victims (participant-3) in any observed round, and attacked nobody'
    >>> UnseenVictims(adversary="server", victims=("participant-3",), none_seen=False).sentence
    'server saw nothing of participant-3 in any observed round, and left it out'
    """

    adversary: Name
    victims: Annotated[tuple[Name, ...], Field(min_length=1)]
    none_seen: bool

    @property
    def sentence(self) -> str:
        """What is said of it at a terminal and on the page."""
        names = ", ".join(self.victims)
        if self.none_seen:
            return (
                f"{self.adversary} saw none of its victims ({names}) in any observed round, and "
                "attacked nobody"
            )
        left = "it" if len(self.victims) == 1 else "them"
        return f"{self.adversary} saw nothing of {names} in any observed round, and left {left} out"
