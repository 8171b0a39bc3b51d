"""Population-based training: children of checkpoints, by themselves and end to end."""

from __future__ import annotations

import io
import os
import random
import shutil
import socket
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from rich.console import Console

import dasktune as dt
from dasktune.dashboard.trials import TrialSheet
from dasktune.errors import SearchError
from dasktune.notebook import board_html
from dasktune.progress import Progress
from dasktune.results import VARYING
from dasktune.runfolder import RunFolder
from dasktune.screen import draw
from dasktune.search.contract import StrategyContract
from dasktune.search.draws import Draws

COUNTING = (Path(__file__).parent / "counting.py").read_text()
FILE = (
    COUNTING
    + """
import dasktune as dt


def train(trial, data, epochs=12):
    total = Total()
    trial.checkpoint(total=total)
    for epoch in trial.epochs(epochs):
        note(f"{trial.id} {epoch}")
        if os.path.exists(f"{HERE}/fail-{epoch}") and trial.config.lr < 0.3:
            raise RuntimeError("told to fail")
        total.value += trial.config.lr
        trial.report(total=total.value)


space = dt.Space(lr=dt.uniform(0.01, 1.0), kind=dt.choice("a", "b"), seed=dt.replicates(2))
pipeline = dt.Pipeline(
    space, preprocess, train, objective="max total", budget="epochs",
    search=dt.PBT(6, every=3, share=0.34),
)
"""
)
EPOCHS = 6 * 2 * 12


class TestPBT(StrategyContract):
    """The contract."""

    strategy = dt.PBT(8, every=5)

    def draws(self):
        """Give what has a space, whose points are changed."""
        space = dt.Space(x=dt.uniform(0.0, 1.0), y=dt.uniform(0.0, 1.0))
        return Draws.of(space.random(1), 0, endless=True)


@pytest.fixture
def population(project):
    """Give a project with a population of six, each with two seeds."""
    project.file.write_text(FILE)
    return project


def generations(strategy, space, score, max_epochs=9):
    """Play a search, and give the asks of each generation."""
    search = strategy.start(Draws.of(space.random(1), 0, endless=True), max_epochs)
    found = []
    while asks := search.ask(1):
        found.append(asks)
        for ask in asks:
            search.tell(ask, score(ask))
    return found


def test_the_worst_go_on_from_the_best_a_little_changed():
    """Truncation selection: the last fifth is replaced by children of the first fifth."""
    space = dt.Space(lr=dt.log_uniform(1e-4, 1.0), width=dt.choice(1, 2, 3))
    strategy = dt.PBT(10, every=3, resample=0.0)
    first, second, third = generations(strategy, space, lambda ask: ask.config.lr)
    assert [len(first), len(second), len(third)] == [10, 10, 10]
    assert {ask.budget for ask in first + second + third} == {3, 6, 9}
    ranked = sorted((ask.config for ask in first), key=lambda config: -config.lr)
    children = [ask for ask in second if ask.parent]
    assert len(children) == 2
    assert {ask.config for ask in second if not ask.parent} == set(ranked[:8])
    for child in children:
        assert child.parent.config in ranked[:2]
        assert child.parent.epoch == 3
        assert child.config.width == child.parent.config.width
        ratio = child.config.lr / child.parent.config.lr
        assert min(abs(ratio - 0.8), abs(ratio - 1.2)) < 1e-9 or child.config.lr == 1.0


def test_what_is_explored_keeps_to_its_domain():
    """Numbers are multiplied or drawn anew, choices move to a neighbour, predicates hold."""
    space = dt.Space(
        lr=dt.log_uniform(0.1, 0.2),
        batch=dt.integers(8, 64, step=8),
        depth=dt.choice(1, 2, 4, 8),
        fixed=3,
    ).where(lambda config: config.batch != 32)
    names = ("lr", "batch", "depth")
    strategy = dt.PBT(12, every=1, explore=names, share=0.5)
    asks = generations(strategy, space, lambda ask: random.Random(str(ask)).random(), 8)
    children = [ask for generation in asks for ask in generation if ask.parent]
    assert len(children) > 40
    for child in children:
        assert 0.1 <= child.config.lr <= 0.2
        assert child.config.batch in range(8, 65, 8)
        assert child.config.batch != 32
        assert child.config.depth in (1, 2, 4, 8)
    assert len({child.config.depth for child in children}) == 4
    assert len({child.config.batch for child in children}) > 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 1}, "population must be an int of at least 2"),
        ({"population": 4, "share": 0.6}, "share must be"),
        ({"population": 4, "resample": 2}, "resample must be"),
        ({"population": 4, "factors": (0.0, 1.2)}, "factors must be"),
        ({"population": 4, "explore": "momentun"}, "Did you mean 'momentum'"),
        ({"population": 4, "explore": ("kind",)}, "cannot change 'kind'"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    """With the rule, the value and the fix."""
    space = dt.Space(kind=dt.choice("sgd", "adam"), momentum=dt.uniform(0.0, 1.0).when(kind="sgd"))
    with pytest.raises(SearchError, match=message):
        dt.PBT(**arguments).start(Draws.of(space.random(1), 0, endless=True), 9)


def test_a_space_without_real_numbers_needs_names():
    """PBT does not guess what can change in a model that is there."""
    space = dt.Space(width=dt.choice(1, 2))
    with pytest.raises(SearchError, match="explore="):
        dt.PBT(4).start(Draws.of(space.random(1), 0, endless=True), 9)


def test_children_go_on_from_the_checkpoints_of_their_parents(population):
    """Each epoch is trained once, the dataset shows lines and schedules, all is up to date."""
    assert f"at most {EPOCHS} of {EPOCHS} epochs" in population.cli("plan").out
    result = population.make()
    assert result.code == 0, result.err
    assert len(population.ran()) == EPOCHS
    dataset = population.dataset()
    assert int(dataset.spent.sum()) == EPOCHS
    children = dataset.isel(trial=np.flatnonzero(dataset.parent.values != ""))
    assert len(set(children.began.values)) == 3
    assert set(children.parent.values) <= set(dataset.trial.values)
    np.testing.assert_allclose(dataset.objective, dataset.lr_schedule.fillna(0).sum("epoch"))
    for row in range(children.sizes["trial"]):
        child = children.isel(trial=row)
        parent = dataset.sel(trial=child.parent.item())
        assert child.seed == parent.seed
        begun = int(child.began)
        np.testing.assert_array_equal(child.total[:begun], parent.total[:begun])
        assert child.lr_schedule[begun] == child.lr
    longest = (dataset.budget == 12).values
    assert longest.sum() == 12
    assert any("replaced" in text for text in dataset.stopped.values)
    assert "began" in dt.leaderboard(dataset).columns
    assert population.make("-q").code == 0
    assert population.make().out == "dasktune: Nothing to be done for 'all'.\n"
    partial = dt.open(population.root, partial=True).dataset
    assert set(partial.trial.values) <= set(dataset.trial.values)
    assert set(partial.trial.values) & set(children.trial.values)
    picture = population.folder / "schedule.svg"
    words = ("plot", "curves", "--metric", "lr_schedule", "--output", str(picture))
    assert population.cli(*words).code == 0


def test_every_display_tells_from_whom_a_child_in_training_began(population):
    """Before its first rung ends, when there is no stamp of it."""
    seen = {}

    def observe(event):
        progress(event)
        row = progress.board.rows.get(event.get("trial", ""))
        if event["event"] != "report" or not row.parent or seen:
            return
        board, root = progress.board, population.root
        seen["parent"], seen["child"], seen["began"] = row.parent, row.id, row.began
        for width in (80, 200):
            console = Console(width=width, file=io.StringIO())
            console.print(draw(board, time.time(), width))
            seen[width] = console.file.getvalue()
        seen["notebook"] = board_html(board, time.time())
        sheet = TrialSheet()
        sheet.fill(board, list(board.rows.values()), {})
        place = sheet.source.data["trial"].index(row.id)
        seen["page"] = sheet.source.data["parent"][place]
        told = {
            **board.to_json(only_running=True),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        RunFolder(f"{root}/runs/{os.listdir(f'{root}/runs')[0]}").tell(told)
        seen["partial"] = dt.open(root, partial=True).dataset

    sweep = population.sweep()
    progress = Progress(sweep.pipeline.objective)
    assert dt.make(sweep, None, dt.Options(cluster="none"), observe).exit_code == 0
    parent, began = seen["parent"], seen["began"]
    assert f"from {parent[-8:]}" in seen[80]
    assert max(map(len, seen[80].splitlines())) <= 80
    for shown in (seen[200], seen["notebook"], seen["page"]):
        assert f"from {parent} at epoch {began}" in shown
    child = seen["partial"].sel(trial=seen["child"])
    assert (child.status, child.parent, child.began) == ("running", parent, began)
    assert child.budget == 0
    dataset = population.dataset().sel(trial=seen["child"])
    assert (dataset.parent, dataset.began) == (parent, began)
    before = seen["partial"].lr_schedule.sel(trial=seen["child"])[:began]
    np.testing.assert_array_equal(before, dataset.lr_schedule[:began])


def test_more_epochs_are_more_generations(population):
    """What is there stays: 15 epochs after 12 train three more of each."""
    population.make()
    population.ran()
    assert population.make("epochs=15").code == 0
    assert len(population.ran()) == EPOCHS // 4


def test_a_population_comes_to_the_same_on_any_cluster(population):
    """Whoever comes in first."""
    assert population.make("--store", str(population.folder / "here")).code == 0
    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
            resources={"GPU": 1},
        ) as cluster,
        Client(cluster) as client,
    ):
        summary = dt.make(population.sweep(), options=dt.Options(cluster=client))
    assert summary.exit_code == 0
    here = dt.open_results(population.folder / "here" / "toy")
    xr.testing.assert_identical(population.dataset().drop_vars(VARYING), here.drop_vars(VARYING))


def test_a_failed_member_is_replaced(population):
    """With -i: by a child of one that did not fail."""
    (population.folder / "fail-2").touch()
    result = population.make("-i")
    assert result.code == 0, result.err
    dataset = population.dataset()
    failed = dataset.isel(trial=np.flatnonzero(dataset.status.values == "failed"))
    assert failed.sizes["trial"] > 0
    assert all(text.startswith("no score at 3 epochs") for text in failed.stopped.values)
    assert not set(failed.trial.values) & set(dataset.parent.values)
    assert (dataset.budget == 12).sum() == 12


def test_a_longer_result_without_the_checkpoint_between_does_not_stand_for_a_generation(population):
    """As after another search of the same configs: members are trained to where others begin."""
    assert population.make("--search", "SuccessiveHalving(n=6, min_epochs=12)").code == 0
    assert len(population.ran()) == EPOCHS
    result = population.make()
    assert result.code == 0, result.err
    ran = population.ran()
    assert max(Counter(ran).values()) == 1
    assert EPOCHS / 2 < len(ran) <= EPOCHS
    assert (population.dataset().parent != "").any()
    assert population.make("-q").code == 0


def test_a_checkpoint_that_is_gone_is_told(population):
    """And not trained from the start under a key that says otherwise."""
    assert population.make("epochs=3").code == 0
    shutil.rmtree(population.root / "checkpoints")
    result = population.make("epochs=6")
    assert result.code == 2
    assert "did not load a checkpoint of it" in result.err
    assert population.make("epochs=6", "-B").code == 0


def test_a_train_function_without_checkpoints_is_told(population):
    """The first generation passes, the children cannot."""
    population.edit("    trial.checkpoint(total=total)\n", "")
    result = population.make()
    assert result.code == 2
    assert "train() must call trial.checkpoint(" in result.err


RECIPE = """
import numpy as np
import torch
import xarray as xr

import dasktune as dt


def preprocess():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype("float32")
    split = xr.Dataset({"x": (("row", "axis"), x), "y": (("row"), (x[:, 0] > 0).astype("int64"))})
    return {"train": split, "val": split}


def model(config, data):
    return torch.nn.Linear(3, 2)


space = dt.Space(lr=dt.log_uniform(0.001, 0.1), weight_decay=dt.log_uniform(0.001, 0.1))
train = dt.TorchRecipe(model, epochs=4, batch_size=16, optimizer="adamw")
pipeline = dt.Pipeline(
    space, preprocess, train, objective="min val_loss", search=dt.PBT(4, every=2)
)
"""


def test_a_recipe_applies_what_changed_to_the_state_that_it_goes_on_from(population):
    """The parent's weights and moments, the child's rate and decay: as torch alone has it."""
    import torch

    from dasktune.pytorch.problem import sample_order

    population.file.write_text(RECIPE)
    result = population.make("--fuse", "off")
    assert result.code == 0, result.err
    dataset = population.dataset()
    (row,) = np.flatnonzero(dataset.parent.values != "")
    child = dataset.isel(trial=row)
    parent = dataset.sel(trial=child.parent.item())
    assert child.lr != parent.lr
    (saved,) = (population.root / "checkpoints").glob(f"{parent.trial.item()}*/final-2.pt")
    state = torch.load(saved, weights_only=True)["objects"]
    names: dict[str, object] = {}
    exec(compile(RECIPE, "recipe", "exec"), names)
    split = names["preprocess"]()["train"]
    x, y = torch.from_numpy(split.x.values), torch.from_numpy(split.y.values)
    network = torch.nn.Linear(3, 2)
    network.load_state_dict(state["model"])
    rates = {"lr": float(child.lr), "weight_decay": float(child.weight_decay)}
    optimizer = torch.optim.AdamW(network.parameters(), **rates)
    optimizer.load_state_dict(state["optimizer"])
    optimizer.param_groups[0].update(rates)
    store = population.sweep().store
    stamp = store.stamp(store.trained(child.trial.item(), child.key.item()))
    for epoch in (2, 3):
        for batch in sample_order(stamp.body["parts"]["seed"], epoch, 60).split(16):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    loss = torch.nn.functional.cross_entropy(network(x), y).item()
    assert float(child.val_loss[3]) == pytest.approx(loss, rel=1e-5)


def test_fused_children_equal_those_of_the_loop(population):
    """Up to rounding: children beside members that go on."""
    population.file.write_text(RECIPE.replace("PBT(4", "PBT(6, share=0.34"))
    assert population.make("--fuse", "off").code == 0
    other = ("--store", str(population.folder / "fused"))
    assert population.make("--fuse", "6", *other).code == 0
    one = population.dataset()
    two = dt.open_results(population.folder / "fused" / "toy")
    assert one.trial.values.tolist() == two.trial.values.tolist()
    np.testing.assert_allclose(one.val_loss, two.val_loss, rtol=1e-4)
    assert not (one.parent == "").all()


def test_a_schedule_that_stretches_over_the_epochs_is_refused(population):
    """Its training goes on from no checkpoint."""
    population.file.write_text(RECIPE.replace('optimizer="adamw"', 'schedule="cosine"'))
    result = population.cli("plan")
    assert result.code == 2
    assert "or fix its horizon" in result.err
