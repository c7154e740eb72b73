"""`jgc.codes.interval` in a page's text is a link to its entry in the reference."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_NAME = re.compile(r"(jgc(?:\.\w+)+)(?:\(.*\))?")


class Linked(SphinxTransform):
    """Inline code that names something public refers to it, where it is known."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Of docutils."""
        for literal in list(self.document.findall(nodes.literal)):
            name = _NAME.fullmatch(literal.astext())
            if name is None or isinstance(literal.parent, addnodes.pending_xref):
                continue
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=name[1], refwarn=False
            )
            literal.replace_self(link)
            link += literal


def setup(app: Sphinx) -> dict[str, bool]:
    """Of Sphinx."""
    app.add_transform(Linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
