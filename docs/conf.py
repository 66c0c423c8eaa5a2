"""How the documentation is built: Sphinx with MyST, one page for every module."""

from importlib.metadata import version as version_of

project = "h5xs_bluesky"
author = "The h5xs_bluesky developers"
project_copyright = "2026, The h5xs_bluesky developers"
version = release = version_of("h5xs_bluesky")

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
]
exclude_patterns = ["reference/api/modules.rst", "measured/*"]

# A page for every module, found anew at every build: none can be forgotten.
apidoc_modules = [
    {
        "path": "../h5xs_bluesky",
        "destination": "reference/api",
        "follow_links": True,  # callbacks
        "separate_modules": True,
        "module_first": True,
        "automodule_options": {"members"},
    }
]
autodoc_member_order = "bysource"
autodoc_default_options = {"ignore-module-all": True}  # each name once, where it is defined
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "h5xs_bluesky"
html_show_sphinx = False
html_copy_source = False
