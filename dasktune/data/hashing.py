"""Hashing: files whose digest is known as soon as they are written."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dasktune.fingerprint import new_hash

BLOCK = 16 * 1024**2
"""Bytes that are written, and hashed meanwhile, at a time."""


def write_hashed(path: str, blocks: Iterable[memoryview]) -> str:
    """Write a new file of some blocks, and give its digest.

    One block is hashed on another thread while it is written: that hides the hashing.

    Parameters
    ----------
    path : str
        Where no file is yet.
    blocks : iterable of memoryview
        Bytes. A block must stay as it is until the one after the next is asked for.
    """
    hashing = new_hash()
    pending: Future[Any] | None = None
    with ThreadPoolExecutor(1) as pool, open(path, "xb", buffering=0) as file:
        for block in blocks:
            if pending is not None:
                pending.result()
            pending = pool.submit(hashing.update, block)
            rest = block
            while rest.nbytes:
                rest = rest[file.write(rest) :]
    return str(hashing.hexdigest())


def copy_hashed(source: str, path: str) -> str:
    """Copy a file, and give the digest of what was copied."""
    blocks = [memoryview(bytearray(BLOCK)) for _ in range(2)]

    def read() -> Iterable[memoryview]:
        with open(source, "rb", buffering=0) as file:
            while count := file.readinto(blocks[0]):
                yield blocks[0][:count]
                blocks.reverse()

    return write_hashed(path, read())
