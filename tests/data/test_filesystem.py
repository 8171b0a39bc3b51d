"""File systems: known by the mounts, and which of them are remote."""

from __future__ import annotations

import pytest

from dasktune.data.filesystem import filesystem, filesystem_of, networked

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
scratch@o2ib:/fs /scratch lustre rw 0 0
tmpfs /scratch/local tmpfs rw 0 0
server:/odd /with\\040space nfs rw 0 0
overlay /over ext4 rw 0 0
server:/over /over nfs rw 0 0
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/dist", "nfs4"),
        ("/homework", "ext4"),
        ("/scratch/me", "lustre"),
        ("/scratch/local/me", "tmpfs"),
        ("/with space/x", "nfs"),
        ("/over/x", "nfs"),
    ],
)
def test_the_deepest_mount_holds_a_path(path, kind):
    """And of two at one point the later."""
    assert filesystem(path, MOUNTS) == kind


def test_nothing_is_known_without_mounts():
    """Then nothing is staged."""
    assert filesystem("/home", "") == ""
    assert not networked("")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs"])
def test_file_systems_of_clusters_are_networked(kind):
    """Those that are found on them."""
    assert networked(kind)


def test_fuse_is_networked_but_for_local_disks():
    """Whatever the program behind it is called."""
    assert networked("fuse.sshfs")
    assert networked("fuse.juicefs")
    assert not networked("fuseblk")
    assert not networked("ext4")
    assert not networked("tmpfs")


def test_the_file_system_of_this_machine_is_found():
    """From the system's own list."""
    assert filesystem_of("/proc") == "proc"
