"""Voices by source and filter: a glottal sawtooth and breath, shaped by the formants of a vocal
tract.

The tract follows Klatt (1980), a cascade of five resonators that move from phone to phone
(``phones.csv``). ``voice.csv`` has what emotions do to pitch, tempo, loudness and timbre.
"""

import numpy as np
from scipy.ndimage import convolve1d
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from kdsuite.demo.people import Recording, table, traits

RATE = 48000  # samples a second of what is returned
TRACT_RATE = 16000  # five resonators describe a tract up to 8 kHz
STEPS = 100  # a second: shapes of the tract, and values of the amplitude envelope
SILENCE = 0.1  # of the whole length, before and after
HISS = butter(2, (3000, 7000), "band", fs=TRACT_RATE, output="sos")
BANDWIDTHS = np.array([70, 90, 140, 200, 250])  # Hz, of the formants
PHONES, PROSODY = table("phones"), table("voice")
STATEMENTS = {
    1: "_ _ k ih d z aa r _ t ao _ k ih n b aa ih dh uh d ao r _",  # kids are talking by the door
    2: "_ _ d ao g z aa r s ih _ t ih n b aa ih dh uh d ao r _",  # dogs are sitting by the door
}
MELODY = np.array([0, 2, 4, 4, 2, 2, 0, -1, 0])  # semitones, one note a vowel


def speak(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Say or sing the statement of a recording, with a short silence at both ends.

    Returns the sound, float32 ``(samples,)`` within -1 to 1 at ``RATE`` Hz, and its amplitude
    envelope, float32 ``(values,)`` within 0 to 1 at ``STEPS`` a second.
    """
    (actor, _), synthetic, rng = recording.spoken, recording.synthetic, recording.random(1)
    own = traits(actor, synthetic.seed, "voice")
    statement, prosody = recording.statement or rng.integers(1, 3), _prosody(recording)
    count, sung = round(duration(recording, rng) * STEPS), recording.sung
    phones = _phones(STATEMENTS[statement].split(), count, sung)
    pitch = own["pitch"] * 2 ** (_semitones(prosody, phones.syllable, sung, rng) / 12)
    shake = np.maximum(1 + 0.25 * prosody.tremor * _wave(8, count, rng), 0.1)
    source = _sawtooth(_samples(pitch) / TRACT_RATE, prosody.brightness + own["brightness"])
    source += (prosody.breath + own["breath"]) * rng.standard_normal(len(source))
    source *= _samples(_smooth(phones.voicing * shake, 3))
    formants = _smooth(phones.loc[:, "f1":"f5"], 5) * own["tract"] * prosody.smile
    friction = rng.standard_normal(len(source)) * _samples(_smooth(phones.friction, 3))
    sound = _resonate(source, formants) + 0.3 * sosfilt(HISS, friction)
    sound = resample_poly(sound, RATE // TRACT_RATE, 1)
    loudness = 0.25 * 10 ** ((prosody.loudness + rng.normal(0, 1)) / 20)
    sound *= min(loudness / _rms(sound), 0.95 / np.abs(sound).max())
    envelope = _smooth(_rms(sound.reshape(count, -1)), 7)
    # a room is not quite silent
    room = (3e-4 + synthetic.noise * _rms(sound)) * rng.standard_normal(len(sound))
    sound = np.clip(sound + room, -1, 1)
    return sound.astype(np.float32), (envelope / envelope.max()).astype(np.float32)


def duration(recording: Recording, rng: np.random.Generator) -> float:
    """Return how many seconds :func:`speak` speaks, by a generator in the same state."""
    stretch = _prosody(recording).stretch * rng.uniform(0.95, 1.05)
    return round(recording.synthetic.seconds * stretch * STEPS) / STEPS


def _prosody(recording):
    change = PROSODY[recording.spoken[1]] - PROSODY.neutral
    return PROSODY.neutral + recording.intensity * change


def _phones(names, count, sung):
    """Return the row of PHONES at each of ``count`` steps, with the number of its ``syllable``."""
    phones = PHONES.loc[names]
    vowel = phones.vowel
    durations = np.array(phones.duration * (1 + 1.5 * sung * vowel))[1:-1]
    durations[-2:] *= 1.4  # the last syllable is drawn out
    ends = SILENCE + (1 - 2 * SILENCE) * np.cumsum(durations) / durations.sum()
    time = (np.arange(count) + 0.5) / count
    # a consonant belongs to the vowel behind it
    syllable = (vowel.cumsum() - vowel).clip(upper=vowel.sum() - 1)
    place = (time >= SILENCE) + np.searchsorted(ends, time)
    return phones.assign(syllable=syllable).iloc[place]


def _semitones(prosody, syllable, sung, rng):
    """Return the pitch at each step, in semitones above the speaker's own."""
    count, points = len(syllable), prosody["contour_1":"contour_5"]
    contour = np.interp(
        np.arange(count) / count, np.linspace(SILENCE, 1 - SILENCE, len(points)), points
    )
    line = _smooth(contour + prosody.accent * (syllable % 2), 13)
    if sung:
        # a song keeps its notes: the emotion bends them less, and they swing
        line = 0.4 * line + _smooth(MELODY[syllable], 5) + 0.5 * _wave(5.5, count, rng)
    line += prosody.tremor * _wave(8, count, rng) + prosody.roughness * rng.standard_normal(count)
    return prosody.pitch + rng.normal(0, 0.5) + line


def _wave(hertz, count, rng):
    return np.sin(2 * np.pi * (hertz * np.arange(count) / STEPS + rng.uniform()))


def _smooth(track, width):
    window = np.hanning(width + 2)[1:-1]
    return convolve1d(np.asarray(track, float), window / window.sum(), 0, mode="nearest")


def _samples(track):
    """Return a track of one value a step as one value a sample."""
    times = np.arange(len(track) * TRACT_RATE // STEPS) * STEPS / TRACT_RATE
    return np.interp(times, np.arange(len(track)) + 0.5, track)


def _rms(sound):
    return np.sqrt(np.mean(sound**2, axis=-1))


def _sawtooth(step, brightness):
    """Return the glottal flow's derivative, a sawtooth without aliases of ``step`` periods a
    sample, made dull."""
    phase = np.cumsum(step) % 1
    # polynomial correction of the two samples around each jump (Valimaki & Huovilainen 2007)
    jump = np.maximum(1 + (phase - 1) / step, 0) ** 2 - np.maximum(1 - phase / step, 0) ** 2
    decay = np.exp(-2 * np.pi * 1000 * 2**brightness / TRACT_RATE)
    return lfilter([1 - decay], [1, -decay], 2 * phase - 1 - jump)


def _resonate(source, formants):
    """Pass the source, in place, through a cascade of resonators at ``formants`` Hz ``(steps,
    resonators)``."""
    radius = np.exp(-np.pi * BANDWIDTHS / TRACT_RATE)
    b, c = 2 * radius * np.cos(2 * np.pi * formants / TRACT_RATE), -(radius**2)
    sections = np.stack(np.broadcast_arrays(1 - b - c, 0, 0, 1, -b, -c), axis=-1)
    state = np.zeros((len(BANDWIDTHS), 2))
    for section, part in zip(sections, source.reshape(len(formants), -1)):
        part[:], state = sosfilt(section, part, zi=state)
    return source
