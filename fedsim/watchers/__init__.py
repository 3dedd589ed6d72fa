"""Watchers other than a person at a terminal: programs, TensorBoard, several at once.

Each is a `fedsim.progress.Watcher`, given to whatever works long; what works knows none of them.
"""

from fedsim.watchers.cell_scalars import CellScalars
from fedsim.watchers.cells import Cells, watching_cells
from fedsim.watchers.json_lines import JsonLines
from fedsim.watchers.scalars import Scalars, open_scalars
from fedsim.watchers.several import Several

__all__ = [
    "CellScalars",
    "Cells",
    "JsonLines",
    "Scalars",
    "Several",
    "open_scalars",
    "watching_cells",
]
