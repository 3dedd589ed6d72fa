"""Lets these tests import what builds the documentation, and the lines that others execute."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "docs" / "extensions"), str(ROOT / "tests" / "integration")]
