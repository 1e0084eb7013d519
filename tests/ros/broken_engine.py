"""The real lifter on an engine that is right until there is a file at BREAK_FILE, then raises: `start("broken")`."""

import os

from dp3d_core import backends
from dp3d_core.backends.eager import Eager
from dp3d_core.backends.shape import powers_of_two


class BreakingEngines:
    """Stands where the CPU engine does; its engines are eager PyTorch."""

    name, storable = "cpu", False

    sizes = staticmethod(powers_of_two)

    def __init__(self, network, exported, *, threads=1, precision="float32"):
        self._step = Eager(network.encoder).step

    @staticmethod
    def missing(device):
        return None

    @staticmethod
    def facts():
        return ()

    def build(self, shape):
        def engine(*arrays):
            if os.path.exists(os.environ["BREAK_FILE"]):
                raise RuntimeError("the engine broke")
            return self._step(*arrays)

        return engine, None


if __name__ == "__main__":
    from dp3d_ros.lifter_node import main

    backends._BUILDERS["cpu"] = BreakingEngines
    main()
