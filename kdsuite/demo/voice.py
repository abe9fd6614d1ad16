"""Voices by source and filter: a glottal sawtooth and breath, shaped by the resonances of a vocal
tract.

The tract follows Klatt (1980), a cascade of five resonators that move from phone to phone. What
emotion does to pitch, tempo, loudness and timbre follows the tables of Murray & Arnott (1993) and
Juslin & Laukka (2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, lfilter, resample_poly, sosfilt

RATE = 48000  # samples a second of what is returned
ENVELOPE_RATE = 100  # values a second of the amplitude envelope
TRACT_RATE = 16000  # five resonators describe a tract up to 8 kHz
STEP = 160  # samples between two shapes of the tract, 10 ms
HOP = RATE // ENVELOPE_RATE
SILENCE = 0.1  # of the whole length, before and after
HISS = butter(2, (3000, 7000), "band", fs=TRACT_RATE, output="sos")
# the three lower resonances come from the phones
HIGHER = (3500, 4500)
BANDWIDTHS = np.array([70, 90, 140, 200, 250])  # Hz

# resonances in Hz, voicing, friction, relative duration
PHONES = {
    "aa": (730, 1100, 2450, 1.0, 0.0, 1.5),
    "ao": (570, 850, 2400, 1.0, 0.0, 1.6),
    "ih": (380, 2050, 2600, 0.9, 0.0, 1.2),
    "uh": (520, 1400, 2450, 0.9, 0.0, 0.9),
    "n": (280, 1600, 2500, 0.45, 0.0, 0.8),
    "r": (430, 1250, 1650, 0.7, 0.0, 0.8),
    "b": (220, 800, 2200, 0.15, 0.0, 0.5),
    "d": (220, 1700, 2600, 0.15, 0.0, 0.5),
    "g": (220, 2000, 2400, 0.15, 0.0, 0.5),
    "dh": (300, 1350, 2500, 0.35, 0.05, 0.5),
    "z": (280, 1700, 2500, 0.3, 0.35, 0.7),
    "s": (300, 1700, 2500, 0.0, 0.6, 1.0),
    "t": (300, 1700, 2600, 0.0, 0.5, 0.3),
    "k": (300, 1900, 2400, 0.0, 0.4, 0.3),
    "_": (300, 1500, 2500, 0.0, 0.0, 0.5),  # closure before a plosive
}
VOWELS = {"aa", "ao", "ih", "uh"}
STATEMENTS = {
    1: "_ k ih d z aa r _ t ao _ k ih n b aa ih dh uh d ao r".split(),  # kids are talking by the door
    2: "_ d ao g z aa r s ih _ t ih n b aa ih dh uh d ao r".split(),  # dogs are sitting by the door
}
MELODY = np.array([0, 2, 4, 4, 2, 2, 0, -1, 0])  # semitones, one note a vowel


class Prosody(NamedTuple):
    """What an emotion does to a voice."""

    level: float  # semitones above the speaker's own pitch
    contour: tuple[float, ...]  # semitones, five points from begin to end
    accent: float  # semitones by which every other vowel sticks out
    stretch: float  # duration relative to the mean over emotions
    loudness: float  # dB
    brightness: float  # octaves of the source's cut-off above 1 kHz
    breath: float  # noise relative to voicing
    tremor: float  # semitones, 8 times a second
    roughness: float  # semitones from one period to the next
    smile: float  # resonances relative to the relaxed lips


PROSODY = {
    "neutral": Prosody(0, (0.5, 0.3, 0, -0.3, -1), 0.5, 1.0, -9, 0.2, 0.02, 0, 0.1, 1.0),
    "calm": Prosody(-2, (0, 0.5, 0, -0.5, -1), 0.3, 1.16, -14, -1.3, 0.06, 0, 0.05, 0.98),
    "happy": Prosody(5, (0, 2, 0, 2, 1), 4, 0.92, -5, 1.2, 0.03, 0, 0.1, 1.08),
    "sad": Prosody(-1.5, (2.5, 1, -0.5, -2, -4), 0.3, 1.24, -17, -2.0, 0.1, 0.3, 0.1, 0.95),
    "angry": Prosody(3, (3, 2, 1, -1, -4), 3, 0.86, -1, 2.4, 0.02, 0, 1.0, 1.0),
    "fearful": Prosody(8, (-1, 0, 0.5, 1, 2), 0.8, 0.86, -9, 0.4, 0.2, 1.3, 0.2, 1.03),
    "disgust": Prosody(-3, (2, 3, 0, -2, -3), 2, 1.1, -8, 0.6, 0.05, 0, 1.6, 0.88),
    "surprised": Prosody(5, (-3, -2, 0, 5, 9), 2, 0.86, -5, 0.9, 0.06, 0, 0.1, 1.0),
}


@dataclass(frozen=True)
class Voice:
    """A speaker: pitch in Hz, resonances relative to a long tract, breath, roughness, brightness as
    in Prosody."""

    pitch: float
    tract: float
    breath: float
    roughness: float
    brightness: float

    @classmethod
    def of(cls, actor: int, seed: int = 0) -> Voice:
        """Return the voice of an actor; odd numbers are male, as in RAVDESS."""
        rng = np.random.default_rng([seed, actor, 1])
        pitch, tract = ((95, 130), (0.96, 1.04)) if actor % 2 else ((180, 230), (1.12, 1.2))
        return cls(
            *(rng.uniform(*span) for span in (pitch, tract, (0, 0.04), (0, 0.15), (-0.3, 0.3)))
        )


def speak(
    voice: Voice,
    emotion: str,
    seconds: float,
    rng: np.random.Generator,
    statement: int = 1,
    intensity: float = 1.0,
    sung: bool = False,
    noise: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Say or sing a statement; ``seconds`` is the mean length over emotions, with a short silence
    at both ends.

    ``intensity`` above 1 exaggerates the emotion. ``noise`` is the root mean square of white noise
    up to ``RATE`` / 2, relative to that of the whole sound. Returns the sound, float32
    ``(samples,)`` within -1 to 1 at ``RATE`` Hz, and the amplitude envelope for the mouth, float32
    ``(values,)`` within 0 to 1 at ``ENVELOPE_RATE`` Hz.
    """
    prosody = _between(PROSODY["neutral"], PROSODY[emotion], intensity)
    count = _steps(prosody, seconds, rng)
    phones, syllable = _phones(STATEMENTS[statement], count, sung)
    *resonances, voicing, friction, _ = phones.T
    pitch = voice.pitch * 2 ** (_semitones(prosody, syllable, sung, rng) / 12)
    shake = np.clip(1 + 0.25 * prosody.tremor * _wave(8, count, rng), 0.1, None)
    source = _source(_samples(pitch), voice, prosody, rng) * _samples(_smooth(voicing * shake, 3))
    tract = np.array(
        [_smooth(resonance, 5) for resonance in resonances]
        + [np.full(count, hertz) for hertz in HIGHER]
    )
    hiss = rng.standard_normal(len(source)) * _samples(_smooth(friction, 3))
    sound = _resonate(source, tract * voice.tract * prosody.smile) + 0.3 * sosfilt(HISS, hiss)
    return _recorded(sound, prosody.loudness + rng.normal(0, 1), rng, noise)


def duration(
    emotion: str, seconds: float, rng: np.random.Generator, intensity: float = 1.0
) -> float:
    """Return how many seconds :func:`speak` would speak with these parameters and a generator in
    this state."""
    return (
        _steps(_between(PROSODY["neutral"], PROSODY[emotion], intensity), seconds, rng)
        * STEP
        / TRACT_RATE
    )


def _steps(prosody: Prosody, seconds: float, rng: np.random.Generator) -> int:
    return round(seconds * prosody.stretch * rng.uniform(0.95, 1.05) * TRACT_RATE / STEP)


def _between(rest: tuple, value: tuple, amount: float) -> Prosody:
    """Return the prosody ``amount`` of the way from one to another, beyond it above 1."""
    mixed = [np.add(a, amount * np.subtract(b, a)) for a, b in zip(rest, value)]
    return Prosody(*mixed)


def _phones(names: list[str], count: int, sung: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of PHONES at each of ``count`` steps, and the number of its syllable from 0."""
    vowel = np.array([name in VOWELS for name in names])
    durations = np.array([PHONES[name][-1] for name in names]) * np.where(vowel & sung, 2.5, 1)
    durations[-2:] *= 1.4  # the last syllable is drawn out
    ends = SILENCE + (1 - 2 * SILENCE) * np.cumsum(durations) / durations.sum()
    time = (np.arange(count) + 0.5) / count
    place = np.where(time < SILENCE, 0, 1 + np.searchsorted(ends, time))
    table = np.array([PHONES[name] for name in ("_", *names, "_")])
    # a consonant belongs to the vowel behind it
    syllables = np.concatenate([[0], np.cumsum(vowel) - vowel, [vowel.sum() - 1]]).clip(
        max=vowel.sum() - 1
    )
    return table[place], syllables[place]


def _semitones(
    prosody: Prosody, syllable: np.ndarray, sung: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return the pitch at each step, in semitones above the speaker's own."""
    count = len(syllable)
    progress = np.clip((np.arange(count) / count - SILENCE) / (1 - 2 * SILENCE), 0, 1)
    contour = np.interp(progress, np.linspace(0, 1, len(prosody.contour)), prosody.contour)
    line = _smooth(contour + prosody.accent * (syllable % 2), 13)
    if sung:
        # a song keeps its notes: the emotion bends them less, and they swing
        line = 0.4 * line + _smooth(MELODY[syllable], 5) + 0.5 * _wave(5.5, count, rng)
    shaking = prosody.tremor * _wave(8, count, rng) + prosody.roughness * rng.standard_normal(count)
    return prosody.level + rng.normal(0, 0.5) + line + shaking


def _wave(hertz: float, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * (hertz * np.arange(count) * STEP / TRACT_RATE + rng.uniform()))


def _smooth(track: np.ndarray, width: int) -> np.ndarray:
    window = np.hanning(width + 2)[1:-1]
    return np.convolve(np.pad(track, width // 2, "edge"), window / window.sum(), "valid")


def _samples(track: np.ndarray) -> np.ndarray:
    """Return a track of one value a step as one value a sample."""
    return np.interp(np.arange(len(track) * STEP) / STEP, np.arange(len(track)) + 0.5, track)


def _source(
    pitch: np.ndarray, voice: Voice, prosody: Prosody, rng: np.random.Generator
) -> np.ndarray:
    """Return the glottal flow's derivative: a sawtooth without aliases, made dull, plus breath."""
    step = pitch / TRACT_RATE
    phase = np.cumsum(step) % 1
    # polynomial correction of the two samples around each jump (Valimaki & Huovilainen 2007)
    behind, ahead = phase / step, (phase - 1) / step
    jump = np.where(behind < 1, 2 * behind - behind**2 - 1, 0) + np.where(
        ahead > -1, 2 * ahead + ahead**2 + 1, 0
    )
    decay = np.exp(-2 * np.pi * 1000 * 2 ** (prosody.brightness + voice.brightness) / TRACT_RATE)
    return lfilter([1 - decay], [1, -decay], 2 * phase - 1 - jump) + (
        prosody.breath + voice.breath
    ) * rng.standard_normal(len(phase))


def _resonate(source: np.ndarray, tract: np.ndarray) -> np.ndarray:
    """Pass the source through a cascade of resonators at ``tract`` Hz ``(resonators, steps)``."""
    radius = np.exp(-np.pi * BANDWIDTHS[:, None] / TRACT_RATE)
    b, c = 2 * radius * np.cos(2 * np.pi * tract / TRACT_RATE), -(radius**2) + 0 * tract
    zero, one = np.zeros_like(b), np.ones_like(b)
    sections = np.ascontiguousarray(
        np.stack([1 - b - c, zero, zero, one, -b, -c]).transpose(2, 1, 0)
    )  # (steps, resonators, 6)
    state, parts = np.zeros((len(tract), 2)), []
    for section, part in zip(sections, source.reshape(-1, STEP)):
        part, state = sosfilt(section, part, zi=state)
        parts.append(part)
    return np.concatenate(parts)


def _recorded(
    sound: np.ndarray, loudness: float, rng: np.random.Generator, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sound at its loudness in a room that is not quite silent, and its envelope."""
    sound = resample_poly(sound, RATE // TRACT_RATE, 1)
    sound *= min(
        0.25 * 10 ** (loudness / 20) / np.sqrt(np.mean(sound**2)), 0.95 / np.abs(sound).max()
    )
    parts = sound[: len(sound) // HOP * HOP].reshape(-1, HOP)
    envelope = _smooth(np.sqrt(np.mean(parts**2, axis=1)), 7)
    room = 3e-4 + noise * np.sqrt(np.mean(sound**2))
    sound = np.clip(sound + room * rng.standard_normal(len(sound)), -1, 1)
    return sound.astype(np.float32), (envelope / envelope.max()).astype(np.float32)


def amplitude(envelope: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the amplitude at ``times`` (seconds) of an envelope that :func:`speak` returned, in
    the shape of ``times``."""
    return np.interp(times, np.arange(len(envelope)) / ENVELOPE_RATE, envelope)
