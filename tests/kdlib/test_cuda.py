"""What a GPU asks of the code, checked without one.

On the device ``meta`` nothing is computed, but each upload, reading and data-dependent shape is
seen. Weights of LSTMs are laid into one storage as cuDNN does. CUDA's graphs are played by one that
restores what its recording computed.
"""

import copy
import gc
import itertools
import math
import subprocess
import sys
import weakref
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdlib import dataset, graph, teacher, training
from kdlib import device as kdlib_device
from kdlib.dataset import Dataset, Fold, Ragged
from kdlib.models.network import BACKBONES, SETTINGS, build_student, build_teacher, student
from kdlib.parameters import GRADIENTS, Training
from kdlib.student import build_targets, student_trainer
from kdlib.teacher import PrivilegedInformation, extract_privileged, teacher_trainer
from kdlib.training import Trainer
from kdsuite.runs import checkpoint, stages, student_file
from kdsuite.runs.run import Run
from tests.conftest import noise_store, small

META, CLASSES = torch.device("meta"), 2
NINE = list(itertools.product(BACKBONES, SETTINGS))
FRAME = torch.Size((32, 32, 3))


def flattened(network: nn.Module) -> nn.Module:
    """Lay the weights of each LSTM into one storage, as ``.to("cuda")`` does."""
    for module in network.modules():
        if isinstance(module, nn.LSTM):
            weights = list(module.parameters())
            flat = torch.cat([weight.detach().flatten() for weight in weights])
            for weight, part in zip(weights, flat.split([weight.numel() for weight in weights])):
                weight.data = part.view_as(weight)
    return network


def networks(backbone: str, setting: str) -> list[nn.Module]:
    """Return student and teacher of a small run."""
    settings = small(backbone=backbone, setting=setting)
    return [build_student(settings, CLASSES), build_teacher(settings, CLASSES, FRAME)]


@pytest.mark.parametrize("backbone,setting", NINE)
def test_weights_of_a_gpu_are_written_as_those_of_a_cpu(tmp_path, backbone, setting):
    for network in networks(backbone, setting):
        ours, plain = tmp_path / "ours", tmp_path / "plain"
        save_model(network, str(plain), {"format": "pt"})
        facts = {"classes": ["a", "b"], "settings": {}, "fold": {}, "provenance": {}}
        layout = flattened(network).to(memory_format=torch.channels_last)
        student_file.write(ours, layout, facts | {"verification": None})
        assert load_file(ours).keys() == load_file(plain).keys()
        for name, value in load_file(plain).items():
            assert torch.equal(load_file(ours)[name], value), name
        student_file.save(ours, layout.state_dict())
        assert ours.read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("setting", ["em", "agg"])
@pytest.mark.parametrize("targets", ["teacher", "audio"])
def test_a_sequential_run_reads_and_writes_networks_as_a_gpu_holds_them(
    own_data, monkeypatch, setting, targets
):
    """Teacher, audio teacher, checkpoint and kept student: all that writes or reads weights."""
    for module in (stages, kdlib_device, teacher):
        place = module.place
        monkeypatch.setattr(module, "place", lambda *given, place=place: flattened(place(*given)))
    monkeypatch.setattr("kdlib.student.place", lambda *given: flattened(kdlib_device.place(*given)))
    store, fold = noise_store(), Fold(0, "one", np.arange(8), np.arange(8, 12))
    training = {"targets": targets, "keep_students": True, "checkpoint": 0.0}
    training |= {"target_stretch": "crop"} if setting == "agg" else {}
    settings = small(setting=setting, training=training)
    privileged = stages.teachers(settings, store, [fold]) if targets == "teacher" else {}
    run = Run("student", settings)
    stages.students(run, store, [fold], privileged)
    file = run.folder / "fold-0.safetensors"
    network, _, _ = student_file.read(file)
    written = load_file(file)
    flattened(network).load_state_dict(written)
    assert any("aggregator.layers" in name for name in written)
    for name, value in network.state_dict().items():
        assert torch.equal(value, written[name]), name


def test_a_checkpoint_holds_flattened_weights(tmp_path):
    settings, fold = small(setting="agg", alpha=0.0), Fold(0, "one", np.arange(8), np.arange(8, 12))

    def train(stop: bool) -> list[torch.Tensor]:
        trainer = student_trainer(settings, noise_store(), fold, None)
        flattened(trainer.network)
        for _ in checkpoint.epochs(trainer, tmp_path / "epochs.pt", 0):
            if stop:
                return []
        return list(trainer.network.state_dict().values())

    expected = train(False)
    train(True)
    assert (tmp_path / "epochs.pt").exists()
    assert all(map(torch.equal, train(False), expected))


@pytest.mark.parametrize("setting", ["em", "agg"])
def test_lstms_get_float32_under_autocast(setting):
    settings, seen = small(setting=setting, training={"precision": "bf16"}), []
    fold = Fold(0, "one", np.arange(8), np.arange(8, 12))
    for trainer in (
        student_trainer(settings, noise_store(), fold, build_targets(settings, noise_store(), fold, privileged(settings, "cpu"), None)),
        teacher_trainer(settings, noise_store(), fold),
    ):  # fmt: skip
        for module in trainer.network.modules():
            if isinstance(module, nn.LSTM | nn.Conv2d):
                module.register_forward_hook(
                    lambda module, inputs, output: seen.append(
                        (type(module), inputs[0].dtype, output)
                    )
                )
        next(trainer.epochs())
    assert {dtype for kind, dtype, _ in seen if kind is nn.LSTM} == {torch.float32}
    assert {output.dtype for kind, _, output in seen if kind is nn.Conv2d} == {torch.bfloat16}


def privileged(settings, device) -> PrivilegedInformation:
    """Return random outputs of a teacher for the 12 recordings of the store of noise."""
    lengths, embedding = torch.full((12,), 6), settings.model.embedding
    frames = Ragged.of(torch.rand(72, embedding), lengths)
    frames = Ragged(
        *(value.to(device) for value in (frames.values, frames.starts, frames.lengths)), 6
    )
    probabilities = torch.rand(12, CLASSES).softmax(-1)
    return PrivilegedInformation(
        frames, torch.rand(12, embedding).to(device), probabilities.to(device)
    )


READINGS = {torch.ops.aten._local_scalar_dense.default: 1.0, torch.ops.aten.equal.default: True}
DYNAMIC = {
    torch.ops.aten.nonzero.default, torch.ops.aten.masked_select.default, torch.ops.aten._unique2.default,
    torch.ops.aten.repeat_interleave.Tensor,
}  # fmt: skip


class Transfers(TorchDispatchMode):
    """Counts uploads to ``meta``, readings of it, and shapes that depend on values there."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        if "meta" in devices and function in READINGS:
            self.counts["reading"] += 1
            return READINGS[function]
        if "meta" in devices and function in DYNAMIC:
            self.counts["dynamic"] += 1
        if function is torch.ops.aten._to_copy.default:
            target = torch.device(kwargs.get("device") or tensors[0].device).type
            if devices == {"meta"} and target == "cpu":
                self.counts["reading"] += 1
                return torch.zeros(args[0].shape, dtype=args[0].dtype)
            self.counts["upload"] += devices == {"cpu"} and target == "meta"
        self.counts["upload"] += function is torch.ops.aten.copy_.default and devices == {
            "cpu",
            "meta",
        }
        return function(*args, **kwargs)


@pytest.fixture
def on_meta(monkeypatch):
    """Return a function that moves a training to ``meta``, which has no fused
    Adam; within its steps ``torch.tensor`` must not upload."""
    adam, plain = training.Adam, torch.tensor

    def tensor(values, *given, device=None, **named):
        assert device in (None, torch.device("cpu")) or not Step.running, "torch.tensor uploads"
        return plain(values, *given, device=device, **named)

    def move(trainer: Trainer) -> Trainer:
        # which examples there are is found out once, on the CPU
        task, module = trainer.task, trainer.module.to(META)
        task.dataset = moved(task.dataset)
        for name in {"rows", "labels", "places", "measured"} & {*vars(task)}:
            setattr(task, name, getattr(task, name).to(META))
        return Trainer(trainer.network, module, task, trainer.training, trainer.generator)

    monkeypatch.setattr(
        training, "Adam", lambda *given, fused, capturable, **named: adam(*given, **named)
    )
    monkeypatch.setattr(torch, "tensor", tensor)
    teacher._pixel_statistics.cache_clear()
    yield move
    teacher._pixel_statistics.cache_clear()


def moved(store: Dataset) -> Dataset:
    """Return a store on ``meta``, whose arrays hold nothing."""
    parts = {}
    for name in ("waveforms", "frames"):
        rows = getattr(store, name)
        arrays = (array.to(META) for array in (rows.values, rows.starts, rows.lengths))
        parts[name] = Ragged(*arrays, rows.longest)
    return replace(store, labels=store.labels.to(META), **parts)


class Step:
    """Counts the transfers of each step and of an epoch."""

    running = False

    def __init__(self, trainer: Trainer) -> None:
        self.inner, self.within, trainer._step = trainer._step, Counter(), self

    def __call__(self, *given) -> None:
        with Transfers() as transfers:
            Step.running = True
            self.inner(*given)
            Step.running = False
        self.within += transfers.counts


def epoch(trainer: Trainer) -> tuple[Counter, Counter, dict]:
    """Train one warm epoch; return the transfers within its steps, all of them, and its values."""
    with Transfers():
        trainer._epoch()  # constants are uploaded once
    step = Step(trainer)
    with Transfers() as transfers:
        values = trainer._epoch()
    return step.within, transfers.counts, values


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["embedding", "softlabel", "multitask"])
@pytest.mark.parametrize("measurements", [0, 5])
def test_no_step_of_a_student_waits_for_a_gpu(on_meta, setting, method, measurements):
    settings = small(setting=setting, method=method)
    store, fold = (
        noise_store(measurements=measurements),
        Fold(0, "one", np.arange(9), np.arange(9, 12)),
    )
    targets = build_targets(settings, moved(store), fold, privileged(settings, META), None)
    within, transfers, values = epoch(on_meta(student_trainer(settings, store, fold, targets)))
    assert +within == Counter() and transfers == {"upload": 2, "reading": 1}
    assert {*values} == {"loss", "rate", "seconds", *GRADIENTS}


@pytest.mark.parametrize("setting", ["nonseq", "agg"])
@pytest.mark.parametrize("drawn", [None, 4])
@pytest.mark.parametrize("measurements", [0, 5])
def test_no_step_of_a_teacher_waits_for_a_gpu(on_meta, setting, drawn, measurements):
    settings = small(setting=setting, training={"teacher_frames": drawn})
    store = noise_store(8, measurements=measurements)
    fold = Fold(0, "one", np.arange(5), np.arange(5, 8))
    within, transfers, _ = epoch(on_meta(teacher_trainer(settings, store, fold)))
    assert +within == Counter() and transfers == {"upload": 2, "reading": 1}


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("backbone,setting", NINE)
def test_convolutions_are_channels_last_from_the_first_to_the_last(backbone, setting):
    """Torch's fake tensors stand for those of a GPU and know their strides."""
    settings, layouts, gpu = small(backbone=backbone, setting=setting), [], torch.device("cuda")
    sizes, sequence = dict(settings.model), [2] if settings.sequential else []
    with FakeTensorMode(), torch.no_grad():
        with gpu:
            audio = student(backbone, CLASSES, setting, **sizes)
            video = build_teacher(settings, CLASSES, FRAME)
            spectrogram = torch.zeros(2, *sequence, 1, 33, 40)
            frames = torch.zeros(2, *sequence, *FRAME, dtype=torch.uint8)
        for network, x in ((audio, spectrogram), (video, teacher.to_input(frames))):
            for module in network.modules():
                if isinstance(module, nn.Conv2d):  # fake weights cannot be moved in place
                    weight = module.weight.to(memory_format=torch.channels_last)
                    module.weight = nn.Parameter(weight)
                    module.register_forward_hook(
                        lambda module, inputs, output: layouts.append(
                            (inputs[0], module.weight, output)
                        )
                    )
            network.encode(x)
    teacher._pixel_statistics.cache_clear()
    assert len(layouts) > 10
    for tensor in itertools.chain(*layouts):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    # a single channel is both, but for its strides, by which cuDNN chooses
    assert layouts[0][0].stride()[1] == 1


@pytest.mark.parametrize(
    "kind,layout", [("cpu", torch.contiguous_format), ("meta", torch.channels_last)]
)
def test_weights_lie_as_the_device_likes_them(kind, layout):
    network = kdlib_device.place(build_student(small(), CLASSES), torch.device(kind))
    weights = [weight for weight in network.parameters() if weight.dim() == 4]
    assert all(weight.is_contiguous(memory_format=layout) for weight in weights)
    assert weights[0].stride()[1] == (49 if kind == "cpu" else 1)


# EM and AGG have the same encoder
@pytest.mark.parametrize("backbone,setting", [each for each in NINE if each[1] != "em"])
def test_encoders_compile_as_a_whole(backbone, setting):
    """Python that depends on values would break the graph; the numbers stay the same."""
    torch._dynamo.reset()
    for network, items in zip(
        networks(backbone, setting), (torch.rand(3, 1, 33, 20), torch.rand(3, 3, 32, 32))
    ):
        network.compiled_encoder = torch.compile(
            network.encoder.forward, fullgraph=True, backend="eager"
        )
        other = copy.deepcopy(network.encoder).train()
        x = items[:, None].expand(-1, 2, -1, -1, -1) if network.aggregator else items
        ours = network.train().encode(x)
        assert torch.equal(ours, other(x.flatten(0, 1) if network.aggregator else x).view_as(ours))
        assert not torch.equal(network.eval().encode(x), ours)  # in use the plain encoder


COMPILED = """
import torch
from kdlib import student
from tests.conftest import noise_store, small
from kdlib.dataset import Fold
import numpy as np
class OnCard:
    def __init__(self, store):
        self.store = store
    def __getattr__(self, name):
        return torch.device("cuda") if name == "device" else getattr(self.store, name)
student.place = lambda network, device: network
student.build_objective = lambda settings: torch.nn.Identity()
torch.nn.Module.to = lambda self, device: self
student.DistillationTask = lambda *given: None
student.Trainer = lambda network, *given: network
settings = small(backbone="vgg", alpha=0, training={"compile": True})
network = student.student_trainer(settings, OnCard(noise_store()), Fold(0, "", np.arange(4), np.arange(4, 8)), None)
assert network.compiled_encoder and not torch._functorch.config.donated_buffer
"""


def test_an_encoder_is_compiled_in_a_process_that_has_not_loaded_the_compiler():
    """Gradients are measured before a step's own backward pass, so that the buffers must stay."""
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=Path(__file__).parents[2])
    assert done.returncode == 0


class Recorder:
    """Plays CUDA's graphs on a CPU: what is recorded is computed, then taken back, and replayed by
    calling it again."""

    def __init__(self, monkeypatch) -> None:
        self.recorded, self.replays, self.trainer = 0, 0, None
        stream = type("Stream", (), {"wait_stream": lambda self, other: None})
        for name, value in (
            ("current_stream", stream), ("Stream", stream), ("stream", lambda stream: nullcontext()),
            ("CUDAGraph", self.new_graph), ("graph", self.record),
        ):  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)

    def watch(self, trainer: Trainer) -> None:
        """Remember the arguments of each step of ``trainer``."""
        self.trainer, plain = trainer, trainer._step

        def step(*arguments):
            self.arguments = arguments
            plain(*arguments)

        trainer._step, trainer.graphs = step, graph.StepGraphs()

    def new_graph(recorder):
        class Graph:
            def replay(self) -> None:
                recorder.replays += 1
                recorder.trainer._step(*self.arguments)

            def pool(self) -> str:
                return "pool"

        return Graph()

    @contextmanager
    def record(self, captured, pool, stream, mode):
        trainer, self.recorded = self.trainer, self.recorded + 1
        before = copy.deepcopy((trainer.state_dict(), trainer.total, trainer.task.measured))
        yield
        captured.arguments = self.arguments
        trainer.module.load_state_dict(before[0]["module"])
        trainer.optimizer.load_state_dict(before[0]["optimizer"])
        trainer.total.copy_(before[1])
        trainer.task.measured.copy_(before[2])


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("stage,accumulate", [("student", 1), ("student", 2), ("teacher", 1)])
@pytest.mark.parametrize("streamed", [False, True])
def test_replayed_steps_give_the_bits_of_plain_ones(
    monkeypatch, setting, stage, accumulate, streamed
):
    training = {"accumulate": accumulate, "epochs": 6, "teacher_frames": 1, "teacher_epochs": 6}
    settings = small(setting=setting, training=training)
    # 9 recordings in batches of 4 are 3 batches of 3; 10 are uneven
    store, fold = noise_store(), Fold(0, "one", np.arange(10), np.arange(10, 12))

    def train(recorder: Recorder | None) -> tuple[list[torch.Tensor], list[dict]]:
        if stage == "student":
            torch.manual_seed(0)
            targets = build_targets(settings, store, fold, privileged(settings, "cpu"), None)
            trainer = student_trainer(settings, store, fold, targets)
        else:
            trainer = teacher_trainer(settings, store, fold)
        trainer.prefetch = streamed
        if recorder:
            recorder.watch(trainer)
        history = [{**values, "seconds": 0} for values in trainer.epochs()]
        return list(trainer.module.state_dict().values()), history

    plain, expected = train(None)
    recorder = Recorder(monkeypatch)
    replayed, history = train(recorder)
    assert all(map(torch.equal, replayed, plain))
    assert str(history) == str(expected) and not any(math.isnan(row["loss"]) for row in history)
    # kinds are the first step of an epoch, and one or two sizes of the others
    assert 2 <= recorder.recorded <= 3 and recorder.replays == 18 - 3 * recorder.recorded


@pytest.mark.parametrize(
    "precision,kind,tf32",
    [("float32", "cpu", False), ("tf32", "cuda", True), ("bf16", "cuda", False), ("auto", "cuda", False)],
)  # fmt: skip
def test_precision_means_what_it_says(monkeypatch, precision, kind, tf32):
    backends, deterministic = (torch.backends.cuda.matmul, torch.backends.cudnn), []
    before = [backend.allow_tf32 for backend in backends]
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda mode, warn_only: deterministic.append(mode)
    )
    training = Training(precision=precision, deterministic=True)
    kdlib_device.configure(training, torch.device(kind))
    after = [backend.allow_tf32 for backend in backends]  # an error where two interfaces disagree
    kinds = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    each = [switch.fp32_precision == "tf32" for switch in kinds]
    for backend, value in zip(backends, before):
        backend.allow_tf32 = value
    assert after == [tf32] * 2 and each == [tf32] * 3
    assert deterministic == ([True] if kind == "cuda" else [])


def test_auto_is_the_arithmetic_of_the_device():
    for kind, expected in (("cpu", "float32"), ("cuda", "bf16")):
        assert kdlib_device.precision(Training(), torch.device(kind)) == expected
        assert kdlib_device.precision(Training(precision="tf32"), torch.device(kind)) == "tf32"


def test_students_upload_no_frames():
    store = moved(noise_store())
    kept = replace(store, frames=noise_store().frames).to(META, frames=False)
    assert kept.frames.values.device.type == "cpu" and not kept.frames.resident
    assert kept.waveforms.values.is_meta and kept.frames.starts.is_meta
    assert noise_store().to(torch.device("cpu"), frames=False).frames.resident


def test_what_is_on_the_device_stays_however_little_memory_is_left(monkeypatch):
    """What was uploaded and what torch keeps of a fold's training are no longer free."""
    store = noise_store().to(META)
    assert store.frames.resident
    monkeypatch.setattr(dataset, "free_memory", lambda device: 0)
    assert store.to(META).frames.resident and store.to(META, frames=False).frames.resident
    assert not noise_store().to(META).frames.resident


def test_a_teacher_of_streamed_frames_is_that_of_resident_ones(own_data):
    """A student's run, whose frames stay where they are, trains the teacher that is missing."""
    settings, fold = small(), Fold(0, "one", np.arange(8), np.arange(8, 12))
    store = noise_store()
    trainer = teacher_trainer(
        settings, replace(store, frames=replace(store.frames, resident=False)), fold
    )
    list(trainer.epochs())
    arrays = extract_privileged(trainer.network, settings, store)
    assert trainer.prefetch
    assert torch.equal(stages.teachers(settings, store, [fold])[0].frames.values, arrays["frames"])


def test_a_trainer_that_is_done_leaves_nothing_behind():
    """A cycle would keep a fold's weights, moments and graphs until Python collects its garbage,
    which a GPU that runs out of memory does not wait for."""
    fold = Fold(0, "one", np.arange(8), np.arange(8, 12))
    gc.collect()
    gc.disable()
    try:
        trainer = student_trainer(small(backbone="vgg", alpha=0.0), noise_store(), fold, None)
        left = weakref.ref(trainer), weakref.ref(trainer.network)
        next(trainer.epochs())
        del trainer
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()


def test_sound_that_does_not_fit_is_streamed_with_the_same_bits():
    """A student's recordings too may be larger than the GPU."""
    settings, fold = small(alpha=0.0), Fold(0, "one", np.arange(8), np.arange(8, 12))
    store, weights = noise_store(), []
    for waveforms in (store.waveforms, replace(store.waveforms, resident=False)):
        trainer = student_trainer(settings, replace(store, waveforms=waveforms), fold, None)
        list(trainer.epochs())
        weights.append(list(trainer.network.state_dict().values()))
        assert trainer.prefetch is not waveforms.resident
    assert all(map(torch.equal, *weights))
