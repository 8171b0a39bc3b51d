"""Figures: each kind, as files and as objects, with data that is not nice."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import dasktune as dt
from dasktune.cli.reading import KINDS
from dasktune.reading.plots.scale import fit_labels, scale_of
from dasktune.reading.statistics import robust_limits


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_file_and_an_object(sweep, run_cli, tmp_path, kind):
    """PNG and SVG from the shell; what a notebook shows."""
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        path = tmp_path / f"{kind}.{ending}"
        result = run_cli(["plot", kind, "--output", str(path)])
        assert result.code == 0, result.err
        assert result.out == f"wrote {path}\n"
        assert path.read_bytes().startswith(start)
    ET.parse(tmp_path / f"{kind}.svg")
    plot = dt.open("dist/pipeline").plot(kind)
    assert plot._repr_png_().startswith(b"\x89PNG")
    assert plot.figure.axes


def texts(plot):
    """List what is written in a figure."""
    from matplotlib.text import Text

    return [t.get_text() for t in plot.figure.findobj(Text) if t.get_text()]


def test_the_figures_show_what_the_dataset_holds(sweep):
    """Names, values and the best, read off the figure."""
    results = dt.open("dist/pipeline")
    axes = results.plot("curves").figure.axes[0]
    best = [line for line in axes.lines if line.get_label() == "lr=0.1, width=64"]
    assert np.allclose(best[0].get_ydata(), np.array([1, 2, 3]) * 0.902333 / 3, atol=1e-5)
    assert {"lr", "width", "accuracy"} <= set(texts(results.plot("parallel")))
    assert "activation" not in texts(results.plot("parallel"))
    cells = texts(results.plot("heatmap", of=["lr", "width"]))
    assert {"0.903", "0.503"} <= set(cells)
    shares = results.importance()
    assert shares.index[0] == "lr"
    assert shares.sum() == pytest.approx(1)
    assert f" {shares['lr']:.0%}" in texts(results.plot("importance"))
    assert len(results.plot("slices", of=["width"]).figure.axes) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["curves", "--metric", "acuracy"], ("no metric 'acuracy'", "Did you mean 'accuracy'?")),
        (["slices", "--of", "wdth"], ("no hyperparameter 'wdth'", "Did you mean 'width'?")),
        (["heatmap", "--of", "lr"], ("needs two hyperparameters",)),
        (["cost", "--of", "lr"], ("has no option 'of'; it takes no option",)),
        (["curves", "--output", "x.docx"], ("saved as .png, .svg or .pdf", "x.docx")),
        (["importance", "--where", "lr=0.1"], ("at least 4 configurations", "there are 2")),
        (["curves", "--where", "status=='failed'"], ("no trial has a value",)),
    ],
)
def test_a_figure_that_cannot_be_drawn_says_why(sweep, run_cli, arguments, words):
    """One line, exit code 2."""
    result = run_cli(["plot", *arguments])
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    for word in words:
        assert word in line


def test_an_unknown_kind_is_an_error(sweep, run_cli):
    """In Python with what was perhaps meant."""
    assert run_cli(["plot", "curve"]).code == 2
    with pytest.raises(dt.DasktuneError, match="Did you mean 'curves'"):
        dt.open("dist/pipeline").plot("curve")


def test_matplotlib_is_an_extra_and_its_settings_stay_as_they_are(sweep, run_cli, monkeypatch):
    """One line without it."""
    import sys

    import matplotlib

    before = dict(matplotlib.rcParams)
    dt.open("dist/pipeline").plot("cost")._repr_png_()
    assert dict(matplotlib.rcParams) == before
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for command in (["plot", "cost"], ["report"]):
        result = run_cli(command)
        assert result.code == 2
        assert "pip install 'dasktune[plot]'" in result.err


def test_a_diverged_trial_does_not_press_the_others_into_a_line(sweep):
    """The axis ends where the others do, on the side of the worse only."""
    dataset = dt.open_results("dist/pipeline")
    assert robust_limits(np.array([0.5, 0.6, 0.7, 0.8, -1e9]), dataset)[0] > -10
    assert robust_limits(np.array([0.5, 0.6, 0.7, 0.8, 1e9]), dataset) is None
    assert robust_limits(np.array([0.5, np.nan]), dataset) is None


def test_texts_are_drawn_as_they_are(project):
    """Dollars are no mathematics, which might not even be well-formed."""
    project.edit("b=dt.choice(3, 4))", r"b=dt.choice('$\\foo{ $', '$x_1$', '<b>', '__'))")
    project.edit("trial.config.b", "len(trial.config.b)")
    assert project.make().code == 0
    dataset = project.dataset()
    assert scale_of(dataset, "b").labels == [r"\$\foo{ \$", r"\$x_1\$", "<b>", "__"]
    for kind in KINDS:
        assert dt.open(project.root).plot(kind)._repr_png_()


def test_axes_fit_their_values(project):
    """Log by the domain, evenly for uneven choices, by name for texts, absent where absent."""
    project.edit(
        "b=dt.choice(3, 4))",
        "b=dt.choice(0.0, 0.0001, 0.1), c=dt.choice('y', 'x').when(a=2), "
        "d=dt.log_uniform(0.1, 0.4, points=2), e=dt.choice(1, 2, 3))",
    )
    assert project.make().code == 0
    dataset = project.dataset()
    assert scale_of(dataset, "d").log
    assert not scale_of(dataset, "e").log
    assert scale_of(dataset, "b").labels == ["0", "1e-4", "0.1"]
    assert scale_of(dataset, "b").ticks == [0.0, 1.0, 2.0]
    names = scale_of(dataset, "c")
    assert names.labels == ["y", "x"]
    assert np.isnan(names.places[dataset.a.values == 1]).all()
    for kind in KINDS:
        assert dt.open(project.root).plot(kind)._repr_png_()


def test_labels_that_would_run_into_each_other_are_turned_and_of_many_some_are_left_out():
    """Below an axis with three others beside it; few short ones stay as they are."""
    from matplotlib.figure import Figure

    def shown(labels):
        axes = Figure().subplots()
        axes.set_xticks(range(len(labels)), labels)
        fit_labels(axes, labels)
        return [text.get_rotation() for text in axes.get_xticklabels()]  # those that are seen

    assert shown(["1", "2"]) == [0] * 2
    assert shown(["0.00316"] * 5) == [45] * 5
    assert shown(["0.00316"] * 15) == [45] * 8
