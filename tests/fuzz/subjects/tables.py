"""Tables of records: the ledger, membership files, scores and traces."""

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import toys

from fedsim.data import read_ledger, read_membership
from fedsim.data.ledger import about_participant
from fedsim.stages.figures.score_files import (
    made_from,
    overlapping,
    read_scores,
    read_trace,
    up_to_date,
)
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import raw, tables


def _subject(
    name: str, source: Path, target: Path, names: tuple[str, ...], read: object
) -> Subject:
    """Return a subject that reads a broken version of a parquet file."""
    with pq.ParquetFile(source) as file:
        table = file.read()
    content = source.read_bytes()

    def give(broken: bytes, folder: Path) -> None:
        target.write_bytes(broken)
        read(target)  # type: ignore[operator]

    return Subject(name, lambda random: tables.mutated(table, content, random, names), give)


def ledgers(corpus: Corpus) -> Subject:
    """Ledgers."""
    names = ("record", "label", "split", "duplicate", "participants", "role/participant-0", "role/")

    def read(path: Path) -> None:
        read_ledger(path).audit(about_participant(0))

    path = corpus.folder / "ledger.parquet"
    return _subject("ledger", corpus.run / "ledger.parquet", path, names, read)


def membership_tables(corpus: Corpus) -> Subject:
    """Membership files in parquet."""
    source, dataset = corpus.folder / "sound.parquet", toys.dataset()
    records = np.arange(60)
    pq.write_table(
        pa.table({"record": records, "member": records < 30, "known": records % 2 == 0}), source
    )

    def read(path: Path) -> None:
        read_membership(path).ledger(dataset, 0)

    path = corpus.folder / "membership.parquet"
    return _subject("membership parquet", source, path, ("record", "member", "known"), read)


def membership_lines(corpus: Corpus) -> Subject:
    """Membership files in CSV."""
    lines = [f"{n},{str(n < 30).lower()},{n % 2}" for n in range(60)]
    sound = ("record,member,known\n" + "\n".join(lines) + "\n").encode()
    path, dataset = corpus.folder / "membership.csv", toys.dataset()
    cells = (
        "",
        "9" * 30,
        "-1",
        "1.5",
        "nan",
        "yes",
        "x" * 70_000,
        '"',
        "\xff",
        "\0",
        "TRUE",
        "0,0",
    )

    def make(random: Random) -> bytes:
        if random.random() < 0.5:
            return raw.mutated(sound, random)
        broken = sound.decode().split("\n")
        for _ in range(random.choice((1, 1, 2))):
            row = random.randrange(len(broken))
            parts = broken[row].split(",")
            parts[random.randrange(len(parts))] = random.choice(cells)
            broken[row] = ",".join(parts)
        if random.random() < 0.2:
            random.shuffle(broken)
        return random.choice(("\n", "\n", "\r\n", "\r")).join(broken).encode("latin1")

    def read(broken: bytes, folder: Path) -> None:
        path.write_bytes(broken)
        read_membership(path).ledger(dataset, 0)

    return Subject("membership csv", make, read)


def scores(corpus: Corpus) -> Subject:
    """Scores, and what they were made from."""

    def read(path: Path) -> None:
        up_to_date(path, {"seed": 1})
        read_scores(path)
        assert overlapping(path) >= 0
        assert isinstance(made_from(path), dict)

    source = corpus.first("scores/*/*/loss.parquet")
    names = ("record", "seed_0", "seed_1", "seed_")
    return _subject("scores", source, corpus.folder / "scores.parquet", names, read)


def traces(corpus: Corpus) -> Subject:
    """Traces of a signal."""

    def read(path: Path) -> None:
        rounds, values = read_trace(path)
        assert rounds.dtype == np.int64
        assert values.dtype == np.float64
        assert values.ndim == 2
        assert len(rounds) == len(values)

    source = corpus.first("traces/*/*/*/*.parquet")
    return _subject("trace", source, corpus.folder / "trace.parquet", ("round", "value"), read)


READERS = {
    "ledger": ledgers,
    "membership parquet": membership_tables,
    "membership csv": membership_lines,
    "scores": scores,
    "trace": traces,
}
