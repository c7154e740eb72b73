"""The gallery's entries run what exists, and its page shows what was measured."""

import json
import os
import re
import runpy
import subprocess

import pytest

from experiments.common.errors import InputError
from experiments.gallery import main as gallery
from experiments.gallery.entries import ENTRIES, Entry

NAMED = pytest.mark.parametrize("entry", ENTRIES, ids=[e.name for e in ENTRIES])


@NAMED
def test_entries_have_experiments_and_settings(entry):
    assert (gallery.ROOT / "experiments" / entry.module / "__main__.py").exists()
    config = runpy.run_path(str(gallery.ROOT / entry.config))["get_config"]()
    for override in entry.overrides:
        match = re.fullmatch(r"--config\.([\w.]+)=.+", override)
        assert match[1] in config


@NAMED
def test_results_say_how_they_came_about(entry):
    folder = gallery.RESULTS / entry.name
    assert {path.name for path in folder.iterdir()} == {"run.json", *entry.shows}
    made = json.loads((folder / "run.json").read_text())
    assert tuple(made) == gallery.PROVENANCE
    assert made["finished"]
    assert made["command"] == gallery.written(entry)
    assert re.fullmatch("[0-9a-f]{40}", made["commit"]), "made from a clean tree"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"])
    assert made["seconds"] > 0
    assert re.search(r"cores; .*; Python .*, jax ", made["machine"])
    for path in folder.glob("*.png"):
        assert path.stat().st_size <= gallery.PICTURE_BYTES


def test_the_page_is_what_the_gallery_writes():
    assert (gallery.RESULTS / "index.md").read_text() == gallery.page(gallery.RESULTS)


@pytest.fixture
def entry():
    return Entry("own", "Own", "own", "configs/own.py", {"table.md": "A table."})


def test_a_run_goes_on_is_counted_whole_and_runs_once(entry, tmp_path, monkeypatch):
    codes = [3, 0]

    def fake(command, **options):
        if command[0] == "git":
            return subprocess.CompletedProcess(command, 0, "a commit\n")
        assert command[1:] == [*entry.arguments, f"--workdir={tmp_path}"]
        (tmp_path / "table.md").write_text("| a |\n")
        return subprocess.CompletedProcess(command, codes.pop(0))

    monkeypatch.setattr(gallery.subprocess, "run", fake)
    with pytest.raises(InputError, match="own ended with status 3"):
        gallery.run(entry, tmp_path)
    with pytest.raises(InputError, match="not finished"):
        gallery.collect(entry, tmp_path, tmp_path / "results")
    path = tmp_path / "run.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps(made | {"seconds": 1000}))
    gallery.run(entry, tmp_path)
    assert json.loads(path.read_text())["seconds"] >= 1000
    gallery.run(entry, tmp_path)  # nothing is left to run
    gallery.collect(entry, tmp_path, tmp_path / "results")
    assert (tmp_path / "results" / "own" / "table.md").read_text() == "| a |\n"


def test_a_run_of_another_commit_does_not_go_on(entry, tmp_path):
    made = {"commit": "another", "finished": False}
    (tmp_path / "run.json").write_text(json.dumps(made))
    with pytest.raises(InputError, match="began at another"):
        gallery.run(entry, tmp_path)


def test_pictures_shrink(tmp_path):
    image = pytest.importorskip("PIL.Image")

    def noise(*size):
        path = tmp_path / "noise.png"
        image.frombytes("RGB", size, os.urandom(size[0] * size[1] * 3)).save(path)
        return path

    path = noise(450, 400)
    small = gallery.small_png(path)
    assert len(small) <= gallery.PICTURE_BYTES < path.stat().st_size
    with pytest.raises(InputError, match="draw it smaller"):
        gallery.small_png(noise(800, 700))
