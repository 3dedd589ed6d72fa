"""`fedsim new`: writing a plugin's package, an experiment, or a Flower app from templates."""

from fedsim.scaffold.flower_app import write_flower_app
from fedsim.scaffold.writing import EXPERIMENTS, TEMPLATES, write_experiment, write_package

__all__ = ["EXPERIMENTS", "TEMPLATES", "write_experiment", "write_flower_app", "write_package"]
