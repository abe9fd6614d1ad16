"""Published folds: EmoBox's JSON Lines and audformat's tables as the folds of a corpus, matched by
the names of its files."""

from __future__ import annotations

import json

import pytest

from kdlib.errors import InvalidCorpus
from kdsuite import demo, paths
from kdsuite.data import checks, corpora, store
from kdsuite.data.folds import chosen_folds
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus, Synthetic
from kdsuite.runs.plan import size
from kdsuite.runs.run import Run
from kdsuite.settings import load, relevant
from tests.data.test_ravdess import official_takes

EMOTIONS = "Neutral Calm Happy Sad Angry Fearful Disgust Surprised".split()


def emobox(folder, sides, wav, name="ravdess"):
    """Write lists as EmoBox does: ``data/<corpus>/fold_N/<corpus>_<side>_fold_N.jsonl``, beside
    them the list of all recordings and the map of its labels."""
    for (fold, side), stems in sides.items():
        file = folder / f"fold_{fold}" / f"{name}_{side}_fold_{fold}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            {"key": f"{name}-{stem}", "dataset": name, "wav": wav.format(stem, stem[-2:]), "type": "raw", "sample_rate": 48000,
             "num_frame": 179379.0, "task": "category", "length": 3.7370625, "emo": EMOTIONS[0], "channel": 1}
            for stem in stems
        ]  # fmt: skip
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        file.with_suffix(".json").write_text("{}")
    (folder / f"{name}.jsonl").write_text("not looked at")
    (folder / "label_map.json").write_text("{}")


@pytest.fixture
def ravdess(own_data):
    """The speech and song of RAVDESS as names of files, and EmoBox's six folds of four
    actors, which hold speech alone."""
    home = paths.CORPORA[0]
    for take in official_takes():
        folder = home / "ravdess" / f"Actor_{take[-2:]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"01-{take}.mp4").write_text(take)
    speech = [f"03-{take}" for take in official_takes() if take.startswith("01")]
    sides = {
        (fold + 1, side): [
            stem for stem in speech if (int(stem[-2:]) % 6 == fold) == (side == "test")
        ]
        for fold in range(6)
        for side in ("train", "test")
    }
    wav = "downloads/ravdess/audio/Audio_Speech_Actors_01-24/Actor_{1}/{0}.wav"
    emobox(home / "EmoBox/data/ravdess", sides, wav)
    return home


def ravdess_corpus(**given):
    return Corpus(path="ravdess", protocol="given", folds_from=["EmoBox/data/ravdess"], **given)


def test_the_folds_of_emobox(ravdess):
    corpus = ravdess_corpus(channels=["speech"], calm="own")
    table = corpora.read(corpus)
    folds = folds_of(table, corpus)
    assert len(table) == 1440 and table.attrs["remarks"] == []
    assert [fold.name for fold in folds] == [f"fold_{n}_ravdess_fold_{n}" for n in range(1, 7)]
    for number, fold in enumerate(folds):
        actors = {f"Actor_{actor:02d}" for actor in range(1, 25) if actor % 6 == number}
        assert {*table.speaker[fold.test]} == actors and len(fold.test) == 240
        assert len(fold.train) == 1200 and not {*table.speaker[fold.train]} & actors
    assert "no speaker is on both sides" in checks.verdict(
        checks.leaks(table, folds, corpus), corpus
    )


def test_recordings_of_one_side_only_are_counted_and_left_out(ravdess):
    for actor in ("01", "02"):
        for file in (ravdess / f"ravdess/Actor_{actor}").glob("01-01-*"):
            file.unlink()
    corpus = ravdess_corpus()
    table = corpora.read(corpus)
    (remark,) = table.attrs["remarks"]
    assert remark == (
        "corpus.folds_from lists 1440 recordings; the corpus lacks 120 of them; of its "
        "2332 recordings, 1012 are in no list and are skipped"
    )
    assert f"{remark}." in checks.warnings(table, corpus)
    assert len(table) == 1320 and {*table.recording.str[:2]} == {"01"}
    assert len(corpora.read(Corpus(path="ravdess", folds_from=corpus.folds_from))) == 2332


def test_ten_folds_are_in_the_order_of_their_numbers(ravdess):
    stems = [f"03-{take}" for take in official_takes() if take[-2:] == "01" and take[:2] == "01"]
    sides = {(n, side): stems for n in range(7, 12) for side in ("train", "test")}
    emobox(ravdess / "EmoBox/data/ravdess", sides, "{0}.wav")
    corpus = ravdess_corpus()
    table = corpora.read(corpus)
    folds = folds_of(table, corpus)
    assert [fold.name.rpartition("_")[2] for fold in folds] == [str(n) for n in range(1, 12)]
    # recordings that a list has on both sides are a leak, which is told
    assert checks.verdict(checks.leaks(table, folds, corpus), corpus).startswith("LEAK: ")


@pytest.fixture
def manifest(own_data):
    """Recordings of one's own, two of them cut from one file, two of one name in two folders."""
    home = paths.CORPORA[0] / "mine"
    rows = []
    names = ["wav/a.wav", "wav/b.wav", "wav/c.wav", "one/x.wav", "two/x.wav", "wav/long.wav", "wav/long.wav"]  # fmt: skip
    for number, name in enumerate(names):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(name.encode())
        start = {5: "0", 6: "2.5"}.get(number, "")
        rows.append(f"{name},{start},S{number // 2},{'xy'[number % 2]}")
    (home / "recordings.csv").write_text("\n".join(["audio,start,speaker,label", *rows]) + "\n")
    return home


def own(*lists):
    return Corpus(layout="manifest", path="mine/recordings.csv", protocol="given", folds_from=list(lists))  # fmt: skip


def sides(corpus):
    table = corpora.read(corpus)
    return [
        {side: table.recording[getattr(fold, side)].to_list() for side in ("train", "validation", "test")}
        for fold in folds_of(table, corpus)
    ]  # fmt: skip


def test_tables_of_audformat(manifest):
    """As ``audformat.Database.save`` writes them with storage_format csv: filewise and segmented."""
    files = {
        "emotion": "file,emotion\nwav/a.wav,x\n",
        "files": "file,speaker\nwav/a.wav,1\n",
        "emotion.categories.train.gold": "file,emotion\nwav/a.wav,x\nwav/b.wav,y\none/x.wav,y\n",
        "emotion.categories.dev.gold": "file,emotion\nwav/c.wav,x\n",
        "emotion.categories.test.gold": (
            "file,start,end,emotion\ntwo/x.wav,0 days 00:00:00,,x\n"
            "wav/long.wav,0 days 00:00:02.500000,0 days 00:00:04,x\nwav/gone.wav,0 days,0 days 00:00:01,x\n"
        ),
    }
    for name, text in files.items():
        (manifest / f"db.{name}.csv").write_text(text)
    (manifest / "recordings.csv").rename(manifest.parent / "recordings.csv")
    corpus = own("mine").model_copy(update={"path": "recordings.csv"})
    text = (manifest.parent / "recordings.csv").read_text().replace("\n", "\nmine/").removesuffix("mine/")  # fmt: skip
    (manifest.parent / "recordings.csv").write_text(text)
    assert sides(corpus) == [
        {
            "train": ["a", "b", "mine/one/x"],
            "validation": ["c"],
            "test": ["long@2.5", "mine/two/x"],
        }
    ]
    assert corpora.read(corpus).attrs["remarks"] == [
        "corpus.folds_from lists 7 recordings; the corpus lacks 1 of them; of its "
        "7 recordings, 1 are in no list and are skipped"
    ]


def test_a_file_without_start_means_all_that_is_cut_from_it(manifest):
    (manifest / "train.csv").write_text("path\nelsewhere/one/x.wav\nelsewhere/two/x.wav\n")
    (manifest / "test.csv").write_text("path\nelsewhere/wav/long.wav\n")
    assert sides(own("mine/train.csv", "mine/test.csv")) == [
        {"train": ["one/x", "two/x"], "validation": [], "test": ["long@0", "long@2.5"]}
    ]


def test_a_speaker_on_both_sides_is_told_and_not_refused(manifest):
    (manifest / "train.csv").write_text("file\none/x.wav\ntwo/x.wav\n")
    (manifest / "test.csv").write_text("file\nwav/long.wav\n")
    corpus = own("mine/train.csv", "mine/test.csv")
    table = corpora.read(corpus)
    split = checks.leaks(table, folds_of(table, corpus), corpus)
    assert split["speakers on both sides"].to_list() == [1]
    assert checks.verdict(split, corpus).startswith("LEAK: protocol given has speakers on both")


def test_the_name_of_a_recording_counts_too(manifest):
    (manifest / "test.tsv").write_text("file\tfold\nlong@0\t1\na\t1\n")
    (manifest / "train.tsv").write_text("file\twav\nb\tx\nc\ty\n")
    assert sides(own("mine/train.tsv", "mine/test.tsv")) == [
        {"train": ["b", "c"], "validation": [], "test": ["a", "long@0"]}
    ]
    # a number behind its point is no ending of a file
    (manifest / "test.tsv").write_text("file\tfold\nlong@2.5\t1\na\t1\n")
    assert sides(own("mine/train.tsv", "mine/test.tsv")) == [
        {"train": ["b", "c"], "validation": [], "test": ["a", "long@2.5"]}
    ]


def test_a_part_that_the_corpus_lacks_is_no_other_part_of_its_file(manifest):
    (manifest / "train.csv").write_text("file,start\nwav/b.wav,0\nwav/c.wav,0\nwav/long.wav,0\n")
    (manifest / "test.csv").write_text("file,start\nwav/a.wav,0\nwav/long.wav,1.5\n")
    corpus = own("mine/train.csv", "mine/test.csv")
    assert sides(corpus) == [{"train": ["b", "c", "long@0"], "validation": [], "test": ["a"]}]
    table = (manifest / "recordings.csv").read_text()
    (manifest / "recordings.csv").write_text(table.replace("long.wav,0,", "long.wav,4,"))
    assert sides(corpus) == [{"train": ["b", "c"], "validation": [], "test": ["a"]}]
    (manifest / "recordings.csv").write_text(table)
    assert "the corpus lacks 1 of them" in corpora.read(corpus).attrs["remarks"][0]


@pytest.mark.parametrize(
    "name,text,said",
    [
        ("test.csv", "emotion\nx\n", "line 2 of .*test.csv names no file"),
        ("test.csv", "file\nq.wav\n", "lists 1 recordings; the corpus lacks 1 of them.*; name lists"),
        ("train.csv", "file\na.wav\n", "name lists for .* that have train or test in their names"),
        ("test.jsonl", '{"wav": "a.wav"}\n{"wav": ', "test.jsonl is no list in JSON Lines"),
        ("test.jsonl", '{"wav": "a.wav"}\n3\n', "test.jsonl is no list in JSON Lines"),
        ("test.jsonl", '{"wav": "a.wav"}\n{"key": "b"}\n', "line 2 of .*test.jsonl names no file"),
        ("test.jsonl", '{"wav": "a.wav"}\n', "fold 0 tests class 'x', but no training recording of it"),
        ("test.csv", 'file\n"a.wav\n', "quote that is not closed"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_used_is_one_sentence(manifest, name, text, said):
    (manifest / name).write_text(text)
    with pytest.raises(InvalidCorpus, match=said) as caught:
        sides(own(f"mine/{name}"))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_an_absent_list_is_named(manifest):
    with pytest.raises(InvalidCorpus, match="test.csv cannot be read.*folds_from"):
        corpora.read(own("mine/test.csv"))


@pytest.mark.parametrize("name", ["absent", "folds.csv", "valence.csv", "test.txt"])
def test_a_name_that_is_no_list_is_not_passed_over(manifest, name):
    if "." in name:
        (manifest / name).write_text("file\nwav/a.wav\n")
    with pytest.raises(InvalidCorpus, match=f"{name} is no folder, and no list of a fold"):
        corpora.read(own(f"mine/{name}"))


def test_parameters_and_names_of_runs_without_lists_are_those_of_before():
    settings = load(dataset="demo-ravdess")
    assert "folds_from" not in relevant(settings, "student")["corpus"]
    listed = load(dataset="demo-ravdess", corpus={"folds_from": ["mine"], "protocol": "given"})
    assert relevant(listed, "teacher")["corpus"]["folds_from"] == ["mine"]
    assert Run("student", listed).key != Run("student", settings).key


def test_changed_lists_make_runs_out_of_date_and_decode_nothing(manifest):
    def identity():
        settings = load(dataset="grid-example", corpus=own("mine").model_dump())
        return [*corpora.on_disk(settings).values()]

    (manifest / "train.csv").write_text("file\nwav/a.wav\nwav/b.wav\n")
    (manifest / "test.csv").write_text("file\nwav/c.wav\nwav/long.wav\n")
    before = identity()
    (manifest / "train.csv").write_text("file\nwav/a.wav\nwav/b.wav\nwav/c.wav\n")
    after = identity()
    assert all(before) and before[0] == after[0] and before[1] != after[1]


def test_a_changed_fold_of_a_manifest_makes_runs_out_of_date_and_decodes_nothing(manifest):
    file, found = manifest / "recordings.csv", []
    header, *rows = file.read_text().splitlines()
    for folds in ("1122112", "1122111"):
        lines = [f"{header},fold", *map(",".join, zip(rows, folds))]
        file.write_text("\n".join(lines) + "\n")
        settings = load(dataset="grid-example", corpus=own().model_dump())
        found.append(corpora.on_disk(settings))
    assert found[0]["store"] == found[1]["store"] != ""
    assert found[0]["split"] != found[1]["split"]
    random = settings.changed(corpus={"protocol": "random"})
    assert corpora.on_disk(random)["split"] == ""


@pytest.mark.slow
def test_the_synthetic_ravdess_trains_on_published_folds(own_data):
    """A run of the demo's tree on two folds of lists: the tested recordings are the lists'."""
    made = Corpus(path="tree", synthetic=Synthetic(actors=4, takes=12, actors_without_song=[], seconds=0.5, video_size=(64, 48)))  # fmt: skip
    settings = load(dataset="demo-ravdess", corpus=made.model_dump())
    demo.ensure(made)
    stems = sorted("03" + file.stem[2:] for file in (paths.CORPORA[0] / "tree").rglob("*.mp4"))
    lists = {
        (n, side): [stem for stem in stems if (int(stem[-2:]) % 2 == n) == (side == "test")]
        for n in (0, 1)
        for side in ("train", "test")
    }
    emobox(paths.CORPORA[0] / "lists", lists, "{0}.wav")
    settings = settings.changed(corpus={"protocol": "given", "folds_from": ["lists"]})
    data = store.prepare(settings, 1)
    found = chosen_folds(data.recordings, settings)
    assert [len(fold.test) for fold in found] == [len(lists[n, "test"]) for n in (0, 1)]
    assert all(
        {*data.recordings.recording[fold.test]} == {stem[3:] for stem in lists[n, "test"]}
        for n, fold in enumerate(found)
    )


def test_a_corpus_that_is_not_here_yet_can_be_planned(own_data):
    given = {"protocol": "given", "folds_from": ["EmoBox/data/ravdess"]}
    assert size(load(dataset="ravdess", corpus=given)).folds == 12
