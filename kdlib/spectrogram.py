"""The audio front end: from waveform to normalised spectrogram and its segments, on whatever device the waveform lies."""

from __future__ import annotations

import torch
import torchaudio.transforms as T
from torch import nn

from kdlib.parameters import Media
from kdlib.settings import Settings

# below this a magnitude counts as silence, which keeps the logarithm finite
FLOOR = 1e-5


class Spectrogram(nn.Module):
    """Logarithmic STFT magnitude (257 bins for 512 points) or log-mel energies, normalised for each recording.

    Windows of 25 ms every 10 ms (paper, section 4.1; the step is read from the authors' public code), Hamming.
    """

    def __init__(self, media: Media) -> None:
        super().__init__()
        self.hop = round(media.hop * media.sample_rate)
        self.over = (-2, -1) if media.normalise == "utterance" else (-1,)
        sizes = {
            "n_fft": media.fft,
            "win_length": round(media.window * media.sample_rate),
            "hop_length": self.hop,
            "window_fn": torch.hamming_window,
        }
        if media.front_end == "stft":
            self.transform: nn.Module = T.Spectrogram(power=1.0, **sizes)
        else:
            self.transform = T.MelSpectrogram(media.sample_rate, power=2.0, n_mels=media.bins, **sizes)

    @torch.no_grad()
    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return ``(batch, 1, bins, samples // hop)`` of ``waveform`` ``(batch, samples)`` in -1 to 1."""
        # windows are centred on multiples of the hop; the one centred behind the end is left out, so that a second has 100
        columns = waveform.shape[-1] // self.hop
        logarithm = (self.transform(waveform)[..., :columns] + FLOOR).log()
        variance, mean = torch.var_mean(logarithm, dim=self.over, keepdim=True, correction=0)
        return ((logarithm - mean) / (variance + 1e-6).sqrt())[:, None]


class FrontEnd(nn.Module):
    """What a run's network takes of sound: one spectrogram a recording or, in the sequential settings, one a segment."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.sequential, self.spectrogram = settings.sequential, Spectrogram(settings.media)

    def forward(self, waveform: torch.Tensor, segments: int) -> torch.Tensor:
        """Return ``(batch, [segments,] 1, bins, columns)`` of ``waveform`` ``(batch, samples)``, which lasts whole ``segments``."""
        heard = self.spectrogram(waveform)
        return cut_segments(heard, segments) if self.sequential else heard


def cut_segments(spectrogram: torch.Tensor, segments: int) -> torch.Tensor:
    """Cut ``(batch, 1, bins, columns)`` along time into ``(batch, segments, 1, bins, columns // segments)``."""
    width = spectrogram.shape[-1] // segments
    return spectrogram[..., : width * segments].unflatten(-1, (segments, width)).permute(0, 3, 1, 2, 4)
