"""The gallery of results: runs its experiments and writes `docs/results/`.

    python -m experiments.gallery
    python -m experiments.gallery --only=decoding --collect

Each entry runs in a process of its own in `--workdir`/NAME and goes on where it was
stopped. One that has finished is not run again: remove its folder for that. With
`--collect` nothing runs. Tables and pictures go to `docs/results/`NAME with `run.json`,
which says how they came about, and `docs/results/index.md` shows them.
"""

import datetime
import io
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.machine import describe_machine
from experiments.common import launch
from experiments.common.errors import InputError
from experiments.gallery.entries import ENTRIES, Entry
from jgc._files import write_atomically

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PICTURE_BYTES = 150_000
PROVENANCE = ("command", "commit", "date", "machine", "seconds", "note", "finished")


def main() -> None:
    """The program."""
    names = [entry.name for entry in ENTRIES]
    flags.DEFINE_multi_enum("only", names, names, "entries to run and collect")
    flags.DEFINE_string("workdir", "runs/gallery", "where the experiments run")
    flags.DEFINE_boolean("collect", False, "only copy what earlier runs left")
    launch.run(_gallery)


def run(entry: Entry, workdir: Path) -> None:
    """Runs an entry, unless it has finished, and leaves `run.json` beside its results.

    Raises:
        InputError: it began at another commit, or it fails.
    """
    path = workdir / "run.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("finished"):
        return
    commit = _git("rev-parse", "HEAD")
    results = f":!{RESULTS.relative_to(ROOT)}"  # earlier entries' are in there
    if _git("status", "--porcelain", "--untracked-files=no", "--", results):
        commit += " with changes"
    if before.get("commit", commit) != commit:
        raise InputError(f"{workdir} began at {before['commit']}: remove it")
    command = [sys.executable, *entry.arguments, f"--workdir={workdir}"]
    began, code = time.monotonic(), -1
    try:
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
    finally:
        workdir.mkdir(parents=True, exist_ok=True)
        made = {
            "command": written(entry),
            "commit": commit,
            "date": datetime.date.today().isoformat(),
            # After the run, whose process has the devices until then.
            "machine": describe_machine(),
            "seconds": round(before.get("seconds", 0) + time.monotonic() - began),
            "note": "",
            "finished": code == 0,
        }
        write_atomically(path, json.dumps(made, indent=1) + "\n")
    if code:
        raise InputError(f"{entry.name} ended with status {code}")


def collect(entry: Entry, workdir: Path, results: Path) -> None:
    """Copies an entry's tables and pictures, these with fewer colours.

    Raises:
        InputError: a file is missing, or the run has not finished.
    """
    missing = [x for x in ("run.json", *entry.shows) if not (workdir / x).exists()]
    if missing or not json.loads((workdir / "run.json").read_text())["finished"]:
        raise InputError(f"{workdir} is not finished; it lacks {missing}")
    folder = results / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", *entry.shows):
        if name.endswith(".png"):
            (folder / name).write_bytes(small_png(workdir / name))
        else:
            shutil.copyfile(workdir / name, folder / name)


def written(entry: Entry) -> str:
    """An entry's command as one types it, without the working directory."""
    return shlex.join(["python", *entry.arguments])


def small_png(path: Path) -> bytes:
    """The picture in as many colours as `PICTURE_BYTES` allow, of 256 to 16."""
    from PIL import Image  # comes with matplotlib

    picture = Image.open(path).convert("RGB")
    for colours in (256, 128, 64, 32, 16):
        file = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(
            file, "PNG", optimize=True
        )
        if file.tell() <= PICTURE_BYTES:
            return file.getvalue()
    raise InputError(f"{path} has {file.tell()} bytes in 16 colours: draw it smaller")


def page(results: Path) -> str:
    """`index.md`, from what is in the folders."""
    parts = [
        "# Gallery",
        "What the experiments of this repository show, and how each came about. "
        "`python -m experiments.gallery` runs them, copies the results and writes this "
        "page; `--only=NAME` for one. The paper's figures have "
        "[a page of their own](figures.md).",
    ]
    for entry in ENTRIES:
        made: dict[str, Any] = json.loads(
            (results / entry.name / "run.json").read_text()
        )
        reduced = f" **Reduced**: {entry.reduced}." if entry.reduced else ""
        note = f" {made['note']}" if made["note"] else ""
        parts += [
            f"## {entry.title}",
            f"    {made['command']} \\\n        --workdir=runs/gallery/{entry.name}",
            f"Commit `{made['commit'][:7]}`, {made['date']}, {made['seconds']} s on: "
            f"{made['machine']}.{reduced}{note}",
        ]
        for name, says in entry.shows.items():
            picture = name.endswith(".png")
            link = f"{entry.name}/{name}"
            parts.append(
                f"{says}:\n\n![{says}]({link})" if picture else f"`{link}`: {says}"
            )
    return "\n\n".join(parts) + "\n"


def _gallery() -> None:
    chosen = [entry for entry in ENTRIES if entry.name in flags.FLAGS.only]
    for entry in chosen:
        workdir = Path(flags.FLAGS.workdir).absolute() / entry.name
        if not flags.FLAGS.collect:
            run(entry, workdir)
        collect(entry, workdir, RESULTS)
    write_atomically(RESULTS / "index.md", page(RESULTS))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout[
        :-1
    ]
