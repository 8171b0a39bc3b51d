"""Many thin workers in one process, for simulations: ``thin_workers.py ADDRESS COUNT``."""

from __future__ import annotations

import asyncio
import sys

from distributed import Worker


async def main(address: str, count: int) -> None:
    """Run workers until the scheduler leaves."""
    workers = [
        Worker(
            address,
            nthreads=1,
            resources={"GPU": 1},
            host="127.0.0.1",
            memory_limit=0,
            dashboard=False,
            heartbeat_interval="5s",
        )
        for _ in range(count)
    ]
    for some in range(0, count, 50):
        await asyncio.gather(*workers[some : some + 50])
    await asyncio.gather(*(worker.finished() for worker in workers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
