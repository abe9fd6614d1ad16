"""Decoding: right pictures at the right time, right sound, and one sentence for each way a file can be broken."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from moviepy import AudioArrayClip, VideoClip

from kdlib.errors import UnreadableRecording
from kdlib.media import read_frames, read_recording, read_sound
from kdlib.settings import Media

MEDIA = Media(frame_size=32)
TONE = 440.0


def picture(t: float) -> np.ndarray:
    """A frame whose left half tells the time by its brightness, with a blue centre and red margins that are cut away."""
    frame = np.zeros((64, 128, 3), np.uint8)
    frame[..., 0] = 255
    frame[:, 32:96] = (0, 40 + int(60 * t), 200)
    return frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of H.264 and AAC at 30 frames a second, 440 Hz on both channels."""
    file = tmp_path_factory.mktemp("media") / "clip.mp4"
    time = np.arange(2 * 48000) / 48000
    tone = 0.5 * np.sin(2 * np.pi * TONE * time)
    video = VideoClip(picture, duration=2).with_audio(AudioArrayClip(np.stack([tone, tone], 1), fps=48000))
    video.write_videofile(str(file), fps=30, codec="libx264", audio_codec="aac", logger=None)
    return file


def test_frames_are_the_centre_at_25_a_second(clip):
    frames = read_frames(str(clip), MEDIA)
    assert frames.shape == (50, 32, 32, 3) and frames.dtype == np.uint8
    assert frames[..., 0].max() < 80  # no red margin
    brightness = frames[..., 1].mean((1, 2))
    expected = 40 + 60 * np.arange(50) / 25
    assert np.abs(brightness - expected).max() < 6  # the time that each frame shows is its own


def test_a_smaller_crop_magnifies(clip):
    assert read_frames(str(clip), Media(frame_size=32, crop=0.5)).shape == (50, 32, 32, 3)


def test_portrait_video(tmp_path):
    VideoClip(lambda t: np.ascontiguousarray(picture(t).transpose(1, 0, 2)), duration=0.5).write_videofile(
        str(tmp_path / "tall.mp4"), fps=25, logger=None
    )
    frames = read_frames(str(tmp_path / "tall.mp4"), MEDIA)
    assert frames.shape[1:] == (32, 32, 3) and frames[..., 0].max() < 80


def test_sound_of_a_video_is_the_tone(clip):
    sound = read_sound(str(clip), MEDIA)
    assert len(sound) == pytest.approx(32000, abs=1100) and sound.dtype == np.float32  # AAC pads to its frames of 1024
    middle = sound[8000:24000]
    assert np.abs(np.fft.rfft(middle)).argmax() == TONE  # one second: bins are 1 Hz wide
    assert middle.std() == pytest.approx(0.5 / 2**0.5, rel=0.05)


@pytest.mark.parametrize("ending,rate,channels", [(".wav", 8000, 1), (".wav", 96000, 2), (".flac", 48000, 2), (".ogg", 44100, 1)])
def test_sound_files_of_any_rate_become_16_khz_mono(tmp_path, ending, rate, channels):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / f"a{ending}", np.stack([0.5 * np.sin(2 * np.pi * TONE * time)] * channels, 1), rate)
    sound = read_sound(str(tmp_path / f"a{ending}"), MEDIA)
    assert sound.shape == (16000,) and np.abs(np.fft.rfft(sound)).argmax() == TONE


def test_sound_and_frames_are_cut_to_their_common_length(clip, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(16000 + 100), 16000)
    sound, frames = read_recording(str(tmp_path / "short.wav"), str(clip), MEDIA)
    assert len(frames) == 25 and len(sound) == 25 * 640


def test_a_truncated_video(clip, tmp_path):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:1000])
    for read in (read_frames, read_sound):
        with pytest.raises(UnreadableRecording, match="cut.mp4 .*(cannot be decoded|has no sound)"):
            read(str(tmp_path / "cut.mp4"), MEDIA)


def test_a_video_that_breaks_off(clip, tmp_path):
    """A file whose index promises frames that are no longer there, as after a broken download."""
    import subprocess

    from moviepy.config import FFMPEG_BINARY

    whole = tmp_path / "whole.mp4"
    subprocess.run([FFMPEG_BINARY, "-v", "error", "-i", clip, "-c", "copy", "-movflags", "+faststart", whole], check=True)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(UnreadableRecording, match="cut.mp4 (breaks off|cannot be decoded)"):
        read_frames(str(tmp_path / "cut.mp4"), MEDIA)


def test_a_video_without_sound(tmp_path):
    VideoClip(picture, duration=0.5).write_videofile(str(tmp_path / "mute.mp4"), fps=25, logger=None)
    with pytest.raises(UnreadableRecording, match="mute.mp4 has no sound track"):
        read_sound(str(tmp_path / "mute.mp4"), MEDIA)


@pytest.mark.parametrize("ending", [".wav", ".mp4", ".flac"])
def test_files_that_are_no_media(tmp_path, ending):
    (tmp_path / f"text{ending}").write_text("not a recording")
    with pytest.raises(UnreadableRecording, match="text.* cannot be"):
        read_sound(str(tmp_path / f"text{ending}"), MEDIA)


def test_less_than_a_window(tmp_path):
    soundfile.write(tmp_path / "blip.wav", np.zeros(100), 16000)
    with pytest.raises(UnreadableRecording, match="0.006 s of sound, less than one window of 0.025 s"):
        read_sound(str(tmp_path / "blip.wav"), MEDIA)


def test_no_ffmpeg_stays_behind(clip):
    import psutil

    for _ in range(5):
        read_frames(str(clip), MEDIA)
        read_sound(str(clip), MEDIA)
    alive = [child.name() for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert not [name for name in alive if "ffmpeg" in name]


def test_real_talking_faces(real):
    for file in sorted((real / "grid").glob("*.mpg")):
        sound, frames = read_recording(str(file), str(file), Media(frame_size=64))
        assert frames.shape in {(74, 64, 64, 3), (75, 64, 64, 3)} and len(sound) == len(frames) * 640  # the sound ends a little early
        assert frames.std() > 20 and np.abs(sound).max() > 0.02


def test_real_stereo_takes(real):
    files = sorted((real / "ravdess_speech").rglob("*.wav"))
    assert files
    for file in files:
        assert soundfile.info(file).channels == 2 and soundfile.info(file).samplerate == 48000
        assert 2.5 < len(read_sound(str(file), MEDIA)) / 16000 < 6
