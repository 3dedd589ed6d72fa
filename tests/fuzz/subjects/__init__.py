"""Subjects: which reader is given what, one kind of reader a file."""

from collections.abc import Callable

from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.subjects import archives, configs, figures, parameters, positions, sources, tables, whole

SubjectFactory = Callable[[Corpus], Subject]

READERS: dict[str, SubjectFactory] = {
    **configs.READERS,
    **tables.READERS,
    **parameters.READERS,
    **figures.READERS,
    **archives.READERS,
    **sources.READERS,
    **positions.READERS,
    **whole.READERS,
}
"""What makes each subject from sound input, by the subject's name."""
