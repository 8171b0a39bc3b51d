"""The graph: its shape, its names, and that its resources hold on a real cluster."""

from __future__ import annotations

import re

import dask
import pytest
from distributed import Client, LocalCluster

from dasktune.errors import ClusterError
from dasktune.graph import build
from dasktune.run import Options, make
from dasktune.runfolder import RunFolder


def built(sweep, run="r"):
    """Build the graph of a sweep's plan."""
    plan = sweep.plan()
    return build(plan, sweep.tasks(plan, run))


def test_the_graph_has_the_makefiles_shape(project):
    """Readable keys, one train node a trial, and the same prerequisites."""
    nodes = built(project.sweep())
    names = {re.sub("-[0-9a-f]{8}$", "", node.key) for node in nodes.values()}
    assert names == {
        "preprocess",
        "train-a=1,b=3",
        "train-a=1,b=4",
        "train-a=2,b=3",
        "train-a=2,b=4",
        "trained",
        "collate",
    }
    graph = nodes["collated"].dask
    needs = {key: set(graph.dependencies[name]) for name in graph.layers for key in [name]}
    trains = {node.key for name, node in nodes.items() if name.startswith("trained/")}
    assert all(needs[key] == {"preprocess"} for key in trains)
    assert needs["trained"] == trains
    assert needs["collate"] == {"trained"}


def test_train_nodes_are_annotated_with_their_resources(project):
    """And the other nodes are not."""
    nodes = built(project.sweep())
    graph = nodes["collated"].dask
    for name, layer in graph.layers.items():
        wanted = {"GPU": 1.0} if name.startswith("train-") else None
        assert (layer.annotations or {}).get("resources") == wanted


def test_what_is_done_is_no_node(project):
    """Only what is out of date is in the graph."""
    project.make()
    assert built(project.sweep()) == {}
    nodes = built(project.sweep(a=["1", "2", "7"]))
    trials = [name for name in nodes if name.startswith("trained/")]
    assert [re.sub("-[0-9a-f]{8}$", "", name) for name in trials] == [
        "trained/a=7,b=3",
        "trained/a=7,b=4",
    ]
    assert "preprocessed" not in nodes


def test_the_graph_is_plain_dask_and_runs_on_any_scheduler(project):
    """Computed here on threads, without a cluster."""
    sweep = project.sweep()
    sweep.store.prepare()
    sweep.codes.save(sweep.store)
    RunFolder(sweep.store.run("r")).create()
    outcome = dask.compute(built(sweep)["collated"], scheduler="synchronous")[0]
    assert outcome.status == "ok"
    assert project.make().out == "dasktune: Nothing to be done for 'all'.\n"


TIMED = """
def train(trial, data, epochs=2):
    from distributed import get_worker
    note(f"start {get_worker().name} {time.time()}")
    time.sleep(0.1)
    note(f"end {get_worker().name} {time.time()}")
    trial.report(score=trial.config.a)


def old_train(trial, data, epochs=2):"""


def test_no_trial_runs_on_a_worker_without_the_resource_nor_two_at_a_time(project):
    """One worker offers a GPU and has four threads; the other offers none."""
    project.edit("def train(trial, data, epochs=2):", TIMED)
    sweep = project.sweep(b=["3", "4", "5"])
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        import asyncio

        from distributed import Worker

        async def join():
            with_gpu = Worker(
                cluster.scheduler.address,
                name="gpu",
                nthreads=4,
                resources={"GPU": 1},
                host="127.0.0.1",
            )
            without = Worker(cluster.scheduler.address, name="cpu", nthreads=4, host="127.0.0.1")
            await asyncio.gather(with_gpu, without)
            return with_gpu, without

        with Client(cluster) as client:
            workers = cluster.sync(join)
            summary = make(sweep, options=Options(cluster=client))
            assert summary.exit_code == 0, summary.failures()

            async def leave():
                await asyncio.gather(*(worker.close() for worker in workers))

            cluster.sync(leave)
    events = [word.split() for word in project.ran() if word.startswith(("start", "end"))]
    assert {worker for _, worker, _ in events} == {"gpu"}
    assert len(events) == 12
    running = 0
    for word, _, _ in sorted(events, key=lambda event: float(event[2])):
        running += 1 if word == "start" else -1
        assert 0 <= running <= 1


def test_an_unmet_resource_is_an_error_at_once(project):
    """Dask would wait for ever."""
    with (
        LocalCluster(
            n_workers=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
        pytest.raises(ClusterError, match=r"needs the resources \{'GPU': 1.0\}, but no worker"),
    ):
        make(project.sweep(), options=Options(cluster=client))


def test_workers_get_the_code_that_the_plan_was_made_with(project, tmp_path_factory):
    """A worker that cannot import the pipeline runs it all the same."""
    (project.folder / "helpers.py").write_text("def scale(x):\n    return x + 0.5\n")
    project.edit("import os\n", "import os\n\nfrom helpers import scale\n")
    project.edit("return a * 10 + b", "return scale(a * 10 + b)")
    result = project.cli("make", "-j1", "a=1", "b=3")
    assert result.code == 0, result.err
    assert project.dataset().objective.item() == 14.5
