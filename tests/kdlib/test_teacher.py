"""The frozen teacher: peak frame and segment means by hand, trained once, never changed by what
follows."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from kdlib import dataset as ragged
from kdlib import teacher
from kdlib.errors import InvalidParameter
from kdlib.models.network import build_teacher
from kdsuite import paths
from kdsuite.data.folds import folds as folds_of
from kdsuite.parameters import Corpus
from kdsuite.runs import stages
from kdsuite.runs.run import Run
from kdsuite.settings import relevant
from tests.conftest import noise_store, small


def ensure(settings, store, groups=3):
    folds = folds_of(store.recordings, Corpus(groups=groups))[:1]
    return stages.teachers(settings, store, folds)[0]


def test_peak_frame_by_hand():
    probabilities = torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.8, 0.2]])
    assert (
        teacher.peak_score(probabilities.log()).argmax() == 1
    )  # the highest probability of any class in any frame
    torch.testing.assert_close(
        teacher.peak_score(probabilities.log()).sigmoid(), probabilities.max(dim=1).values
    )


def test_a_certain_teacher_has_a_peak_frame_too():
    """Where probabilities round to 1 in every frame, the first of them would win: here the last is
    the surest."""
    logits = torch.tensor([[40.0, 0.0, 1.0], [0.0, 45.0, 2.0], [60.0, 0.0, 0.0]])
    assert (logits.softmax(1).max(1).values == 1).all() and teacher.peak_score(logits).argmax() == 2


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_targets_of_the_crop_are_what_the_teacher_makes_of_its_frames(own_data, setting):
    store, settings = (
        noise_store(),
        small(backbone="vgg", setting=setting, training={"target_stretch": "crop"}),
    )
    privileged = ensure(settings, store)
    rows, first = torch.tensor([1, 4]), torch.tensor([5, 0])
    ours = privileged.targets(rows, first, settings, timed=True)
    with torch.autocast("cpu", torch.bfloat16):  # as a student's forward pass may be
        again = privileged.targets(rows, first, settings, timed=True)
    assert torch.equal(again.probabilities, ours.probabilities)
    assert torch.equal(again.embedding, ours.embedding)
    network = build_teacher(settings, 2, store.frames.values.shape[1:])
    network.load_state_dict(load_file(privileged.folder / "weights.safetensors"))
    network.eval()
    for place, (row, start) in enumerate(zip(rows.tolist(), first.tolist())):
        frames = teacher.to_input(
            store.frames[row][start : start + 20 : 5]
        )  # four of them are a crop of 0.8 s
        with torch.no_grad():
            if setting == "nonseq":
                embeddings = network.encoder(frames)
                probabilities = network.head(embeddings).softmax(1)
                best = probabilities.max(1).values.argmax()
                whole, soft = embeddings[best], probabilities[best]
            else:
                output = network(frames[None])
                whole, soft = output.final[0], output.logits.softmax(1)[0]
        torch.testing.assert_close(ours.probabilities[place], soft)
        if setting != "em":
            torch.testing.assert_close(ours.embedding[place], whole)


def test_targets_of_the_crop_need_measurements_that_carry_time(own_data):
    store = replace(noise_store(measurements=6), fps=None)
    with pytest.raises(
        InvalidParameter,
        match="'training.target_stretch' is 'crop', but .* have no times; use recording",
    ):
        ensure(small(backbone="vgg", training={"target_stretch": "crop"}), store)


@pytest.mark.parametrize("measurements", [0, 6])
def test_targets_without_aggregator_belong_to_the_peak_frame(own_data, measurements):
    store, settings = noise_store(measurements=measurements), small(backbone="vgg")
    told = ensure(settings, store)
    network = build_teacher(settings, 2, store.frames.values.shape[1:])
    network.load_state_dict(load_file(told.folder / "weights.safetensors"))
    network.eval()
    for row in (0, 7):
        seen = store.frames[row] if measurements else store.frames[row][::5]
        with torch.no_grad():
            embeddings = network.encoder(teacher.to_input(seen))
            by_frame = network.head(embeddings).softmax(1)
        best = max(range(len(by_frame)), key=lambda frame: by_frame[frame].max())
        assert told.peak[row] == best
        torch.testing.assert_close(told.recording_embedding[row], embeddings[best])
        torch.testing.assert_close(told.probabilities[row], by_frame[best])
        torch.testing.assert_close(told.frames[row], embeddings)


def test_segment_targets_are_means_of_the_frames_inside(own_data):
    store, settings = noise_store(), small(backbone="resnet", setting="em")
    told = ensure(settings, store)
    rows, first = torch.tensor([1, 4]), torch.tensor([5, 0])
    targets = told.targets(rows, first, settings, timed=True)
    # 0.4 s at 25 frames a second, every fifth: two frames a segment; frame 5 is the second of those
    # kept
    assert targets.embedding.shape == (2, 2, 8)
    torch.testing.assert_close(targets.embedding[0, 0], told.frames[1][1:3].mean(0))
    torch.testing.assert_close(targets.embedding[0, 1], told.frames[1][3:5].mean(0))
    torch.testing.assert_close(targets.embedding[1, 1], told.frames[4][2:4].mean(0))


def test_measurements_without_time_belong_to_every_segment(own_data):
    store, settings = noise_store(measurements=6), small(setting="em", backbone="vgg")
    told = ensure(settings, store)
    targets = told.targets(torch.tensor([3]), torch.tensor([4]), settings, timed=False)
    torch.testing.assert_close(targets.embedding, told.frames[3][0].expand(1, 2, 8))
    # of several rows it is their mean, however many the others have
    frames = ragged.Ragged.of(torch.rand(15, 8), torch.tensor([1, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0]))
    several = replace(told, frames=frames)
    targets = several.targets(torch.tensor([3]), torch.tensor([4]), settings, timed=False)
    torch.testing.assert_close(targets.embedding, frames[3].mean(dim=0).expand(1, 2, 8))


def test_aggregated_targets_come_from_all_frames(own_data):
    store, settings = (
        noise_store(),
        small(setting="agg", backbone="vgg", media={"inference": "whole", "frame_stride": 5}),
    )
    told = ensure(settings, store)
    network = build_teacher(settings, 2, store.frames.values.shape[1:])
    network.load_state_dict(load_file(told.folder / "weights.safetensors"))
    row = int(store.frames.lengths.argmin())
    kept = told.frames[row]
    count = (
        -(-int(store.waveforms.lengths[row]) // 6400) * 2
    )  # whole segments, two frames each; short ones start over
    with torch.no_grad():
        a = network.eval().aggregator(kept[torch.arange(count) % len(kept)][None])
    torch.testing.assert_close(told.recording_embedding[row], a[0])
    assert told.peak is None


def test_temperature_softens_the_labels(own_data):
    store, settings = noise_store(), small(backbone="vgg", training={"temperature": 4.0})
    told = ensure(settings, store)
    soft = told.targets(
        torch.arange(12), torch.zeros(12, dtype=torch.long), settings, timed=True
    ).probabilities
    torch.testing.assert_close(soft.sum(1), torch.ones(12))
    torch.testing.assert_close(soft, (told.probabilities.log() / 4).softmax(1))
    assert (soft.max(1).values <= told.probabilities.max(1).values + 1e-6).all()


def test_a_teacher_is_trained_once_whatever_the_student(own_data, monkeypatch):
    store = noise_store()
    first = ensure(small(backbone="vgg", setting="em"), store)
    monkeypatch.setattr(stages, "teacher_trainer", lambda *_: pytest.fail("trained again"))
    again = ensure(
        small(backbone="vgg", setting="agg", alpha=0.9, method="softlabel", model={"width": 0.1}),
        store,
    )
    assert again.folder == first.folder


def test_a_teacher_that_a_gpu_trained_is_found_without_one(own_data):
    """Its arithmetic was another: pages, forecasts and explorers on a CPU ask it all the same."""
    store, settings = noise_store(), small(backbone="vgg")
    told, run = ensure(settings, store), Run("teacher", settings)
    fold = folds_of(store.recordings, Corpus(groups=3))[0]
    place = stages._cached("teachers", run, store, fold, "/fold.json", arithmetic="bf16").parent
    shutil.move(told.folder, place)
    found = stages.trained_teacher(run, store, fold)
    assert found.folder == place and torch.equal(found.probabilities, told.probabilities)
    own = Run("teacher", settings.changed(training={"precision": "float32"}))
    assert stages.trained_teacher(own, store, fold) is None


def test_a_teacher_learns_what_is_there_to_learn(own_data):
    """Frames that are bright for one class and dark for the other are told apart, on speakers never
    seen."""
    store = noise_store()
    owner = torch.repeat_interleave(torch.arange(12), store.frames.lengths)
    store.frames.values[:] = (
        store.frames.values // 4 + (store.labels[owner] * 150)[:, None, None, None]
    ).to(torch.uint8)
    told = ensure(
        small(
            backbone="resnet",
            model={"teacher_width": 0.1},
            training={"epochs": 40, "cycle": 1.0, "learning_rate": [0.001, 0.003]},
        ),
        store,
    )
    tested = folds_of(store.recordings, Corpus(groups=3))[0].test
    assert (told.probabilities[tested].argmax(1) == store.labels[tested]).all()


@pytest.mark.parametrize("setting", ["nonseq", "em"])
@pytest.mark.parametrize("drawn", [None, 4])
def test_a_store_that_does_not_fit_is_streamed_with_the_same_bits(
    own_data, monkeypatch, setting, drawn
):
    settings = small(backbone="resnet", setting=setting, training={"teacher_frames": drawn})
    resident = ensure(settings, noise_store())
    monkeypatch.setattr(ragged, "free_memory", lambda device: 0)
    monkeypatch.setattr(paths, "DATA", own_data / "other")
    gather, threads = ragged.Ragged.take, []
    monkeypatch.setattr(
        ragged.Ragged,
        "take",
        lambda self, items: (threads.append(threading.current_thread().name), gather(self, items))[
            1
        ],
    )
    streamed = ensure(settings, noise_store().to(torch.device("cpu")))
    assert (
        streamed.folder != resident.folder
        and streamed.history[-1]["loss"] == resident.history[-1]["loss"]
    )
    assert torch.equal(streamed.frames.values, resident.frames.values) and torch.equal(
        streamed.recording_embedding, resident.recording_embedding
    )
    assert {name.startswith("ThreadPool") for name in threads} == {
        True,
        False,
    }  # training in a thread ahead, then observation


def gradients(at_once: int | None) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Return loss and gradients of a sequential VGG teacher in float64, and the bytes that its
    activations took."""
    torch.manual_seed(0)
    sequences = torch.rand(3, 4, 3, 32, 32, dtype=torch.float64)
    settings = small(
        backbone="vgg",
        setting="agg",
        model={"teacher_batchnorm": False},
        training={"frames_at_once": at_once},
    )
    network, kept = build_teacher(settings, 2, torch.Size((32, 32, 3))).double(), {}

    def keep(value):
        kept[value.data_ptr()] = value.nbytes
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        loss = network(sequences).logits.logsumexp(1).sum()
    loss.backward()
    return (
        loss.detach(),
        {name: value.grad for name, value in network.named_parameters()},
        sum(kept.values()),
    )


@pytest.mark.parametrize("at_once", [1, 5, 12])
def test_gradients_of_activations_computed_again_are_the_same(at_once):
    (loss, found, kept), (expected, wanted, all_kept) = gradients(at_once), gradients(None)
    assert kept < 0.5 * all_kept  # weights and the frames themselves stay
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert found.keys() == wanted.keys() and any(value.abs().max() > 0 for value in wanted.values())
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_computing_again_is_refused_where_batch_norm_would_notice():
    for given in (
        {"backbone": "resnet"},
        {"backbone": "vgg", "model": {"teacher_batchnorm": True}},
    ):
        with pytest.raises(
            InvalidParameter,
            match="'training.frames_at_once' is 5, but the .* teacher has batch-norm",
        ):
            small(setting="em", training={"frames_at_once": 5}, **given)
    plain, saving = (
        small(
            backbone="vgg",
            setting="em",
            model={"teacher_batchnorm": False},
            training={"frames_at_once": n},
        )
        for n in (None, 5)
    )
    assert relevant(plain, "student") == relevant(saving, "student")
