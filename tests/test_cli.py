"""The command line: what each command says, to people and to programs."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys

import pytest

from dasktune.runfolder import RunFolder


def test_plan_tells_states_reasons_and_keys_as_json(project):
    """A row a target."""
    tree = json.loads(project.cli("plan", "--json").out)
    rows = {row["name"].split("-")[0]: row for row in tree["targets"]}
    assert rows["preprocessed"]["state"] == "stale"
    assert rows["trained/a=1,b=3"]["needs"] == ["preprocessed"]
    project.make()
    tree = json.loads(project.cli("plan", "--json").out)
    assert {row["state"] for row in tree["targets"]} == {"done"}


def test_plan_forecasts_from_earlier_timings(project):
    """Once trials were timed."""
    project.make("a=1")
    project.edit('note("train " + trial.id)', 'note("train " + trial.id); time.sleep(0)')
    assert "would train 4 trials, keeps 0; about" in project.cli("plan", "-j", "2").out


def test_why_names_the_changed_value_the_changed_code_and_the_unchanged(project):
    """With the diff."""
    project.make()
    assert "up to date" in project.cli("why", "collated").out
    project.edit("return a * 10 + b", "return a * 100 + b")
    told = project.cli("why", "trained/a=1,b=3")
    assert "score changed" in told.out
    assert "-    return a * 10 + b" in told.out
    assert "+    return a * 100 + b" in told.out
    project.edit("return a * 100 + b", "return a * 10 + b")
    assert "epochs: 2 -> 3" in project.cli("why", "trained/a=1,b=3", "epochs=3").out
    tree = json.loads(project.cli("why", "collated", "epochs=3", "--json").out)
    assert any("trained" in cause["text"] for cause in tree["causes"])


def test_status_counts_from_the_store_alone(project):
    """Done, failed and left."""
    (project.folder / "fail-1-4").touch()
    assert "] exception: RuntimeError: told to fail (toy.py:" in project.make("-k").err
    counts = json.loads(project.cli("status", "--json").out)
    assert (counts["done"], counts["failed"], counts["left"], counts["running"]) == (3, 1, 0, 0)
    assert "  exception: RuntimeError: told to fail (toy.py:" in project.cli("status").out


def test_status_tells_what_a_run_that_goes_on_has_told(project):
    """Who sees its display no more learns of a worker that does not start."""
    run = RunFolder(f"{project.root}/runs/r")
    run.create()
    run.tell({"notes": [[0.0, "worker a does not start"]]})
    assert "worker a does not start" in json.loads(project.cli("status", "--json").out)["notes"][0]
    assert "00 worker a does not start\n" in project.cli("status").out


def test_logs_prints_what_a_trial_printed_also_when_it_failed(project):
    """With the traceback, the user's frames first."""
    (project.folder / "fail-1-4").touch()
    project.make("-k")
    assert project.cli("logs", "a=1,b=3").out.startswith("training a=1,b=3-")
    failed = project.cli("logs", "trained/a=1,b=4").out
    assert "RuntimeError: told to fail" in failed
    assert 'toy.py", line' in failed
    assert "dasktune/train.py" not in failed


def test_logs_of_a_trial_that_never_ran_is_an_error(project):
    """Not an empty answer."""
    result = project.cli("logs", "a=1,b=3")
    assert result.code == 2
    assert "has no log" in result.err


def test_debug_runs_one_trial_here_and_shows_what_it_prints(project):
    """Even if it is up to date."""
    project.make()
    project.ran()
    result = project.cli("debug", "a=2,b=3")
    assert result.code == 0, result.err
    assert "training a=2,b=3-" in result.out
    assert "score 24" in result.out
    assert project.ran() == ["train a=2,b=3"]


def test_debug_shows_the_traceback(project):
    """That is what it is for."""
    (project.folder / "fail-2-3").touch()
    result = project.cli("debug", "a=2,b=3")
    assert result.code == 2
    assert 'toy.py", line' in result.err
    assert result.err.endswith("RuntimeError: told to fail\n")


def test_json_events_are_one_object_a_line(project):
    """Plan first, then each target as it ends."""
    lines = [json.loads(line) for line in project.make("--json").out.splitlines()]
    assert lines[0]["event"] == "plan"
    finished = [line for line in lines if line["event"] == "finished"]
    assert [line["target"].split("-")[0] for line in finished] == [
        "preprocessed",
        "trained/a=1,b=3",
        "trained/a=1,b=4",
        "trained/a=2,b=3",
        "trained/a=2,b=4",
        "collated",
    ]


def test_silent_says_nothing_but_errors(project):
    """As make -s."""
    (project.folder / "fail-1-4").touch()
    result = project.make("-s")
    assert result.out == ""
    assert "told to fail" in result.err


def test_trace_tells_why_each_target_is_made(project):
    """As make --trace."""
    out = project.make("--trace").out
    assert "train a=1,b=3-" in out
    assert "due to: never trained" in out


def test_the_folder_is_changed_first_and_the_file_found(project):
    """-C, twice, as make adds them up."""
    inner = project.folder / "x" / "pipelines"
    inner.mkdir(parents=True)
    project.file.rename(inner / "toy.py")
    here = os.getcwd()
    try:
        result = project.run_cli(["plan", "-C", str(project.folder), "-C", "x"])
    finally:
        os.chdir(here)
    assert result.code == 0, result.err
    assert "4  4 never trained" in result.out


def test_question_answers_by_its_exit_code_alone(project):
    """0: up to date; 1: not."""
    assert project.make("-q").code == 1
    project.make()
    result = project.make("-q")
    assert (result.code, result.out) == (0, "")


def test_dry_run_runs_and_writes_nothing(project):
    """Not even the store's folder."""
    result = project.make("-n")
    assert result.code == 0
    assert [line.split("-")[0] for line in result.out.splitlines()][:2] == [
        "preprocess  (never made)",
        "train a=1,b=3",
    ]
    assert not project.root.exists()


HEAVY = "torch", "dask", "distributed", "xarray", "pandas", "zarr", "scipy", "bokeh", "sklearn"


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        (
            "from dasktune.cli import main\n"
            "try:\n    main(['make', '--help'])\nexcept SystemExit:\n    pass\n",
            set(),
        ),
        (
            "import dasktune, dasktune.cli.making, dasktune.searching\n"
            "import dasktune.cluster.forkserver\n",
            {"dask"},
        ),
    ],
    ids=["help", "plan and start"],
)
def test_help_planning_and_starting_import_nothing_heavy(code, allowed):
    """Help and what is up to date are told at once, and workers start before the driver imports."""
    code += f"import sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(done.stdout.splitlines()[-1])) <= allowed


def test_colours_are_used_on_a_terminal_only_and_not_against_the_wish(project):
    """NO_COLOR, and a pipe."""
    assert "\x1b[" not in project.cli("plan").out
    script = [sys.executable, "-m", "dasktune", "plan", "-f", str(project.file)]
    for variable, coloured in (("NO_COLOR", False), ("UNUSED", True)):
        environment = {**os.environ, variable: "1", "TERM": "xterm-256color"}
        assert ("\x1b[3" in on_a_terminal(script, environment)) is coloured


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Run a command on a pseudo-terminal and give what it shows."""
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    process.wait()
    os.close(leader)
    return b"".join(chunks).decode()


def test_the_live_display_shows_stages_running_trials_and_the_best(project):
    """On a terminal; and it leaves the leaderboard behind."""
    project.edit("        noise =", "        time.sleep(0.4)\n        noise =")
    command = [sys.executable, "-m", "dasktune", "make", "-f", str(project.file)]
    command += ["--store", str(project.folder / "dist"), "--cluster", "none"]
    shown = on_a_terminal(command, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"})
    for words in ("preprocessed", "4/4", "best so far", "left", "epoch 1", "best     score 25"):
        assert words in shown


@pytest.mark.parametrize("words", [["results"], ["plan"], ["status"], ["why", "all"]], ids=str)
def test_where_nobody_reads_on_a_command_ends_quietly_as_other_programs_do(project, words):
    """Such as with "| head": no message, and not the exit code of an error or of make -q."""
    project.make()
    command = [sys.executable, "-m", "dasktune", *words, "-f", str(project.file)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*command, "--store", str(project.root.parent)],
        env=environment, stdout=writing, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_plan_and_why_say_the_same_of_a_trial_that_failed_before_the_code_changed(project):
    """Neither says that it was never tried, and 'why' tells how it failed."""
    (project.folder / "fail-1-4").touch()
    project.make("-k")
    assert "1 failed last time; 3 kept" in project.cli("plan").out
    project.edit("def train(trial, data", "def train(trial, data, more=0")
    assert "1 never trained, but failed before" in project.cli("plan").out
    why = project.cli("why", "trained").out
    assert ": never trained, but failed before" in why
    assert "exception: RuntimeError: told to fail" in why


def test_a_search_whose_first_trials_all_fail_says_so(search):
    """Not that it trained no rungs of no trials."""
    for number in range(1, 10):
        (search.folder / f"fail-{number}-0").touch()
    out = search.make("-k").out
    assert "trained none of 9 trials, 9 failed (9 exception)" in out
