"""Give every reader many broken inputs, and tell what came of them, reader by reader.

    nice -n 5 python benchmarks/fuzz.py --inputs 4500 --state fuzz.json

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
from fuzz.harness import Tally, limited_memory, run
from fuzz.subjects import READERS

BATCH = 250
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
        for name in options.only or READERS:
            state[name] = _continued(state.get(name), name, corpus, options)
    print(_table(state))
    defects = [defect for facts in state.values() for defect in facts["defects"]]
    for defect in defects[:20]:
        print(f"\n{defect['subject']} {defect['number']}: {defect['what']}\n{defect['trace']}")
    sys.exit(1 if defects else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=4500, help="for each reader")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(READERS), metavar="READER")
    parser.add_argument("--state", type=Path, help="where to keep how far it is (JSON)")
    return parser.parse_args()


def _continued(
    before: dict[str, Any] | None, name: str, corpus: Corpus, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the inputs of a reader that are left, and return its facts."""
    subject = READERS[name](corpus)
    facts = before or {
        "done": options.first,
        "counts": {},
        "peak": 0,
        "seconds": 0.0,
        "defects": [],
    }
    end = options.first + max(1, int(options.inputs * SHARES.get(name, 1)))
    while facts["done"] < end:
        count = min(BATCH, end - facts["done"])
        began = time.process_time()
        tally = run(subject, corpus.folder, seed=options.seed, first=facts["done"], count=count)
        facts = _added(facts, tally, count, time.process_time() - began)
        print(f"{name}: {facts['done']}/{end} {facts['counts']}", flush=True)
        if options.state:
            kept = json.loads(options.state.read_text()) if options.state.is_file() else {}
            options.state.write_text(json.dumps({**kept, name: facts}, indent=1))
    return facts


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
    lines = ["| reader | inputs | refused | accepted | defects | peak, MB | slowest, s | CPU, s |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for name, facts in state.items():
        counts = Counter(facts["counts"])
        total += counts
        lines.append(
            f"| {name} | {sum(counts.values()):,} | {counts['refused']:,} | "
            f"{counts['accepted']:,} | {counts['crashed']:,} | {facts['peak'] / 2**20:.0f} | "
            f"{facts['slowest']:.1f} | {facts['seconds']:.0f} |"
        )
    lines.append(
        f"| all | {sum(total.values()):,} | {total['refused']:,} | {total['accepted']:,} | "
        f"{total['crashed']:,} | {max(f['peak'] for f in state.values()) / 2**20:.0f} | "
        f"{max(f['slowest'] for f in state.values()):.1f} | "
        f"{sum(f['seconds'] for f in state.values()):.0f} |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
