"""The real lifter on an engine that is right until there is a file at BREAK_FILE, then raises: `start("broken")`."""

import os

import torch

from dp3d_core import backends


class BreakingEngines:
    """Stands where the CPU engine does; its engines run the graph that they were to compile."""

    name, storable = "cpu", False

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
            if os.path.exists(os.environ["BREAK_FILE"]):
                raise RuntimeError("the engine broke")
            with torch.inference_mode():
                return tuple(tensor.numpy() for tensor in module(*(torch.from_numpy(array) for array in arrays)))

        return engine, None


if __name__ == "__main__":
    from dp3d_ros.lifter_node import main

    backends._BUILDERS["cpu"] = BreakingEngines
    main()
