"""Inputs of a step, and engines that are eager PyTorch in disguise, for the tests of backends."""

import torch
from helpers import random_encoder

from dp3d_core.backends.graphs import RollingStep, rolling_example
from dp3d_core.backends.shape import powers_of_two
from dp3d_core.backends.signature import INPUTS
from dp3d_core.checkpoint import Checkpoint


def loaded(encoder):
    """What backends take: an encoder as if it had been loaded."""
    return Checkpoint(encoder=encoder, actions=())


def network(config=None, seed=0):
    """A tiny encoder to run, not to train."""
    return random_encoder(config, seed, spread=0.05).requires_grad_(False)


def arrays(encoder, people=1, rows=1, filled=True):
    """Inputs of a rolling step as arrays; not `filled`: with an empty head of the cache."""
    inputs = [tensor.numpy() for tensor in rolling_example(encoder, people, rows)]
    if not filled:
        inputs[INPUTS.index("filled")][:, :3] = 0
    return inputs


class Echo:
    """A builder whose engines are eager PyTorch; `wrong` shifts them, `fail_after` breaks them."""

    name, storable, reason, wrong, fail_after, built = "echo", True, None, 0.0, None, 0
    sizes = staticmethod(powers_of_two)

    def __init__(self, network, exported, *, threads, precision):
        self.step = RollingStep(network.encoder)

    @classmethod
    def missing(cls, device):
        return cls.reason

    @classmethod
    def facts(cls):
        return cls.name

    def build(self, shape):
        type(self).built += 1
        return self.load(b"echo"), b"echo"

    def load(self, blob):
        if blob != b"echo":
            raise ValueError("not an echo")
        calls = []

        def engine(*inputs):
            calls.append(1)
            if self.fail_after is not None and len(calls) > self.fail_after:
                raise RuntimeError("device lost")
            with torch.inference_mode():
                outputs = [output.numpy() for output in self.step(*map(torch.from_numpy, inputs))]
            return (outputs[0] + self.wrong, *outputs[1:])

        return engine


def echo(**options):
    """An `Echo` of its own with other class attributes."""
    return type("Echo", (Echo,), {"built": 0, **options})
