"""The README's Python runs as it stands, in one session from top to bottom."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_snippets_run():
    pytest.importorskip("ray")
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(snippets) > 5
    session = {"__name__": "__main__"}  # what it defines is pickled by value
    for snippet in snippets:
        exec(snippet, session)
    assert session["report"].loss < 0.5
    assert int(session["state"].iteration) == 10
