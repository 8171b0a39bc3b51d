"""Notebooks: a real kernel shows a sweep that changes in place; everything shows itself."""

from __future__ import annotations

import time

import pytest
from jupyter_client.manager import start_new_kernel

import dasktune as dt
from dasktune.markup import table
from dasktune.notebook import Notebook, in_notebook

CODE = """
import dasktune as dt
sweep = dt.Sweep.load({file!r}, store={store!r})
summary = dt.make(sweep, None, dt.Options(cluster="none"))
summary
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Give a client of a kernel of this Python."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager, client = start_new_kernel(startup_timeout=120)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_running_sweep_is_one_display_that_changes(project, kernel):
    """Shown once, updated in place, and the summary at the end."""
    kernel.execute(CODE.format(file=str(project.file), store=str(project.folder / "dist")))
    shown, updated, result = [], [], ""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        message = kernel.get_iopub_msg(timeout=120)
        kind, content = message["msg_type"], message["content"]
        assert kind != "error", content
        if kind == "display_data":
            shown.append(content)
        elif kind == "update_display_data":
            updated.append(content)
        elif kind == "execute_result":
            result = content["data"]["text/html"]
        elif kind == "status" and content["execution_state"] == "idle" and result:
            break
    assert len(shown) == 1
    names = {content["transient"]["display_id"] for content in [*shown, *updated]}
    assert len(names) == 1
    assert "4 waiting" in shown[0]["data"]["text/html"]
    last = updated[-1]["data"]["text/html"]
    assert "4 done" in last
    assert "best score" in last
    assert "exit code 0" in result
    assert project.make().out == "dasktune: Nothing to be done for 'all'.\n"


def test_without_a_notebook_there_is_no_display():
    """And IPython is not imported for it."""
    assert not in_notebook()
    assert callable(Notebook(dt.Sweep))  # made without IPython; only showing needs it


def test_pipeline_plan_and_summary_show_themselves(project):
    """As HTML in which no text of the user is markup."""
    words = 'b=dt.choice(3, 4), word=dt.choice("<script>"), c=dt.log_uniform(0.1, 0.2, points=1)'
    project.edit("b=dt.choice(3, 4)", words)
    (project.folder / "fail-1-4").touch()
    sweep = project.sweep()
    shown = sweep.pipeline._repr_html_()
    assert "max score" in shown
    assert "epochs=2" in shown
    assert "log-uniform from 0.1 to 0.2, 1 points" in shown
    assert "<script>" not in shown
    assert "4 never trained" in sweep.plan()._repr_html_()
    summary = dt.make(sweep, None, dt.Options(cluster="none", keep_going=True))
    told = summary._repr_html_()
    assert "exit code 2" in told
    assert "told to fail" in told
    assert "<script>" not in told
    assert "1 failed last time" in sweep.plan()._repr_html_()


def test_a_long_word_stays_within_the_box_and_short_ones_are_not_broken():
    """An error of a thousand letters beside the name of a trial."""
    shown = table([("trained", "x" * 1000)])
    assert shown.count("overflow-wrap:anywhere") == 1
    assert shown.index("trained") < shown.index("overflow-wrap")
