"""How the documentation is built: ``make docs``, in which a warning is an error."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "fedsim"
release = version = installed("fedsim")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "settings_tables",
    "offline",
]
exclude_patterns = ["extensions"]

html_theme = "furo"
html_title = "fedsim"
html_show_sourcelink = False
html_show_copyright = False
html_copy_source = False

myst_heading_anchors = 4

# Docstrings quote names of ours and of others in single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
python_maximum_signature_line_length = 88


def setup(app: Sphinx) -> None:
    """Name the languages of blocks that Pygments does not know."""
    app.add_lexer("csv", TextLexer)
