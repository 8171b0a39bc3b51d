"""The data: the preprocessed splits, as a train function sees them."""

from dasktune.data.opening import open_data
from dasktune.data.splits import Data
from dasktune.data.staging import Staging

__all__ = ["Data", "Staging", "open_data"]
