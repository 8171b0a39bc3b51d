"""File systems: which one holds a path, and whether it is reached over a network."""

from __future__ import annotations

import os
import re

# fmt: off
NETWORKED = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre",
    "mmfs", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
    "wekafs",
})
# fmt: on
"""Types that are; those of FUSE are too, but for the few that serve a local disk."""

_LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.ext2", "fuse.ntfs-3g"})


def filesystem(path: str, mounts: str) -> str:
    """Tell the type of the file system that holds a path.

    Parameters
    ----------
    path : str
        An absolute path without symbolic links.
    mounts : str
        The content of ``/proc/mounts``.

    Returns
    -------
    str
        Such as ``"ext4"``; ``""`` if it is not known.
    """
    return mount(path, mounts)[1]


def mount(path: str, mounts: str) -> tuple[str, str]:
    """Tell the mount that shows a path: its folder, and the type of its file system."""
    best, kind = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two at one point the later covers the other
            best, kind = point, words[2]
    return best, kind


def networked(kind: str) -> bool:
    """Say whether a type of file system is reached over a network."""
    return kind in NETWORKED or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def filesystem_of(path: str) -> str:
    """Tell the type of the file system that holds a path on this machine; ``""`` if unknown."""
    return mount_of(path)[1]


def mount_of(path: str) -> tuple[str, str]:
    """Tell the mount that shows a path on this machine, and its type; empty if unknown."""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
            return mount(os.path.realpath(path), file.read())
    except OSError:
        return "", ""
