"""Recordings of one's own: what a manifest may say, and the sentence for each thing it must not
say."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from kdlib.errors import InvalidCorpus, InvalidParameter
from kdsuite import demo, paths
from kdsuite.data import corpora
from kdsuite.data.corpora import features
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus, Synthetic
from kdsuite.settings import load

HEADER = "audio,speaker,label\n"


@pytest.fixture
def folder(own_data):
    """A folder of empty sound and video files; names and the manifest are all that the reader looks
    at."""
    home = own_data / "mine"
    for name in (
        "a.wav",
        "b.wav",
        "long.wav",
        "one/001.wav",
        "two/001.wav",
        "a.mp4",
        "b.mp4",
        "Zoë 1.wav",
        "track.txt",
        "faces/1.jpg",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    (own_data / "else.wav").touch()
    (home / "linked.wav").symlink_to(own_data / "else.wav")
    (home / "linked").symlink_to(own_data)
    return home


def read(folder, text, name="recordings.csv", **given):
    (folder / name).write_text(text, "utf-8")
    return corpora.read(Corpus(layout="manifest", path=str(folder / name), **given))


def test_least_manifest(folder):
    table = read(folder, HEADER + "b.wav,Ann,yes\na.wav,Bob,NA\n")
    assert table.recording.to_list() == ["a", "b"] and table.speaker.to_list() == ["Bob", "Ann"]
    assert table.audio.to_list() == [str(folder / "a.wav"), str(folder / "b.wav")]
    assert list(table.label.cat.categories) == ["NA", "yes"]  # the word NA is a label as any other
    assert (
        set(table.video) == {""}
        and table.seconds.isna().all()
        and table.audio_start.to_list() == [0, 0]
    )
    assert table.source.to_list() == ["a", "b"] and table.attrs["incomplete"] == {}


def test_every_column(folder):
    text = (
        "recording,audio,video,start,end,speaker,label,fold,face,source,age\n"
        "x,a.wav,a.mp4,0.5,2,Ann,yes,one,left,film,31\n"
        "y,b.wav,faces,,1.5,Bob,no,two,crop,,40\n"
        "z,b.wav,b.mp4,1.5,,Bob,no,two,track.txt,,40\n"
    )
    table = read(folder, text).set_index("recording")
    assert (
        table.audio_start.to_dict() == table.video_start.to_dict() == {"x": 0.5, "y": 0.0, "z": 1.5}
    )
    assert (
        table.seconds["x"] == 1.5 and table.seconds["y"] == 1.5 and math.isnan(table.seconds["z"])
    )
    assert table.video.to_list() == [str(folder / name) for name in ("a.mp4", "faces", "b.mp4")]
    assert table.face.to_list() == [
        "left",
        "crop",
        str(folder / "track.txt"),
    ] and table.fold.to_list() == ["one", "two", "two"]
    assert table.source.to_list() == ["film", "faces", "b"] and "age" not in table


def test_names_made_from_files(folder):
    table = read(
        folder,
        "audio,speaker,label,start\nlong.wav,A,x,0\nlong.wav,A,y,12.25\none/001.wav,A,x,\ntwo/001.wav,A,y,\nb.wav,A,x,3\n",
    )
    assert table.recording.to_list() == ["b", "long@0", "long@12.25", "one/001", "two/001"]
    assert table.source.to_list() == [
        "b",
        "long",
        "long",
        "one/001",
        "two/001",
    ]  # what is cut from one file has one source


def test_tabs_signs_of_excel_and_blank_lines(folder):
    assert read(
        folder, "audio\tspeaker\tlabel\na.wav\tA, B\tx\n", "recordings.tsv"
    ).speaker.to_list() == ["A, B"]
    assert len(read(folder, "\ufeff" + HEADER + "\n a.wav , A , x \n,,\nZoë 1.wav,B,y\n")) == 2


def test_speakers_as_target(folder):
    for text in ("audio,speaker\na.wav,Zoe\nb.wav,Ann\n", HEADER + "a.wav,Zoe,\nb.wav,Ann,x\n"):
        assert list(read(folder, text, target="speaker").label) == ["Zoe", "Ann"]


def test_a_line_without_video_among_others_is_left_out(folder):
    table = read(folder, "audio,speaker,label,video\na.wav,A,x,a.mp4\nb.wav,A,x,\n")
    assert table.recording.to_list() == ["a"] and list(table.attrs["incomplete"]) == ["b"]


def test_own_split_becomes_the_fold(folder):
    text = (
        "audio,speaker,label,split\na.wav,A,x,train\none/001.wav,A,y,train\nb.wav,B,x,test\n"
        "long.wav,C,x,validation\n"
    )
    table = read(folder, text)
    (fold,) = folds_of(table, Corpus(protocol="given"))
    assert [
        table.recording[rows].to_list() for rows in (fold.train, fold.validation, fold.test)
    ] == [["001", "a"], ["long"], ["b"]]


def test_names_are_what_was_written(folder):
    names = ["None", "NA", "007", "1e5", "true", "nan", "N/A", "悲伤", '"x"', 'O\'Neil, "Ann"']
    lines = [[name, "a.wav", name, name] for name in names]
    with open(folder / "names.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["recording", "audio", "speaker", "label"], *lines])
    table = corpora.read(Corpus(layout="manifest", path=str(folder / "names.csv")))
    for column in ("recording", "speaker", "label"):
        assert sorted(table[column]) == sorted(names)


def test_quotes_behind_a_space_and_blank_lines_above(folder):
    table = read(folder, '\n \naudio, speaker, label\na.wav, "Ann, Dr.", "x" \nb.wav, Ben, y\n')
    assert table.speaker.to_list() == ["Ann, Dr.", "Ben"] and table.label.to_list() == ["x", "y"]


def test_time_spans_of_audformat(folder):
    table = read(
        folder, "audio,start,end,speaker,label\na.wav,0 days 00:00:01.5,0 days 00:01:02,A,x\n"
    )
    assert (table.audio_start[0], table.seconds[0]) == (1.5, 60.5)


TRIALS = {
    "plain.txt": "\ufeff1 a b\r\n\n0 a 001\n",
    "kaldi.txt": "a b target\na 001 nontarget\n",
    "header.csv": "label,enrol,test\n1,a,b\n0,a,001\n",
    "last.csv": 'a, "b", target\na.wav,001,nontarget\n',
}


@pytest.mark.parametrize("name", TRIALS)
def test_trials_are_pairs_of_recordings_whose_speakers_are_not_trained_on(folder, name):
    (folder / name).write_text(TRIALS[name], encoding="utf-8")
    text = HEADER + "a.wav,A,x\nb.wav,A,y\none/001.wav,B,x\nlong.wav,C,x\nZoë 1.wav,D,y\n"
    corpus = {"layout": "manifest", "path": str(folder / "recordings.csv"), "trials": [name]}
    table = read(folder, text, trials=[name])
    assert table.speaker.to_list() == ["D", "C"]
    pairs, files, missing = corpora.trials(Corpus(**corpus))
    assert pairs.genuine.to_list() == [True, False] and not missing
    speakers = files.set_index("recording").speaker
    assert speakers[pairs["first"]].to_list() == ["A", "A"]
    assert speakers[pairs["second"]].to_list() == ["A", "B"]


def test_parts_of_recordings_are_compared(folder):
    (folder / "trials.txt").write_text("1 x y\n0 x gone\n")
    text = (
        "recording,audio,start,end,speaker,label\nx,a.wav,1,2,A,u\ny,a.wav,3,,A,v\nz,b.wav,,,B,u\n"
    )
    read(folder, text)
    path = str(folder / "recordings.csv")
    _, files, missing = corpora.trials(Corpus(layout="manifest", path=path, trials=["trials.txt"]))
    assert files.audio_start.to_list() == [1, 3] and files.seconds[0] == 1
    assert missing == ["gone"]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "trials.txt has no line such as '1 a b'"),
        ("1 a b\n2 a b\n", "line 2 of .*trials.txt is not written as '1 a b' or 'a b target' is"),
        ("a b target\na b\n", "line 2 of .*trials.txt is not written as"),
        ("1 a b\n", "all speakers in .* are in the lists of corpus.trials"),
    ],
)
def test_faulty_trials(folder, text, sentence):
    (folder / "trials.txt").write_text(text)
    with pytest.raises(InvalidCorpus, match=sentence):
        read(folder, HEADER + "a.wav,A,x\nb.wav,A,y\n", trials=["trials.txt"])


def test_files_are_looked_for_beside_the_manifest_first(folder):
    shared = paths.CORPORA[0] / "elsewhere"
    shared.mkdir(parents=True)
    (shared / "far.wav").touch()
    (paths.CORPORA[0] / "a.wav").touch()
    table = read(folder, HEADER + f"elsewhere/far.wav,A,x\na.wav,A,x\n{folder}/b.wav,A,x\n")
    assert table.audio.to_list() == [
        str(folder / "a.wav"),
        str(folder / "b.wav"),
        str(shared / "far.wav"),
    ]


FAULTS = [
    ("audio,speaker\na.wav,A\n", r"recordings.csv has no column 'label' \(it has audio, speaker\); add it"),
    ("audio;speaker;label\na.wav;A;x\n", "recordings.csv separates columns by ';'; separate columns by commas .*, and write numbers with a point"),
    (HEADER.replace("label", "label,label") + "a.wav,A,x,y\n", "has the column 'label' more than once"),
    (HEADER.replace("label", "label,strat") + "a.wav,A,x,1\n", "has a column 'strat'; rename it to 'start' if"),
    (HEADER.replace("label", "label,split,fold") + "a.wav,A,x,test,1\n", "both the columns 'split' and 'fold'"),
    (HEADER.replace("label", "label,split") + "a.wav,A,x,train\nb.wav,A,x,dev\n", "line 3 of .*recordings.csv has 'dev' as split; choose from"),
    (HEADER.replace("label", "label,split") + "a.wav,A,x,train\nb.wav,A,x,\n", "line 3 of .*recordings.csv has '' as split"),
    (HEADER + "a.wav,A,x\n\nb.wav,,x\n", "line 4 of .*recordings.csv has an empty cell in column 'speaker'; fill it"),
    (HEADER + "a.wav,A\n", "line 2 of .*recordings.csv has an empty cell in column 'label'"),
    (HEADER + "a.wav,A,x,y\n", "line 2 of .*recordings.csv has 4 cells, but the header names 3 columns; put cells that hold commas in quotes"),
    (HEADER + "a.wav,A,x,\n", "line 2 of .*has 4 cells, .* and no comma behind the last cell"),
    ("file,start,end,speaker,label\na.wav,0,1,A,x\n", "has a column 'file'; rename it to 'audio' if that is meant"),
    ("audio,spk_id,label\na.wav,A,x\n", "has a column 'spk_id'; rename it to 'speaker' if"),
    ("audio,speaker,emotion\na.wav,A,x\n", "has a column 'emotion'; rename it to 'label' if"),
    (HEADER + "a.wav,A,x\nb.wav,A,X\n", "the label 'x' and the label 'X' in .* differ only in spelling; write them alike"),
    (HEADER + "a.wav,01,x\nb.wav,1.0,y\n", "the speaker '01' and the speaker '1.0' in .* differ only in spelling"),
    (HEADER + 'a.wav,A,"x\n\ny"\nb.wav,,x\n', "line 5 of .*recordings.csv has an empty cell in column 'speaker'"),
    (HEADER + 'a.wav,"A,x\n', "line 2 of .*recordings.csv has a quote that is not closed"),
    ("", "recordings.csv is no table in CSV"),
    (HEADER, "no usable recording lies in .*recordings.csv"),
    (HEADER + "a.wav,A,x\nc.wav,A,x\n", "line 3 of .*recordings.csv names the audio file c.wav, which does not exist"),
    (HEADER + "../else.wav,A,x\n", "mine/../else.wav lies outside of .*mine and of the corpora folders; move it there, or allow it with"),
    (HEADER + "/etc/passwd,A,x\n", "/etc/passwd lies outside of .*mine and of the corpora folders"),
    (HEADER + "linked.wav,A,x\n", "mine/linked.wav lies outside of .*mine and of the corpora folders"),
    (HEADER + "linked/else.wav,A,x\n", "mine/linked/else.wav lies outside of .*mine and of the corpora folders"),
    (HEADER.replace("label", "label,video") + "a.wav,A,x,c.mp4\n", "line 2 of .*names the video file c.mp4"),
    (HEADER.replace("label", "label,face") + "a.wav,A,x,up\n", "line 2 of .*names the face file up"),
    (HEADER.replace("label", "label,start,end") + "a.wav,A,x,2,1.5\n", "line 2 of .*ends at 1.5 s, not after its start at 2 s; correct"),
    (HEADER.replace("label", "label,end") + "a.wav,A,x,0\n", "line 2 of .*ends at 0 s, not after its start at 0 s"),
    (HEADER.replace("label", "label,start") + "a.wav,A,x,-1\n", "line 2 of .*has '-1' as start; write seconds from 0 on"),
    (HEADER.replace("label", "label,start") + "a.wav,A,x,1:30\n", "line 2 of .*has '1:30' as start"),
    (HEADER.replace("label", "label,end") + "a.wav,A,x,inf\n", "line 2 of .*has 'inf' as end"),
    (HEADER + "a.wav,A,x\nb.wav,B,x\na.wav,A,y\n", "line 4 of .*has the recording name a@0 of line 2; drop one"),
    (HEADER.replace("label", "label,recording") + "a.wav,A,x,same\nb.wav,A,x,same\n", "line 3 of .*has the recording name same of line 2"),
]  # fmt: skip


@pytest.mark.parametrize("text, sentence", FAULTS)
def test_faults(folder, text, sentence):
    with pytest.raises(InvalidCorpus, match=sentence) as caught:
        read(folder, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(folder):
    (folder / "recordings.csv").write_bytes((HEADER + "a.wav,Zoë,x\n").encode("latin-1"))
    with pytest.raises(
        InvalidCorpus,
        match="recordings.csv is no table in CSV .*utf-8.*save it there as CSV in UTF-8",
    ):
        corpora.read(Corpus(layout="manifest", path=str(folder / "recordings.csv")))
    with pytest.raises(
        InvalidCorpus,
        match="the manifest .*mine does not exist; put it there, or name another with",
    ):
        corpora.read(Corpus(layout="manifest", path=str(folder)))


def test_nothing_is_published_or_made():
    assert corpora.published(Corpus(layout="manifest")) == {}
    with pytest.raises(
        InvalidParameter, match="'corpus.synthetic' cannot create a manifest; set it to null"
    ):
        demo.ensure(Corpus(layout="manifest", synthetic=Synthetic()))


def test_the_example_is_over_real_clips(real, monkeypatch):
    monkeypatch.setattr(paths, "CORPORA", (paths.PARAMS / "examples", real))
    settings = load(dataset="grid-example")
    table = corpora.read(settings.corpus)
    assert table.recording.to_list() == ["bbaf2n", "brbk7n", "lbax4n", "lbbc2a", "lrwp9a", "lwbsza"]
    # the sentence's first letter, in GRID's code the command
    assert [label[0] for label in table.label] == [name[0] for name in table.recording] and (
        table.audio == table.video
    ).all()
    (fold,) = folds_of(table, settings.corpus)
    assert len(fold.train) == 4 and not set(table.speaker[fold.train]) & set(
        table.speaker[fold.test]
    )


# face measurements


MEASURED = "recording,brow,lip\na,1,2\na,3,4\nelse,5,6\n"
# a row every 0.2 s from 0.1 s on: brow is the time, lip its square
COURSE = "recording,time,brow,lip\n" + "".join(
    f"a,{t / 10},{t / 10},{t * t / 100}\n" for t in range(1, 30, 2)
)


def measured(folder, text, **given):
    (folder / "faces.csv").write_text(text)
    corpus = Corpus(
        layout="manifest",
        path=str(folder / "recordings.csv"),
        features=str(folder / "faces.csv"),
        **given,
    )
    return corpora.read(corpus), corpus


def test_measurements_stand_for_the_video(folder):
    (folder / "recordings.csv").write_text(
        "audio,speaker,label,features,video\na.wav,A,x,,\nb.wav,B,x,else,gone.mp4\nlong.wav,C,x,,\n"
    )
    table, corpus = measured(folder, MEASURED)
    assert table.features.to_list() == ["a", "else"] and set(table.video) == {""}
    assert table.attrs["incomplete"] == {"long": f"recording long has no row in {folder}/faces.csv"}
    first, second = features.measurements(table, corpus, 25)
    assert first.tolist() == [[1, 2], [3, 4]] and second.tolist() == [[5, 6]]
    assert not features.timed(corpus.features) and features.columns(corpus.features) == [
        "brow",
        "lip",
    ]


def test_names_of_measurements_are_ignored_without_their_table(folder):
    own = {"text": "audio,speaker,label,features\na.wav,A,x,b\nb.wav,B,x,a\n"}
    assert set(read(folder, **own).features) == {""}


def test_a_picture_behind_a_link_is_as_any_file(folder):
    own = {"text": "audio,video,speaker,label\na.wav,faces,A,x\n"}
    (folder.parent / "secret.jpg").touch()
    (folder / "faces" / "2.jpg").symlink_to(folder / "faces" / "1.jpg")
    assert len(read(folder, **own)) == 1
    (folder / "faces" / "3.jpg").symlink_to(folder.parent / "secret.jpg")
    with pytest.raises(InvalidCorpus, match="faces/3.jpg lies outside of .*mine"):
        read(folder, **own)
    assert len(read(folder, **own, outside=True)) == 1


def test_measurements_with_time_become_frames(folder):
    (folder / "recordings.csv").write_text(HEADER + "a.wav,A,x\n")
    table, corpus = measured(folder, COURSE)
    assert features.timed(corpus.features) and features.columns(corpus.features) == ["brow", "lip"]
    (frames,) = features.measurements(table, corpus, 25)
    moments = np.arange(73) / 25  # up to the last row, at 2.9 s
    assert frames.shape == (73, 2) and frames.dtype == np.float32
    np.testing.assert_allclose(
        frames[:, 0], np.maximum(moments, 0.1), atol=1e-6
    )  # before the first row that one holds
    at = frames[10, 1]  # 0.4 s, half-way between the rows at 0.3 and 0.5
    assert at == pytest.approx((0.09 + 0.25) / 2)


def test_parts_of_a_recording_take_their_part_of_the_measurements(folder):
    (folder / "recordings.csv").write_text(
        "recording,audio,speaker,label,start,end,features\np,long.wav,A,x,1,1.28,a\nq,long.wav,A,y,2.5,,a\nr,long.wav,A,y,2,9,a\n"
    )
    table, corpus = measured(folder, COURSE)
    p, q, r = features.measurements(table, corpus, 25)
    np.testing.assert_allclose(p[:, 0], 1 + np.arange(7) / 25, atol=1e-6)
    np.testing.assert_allclose(q[:, 0], 2.5 + np.arange(11) / 25, atol=1e-6)
    assert len(r) == 23  # the measurements end first
    # the rows of speaker A are standardised before, once
    scaled = features.measurements(
        table, Corpus(**{**corpus.model_dump(), "standardise": "speaker"}), 25
    )[0]
    brow = np.arange(1, 30, 2) / 10
    np.testing.assert_allclose(scaled[:, 0], (p[:, 0] - brow.mean()) / brow.std(ddof=1), atol=1e-5)


FAULTY = [
    ("recording,time,brow\na,0.2,1\nb,0.1,1\na,0.1,1\n", "line 4 of .*faces.csv has the time 0.1 s, before 0 or not after .* recording a; sort"),
    ("recording,time,brow\na,-0.2,1\n", "line 2 of .*faces.csv has the time -0.2 s"),
    ("recording,time,brow\na,soon,1\n", "line 2 of .*faces.csv has 'soon' where a finite number is needed"),
    ("recording,time\na,0.2\n", "faces.csv has no column of measurements"),
    ("recording,brow\na,1\n,2\n", "line 3 of .*faces.csv names no recording"),
    ("recording,brow\na,1\na,2,3,4\n", "line 3 of .*faces.csv has 4 cells, but the header names 2 columns"),
    ("recording,Time,brow\na,0.2,1\n", "faces.csv has a column 'Time'; rename it to 'time' if that is meant"),
    ("frame,timestamp,brow\na,0.2,1\n", "faces.csv has a column 'timestamp'; rename it to 'time'"),
    ('recording,brow\n"a\n",1\n\na,"0,5"\n', "line 5 of .*faces.csv has '0,5' where a finite number is needed"),
    ("", "faces.csv is no table in CSV"),
    ("recording,brow\nb,1\n", "no usable recording .*1 were left out, the first because recording a has no row in"),
]  # fmt: skip


@pytest.mark.parametrize("text, sentence", FAULTY)
def test_faulty_measurements(folder, text, sentence):
    (folder / "recordings.csv").write_text(HEADER + "a.wav,A,x\n")
    with pytest.raises(InvalidCorpus, match=sentence):
        measured(folder, text)


@pytest.mark.parametrize("start, end", [("4", ""), ("0", "0.05")])
def test_a_part_without_measurements(folder, start, end):
    (folder / "recordings.csv").write_text(
        f"audio,speaker,label,start,end\na.wav,A,x,{start},{end}\n"
    )
    table, corpus = measured(folder, COURSE)
    with pytest.raises(
        InvalidCorpus,
        match=f"of recording a are from 0.1 to 2.9 s, not in its part from {start} s on; correct",
    ):
        features.measurements(table, corpus, 25)


def test_a_part_between_two_measurements(folder):
    (folder / "recordings.csv").write_text("audio,speaker,label,start,end\na.wav,A,x,0.32,0.44\n")
    table, corpus = measured(folder, COURSE)
    np.testing.assert_allclose(
        features.measurements(table, corpus, 25)[0][:, 0], [0.32, 0.36, 0.40], atol=1e-6
    )
