"""The small diagram of a threat model: who is dishonest, what it sees, whose data is asked about.

Only geometry is made here; the template turns it into SVG, and the style sheet colours it.
"""

from dataclasses import dataclass

from fedsim.report.data import Threat

WIDTH, HEIGHT = 320, 190
_SERVER_X, _SERVER_Y = WIDTH / 2, 38
_PARTICIPANT_Y = 146
_MOST_SHOWN = 6


@dataclass(frozen=True)
class Node:
    """The server, a participant, or the dots that stand for those not drawn."""

    label: str
    x: float
    y: float
    dishonest: bool = False
    victim: bool = False


@dataclass(frozen=True)
class Link:
    """Parameters on their way up or down, from one point to another; `seen` by the attacker."""

    x1: float
    y1: float
    x2: float
    y2: float
    seen: bool


@dataclass(frozen=True)
class Diagram:
    """A threat model drawn: the server, participants from left to right, and links."""

    server: Node
    participants: tuple[Node, ...]
    links: tuple[Link, ...]
    description: str


def diagram(threat: Threat) -> Diagram:
    """Return the diagram of a threat model."""
    at_server = threat.position == "server"
    shown = _shown(threat)
    places = [
        (number, WIDTH * (place + 1) / (len(shown) + 1)) for place, number in enumerate(shown)
    ]
    participants = tuple(
        Node(
            label="…" if number is None else str(number),
            x=x,
            y=_PARTICIPANT_Y,
            dishonest=number is not None and number == threat.participant,
            victim=number in threat.victims,
        )
        for number, x in places
    )
    links = []
    for number, x in places:
        if number is not None:
            # Uploads on the left of each pair, the aggregate on the right.
            uploads_seen = at_server and number in threat.victims
            links.append(_link(x - 5, up=True, seen=uploads_seen))
            links.append(_link(x + 5, up=False, seen=number == threat.participant))
    victims = "participant " if len(threat.victims) == 1 else "participants "
    victims += ", ".join(str(victim) for victim in threat.victims)
    return Diagram(
        server=Node("server", _SERVER_X, _SERVER_Y, dishonest=at_server),
        participants=participants,
        links=tuple(links),
        description=f"{threat.words.who} sees {threat.words.sees}; asked about: {victims}",
    )


def _shown(threat: Threat) -> list[int | None]:
    """Return the participants to draw: the attacker, victims, others; None stands for the rest."""
    everyone = range(threat.participants)
    if threat.participants <= _MOST_SHOWN:
        return list(everyone)
    own = [] if threat.participant is None else [threat.participant]
    first = list(dict.fromkeys([*own, *threat.victims, *everyone]))[: _MOST_SHOWN - 1]
    return [*sorted(first), None]


def _link(x: float, *, up: bool, seen: bool) -> Link:
    """Return a link between the participant at `x` and the server's nearest point."""
    server_x = _SERVER_X + (x - _SERVER_X) * 0.3
    top, bottom = (server_x, _SERVER_Y + 20.0), (x, _PARTICIPANT_Y - 19.0)
    (x1, y1), (x2, y2) = (bottom, top) if up else (top, bottom)
    return Link(x1, y1, x2, y2, seen)
