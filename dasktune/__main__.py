"""``python -m dasktune``."""

from dasktune.cli import run

run()
