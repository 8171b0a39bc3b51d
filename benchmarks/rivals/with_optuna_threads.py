"""Optuna's threads, trials in memory."""

import sys

import optuna
import work

folder = sys.argv[1]
sweep = work.sweep(folder)
count = len(sweep["trials"])
work.data(folder)
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(direction="maximize")
for index in range(count):
    study.enqueue_trial({"index": index})
study.optimize(
    lambda trial: work.run(folder, trial.suggest_int("index", 0, count - 1)),
    n_trials=count,
    n_jobs=sweep["jobs"],
)
found = {trial.params["index"]: trial.value for trial in study.trials}
work.answer(folder, [found[index] for index in range(count)])
