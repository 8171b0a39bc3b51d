"""The rivals' work with dasktune's own recipe, which can train many trials as one step."""

import os
import sys

import dasktune as dt

sys.path.insert(0, os.path.dirname(__file__))
import work
from dasktune_loop import preprocess, space


def model(config, data):
    return work.model()


train = dt.TorchRecipe(model, epochs=30, batch_size=work.BATCH, optimizer="adamw")
pipeline = dt.Pipeline(space, preprocess, train, objective="max val_accuracy")
