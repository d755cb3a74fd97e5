project = "Gigaforge"
author = "The Gigaforge authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "Gigaforge"
myst_heading_anchors = 3
exclude_patterns = ["build"]
suppress_warnings = ["myst.xref_missing"]
