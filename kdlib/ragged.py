"""Rows of different length in one tensor, on the device where it has room for them: how a store's sound and frames are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

# share of a device's free memory that one kind of arrays may take; networks and batches need the rest
ROOM = 0.4


def free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; the CPU's arrays lie on disk and need none."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


@dataclass(frozen=True)
class Ragged:
    """Rows of different length in one tensor.

    ``values`` is ``(total, …)``; row ``i`` is ``values[starts[i] : starts[i] + lengths[i]]``. ``starts`` and ``lengths`` are on the
    device where work is done; ``values`` too where it has room for them, and else they stay with the CPU and are not ``resident``.
    """

    values: torch.Tensor
    starts: torch.Tensor
    lengths: torch.Tensor
    resident: bool = True

    @classmethod
    def of(cls, values: torch.Tensor, lengths: torch.Tensor) -> Ragged:
        """Lay out ``values`` ``(total, …)`` as rows one behind the other, of ``lengths`` ``(rows,)`` that sum up to the total."""
        return cls(values, lengths.cumsum(0) - lengths, lengths)

    def to(self, device: torch.device) -> Ragged:
        """Return the same rows for work on ``device``."""
        fit = self.values.nbytes <= ROOM * free_memory(device)
        return Ragged(self.values.to(device) if fit else self.values, self.starts.to(device), self.lengths.to(device), fit)

    def take(self, items: torch.Tensor) -> torch.Tensor:
        """Return ``(*items.shape, …)``: items by their place in ``values``, on the device of ``items``, wherever the values are."""
        if self.resident:
            return self.values[items]
        # from pinned memory a GPU fetches by itself, while the CPU gathers what comes next
        held = torch.empty((items.numel(), *self.values.shape[1:]), dtype=self.values.dtype, pin_memory=items.is_cuda)
        torch.index_select(self.values, 0, items.flatten().cpu(), out=held)
        return held.unflatten(0, items.shape).to(items.device, non_blocking=True)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.values[self.starts[row] : self.starts[row] + self.lengths[row]]

    def windows(self, rows: torch.Tensor, first: torch.Tensor, length: int, step: int = 1) -> torch.Tensor:
        """Return ``length`` items of each of ``rows`` from ``first`` on, every ``step``-th: ``(rows, length, …)``.

        A row that ends too soon starts over, which is the paper's padding by repetition.
        """
        if self.resident and rows.device.type == "cpu":  # slices: an index for each sample would take longer than the samples
            return torch.stack([_window(self[row], begin, step * length)[::step] for row, begin in zip(rows.tolist(), first.tolist())])
        items = first[:, None] + step * torch.arange(length, device=rows.device)  # (rows, length)
        return self.take(self.starts[rows, None] + items % self.lengths[rows, None])


def _window(row: torch.Tensor, first: int, length: int) -> torch.Tensor:
    """Return ``length`` items of one row from ``first`` on; a row that ends too soon starts over."""
    times = -(-(first + length) // len(row))
    return (row if times == 1 else torch.cat([row] * times))[first : first + length]
