"""`fedsim check` for every group: ours keep their contracts, and each broken promise is found."""

import pytest

from fedsim import plugins
from fedsim.conformance import CheckStatus, check_plugin, findings, identified
from fedsim.errors import PluginError

HEAVY = {"alexnet", "densenet", "resnet"}
QUICK = ("objectives", "optimizers", "partitioners", "trainers")
NEEDS_SETTINGS = {
    "calibrated-fpr": {"fpr": 0.1},
    "calibrated-tpr": {"fpr": 0.1},
    "clipped-updates": {"max_norm": 0.1},
    "precision": {"prior": 0.1},
    "tpr": {"fpr": 0.1},
}


@pytest.mark.filterwarnings("ignore:Full backward hook:UserWarning")  # Opacus, on a first layer
@pytest.mark.parametrize(
    ("group", "name"),
    [
        *((g, n) for g in QUICK for n, p in plugins.available(g).items() if p.dist is not None),
        *(("metrics", name) for name in plugins.available("metrics")),
        *(("models", name) for name in plugins.available("models") if name not in HEAVY),
        ("partitioners", "IidPartitioner"),
        ("optimizers", "torch.optim:RMSprop"),
        ("defences", "clipped-updates"),
        ("strategies", "FedAdam"),
        ("engines", "local"),
    ],
)
def test_ours_keep_their_contract(group: str, name: str) -> None:
    checklist = check_plugin(group, name, **NEEDS_SETTINGS.get(name, {}))
    checklist.require()
    assert len([one for one in checklist.findings if one.status is CheckStatus.PASSED]) >= 3


@pytest.mark.parametrize(
    ("group", "plugin", "claim", "told"),
    [
        ("partitioners", "moody", "same training sets", "every draw must come from task.generator"),
        ("partitioners", "greedy", "ids of the pool", "is not in the training pool"),
        ("objectives", "Mixed", "does not depend", "when other records stand beside it"),
        ("objectives", "WrongGradient", "gradients", "differs from autograd's by up to"),
        ("objectives", "Upside", "first scalar", "rises with the loss for 11 of 11 pairs"),
        ("objectives", "Underflow", "scalars are finite", "outputs are 300 times as large"),
        (
            "optimizers",
            "ForgetfulOptimizer",
            "goes on from its state",
            "must be tensors in optimizer.state",
        ),
        ("optimizers", "Stubborn", "learning rate", "rate 0.01, it has [0.5]"),
        ("models", "Certain", "logits", "leave the softmax to the objective"),
        ("models", "Mingling", "alone", "from those in a batch"),
        ("models", "Mingling", "gradient to every", "no gradient reaches unused.weight"),
        ("datasets", "Unordered", "same order again", "read again, it gives other features"),
        ("trainers", "HoardingTrainer", "on itself", "must be in `state`"),
        ("trainers", "Idle", "learns", "after 6 rounds the loss is 1.272, from 1.272"),
        ("defences", "HalfDefence", "every half", "a half alone protects nobody"),
        ("defences", "Useless", "changes what", "all files have the bits that they have without"),
        ("metrics", "Hasty", "each resample", "on_resamples() differs by up to"),
        ("metrics", "Hasty", "guessing reaches", "`guessing` is 0.2, but guesses reach 0.4986"),
        ("metrics", "Boundless", "in its range", "its unit is percent, but it gives -"),
    ],
)
def test_a_broken_promise_is_found(group: str, plugin: str, claim: str, told: str) -> None:
    name = f"broken_members:{plugin}"
    assert identified(name) == group
    failed = [one for one in findings(group, name, {}) if one.status is CheckStatus.FAILED]
    [found] = [one for one in failed if claim in one.claim]
    assert told in found.said
    assert "\n" not in found.said


@pytest.mark.parametrize(
    ("group", "name", "told"),
    [
        ("attacks", "broken_members:Idle", "'broken_members:Idle' is one of the trainers, not"),
        ("attacks", "disjoint", "there is no 'disjoint' among the attacks"),
        ("optimizers", "sgd", "unknown setting 'nothing'; valid: momentum"),
        ("colours", "sgd", "there are no checks of the 'colours'; valid: adversaries, attacks"),
    ],
)
def test_a_plugin_of_another_group_is_one_sentence(group: str, name: str, told: str) -> None:
    with pytest.raises(PluginError) as error:
        check_plugin(group, name, nothing=1)
    assert told in str(error.value)


def test_a_name_of_two_groups_and_a_bare_function_ask_for_the_kind() -> None:
    with pytest.raises(PluginError, match="'sgd' is one of the optimizers and of the trainers"):
        identified("sgd")
    with pytest.raises(PluginError, match=r"not say what it is: .* --kind, one of: adv"):
        identified("toys:blobs")
    with pytest.raises(PluginError, match="there is no plugin 'nothing'; valid: a name of `fedsim"):
        identified("nothing")
