"""How the pages become HTML: ``make docs`` (ADR 14). They are plain Markdown; what only Sphinx wants stands here.

The source folder is the root of the repository, so that links between README.md, docs/, specs/ and examples/ are links
between pages, and a broken one stops the build. Links to source files become copies to look at.
"""

import fnmatch
import sys
from pathlib import Path
from typing import Final

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT: Final = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from reference import write_reference  # noqa: E402  # docs/ is not a package

project = "Aerolink"
author = copyright = "The Aerolink developers"  # noqa: A001  # the name that Sphinx wants
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = [
    *("README.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md"),
    *("docs/*.md", "docs/adr/*.md", "docs/reference/*", "specs/*.md", "specs/vectors/README.md"),
]
exclude_patterns = [".*", "build", "dist", "nodes", "protocols", "tests", "requirements", "**/__pycache__"]
highlight_language = "text"

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
toc_object_entries = False  # the side bar copies the contents of every page into every page

html_theme = "furo"
html_title = "Aerolink"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

_NAVIGATION: Final = {
    "Begin": ["README", "docs/tutorial", "docs/mavlink", "docs/glossary"],
    "Use": ["docs/operate", "docs/cli", "docs/config", "docs/topology", "docs/embed", "docs/errors", "examples/README"],
    "Specification": ["specs/README", "specs/threat-model", *(f"specs/{n}-*" for n in range(1, 20)), "specs/*"],
    "Programming interface": ["docs/reference/*"],
    "The project": ["docs/architecture", "docs/comparison", "docs/benchmarks", "SECURITY", "CHANGELOG", "docs/*"],
    "Decisions": ["docs/adr/README", "docs/adr/*"],
}
"""Part of the side bar -> patterns of pages; a page stands where it is met first."""


def _navigate(app: Sphinx, docname: str, content: list[str]) -> None:
    """Give the first page the table of contents, which a forge would show as code."""
    if docname != root_doc:
        return
    left = sorted(app.env.found_docs - {root_doc})
    for caption, patterns in _NAVIGATION.items():
        pages = [page for pattern in patterns for page in fnmatch.filter(left, pattern)]
        pages = list(dict.fromkeys(pages))
        left = [page for page in left if page not in pages]
        head = f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n:caption: {caption}\n\n"
        content[0] += "\n" + head + "\n".join(f"/{page}" for page in pages) + "\n```\n"


def _folders(app: Sphinx, doctree: nodes.document) -> None:
    """Lead a link to a folder to its README, as a forge does."""
    for link in doctree.findall(pending_xref):
        if link["reftype"] == "myst" and not link.get("refdomain"):
            folder = (ROOT / app.env.docname).parent / link["reftarget"].partition("#")[0]
            readme = app.env.path2doc(str(folder.resolve() / "README.md"))
            if folder.is_dir() and readme in app.env.found_docs:
                link.attributes.update(refdomain="doc", reftarget=readme, reftargetid=None)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("config-inited", lambda *_: write_reference(ROOT / "docs" / "reference"))
    app.connect("env-get-outdated", lambda *_: [root_doc])  # a new page is to be in its table of contents
    app.connect("source-read", _navigate)
    app.connect("doctree-read", _folders)
