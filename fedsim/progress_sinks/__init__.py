"""Watchers other than a person at a terminal: programs, TensorBoard, several at once.

Each is a `fedsim.progress.Watcher`, given to whatever works long; what works knows none of them.
"""

from fedsim.progress_sinks.fan_out import FanOut
from fedsim.progress_sinks.json_lines import JsonLines
from fedsim.progress_sinks.study import Cells, watching_cells
from fedsim.progress_sinks.study_tensorboard import CellScalars
from fedsim.progress_sinks.tensorboard import Scalars, open_scalars

__all__ = [
    "CellScalars",
    "Cells",
    "FanOut",
    "JsonLines",
    "Scalars",
    "open_scalars",
    "watching_cells",
]
