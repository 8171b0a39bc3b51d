"""Ray Tune: a new actor a trial, or with ``reuse`` the same actors for all."""

import logging
import os
import sys

import work

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray import tune


def one(config: dict[str, object]) -> None:
    """Train one trial and report it."""
    tune.report({"accuracy": work.run(config["folder"], config["index"])})


if __name__ == "__main__":
    folder = sys.argv[1]
    sweep = work.sweep(folder)
    count = len(sweep["trials"])
    here = __file__.rpartition("/")[0]
    ray.init(
        num_cpus=sweep["jobs"],
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "PYTHONPATH": here}},
    )
    tuner = tune.Tuner(
        tune.with_resources(one, {"cpu": 1}),
        param_space={"folder": folder, "index": tune.grid_search(list(range(count)))},
        tune_config=tune.TuneConfig(reuse_actors="reuse" in sys.argv[2:]),
        run_config=tune.RunConfig(storage_path=f"{folder}/ray", verbose=0),
    )
    found = {r.config["index"]: r.metrics["accuracy"] for r in tuner.fit()}
    work.answer(folder, [found[index] for index in range(count)])
