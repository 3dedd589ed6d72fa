"""Shadow federations that train on audited records: half of them, whatever their membership."""

from pathlib import Path

import numpy as np
import pytest
import toys

from fedsim.data import about_all_but, about_participant
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.views import hidden_audit
from fedsim.stages.shadow_federations import ShadowFederations, shadows_of

SERVER, LOCAL = about_participant(0), about_all_but(2, 3)


@pytest.fixture(scope="module")
def setup() -> Setup:
    experiment = toys.experiment(
        data={"name": "toys:blobs", "records": 1600, "noise": 4.0, "test_records": 100},
        partition={"participants": 3, "records": 160},
        model={"name": "fully-connected", "widths": [8]},
        federation={"rounds": 1, "local": {"batch_size": 80}},
        snapshots={"rounds": [1]},
        audit={
            "victims": [0],
            "known_members": 40,
            "known_nonmembers": 40,
            "tested_members": 80,
            "tested_nonmembers": 80,
        },
        adversaries=["curious-server", {"name": "curious-participant", "participant": 2}],
        attacks=[
            {"name": "lira", "mode": "online", "federations": 4},
            {"name": "lira", "label": "offline", "federations": 2},
        ],
    )
    return build_setup(experiment, None, SILENCE)


@pytest.fixture(scope="module")
def shadows(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> ShadowFederations:
    return shadows_of(setup, RunDirectory(tmp_path_factory.mktemp("shadows")), SILENCE)


def test_each_record_is_in_half_and_out_of_half(setup: Setup, shadows: ShadowFederations) -> None:
    trained = [s.trained for s in shadows["curious-server", SERVER.key] if s.trained is not None]
    assert len(trained) == 4
    together = np.stack(trained)
    asked_alone = ~np.isin(setup.ledger.audit(SERVER).records, setup.ledger.audit(LOCAL).records)[
        hidden_audit(setup, SERVER).order
    ]
    # Of 400 or so audited records, 200 are IN at a time, with three stand-ins of 160 records each.
    assert ((together == 1).sum(0)[asked_alone] == 2).mean() > 0.9
    assert ((together[0] == 1) & (together[1] == 1)).sum() == 0
    assert not np.array_equal(together[0], together[2])
    pooled = np.stack(
        [s.trained for s in shadows["curious-participant", LOCAL.key] if s.trained is not None]
    )
    assert ((pooled == 1).sum(0) <= 2).all()
    assert (pooled >= 0).all()  # whom else, but those who are asked about


def test_membership_decides_nothing(setup: Setup, shadows: ShadowFederations) -> None:
    """Members and non-members are IN as often, within chance."""
    member = hidden_audit(setup, SERVER).audit.member
    for shadow in shadows["curious-server", SERVER.key]:
        if shadow.trained is not None:
            share = [(shadow.trained[member == side] == 1).mean() for side in (True, False)]
            assert abs(share[0] - share[1]) < 3.5 * np.sqrt(0.25 * 2 / member.sum())


def test_nobody_trains_on_the_others(
    setup: Setup, shadows: ShadowFederations, tmp_path: Path
) -> None:
    """Those that are out are in nobody's data, and federations of OUT models have none at all."""
    for label, query in (("curious-server", SERVER), ("curious-participant", LOCAL)):
        plain = [s for s in shadows[label, query.key] if s.trained is None]
        assert len(plain) == 2
        assert all(one.overlapping == 0 for one in shadows[label, query.key])
