"""The loop: Smith's triangle, even batches, equal seeds, and a loss that is no number."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from kdlib.dataset import inference_windows, random_starts
from kdlib.errors import InvalidParameter, NotFinite
from kdlib.parameters import Training
from kdlib.training import Adam, Trainer, learning_rate, prefetch, seeded
from kdsuite.runs import checkpoint
from kdsuite.runs.devices import device_of
from tests.conftest import noise_store, small


class OneWeight:
    """A task of ``examples`` whose loss is that of one weight; it notes the rate of each step."""

    crops, measured, MEASURED = False, torch.empty(0), ()

    def __init__(self, examples: int, loss=None):
        self.rows, self.rates, self.betas = range(examples), [], []
        self.function = loss or (lambda weight: (weight * 2).square().sum())

    def load(self, items, draws):
        return (items,)

    def loss(self, loaded, batch, first):
        (group,) = self.trainer.optimizer.param_groups
        self.rates.append(group["lr"])
        self.betas.append(group["betas"])
        return self.function(self.trainer.network[0])


def run(training: Training, items: int = 8, epochs: int = 4, loss=None):
    module, task = nn.ParameterList([torch.ones(1)]), OneWeight(items, loss)
    training = training.model_copy(update={"epochs": epochs})
    task.trainer = Trainer(module, module, task, training, torch.Generator().manual_seed(0))
    history = list(task.trainer.epochs())
    return task.rates, task.betas, history


def test_rates_follow_smiths_triangle():
    training = Training(
        batch_size=4, learning_rate=(0.1, 0.5), cycle=1.0
    )  # 2 steps an epoch: 2 up, 2 down
    rates, betas, history = run(training)
    assert rates == pytest.approx([0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5, 0.3])
    assert set(betas) == {(0.9, 0.999)}  # only the rate has a cycle
    assert [facts["rate"] for facts in history] == pytest.approx([0.5, 0.1, 0.5, 0.1])


def test_a_loss_that_is_no_number_stops_with_a_sentence():
    with pytest.raises(NotFinite, match="loss became nan in epoch 1; lower training.learning_rate"):
        run(Training(batch_size=4), loss=lambda weight: weight.sum() * float("nan"))


@pytest.mark.parametrize("shape", ["triangular", "triangular2"])
@pytest.mark.parametrize("cycle,steps", [(1.0, 2), (2.5, 9), (1.5, 7), (5.0, 31)])
def test_rates_are_those_of_torchs_schedule_to_the_last_bit(shape, cycle, steps):
    training = Training(learning_rate=(0.0004, 0.004), cycle=cycle, cycle_shape=shape)
    optimizer = torch.optim.SGD([torch.ones(1)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CyclicLR(
        optimizer, 0.0004, 0.004, step_size_up=cycle * steps, mode=shape, cycle_momentum=False
    )
    for step in range(4 * int(2 * cycle * steps)):
        assert learning_rate(training, steps, step) == schedule.get_last_lr()[0], step
        optimizer.step()
        schedule.step()


def test_batches_are_even_and_lose_nothing():
    module = nn.ParameterList([torch.ones(1)])
    trainer = Trainer(
        module, module, OneWeight(33), Training(batch_size=32), torch.Generator().manual_seed(0)
    )
    batches = [parts[0][0] for parts in trainer._batches()]
    assert sorted(map(len, batches)) == [16, 17] and sorted(torch.cat(batches).tolist()) == list(
        range(33)
    )


def test_seeds_depend_on_purpose_and_on_nothing_else():
    first, _ = torch.rand(3, generator=seeded(0, "student", 1)), torch.rand(5)
    again = torch.rand(3, generator=seeded(0, "student", 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(3, generator=seeded(0, "student", 2)))


def test_crops_stay_inside_and_reach_both_ends():
    store, media = noise_store(), small().media
    rows = torch.arange(12).repeat(200)
    draws = torch.rand(len(rows), generator=torch.Generator().manual_seed(0))
    first = random_starts(store, rows, draws, media)
    last = (store.waveforms.lengths[rows] - 12800) // 640
    assert (
        (first >= 0).all()
        and (first <= last).all()
        and (first == 0).any()
        and (first == last // 5 * 5).any()
    )
    assert (first % 5 == 0).all()  # crops begin at frames that the teacher sees


@pytest.mark.parametrize("inference,segments", [("fixed", {2}), ("whole", {3, 4})])
def test_every_recording_is_heard_once_at_inference(inference, segments):
    store = noise_store()
    windows = list(
        inference_windows(store, torch.arange(12), small(media={"inference": inference}))
    )
    assert sorted(torch.cat([rows for rows, _, _ in windows]).tolist()) == list(range(12))
    assert {count for _, _, count in windows} == segments
    if inference == "fixed":
        for rows, first, _ in windows:
            middle = (store.waveforms.lengths[rows] / 640 - 20) / 2
            assert (first - middle).abs().max() < 5 and (first % 5 == 0).all()


def test_cuda_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidParameter, match="training.device"):
        device_of(Training(device="cuda"))
    assert device_of(Training()).type == "cpu"


def test_whole_cycles_end_at_the_lowest_rate_where_a_half_is_no_whole_number_of_steps():
    training = Training(batch_size=4, learning_rate=(0.1, 0.5), cycle=1.5)
    _, _, history = run(training, items=12, epochs=6)  # three steps an epoch, four and a half up
    assert history[2]["rate"] == pytest.approx(0.1) and history[5]["rate"] == pytest.approx(0.1)


def test_the_second_shape_of_the_cycle_halves_each_rise():
    training = Training(
        batch_size=4, learning_rate=(0.1, 0.5), cycle=1.0, cycle_shape="triangular2"
    )
    rates, _, _ = run(training, epochs=4)
    assert rates == pytest.approx([0.1, 0.3, 0.5, 0.3, 0.1, 0.2, 0.3, 0.2])


@pytest.mark.parametrize("batchnorm", ["estimated", "running"])
def test_batchnorm_is_estimated_over_the_training_set(batchnorm):
    """With batches of equal size the estimated mean is the plain mean of all items, the variance
    the mean of the batches' own."""
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(1)) * 3 + 5
    norm = nn.BatchNorm1d(4)
    norm.running_mean.fill_(7.0)
    training = Training(batch_size=8, accumulate=2, batchnorm=batchnorm)
    seen = []

    class Items:
        rows, crops = range(24), False

        def load(self, items, draws):
            seen.append(items)
            return (x[items],)

    Trainer(norm, norm, Items(), training, torch.Generator().manual_seed(0))._estimate_batchnorm()
    if batchnorm == "running":
        assert not seen and (norm.running_mean == 7).all()
        return
    assert [len(batch) for batch in seen] == [4] * 6 and sorted(torch.cat(seen).tolist()) == list(
        range(24)
    )
    torch.testing.assert_close(norm.running_mean, x.mean(0))
    torch.testing.assert_close(
        norm.running_var, torch.stack([x[batch].var(0) for batch in seen]).mean(0)
    )
    assert norm.momentum == 0.1  # further training goes on as it would have


class Killed(Exception):
    pass


class Noisy:
    """Recordings to which each epoch adds noise of its own draw, as crops do."""

    rows, crops = range(24), True
    measured, MEASURED = torch.empty(0), ()

    def __init__(self, network, die_in_epoch):
        self.network, self.die_in_epoch = network, die_in_epoch
        self.x = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
        self.steps, self.threads = 0, set()

    def load(self, items, draws):
        self.threads.add(threading.current_thread())
        return (self.x[items] + draws[:, None],)

    def loss(self, loaded, batch, first):
        (x,) = loaded
        self.steps += 1
        if (
            self.die_in_epoch and self.steps == 5 * (self.die_in_epoch - 1) + 3
        ):  # in the middle of its five steps
            raise Killed
        return (self.network(x) ** 2).mean() * (len(x) / len(batch))


def train(
    file=None, die_in_epoch=None, prefetch=False, accumulate=1, norm=True, dropout=0.0, seconds=0
):
    """Train a small network on a task that draws random numbers; return its epochs and weights."""
    generator = seeded(0, "a test")
    normed = nn.BatchNorm1d(8) if norm else nn.Identity()
    network = nn.Sequential(
        nn.Linear(4, 8), normed, nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
    )
    training = Training(
        epochs=6, batch_size=5, cycle=1.5, learning_rate=(0.001, 0.1), accumulate=accumulate
    )
    task = Noisy(network, die_in_epoch)
    trainer = Trainer(network, network, task, training, generator, prefetch)
    epochs = list(checkpoint.epochs(trainer, file, seconds) if file else trainer.epochs())
    assert (len(task.threads) > 1) is prefetch  # the estimate of batch-norm loads in this thread
    return [(values["loss"], values["rate"]) for values in epochs], network.state_dict()


def test_batches_loaded_ahead_give_the_same_bits(tmp_path):
    (history, weights), (expected, alone) = train(prefetch=True), train()
    assert history == expected and all(
        torch.equal(weights[name], value) for name, value in alone.items()
    )
    with pytest.raises(
        Killed
    ):  # the checkpoint does not know what was loaded for an epoch that broke off
        train(tmp_path / "epochs.pt", 3, prefetch=True)
    assert train(tmp_path / "epochs.pt", prefetch=True)[0] == expected


def test_what_goes_wrong_while_loading_ahead_is_told():
    def load(batch):
        raise Killed

    with pytest.raises(Killed):
        list(prefetch(load, zip(torch.arange(4).split(2)), torch.device("cpu")))


def test_gradients_of_parts_add_up_to_the_batch_unless_there_is_batch_norm():
    for norm in (False, True):
        (history, weights), (expected, whole) = train(accumulate=2, norm=norm), train(norm=norm)
        losses, wanted = (torch.tensor([loss for loss, _ in of]) for of in (history, expected))
        same = all(
            torch.allclose(weights[name], value, atol=1e-4)
            for name, value in whole.items()
            if value.is_floating_point()
        )
        assert torch.allclose(losses, wanted, rtol=1e-3) is same is not norm


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("epoch", [1, 2, 4, 6])
def test_a_training_that_was_killed_ends_with_the_same_bits(tmp_path, epoch, dropout):
    """Weights, batch-norm, Adam's moments, the rate's place in its cycle, order, crops and dropout
    go on where they were."""
    file = tmp_path / "epochs.pt"
    with pytest.raises(Killed):
        train(file, epoch, dropout=dropout)
    assert file.exists() == (epoch > 1)
    (history, weights), (undisturbed, expected) = (
        train(file, dropout=dropout),
        train(dropout=dropout),
    )
    assert history == undisturbed and all(
        torch.equal(weights[name], value) for name, value in expected.items()
    )


def test_a_checkpoint_that_cannot_be_read_is_no_checkpoint(tmp_path, capsys):
    file = tmp_path / "epochs.pt"
    train(file)
    whole = file.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        b"cos\nsystem\n(S'true'\ntR.",
    ):  # cut off, empty, and a pickle that runs a command
        file.write_bytes(damaged)
        assert train(file)[0] == train()[0]
        assert "cannot be read; this training starts again" in capsys.readouterr().out


def test_checkpoints_are_written_no_more_often_than_asked(tmp_path):
    train(tmp_path / "epochs.pt", seconds=3600)
    assert not (tmp_path / "epochs.pt").exists()


TRAINING = """
import sys
import numpy
import torch
from kdlib.dataset import Fold
from kdlib.models.network import build_student
from kdlib.student import student_trainer
from kdlib.teacher import teacher_trainer
from tests.conftest import noise_store, small
settings, fold = small(alpha=0.0), Fold(0, "one", *map(numpy.arange, (8, 2)))
store = noise_store(measurements=5)  # for pictures torchvision is needed, which imports the compiler
for trainer in (student_trainer(settings, store, fold, None), teacher_trainer(settings, store, fold)):
    list(trainer.epochs())
    trainer.load_state_dict(trainer.state_dict())
with torch.device("meta"):  # as a student's file is read
    build_student(settings, 2)
print(*sys.modules)
"""


def test_a_training_imports_no_compiler_and_no_plots():
    """Each run would pay for them: torch's compiler alone takes a second."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True
    )
    absent = {
        "torch._dynamo",
        "torch._inductor",
        "sympy",
        "sklearn",
        "matplotlib.pyplot",
        "seaborn",
        "papermill",
    }
    assert not absent & {*done.stdout.split()}


def test_adam_is_torchs_to_the_bit():
    def trained(kind):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 4))
        optimizer = kind(network.parameters(), 0.0, (0.8, 0.99), fused=True)
        x = torch.randn(8, 20)
        for step in range(20):
            optimizer.param_groups[0]["lr"] = 1e-3 * (step + 1)
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()
            if step == 7:
                optimizer.load_state_dict(optimizer.state_dict())
        return [weight.detach() for weight in network.parameters()]

    assert all(map(torch.equal, trained(Adam), trained(torch.optim.Adam)))
