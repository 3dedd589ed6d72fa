import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.data import Arrays, partition
from fedsim.data.audit_cautions import left_out_sentence
from fedsim.data.partitioners import PartitionTask
from fedsim.data.splitting import from_arrays
from fedsim.errors import DataError, FedsimError, PluginError

DATASET = from_arrays(
    "x",
    Arrays(np.arange(400, dtype=np.float32)[:, None], np.arange(400) % 10),
    test_records=100,
    seed=0,
)
SETTINGS = {
    "DirichletPartitioner": {"alpha": 0.5, "min_partition_size": 1},
    "ShardPartitioner": {"num_shards_per_partition": 2},
    "PathologicalPartitioner": {
        "num_classes_per_partition": 5,
        "class_assignment_mode": "deterministic",
    },
    "IidPartitioner": {},
    "LinearPartitioner": {},
    "SizePartitioner": {"partition_sizes": [10, 20, 30]},
}


def draw(name, participants=3, records=50, seed=1, **settings):
    return partition(
        DATASET, name, participants=participants, records=records, settings=settings, seed=seed
    )


@given(
    name=st.sampled_from(["disjoint", "overlapping"]),
    participants=st.integers(1, 6),
    records=st.integers(1, 50),
    seed=st.integers(0, 5),
)
def test_own_schemes_give_each_participant_different_records_of_the_pool(
    name, participants, records, seed
):
    sets = draw(name, participants, records, seed)
    assert [len(set(drawn.tolist())) for drawn in sets] == [records] * participants
    assert np.isin(np.concatenate(sets), DATASET.pool_records).all()
    again = draw(name, participants, records, seed)
    assert all(np.array_equal(a, b) for a, b in zip(sets, again, strict=True))


def test_disjoint_sets_share_nothing_and_take_all_when_no_number_is_given():
    sets = draw("disjoint", participants=7, records=None)
    together = np.concatenate(sets)
    assert {len(drawn) for drawn in sets} == {300 // 7}
    assert len(np.unique(together)) == len(together)


def test_overlapping_draws_are_independent():
    """Two draws of n out of N share n^2 / N records on average (hypergeometric)."""
    shared = [
        len(np.intersect1d(*draw("overlapping", participants=2, records=100, seed=seed)))
        for seed in range(200)
    ]
    # Standard deviation of one overlap is 4.7, so of the mean 0.33.
    assert np.mean(shared) == pytest.approx(100 * 100 / 300, abs=1.3)


def test_a_participants_overlapping_draw_does_not_depend_on_how_many_others_there_are():
    assert np.array_equal(draw("overlapping", 2)[1], draw("overlapping", 5)[1])


@pytest.mark.parametrize("name", SETTINGS)
def test_partitioners_of_flower_draw_by_seed_from_the_pool(name, capfd):
    sets = draw(name, **SETTINGS[name])
    together = np.concatenate(sets)
    assert len(sets) == 3
    assert len(np.unique(together)) == len(together) <= 150
    assert np.isin(together, DATASET.pool_records).all()
    again, other = draw(name, **SETTINGS[name]), draw(name, seed=2, **SETTINGS[name])
    assert all(np.array_equal(a, b) for a, b in zip(sets, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(sets, other, strict=True))
    assert capfd.readouterr() == ("", "")


def test_shards_hold_few_classes_and_records_are_the_average_size():
    sets = draw("ShardPartitioner", num_shards_per_partition=2)
    assert [len(drawn) for drawn in sets] == [50, 50, 50]
    assert max(len(np.unique(DATASET.labels[drawn])) for drawn in sets) <= 6


def test_partitioner_without_records_splits_the_whole_pool():
    sets = draw("DirichletPartitioner", records=None, alpha=1.0)
    assert sorted(np.concatenate(sets)) == DATASET.pool_records.tolist()


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("disjoint", {"records": 101}, "pool has 300 records.*3 participants with 101 .* 303"),
        ("disjoint", {"participants": 301, "records": None}, "has 300 records.*need 301"),
        ("disjoint", {"alpha": 1}, "disjoint: unknown setting 'alpha'; valid: none"),
        ("disjoint", {"records": 0}, "must be at least 1"),
        ("overlapping", {"records": 301}, "300 records, fewer than the 301"),
        ("overlapping", {"records": None}, "overlapping needs records"),
        ("dirichlet", {}, "no 'dirichlet' among the partitioners; valid: .*DirichletP.*, disjoint"),
        ("Partitioner", {}, "no 'Partitioner' among"),
        ("DirichletPartitioner", {}, "'alpha' is missing"),
        ("DirichletPartitioner", {"alpha": 1, "beta": 1}, "'beta'; valid: alpha"),
        ("DirichletPartitioner", {"alpha": "x"}, "setting 'alpha"),
        ("DirichletPartitioner", {"alpha": -1.0}, "DirichletPartitioner"),
        ("DirichletPartitioner", {"alpha": 1.0, "num_partitions": 3}, "leave out num_partitions"),
        ("DirichletPartitioner", {"alpha": 0.01, "min_partition_size": 49}, "max number"),
        ("SizePartitioner", {"partition_sizes": [1, 2]}, "made 2 parts for 3 participants"),
        ("IidPartitioner", {"records": 101}, "need 303"),
        ("VerticalEvenPartitioner", {}, "no 'VerticalEvenPartitioner' among"),
    ],
)
def test_mistakes_get_a_sentence(name, changes, sentence):
    with pytest.raises(FedsimError, match=sentence) as caught:
        draw(name, **changes)
    assert "\n" not in str(caught.value)


def test_some_participants_may_be_without_records():
    sets = draw(
        "DirichletPartitioner", participants=20, records=1, alpha=0.01, min_partition_size=0
    )
    assert [part.dtype for part in sets] == [np.int64] * 20
    assert 0 < sum(not len(part) for part in sets) < 20


def by_remainder(task, first=0):
    """A partitioner of a user's own: a function of the task."""
    mine = task.pool % task.participants
    return [task.pool[mine == (part + first) % 3] for part in range(task.participants)]


class ByLabel:
    """Another: a class, which sees labels."""

    def __init__(self, step: int) -> None:
        self.step = step

    def partition(self, task: PartitionTask):
        label = task.labels[task.pool]
        return [task.pool[label // self.step == part].tolist() for part in range(task.participants)]


def test_a_users_own_function_says_which_record_is_whose() -> None:
    sets = draw(f"{__name__}:by_remainder", records=None, first=1)
    assert [set(drawn % 3) for drawn in sets] == [{1}, {2}, {0}]
    assert sorted(np.concatenate(sets)) == DATASET.pool_records.tolist()


def test_a_users_own_class_sees_labels() -> None:
    sets = draw(f"{__name__}:ByLabel", participants=2, records=None, step=5)
    assert [{*DATASET.labels[drawn]} for drawn in sets] == [{0, 1, 2, 3, 4}, {5, 6, 7, 8, 9}]


class Given:
    """A partitioner that returns what it is told to."""

    def __init__(self, parts: list) -> None:
        self.parts = parts

    def partition(self, task):
        if self.parts == ["raise"]:
            raise KeyError("user")
        first = int(task.pool[0])
        return [[first if one == "first" else one for one in part] for part in self.parts]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([["first"]], "made 1 parts for 2 participants"),
        ([[], []], "gives none of 2 participants a record"),
        ([["first"], ["first", "first"]], "gives participant 1 record [0-9]+ twice"),
        ([["first"], [400]], "gives participant 1 record 400, which is not in the training pool"),
        ([["first"], [0.5]], "participant 1 no list of record ids, but float64"),
        (
            [["first"], [[1, 2]]],
            r"participant 1 no list of record ids.*of shape \(1, 2\)",
        ),
        ([["first"], [[1], [1, 2]]], "participant 1 no list of record ids"),
        (["raise"], "failed: KeyError: 'user'"),
    ],
)
def test_what_a_users_own_returns_is_checked(parts, sentence) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        draw(f"{__name__}:Given", participants=2, parts=parts)
    assert "\n" not in str(caught.value)


def test_other_objects_are_no_partition() -> None:
    with pytest.raises(DataError, match="returned a int; valid: one list of record ids"):
        draw(f"{__name__}:nothing")
    with pytest.raises(PluginError, match="unknown setting 'task'; valid: none"):
        draw("disjoint", task=1)


def nothing() -> int:
    return 3


USERS = from_arrays(
    "x",
    Arrays(
        np.arange(400, dtype=np.float32)[:, None],
        np.arange(400) % 10,
        groups=np.array([f"u{record % 7}" for record in range(400)]),
    ),
    test_records=100,
    seed=0,
)


@pytest.mark.parametrize("settings", [{}, {"partition_by": "user"}])
def test_natural_ids_are_users_and_never_silently_labels(settings):
    given = {"participants": 7, "records": None, "settings": settings, "seed": 0}
    sets = partition(USERS, "NaturalIdPartitioner", **given)
    for user, records in enumerate(sets):
        assert set(USERS.groups[records]) == {user}
    assert sorted(np.concatenate(sets)) == USERS.pool_records.tolist()
    with pytest.raises(DataError, match=r"records of users, but the data have no users; name a"):
        partition(DATASET, "NaturalIdPartitioner", **given)
    with pytest.raises(DataError, match="made 7 parts for 9 participants; set participants: 7"):
        partition(USERS, "NaturalIdPartitioner", **{**given, "participants": 9})


def test_a_partition_by_label_is_asked_for():
    given = {"participants": 10, "records": None, "seed": 0}
    sets = partition(USERS, "NaturalIdPartitioner", settings={"partition_by": "label"}, **given)
    assert [len(set(USERS.labels[records])) for records in sets] == [1] * 10
    with pytest.raises(DataError, match="'colour'; valid: label, user"):
        partition(USERS, "NaturalIdPartitioner", settings={"partition_by": "colour"}, **given)


def test_users_can_be_spread_by_other_partitioners():
    settings = {"partition_by": "user", "alpha": 0.1, "min_partition_size": 1}
    sets = partition(
        USERS, "DirichletPartitioner", participants=3, records=None, settings=settings, seed=0
    )
    assert sorted(np.concatenate(sets)) == USERS.pool_records.tolist()
    shares = [np.bincount(USERS.groups[records], minlength=7).max() for records in sets]
    assert max(shares) > 30  # of about 43 records a user: most of some user's are together


def test_what_nobody_gets_and_what_a_partitioner_warns_of_is_said():
    said = []
    sets = partition(
        DATASET,
        "PathologicalPartitioner",
        participants=3,
        records=None,
        settings={"num_classes_per_partition": 2, "class_assignment_mode": "first-deterministic"},
        seed=0,
        say=said.append,
    )
    lost = 300 - len(np.unique(np.concatenate(sets)))
    classes = 10 - len(np.unique(DATASET.labels[np.concatenate(sets)]))
    sentence = left_out_sentence(DATASET, sets, "PathologicalPartitioner", None)
    assert sentence == (
        f"partition PathologicalPartitioner: no participant trains on {lost} of the 300 rows of "
        f"the pool, nor on {classes} of its classes"
    )
    assert classes > 0
    assert left_out_sentence(DATASET, draw("disjoint", 7, None), "disjoint", None) is None
    assert left_out_sentence(DATASET, draw("disjoint", 2, 100), "disjoint", 100) is None
