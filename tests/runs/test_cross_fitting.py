"""Targets of a training recording from a teacher that was not trained on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdlib.dataset import Fold, Ragged
from kdlib.errors import InvalidParameter
from kdlib.teacher import PrivilegedInformation
from kdsuite.runs import stages
from kdsuite.runs.cross_fitting import cross_fitted, parts
from kdsuite.runs.run import Run
from kdsuite.settings import relevant
from tests.conftest import noise_store, small

SIZE = 4
LENGTHS = torch.tensor([9, 12, 10, 11])


def privileged(frames, seed, peak=True):
    """Return what a nonsequential teacher says whose frames have these embeddings."""
    drawn = torch.Generator().manual_seed(seed)
    frames = Ragged.of(frames, LENGTHS)
    place = torch.randint(9, (4,), generator=drawn)
    of_frames = {"peak": place, "confidence": torch.rand(int(LENGTHS.sum()), generator=drawn)}
    whole = frames.values[frames.starts + place]
    probabilities = torch.rand(4, 2, generator=drawn)
    return PrivilegedInformation(frames, whole, probabilities, **(of_frames if peak else {}))


@pytest.mark.parametrize("peak", [True, False])
def test_another_teacher_is_turned_onto_the_own_one(peak):
    frames = torch.randn(int(LENGTHS.sum()), SIZE, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1)))[0]
    own, other = privileged(frames, 2, peak), privileged(frames @ turn + 3, 3, peak)
    if not peak:  # a recording's own embedding has a space, and a turn, of its own
        whole = torch.randn(4, SIZE, generator=torch.Generator().manual_seed(4))
        own, other = (
            replace(own, recording_embedding=whole),
            replace(other, recording_embedding=whole - 2),
        )
    result = cross_fitted(own, [(other, np.array([0, 1, 2]), np.array([3]))])
    torch.testing.assert_close(result.frames.values, frames, atol=0.02, rtol=0)
    assert torch.equal(result.probabilities[3], other.probabilities[3])
    assert torch.equal(result.probabilities[:3], own.probabilities[:3])
    if peak:
        assert result.peak.tolist() == [*own.peak[:3].tolist(), other.peak[3]]
        embedding = result.frames.values[result.frames.starts + result.peak]
        assert torch.equal(result.recording_embedding, embedding)
        last = slice(-int(LENGTHS[3]), None)
        assert torch.equal(result.confidence[last], other.confidence[last])
    else:
        torch.testing.assert_close(
            result.recording_embedding, own.recording_embedding, atol=0.02, rtol=0
        )


def test_the_mean_of_a_recording_follows_its_frames():
    """Also where the own teacher's was asked for before."""
    frames = torch.randn(int(LENGTHS.sum()), SIZE, generator=torch.Generator().manual_seed(0))
    own, other = privileged(frames, 2), privileged(frames.flip(0), 3)
    before = own.mean_embedding.clone()
    result = cross_fitted(own, [(other, np.array([0, 1, 2]), np.array([3]))])
    assert not torch.allclose(result.mean_embedding[3], before[3])
    torch.testing.assert_close(result.mean_embedding[3], result.frames[3].mean(dim=0))
    assert torch.equal(own.mean_embedding, before)


def test_parts_are_speakers_where_the_fold_tests_unknown_ones():
    store = noise_store(24, 6)
    fold = Fold(0, "x", np.arange(4, 24), np.arange(4))
    speakers, seen = store.recordings.speaker.to_numpy(), []
    for rest, rows in parts(store, fold, 2):
        assert not {*speakers[rest.train]} & {*speakers[rows]}
        assert sorted([*rest.train, *rows]) == fold.train.tolist()
        assert rest.labels.tolist() == store.labels[rest.train].tolist()
        seen += rows.tolist()
    assert sorted(seen) == fold.train.tolist()
    known = Fold(0, "x", np.arange(0, 24, 2), np.arange(1, 24, 2))
    store = replace(store, labels=torch.arange(24) // 2 % 2)
    assert [len(rows) for _, rows in parts(store, known, 3)] == [4, 4, 4]


@pytest.mark.parametrize("count", [6, 40])
def test_parts_that_cannot_be(count):
    fold = Fold(0, "x", np.arange(4, 24), np.arange(4))
    with pytest.raises(InvalidParameter, match="'training.cross_fit' is"):
        list(parts(noise_store(24, 6), fold, count))


def test_a_class_that_one_speaker_alone_has_labels_of():
    labels = np.full(20, -1)
    labels[[0, 1, 5]] = 0, 1, 0
    fold = Fold(0, "x", np.arange(4, 24), np.arange(4), labels=labels)
    with pytest.raises(InvalidParameter, match="too few labels of a class"):
        list(parts(noise_store(24, 6), fold, 2))


def test_crops_have_one_teacher():
    with pytest.raises(InvalidParameter, match="one part leaves no recording"):
        small(training={"cross_fit": 1})
    with pytest.raises(InvalidParameter, match="targets of crops come from one teacher"):
        small(training={"cross_fit": 2, "target_stretch": "crop"})


def test_students_learn_from_them(own_data):
    store, settings = noise_store(24, 6), small(training={"cross_fit": 2})
    fold, usual = Fold(0, "x", np.arange(4, 24), np.arange(4)), small()
    assert relevant(usual, "student").keys() == relevant(settings, "student").keys()
    assert "cross_fit" not in relevant(usual, "student")["training"]  # former results stay
    assert relevant(usual, "teacher") == relevant(settings, "teacher")
    own = stages.teachers(settings, store, [fold])
    results = [
        stages.students(Run("student", of), store, [fold], own)[0].probabilities
        for of in (settings, usual)
    ]
    assert not np.array_equal(*results)
    trained = {file.parent.name for file in own_data.rglob("fold.json")}
    assert len(trained) == 3
    fitted, plain = Run("student", settings), Run("student", usual)
    assert fitted.kind == plain.kind == "student" and fitted.code != plain.code
    undistilled = small(alpha=0.0, training={"cross_fit": 2})
    assert Run("student", undistilled).key == Run("student", small(alpha=0.0)).key
