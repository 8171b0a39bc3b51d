"""Staging: a copy of the preprocessed data on the node's own disk, made once for all its workers.

::

    $TMPDIR/dasktune-<user>/
    ├── <digest>-<boot>/        the files of a preprocessed target, whole
    ├── <digest>-<boot>.use     locked, shared, by each process that uses the copy
    ├── <digest>-<boot>.copy    locked by the one that makes it
    └── <digest>-<boot>.….tmp/  a copy in the making

The locks are the kernel's, on a local disk: whoever dies lets go of them. What makes a copy right
is not the locks, though, but the digests, and that it is renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dasktune.data.filesystem import filesystem_of, networked
from dasktune.data.hashing import copy_hashed
from dasktune.errors import DataError, StoreError, UsageError, did_you_mean

MODES = ("auto", "always", "never")
KEEP = 24 * 3600.0
"""Seconds for which a copy that nobody uses is kept, if there is room."""
COPIERS = 4
"""Files that are copied at a time."""

Files = Sequence[tuple[str, int, str]]
"""Relative path, size and digest of each file, as the stamp has them."""

_using: dict[str, int] = {}  # descriptors that hold the lock of the copy in use


@dataclass(frozen=True)
class Staging:
    """Whether data is copied to the node's own disk, and where to.

    Attributes
    ----------
    mode : {"auto", "always", "never"}
        ``"auto"`` copies from a file system that is reached over a network to one that is not,
        if there is room.
    folder : str
        Where copies are kept; variables such as ``$SLURM_TMPDIR`` are those of the worker. If
        empty, ``$SLURM_TMPDIR``, else ``$TMPDIR``, else ``/tmp``.

    Raises
    ------
    UsageError
        If there is no such mode.
    """

    mode: str = "auto"
    folder: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(
                f"dasktune.stage must be one of {', '.join(MODES)}, but got {self.mode!r}."
                + did_you_mean(str(self.mode), MODES)
            )

    def place(self, environment: Mapping[str, str]) -> str:
        """Name the folder of copies on a node with these environment variables."""
        if self.folder:
            named = os.path.expanduser(os.path.expandvars(self.folder))
        else:
            named = environment.get("SLURM_TMPDIR") or tempfile.gettempdir()
        return os.path.join(os.path.abspath(named), f"dasktune-{os.getuid()}")


def is_staged(mode: str, *, source: str, place: str, size: int, free: int) -> bool:
    """Decide whether data is to be copied.

    Parameters
    ----------
    mode : {"auto", "always", "never"}
        As in `Staging`.
    source, place : str
        Types of the file systems that hold the data and would hold the copy.
    size, free : int
        Bytes of the data, and bytes that are free in the place.
    """
    if mode == "auto":
        return networked(source) and not networked(place) and size <= free
    return mode == "always"


def stage(source: str, files: Files, digest: str, staging: Staging) -> str:
    """Give the folder to read preprocessed data from: a copy on the node's own disk, or itself.

    Parameters
    ----------
    source : str
        The preprocessed target's folder.
    files : sequence of (str, int, str)
        Its files.
    digest : str
        Its digest.
    staging : Staging
        Whether to copy, and where to.

    Raises
    ------
    DataError
        If a file does not have the content that its stamp says.
    StoreError
        If it is always to be copied and cannot be.
    """
    if staging.mode == "never":
        return source
    here, place = filesystem_of(source), staging.place(os.environ)
    if staging.mode == "auto" and not networked(here):
        return source
    copy = Copy(place, digest, files)
    try:
        copy.prepare()
        if copy.whole():
            return copy.folder
        copy.sweep()
        size = sum(size for _, size, _ in files)
        free = shutil.disk_usage(place).free
        there = filesystem_of(place)
        if not is_staged(staging.mode, source=here, place=there, size=size, free=free):
            copy.release()
            return source
        return copy.make(source)
    except OSError as error:
        copy.release()
        if staging.mode == "auto":
            log = logging.getLogger("dasktune.data")
            log.warning("the data is not staged in %s: %s", place, error.strerror or error)
            return source
        raise StoreError(
            f"cannot stage the data in {place}: {error.strerror or error}. Name another place "
            "with dasktune.stage-folder, or set dasktune.stage to never."
        ) from error


class Copy:
    """The copy of a preprocessed target on this node.

    Parameters
    ----------
    place : str
        The folder of copies.
    digest : str
        The target's digest.
    files : sequence of (str, int, str)
        The target's files.
    """

    def __init__(self, place: str, digest: str, files: Files) -> None:
        self._place = place
        self._name = f"{digest[:32]}-{_boot()}"
        self._files = files
        self.folder = f"{place}/{self._name}"

    def prepare(self) -> None:
        """Make the folder of copies, this user's alone, and say that this copy is in use.

        Raises
        ------
        PermissionError
            If the folder is another user's, who could change what we read.
        """
        with contextlib.suppress(FileExistsError):
            os.makedirs(self._place, 0o700)
        status = os.lstat(self._place)
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermissionError(1, "it belongs to, or can be written by, another user")
        if self.folder not in _using:
            for folder in list(_using):
                os.close(_using.pop(folder))
            _using[self.folder] = _lock(f"{self.folder}.use", fcntl.LOCK_SH)
        os.utime(f"{self.folder}.use")

    def release(self) -> None:
        """Say that this copy is not in use."""
        if self.folder in _using:
            os.close(_using.pop(self.folder))

    def whole(self) -> bool:
        """Say whether the copy is there with all its files."""
        try:
            return all(
                os.stat(f"{self.folder}/{path}").st_size == size for path, size, _ in self._files
            )
        except OSError:
            return False

    def make(self, source: str) -> str:
        """Make the copy, unless another process does it meanwhile, and give its folder."""
        with _locked(f"{self.folder}.copy"):
            if self.whole():
                return self.folder
            # Nobody else makes this copy now, so what is there of it is of somebody who died.
            self._remove(f"{self._name}.")
            scratch = f"{self.folder}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                self._fill(scratch, source)
                if os.path.lexists(self.folder):
                    os.rename(self.folder, f"{self.folder}.{uuid.uuid4().hex[:8]}.tmp")
                os.rename(scratch, self.folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return self.folder

    def _fill(self, scratch: str, source: str) -> None:
        for path, _, _ in self._files:
            os.makedirs(os.path.dirname(f"{scratch}/{path}"), exist_ok=True)

        def copy(path: str, expected: str) -> None:
            if copy_hashed(f"{source}/{path}", f"{scratch}/{path}") != expected:
                raise DataError(
                    f"{source}/{path} does not have the content that was preprocessed. Make it "
                    "anew with -B preprocessed."
                )

        with ThreadPoolExecutor(COPIERS) as pool:
            jobs = [pool.submit(copy, path, expected) for path, _, expected in self._files]
            try:
                for job in jobs:
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def sweep(self) -> None:
        """Remove copies that nobody uses: old ones, and all if there is no room for this one."""
        size = sum(size for _, size, _ in self._files)
        for name in os.listdir(self._place):
            if not name.endswith(".use") or name == f"{self._name}.use":
                continue
            lock = f"{self._place}/{name}"
            recent = time.time() - os.stat(lock).st_mtime < KEEP
            if recent and shutil.disk_usage(self._place).free >= size:
                continue
            try:
                descriptor = _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                self._remove(name.removesuffix(".use"))
            finally:
                os.close(descriptor)

    def _remove(self, beginning: str) -> None:
        """Remove the folders whose names begin so."""
        for name in os.listdir(self._place):
            if name.startswith(beginning) and not name.endswith((".use", ".copy")):
                shutil.rmtree(f"{self._place}/{name}", ignore_errors=True)


def _boot() -> str:
    """Name this boot of the machine: what was not yet on the disk when it crashed is no copy."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read(8)
    except OSError:
        return "0"


def _lock(path: str, how: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = _lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)
