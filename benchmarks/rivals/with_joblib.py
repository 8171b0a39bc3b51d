"""joblib's processes, which live as long as the sweep."""

import sys

import joblib
import work

if __name__ == "__main__":
    folder = sys.argv[1]
    sweep = work.sweep(folder)
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        tasks = (joblib.delayed(work.run)(folder, i) for i in range(len(sweep["trials"])))
        work.answer(folder, joblib.Parallel(n_jobs=sweep["jobs"])(tasks))
