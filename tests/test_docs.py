"""Every page's Python runs and prints what the page shows; the reference is whole.

A page is one session from top to bottom. Blocks marked ```` ```python ```` run; a block
marked ```` ```text ```` right under one is what it prints, with `...` for anything.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.S | re.M)
PAGES = sorted(
    page
    for page in (ROOT / "README.md", *DOCS.rglob("*.md"))
    if "_build" not in page.parts and "api" not in page.parts
)
NEEDS = {  # a package that comes with an extra
    "docs/training.md": ("ray", "matplotlib"),
    "docs/distributed.md": ("ray",),
    "docs/tutorials/detector.md": ("flax", "matplotlib", "pycocotools"),
    "docs/tutorials/flax.md": ("flax",),
}
MOSTLY_COMPILED = ("docs/tutorials/detector.md",)  # sooner done if it runs slower


def blocks(text):
    """(line, code, what it prints or None) of each block."""
    return [
        (text.count("\n", 0, match.start()) + 2, match[1], match[2])
        for match in BLOCK.finditer(text)
    ]


def named(page):
    return str(page.relative_to(ROOT))


def test_blocks_are_found():
    text = "a\n```python\nprint(1)\n```\n\n```text\n1\n```\n```python\nx = 1\n```\n"
    assert blocks(text) == [(3, "print(1)\n", "1\n"), (10, "x = 1\n", None)]
    assert "README.md" in map(named, PAGES)


@pytest.fixture
def compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page.read_text())], ids=named
)
def test_page_runs(page, tmp_path, monkeypatch, request):
    for package in NEEDS.get(named(page), ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    if named(page) in MOSTLY_COMPILED:
        request.getfixturevalue("compiled_quickly")
    session = {"__name__": "__main__"}  # what it defines is pickled by value
    for line, code, shown in blocks(page.read_text()):
        printed = io.StringIO()
        # The line numbers of an error are those of the page.
        program = compile("\n" * (line - 1) + code, str(page), "exec")
        with contextlib.redirect_stdout(printed):
            exec(program, session)
        if shown is not None:
            ok = doctest.OutputChecker().check_output(
                shown, printed.getvalue(), doctest.ELLIPSIS
            )
            assert ok, f"{page}:{line} prints\n{printed.getvalue()}\nnot\n{shown}"
    if page.name == "README.md":
        assert int(session["state"].iteration) == 100
        assert session["report"].loss < 0.01
    if page.name == "detector.md":
        assert session["scores"].ap50 > 0.25
        assert Path("found.png").is_file()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `scripts/docs` builds it, where a warning is an error."""
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    options = ["--builder=html", "--fail-on-warning", "--keep-going", "--quiet"]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return out


@pytest.mark.slow
def test_site_is_whole_and_needs_nothing_from_elsewhere(site):
    pages = {str(page.relative_to(site)): page for page in site.rglob("*.html")}
    assert {"index.html", "search.html", "api/jgc.codes.html"} <= pages.keys()
    assert (site / "searchindex.js").stat().st_size > 10_000
    assert "<math" in pages["best-unbiased.html"].read_text()
    fetched = re.compile(r"""(src=|<link[^>]*href=|@import |url\()["']?(https?:)?//""")
    for path in [*pages.values(), *site.rglob("*.css")]:
        assert not fetched.search(path.read_text()), path


def leads_nowhere(pages):
    """Links of pages in HTML to files, or places on a page, that there are not."""
    places = {p: set(re.findall(r' id="([^"]*)"', text)) for p, text in pages.items()}
    link = re.compile(r'<a [^>]*?href="([^"#]*)(?:#([^"]*))?"')
    for page, text in pages.items():
        for target, place in link.findall(text):
            if ":" in target:
                continue
            file = (page.parent / target).resolve() if target else page
            missing = place and file in places and place not in places[file]
            if missing or not (file in places or file.exists()):
                yield f"{page.name}: {target}#{place}"


@pytest.mark.slow
def test_links_lead_somewhere(site, tmp_path):
    pages = {page.resolve(): page.read_text() for page in site.rglob("*.html")}
    assert not list(leads_nowhere(pages))
    wrong = {
        tmp_path / "a": '<p id="x"><a href="#x"><a class="r" href="#y"><a href="b">'
    }
    assert list(leads_nowhere(wrong)) == ["a: #y", "a: b#"]
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_reference_has_every_public_name(site):
    for name in ("jgc", "jgc.codes", "jgc.decoders", "jgc.stragglers.estimation"):
        module = importlib.import_module(name)
        page = (site / "api" / f"{name}.html").read_text()
        for public in module.__all__:
            if not inspect.ismodule(getattr(module, public)):
                assert f'id="{name}.{public}"' in page


def test_pictures_are_those_that_the_pages_show():
    shown = set()
    for page in PAGES:
        shown |= set(re.findall(r"\]\(pictures/([\w-]+\.svg)\)", page.read_text()))
    assert shown == {path.name for path in (DOCS / "pictures").glob("*.svg")}


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    command = [sys.executable, str(DOCS / "pictures.py"), str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in (DOCS / "pictures").glob("*.svg")}
    for name in drawn:
        assert (tmp_path / name).read_text().rstrip().endswith("</svg>")
