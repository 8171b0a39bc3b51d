"""Many thin workers in one process, for simulations: ``thin_workers.py ADDRESS COUNT``."""

from __future__ import annotations

import asyncio
import logging
import sys

from distributed import Worker

from dasktune import libraries


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
    logging.disable(logging.WARNING)  # each of a hundred says that the interpreter was busy
    libraries.load()  # as a worker of dasktune does before it has anything to do
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
