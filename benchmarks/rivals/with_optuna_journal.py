"""Optuna's processes over a journal: each trial is kept in a file."""

import multiprocessing
import sys

import optuna
import work
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


def storage(folder: str) -> JournalStorage:
    """Open the journal."""
    return JournalStorage(JournalFileBackend(f"{folder}/journal.log"))


def worker(folder: str, trials: int, count: int) -> None:
    """Take so many trials from the journal."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="rivals", storage=storage(folder))
    study.optimize(
        lambda trial: work.run(folder, trial.suggest_int("index", 0, count - 1)), n_trials=trials
    )


if __name__ == "__main__":
    folder = sys.argv[1]
    sweep = work.sweep(folder)
    count, jobs = len(sweep["trials"]), sweep["jobs"]
    work.data(folder)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="rivals", storage=storage(folder), direction="maximize")
    for index in range(count):
        study.enqueue_trial({"index": index})
    context = multiprocessing.get_context("fork")
    shares = [(count + turn) // jobs for turn in range(jobs)]
    workers = [context.Process(target=worker, args=(folder, n, count)) for n in shares]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    found = {trial.params["index"]: trial.value for trial in study.trials}
    work.answer(folder, [found[index] for index in range(count)])
