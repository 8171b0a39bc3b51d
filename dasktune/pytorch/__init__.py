"""The recipe for PyTorch: a training loop, and many trials as one vmapped step.

``recipe`` is what a user writes; ``loop`` trains one trial; ``fused`` trains many in lockstep,
``together`` says who comes and who leaves, and ``calibration`` how many pay.
"""
