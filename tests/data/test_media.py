"""Decoding: right pictures at the right time, right sound, and one sentence for each way a file can
be broken."""

from __future__ import annotations

import math
import os
import resource
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from moviepy import AudioArrayClip, VideoClip, VideoFileClip
from moviepy.config import FFMPEG_BINARY
from PIL import Image

from kdlib.errors import UnreadableRecording
from kdlib.parameters import Media
from kdsuite.data.corpora import COLUMNS
from kdsuite.data.decoding.media import read_frames, read_recording
from kdsuite.data.decoding.sound import read_sound

MEDIA = Media(frame_size=32)
TONE = 440.0
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def recording(**given):
    """Return a row of the table of recordings; files are given as paths."""
    files = {name: str(given[name]) for name in ("audio", "video") if name in given}
    return SimpleNamespace(**{**COLUMNS, "recording": "take", **given, **files})


def picture(t: float) -> np.ndarray:
    """A frame whose centre tells the time by its green, with red margins that are cut away."""
    frame = np.zeros((64, 128, 3), np.uint8)
    frame[..., 0] = 255
    frame[:, 32:96] = (0, 40 + int(60 * t), 200)
    return frame


def told(frames: np.ndarray) -> np.ndarray:
    """Return the seconds that pictures tell."""
    return (frames[..., 1].mean((1, 2)) - 40) / 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of H.264 and AAC at 30 frames a second; 440 Hz on both channels, twice as loud in
    the second second."""
    file = tmp_path_factory.mktemp("media") / "clip.mp4"
    time = np.arange(2 * 48000) / 48000
    tone = np.where(time < 1, 0.25, 0.5) * np.sin(2 * np.pi * TONE * time)
    video = VideoClip(picture, duration=2).with_audio(
        AudioArrayClip(np.stack([tone, tone], 1), fps=48000)
    )
    video.write_videofile(
        str(file),
        fps=30,
        codec="libx264",
        audio_codec="aac",
        ffmpeg_params=["-movflags", "+faststart"],
        logger=None,
    )
    return file


def ffmpeg(*arguments):
    subprocess.run([FFMPEG_BINARY, "-v", "error", "-y", *map(str, arguments)], check=True)


def halves(t: float) -> np.ndarray:
    """Two people side by side: red on the left, green on the right, with blue above and below the
    square in each half's middle."""
    frame = np.zeros((96, 128, 3), np.uint8)
    frame[:, :64], frame[:, 64:] = RED, GREEN
    frame[:16] = frame[80:] = BLUE
    return frame


def colours(frames: np.ndarray) -> list[int]:
    """Return which of red, green and blue each frame shows throughout."""
    assert (frames.max((1, 2)).argmax(-1) == frames.mean((1, 2)).argmax(-1)).all()
    assert (np.sort(frames.mean((1, 2)), axis=-1)[:, :2] < 30).all()
    return list(frames.mean((1, 2)).argmax(-1))


def test_frames_are_the_centre_at_25_a_second(clip):
    frames = read_frames(str(clip), MEDIA)
    assert frames.shape == (50, 32, 32, 3) and frames.dtype == np.uint8
    assert frames[..., 0].max() < 80  # no red margin
    assert (
        np.abs(told(frames) - np.arange(50) / 25).max() < 0.06
    )  # the time that each frame shows is its own


def test_frames_are_those_that_moviepy_cuts_and_scales(real):
    file = str(real / "grid" / "bbaf2n.mpg")
    middle = (108, 72, 252, 216)  # half of the shorter side of 360 by 288
    with VideoFileClip(file, audio=False) as video:
        pictures = [
            Image.fromarray(frame).resize((48, 48), Image.Resampling.BICUBIC, box=middle)
            for frame in video.iter_frames()
        ]
    expected = np.stack(pictures).astype(float)
    frames = read_frames(file, Media(frame_size=48, crop=0.5)).astype(float)
    assert abs(len(frames) - len(expected)) <= 1
    difference = np.array(
        [[np.abs(ours - theirs).mean() for theirs in expected] for ours in frames[: len(expected)]]
    )
    assert (
        difference.diagonal().max() < 2.5
        and (difference.argmin(1) == np.arange(len(expected))).all()
    )


def test_a_smaller_crop_magnifies(tmp_path):
    VideoClip(halves, duration=0.2).write_videofile(str(tmp_path / "a.mp4"), fps=25, logger=None)
    whole, inner = (
        read_frames(str(tmp_path / "a.mp4"), Media(frame_size=32, crop=crop)) for crop in (1.0, 0.5)
    )
    assert whole.shape == inner.shape == (5, 32, 32, 3)
    assert (
        whole[:, 2].mean((0, 1)).argmax() == 2 and inner[..., 2].max() < 60
    )  # the blue above the middle is gone


def test_portrait_video(tmp_path):
    VideoClip(
        lambda t: np.ascontiguousarray(picture(t).transpose(1, 0, 2)), duration=0.5
    ).write_videofile(str(tmp_path / "tall.mp4"), fps=25, logger=None)
    frames = read_frames(str(tmp_path / "tall.mp4"), MEDIA)
    assert frames.shape[1:] == (32, 32, 3) and frames[..., 0].max() < 80


# parts of files


@pytest.mark.parametrize(
    "start,seconds,count", [(0.0, 0.4, 10), (0.8, 0.4, 10), (1.2, math.nan, 20), (1.52, 5.0, 12)]
)
def test_a_part_of_the_frames(clip, start, seconds, count):
    frames = read_frames(str(clip), MEDIA, start, seconds)
    assert (
        len(frames) == count and np.abs(told(frames) - start - np.arange(count) / 25).max() < 0.07
    )


@pytest.mark.parametrize("ending", [".avi", ".mpg", ".mkv"])
def test_a_part_of_other_containers(clip, tmp_path, ending):
    ffmpeg("-i", clip, "-r", "25", "-q:v", "2", "-g", "12", tmp_path / f"a{ending}")
    whole, part = (
        read_frames(str(tmp_path / f"a{ending}"), MEDIA),
        read_frames(str(tmp_path / f"a{ending}"), MEDIA, 1.0, 0.4),
    )
    assert len(part) == 10 and np.abs(told(part) - told(whole[25:35])).max() < 0.02


@pytest.mark.parametrize("start", [0.4, 1.0, 2.0])
def test_a_part_of_real_pictures(real, start):
    """Seeking in an MPEG program stream, which has no index."""
    file = str(real / "grid" / "lwbsza.mpg")
    first = round(25 * start)
    np.testing.assert_array_equal(
        read_frames(file, MEDIA, start, 0.6), read_frames(file, MEDIA)[first : first + 15]
    )
    whole, part = read_sound(file, MEDIA)[640 * first :], read_sound(file, MEDIA, start, 0.6)
    assert len(part) == 9600 and np.corrcoef(part, whole[:9600])[0, 1] > 0.99


def test_what_lies_before_a_part_is_not_decoded(tmp_path):
    """An hour of pictures takes seconds to decode; its last second must not."""
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=c=red:s=64x64:r=1:d=3598",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "1",
        "-crf",
        "40",
        tmp_path / "a.mp4",
    )
    began = resource_seconds()
    frames = read_frames(str(tmp_path / "a.mp4"), MEDIA, 3596.0, 1.0)
    assert len(frames) == 25 and resource_seconds() - began < 0.5


def resource_seconds() -> float:
    """Return the processor time of all child processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_ffmpeg_decodes_where_the_system_has_no_limits_for_other_processes(clip, monkeypatch):
    """As on macOS."""
    limited = read_sound(str(clip), MEDIA)
    monkeypatch.delattr(resource, "prlimit")
    assert np.array_equal(read_sound(str(clip), MEDIA), limited)


@pytest.mark.parametrize("ending", [".wav", ".flac", ".mp4"])
def test_a_part_of_the_sound(clip, tmp_path, ending):
    time = np.arange(96000) / 48000
    file = clip
    if ending != ".mp4":
        file = tmp_path / f"a{ending}"
        soundfile.write(
            file, np.where(time < 1, 0.25, 0.5) * np.sin(2 * np.pi * TONE * time), 48000
        )
    quiet, loud = (read_sound(str(file), MEDIA, start, 0.5) for start in (0.4, 1.1))
    assert len(quiet) == len(loud) == 8000
    assert quiet.std() == pytest.approx(0.25 / 2**0.5, rel=0.05) and loud.std() == pytest.approx(
        0.5 / 2**0.5, rel=0.05
    )
    both = read_sound(str(file), MEDIA, 0.5, 1.0)  # grows in its middle, to the millisecond
    assert np.abs(both[:7980]).max() < 0.3 < np.abs(both[8020:8040]).max()


def test_a_part_of_a_recording(clip, tmp_path):
    """A turn of a dialogue: its sound is a file of its own, its pictures lie a second into the
    video."""
    soundfile.write(tmp_path / "turn.wav", np.full(9600, 0.3), 16000)
    samples, frames = read_recording(
        recording(audio=tmp_path / "turn.wav", video=clip, video_start=1.0, seconds=0.6), MEDIA
    )
    assert len(frames) == 15 and len(samples) == 15 * 640
    assert told(frames)[0] == pytest.approx(1.0, abs=0.06) and samples.mean() == pytest.approx(
        0.3, abs=0.01
    )


def test_both_of_one_file(clip):
    samples, frames = read_recording(
        recording(audio=clip, video=clip, audio_start=0.6, video_start=0.6, seconds=0.8), MEDIA
    )
    assert len(frames) == 20 and len(samples) == 20 * 640
    assert np.abs(told(frames) - 0.6 - np.arange(20) / 25).max() < 0.07
    assert samples[:6000].std() == pytest.approx(0.25 / 2**0.5, rel=0.05)
    assert samples[6800:].std() == pytest.approx(0.5 / 2**0.5, rel=0.05)
    apart = read_sound(str(clip), MEDIA, 0.6, 0.8), read_frames(str(clip), MEDIA, 0.6, 0.8)
    np.testing.assert_array_equal(samples, apart[0][: len(samples)])
    np.testing.assert_array_equal(frames, apart[1])


def test_a_part_beyond_the_end(clip, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(
        UnreadableRecording, match="a.wav has 0.000 s of sound from 7 s on, less than"
    ):
        read_sound(str(tmp_path / "a.wav"), MEDIA, 7.0)
    with pytest.raises(UnreadableRecording, match="clip.mp4 has no pictures from 7 s on"):
        read_frames(str(clip), MEDIA, 7.0, 1.0)


def test_less_than_a_frame_in_common(clip, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(500), 16000)
    with pytest.raises(
        UnreadableRecording,
        match="recording take has 0.00 s of sound, but 2.00 s of pictures, so that most",
    ):
        read_recording(recording(audio=tmp_path / "a.wav", video=clip), MEDIA)


def test_sound_only(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16001), 16000)
    samples, frames = read_recording(recording(audio=tmp_path / "a.wav"), MEDIA)
    assert len(samples) == 16001 and frames.shape == (0, 32, 32, 3) and frames.dtype == np.uint8


def test_sound_and_frames_are_cut_to_their_common_length(clip, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(16000 + 100), 16000)
    samples, frames = read_recording(recording(audio=tmp_path / "short.wav", video=clip), MEDIA)
    assert len(frames) == 25 and len(samples) == 25 * 640


# faces


@pytest.mark.parametrize("face,colour", [("left", 0), ("right", 1)])
def test_the_half_where_the_speaker_sits(tmp_path, face, colour):
    VideoClip(halves, duration=0.2).write_videofile(
        str(tmp_path / "two.avi"), fps=25, codec="mpeg4", ffmpeg_params=["-q:v", "2"], logger=None
    )
    frames = read_frames(str(tmp_path / "two.avi"), Media(frame_size=32, crop=0.9), face=face)
    assert colours(frames) == [colour] * 5


def test_crops_are_used_whole(tmp_path):
    VideoClip(halves, duration=0.2).write_videofile(str(tmp_path / "a.mp4"), fps=25, logger=None)
    frame = read_frames(str(tmp_path / "a.mp4"), Media(frame_size=32, crop=0.5), face="crop")[0]
    assert [
        frame[row, column].argmax() for row, column in ((16, 3), (16, 28), (1, 16), (30, 16))
    ] == [0, 1, 2, 2]


def moving(t: float) -> np.ndarray:
    """A green face of 24 by 32 that goes to the right 50 pixels a second, on red, in a blue box of
    48 by 48."""
    frame = np.full((96, 160, 3), RED, np.uint8)
    x = 8 + round(50 * t)
    frame[24:72, x : x + 48] = BLUE
    frame[32:64, x + 12 : x + 36] = GREEN
    return frame


@pytest.fixture
def walk(tmp_path):
    """Return a function that gives a second of moving pictures and the track of its face."""
    VideoClip(moving, duration=1.2).write_videofile(
        str(tmp_path / "walk.mp4"),
        fps=25,
        codec="libx264rgb",
        pixel_format="rgb24",
        ffmpeg_params=["-qp", "0"],
        logger=None,
    )

    def track(*boxes):
        head = "Identity  : \tid10001\nReference : \twalk\nOffset    : \t-1\nFV Conf   : \t17.997\t(1)\n\nFRAME \tX \tY \tW \tH \n"
        lines = [
            "\t".join([f"{number:06d} ", *(f"{value:.6g} " for value in box)])
            for number, *box in boxes
        ]
        (tmp_path / "00001.txt").write_text(head + "\n".join(lines) + "\n")
        return str(tmp_path / "00001.txt")

    return SimpleNamespace(video=str(tmp_path / "walk.mp4"), track=track)


def border(frames: np.ndarray) -> np.ndarray:
    """Return the mean colour of the rims of frames, without the corners of interpolation."""
    return np.stack([frames[:, 1], frames[:, -2], frames[:, :, 1], frames[:, :, -2]]).mean((0, 2))


@pytest.mark.parametrize(
    "scale", [(1, 1, 1, 1), (1 / 160, 1 / 96, 1 / 160, 1 / 96)], ids=["pixels", "fractions"]
)
def test_a_face_track_is_followed(walk, scale):
    # a box of 32 by 48 is made 48 by 48; the frames between the two rows are interpolated
    boxes = [(number, *np.multiply((8 + 2 * number + 8, 24, 32, 48), scale)) for number in (0, 25)]
    frames = read_frames(walk.video, Media(frame_size=48), 0.0, 1.0, walk.track(*boxes))
    assert frames.shape == (25, 48, 48, 3)
    assert (
        frames[..., 0].max() < 90 and (border(frames) > (-1, -1, 200)).all()
    )  # no red, blue all around
    green = (frames[..., 1] > 128).sum((1, 2))
    assert (np.abs(green - 24 * 32) < 90).all()


def test_a_track_in_a_video_of_ten_bits(walk):
    """As telephones record it; its pictures must not become PPM of 16 bits."""
    video = walk.video.replace("walk", "deep")
    ffmpeg("-i", walk.video, "-c:v", "libx264", "-pix_fmt", "yuv444p10le", video)
    track = walk.track(*((number, 16 + 2 * number, 24, 48, 48) for number in (0, 25)))
    shallow, deep = (
        read_frames(each, Media(frame_size=48), 0.0, 1.0, track) for each in (walk.video, video)
    )
    assert deep.shape == shallow.shape
    assert np.abs(deep.astype(int) - shallow).mean() < 5


def test_a_track_is_in_the_time_of_the_video(walk):
    # the utterance begins in the middle of the video, with frame 12
    track = walk.track((12, 32, 24, 48, 48), (24, 56, 24, 48, 48))
    frames = read_frames(walk.video, Media(frame_size=48), 12 / 25, 13 / 25, track)
    assert len(frames) == 13 and frames[..., 0].max() < 90
    late = read_frames(
        walk.video, Media(frame_size=48), 0.0, 0.2, track
    )  # the first box holds before it
    assert late[0, :, -8:, 0].mean() > 200


def test_the_pictures_and_sound_of_an_utterance(walk, tmp_path):
    """The video as a whole, the sound cut out of it, the track in between."""
    soundfile.write(tmp_path / "00001.wav", np.zeros(8000), 16000)
    track = walk.track((12, 32, 24, 48, 48), (24, 56, 24, 48, 48))
    one = recording(
        audio=tmp_path / "00001.wav",
        video=walk.video,
        video_start=12 / 25,
        seconds=13 / 25,
        face=track,
    )
    samples, frames = read_recording(one, Media(frame_size=48))
    assert len(frames) == 12 and len(samples) == 12 * 640 and frames[..., 0].max() < 90


def test_a_track_that_cannot_be_opened(walk):
    with pytest.raises(
        UnreadableRecording,
        match=r"none.txt cannot be opened \(No such file or directory\)",
    ):
        read_frames(walk.video, MEDIA, face="/none.txt")


def test_a_box_partly_outside_repeats_the_edge(walk):
    frames = read_frames(
        walk.video, Media(frame_size=48), 0.0, 0.2, walk.track((0, -24, -10, 96, 96))
    )
    assert (
        frames.shape == (5, 48, 48, 3) and (border(frames)[:, 0] > 150).all()
    )  # red goes on, no black


@pytest.mark.parametrize(
    "row", [(0, 161, 20, 40, 40), (0, 20, -60, 40, 40), (0, 20, 20, 0, 0), (0, 20, 20, 4000, 4000)]
)
def test_a_box_outside_of_the_frame(walk, row):
    with pytest.raises(
        UnreadableRecording,
        match=r"the face track .*00001.txt has at 0.00 s a box .* outside of the frame of 160 by 96; correct",
    ):
        read_frames(walk.video, MEDIA, 0.0, 1.0, walk.track(row))


@pytest.fixture
def stills(tmp_path):
    folder = tmp_path / "id10001 stills"
    folder.mkdir()
    for name, colour in (("10.png", BLUE), ("2.jpg", GREEN), ("1.JPG", RED)):
        Image.new("RGB", (40, 60), colour).save(folder / name, quality=95)
    (folder / "list.txt").write_text("not a picture")
    return folder


def test_still_pictures_are_shown_for_a_second_each(stills):
    frames = read_frames(str(stills), MEDIA)
    assert frames.shape == (75, 32, 32, 3) and colours(frames) == [0] * 25 + [1] * 25 + [2] * 25


def test_a_part_of_still_pictures(stills):
    assert colours(read_frames(str(stills), MEDIA, 1.4, 1.0, "crop")) == [1] * 15 + [2] * 10
    assert (
        colours(read_frames(str(stills), Media(frame_size=32, picture_rate=5.0)))
        == [0] * 5 + [1] * 5 + [2] * 5
    )
    with pytest.raises(UnreadableRecording, match="id10001 stills has no pictures .* from 3 s on"):
        read_frames(str(stills), MEDIA, 3.0)


def test_still_pictures_with_sound(stills, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(int(1.2 * 16000)), 16000)
    samples, frames = read_recording(recording(audio=tmp_path / "a.wav", video=stills), MEDIA)
    assert colours(frames) == [0] * 25 + [1] * 5 and len(samples) == 30 * 640


def test_too_few_still_pictures_are_shown_again(stills, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(4 * 16000), 16000)
    samples, frames = read_recording(recording(audio=tmp_path / "a.wav", video=stills), MEDIA)
    assert (
        colours(frames) == [0] * 25 + [1] * 25 + [2] * 25 + [0] * 25 and len(samples) == 4 * 16000
    )


def test_still_pictures_that_are_none(stills, tmp_path):
    (stills / "2.jpg").write_bytes((stills / "2.jpg").read_bytes()[:200])
    with pytest.raises(UnreadableRecording, match="2.jpg cannot be decoded as a picture"):
        read_frames(str(stills), MEDIA)
    (tmp_path / "bare").mkdir()
    with pytest.raises(UnreadableRecording, match=r"bare has no pictures \(.jpg, .jpeg, .png\)"):
        read_frames(str(tmp_path / "bare"), MEDIA)


# sound


@pytest.mark.parametrize("start", [0.0, 1.1])
def test_sound_of_a_video_is_the_tone(clip, start):
    sound = read_sound(str(clip), MEDIA, start)
    assert (
        len(sound) == pytest.approx(32000 - start * 16000, abs=1100) and sound.dtype == np.float32
    )  # AAC pads to its frames of 1024
    second = sound[-13000:-5000]
    assert np.abs(np.fft.rfft(second, 16000)).argmax() == pytest.approx(TONE, abs=1)
    assert second.std() == pytest.approx(0.5 / 2**0.5, rel=0.05)


@pytest.mark.parametrize(
    "ending,rate,channels,subtype",
    [(".wav", 8000, 1, "PCM_U8"), (".wav", 96000, 2, "PCM_24"), (".flac", 48000, 2, None), (".ogg", 44100, 1, None), (".wav", 16000, 1, "FLOAT")],
)  # fmt: skip
def test_sound_files_of_any_rate_become_16_khz_mono(tmp_path, ending, rate, channels, subtype):
    time = np.arange(rate) / rate
    soundfile.write(
        tmp_path / f"a{ending}",
        np.stack([0.5 * np.sin(2 * np.pi * TONE * time)] * channels, 1),
        rate,
        subtype,
    )
    sound = read_sound(str(tmp_path / f"a{ending}"), MEDIA)
    assert sound.shape == (16000,) and np.abs(np.fft.rfft(sound)).argmax() == TONE
    assert sound.std() == pytest.approx(0.5 / 2**0.5, rel=0.02)


@pytest.mark.parametrize("ending", [".wav", ".m4a", ".mp4"])
def test_stereo_is_mixed(tmp_path, ending):
    time = np.arange(48000) / 48000
    sides = np.stack(
        [0.6 * np.sin(2 * np.pi * TONE * time), 0.3 * np.sin(2 * np.pi * 3 * TONE * time)], 1
    )
    soundfile.write(tmp_path / "a.wav", sides, 48000)
    if ending != ".wav":
        ffmpeg("-i", tmp_path / "a.wav", "-c:a", "aac", "-b:a", "192k", tmp_path / f"a{ending}")
    middle = read_sound(str(tmp_path / f"a{ending}"), MEDIA)[4000:12000]
    strength = np.abs(np.fft.rfft(middle)) / 4000
    assert strength[220] == pytest.approx(0.3, abs=0.01) and strength[660] == pytest.approx(
        0.15, abs=0.01
    )


@pytest.mark.parametrize("rate,channels", [(8000, 1), (96000, 2)])
def test_sound_tracks_of_any_rate(tmp_path, rate, channels):
    time = np.arange(rate) / rate
    soundfile.write(
        tmp_path / "a.wav", np.stack([0.5 * np.sin(2 * np.pi * TONE * time)] * channels, 1), rate
    )
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.m4a")
    middle = read_sound(str(tmp_path / "a.m4a"), MEDIA)[4000:12000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 2 == TONE and middle.std() == pytest.approx(
        0.5 / 2**0.5, rel=0.05
    )


def test_sound_that_begins_late_stays_with_the_pictures(clip, tmp_path):
    ffmpeg(
        "-i",
        clip,
        "-itsoffset",
        "0.5",
        "-i",
        clip,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        tmp_path / "late.mkv",
    )
    sound = read_sound(str(tmp_path / "late.mkv"), MEDIA)
    assert np.abs(sound[:7800]).max() < 0.01 < 0.2 < np.abs(sound[8200:9000]).max()


@pytest.mark.parametrize("first", ["audio", "video"])
@pytest.mark.parametrize("late", ["audio", "video"])
@pytest.mark.parametrize(
    "name,codecs",
    [
        ("a.ts", ("mpeg2video", "mp2")),
        ("a.mpg", ("mpeg2video", "mp2")),
        ("a.ogv", ("libtheora", "libvorbis")),
        ("a.mkv", ("mpeg4", "aac")),
    ],
)
def test_a_flash_and_its_beep_stay_together(tmp_path, name, codecs, late, first):
    """Wherever a part begins, also where one track begins 0.6 s after the other, in both orders."""
    cut = {each: ",%strim=start=0.6,%ssetpts=PTS-STARTPTS" * (each == late) for each in ("audio", "video")}  # fmt: skip
    flash = "color=black:s=64x64:r=25:d=3,geq=lum='if(between(T,2,2.2),255,16)':cb=128:cr=128"
    beep = "aevalsrc='between(t,2,2.2)*sin(2*PI*1000*t)':d=3:s=16000"
    offset = {each: ["-itsoffset", "0.6"] * (each == late) for each in cut}
    pictures = [*offset["video"], "-f", "lavfi", "-i", flash + cut["video"].replace("%s", "")]
    sounds = [*offset["audio"], "-f", "lavfi", "-i", beep + cut["audio"].replace("%s", "a")]
    video, audio = codecs
    order = ["-map", "1:a", "-map", "0:v"] if first == "audio" else []
    ffmpeg(
        *pictures, *sounds, *order, "-c:v", video, "-b:v", "800k", "-c:a", audio, tmp_path / name
    )
    for start in (0.0, 0.5, 1.5):
        frames = read_frames(str(tmp_path / name), MEDIA, start).mean((1, 2, 3))
        sound = np.abs(read_sound(str(tmp_path / name), MEDIA, start))
        seen, heard = np.argmax(frames > 100) / 25, np.argmax(sound > 0.3) / 16000
        assert frames.max() > 100 and sound.max() > 0.3
        assert start + seen == pytest.approx(2, abs=0.07)
        assert seen == pytest.approx(heard, abs=0.045)


@pytest.mark.parametrize("name,codec", [("a.ts", "libx264"), ("a.mpg", "mpeg1video")])
def test_parts_of_a_file_with_few_key_frames(tmp_path, name, codec):
    """The picture at a jump is that of its own time, not of the next key frame, and a part ends
    where it is to end."""
    grey = "color=black:s=64x64:r=25:d=50,geq=lum='16+4*floor(T)':cb=128:cr=128"
    ffmpeg("-f", "lavfi", "-i", grey, "-f", "lavfi", "-i", "sine=d=50", "-c:v", codec, "-g", "600",
           "-b:v", "800k", "-c:a", "mp2", tmp_path / name)  # fmt: skip
    whole = read_frames(str(tmp_path / name), MEDIA, 0.0).mean((1, 2, 3))
    for start in (2.4, 11.4, 38.4, 45.4):
        part = read_frames(str(tmp_path / name), MEDIA, start, 1.2).mean((1, 2, 3))
        assert len(part) == 30
        first = round(start * 25)
        np.testing.assert_allclose(part[1:-1], whole[first + 1 : first + 29], atol=6)
        # the step to the next second is in its place, to a frame
        steps = [np.abs(np.diff(of)).argmax() for of in (part, whole[first : first + 30])]
        assert abs(steps[0] - steps[1]) <= 1


def test_sound_beside_damaged_pictures_is_read(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:r=25:s=64x64", "-f", "lavfi", "-i", "sine=d=1", "-c:v", "mpeg2video",
           "-c:a", "mp2", tmp_path / "a.ts")  # fmt: skip
    packets = np.frombuffer((tmp_path / "a.ts").read_bytes(), np.uint8).reshape(-1, 188).copy()
    number = (packets[:, 1].astype(int) & 31) * 256 + packets[:, 2]
    packets[number == 256, 30:] = 255  # of the first stream, the pictures
    (tmp_path / "a.ts").write_bytes(packets.tobytes())
    assert len(read_sound(str(tmp_path / "a.ts"), MEDIA)) > 15000


@pytest.mark.parametrize("name,codec", [("a.ts", "mpeg2video"), ("a.ogv", "libtheora")])
def test_pictures_without_sound_are_read(tmp_path, name, codec):
    """Of formats where sound is looked for, so that both have one time."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:r=25:s=64x64", "-c:v", codec, tmp_path / name)
    assert len(read_frames(str(tmp_path / name), MEDIA)) == 25
    with pytest.raises(UnreadableRecording, match="has no sound track"):
        read_sound(str(tmp_path / name), MEDIA)


@pytest.mark.parametrize(
    "name", ["Šárka über 日本 ü.mp4", "-i two  spaces.mp4", '100% %d it\'s "a": [b],c;d.mp4']
)
def test_any_name(clip, tmp_path, name):
    (tmp_path / name).write_bytes(clip.read_bytes())
    samples, frames = read_recording(recording(audio=tmp_path / name, video=tmp_path / name), MEDIA)
    assert len(frames) == 50 and len(samples) == 32000
    soundfile.write(tmp_path / f"{name}.wav", np.zeros(16000), 16000)
    assert len(read_sound(str(tmp_path / f"{name}.wav"), MEDIA)) == 16000


# broken files


def test_a_truncated_video(clip, tmp_path):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:1000])
    for read in (read_frames, read_sound):
        with pytest.raises(UnreadableRecording, match="cut.mp4 .*(cannot be decoded|has no sound)"):
            read(str(tmp_path / "cut.mp4"), MEDIA)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_video_that_breaks_off(clip, tmp_path, ending):
    """A file whose head promises frames that are no longer there, as after a broken download."""
    whole, broken = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", whole)
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(
        UnreadableRecording, match=f"cut{ending} breaks off 0.[789] s before its end"
    ):
        read_frames(str(broken), MEDIA)
    with pytest.raises(
        UnreadableRecording, match=f"cut{ending} breaks off 0.[789] s before its end"
    ):
        read_recording(recording(audio=broken, video=broken), MEDIA)
    assert len(read_frames(str(broken), MEDIA, 0.0, 0.4)) == 10  # that part is there


def hum(seconds: float, rate: int = 16000) -> np.ndarray:
    """Noise, of which no format makes a file of a few bytes."""
    return 0.3 * np.random.default_rng(0).uniform(-1, 1, round(seconds * rate))


WITHOUT_LENGTH = ["-write_xing", "0", "-id3v2_version", "0"]


@pytest.mark.parametrize(
    "ending,arguments",
    [
        (".wav", []), (".wav", ["-c:a", "pcm_f32le"]), (".wav", ["-rf64", "always"]), (".w64", []), (".aiff", []), (".au", []),
        (".flac", []), (".ogg", ["-c:a", "libvorbis"]), (".opus", []), (".mp3", []), (".mka", []), (".webm", ["-c:a", "libopus"]),
        (".m4a", ["-movflags", "+faststart"]),
    ],
    ids=str,
)  # fmt: skip
def test_sound_that_breaks_off(tmp_path, ending, arguments):
    """Every container's promise is held against what is there; a part before the gap is there."""
    soundfile.write(tmp_path / "a.wav", hum(2.0), 16000)
    whole, half = tmp_path / f"whole{ending}", tmp_path / f"half{ending}"
    ffmpeg("-i", tmp_path / "a.wav", *arguments, whole)
    assert len(read_sound(str(whole), MEDIA)) == pytest.approx(32000, abs=700)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(
        UnreadableRecording,
        match=r"half.* (breaks off (\d\.\d s )?before its end|is malformed|cannot be decoded)",
    ):
        read_sound(str(half), MEDIA)
    if ending not in (".ogg", ".opus", ".flac", ".mka"):
        assert len(read_sound(str(half), MEDIA, 0.1, 0.5)) == pytest.approx(8000, abs=200)


def test_gsm_of_telephones_is_read(tmp_path):
    """libsndfile reads it, but cannot jump in it."""
    soundfile.write(tmp_path / "a.wav", hum(2.0, 8000), 8000, "GSM610")
    assert len(read_sound(str(tmp_path / "a.wav"), MEDIA)) == pytest.approx(32000, abs=700)


def test_a_nist_file_that_breaks_off(tmp_path):
    head = b"NIST_1A\n   1024\nsample_count -i 16000\nsample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n".ljust(
        1024
    )
    (tmp_path / "a.sph").write_bytes(head + bytes(32000))
    assert len(read_sound(str(tmp_path / "a.sph"), MEDIA)) == 16000
    (tmp_path / "a.sph").write_bytes(head + bytes(16000))
    with pytest.raises(UnreadableRecording, match="a.sph breaks off 0.5 s before its end"):
        read_sound(str(tmp_path / "a.sph"), MEDIA)


def test_a_length_that_its_writer_did_not_know_is_no_promise(tmp_path):
    """As of files that a program wrote into a pipe, and of a recorder that was switched off."""
    soundfile.write(tmp_path / "a.wav", hum(1.0), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    place = content.index(b"data") + 4
    for size in (b"\xff\xff\xff\xff", b"\0\xf0\xff\x7f", b"\0\0\0\0"):
        (tmp_path / "a.wav").write_bytes(content[:place] + size + content[place + 4 :])
        assert len(read_sound(str(tmp_path / "a.wav"), MEDIA)) == 16000
    for name, arguments in (("a.flac", []), ("a.mp3", WITHOUT_LENGTH)):
        command = [
            FFMPEG_BINARY,
            "-v",
            "error",
            "-i",
            tmp_path / "a.wav",
            *arguments,
            "-f",
            name[2:],
            "-",
        ]
        (tmp_path / name).write_bytes(
            subprocess.run(command, check=True, capture_output=True).stdout
        )
        assert len(read_sound(str(tmp_path / name), MEDIA)) == pytest.approx(16000, abs=1400)


def test_mp3_without_an_index_is_read_to_its_end(tmp_path):
    """A quiet beginning makes its length look half of what it is."""
    values = np.concatenate([0.001 * hum(3.0, 44100), hum(3.0, 44100)])
    soundfile.write(tmp_path / "a.wav", values, 44100)
    ffmpeg("-i", tmp_path / "a.wav", "-q:a", "0", *WITHOUT_LENGTH, tmp_path / "a.mp3")
    assert len(read_sound(str(tmp_path / "a.mp3"), MEDIA)) == pytest.approx(96000, abs=1600)


@pytest.mark.parametrize("ending", [".mkv", ".webm", ".wmv", ".mp4", ".ts", ".flv"])
def test_a_file_that_does_not_begin_at_0(clip, tmp_path, ending):
    """As cutters leave them. Matroska and ASF count their length from 0 all the same."""
    codecs = (
        ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"] if ending == ".webm" else []
    )
    ffmpeg("-i", clip, "-r", "25", *codecs, tmp_path / f"a{ending}")
    ffmpeg(
        "-itsoffset", "5", "-i", tmp_path / f"a{ending}", "-c", "copy", tmp_path / f"late{ending}"
    )
    file = tmp_path / f"late{ending}"
    samples, frames = read_recording(recording(audio=file, video=file), MEDIA)
    assert len(frames) == pytest.approx(50, abs=2) and len(samples) == 640 * len(frames)
    assert np.abs(told(frames)[:45] - np.arange(45) / 25).max() < 0.15


def test_avi_that_breaks_off_is_measured_by_its_header(clip, tmp_path):
    ffmpeg("-i", clip, "-q:v", "2", tmp_path / "a.avi")
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(content[: len(content) // 2])
    for read in (read_frames, read_sound):
        with pytest.raises(UnreadableRecording, match=r"a.avi breaks off \d.\d s before its end"):
            read(str(tmp_path / "a.avi"), MEDIA)


def test_a_cover_picture_is_shown_for_as_long_as_there_is_sound(clip, tmp_path):
    Image.new("RGB", (64, 64), RED).save(tmp_path / "cover.png")
    ffmpeg(
        "-i",
        tmp_path / "cover.png",
        "-i",
        clip,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-pix_fmt",
        "yuv420p",
        tmp_path / "a.mp4",
    )
    one = recording(audio=tmp_path / "a.mp4", video=tmp_path / "a.mp4")
    samples, frames = read_recording(one, MEDIA)
    assert len(samples) == 640 * len(frames) == 32000 and colours(frames) == [0] * 50


def test_the_tracks_that_a_player_plays(clip, tmp_path):
    """Of several that marked as default, as screen recorders put the microphone second."""
    silent = [
        "-f",
        "lavfi",
        "-i",
        "color=c=blue:s=128x64:r=25:d=2",
        "-f",
        "lavfi",
        "-i",
        "anullsrc=d=2",
    ]
    maps = ["-map", "1:v", "-map", "0:v", "-map", "2:a", "-map", "0:a", "-pix_fmt", "yuv420p"]
    chosen = [
        each
        for kind in "va"
        for each in (f"-disposition:{kind}:0", "0", f"-disposition:{kind}:1", "default")
    ]
    ffmpeg("-i", clip, *silent, *maps, *chosen, tmp_path / "two.mp4")
    assert np.abs(read_sound(str(tmp_path / "two.mp4"), MEDIA)).max() > 0.2
    assert (
        np.abs(told(read_frames(str(tmp_path / "two.mp4"), MEDIA)) - np.arange(50) / 25).max()
        < 0.15
    )


@pytest.mark.parametrize("face", ["", "left", "track"])
def test_pixels_that_are_not_square(tmp_path, face):
    """As DV, DVD and broadcasts store them: the teacher sees what players show."""
    source = ["-f", "lavfi", "-i", "testsrc=s=256x144:r=25:d=0.2", "-c:v", "libx264", "-crf", "5"]
    ffmpeg(*source, tmp_path / "square.mp4")
    ffmpeg(*source, "-vf", "scale=180:144,setsar=64/45", tmp_path / "narrow.mp4")
    if face == "track":
        face = str(tmp_path / "track.txt")
        (tmp_path / "track.txt").write_text("FRAME X Y W H\n0 60 20 100 100\n")
    square, narrow = (
        read_frames(str(tmp_path / f"{name}.mp4"), MEDIA, face=face).astype(int)
        for name in ("square", "narrow")
    )
    assert np.abs(square - narrow).mean() < 4


@pytest.mark.parametrize(
    "codec,holds,says",
    [
        ("aac", ".m4a", ".wav"),
        ("aac", ".m4a", ".mp3"),
        ("libopus", ".webm", ".wav"),
        ("mp2", ".mp2", ".flac"),
    ],
)
def test_a_file_is_read_by_what_it_holds(clip, tmp_path, capfd, codec, holds, says):
    ffmpeg("-i", clip, "-vn", "-c:a", codec, tmp_path / f"a{holds}")
    file = (tmp_path / f"a{holds}").rename(tmp_path / f"a{says}")
    samples = read_sound(str(file), MEDIA)
    assert np.abs(np.fft.rfft(samples[2000:10000])).argmax() == TONE // 2
    assert capfd.readouterr() == ("", "")  # no notes of a C library


def test_a_name_that_is_no_utf_8(tmp_path):
    soundfile.write(tmp_path / "a.wav", hum(1.0), 16000)
    for ending in (b".wav", b".m4a"):
        name = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9" + ending))
        ffmpeg("-i", tmp_path / "a.wav", tmp_path / f"b{ending.decode()}")
        os.rename(tmp_path / f"b{ending.decode()}", name)
        assert len(read_sound(name, MEDIA)) == 16000


@pytest.mark.parametrize("seconds", [3, 5])
def test_sound_that_outlasts_the_pictures_is_no_damage(clip, tmp_path, seconds):
    """It is cut to the pictures, but no recording loses most of itself."""
    file, tone = tmp_path / "long.mp4", f"sine=d={seconds}"
    both = ["-map", "0:v", "-map", "1:a", "-c:v", "copy"]
    ffmpeg("-i", clip, "-f", "lavfi", "-i", tone, *both, file)
    assert len(read_frames(str(file), MEDIA)) == 50
    if seconds == 3:
        samples, frames = read_recording(recording(audio=file, video=file), MEDIA)
        assert len(frames) == 50 and len(samples) == 50 * 640
    else:
        with pytest.raises(UnreadableRecording, match="take has 5.* of sound, but 2.00 s of pic"):
            read_recording(recording(audio=file, video=file), MEDIA)


def test_a_video_without_sound(tmp_path):
    file = tmp_path / "mute.mp4"
    VideoClip(picture, duration=0.5).write_videofile(str(file), fps=25, logger=None)
    with pytest.raises(UnreadableRecording, match="mute.mp4 has no sound track"):
        read_sound(str(file), MEDIA)
    with pytest.raises(UnreadableRecording, match="mute.mp4 has no sound track"):
        read_recording(recording(audio=file, video=file), MEDIA)


def test_a_video_without_pictures(clip, tmp_path):
    ffmpeg("-i", clip, "-vn", "-c", "copy", tmp_path / "blind.mp4")
    with pytest.raises(UnreadableRecording, match="blind.mp4 has no pictures"):
        read_frames(str(tmp_path / "blind.mp4"), MEDIA)


@pytest.mark.parametrize("ending", [".wav", ".mp4", ".flac"])
def test_files_that_are_no_media(tmp_path, ending):
    (tmp_path / f"text{ending}").write_text("not a recording")
    with pytest.raises(UnreadableRecording, match="text.* cannot be"):
        read_sound(str(tmp_path / f"text{ending}"), MEDIA)


@pytest.mark.parametrize("ending", [".wav", ".mp4"])
def test_files_that_cannot_be_opened(tmp_path, monkeypatch, ending):
    file = tmp_path / f"a{ending}"
    file.touch()
    with pytest.raises(UnreadableRecording, match=f"a{ending} is empty; remove it"):
        read_sound(str(file), MEDIA)
    with pytest.raises(
        UnreadableRecording, match=f"b{ending} cannot be opened \\(No such file or directory\\)"
    ):
        read_sound(str(tmp_path / f"b{ending}"), MEDIA)

    def forbidden(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(
        UnreadableRecording,
        match=f"a{ending} cannot be opened \\(Permission denied\\); check that .* you may read it",
    ):
        read_sound(str(file), MEDIA)


def test_a_folder_without_read_permission(stills, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.listdir", forbidden)
    with pytest.raises(UnreadableRecording, match=r"stills cannot be opened \(Permission denied\)"):
        read_frames(str(stills), MEDIA)


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(UnreadableRecording, match="pipe.wav is no file"):
        read_sound(str(tmp_path / "pipe.wav"), MEDIA)


def test_less_than_a_window(tmp_path):
    soundfile.write(tmp_path / "blip.wav", np.zeros(100), 16000)
    with pytest.raises(UnreadableRecording, match="0.006 s of sound, less than 0.025 s"):
        read_sound(str(tmp_path / "blip.wav"), MEDIA)


def test_a_killed_ffmpeg_is_not_the_files_fault(clip, monkeypatch):
    """The system kills for want of memory; such a recording must not be left out as unreadable."""
    from kdsuite.data.decoding import ffmpeg as module

    class Killed(subprocess.Popen):
        def __enter__(self):
            self.kill()
            return super().__enter__()

    monkeypatch.setattr(module.subprocess, "Popen", Killed)
    with pytest.raises(OSError, match="ffmpeg was stopped while it decoded .*clip.mp4"):
        read_frames(str(clip), MEDIA)


def test_no_ffmpeg_stays_behind(clip, walk):
    import psutil

    for _ in range(3):
        read_frames(str(clip), MEDIA)
        read_recording(recording(audio=clip, video=clip), MEDIA)
        with pytest.raises(UnreadableRecording):  # in the middle of decoding
            read_frames(walk.video, MEDIA, face=walk.track((0, 900, 900, 10, 10)))
    assert not [
        child for child in psutil.Process().children(recursive=True) if "ffmpeg" in child.name()
    ]


# real recordings


def test_real_talking_faces(real):
    for file in sorted((real / "grid").glob("*.mpg")):
        samples, frames = read_recording(recording(audio=file, video=file), Media(frame_size=64))
        assert (
            frames.shape in {(74, 64, 64, 3), (75, 64, 64, 3)} and len(samples) == len(frames) * 640
        )  # the sound ends a little early
        assert frames.std() > 20 and np.abs(samples).max() > 0.02


def test_real_stereo_takes(real):
    files = sorted((real / "ravdess_speech").rglob("*.wav"))
    assert files
    for file in files:
        sides, rate = soundfile.read(file)
        assert sides.shape[1] == 2 and rate == 48000
        samples = read_sound(str(file), MEDIA)
        assert 2.5 < len(samples) / 16000 < 6
        # the same loudness as the mean of both sides below 8 kHz
        assert samples.std() == pytest.approx(sides.mean(1).std(), rel=0.02)


def test_real_utterances(real):
    files = sorted((real / "voxceleb1").rglob("*.wav"))
    assert len(files) == 6
    for file in files:
        expected, rate = soundfile.read(file, dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(
            read_sound(str(file), MEDIA, 1.0, 2.0), expected[16000:48000], atol=1e-6
        )
