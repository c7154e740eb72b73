"""How Sphinx builds the site; `scripts/docs` runs it."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_extensions"), str(DOCS.parent)]

import jgc  # noqa: E402

project = "jgc"
author = "the jgc authors"
copyright = "the jgc authors, Apache 2.0"
release = version = jgc.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "api_pages",
    "code_links",
    "docstrings",
    "mathml",
]
root_doc = "index"
exclude_patterns = ["_build", "results/*/*"]  # of results what runs left

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"  # `name` in a docstring is a link where there is such a name
autosummary_generate = False  # `api_pages` does
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 72
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"jgc {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
