"""The data: the preprocessed splits, as a train function sees them."""

from dasktune.data.opening import open_data
from dasktune.data.splits import Data

__all__ = ["Data", "open_data"]
