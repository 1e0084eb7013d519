"""Small networks, inputs, and engines that are eager PyTorch in disguise, for the tests of backends."""

import torch

from dp3d_core.backends.graphs import RollingStep, rolling_example
from dp3d_core.config import ModelConfig
from dp3d_core.model import Denoiser

TINY = ModelConfig(window_frames=6, joint_width=16, joint_layers=1, frame_width=32, frame_layers=2, heads=4,
                   joint_heads=2, condition_width=16, prompt_width=16)  # fmt: skip


def network(config=TINY, seed=0):
    """A denoiser whose zero-initialised parts are not zero: else folding them wrongly would not show."""
    torch.manual_seed(seed)
    denoiser = Denoiser(config, 5).eval().requires_grad_(False)
    for parameter in denoiser.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    return denoiser


def arrays(denoiser, people=1, rows=1, filled=True):
    """Inputs of a rolling step as arrays; not `filled`: with an empty head of the cache."""
    inputs = [tensor.numpy() for tensor in rolling_example(denoiser, people, rows)]
    if not filled:
        inputs[6][:, :3] = 0
    return inputs


class Echo:
    """A builder whose engines are eager PyTorch; `wrong` shifts them, `fail_after` breaks them."""

    name, storable, reason, wrong, fail_after, built = "echo", True, None, 0.0, None, 0

    def __init__(self, denoiser, *, threads, precision):
        self.step = RollingStep(denoiser)

    @classmethod
    def missing(cls, denoiser):
        return cls.reason

    @classmethod
    def facts(cls):
        return cls.name

    def build(self, shape, module, example):
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
