"""The documentation is true: its code runs, its commands exist, its map names every module."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

import dasktune as dt

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """List the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_every_block_has_a_language_that_is_tested():
    """So that no code hides from these tests."""
    for page in PAGES:
        found = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)[::2]
        assert set(found) <= {"python", "console", "sh", "text"}, page


def slug(heading: str) -> str:
    """Give the name by which a heading is linked to, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def test_every_link_leads_somewhere():
    """To a file that is there, and to a heading in it."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if link.startswith(("http:", "https:")):
                continue
            path, _, heading = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page}: {link}"
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M) if heading else [""]
            assert not heading or heading in map(slug, headings), f"{page}: {link}"


def follow(page: Path, run_cli) -> int:
    """Type a page's commands, look for the lines that it shows, and count the commands."""
    commands = 0
    for block in blocks(page, "console"):
        expected: list[str] = []
        out = ""
        for line in [*block.splitlines(), "$ "]:
            if line.startswith("$ "):
                for text in expected:
                    squeezed = [" ".join(row.split()) for row in out.splitlines()]
                    assert " ".join(text.split()) in squeezed
                expected = []
                if line.removeprefix("$ "):
                    words = shlex.split(line.removeprefix("$ dasktune "))
                    result = run_cli(words)
                    assert result.code == 0, result.err
                    out, commands = result.out, commands + 1
            else:
                expected.append(line)
    return commands


def test_the_readme_can_be_followed_line_by_line(tmp_path, monkeypatch, run_cli):
    """Its pipeline, its session with its output, its way to read the result."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "README.md"
    pipeline, reading = blocks(page, "python")
    (tmp_path / "pipeline.py").write_text(pipeline)
    assert follow(page, run_cli) == 6
    names: dict[str, object] = {}
    exec(reading, names)
    assert names["results"].sizes == {"trial": 6, "epoch": 5}
    (block,) = blocks(ROOT / "docs" / "watching.md", "python")
    exec(block, {})
    assert (tmp_path / "dag.svg").read_text().startswith("<svg")
    (block,) = blocks(ROOT / "docs" / "store.md", "python")
    exec(block, names)
    assert names["grid"].accuracy.sizes == {"alpha": 3, "seed": 2, "epoch": 5}


def test_the_page_on_scikit_learn_can_be_followed(tmp_path, monkeypatch, run_cli):
    """Its pipeline, its commands, its searches."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "scikit-learn.md"
    pipeline, *searches = blocks(page, "python")
    (tmp_path / "flowers.py").write_text(pipeline)
    for block in blocks(page, "console"):
        for line in block.splitlines():
            result = run_cli(shlex.split(line.removeprefix("$ dasktune ")))
            assert result.code == 0, result.err
    assert dt.open_results("dist/flowers").sizes["trial"] == 4
    names: dict[str, object] = {}
    exec(searches[0], names)
    assert names["search"].best_params_ == {"C": 10}
    exec(searches[1], names)
    assert len(os.listdir("dist/search/trained")) == 20


def test_links_between_pages_lead_somewhere():
    """No link to a file that is not there."""
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_the_architecture_page_names_every_module():
    """A newcomer's map has no white spots."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = {path.stem for path in (ROOT / "dasktune").iterdir() if path.suffix == ".py"}
    missing = [name for name in modules - {"__init__", "__main__"} if f"`{name}`" not in text]
    assert missing == []


def test_the_page_on_data_can_be_followed(tmp_path, monkeypatch, run_cli):
    """Its store is what any reader opens, and its loop trains from batches."""
    monkeypatch.chdir(tmp_path)
    reading, pipeline = blocks(ROOT / "docs" / "data.md", "python")
    (tmp_path / "data.py").write_text(pipeline)
    result = run_cli(["make", "-f", "data.py", "--cluster", "none"])
    assert result.code == 0, result.err
    (key,) = (path.name for path in (tmp_path / "dist/data/preprocessed").iterdir())
    names: dict[str, object] = {}
    exec(reading.replace("KEY", key), names)
    assert names["train"].x.shape == (20_000, 16)
    losses = dt.open_results("dist/data").loss.values
    assert (losses[:, -1] < losses[:, 0]).all()


def test_the_page_on_training_can_be_followed(tmp_path, monkeypatch, run_cli):
    """Its pipeline, its longer budget, its way to load a model."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "training.md"
    pipeline, loading = blocks(page, "python")
    (tmp_path / "training.py").write_text(pipeline)
    assert follow(page, run_cli) == 2
    names: dict[str, object] = {}
    exec(loading, names)
    assert not names["model"].training


def test_the_page_on_searching_can_be_followed(tmp_path, monkeypatch, run_cli):
    """Its pipeline, its strategies, its dataset."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "searching.md"
    pipeline, reading = blocks(page, "python")
    (tmp_path / "searching.py").write_text(pipeline)
    assert follow(page, run_cli) == 15
    names: dict[str, object] = {}
    exec(reading, names)
    assert names["results"].sizes["trial"] >= 6 * 3


def test_the_page_on_results_can_be_followed(tmp_path, monkeypatch, run_cli):
    """Its pipeline, every command, its way through the dataset."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "results.md"
    pipeline, reading = blocks(page, "python")
    (tmp_path / "pipeline.py").write_text(pipeline)
    assert follow(page, run_cli) == 15
    names: dict[str, object] = {}
    exec(reading, names)
    assert names["results"].dataset.sizes["trial"] == 24


def test_a_cluster_of_ones_own_is_tested_as_the_page_says():
    """Its class has the tests of all."""
    (block,) = blocks(ROOT / "docs" / "how-to" / "other-queues.md", "python")
    names: dict[str, type] = {}
    exec(block, names)
    assert sum(name.startswith("test_") for name in dir(names["TestMine"])) == 7


def test_every_public_name_is_documented():
    """And so is every public method of it."""
    for name in dt.__all__:
        thing = getattr(dt, name)
        assert thing.__doc__, name
        for word, member in vars(thing).items() if isinstance(thing, type) else ():
            if not word.startswith("_") and callable(member):
                assert member.__doc__, f"{name}.{word}"


def test_the_public_names_are_those_of_all():
    """Nothing is exported by accident."""
    assert len(dt.__all__) == len(set(dt.__all__))
    assert set(dir(dt)) == set(dt.__all__)


def test_importing_dasktune_brings_in_neither_torch_nor_dask():
    """A no-op must be nearly free."""
    import subprocess
    import sys

    code = (
        "import sys, dasktune.cli, dasktune.sweep, dasktune.plan; "
        "print([m for m in ('torch', 'distributed', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "command",
    [
        *("make", "plan", "why", "status", "results", "report", "plot", "logs", "stop", "debug"),
        *("submit", "attach", "cancel", "doctor"),
    ],
)
def test_every_command_has_help(run_cli, command):
    """One sentence first."""
    result = run_cli([command, "--help"])
    assert result.code == 0
    assert result.out.startswith(f"Usage: dasktune {command}")
