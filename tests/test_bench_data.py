"""The benchmark of the data path runs; at this size its figures mean nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "benchmarks" / "bench_data.py"


@pytest.fixture
def bench(monkeypatch):
    """Load the benchmark, with fewer workers."""
    spec = importlib.util.spec_from_file_location("bench_data", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_data", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "WORKERS", (1, 2))
    return module


def test_each_part_prints_its_table(bench, capsys, tmp_path):
    """In Markdown."""
    threads = bench.torch.get_num_threads()
    try:
        bench.main(["--tiny", "--folder", str(tmp_path)])
    finally:
        bench.torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert out.count("|---|") >= 11
    for title in ("Writing", "Reading", "Digests", "Memory of workers", "Opening", "Staging"):
        assert f"### {title}" in out
    assert not any(tmp_path.iterdir())
