"""Capturing: each trial's words in its own log, live, also with several at once."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings

from dasktune.capture import capture


def test_prints_logs_and_warnings_land_in_the_file_and_nowhere_else(tmp_path, capsys):
    """stdout, stderr, logging from INFO on, warnings; and all is as before afterwards."""
    out, level = sys.stdout, logging.getLogger().level
    with capture(f"{tmp_path}/log") as file:
        print("to stdout")
        print("to stderr", file=sys.stderr)
        logging.getLogger("user").warning("logged")
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
        file.write("direct\n")
    text = (tmp_path / "log").read_text()
    for word in ("to stdout\n", "to stderr\n", "WARNING user: logged", "careful", "direct"):
        assert word in text
    assert capsys.readouterr() == ("", "")
    assert sys.stdout is out
    assert logging.getLogger().level == level
    print("after")
    assert "after" not in (tmp_path / "log").read_text()


def test_two_threads_have_a_log_each(tmp_path, capsys):
    """Also when one ends in the middle of the other."""
    turn = threading.Barrier(2, timeout=20)

    def work(name, lines):
        with capture(f"{tmp_path}/{name}"):
            for number in range(lines):
                turn.wait()
                print(f"{name} {number}")
                logging.getLogger("user").error("%s logs %s", name, number)
        with contextlib.suppress(threading.BrokenBarrierError):
            turn.wait()

    threads = [threading.Thread(target=work, args=item) for item in (("a", 3), ("b", 3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, other in (("a", "b"), ("b", "a")):
        text = (tmp_path / name).read_text()
        assert [line for line in text.splitlines() if line.startswith(name)] == [
            f"{name} {number}" for number in range(3)
        ]
        assert text.count(f"{name} logs") == 3
        assert f"{other} " not in text
    assert capsys.readouterr().out == ""


def test_a_thread_that_the_trial_starts_writes_into_its_log(tmp_path):
    """Such as a data loader's."""
    with capture(f"{tmp_path}/log"):
        thread = threading.Thread(target=print, args=("from a helper",))
        thread.start()
        thread.join()
    assert (tmp_path / "log").read_text() == "from a helper\n"


def test_another_thread_is_not_taken_for_one_of_two_trials(tmp_path, capsys):
    """Rather nowhere than in the wrong log."""
    inside, done = threading.Event(), threading.Event()

    def other():
        with capture(f"{tmp_path}/b"):
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(20)
    with capture(f"{tmp_path}/a"):
        stranger = threading.Thread(target=print, args=("whose?",))
        stranger.start()
        stranger.join()
    done.set()
    thread.join()
    assert capsys.readouterr().out == "whose?\n"
    assert list(tmp_path.iterdir()) == []  # a log comes into being with its first word


def test_a_line_is_there_as_soon_as_it_is_written_also_a_progress_bar(tmp_path):
    """A bar ends its line with a carriage return."""
    with capture(f"{tmp_path}/log"):
        print("one")
        assert (tmp_path / "log").read_text() == "one\n"
        sys.stderr.write("10 %\r")
        with open(tmp_path / "log", newline="") as file:
            assert file.read() == "one\n10 %\r"


def test_tee_shows_it_as_well(tmp_path, capsys):
    """For debug."""
    with capture(f"{tmp_path}/log", tee=True):
        print("both")
    assert capsys.readouterr().out == (tmp_path / "log").read_text() == "both\n"


def test_what_a_recipe_does_to_the_streams_ends_with_it(tmp_path):
    """A redirect inside of a capture, and a broken character."""
    with capture(f"{tmp_path}/log"):
        inner = io.StringIO()
        with contextlib.redirect_stdout(inner):
            print("inside")
        print("\ud800 is no character")
        assert not sys.stdout.isatty()
    assert inner.getvalue() == "inside\n"
    assert (tmp_path / "log").read_text() == "\\ud800 is no character\n"
