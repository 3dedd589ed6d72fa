"""Settings that may be given by the name of a preset instead.

A union of names and settings, for which pydantic would report the errors of both branches: with
`BY_NAME` it looks at what is given and checks one.
"""

from pydantic import Discriminator, Tag

NAME, SETTINGS = Tag("(name)"), Tag("(settings)")
BY_NAME = Discriminator(lambda value: NAME.tag if isinstance(value, str) else SETTINGS.tag)
