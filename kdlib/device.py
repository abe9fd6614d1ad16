"""What a training asks of its device: arithmetic, repeatable kernels, and the layout of
convolutions."""

import os
from contextlib import nullcontext

import torch
from torch import nn

from kdlib.parameters import Training


def precision(training: Training, device: torch.device) -> str:
    """Return the arithmetic of forward passes: ``auto`` is bf16 on a GPU, float32 on a CPU."""
    if training.precision != "auto":
        return training.precision
    return "bf16" if device.type == "cuda" else "float32"


def autocast(device: torch.device, training: Training | None = None):
    """Return the context of forward passes: bf16 where it is the arithmetic of ``training``,
    float32 else."""
    bf16 = training and precision(training, device) == "bf16"
    known = torch.amp.is_autocast_available(device.type)  # not of the meta device
    return torch.autocast(device.type, torch.bfloat16, bool(bf16)) if known else nullcontext()


def configure(training: Training, device: torch.device):
    """Set torch's switches, which hold for the process: the current GPU, TF32 in float32's place,
    and deterministic kernels."""
    # not by fp32_precision: torch.export asks for allow_tf32, and both together are an error
    tf32 = precision(training, device) == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    if device.type == "cuda":
        # what names no device, such as a graph's capture, uses the current one
        torch.cuda.set_device(device)
        # cuBLAS reads it when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(training.deterministic, warn_only=True)


def place(network: nn.Module, device: torch.device):
    """Move a network to a device; on a GPU its convolutions lie channels-last, which halves their
    time (H100)."""
    # torch 2.11 on a CPU corrupts memory in the backward pass of narrow channels-last convolutions
    layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
    return network.to(device, memory_format=layout)
