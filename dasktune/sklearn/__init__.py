"""A train recipe for scikit-learn: any estimator, any scorer, folds as an axis of the sweep.

Nothing here is imported until it is used.
"""
