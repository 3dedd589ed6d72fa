"""Lets the browser's tests show the example report of the unit tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "fedsim" / "report"))
