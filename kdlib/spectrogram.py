"""The audio front end: from waveform to normalised spectrogram and its segments, on the waveform's
device."""

import torch
import torchaudio.functional as F
from torch import Tensor, nn

from kdlib.device import autocast
from kdlib.parameters import Media

# below this a magnitude counts as silence, which keeps the logarithm finite
FLOOR = 1e-5


class Spectrogram(nn.Module):
    """The first layer of a student: logarithmic STFT magnitude (257 bins for 512 points) or log-mel
    energies, normalised for each recording; ``sequential``, it is cut into segments.

    Windows of 25 ms every 10 ms (paper, section 4.1; the step is read from the authors' public
    code), Hamming.
    """

    def __init__(self, media: Media, sequential: bool = False):
        super().__init__()
        self.fft, self.hop = media.fft, round(media.hop * media.sample_rate)
        self.over = (-2, -1) if media.normalise == "utterance" else (-1,)
        self.segment = media.samples_per_segment if sequential else None
        # constants, so that a file of weights holds nothing but weights
        rate, bins = media.sample_rate, media.fft // 2 + 1
        # on the CPU also where the weights are on the meta device, to be loaded later
        with torch.device("cpu"):
            window = torch.hamming_window(round(media.window * rate))
            bands = None
            if media.front_end == "logmel":
                bands = F.melscale_fbanks(bins, 0.0, rate // 2, media.bins, rate)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", bands, persistent=False)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, 1, bins, samples // hop)`` of ``waveform`` ``(batch, samples)`` in -1 to
        1, or ``(batch, segments, 1, bins, columns)`` of whole segments."""
        with autocast(waveform.device):  # a logarithm needs float32
            power, size = 1.0 if self.bands is None else 2.0, len(self.window)
            magnitude = F.spectrogram(
                waveform, 0, self.window, self.fft, self.hop, size, power, False
            )
            if self.bands is not None:
                magnitude = (magnitude.transpose(-1, -2) @ self.bands).transpose(-1, -2)
            # windows are centred on multiples of the hop; without the one centred behind the end, a
            # second has 100
            columns = waveform.shape[-1] // self.hop
            logarithm = (magnitude[..., :columns] + FLOOR).log()
            variance, mean = torch.var_mean(logarithm, dim=self.over, keepdim=True, correction=0)
            spectrogram = ((logarithm - mean) / (variance + 1e-6).sqrt())[:, None]
        if self.segment is None:
            return spectrogram
        segments, width = waveform.shape[-1] // self.segment, self.segment // self.hop
        column = torch.arange(segments * width, device=waveform.device)
        # where a segment is no whole number of columns, each begins in the one that holds its start
        column = column // width * self.segment // self.hop + column % width
        cut = spectrogram[..., column].unflatten(-1, (segments, width))
        return cut.permute(0, 3, 1, 2, 4)  # (batch, segments, 1, bins, width)
