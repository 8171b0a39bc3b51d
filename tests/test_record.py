"""The record of a model's search: whole lines count, whatever comes behind them."""

from __future__ import annotations

import pytest

import dasktune as dt
from dasktune.record import Record

STEPS = [dt.Config({"a": 0.1, "b": (1, 2), "c": None}), 0, dt.Config({"a": 1, "b": "x"}), 1]


@pytest.fixture
def path(tmp_path):
    """Write a record."""
    path = tmp_path / "searches" / "key.jsonl"
    record = Record(str(path), writing=True)
    record.restart(STEPS[:1])
    for step in STEPS[1:]:
        record.note(step)
    return path


def test_what_was_noted_is_read_in_its_order(path):
    """With the types of values."""
    found = list(Record(str(path), writing=False).steps())
    assert found == STEPS
    assert isinstance(found[0]["b"], tuple)


@pytest.mark.parametrize(
    "line",
    ['{"asked":{"a":', "[]", '{"told":7}', '{"told":-1}', '{"asked":{"a":{}}}', "{}", "\x00"],
)
def test_a_damaged_line_ends_the_record(path, line):
    """What stands before it counts."""
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]) + line + "\n")
    assert list(Record(str(path), writing=False).steps()) == STEPS[:2]


def test_a_plan_only_looks(tmp_path):
    """It writes nothing, and needs no file."""
    record = Record(str(tmp_path / "none.jsonl"), writing=False)
    record.restart([0])
    record.note(0)
    assert list(record.steps()) == []
    assert list(tmp_path.iterdir()) == []
