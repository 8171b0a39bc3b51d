"""The command line. ``--help`` answers at once: what is heavy is imported by the commands."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import Any, ClassVar

import click

from dasktune.errors import DasktuneError


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    HOMES: ClassVar[dict[str, str]] = {
        "make": "making",
        "plan": "making",
        "why": "asking",
        "status": "asking",
        "logs": "asking",
        "stop": "asking",
        "results": "reading",
        "report": "reading",
        "plot": "reading",
        "cluster": "clusters",
        "submit": "submitting",
        "attach": "submitting",
        "cancel": "submitting",
        "doctor": "doctoring",
        "drive": "driving",
        "share": "sharing",
        "debug": "making",
        "export-makefile": "making",
        "node": "making",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands that users call."""
        return [name for name in self.HOMES if name not in ("node", "drive", "share")]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        import importlib

        if name not in self.HOMES:
            return None
        module = importlib.import_module(f"dasktune.cli.{self.HOMES[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; where nobody reads on (``| head``) it ends quietly, as by that signal."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click makes an exit code of 1 of it, which is that of make -q
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return -signal.SIGPIPE


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dasktune", prog_name="dasktune")
def cli() -> None:
    """Make for hyperparameter sweeps, on Dask.

    Start with 'dasktune make -f pipelines/digits.py'.
    """


def run() -> None:
    """Run the command line as a program, and leave at once: Python's own way takes torch 0.5 s."""
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads them any more
            stream.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0; 1 only for ``make -q``; 2 for every error."""
    code = execute(sys.argv[1:] if arguments is None else arguments)
    if code < 0:
        _die_by(-code)
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run the command line and give its exit code; of a signal that ended it the negative."""
    debug = "--debug" in arguments
    try:
        code = cli.main(_bare_f(_bare_j(arguments)), prog_name="dasktune", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return -signal.SIGINT
    except click.ClickException as error:
        error.show()
        return 2
    except DasktuneError as error:
        if debug:
            raise
        click.echo(f"dasktune: *** {error}  Stop.", err=True)
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        click.echo(
            f"dasktune: *** {type(error).__name__}: {text}  Stop. (--debug shows where)", err=True
        )
        return 2
    return code if isinstance(code, int) else 0


def _bare_j(arguments: list[str]) -> list[str]:
    """Let ``-j`` stand without a number, as make does."""
    fixed: list[str] = []
    for index, word in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        bare = word in ("-j", "--jobs") and not following.lstrip("+-").isdigit()
        fixed.append(f"{word}{'=' if word.startswith('--') else ''}max" if bare else word)
    return fixed


def _bare_f(arguments: list[str]) -> list[str]:
    """Let ``logs -f`` follow, as tail does, where no pipeline file comes after it."""
    if "logs" not in arguments[:1]:
        return arguments
    following = [*arguments[1:], ""]
    return [
        "--follow" if word == "-f" and not after.endswith(".py") else word
        for word, after in zip(arguments, following, strict=True)
    ]


def _die_by(number: int) -> None:
    """End as a program does that a signal ended, so that shells and scripts see it."""
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
