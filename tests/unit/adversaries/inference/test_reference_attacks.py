"""Attacks calibrated by OUT models: planted leak, null, sign, alignment, invariance, formulas."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from server_views import (
    AUDITED,
    MEMBERS,
    PARTICIPANTS,
    UNSEEN,
    known,
    server_view,
    with_shadows,
    with_targets,
)

from adversaries.inference.base_attack import Base, base_score
from adversaries.inference.ensemble import Ensemble
from adversaries.inference.fedmia import FedMIA
from adversaries.inference.gradient_alignment import GradientAlignment
from adversaries.inference.leave_one_out import LeaveOneOut, mean_state
from adversaries.inference.lira import LiRA, standard_scores, upper_tail
from adversaries.inference.loss_series import LossSeries, slopes
from adversaries.inference.multi_signal_lira import MultiSignalLiRA
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.plans import TrainingChanges
from adversaries.inference.relative import NAMES, relative_features
from adversaries.inference.rmia import RMIA, beaten, log_ratios
from adversaries.inference.source_inference import SourceInference
from adversaries.inference.supervised import Supervised
from fedsim.attacks import View
from fedsim.errors import FedsimError
from fedsim.evaluation.metrics import auc, tpr_at_fpr
from fedsim.objectives import Classification
from fedsim.observation.shared_scores import SharedScores
from fedsim.progress import SILENCE

QUICK = TrainingChanges(folds=3, epochs=15)
ATTACKS: dict[str, Any] = {
    "lira": LiRA,
    "lira per record": partial(LiRA, variance="record"),
    "lira online": partial(LiRA, "online"),
    "lira, shadows": partial(LiRA, federations=3),
    "multi-signal lira": MultiSignalLiRA,
    "multi-signal lira online": partial(MultiSignalLiRA, "online"),
    "rmia": RMIA,
    "rmia, shares": partial(RMIA, "share"),
    "rmia, shadows": partial(RMIA, federations=3),
    "lira by IN models": partial(LiRA, "online", federations=6),
    "lira by IN models, per record": partial(LiRA, "online", "record", federations=6),
    "multi-signal lira by IN models": partial(MultiSignalLiRA, "online", federations=6),
    "rmia by IN models": partial(RMIA, mode="online", federations=6),
    "rmia by IN models, shares": partial(RMIA, "share", mode="online", federations=6),
    "base": Base,
    "base, shadows": partial(Base, federations=3),
    "leave one out": LeaveOneOut,
    "leave one out, loss": partial(LeaveOneOut, "loss"),
    "source inference": SourceInference,
    "source inference, loss": partial(SourceInference, "loss"),
    "loss series": LossSeries,
    "loss slope": partial(LossSeries, "slope"),
    "loss change": partial(LossSeries, "change"),
    "loss change, loss": partial(LossSeries, "change", "loss"),
    "fedmia-ii": FedMIA,
    "fedmia-i": partial(FedMIA, "loss"),
    "gradient alignment": GradientAlignment,
    "ensemble": Ensemble,
    "ensemble of one's own": partial(Ensemble, others=False, supervised=False),
    "ensemble without a network": partial(Ensemble, supervised=False),
    "supervised, relative": partial(Supervised, relative=True, training=QUICK),
}
FOLDED = ("online", "ensemble", "supervised")
"""Of attacks that cut the known records into folds."""
ORDER = np.random.default_rng(8).permutation(1200)
PLACE = np.argsort(ORDER)  # where each record stands in that order
KNOWN = known(MEMBERS[:15], UNSEEN[:60])
FRESH = UNSEEN[400:]  # on which no shadow federation trains either


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    folder = tmp_path_factory.mktemp("view")
    return with_targets(with_shadows(server_view(folder), folder, 3), folder, 6)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> View:
    """The same federation: participants under other numbers, records under other ids."""
    folder = tmp_path_factory.mktemp("turned")
    names = [3, 0, 4, 1, 2]
    seen = with_shadows(server_view(folder, names=names, order=ORDER), folder, 3)
    return with_targets(seen, folder, 6, names, ORDER)


def scores(attack: Any, view: View, aux: Any = KNOWN, records: Any = AUDITED) -> Any:
    return attack.score(view, aux, records, 0, SILENCE)


def on(found: Any, records: Any) -> Any:
    return found[np.searchsorted(AUDITED, records)]


@pytest.mark.parametrize("name", ATTACKS)
def test_members_score_higher(name: str, view: View) -> None:
    found = scores(ATTACKS[name](), view)
    assert np.isfinite(found).all()
    assert auc(on(found, MEMBERS[15:]), on(found, FRESH)) > 0.7


@pytest.mark.parametrize("name", ATTACKS)
def test_records_of_nobody_are_not_told_apart_at_a_low_rate(name: str, view: View) -> None:
    """At 1 % FPR among 400, and by the area: within what guessing does in 99.9 of 100 draws."""
    found = scores(ATTACKS[name](), view)
    fresh = np.random.default_rng(1).permutation(FRESH)
    members, others = on(found, fresh[:400]), on(found, fresh[400:800])
    rate, _ = tpr_at_fpr(members, others, 0.01)
    # The threshold is drawn, too: the hits up to the fifth of the others are negative binomial.
    assert rate * 400 <= 22
    assert abs(auc(members, others) - 0.5) < 3.3 * np.sqrt(801 / (12 * 400 * 400))


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_follow_the_record_whatever_it_is_called(
    name: str, view: View, turned: View
) -> None:
    """Records and participants permuted: every record keeps its score."""
    plain = scores(ATTACKS[name](), view)
    aux = known(PLACE[MEMBERS[:15]], PLACE[UNSEEN[:60]])
    ids = np.sort(PLACE[AUDITED])
    found = scores(ATTACKS[name](), turned, aux, ids)
    again = found[np.searchsorted(ids, PLACE[AUDITED])]
    if any(part in name for part in FOLDED):  # folds are drawn over known records as they stand
        open_ = ~np.isin(AUDITED, KNOWN.records)
        plain, again = plain[open_], again[open_]
    if "ensemble" in name or "supervised" in name:  # the fits differ by the folds
        assert np.corrcoef(again, plain)[0, 1] > 0.99
        return
    np.testing.assert_allclose(again, plain, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", ATTACKS)
def test_candidates_may_come_in_any_order(name: str, view: View) -> None:
    order = np.random.default_rng(2).permutation(len(AUDITED))
    straight = scores(ATTACKS[name](), view)
    found = scores(ATTACKS[name](), view, records=AUDITED[order])
    if "supervised" in name:  # another order of a batch rounds sums otherwise
        np.testing.assert_allclose(found, straight[order], rtol=1e-4, atol=1e-5)
        return
    assert found.tolist() == straight[order].tolist()


def test_an_ensemble_finds_no_truth_again_that_is_drawn_at_random(view: View) -> None:
    """Known records are scored out of fold."""
    records = np.random.default_rng(3).permutation(FRESH)[:400]
    guessed = known(records[:200], records[200:])
    found = scores(Ensemble(), view, guessed, guessed.records)
    area = auc(found[guessed.member], found[~guessed.member])
    assert abs(area - 0.5) < 3.5 * np.sqrt(401 / (12 * 200 * 200))


def signals(view: View) -> tuple[Any, Any, Any, Any]:
    """Return log-odds and losses by torch, of the victim (T, N) and of the others (T, K, N)."""
    objective, inputs, targets = Classification(), *view.dataset.batch(view.records)
    odds: dict[tuple[int, int], Any] = {}
    losses: dict[tuple[int, int], Any] = {}
    for one in view.seen:
        if one.kind.name == "UPLOAD":
            model = view.new_model().eval()
            model.load_state_dict(one.load())
            outputs = model(inputs).double().detach()
            odds[one.round, one.participant] = objective.record_scalars(outputs, targets)[:, 0]
            losses[one.round, one.participant] = objective.per_record_loss(outputs, targets)
    rounds, others = range(1, 4), range(1, PARTICIPANTS)
    return tuple(
        np.array(x)
        for kind in (odds, losses)
        for x in (
            [kind[r, 0].numpy() for r in rounds],
            [[kind[r, p].numpy() for p in others] for r in rounds],
        )
    )


def test_formulas_by_loops(view: View) -> None:
    """Slow truth, a record and a round at a time, of a few records."""
    phi, out_phi, loss, out_loss = signals(view)
    rounds, several = len(phi), [0, 7, 33, 250, 700]
    wanted: dict[str, list[float]] = {
        name: [] for name in ("lira", "lira per record", "rmia, shares", "rmia", "base", "sia")
    }
    population = UNSEEN[:60]

    def ratio(t: int, x: int) -> float:
        mean = np.mean([np.exp(-v) for v in out_loss[t, :, x]])
        return float(np.exp(-loss[t, x]) / (0.5 * ((1 + 0.33) * mean + (1 - 0.33))))

    for x in several:
        lira, own, share, logs, base, sia = [], [], [], [], [], []
        for t in range(rounds):
            mean = np.mean(out_phi[t, :, x])
            pooled = np.sqrt(np.mean([np.var(out_phi[t, :, z], ddof=1) for z in view.records]))
            lira.append(-np.log(norm.sf(phi[t, x], mean, pooled)))
            own.append(-norm.logsf(phi[t, x], mean, np.std(out_phi[t, :, x], ddof=1)))
            against = [ratio(t, x) / ratio(t, z) for z in population if z != x]
            share.append(np.mean([one > 1 for one in against]))
            logs.append(np.log(ratio(t, x)) - np.mean([np.log(ratio(t, z)) for z in population]))
            mean_p = np.mean(np.exp(-out_loss[t, :, x]))
            base.append(-loss[t, x] - 0.33 * np.log(mean_p))
            sia.append(phi[t, x] - max(out_phi[t, :, x]))
        for name, values in zip(wanted, (lira, own, share, logs, base, sia), strict=True):
            wanted[name].append(float(np.mean(values)))
    aux = KNOWN
    for name, expected in wanted.items():
        attack = ATTACKS["source inference" if name == "sia" else name]()
        found = scores(attack, view, aux, np.array(several))
        np.testing.assert_allclose(found, expected, rtol=3e-3, atol=1e-5, err_msg=name)


def test_online_lira_by_loops(view: View) -> None:
    phi, out_phi, _, _ = signals(view)
    x = int(MEMBERS[20])
    total = 0.0
    for t in range(len(phi)):
        pooled = np.sqrt(np.mean(np.var(out_phi[t], axis=0, ddof=1)))
        above = [
            (phi[t, m] - out_phi[t, :, m].mean()) / pooled for m in KNOWN.records[KNOWN.member]
        ]
        z = (phi[t, x] - out_phi[t, :, x].mean()) / pooled
        total += norm.logpdf(z, np.mean(above), np.std(above)) - norm.logpdf(z)
    found = scores(ATTACKS["lira online"](), view, records=np.array([x]))
    assert found[0] == pytest.approx(total / len(phi), rel=3e-3)


def test_online_by_in_models_by_loops(view: View) -> None:
    """Slow truth, a record at a time, of records with IN and OUT models, and of one without IN."""
    shadows = [one for one in view.shadows if one.trained is not None]
    trained = np.stack([one.trained for one in shadows if one.trained is not None])
    objective, inputs, targets = Classification(), *view.dataset.batch(view.records)

    def of(state: Any) -> tuple[Any, Any]:
        model = view.new_model().eval()
        model.load_state_dict(state)
        outputs = model(inputs).double().detach()
        scalars = objective.record_scalars(outputs, targets)[:, 0].numpy()
        return scalars, np.exp(-objective.per_record_loss(outputs, targets).numpy())

    sides = [np.where((trained == side).any(0))[0] for side in (1, 0)]  # those with models
    both = np.intersect1d(*sides)
    only_out = np.setdiff1d(sides[1], sides[0])
    several = [int(x) for x in (*both[:3], only_out[0])]
    wanted = {"lira by IN models": np.zeros(4), "rmia by IN models": np.zeros(4)}
    trained[:, (trained < 0).all(0)] = 0  # without others, those of other participants are OUT

    def values(of: Any, side: int, x: int) -> Any:
        return of[trained[:, x] == side, x]

    for number in (1, 2, 3):
        (victim,) = (s for s in view.closest if s.round == number)
        phi, p = of(victim.load())
        states = [s.load() for one in shadows for s in one.view.closest if s.round == number]
        phis, ps = (np.array(x) for x in zip(*map(of, states), strict=True))
        shift = np.mean([values(phis, 1, x).mean() - values(phis, 0, x).mean() for x in both])
        factor = np.exp(
            np.mean([np.log(values(ps, 1, x).mean() / values(ps, 0, x).mean()) for x in both])
        )
        deviation = []
        for side in (1, 0):
            groups = [g for x in range(1200) if len(g := values(phis, side, x))]
            squares = sum(((g - g.mean()) ** 2).sum() for g in groups)
            deviation.append(np.sqrt(squares / sum(len(g) - 1 for g in groups)))
        log_r = {}
        for x in (*several, *KNOWN.records[~KNOWN.member].tolist()):
            sides_of = [v.mean() if len(v := values(ps, side, x)) else None for side in (1, 0)]
            inside = sides_of[0] or sides_of[1] * factor
            outside = sides_of[1] or sides_of[0] / factor
            log_r[x] = np.log(p[x] / ((inside + outside) / 2))
        population = np.mean([log_r[z] for z in KNOWN.records[~KNOWN.member].tolist()])
        for place, x in enumerate(several):
            out_mean = values(phis, 0, x).mean()
            in_mean = values(phis, 1, x).mean() if x in both else out_mean + shift
            lira = norm.logpdf(phi[x], in_mean, deviation[0])
            lira -= norm.logpdf(phi[x], out_mean, deviation[1])
            wanted["lira by IN models"][place] += lira / 3
            wanted["rmia by IN models"][place] += (log_r[x] - population) / 3
    order = np.argsort(several)
    for name, expected in wanted.items():
        found = scores(ATTACKS[name](), view, records=np.array(several)[order])
        np.testing.assert_allclose(found, expected[order], rtol=3e-3, atol=1e-4, err_msg=name)


def test_in_models_take_four_federations() -> None:
    for attack in (partial(LiRA, "online", federations=2), partial(RMIA, mode="online")):
        with pytest.raises(FedsimError, match="take 4 to"):
            attack()


def test_the_tail_has_the_order_of_the_cumulative_probability_and_no_ties() -> None:
    z = np.array([[-3.0, 0.0, 2.0, 9.0, 20.0]])
    assert (np.diff(upper_tail(z)) > 0).all()
    assert norm.cdf(z)[0, 3] == norm.cdf(z)[0, 4] == 1.0


def test_a_variance_of_its_own_is_taken_from_64_models_on() -> None:
    random = np.random.default_rng(0)
    victim = random.normal(size=50)
    for count, alike in ((63, "global"), (64, "record")):
        out = random.normal(size=(count, 50))
        found = standard_scores(victim, out)
        assert found.tolist() == standard_scores(victim, out, alike).tolist()  # type: ignore[arg-type]


def test_rmia_with_a_of_1_and_base_with_weight_1_are_one_ratio() -> None:
    random = np.random.default_rng(0)
    victim, out = -random.random(20), -random.random((5, 20))
    np.testing.assert_allclose(log_ratios(victim, out, 1.0), base_score(victim, out, 1.0))


def test_a_record_does_not_beat_its_equals() -> None:
    assert beaten(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 1.0).tolist() == [0.0, 1.0]
    assert beaten(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 4.0).tolist() == [0.0, 0.0]


def test_without_the_victim_the_aggregate_is_the_mean_of_the_others(view: View) -> None:
    """theta_-k = (theta_G - w theta_k) / (1 - w), with the aggregate that is sent next."""
    uploads = {s.participant: s.load() for s in view.seen if s.round == 1 and s.kind.is_trained}
    (after,) = [s.load() for s in view.seen if s.round == 2 and not s.kind.is_trained]
    without = mean_state([uploads[p] for p in range(1, PARTICIPANTS)])
    w = 1 / PARTICIPANTS
    for name, value in without.items():
        expected = (after[name].double() - w * uploads[0][name].double()) / (1 - w)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=2e-5)


def test_the_source_of_known_members_is_reported(view: View) -> None:
    (finding,) = SourceInference().findings(view, KNOWN, SILENCE)
    share = finding.figures["the victim is named, mean over rounds"]
    assert isinstance(share, float)
    assert share > 0.6
    assert finding.figures["guessing"] == 1 / PARTICIPANTS
    nobody = known(FRESH[:400], UNSEEN[:10])
    (null,) = SourceInference().findings(view, nobody, SILENCE)
    named = null.figures["in the last round"]
    assert isinstance(named, float)
    assert named < 0.35  # 1 in 5 is guessing, and records of a class go together


def test_a_slope_is_that_of_polyfit() -> None:
    random = np.random.default_rng(0)
    rounds, series = np.array([1.0, 3.0, 4.0, 9.0]), random.normal(size=(4, 6))
    np.testing.assert_allclose(slopes(rounds, series), np.polyfit(rounds, series, 1)[0])


def test_who_is_alone_is_told_so(view: View) -> None:
    own = view.keeping([s for s in view.seen if s.participant == 0])
    for attack in (LiRA(), MultiSignalLiRA(), RMIA(), Base(), SourceInference()):
        with pytest.raises(FedsimError, match="at least two models that have not trained"):
            scores(attack, own)
    with pytest.raises(FedsimError, match="averages the uploads of the others"):
        scores(LeaveOneOut(), own)
    one = own.keeping(own.snapshots(rounds=(1,)))
    with pytest.raises(FedsimError, match="a slope takes two observed rounds"):
        scores(LossSeries("slope"), one)
    with pytest.raises(FedsimError, match="what was sent and what came back"):
        scores(LossSeries("change"), one.keeping(one.closest))
    with pytest.raises(FedsimError, match="fewer than two are known"):
        scores(RMIA(), view, known(MEMBERS[:3], UNSEEN[:1]))
    with pytest.raises(FedsimError, match="federations is 1; valid: 0"):
        LiRA(federations=1)


def test_relative_features_are_what_the_attacks_say_whose_idea_they_are(view: View) -> None:
    found = dict(zip(NAMES, relative_features(view, SILENCE, "this").T, strict=True))
    for name, attack in {
        "cosine": GradientAlignment(),
        "margin": SourceInference(),
    }.items():
        np.testing.assert_allclose(found[name], scores(attack, view, records=view.records), 1e-5)
    phi, out_phi, loss, out_loss = signals(view)
    for x in (0, 33, 700):
        pooled = [np.sqrt(np.mean(np.var(out, axis=0, ddof=1))) for out in out_phi]
        z = [(phi[t, x] - out_phi[t, :, x].mean()) / pooled[t] for t in range(len(phi))]
        assert found["log-odds against others"][x] == pytest.approx(np.mean(z), rel=2e-3)
        ratio = [-loss[t, x] - np.log(np.exp(-out_loss[t, :, x]).mean()) for t in range(len(phi))]
        assert found["log-likelihood ratio"][x] == pytest.approx(np.mean(ratio), rel=2e-3, abs=1e-4)
    for name in NAMES:
        assert auc(found[name][MEMBERS], found[name][FRESH]) > 0.7, name


def test_who_sees_no_others_is_told_what_relative_features_take(view: View) -> None:
    own = view.keeping([s for s in view.seen if s.participant == 0])
    with pytest.raises(FedsimError, match="supervised attack with relative features compares"):
        scores(Supervised(relative=True, training=QUICK), own)


def test_an_ensemble_takes_what_there_is(view: View) -> None:
    """All uploads, the victim's alone, and one upload with nothing before it."""
    own = view.keeping([s for s in view.seen if s.participant == 0])
    last = own.keeping([own.closest[-1]])
    areas = []
    for seen in (view, own, last):
        found = scores(Ensemble(supervised=False), seen)
        areas.append(auc(on(found, MEMBERS[15:]), on(found, FRESH)))
    assert min(areas[:2]) > areas[2] > 0.7, areas


COMPUTED: list[list[int]] = []
"""Of `Counted`, the seeds of each call that computed something."""


class Counted(LossSeries):
    """A third party's attack, and how often it computes."""

    stochastic = True

    def score_seeds(self, view: View, known: Any, candidates: Any, seeds: Any, watcher: Any) -> Any:
        COMPUTED.append(list(seeds))
        rows = super().score_seeds(view, known, candidates, seeds, watcher)
        return [row + seed for row, seed in zip(rows, seeds, strict=True)]


def test_scores_are_computed_once_for_all_attacks_that_read_them(view: View) -> None:
    """The same attack on the same view, known records, candidates and seeds; bit for bit."""
    view = replace(view, shared=SharedScores())
    asked = KNOWN, AUDITED, [3, 4], SILENCE
    COMPUTED.clear()
    found = [Counted("slope").shared_scores(view, *asked) for _ in range(3)]
    assert COMPUTED == [[3, 4]]
    alone = Counted("slope").score_seeds(view.given(Counted.needs), *asked)
    for rows in found:
        assert np.array_equal(rows, alone)
        rows[0][:] = 0  # what one attack does to its own, the next does not see
    COMPUTED.clear()
    Counted("level").shared_scores(view, *asked)  # other settings
    Counted("slope").shared_scores(
        view.keeping([s for s in view.seen if s.round < 3]), *asked
    )  # other snapshots
    Counted("slope").shared_scores(view, KNOWN, AUDITED[:9], [3, 4], SILENCE)  # other candidates
    Counted("slope").shared_scores(view, known(MEMBERS[:9], UNSEEN[:9]), *asked[1:])
    Counted("slope").shared_scores(view, KNOWN, AUDITED, [3], SILENCE)  # other seeds
    assert len(COMPUTED) == 5


def test_an_ensemble_and_the_attack_in_it_train_the_same_networks_once(
    view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Any] = []

    def counting(*arguments: Any, **further: Any) -> Any:
        trained.append(arguments)
        return fit_and_score(*arguments, **further)

    monkeypatch.setattr("adversaries.inference.supervised.fit_and_score", counting)
    view = replace(view, shared=SharedScores())
    asked = KNOWN, view.records, [0], SILENCE
    first = [one.shared_scores(view, *asked)[0] for one in (Ensemble(), Supervised())]
    assert len(trained) == 1
    other_order = replace(view, shared=SharedScores())
    again = [one.shared_scores(other_order, *asked)[0] for one in (Supervised(), Ensemble())]
    assert len(trained) == 2
    assert np.array_equal(first, again[::-1])
