"""FedMIA's scores in a finished run: the same records in every round, and non-members drawn anew.

    fedsim study configs/studies/fedmia-protocol.yaml --scale cpu --out study
    python benchmarks/drawn_anew.py RUN

RUN is the run of the study's federation that trained on members (or any with the attack `fedmia`,
where non-members are unseen or both). The second column follows the code of Zhu et al. (CVPR 2025):
members are the same records in every round and for every participant, and the records that stand
for non-members are drawn anew for each, so that a non-member's score is a mean over as many
different records. `null` has unseen records in the members' place, the same ones in every round:
what a protocol finds there was never trained on. This reads the truth, which no attack may; it is
here, and not among the attacks, for that reason. Means over some draws; in per cent, AUC as it is.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.alignment_cache import observed_alignments, seen_updates
from adversaries.inference.feature_cache import features_on
from adversaries.inference.fedmia import stands_out
from adversaries.inference.needed_features import FIT
from fedsim.api.arguments import data_folder_of, experiment_of
from fedsim.data import read_ledger
from fedsim.evaluation.metrics import auc, tpr_at_fpr
from fedsim.observation.keys import SnapshotKind
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.views import hidden_audit, view_of

Floats = NDArray[np.float64]
Measures = dict[str, Floats]
"""Each measure, (rounds, participants, records), the victim first."""


def measured(run: RunDirectory) -> tuple[Measures, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the measures of a run's records, who is a member, and whom nobody trains on."""
    experiment = experiment_of(run)
    ledger = read_ledger(run.ledger)
    setup = build_setup(experiment, data_folder_of(run, None), SILENCE, ledger=ledger)
    attacker = next(one for one in setup.attackers if one.sees_uploads)
    query = attacker.queries[0]
    store = attacker.store(experiment, run)
    seen = store.series(*attacker.seen_keys(query, experiment))
    hidden = hidden_audit(setup, query)
    view = view_of(setup, run, attacker, query, seen, (), hidden)
    found: dict[str, list[list[Floats]]] = {n: [] for n in ("loss", "cosine", "norm", "difference")}
    for before, after in seen_updates(view):
        others = view.snapshots(SnapshotKind.UPLOAD, rounds=(after.round,))
        uploads = [after, *(one for one in others if one.participant in view.others)]
        aligned = observed_alignments(view, before, uploads)
        fits = features_on(view, SILENCE, uploads, FIT)
        found["loss"].append([-one.losses.astype(np.float64) for one in fits])
        found["cosine"].append([one.cosine for one in aligned])
        found["norm"].append([-one.log_norm for one in aligned])
        found["difference"].append([one.difference for one in aligned])
    audit = ledger.audit(query)
    records = audit.records[hidden.order]
    unseen = ~ledger.holders_of(range(ledger.participants))[records]
    return {n: np.array(rows) for n, rows in found.items()}, hidden.audit.member, unseen


def scores(measures: Measures) -> dict[str, Floats]:
    """Return the eight scores of FedMIA's table 1 of all records; single rounds are the last."""
    loss, cosine = measures["loss"], measures["cosine"]

    def outlying(of: Floats) -> Floats:
        each = [stands_out(one[0], one[1:], add="cdf", drop="paper") for one in of]
        return np.asarray(np.mean(each, axis=0))

    return {
        "loss, last round": loss[-1, 0],
        "cosine, last round": cosine[-1, 0],
        "gradient norm, last round": measures["norm"][-1, 0],
        "loss series": loss[:, 0].mean(0),
        "mean cosine": cosine[:, 0].mean(0),
        "mean difference": measures["difference"][:, 0].mean(0),
        "FedMIA-I": outlying(loss),
        "FedMIA-II": outlying(cosine),
    }


def drawn_anew(
    measures: Measures, nonmembers: NDArray[np.intp], random: np.random.Generator
) -> Measures:
    """Return measures in which, by round and participant, other records stand for non-members."""
    rounds, participants, _ = measures["loss"].shape
    found = {name: values.copy() for name, values in measures.items()}
    for number in range(rounds):
        for participant in range(participants):
            drawn = random.permutation(nonmembers)
            for name, values in measures.items():
                found[name][number, participant, nonmembers] = values[number, participant, drawn]
    return found


def figures(
    measures: Measures,
    members: NDArray[np.intp],
    others: NDArray[np.intp],
    random: np.random.Generator,
    draws: int,
) -> dict[tuple[str, str], Floats]:
    """Return AUC, TPR at 1 % and at .1 % FPR by score and protocol."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for draw in range(draws):
        anew = drawn_anew(measures, others, random)
        for protocol, of in (("same", measures), ("anew", anew)):
            if protocol == "same" and draw:
                continue
            for name, values in scores(of).items():
                inside, outside = values[members], values[others]
                rates = [tpr_at_fpr(inside, outside, fpr)[0] for fpr in (0.01, 0.001)]
                found.setdefault((name, protocol), []).append([auc(inside, outside), *rates])
    return {key: np.mean(rows, axis=0) for key, rows in found.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()
    measures, member, unseen = measured(RunDirectory(given.run))
    random = np.random.default_rng(0)
    members, others = np.flatnonzero(member), np.flatnonzero(~member)
    fresh = random.permutation(np.flatnonzero(~member & unseen))
    played = fresh[: min(len(members), len(fresh) // 2)]
    null_others = np.setdiff1d(others, played)
    rounds, participants, _ = measures["loss"].shape
    print(
        f"{len(members)} members, {len(others)} non-members, {participants} participants, "
        f"{rounds} rounds; null: {len(played)} unseen records against {len(null_others)}\n"
    )
    trained = figures(measures, members, others, random, given.draws)
    null = figures(measures, played, null_others, random, given.draws)
    columns: list[tuple[str, Any, str]] = [
        (f"{title}{protocol}", of, protocol)
        for title, of in (("", trained), ("null, ", null))
        for protocol in ("same", "anew")
    ]
    print("| score | " + " | ".join(f"{title}: AUC, 1 %, .1 %" for title, *_ in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name in scores(measures):
        cells = [of[name, protocol] for _, of, protocol in columns]
        texts = [f"{a:.3f}, {100 * b:.1f}, {100 * c:.1f}" for a, b, c in cells]
        print(f"| {name} | " + " | ".join(texts) + " |")


if __name__ == "__main__":
    main()
