"""``tcp://…``, ``tls://…``, ``file:…``: a scheduler that somebody else started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from dasktune.cluster.demand import Connection, Demand, check_resources, tell_limits
from dasktune.errors import ClusterError

CONNECT_SECONDS = 10


class Running:
    """A scheduler that runs already.

    Parameters
    ----------
    address : str
        Its address, or ``file:`` and the path of its scheduler file. For ``tls://`` the
        certificates are those of Dask's own configuration, ``distributed.comm.tls``.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    @contextlib.contextmanager
    def connect(self, demand: Demand) -> Iterator[Connection]:
        """Connect to it; it goes on when the run has ended."""
        from distributed import Client

        where: dict[str, Any] = {"address": self.address}
        if self.address.startswith("file:"):
            path = self.address.removeprefix("file:")
            if not os.path.exists(path):
                raise ClusterError(f"there is no scheduler file {path}.")
            where = {"scheduler_file": path}
        try:
            client = Client(**where, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            raise ClusterError(
                f"cannot connect to the scheduler at {self.address}. Is it running, and is this "
                f"the address that it printed? ({type(error).__name__})"
            ) from error
        with client:
            check_resources(client, demand.resources)
            tell_limits(client, demand.tell)
            yield Connection(client)

    def script(self, demand: Demand) -> str:
        """Give nothing: there are no jobs."""
        return ""
