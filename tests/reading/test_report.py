"""The report: one file that opens offline, in a real browser, light and dark."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import dasktune as dt
from dasktune.reading.report import _space

CHROMIUM = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"),
]


@pytest.fixture(scope="session")
def report(sweep_folder, tmp_path_factory):
    """Give a report that the command wrote."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    command = [sys.executable, "-m", "dasktune", "report", "--output", str(path)]
    done = subprocess.run(command, cwd=sweep_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {path}\n"
    return path


def browse(path, folder, *arguments):
    """Open a page in a browser that has no network; give what it prints."""
    if shutil.which("chromium") is None:
        missing = "there is no chromium; run scripts/install-debian-packages"
        if os.environ.get("DASKTUNE_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    command = [*CHROMIUM, f"--user-data-dir={folder}/profile", *arguments, f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Page(HTMLParser):
    """What a page refers to, and whether its tags are closed."""

    VOID = ("meta", "br", "img", "hr", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_needs_nothing_but_itself(report):
    """No link leads out, every link leads somewhere, every tag is closed, no id comes twice."""
    page = Page(report.read_text())
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if not link.startswith("data:image/png;base64,"):
            assert link.removeprefix("#") in page.ids
    assert "@import" not in report.read_text()
    assert not re.search(r"url\((?!#)", report.read_text())


def test_it_says_what_a_reader_wants_to_know(report):
    """Question, best with interval and doubt, failures, space, versions, how to make it again."""
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", report.read_text())))
    for words in (
        "Does a wider layer help?",
        "which configuration gives the largest accuracy ?",
        "full grid of 6 configs x 3 seed",
        "accuracy 0.90233",
        "95% interval 0.88241 to 0.92226, mean of 3 replicates (seed)",
        "The runner-up (lr=0.1, width=128) cannot be told apart from it",
        "18 trials of 6 configurations",
        "2 of 18 trials failed",
        "exception FloatingPointError: the loss is inf with width 64",
        "log-uniform from 0.01 to 1, 3 points",
        "dasktune make -f pipeline.py lr=0.1 width=64 activation=relu",
        "16 trained",
        "Learning curves",
        "Importance",
        "raise FloatingPointError(f",  # the code
    ):
        assert words in text, words
    assert "Not drawn" not in text
    assert "More than the first paragraph" in text  # in the code
    assert text.count("More than the first paragraph") == 1


def test_a_browser_without_network_shows_it_light_and_dark(report, tmp_path):
    """By the page's own colours; every figure has a size."""
    from PIL import Image

    for scheme, value, light in (("light", 1, True), ("dark", 0, False)):
        shot = tmp_path / f"{scheme}.png"
        arguments = (f"--blink-settings=preferredColorScheme={value}", "--window-size=1100,1400")
        browse(report, tmp_path, *arguments, f"--screenshot={shot}")
        image = Image.open(shot).convert("L")
        assert (image.getpixel((5, 5)) > 200) is light
        assert (image.getpixel((5, 5)) < 50) is not light
        darkest, brightest = image.getextrema()
        assert brightest - darkest > 150


def test_its_table_sorts_when_a_heading_is_clicked(report, tmp_path):
    """Numbers as numbers, missing ones last."""
    text = report.read_text()
    script = (
        "<script>const t = document.querySelectorAll('table.sortable')[0];"
        "const at = [...t.querySelectorAll('th')].findIndex(h => h.textContent === 'accuracy');"
        "const cells = () => [...t.tBodies[0].rows].map(r => r.cells[at].textContent).join(' ');"
        "t.querySelectorAll('th')[at].click(); const up = cells();"
        "t.querySelectorAll('th')[at].click(); const down = cells();"
        "document.title = up + '|' + down;</script></body>"
    )
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", script))
    dom = browse(page, tmp_path, "--dump-dom")
    up, down = (
        [float(word) for word in words.split()]
        for words in re.search(r"<title>(.*?)</title>", dom)[1].split("|")
    )
    assert len(up) == 6
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)


def test_text_of_the_users_is_no_markup(project):
    """A name, an error or a docstring with a tag in it."""
    project.file.write_text('"""<script>alert(1)</script>"""\n' + project.file.read_text())
    project.edit("told to fail", "<img src=x onerror=alert(2)>")
    project.edit("b=dt.choice(3, 4)", 'b=dt.choice(3, 4), c=dt.choice("<b>", "&amp;")')
    (project.folder / "fail-1-4").touch()
    project.make("-i")
    result = project.cli("report", "--output", "r.html")
    assert result.code == 0, result.err
    text = (project.folder / "r.html").read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)" in text
    Page(text)


def test_it_is_written_while_nothing_is_collated_and_without_any_value(project):
    """Partial, and all failed or diverged; what cannot be drawn says why."""
    project.edit("epoch + OFFSET", "epoch + float('nan')")
    (project.folder / "fail-1-4").touch()
    project.make()
    result = project.cli("report", "--output", "r.html")
    assert result.code == 0, result.err
    text = (project.folder / "r.html").read_text()
    assert "Partial: the 2 trials that had ended" in text
    assert "No trial has a value of score" in text
    assert "Not drawn: " in text
    assert "told to fail" in text


def test_without_optuna_only_the_importance_is_missing(sweep, run_cli, tmp_path, monkeypatch):
    """And says how to get it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    path = tmp_path / "r.html"
    assert run_cli(["report", "--output", str(path)]).code == 0
    text = html.unescape(path.read_text())
    assert text.count("Not drawn: ") == 1
    assert "pip install 'dasktune[search]'" in text


def test_a_single_trial_has_a_report(project):
    """Nothing varies; it says so instead of drawing nothing."""
    project.make("a=1", "b=3", "epochs=1")
    result = project.cli("report", "--output", "r.html")
    assert result.code == 0, result.err
    text = (project.folder / "r.html").read_text()
    assert "one trial, so that there is no interval" in text
    assert "no hyperparameter varies" in text
    assert "curves need at least two epochs" in text


def test_values_of_a_partial_result_stand_in_the_order_of_numbers(sweep):
    """Without the sweep's own words for its space."""
    dataset = dt.open("dist/pipeline").dataset.copy()
    dataset["width"] = dataset["width"].copy(data=[128, 9] * (dataset.sizes["trial"] // 2))
    del dataset.attrs["sweep"]
    assert dict(_space(dataset, {}))["width"] == "9, 128"
