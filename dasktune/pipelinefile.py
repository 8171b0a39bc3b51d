"""The pipeline file: where it is, and how the pipeline is named after it."""

from __future__ import annotations

import os

from dasktune.errors import PipelineError


def name_of(file: str) -> str:
    """Give the name of the pipeline that a file defines."""
    return os.path.splitext(os.path.basename(file))[0]


def find_file(file: str | None) -> str:
    """Find the pipeline file: the one given, ``pipeline.py``, or the only one in ``pipelines/``.

    Raises
    ------
    PipelineError
        If there is none, or more than one.
    """
    if file is not None:
        return file
    if os.path.exists("pipeline.py"):
        return "pipeline.py"
    names = sorted(
        name
        for name in (os.listdir("pipelines") if os.path.isdir("pipelines") else [])
        if name.endswith(".py") and not name.startswith("_")
    )
    if len(names) == 1:
        return f"pipelines/{names[0]}"
    if names:
        files = " or ".join(f"-f pipelines/{name}" for name in names)
        raise PipelineError(f"there are {len(names)} pipeline files; choose with {files}.")
    raise PipelineError(
        "no pipeline file found: there is no pipeline.py and nothing in pipelines/. "
        "Name one with -f FILE."
    )
