"""The diagram of a threat model: the attacker, what it sees, and the victims.

This module computes the geometry; the template turns it into SVG, and the style sheet colours it.
"""

from dataclasses import dataclass

from fedsim.report.data import ThreatSection

WIDTH, HEIGHT = 320, 190
_SERVER_X, _SERVER_Y = WIDTH / 2, 38
_OUTSIDE_X = 283
_PARTICIPANT_Y = 146
_MOST_SHOWN = 6
_HOLDER_X, _FLAT = 270, 72


@dataclass(frozen=True)
class Node:
    """The server, a participant, the dots for omitted participants, or an outsider."""

    label: str
    x: float
    y: float
    dishonest: bool = False
    victim: bool = False


@dataclass(frozen=True)
class Link:
    """Parameters on their way, from one point to another; `seen` or `malicious` by the attacker."""

    x1: float
    y1: float
    x2: float
    y2: float
    seen: bool
    malicious: bool = False

    @property
    def kind(self) -> str:
        """Its class in the style sheet."""
        return "malicious" if self.malicious else "seen" if self.seen else ""


@dataclass(frozen=True)
class Diagram:
    """A threat model drawn: the server, participants from left to right, links, and an outsider.

    Of a given model, the model stands in the server's place and its data in the participants'.
    """

    server: Node
    participants: tuple[Node, ...]
    links: tuple[Link, ...]
    description: str
    outsider: Node | None = None
    height: int = HEIGHT


def diagram(threat: ThreatSection) -> Diagram:
    """Return the diagram of a threat model."""
    if threat.position == "no federation":
        return _of_a_given_model(threat)
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
    links = [
        link for number, x in places if number is not None for link in _links(threat, number, x)
    ]
    outsider = None
    if threat.position == "outside":
        outsider = Node("outsider", _OUTSIDE_X, _SERVER_Y, dishonest=True)
        links.append(Link(_SERVER_X + 44, _SERVER_Y, _OUTSIDE_X - 38, _SERVER_Y, seen=True))
    victims = "participant " if len(threat.victims) == 1 else "participants "
    victims += ", ".join(str(victim) for victim in threat.victims)
    return Diagram(
        server=Node("server", _SERVER_X, _SERVER_Y, dishonest=threat.position == "server"),
        participants=participants,
        links=tuple(links),
        description=f"{threat.words.who} sees {threat.words.sees}; asked about: {victims}",
        outsider=outsider,
    )


def _of_a_given_model(threat: ThreatSection) -> Diagram:
    """Return the training data, the model, and the attacker that holds it."""
    x, y = WIDTH - _HOLDER_X, _FLAT / 2
    trained = Link(x + 20, y, _SERVER_X - 42, y, seen=False)
    held = Link(_SERVER_X + 44, y, _HOLDER_X - 38, y, seen=True)
    return Diagram(
        server=Node("model", _SERVER_X, y),
        participants=(Node("data", x, y, victim=True),),
        links=(trained, held),
        description=f"{threat.words.who} sees {threat.words.sees}; asked about: its training data",
        outsider=Node("holder", _HOLDER_X, y, dishonest=True),
        height=_FLAT,
    )


def _shown(threat: ThreatSection) -> list[int | None]:
    """Return the participants to draw: the attacker, victims, others; None stands for the rest."""
    everyone = range(threat.participants)
    if threat.participants <= _MOST_SHOWN:
        return list(everyone)
    own = [] if threat.participant is None else [threat.participant]
    first = list(dict.fromkeys([*own, *threat.victims, *everyone]))[: _MOST_SHOWN - 1]
    return [*sorted(first), None]


def _links(threat: ThreatSection, number: int, x: float) -> tuple[Link, Link]:
    """Return a participant's upload, on the left, and what it is sent, on the right.

    A server sees both links of its victims and may change what it sends; a participant sees what it
    is sent and may change what it uploads.
    """
    of_victim = threat.position == "server" and number in threat.victims
    own = number == threat.participant
    upload = _link(x - 5, up=True, seen=of_victim, malicious=own and threat.active)
    sent = _link(x + 5, up=False, seen=of_victim or own, malicious=of_victim and threat.active)
    return upload, sent


def _link(x: float, *, up: bool, seen: bool, malicious: bool) -> Link:
    """Return a link between the participant at `x` and the server's nearest point."""
    server_x = _SERVER_X + (x - _SERVER_X) * 0.3
    top, bottom = (server_x, _SERVER_Y + 20.0), (x, _PARTICIPANT_Y - 19.0)
    (x1, y1), (x2, y2) = (bottom, top) if up else (top, bottom)
    return Link(x1, y1, x2, y2, seen, malicious)
