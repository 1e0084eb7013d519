"""The real lifter on an engine that is right at first and raises from its BREAK_AFTER-th step on: `start("broken")`."""

import os

import torch

from dp3d_core import backends


class BreakingEngines:
    """Stands where the CPU engine does; its engines run the graph that they were to compile."""

    name, storable, steps = "cpu", False, 0

    def __init__(self, denoiser, *, threads=1, precision="float32"):
        pass

    @staticmethod
    def missing(denoiser):
        return None

    @staticmethod
    def facts():
        return ()

    @classmethod
    def build(cls, shape, module, example):
        def engine(*arrays):
            cls.steps += 1
            if cls.steps > int(os.environ["BREAK_AFTER"]):
                raise RuntimeError("the engine broke")
            with torch.inference_mode():
                return tuple(tensor.numpy() for tensor in module(*(torch.from_numpy(array) for array in arrays)))

        return engine, None


if __name__ == "__main__":
    from dp3d_ros.lifter_node import main

    backends._BUILDERS["cpu"] = BreakingEngines
    main()
