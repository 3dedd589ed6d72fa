"""The extensions that build the documentation are modules of no package: let tests import them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "docs" / "extensions"))
