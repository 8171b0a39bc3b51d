"""The DAG as a picture, with graphviz and without."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET

import pytest

from dasktune.dag import MOST_TRIALS, Dag
from dasktune.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"


def titles(svg):
    """List the nodes of a picture."""
    return [node.text for node in ET.fromstring(svg).iter(f"{SVG}title")]


@pytest.fixture
def without_graphviz(monkeypatch):
    """Hide graphviz's program."""
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_the_plain_picture_has_every_target_and_every_edge(project, without_graphviz):
    """Four trials, each between preprocessed and trained."""
    sweep = project.sweep()
    svg = sweep.pipeline.visualize().to_svg()
    ids = [f"trained/{spec.id}" for spec in sweep.pipeline.trials()]
    assert titles(svg) == ["preprocessed", *ids, "trained", "collated", "all"]
    edges = list(ET.fromstring(svg).iter(f"{SVG}path"))
    assert len(edges) == 4 + 4 + 1 + 1


def test_many_trials_are_one_node(without_graphviz):
    """A thousand boxes tell nothing; and any text may be in a name."""
    svg = Dag(["a&b.csv"], [f"<t{i}>" for i in range(1000)]).to_svg()
    assert titles(svg)[0] == "a&b.csv"
    assert f"… {1000 - MOST_TRIALS} more trials" in titles(svg)
    assert len(titles(svg)) == 1 + 1 + MOST_TRIALS + 1 + 3


def test_a_plan_colours_what_is_out_of_date(project, without_graphviz):
    """Done, stale and pending differ."""
    before = project.sweep().plan().visualize().to_svg()
    project.make()
    after = project.sweep().plan().visualize().to_svg()
    assert before != after
    assert titles(before) == titles(after)


def test_dot_is_what_graphviz_reads():
    """Quotes are quoted; graphviz's own picture is taken where its program is."""
    dag = Dag([], ['say "hi"\\'])
    assert r'"trained/say \"hi\"\\"' in dag.to_dot()
    if shutil.which("dot"):
        assert "<svg" in dag.to_svg()


def test_saving_wants_a_known_ending(tmp_path, without_graphviz):
    """And a notebook is given the SVG."""
    dag = Dag([], ["a"])
    dag.save(tmp_path / "dag.svg")
    dag.save(str(tmp_path / "dag.dot"))
    assert (tmp_path / "dag.svg").read_text() == dag.to_svg()
    assert (tmp_path / "dag.dot").read_text().startswith("digraph")
    with pytest.raises(UsageError, match=r"ends in \.svg or \.dot"):
        dag.save(tmp_path / "dag.png")
    assert dag._repr_mimebundle_()["image/svg+xml"] == dag.to_svg()
