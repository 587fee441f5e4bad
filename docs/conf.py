"""Sphinx: `make docs` builds these pages into `docs/_build/html`."""

from importlib.metadata import version as version_of

project = "l402_middleware"
author = "The l402_middleware authors"
release = version_of("l402_middleware")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"l402_middleware {release}"

myst_heading_anchors = 3

# What stands between single backticks in a docstring is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
