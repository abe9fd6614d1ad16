"""A training step recorded as CUDA graphs: one launch in place of some thousand (NVIDIA's and
torch's "CUDA graphs")."""

from collections import Counter
from itertools import chain

import torch

# steps of a kind before it is recorded, in which cuBLAS, cuDNN and Adam allocate what they keep
WARM_UP = 3


class StepGraphs:
    """Calls ``step(first, batch)``, and replays it as a graph after some calls of each kind.

    A kind is ``first`` and the shapes of the batch's tensors: an epoch has three at most. Warming
    up and replaying are steps of the training; recording computes nothing. The step must read and
    write static tensors, and read none back. No reference to it is stored, for its owner may hold
    the graphs.
    """

    def __init__(self):
        self.side, self.calls, self.pool = torch.cuda.Stream(), Counter(), None
        self.graphs = {}  # of each kind the graph, and the tensors that it reads

    def __call__(self, step, first, batch):
        """Do one step; ``batch`` is a list of tuples of tensors."""
        kind = first, *(tensor.shape for part in batch for tensor in part)
        if self.calls[kind] < WARM_UP:
            self.calls[kind] += 1
            work = torch.cuda.current_stream()
            self.side.wait_stream(work)
            with torch.cuda.stream(self.side):
                step(first, batch)
            return work.wait_stream(self.side)
        if kind not in self.graphs:
            graph = torch.cuda.CUDAGraph()
            static = [tuple(tensor.clone() for tensor in part) for part in batch]
            # thread_local: the thread that loads a streamed teacher's frames may allocate meanwhile
            with torch.cuda.graph(graph, self.pool, self.side, "thread_local"):
                step(first, static)
            self.graphs[kind], self.pool = (graph, static), graph.pool()
        graph, static = self.graphs[kind]
        for target, source in zip(chain(*static), chain(*batch)):
            target.copy_(source)
        graph.replay()
