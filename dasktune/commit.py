"""The commit protocol: how a target comes into being, all of it or nothing.

A target is made in a folder of its own under ``tmp/``, on the same file system; its stamp is
written last; then the folder is renamed to its place. A process that dies at any instant
leaves either the whole target or none, and a folder under ``tmp/`` that the next run sweeps.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextvars import ContextVar

from dasktune.errors import StampError, StoreError
from dasktune.stamp import Stamp, read_stamp
from dasktune.store import Store

STALE_AFTER = 24 * 3600.0
"""Seconds after which a folder under ``tmp/`` of another machine counts as left behind."""


@contextlib.contextmanager
def staging(store: Store, name: str) -> Iterator[str]:
    """Give a folder to make a target in, and remove what is left of it afterwards.

    Raises
    ------
    StoreError
        If the store cannot be written, for instance because the disk is full.
    """
    place = f"{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    folder = f"{store.tmp}/{name}.{place}"
    with readable_errors(store):
        try:
            os.mkdir(folder)
        except FileNotFoundError:
            os.makedirs(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take_away(store: Store, name: str, log: str) -> None:
    """Take what older attempts have in the making: to publish it fails from then on.

    Parameters
    ----------
    store : Store
        The store.
    name : str
        What those attempts gave to `staging`, and nobody else.
    log : str
        Where to keep what they printed, if they did.
    """
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(store.tmp):
            if entry.startswith(f"{name}."):
                aside = f"{store.tmp}/aside.{uuid.uuid4().hex}"
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{store.tmp}/{entry}", aside)
                    with contextlib.suppress(OSError):
                        os.rename(f"{aside}/log.txt", log)
                    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def readable_errors(store: Store) -> Iterator[None]:
    """Turn the operating system's refusals into one line with the fix."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        fixes = {
            errno.ENOSPC: "Free some space and run again; what is finished is kept.",
            errno.EDQUOT: "Your quota is used up; free some space and run again.",
            errno.EROFS: "The file system is read-only; name another place with --store.",
            errno.EACCES: "Make the folder writable, or name another with --store.",
        }
        fix = fixes.get(error.errno or 0, "What is finished is kept.")
        raise StoreError(
            f"cannot write to the store {store.root}: {error.strerror or error}. {fix}"
        ) from error


def publish(store: Store, folder: str, final: str, stamp: Stamp, *, replace: bool) -> Stamp:
    """Write the stamp and move a finished folder to its place.

    Parameters
    ----------
    store : Store
        The store, for messages and scratch.
    folder : str
        The staging folder, complete but for its stamp.
    final : str
        Where the target belongs.
    stamp : Stamp
        What is known of the target.
    replace : bool
        Whether a target that is already there is to be replaced (``-B``). Otherwise another
        run was faster: its result stays and ours is dropped.

    Returns
    -------
    Stamp
        The stamp that now stands in the target's place.
    """
    with readable_errors(store):
        later = _later.get()
        if later is not None and not _SEALED.issuperset(os.listdir(folder)):
            later = None
        if later is None:
            _sync_below(folder)
        with open(f"{folder}/.stamp", "wb", buffering=0) as file:
            file.write(stamp.to_bytes())
            if later is None:
                os.fsync(file.fileno())
        for _ in range(10):
            try:
                os.rename(folder, final)
                if later is None:
                    _sync(os.path.dirname(final))
                else:
                    later.append(final)
                return stamp
            except FileNotFoundError:
                if not os.path.isdir(folder):
                    raise  # it was taken away
                os.makedirs(os.path.dirname(final), exist_ok=True)
                continue
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            with contextlib.suppress(StampError):
                other = read_stamp(f"{final}/.stamp")
                if other is not None and not replace:
                    return other
            aside = f"{store.tmp}/aside.{uuid.uuid4().hex}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(final, aside)
                shutil.rmtree(aside, ignore_errors=True)
        raise StoreError(f"cannot put {final} in its place; something keeps writing there.")


_SEALED = frozenset({"log.txt"})
"""Files besides the stamp whose loss in a power failure would leave a target whole."""

_later: ContextVar[list[str] | None] = ContextVar("_later", default=None)


@contextlib.contextmanager
def shared_sync(store: Store) -> Iterator[None]:
    """Let the targets that are published inside be flushed to the disk together, at the end.

    A disk may take 4 ms to say that it has written something, once for one target as for a
    hundred. Each target still comes into being by itself, and at once. Should the power fail
    before the end, its seal tells a stamp that never reached the disk, and the target is made
    again. A target with more files than its stamp and its log is flushed by itself, as ever.
    """
    published: list[str] = []
    token = _later.set(published)
    try:
        yield
    finally:
        _later.reset(token)
        with readable_errors(store):
            for folder in published:
                with contextlib.suppress(FileNotFoundError):  # replaced by another run
                    _sync(f"{folder}/.stamp")
            for parent in {os.path.dirname(folder) for folder in published}:
                _sync(parent)


def sweep(store: Store) -> None:
    """Remove what dead processes left under ``tmp/``."""
    try:
        names = os.listdir(store.tmp)
    except FileNotFoundError:
        return
    for name in names:
        folder = f"{store.tmp}/{name}"
        if _left_behind(name, folder):
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _host() -> str:
    return socket.gethostname().replace(".", "_")


def _left_behind(name: str, folder: str) -> bool:
    words = name.rsplit(".", 3)
    if len(words) == 4 and words[1] == _host() and words[2].isdigit():
        try:
            os.kill(int(words[2]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    try:
        return time.time() - os.stat(folder).st_mtime > STALE_AFTER
    except OSError:
        return False


def _sync_below(folder: str) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(f"{parent}/{name}")


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: str, data: bytes) -> None:
    """Write a file so that a reader sees all of it or the older one."""
    scratch = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)


def link_atomically(path: str, to: str) -> None:
    """Point a symbolic link somewhere else, without an instant in which there is none."""
    scratch = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    os.symlink(to, scratch)
    os.replace(scratch, path)
