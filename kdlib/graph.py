"""A training step recorded as CUDA graphs: one launch in place of some thousand (NVIDIA's and
torch's "CUDA graphs")."""

from collections import Counter
from collections.abc import Callable
from itertools import chain

import torch

# steps of a kind before it is recorded, in which cuBLAS, cuDNN and Adam allocate what they keep
WARM_UP = 3


class StepGraphs:
    """Calls ``step(first, batch)``, and replays it as a graph after some calls of each kind.

    A kind is ``first`` and the shapes of the batch's tensors: an epoch has three at most. Warming
    up and replaying are steps of the training; recording computes nothing. The step must read and
    write tensors that stay, and read none back.
    """

    def __init__(self, step: Callable[..., None]):
        self.step, self.calls, self.pool = step, Counter(), None
        self.graphs = {}  # of each kind the graph, and the tensors that it reads

    def __call__(self, first, batch):
        """Do one step; ``batch`` is a list of tuples of tensors."""
        kind = first, *(tensor.shape for part in batch for tensor in part)
        if self.calls[kind] < WARM_UP:
            self.calls[kind] += 1
            work, side = torch.cuda.current_stream(), torch.cuda.Stream()
            side.wait_stream(work)
            with torch.cuda.stream(side):
                self.step(first, batch)
            return work.wait_stream(side)
        if kind not in self.graphs:
            graph = torch.cuda.CUDAGraph()
            static = [tuple(tensor.clone() for tensor in part) for part in batch]
            # thread_local: the thread that loads a streamed teacher's frames may allocate meanwhile
            with torch.cuda.graph(graph, self.pool, capture_error_mode="thread_local"):
                self.step(first, static)
            self.graphs[kind], self.pool = (graph, static), graph.pool()
        graph, static = self.graphs[kind]
        for target, source in zip(chain(*static), chain(*batch)):
            target.copy_(source)
        graph.replay()
