"""What the fork server imports when it starts, before any worker is forked from it."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import signal

from dasktune.libraries import load, uncollected

# Ctrl-C is the driver's, and so is what a queue sends to all processes of a job ahead of the end:
# workers would have nothing to be forked from, and die with the server. They have their own
# handlers, and the server ends when the driver does.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(_number, signal.SIG_IGN)
# Python's own way out takes torch half a second, in which the driver's pipes stay open. Workers
# clear this when they are forked.
atexit.register(os._exit, 0)

with uncollected(), contextlib.suppress(Exception):
    importlib.import_module("distributed.nanny")
load()
# No worker looks for garbage among what it has from here: that takes 0.2 s each time, and the
# first time copies the memory that it shares.
gc.freeze()
