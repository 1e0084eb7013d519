"""The same function for each input on a Ray cluster: a thin adapter. Inputs and outputs lie on storage that all share.

Ray starts an input again that was on a machine that went away; outputs are idempotent, so that changes nothing.
"""

from collections.abc import Iterator, Sequence

from dp3d_core.files.run import Outcome, RunOptions, lift_input

RETRIES = 3


def on_cluster(jobs: Sequence[tuple[str, str]], options: RunOptions, address: str) -> Iterator[tuple[int, Outcome]]:
    """(index of the job, outcome) as they are done; `address` as `ray.init` takes it, "local" for this machine."""
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"--ray needs ray ({error}); pip install 'dp3d_ros[ray]'") from error
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise ValueError(f"--ray: expected the address of a Ray cluster, cannot reach {address} ({error})") from error
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(lift_input)
    waiting = {remote.remote(*job, options): index for index, job in enumerate(jobs)}
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        index = waiting.pop(ready)
        try:
            yield index, ray.get(ready)
        except ray.exceptions.RayError as error:
            source = jobs[index][0]
            yield index, Outcome(source=source, ok=False, text=f"{source}: lost {RETRIES + 1} times ({error})")
