"""Events on their way from a worker: few messages, all rows, no failure."""

from __future__ import annotations

from dataclasses import asdict

from distributed.worker import _is_dumpable

from dasktune.events import MOST_ROWS, Mailbox, expand
from dasktune.failure.kind import Kind
from dasktune.outcome import Outcome


class Post:
    """Where a mailbox sends to; time passes when it is told to."""

    def __init__(self, every=60.0):
        self.messages = []
        self.timers = []
        self.box = Mailbox(
            "r",
            self.messages.append,
            lambda seconds, function: self.timers.append(function),
            lambda: every,
            lambda: "cpu",
        )

    def report(self, trial, epoch):
        self.box(
            {"event": "report", "trial": trial, "epoch": epoch, "epochs": 9, "metrics": {"m": 1.0}}
        )

    def reports(self):
        """List trial and epoch of all that arrived."""
        events = [event for message in self.messages for event in expand(message)]
        return [(e["trial"], e["epoch"]) for e in events if e["event"] == "report"]


def test_the_first_report_goes_at_once_and_the_next_wait_together():
    """One message for all trials of the worker, and one timer for it."""
    post = Post()
    post.report("a", 0)
    assert post.reports() == [("a", 0)]
    post.report("a", 1)
    post.report("b", 0)
    post.report("b", 1)
    assert len(post.messages) == 1
    assert len(post.timers) == 1
    post.timers[0]()
    assert len(post.messages) == 2
    assert post.reports() == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_what_waits_is_sent_with_a_trials_end_and_before_it():
    """The last epochs are never missing, and an end waits less long than a report."""
    post = Post()
    for epoch in range(3):
        post.report("a", epoch)
    post.box({"event": "ended", "outcome": {}})
    post.timers[-1]()
    events = [event["event"] for message in post.messages for event in expand(message)]
    assert events == ["report", "report", "report", "ended"]
    assert post.reports() == [("a", 0), ("a", 1), ("a", 2)]


def test_a_flood_is_thinned_out_and_keeps_the_newest():
    """A message is bounded, whatever a train function does."""
    post = Post()
    for epoch in range(1000):
        post.report("a", epoch)
    post.box.flush()
    rows = post.reports()
    assert len(rows) <= 1 + MOST_ROWS
    assert rows[0] == ("a", 0)
    assert rows[-1] == ("a", 999)


def test_a_scheduler_that_is_gone_does_not_stop_training():
    """Sending may raise."""

    def send(message):
        raise OSError("gone")

    box = Mailbox("r", send, lambda *_: None, lambda: 0.0, lambda: "cpu")
    event = {"event": "report", "trial": "a", "epoch": 0, "epochs": None, "metrics": {}}
    box(event)
    box({"event": "ended"})


def test_messages_name_their_run_and_the_device():
    """Many sweeps may share a scheduler."""
    post = Post()
    post.report("a", 0)
    assert post.messages[0]["run"] == "r"
    assert next(expand(post.messages[0]))["device"] == "cpu"


def test_cuda_is_not_touched_before_training_uses_it(monkeypatch):
    """To ask it for its name would keep a train function from forking; then its own number."""
    import sys
    from types import SimpleNamespace

    from dasktune.provenance import device_in_use

    used = False

    def name(index):
        assert used
        return "A GPU"

    cuda = SimpleNamespace(is_initialized=lambda: used, get_device_name=name)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,0")
    assert device_in_use() == "cpu"
    used = True
    assert device_in_use() == "cuda:3 (A GPU)"
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    assert device_in_use() == "cpu"


def test_dask_can_send_what_tells_of_a_failure():
    """Its kind is a word of an enumeration, which Dask would refuse, and all that waits with it."""
    outcome = Outcome("trained/a", "key", status="failed", failure=Kind.EXCEPTION, values=(1.0,))
    post = Post()
    post.box({"event": "ended", "outcome": asdict(outcome)})
    (message,) = post.messages
    assert _is_dumpable(message)
    (event,) = expand(message)
    assert Outcome(**event["outcome"]) == outcome
