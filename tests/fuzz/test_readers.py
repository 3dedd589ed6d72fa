"""A quick share of the inputs that `benchmarks/fuzz.py` gives to every reader, seeded."""

import pytest

from fuzz.corpus import Corpus
from fuzz.harness import limited_memory, run
from fuzz.subjects import READERS

INPUTS = 120
NEVER_FATAL = {"cache", "provenance"}  # what is broken there is made again, or not told
FEW = {"command line": 6, "study": 60, "experiment": 100}


@pytest.mark.parametrize("name", READERS)
def test_broken_input_gets_one_sentence_and_nothing_else(name: str, corpus: Corpus) -> None:
    subject, count = READERS[name](corpus), FEW.get(name, INPUTS)
    with limited_memory():
        tally = run(subject, corpus.folder, seed=1, first=0, count=count)
    assert not tally.defects, tally.defects[0]
    assert sum(tally.counts.values()) == count
    assert tally.counts["refused"] or name in NEVER_FATAL
