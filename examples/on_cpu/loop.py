"""The training loop of both networks: AdamW, cosine, averages, and a checkpoint to go on from."""

import copy
import dataclasses
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from care_keras.console.cli import UserError
from care_keras.console.progress import say
from care_keras.files import atomic_path, first_line

_CHECKPOINT_STEPS = 200
_LINE_STEPS = 100


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        steps: How many.
        learning_rate: Peak of the learning rate, which rises linearly and falls as a cosine.
        warmup_steps: Steps of the rise.
        weight_decay: Of kernels, decoupled.
        average: Momentum of the averages of all weights and statistics.
        half_precision_steps: So many steps multiply matrices in bfloat16, the others in float32.
        seed: Of order and augmentation.
        loss: What the loss hangs on besides; a state that was trained by another is refused.
    """

    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    average: float
    half_precision_steps: int
    seed: int = 0
    loss: str = ""


class Order:
    """Which images a step takes: all of them once, in an order of its own, in each epoch.

    Args:
        count: Images.
        batch_size: Images per step.
        seed: Of the order.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0):
        if count < batch_size:
            raise ValueError(
                f"There must be a batch of images. Received: count={count}, batch_size={batch_size}"
            )
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self.epoch_steps = count // batch_size
        self._epoch, self._order = -1, None

    def rows(self, step: int) -> torch.Tensor:
        """Numbers of the images of a step, from 0."""
        epoch, place = divmod(step, self.epoch_steps)
        if epoch != self._epoch:
            generator = _generator(self._seed, epoch)
            self._epoch, self._order = epoch, torch.randperm(self._count, generator=generator)
        return self._order[place * self._batch_size :][: self._batch_size]


def train(
    network: nn.Module,
    make_batch: Callable[[int, torch.Generator], tuple[object, torch.Tensor]],
    loss: Callable[[nn.Module, object, torch.Tensor], torch.Tensor],
    recipe: Recipe,
    checkpoint: pathlib.Path,
    label: str,
) -> nn.Module:
    """Trains a network, from its checkpoint on where there is one.

    Args:
        network: Trained in place.
        make_batch: `make_batch(step, generator)` gives inputs and targets.
        loss: `loss(network, inputs, targets)` gives a number; called under autocast.
        recipe: How.
        checkpoint: The file of the state, written now and then.
        label: What lines of progress begin with.

    Returns:
        The network with the averages of its weights and statistics.

    Raises:
        UserError: If the loss stops being a number, or the checkpoint is of something else.
    """
    network = network.to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(network)
    optimizer = _optimizer(network, recipe)
    first = 0
    if checkpoint.exists():
        first = _resume(checkpoint, network, average, optimizer, recipe)
        say(f"{label}: goes on after step {first} of {recipe.steps}")
    pairs = [
        (mean, value)
        for mean, value in zip(
            average.state_dict().values(), network.state_dict().values(), strict=True
        )
        if value.dtype.is_floating_point
    ]
    means, values = zip(*pairs, strict=True)
    began, losses = time.perf_counter(), []
    for step in range(first, recipe.steps):
        generator = _generator(recipe.seed + 1, step)
        # Of dropout and stochastic depth.
        torch.manual_seed(generator.initial_seed())
        inputs, targets = make_batch(step, generator)
        rising = min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
        falling = 0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rising * falling
        half = step < recipe.half_precision_steps
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            error = loss(network, inputs, targets)
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        # At the beginning they follow closely: nothing of the start is to stay.
        momentum = min(recipe.average, (step + 1) / (step + 10))
        torch._foreach_lerp_(means, values, 1.0 - momentum)
        losses.append(error.item())
        if not math.isfinite(losses[-1]):
            raise UserError("the loss is no longer a number; a lower --learning_rate may help")
        done = step + 1
        if done % _LINE_STEPS == 0 or done == recipe.steps:
            seconds = (time.perf_counter() - began) / (done - first)
            say(
                f"{label}: step {done} of {recipe.steps}, loss {statistics.fmean(losses):.4f}, "
                f"{len(targets) / seconds:.0f} images/s, "
                f"{(recipe.steps - done) * seconds / 60:.0f} min to go"
            )
            losses.clear()
        if done % _CHECKPOINT_STEPS == 0:
            _save(checkpoint, network, average, optimizer, recipe, done)
    return average.eval()


def mean_of(networks: Sequence[nn.Module]) -> nn.Module:
    """The mean of networks of one descent, of weights and statistics: a soup, arXiv 2203.05482."""
    found = copy.deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    for name, value in found.state_dict().items():
        if value.dtype.is_floating_point:
            value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return found


def with_own_statistics(
    network: nn.Module, inputs: Callable[[int], torch.Tensor], batches: int = 100
) -> nn.Module:
    """Measures the statistics of a network's BatchNorm anew: those of averaged weights are others.

    Args:
        network: Changed in place.
        inputs: `inputs(step)` gives a batch, prepared and augmented as in training.
        batches: How many.

    Returns:
        The network.
    """
    network.train()
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # Means of all batches alike.
        norm.momentum = None
    with torch.no_grad():
        for step in range(batches):
            network(inputs(step))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


def _generator(seed, index):
    return torch.Generator().manual_seed(seed * 1_000_003 + index)


def _optimizer(network, recipe):
    kernels = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, recipe.learning_rate, fused=True)


def _save(path, network, average, optimizer, recipe, step):
    with atomic_path(path) as part:
        torch.save(
            {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "recipe": dataclasses.asdict(recipe),
                "step": step,
            },
            os.fspath(part),
        )


def _resume(path, network, average, optimizer, recipe) -> int:
    """Takes the state of a file; returns the number of steps that it has seen."""
    try:
        state = torch.load(path, weights_only=True)
        is_same = state["recipe"] == dataclasses.asdict(recipe)
        if is_same:
            network.load_state_dict(state["network"])
            average.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
    # A file that is damaged, or something else: PyTorch raises whatever it leads to.
    except Exception as error:
        raise UserError(f"{path} cannot be gone on from: {first_line(error)}") from error
    if not is_same:
        raise UserError(f"{path} is of other flags: give those, or remove it to begin again")
    return state["step"]
