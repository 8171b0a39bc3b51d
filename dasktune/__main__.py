"""``python -m dasktune``."""

from dasktune.cli import main

main()
