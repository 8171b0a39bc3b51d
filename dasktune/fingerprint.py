"""Fingerprints of values: a canonical, typed text of a value, and its hash."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = 1
"""Version of the key scheme; it is part of every key."""

KEY_LENGTH = 16
"""Hexadecimal digits of a key: 64 bits, told apart further by the trial's readable name."""


def typed(value: Any) -> Any:
    """Give a JSON-able tree of a value in which types can be told apart.

    ``1``, ``1.0``, ``True`` and ``"1"`` differ; ``0.0`` and ``-0.0`` do not, and every NaN is
    the same NaN. Lists and tuples are the same thing.

    Raises
    ------
    TypeError
        If the value (or one inside it) has no identity but its address.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        if math.isnan(value):
            return {"float": "nan"}
        return {"float": (value + 0.0).hex()}
    if isinstance(value, bytes):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, (list, tuple)):
        return [typed(item) for item in value]
    if isinstance(value, Mapping):
        return {"map": [[typed(k), typed(v)] for k, v in sorted(value.items(), key=_by_text)]}
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((typed(item) for item in value), key=json.dumps)}
    raise TypeError(f"a {type(value).__name__} has no canonical text")


def _by_text(item: tuple[Any, Any]) -> str:
    return f"{type(item[0]).__name__}:{item[0]}"


def canonical(tree: Any) -> bytes:
    """Write a JSON-able tree in the one way that is hashed."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(tree: Any) -> str:
    """Hash a JSON-able tree: 64 hexadecimal digits of SHA-256."""
    return hashlib.sha256(canonical(tree)).hexdigest()


def key(kind: str, parts: Mapping[str, Any]) -> str:
    """Make the key of a target from all that goes into it.

    Parameters
    ----------
    kind : str
        ``"preprocess"``, ``"train"`` or ``"collate"``.
    parts : mapping
        JSON-able trees by name: code, config, data, seed, variables.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return digest({"schema": SCHEMA, "kind": kind, "parts": dict(parts)})[:KEY_LENGTH]


def new_hash() -> Any:
    """Begin to hash content: BLAKE3, of 64 hexadecimal digits.

    Content is long and keys are short: BLAKE3 takes a quarter of the time of SHA-256 where the
    processor helps with that, and a twentieth where it does not.
    """
    import blake3

    return blake3.blake3()


def file_digest(path: str) -> str:
    """Hash the content of a file."""
    hashing = new_hash()
    block = memoryview(bytearray(1024**2))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(block):
            hashing.update(block[:count])
    return str(hashing.hexdigest())


def tree_digest(files: Iterable[tuple[str, str]]) -> str:
    """Hash a folder from the relative names and digests of its files."""
    return digest(sorted(files))
