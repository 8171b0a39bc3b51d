"""Stamps: the evidence that a target was made, of what, and what came out.

A stamp is a file of two lines of JSON. The first is short, and all that planning reads; the
second holds the rest: config, metrics, curve, cost, versions. A seal over both tells a stamp
that was truncated or edited.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dasktune.errors import StampError, StoreError
from dasktune.fingerprint import SCHEMA


@dataclass(frozen=True)
class Stamp:
    """What is known of a made target.

    Attributes
    ----------
    kind : str
        ``"preprocess"``, ``"train"`` or ``"collate"``.
    target : str
        The target's name, such as ``"trained/lr=0.1-3fa2b1c4"``.
    key : str
        Fingerprint of what went in.
    digest : str
        Digest of what came out, 64 hexadecimal digits.
    seconds : float
        How long it took.
    body_text : bytes
        The second line: a JSON object.
    """

    kind: str
    target: str
    key: str
    digest: str
    seconds: float
    body_text: bytes

    @cached_property
    def body(self) -> dict[str, Any]:
        """The second line, read: parts, sources, versions, result and so forth."""
        body: dict[str, Any] = json.loads(self.body_text)
        return body

    @property
    def training_seconds(self) -> float:
        """How long a training took from its first epoch on, whatever it went on from.

        What was written before stamps told of it is taken to have been as slow in the epochs
        that it went on from.
        """
        body = self.body
        if "training_seconds" in body or not body.get("resumed_at"):
            return float(body.get("training_seconds", self.seconds))
        epochs, resumed = body["result"]["curve"]["epochs"], body["resumed_at"]
        return float(self.seconds * epochs / max(1, epochs - resumed))

    @classmethod
    def of(
        cls,
        kind: str,
        target: str,
        key: str,
        digest: str,
        seconds: float,
        body: dict[str, Any],
    ) -> Stamp:
        """Make a stamp from a JSON-able body."""
        text = json.dumps(body, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return cls(kind, target, key, digest, round(seconds, 6), text.encode())

    def to_bytes(self) -> bytes:
        """Give the file's content, sealed."""
        head = {
            "dasktune": SCHEMA,
            "kind": self.kind,
            "target": self.target,
            "key": self.key,
            "digest": self.digest,
            "seconds": self.seconds,
        }
        return _head(head, self.body_text) + b"\n" + self.body_text + b"\n"


def _head(head: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    seal = hashlib.sha256(text + b"\n" + body).hexdigest()[:32]
    return text[:-1] + b',"seal":"' + seal.encode() + b'"}'


def parse_stamp(data: bytes, path: str) -> Stamp:
    """Read a stamp from a file's content.

    Raises
    ------
    StampError
        If it is truncated, edited or of another schema.
    """
    first, _, rest = data.partition(b"\n")
    body = rest[:-1]
    try:
        head = json.loads(first)
        seal = head.pop("seal")
        schema = head["dasktune"]
        stamp = Stamp(
            head["kind"], head["target"], head["key"], head["digest"], head["seconds"], body
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StampError(f"the stamp {path} is damaged; its target is made again.") from None
    if schema != SCHEMA:
        raise StampError(f"the stamp {path} has schema {schema}, but this dasktune has {SCHEMA}.")
    unsealed = first[: first.rfind(b',"seal":"')] + b"}"
    if seal != hashlib.sha256(unsealed + b"\n" + body).hexdigest()[:32] or rest[-1:] != b"\n":
        raise StampError(f"the stamp {path} was edited or truncated; its target is made again.")
    return stamp


def read_stamp(path: str) -> Stamp | None:
    """Read a stamp, or give None where there is no such file.

    Raises
    ------
    StampError
        If it is truncated, edited or of another schema.
    StoreError
        If the file is there but cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read the stamp {path}: {error.strerror}.") from error
    try:
        size = os.fstat(descriptor).st_size
        return parse_stamp(os.read(descriptor, size + 1), path)
    finally:
        os.close(descriptor)
