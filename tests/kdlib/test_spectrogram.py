"""The front end against scipy and against its own promises."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from kdlib.parameters import Media
from kdlib.spectrogram import FLOOR, Spectrogram


@pytest.fixture
def waveform():
    return torch.from_numpy(
        np.random.default_rng(0).normal(size=(3, 16000 * 2)).astype(np.float32)
    ) * torch.tensor([[0.01], [0.1], [0.3]])


def test_stft_is_scipys(waveform):
    ours = Spectrogram(Media())(waveform)
    window = np.pad(
        scipy.signal.get_window("hamming", 400), 56
    )  # torch centres the 25 ms window in the 512 points
    padded = np.pad(waveform.numpy().astype(np.float64), ((0, 0), (256, 256)), mode="reflect")
    _, _, theirs = scipy.signal.stft(
        padded, nperseg=512, noverlap=512 - 160, window=window, boundary=None, padded=False
    )
    logarithm = np.log(np.abs(theirs[..., :200]) * window.sum() + FLOOR)
    expected = (logarithm - logarithm.mean((1, 2), keepdims=True)) / logarithm.std(
        (1, 2), keepdims=True
    )
    np.testing.assert_allclose(ours[:, 0].numpy(), expected, atol=2e-3)


def test_paper_sizes(waveform):
    assert Spectrogram(Media())(waveform).shape == (
        3,
        1,
        257,
        200,
    )  # 25 ms, 10 ms: 100 columns a second
    assert Spectrogram(Media(front_end="logmel", bins=40))(waveform).shape == (3, 1, 40, 200)


@pytest.mark.parametrize("front_end", ["stft", "logmel"])
@pytest.mark.parametrize("normalise,over", [("utterance", (1, 2, 3)), ("bin", (3,))])
def test_each_recording_is_normalised_alone(waveform, front_end, normalise, over):
    front = Spectrogram(Media(front_end=front_end, normalise=normalise))
    heard = front(waveform)
    torch.testing.assert_close(
        heard.mean(over), torch.zeros_like(heard.mean(over)), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        heard.std(over, correction=0), torch.ones_like(heard.mean(over)), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(front(waveform[1:2]), heard[1:2])


@pytest.mark.parametrize("hop", [0.01, 0.011, 0.06])
@pytest.mark.parametrize("at", [3.3, 17.3, 29.7])
def test_each_segment_has_the_sound_of_its_own_time(hop, at):
    """Also where the hop does not divide the segment, to the end of a long recording."""
    media = Media(segment=0.4, hop=hop, window=0.025)
    waveform = torch.zeros(1, 16000 * 30)
    waveform[:, round(at * 16000) : round((at + 0.08) * 16000)] = 1
    segments = Spectrogram(media, True)(waveform)
    assert segments.shape[:2] == (1, 75)
    loudest = segments.amax(dim=(2, 3, 4)).argmax().item()
    assert loudest == int(at / 0.4)


def test_silence_stays_finite():
    assert torch.isfinite(Spectrogram(Media())(torch.zeros(1, 8000))).all()


def test_segments_are_cut_in_order(waveform):
    """A hop of 11 ms gives 1.8 s of sound 163 columns: three segments of 54, which begin in columns
    0, 54.5 and 109.1."""
    media = Media(segment=0.6, hop=0.011)
    x, whole = waveform[:, :28800], Spectrogram(media)(waveform[:, :28800])
    segments = Spectrogram(media, True)(x)
    assert whole.shape[-1] == 163 and segments.shape == (3, 3, 1, 257, 54)
    torch.testing.assert_close(segments[1, 2], whole[1, :, :, 109:163])
    torch.testing.assert_close(segments[1, 1], whole[1, :, :, 54:108])
    assert torch.equal(Spectrogram(media, False)(x), whole)
