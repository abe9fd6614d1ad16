"""Decode one recording: frames by moviepy, sound by libsndfile where it can and else by moviepy."""

from __future__ import annotations

import warnings

import numpy as np

from kdlib.errors import UnreadableRecording
from kdlib.settings import Media

# formats that libsndfile reads; it is ten times faster than a process of ffmpeg
SOUND_FILES = (".wav", ".flac", ".ogg", ".mp3")
# a container may promise a frame or two more than it holds; moviepy then repeats the last one
MISSING_FRAMES = 3
# samples that moviepy reads at a time
SOUND_CHUNK = 400


def read_sound(path: str, media: Media) -> np.ndarray:
    """Return the sound of a file as mono float32 samples in -1 to 1 at ``media.sample_rate`` Hz.

    Raises UnreadableRecording for a damaged file, one without sound, or one shorter than an analysis window.
    """
    samples = _sound_file(path, media.sample_rate) if path.lower().endswith(SOUND_FILES) else _sound_track(path, media.sample_rate)
    if len(samples) < media.window * media.sample_rate:
        raise UnreadableRecording(
            f"{path} has {len(samples) / media.sample_rate:.3f} s of sound, less than one window of {media.window} s; remove it or record it again."
        )
    return samples


def _sound_file(path: str, sample_rate: int) -> np.ndarray:
    import soundfile
    import soxr

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UnreadableRecording(
            f"{path} cannot be read as sound ({error.error_string.rstrip('.')}); remove it or fetch it again."
        ) from None
    return soxr.resample(samples.mean(axis=1), rate, sample_rate).astype(np.float32)


def _sound_track(path: str, sample_rate: int) -> np.ndarray:
    from moviepy import AudioFileClip

    try:
        with AudioFileClip(path, fps=sample_rate) as clip:
            # to_soundarray is wrong in moviepy 2.2 where a chunk is longer than half the reader's buffer
            chunks = list(clip.iter_chunks(chunksize=SOUND_CHUNK, fps=sample_rate))
    except (OSError, KeyError, ValueError) as error:
        reason = "has no sound track" if "audio" in str(error).lower() or isinstance(error, KeyError) else "cannot be decoded"
        raise UnreadableRecording(f"{path} {reason}; remove it or fetch it again.") from None
    return np.concatenate(chunks).mean(axis=1).astype(np.float32)


def read_frames(path: str, media: Media) -> np.ndarray:
    """Return the frames of a video as uint8 RGB ``(frames, frame_size, frame_size, 3)`` at ``media.fps`` a second.

    The centred square of each frame, ``media.crop`` of its shorter side wide, is scaled to ``media.frame_size``.
    Raises UnreadableRecording for a damaged or cut-off file.
    """
    from moviepy import VideoFileClip

    side = round(media.frame_size / media.crop)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with VideoFileClip(path, audio=False, target_resolution=(None, side)) as clip:
                portrait = clip.w < clip.h
                frames = None if portrait else _centre(clip, media)
            if portrait:
                with VideoFileClip(path, audio=False, target_resolution=(side, None)) as clip:
                    frames = _centre(clip, media)
    except (OSError, KeyError):
        raise UnreadableRecording(f"{path} cannot be decoded as video; remove it or fetch it again.") from None
    missing = sum("bytes wanted but" in str(warning.message) for warning in caught)
    if missing > MISSING_FRAMES or not len(frames):
        raise UnreadableRecording(f"{path} breaks off {missing} frames before its end; remove it or fetch it again.")
    return frames


def _centre(clip, media: Media) -> np.ndarray:
    """Return the centred square of every frame; the clip's shorter side is already scaled."""
    size = media.frame_size
    left, top = (clip.w - size) // 2, (clip.h - size) // 2
    return np.stack([frame[top : top + size, left : left + size] for frame in clip.iter_frames(fps=media.fps)])


def read_recording(audio: str, video: str, media: Media) -> tuple[np.ndarray, np.ndarray | None]:
    """Return sound and frames of a recording, cut to their common length (frames None without video).

    After this the sound has exactly ``sample_rate / fps`` samples a frame, so that time means the same in both.
    """
    samples = read_sound(audio, media)
    if not video:
        return samples, None
    frames = read_frames(video, media)
    a_frame = media.sample_rate // media.fps
    count = min(len(frames), len(samples) // a_frame)
    return samples[: count * a_frame], frames[:count]
