"""What `fedsim new` writes from templates: a plugin's package, or an experiment's Flower app."""

from fedsim.scaffold.flower_app import write_flower_app
from fedsim.scaffold.writing import EXPERIMENTS, TEMPLATES, write_experiment, write_package

__all__ = ["EXPERIMENTS", "TEMPLATES", "write_experiment", "write_flower_app", "write_package"]
