"""Trackers: every trial as a run of TensorBoard or MLflow, live or after the fact; a file each."""
