"""What a dishonest party may compute with: the model, the data set, and the audited records."""

from fedsim import seeds
from fedsim.adversary.base import Briefing
from fedsim.stages.setup import Party, Scene


def brief(scene: Scene, party: Party) -> None:
    """Brief a party's adversaries: their targets are the audited records of their questions."""
    briefing = Briefing(
        scene.new_model,
        scene.dataset,
        {question.key: scene.ledger.audit(question).records for question in party.questions},
        seeds.derive(scene.experiment.seed, "adversary", party.label),
    )
    for adversary in party.adversaries:
        adversary.brief(briefing)
