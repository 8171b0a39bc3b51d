"""A bare Dask graph on the workers that dasktune would start: no keys, files or curves."""

import sys

import dask
import work
from distributed import Client, LocalCluster

if __name__ == "__main__":
    folder = sys.argv[1]
    sweep = work.sweep(folder)
    here = __file__.rpartition("/")[0]
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": here}
    with (
        dask.config.set({"distributed.nanny.environ": environment}),
        LocalCluster(
            n_workers=sweep["jobs"],
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
        Client(cluster),
    ):
        nodes = [dask.delayed(work.run)(folder, i) for i in range(len(sweep["trials"]))]
        work.answer(folder, dask.compute(*nodes))
