"""What the fork server imports when it starts, before any worker is forked from it."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal

from dasktune.libraries import load

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
# Python's own way out takes torch half a second, in which the driver's pipes stay open. Workers
# clear this when they are forked.
atexit.register(os._exit, 0)

with contextlib.suppress(Exception):
    importlib.import_module("distributed.nanny")
load()
