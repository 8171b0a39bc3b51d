"""CUDA graphs: what a step launches, recorded once and launched again at once.

A step of small models is bound by its launches. Replaying them keeps Python out of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

_WARMUPS = 3  # runs before the recording, in which libraries choose their kernels

Step = Callable[[torch.Tensor, Mapping[str, torch.Tensor]], torch.Tensor]


class Recorder:
    """Runs a step by graphs, one for each shape of its batch; as it is where that cannot be.

    Parameters
    ----------
    step : callable
        ``step(chosen, scalars)`` gives a tensor. What it changes it must change in place.
    snapshot : callable
        Copies all that a step changes, and gives what goes back to it.

    Attributes
    ----------
    obstacle : str
        Why steps run as they are; empty while they are replayed.
    """

    def __init__(self, step: Step, snapshot: Callable[[], Callable[[], None]]) -> None:
        self._step = step
        self._snapshot = snapshot
        self._replays: dict[torch.Size, _Replay] = {}
        self.obstacle = ""

    def __call__(self, chosen: torch.Tensor, scalars: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Take a step.

        Parameters
        ----------
        chosen : torch.Tensor
            The samples of each lane's batch.
        scalars : mapping of str to torch.Tensor
            What changes from step to step.

        Returns
        -------
        torch.Tensor
            What the step gives; overwritten by the next one.
        """
        if not self.obstacle and chosen.shape not in self._replays:
            restore = self._snapshot()
            try:
                self._replays[chosen.shape] = _Replay(self._step, chosen, scalars)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                text = (str(error).strip().splitlines() or [""])[0]
                self.obstacle = f"no CUDA graph can be recorded ({type(error).__name__}: {text})"
            finally:
                restore()  # the warm-up took steps
        if self.obstacle:
            return self._step(chosen, scalars)
        return self._replays[chosen.shape](chosen, scalars)


class _Replay:
    """One recorded graph, and the tensors that it reads."""

    def __init__(
        self, step: Step, chosen: torch.Tensor, scalars: Mapping[str, torch.Tensor]
    ) -> None:
        self._chosen = chosen.clone()
        self._scalars = {name: tensor.clone() for name, tensor in scalars.items()}
        self._replay = record(lambda: step(self._chosen, self._scalars))

    def __call__(self, chosen: torch.Tensor, scalars: Mapping[str, torch.Tensor]) -> torch.Tensor:
        self._chosen.copy_(chosen)
        for name, tensor in scalars.items():
            self._scalars[name].copy_(tensor)
        return self._replay()


def record(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """Record what a function launches on the device.

    Parameters
    ----------
    run : callable
        Launches the same work on the same tensors whenever it is called.

    Returns
    -------
    callable
        Launches it again, and gives the same tensor with new content.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARMUPS):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> torch.Tensor:
        graph.replay()
        return output

    return replay
