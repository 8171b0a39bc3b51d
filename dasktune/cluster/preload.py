"""What the fork server imports when it starts, before any worker is forked from it."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import signal

from dasktune.libraries import load, uncollected

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
# Python's own way out takes torch half a second, in which the driver's pipes stay open. Workers
# clear this when they are forked.
atexit.register(os._exit, 0)

with uncollected(), contextlib.suppress(Exception):
    importlib.import_module("distributed.nanny")
load()
# No worker looks for garbage among what it has from here: that takes 0.2 s each time, and the
# first time copies the memory that it shares.
gc.freeze()
