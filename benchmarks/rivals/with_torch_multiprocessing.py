"""A pool of `torch.multiprocessing`: forked after torch is imported, so that none imports again."""

import functools
import sys

import torch.multiprocessing
import work

if __name__ == "__main__":
    folder = sys.argv[1]
    sweep = work.sweep(folder)
    work.data(folder)
    with torch.multiprocessing.get_context("fork").Pool(sweep["jobs"]) as pool:
        one = functools.partial(work.run, folder)
        work.answer(folder, pool.map(one, range(len(sweep["trials"])), chunksize=1))
