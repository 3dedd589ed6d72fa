"""Give every reader many broken inputs, and every setting many values; tell what came of them.

    nice -n 5 python benchmarks/fuzz.py --inputs 4500 --values 2500 --whole 40 --state fuzz.json

A value of a setting is tried up to the moment at which round 1 would begin; some of those that are
accepted (``--whole``, of each group of plugins) are run to the end, in a process of their own.

The inputs are made from (seed, reader, number), so a run is the same every time. With ``--state``
it is kept how far it is: stopped, the same command goes on, and with more inputs it adds to those
before. It ends with a table, and with exit code 1 if there was a defect; a defect is made again by
``--only READER --first NUMBER --inputs 1``.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fuzz.corpus import Corpus, make_corpus
from fuzz.harness import Defect, Tally, limited_memory, run
from fuzz.subjects import READERS, SubjectFactory
from fuzz.subjects.values import VALUES, ValuesOfSettings
from fuzz.values.outcome import outcome_of

SUBJECTS: dict[str, SubjectFactory] = {**READERS, **VALUES}
BATCH = 250
WHOLE_SECONDS = 60.0
"""How long an accepted experiment may take; one that is not through then is no defect."""
SHARES = {"override": 0.6, "resumed experiment": 0.6, "study": 0.6, "command line": 0.05}
"""What a reader gets of the inputs where it is not all: those that take ten times as long."""


def main() -> None:
    """Run what the arguments ask for."""
    options = _options()
    torch.set_num_threads(1)
    state: dict[str, Any] = {}
    if options.state and options.state.is_file():
        state = json.loads(options.state.read_text())
    with tempfile.TemporaryDirectory() as folder, limited_memory():
        corpus = make_corpus(Path(folder))
        for name in options.only or SUBJECTS:
            state[name] = _continued(state.get(name), name, corpus, options)
    print(_table(state))
    defects = [defect for facts in state.values() for defect in facts["defects"]]
    for defect in defects[:20]:
        print(f"\n{defect['subject']} {defect['number']}: {defect['what']}\n{defect['trace']}")
    sys.exit(1 if defects else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=4500, help="for each reader")
    parser.add_argument("--values", type=int, default=2500, help="for each group of settings")
    parser.add_argument("--whole", type=int, default=0, help="of each group, run to the end")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(SUBJECTS), metavar="READER")
    parser.add_argument("--state", type=Path, help="where to keep how far it is (JSON)")
    return parser.parse_args()


def _continued(
    before: dict[str, Any] | None, name: str, corpus: Corpus, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the inputs of a reader that are left, and return its facts."""
    subject = SUBJECTS[name](corpus)
    facts = before or {
        "done": options.first,
        "counts": {},
        "peak": 0,
        "seconds": 0.0,
        "defects": [],
    }
    inputs = options.values if name in VALUES else options.inputs * SHARES.get(name, 1)
    end = options.first + max(1, int(inputs))
    while facts["done"] < end:
        count = min(BATCH, end - facts["done"])
        began = time.process_time()
        tally = run(subject, corpus.folder, seed=options.seed, first=facts["done"], count=count)
        if isinstance(subject, ValuesOfSettings):
            share = options.whole * count // max(1, end - options.first)
            _run_some(subject, share, corpus.folder, tally)
        facts = _added(facts, tally, count, time.process_time() - began)
        print(f"{name}: {facts['done']}/{end} {facts['counts']}", flush=True)
        if options.state:
            kept = json.loads(options.state.read_text()) if options.state.is_file() else {}
            options.state.write_text(json.dumps({**kept, name: facts}, indent=1))
    return facts


def _run_some(subject: ValuesOfSettings, count: int, folder: Path, tally: Tally) -> None:
    """Run some of the experiments that were accepted to their end."""
    chosen = subject.accepted[:: max(1, len(subject.accepted) // max(1, count))][:count]
    subject.accepted.clear()
    for given in chosen:
        word, text = outcome_of(given.tree, folder, subject.data, WHOLE_SECONDS)
        tally.counts[word] += 1
        if word == "failed":
            tally.defects.append(Defect(subject.name, -1, f"accepted, then failed: {given}", text))


def _added(facts: dict[str, Any], tally: Tally, count: int, seconds: float) -> dict[str, Any]:
    return {
        "done": facts["done"] + count,
        "counts": dict(Counter(facts["counts"]) + tally.counts),
        "peak": max(facts["peak"], tally.peak),
        "slowest": max(facts.get("slowest", 0.0), tally.slowest),
        "seconds": facts["seconds"] + seconds,
        "defects": [*facts["defects"], *(asdict(defect) for defect in tally.defects)],
    }


def _table(state: dict[str, Any]) -> str:
    """Return what came of the inputs of each reader, and of all of them."""
    lines = [
        "| subject | inputs | refused | accepted | of these run to the end | defects | peak, MB | "
        "slowest, s | CPU, s |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for name, facts in state.items():
        total += (counts := Counter(facts["counts"]))
        lines.append(_line(name, counts, len(facts["defects"]), [facts]))
    defects = sum(len(facts["defects"]) for facts in state.values())
    lines.append(_line("all", total, defects, list(state.values())))
    return "\n".join(lines)


def _line(name: str, counts: Counter[str], defects: int, facts: list[dict[str, Any]]) -> str:
    whole = sum(counts[word] for word in ("ended", "diverged", "running", "failed"))
    return (
        f"| {name} | {sum(counts.values()) - whole:,} | {counts['refused']:,} | "
        f"{counts['accepted']:,} | {whole:,} | {defects:,} | "
        f"{max(one['peak'] for one in facts) / 2**20:.0f} | "
        f"{max(one['slowest'] for one in facts):.1f} | {sum(one['seconds'] for one in facts):.0f} |"
    )


if __name__ == "__main__":
    main()
