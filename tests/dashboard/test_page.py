"""The page in a real browser, during a real sweep: what it shows is what the dataset holds."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

import dasktune as dt
from dasktune.dashboard.plugin import NAME
from dasktune.watch import _has_page, add_page

pytestmark = pytest.mark.browser

PIPELINE = """
import os
import time

import xarray as xr

import dasktune as dt

HERE = "@folder@"  # workers keep the module of equal sources


def preprocess():
    return {"train": xr.Dataset()}


def train(trial, data, epochs=5):
    print("these are the words of", trial.id)
    if trial.config.a == 3 and trial.config.b == "y":
        raise ValueError("a <b>bold</b> failure")
    for epoch in trial.epochs(epochs):
        trial.report(score=trial.config.a / 7 + epoch, loss=1.0 / (epoch + 1))
        held = trial.config.a == 2 and trial.config.b == "x" and epoch == 2
        while held and os.path.exists(f"{HERE}/hold"):
            time.sleep(0.02)


space = dt.Space(a=dt.choice(1, 2, 3), b=dt.choice("x", "y"))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score")
"""

TABLE = """(() => {
  const source = Bokeh.documents[0].get_model_by_name("trials").source;
  const columns = {};
  for (const [name, values] of Object.entries(source.data)) columns[name] = Array.from(values);
  return columns; })()"""

DEEP = """(selector => { const found = []; const walk = node => {
  if (node.shadowRoot) walk(node.shadowRoot);
  found.push(...(node.querySelectorAll ? node.querySelectorAll(selector) : []));
  for (const child of node.querySelectorAll ? node.querySelectorAll("*") : [])
    if (child.shadowRoot) walk(child.shadowRoot); };
  walk(document.body); return [...new Set(found)]; })"""
"""Finds elements also inside of shadow roots."""
HEADS = f"{DEEP}('.slick-header-column')"
CELLS = f"""{DEEP}('.slick-row .slick-cell:nth-child(6)').filter(cell => cell.textContent.trim())
  .map(cell => [cell.parentElement.offsetTop, Number(cell.textContent)])
  .sort((one, other) => one[0] - other[0]).map(pair => pair[1])"""
"""The numbers in the column of the objective (after trial, state, a, b and epoch), from the top."""

HELD = f"""(() => {{ const {{state, epoch}} = {TABLE};
  return state.filter(s => s == "running").length == 1 && !state.includes("waiting")
    && epoch[state.indexOf("running")] == 3; }})()"""
"""All trials but one have ended, and that one is in its third epoch."""


@pytest.fixture(scope="module")
def client():
    """Give a client of a cluster with a dashboard that somebody else started."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={"GPU": 1},
        ) as cluster,
        Client(cluster) as opened,
    ):
        yield opened


class Running:
    """A sweep that is made in another thread, and holds in the middle."""

    def __init__(self, folder: Path, client: Client, pipeline: str = PIPELINE) -> None:
        (folder / "page.py").write_text(pipeline.replace("@folder@", str(folder)))
        self.hold = folder / "hold"
        self.hold.touch()
        self.root = folder / "dist" / "page"
        sweep = dt.Sweep.load(str(folder / "page.py"), store=str(folder / "dist"))
        options = dt.Options(cluster=client, ignore_errors=True)
        self.summary: dt.Summary | None = None
        self.dashboard = ""

        def observe(event):
            if event["event"] == "cluster":
                self.dashboard = event["dashboard"]

        def make():
            self.summary = dt.make(sweep, None, options, observe)

        self._thread = threading.Thread(target=make)
        self._thread.start()
        while not self.dashboard:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def end(self) -> dt.Summary:
        """Let it go on to its end."""
        self.hold.unlink(missing_ok=True)
        self._thread.join(timeout=60)
        assert self.summary is not None
        return self.summary


@pytest.fixture
def running(tmp_path, client):
    """Give a sweep in the making."""
    sweep = Running(tmp_path, client)
    yield sweep
    sweep.end()


def tiles(tab) -> dict[str, str]:
    """Read the numbers at the head of the page, as a user would."""
    words = [line.strip() for line in tab.text().splitlines() if line.strip()]
    start = next(i for i, word in enumerate(words) if word.startswith("page "))
    found = (re.match(r"([\d.]+(?: m?s| min \d+ s)?) +(.+)", word) for word in words[start:])
    return {m[2].split(":")[0].strip(): m[1] for m in found if m}


def test_the_page_shows_a_sweep_as_it_runs_and_as_it_ends(tab, client, running, tmp_path):
    """Numbers, curves, table and logs; nothing comes from the internet, no script fails."""
    assert running.dashboard == client.dashboard_link.replace("/status", "/dasktune")
    tab.open(running.dashboard, height=1700)
    tab.wait(HELD)
    shown = tiles(tab)
    counts = [shown[name] for name in ("trials", "done", "running", "failed")]
    assert counts == ["6", "4", "1", "1"]
    table = tab.run(TABLE)
    held = table["state"].index("running")
    assert table["axis a"][held] == 2
    (log,) = [link for link in table["log"][held : held + 1] if link]
    address = running.dashboard.rsplit("/", 1)[0]
    with urllib.request.urlopen(f"{address}/{log}", timeout=20) as answer:
        assert f"these are the words of {table['trial'][held]}" in answer.read().decode()
    tab.screenshot(tmp_path / "running.png")

    assert running.end().exit_code == 0
    tab.wait(f"{TABLE}.state.every(s => s != 'running' && s != 'waiting')")
    dataset = dt.open_results(running.root)
    table = tab.run(TABLE)
    assert table["trial"] == dataset.trial.values.tolist()
    states = ["done" if status == "ok" else status for status in dataset.status.values]
    assert table["state"] == states
    shown = np.array([np.nan if v is None else v for v in table["value 0"]], float)
    np.testing.assert_allclose(shown, dataset.objective.values)
    assert table["axis a"] == dataset.a.values.tolist()
    assert table["axis b"] == dataset.b.values.tolist()
    ok = dataset.status.values == "ok"
    assert np.array(table["epoch"], float)[ok].tolist() == [5.0] * 5
    best = float(dataset.objective.max())
    text = tab.text()
    assert f"{best:.5g}" in text
    assert "a <b>bold</b> failure" in text  # as text: what a trial says is no HTML
    (told,) = [words for words in table["failure"] if words]
    assert told.startswith("exception: ValueError: a <b>bold</b> failure")
    shown = tiles(tab)
    assert (shown["trials"], shown["done"], shown["failed"]) == ("6", "5", "1")

    tab.run(f"{HEADS}.find(head => head.textContent.trim() == 'score').click()")
    tab.wait(f"(c => c.length == 5 && c.every((v, i) => !i || c[i - 1] <= v))({CELLS})")
    tab.run(f"{HEADS}.find(head => head.textContent.trim() == 'score').click()")
    tab.wait(f"(c => c.length == 5 && c.every((v, i) => !i || c[i - 1] >= v))({CELLS})")
    assert tab.run(f"{CELLS}[0]") == pytest.approx(best, abs=1e-4)

    drawn = tab.run("""(() => { const plot = Bokeh.documents[0].get_model_by_name("curves");
      return plot.renderers.map(r => Array.from(r.data_source.data.y)).flat() })()""")
    drawn = [value for value in drawn if value is not None and value == value]
    assert max(drawn) == pytest.approx(best)
    tab.screenshot(tmp_path / "ended.png")
    assert (tmp_path / "ended.png").stat().st_size > 20_000
    assert tab.errors == []


SHOWN = """(() => { const found = Bokeh.documents[0].get_model_by_name("run");
  return {options: found.options.map(o => o[0]), labels: found.options.map(o => o[1]),
          visible: found.visible, value: found.value}; })()"""
CHOOSE = f"""(index => {{ const select = {DEEP}('select').find(s =>
    s.options.length && s.options[0].textContent == "the newest");
  select.selectedIndex = index; select.dispatchEvent(new Event("change")); }})"""


def test_of_two_sweeps_on_one_scheduler_each_can_be_looked_at(tab, client, running, tmp_path):
    """The newest one by itself; another one when it is chosen, and it stays."""
    other = tmp_path / "other"
    other.mkdir()
    second = Running(other, client)
    try:
        tab.open(second.dashboard, height=900)
        tab.wait(f"{SHOWN}.options.length >= 3 && {SHOWN}.visible")
        offered = tab.run(SHOWN)["options"]
        first_run, second_run = offered[-2:]
        labels = tab.run(SHOWN)["labels"]
        assert labels[0] == "the newest"
        assert re.fullmatch(r"page, started \d\d:\d\d:\d\d, 6 trials, running", labels[-1])
        logs = f"[...new Set({TABLE}.log.filter(l => l).map(l => l.match(/run=([^&]+)/)[1]))]"
        tab.wait(f"{logs}.join() == '{second_run}'")
        tab.run(f"{CHOOSE}({offered.index(first_run)})")
        tab.wait(f"{logs}.join() == '{first_run}'")
        assert second.end().exit_code == 0
        tab.wait(f"{SHOWN}.labels.at(-1).endsWith('over')")
        tab.wait(HELD)
        assert tiles(tab)["running"] == "1"
        shared = f"{second.dashboard}?run={first_run}"
        assert tab.run("location.href") == shared
        tab.open(shared, height=900)  # as somebody else does, who was sent the address
        tab.wait(f"{logs}.join() == '{first_run}'")
        assert tab.run(f"{SHOWN}.value") == first_run
        tab.screenshot(tmp_path / "two.png")
        tab.run(f"{CHOOSE}({offered.index(second_run)})")
        tab.wait(f"{TABLE}.state.every(s => s == 'done' || s == 'failed')")
        tab.open(f"{second.dashboard}?run=of-yesterday", height=900)
        tab.wait(f"{logs}.join() == '{second_run}'")
        assert "The run of-yesterday is not known here" in tab.text()
        assert tab.errors == []
    finally:
        second.end()


def test_trials_that_a_search_adds_are_rows_and_curves_with_all_objectives(tab, client, tmp_path):
    """While somebody looks; and the front is what the values say."""
    objectives = 'objective=("max score", "min loss"), budget="epochs"'
    search = f"{objectives}, search=dt.SuccessiveHalving(6, min_epochs=1)"
    sweep = Running(tmp_path, client, PIPELINE.replace('objective="max score"', search))
    try:
        tab.open(sweep.dashboard, height=1700)
        tab.wait(f"{TABLE}.trial.length > 0")
    finally:
        assert sweep.end().exit_code == 0
    dataset = dt.open_results(sweep.root)
    count = dataset.sizes["trial"]
    states = f"{TABLE}.state.filter(s => s == 'done' || s == 'failed')"
    tab.wait("Bokeh.documents[0].get_model_by_name('head').text.includes('>over ')")
    longest = f"Math.max(...{TABLE}.epoch.filter(e => e)) == {int(dataset.budget.max())}"
    tab.wait(f"{states}.length == {count} && {longest}")  # the table comes after the head
    table = tab.run(TABLE)
    assert sorted(table["trial"]) == sorted(dataset.trial.values.tolist())
    columns = (table["trial"], table["value 0"], table["value 1"])
    shown = {trial: values for trial, *values in zip(*columns, strict=True)}
    for trial in dataset.trial.values[dataset.status.values == "ok"].tolist():
        row = dataset.sel(trial=trial)
        expected = [float(row[name].dropna("epoch")[-1]) for name in ("score", "loss")]
        assert shown[trial] == pytest.approx(expected)
    drawn = tab.run("""(() => { const plot = Bokeh.documents[0].get_model_by_name("curves");
      return [...new Set(plot.renderers.flatMap(r => r.data_source.data.trial || []))] })()""")
    assert set(drawn) >= set(dataset.trial.values[dataset.status.values == "ok"].tolist())
    assert "on the front: score" in tab.text()
    tab.screenshot(tmp_path / "search.png")
    assert tab.errors == []


def test_the_menu_of_dasks_own_pages_leads_to_it(tab, client, running):
    """And it works from the keyboard of somebody who looks at Dask's status page."""
    tab.open(client.dashboard_link)
    tab.wait("[...document.querySelectorAll('a')].find(a => a.textContent == 'Dasktune')")
    tab.run("[...document.querySelectorAll('a')].find(a => a.textContent == 'Dasktune').click()")
    tab.wait("location.pathname == '/dasktune' && document.querySelector('.board h2')")


def test_a_browser_that_sleeps_slows_nothing_and_is_sent_nothing(tab, client, running):
    """It is stopped in the middle of the sweep, which ends all the same."""
    tab.open(running.dashboard)
    tab.wait(HELD)
    os.killpg(tab.process.pid, signal.SIGSTOP)
    try:
        assert running.end().exit_code == 0
        assert client.submit(sum, [1, 2]).result(timeout=20) == 3
    finally:
        os.killpg(tab.process.pid, signal.SIGCONT)
    tab.wait(f"{TABLE}.state.every(s => s != 'running' && s != 'waiting')")


def test_the_page_answers_before_there_is_a_sweep_and_refuses_foreign_logs(client):
    """A name that is no trial's is not looked for on the disk."""
    assert add_page(client)
    assert add_page(client)  # twice is once
    address = client.dashboard_link.rsplit("/", 1)[0]
    with urllib.request.urlopen(f"{address}/dasktune", timeout=20) as answer:
        page = answer.read().decode()
    assert page.count('href="dasktune"') == 1
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//(?!docs\.dask|dask\.org)[^\"]+", page)
    for query in ("run=x&trial=../../etc/passwd", "", "run=&trial="):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/dasktune-log?{query}", timeout=20)
        assert refused.value.code == 404


def test_a_scheduler_without_a_dashboard_has_no_page():
    """The sweep is followed all the same."""
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as opened,
    ):
        assert not add_page(opened)
        assert opened.run_on_scheduler(lambda dask_scheduler: NAME in dask_scheduler.plugins)


def test_a_preload_adds_the_page_to_any_scheduler(tmp_path):
    """``dask scheduler --preload dasktune.dashboard``."""
    import subprocess
    import sys

    info = tmp_path / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    more = ["--preload", "dasktune.dashboard", "--scheduler-file", str(info)]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *words, *more]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not info.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with Client(scheduler_file=str(info)) as opened:
            assert opened.run_on_scheduler(_has_page)
    finally:
        process.terminate()
        process.wait(timeout=30)
