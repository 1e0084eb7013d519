"""The facade: load weights once, lift whole sequences offline, or open live streams.

Importing this and streaming with engines that were built before import no PyTorch.
"""
# T frames, K keypoints of the source, J = 17 joints, H hypotheses

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from dp3d_core import checkpoint
from dp3d_core.backends import make_backend, place
from dp3d_core.config import LiftConfig, ModelConfig, StreamConfig, changed, from_dict
from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.geometry.uncertainty import one_sigma
from dp3d_core.live.stream import Stream
from dp3d_core.live.streams import Streams
from dp3d_core.types import Lifted

if TYPE_CHECKING:
    from dp3d_core.model import Denoiser, Encoder
    from dp3d_core.model.motion_denoiser import MotionDenoiser


class Lifter:
    """A network and what runs it. Load with `Lifter.load`; one may serve many streams."""

    def __init__(self, loaded, *, weights_name: str = "", backend: Any = "auto", **engines: Any):
        self.weights_name = weights_name
        self.actions, self.provenance = loaded.actions, loaded.provenance
        self.temperatures = loaded.temperatures
        """Factor on the network's sigma in each of `checkpoint.USES`."""
        self._loaded = loaded
        self._backend = make_backend(backend, loaded, **engines) if isinstance(backend, str) else backend

    @classmethod
    def load(cls, weights: str = "small", *, backend: Any = "auto", device: str = "cpu", **engines: Any) -> "Lifter":
        """Weights by shipped name or path; ValueError says in one sentence what is wrong with them, or the device.

        backend and engines (threads, precision, cache_dir): see `dp3d_core.backends.make_backend`. A backend may also
        be any object with its methods. On a CPU PyTorch is not imported for this: whether the weights fit their own
        description may then be known only when engines are built (`warm_up`) or the first sequence is lifted.
        """
        loaded = checkpoint.read(weights)
        if device != "cpu" or sys.modules.get("torch") is not None:
            place(loaded.encoder, device)
        return cls(loaded, weights_name=str(weights), backend=backend, **engines)

    @property
    def backend_name(self) -> str:
        """What runs the rolling step."""
        return self._backend.name

    @property
    def backend_note(self) -> str:
        """Why that, or what went wrong with a better one."""
        return self._backend.note

    @property
    def backend_counters(self) -> dict[str, int]:
        """{cause: number} of what went wrong with backends and of the engine cache's hits and misses; empty if none."""
        return dict(self._backend.counters)

    @property
    def config(self) -> ModelConfig:
        """The network's shape."""
        return self._loaded.config

    @cached_property
    def encoder(self) -> "Encoder":
        """The network in PyTorch."""
        return self._loaded.encoder

    @cached_property
    def denoiser(self) -> "Denoiser | None":
        """What version 0.1 draws samples with, where the weights hold it; the prior of motion."""
        return self._loaded.denoiser

    @cached_property
    def motion_denoiser(self) -> "MotionDenoiser | None":
        """What draws motions beside the encoder, where the weights hold it."""
        network = self._loaded.motion_denoiser
        return None if network is None else network.to(self._loaded.device)

    def stream(self, *, camera: Camera, **options: Any) -> Stream:
        """A live `Stream`; options are the fields of `StreamConfig`, unknown ones raise ValueError."""
        return self.streams({"": camera}, **options)[""]

    def streams(self, cameras: Mapping[Any, Camera], **options: Any) -> Streams:
        """`Streams` of several cameras {name: Camera} that share their network passes; options as for `stream`."""
        config = from_dict(StreamConfig, options)
        return Streams(
            backend=self._backend,
            model=self.config,
            actions=self.actions,
            temperature=self.temperatures[f"lookahead {config.lookahead}"],
            cameras=cameras,
            config=config,
        )

    def prepare(
        self,
        people: int = 1,
        lookahead: int = 0,
        cameras: int = 1,
        progress: Callable[[str], Any] = lambda text: None,
    ) -> None:
        """Build the engines alone, small ones first: for a thread of its own, beside streams that run already.

        Those are served by the engines that are there."""
        self._backend.prepare(people * cameras, lookahead + 1, progress=progress)

    def warm_up(
        self,
        people: int = 1,
        lookahead: int = 0,
        cameras: int = 1,
        progress: Callable[[str], Any] = lambda text: None,
    ) -> None:
        """Build the engines for up to `people` in each of `cameras` that share their passes (seconds, once: they are
        kept on disk) and run the step a few times. progress(text) is told what is done next."""
        self.prepare(people, lookahead, cameras, progress)
        camera = Camera.from_fov(width=640, height=480)
        streams = self.streams(
            dict.fromkeys(range(cameras), camera), joint_set="h36m17", lookahead=lookahead, max_people=max(people, 1)
        )
        points = np.random.default_rng(0).uniform(100, 300, (17, 2)).astype(np.float32)
        everybody = {person: (points, np.ones(17)) for person in range(people)}
        for frame in range(3):
            streams.push({name: (frame / 30, everybody) for name in streams})

    def lift(
        self,
        keypoints_px,
        confidence,
        stamps_s,
        *,
        camera: Camera,
        pose: CameraPose | Sequence[CameraPose | None] | None = None,
        config: LiftConfig | None = None,
        action_probability=None,
        **options: Any,
    ) -> Lifted:
        """Lift one person's whole sequence, looking both ways in time (or back only, with `causal`).

        keypoints_px (T, K, 2), confidence (T, K) with 0 = missing, stamps_s (T,) ascending seconds; pose says where
        the camera hangs, one for all frames or one a frame; options are the fields of `LiftConfig`, changed from
        `config`. One step and one sample give the point estimate; with samples > 1 that many hypotheses are drawn
        (`sample` returns them all) and become one by `aggregate`: "mean", or joint by joint what reprojects best,
        "jpma" and "jpma_soft", about the estimated root. `flip` is the papers' test-time flip (VideoPose3D).
        action_probability (A,) is an oracle for evaluation. ValueError says which argument does not fit.
        """
        offline = _offline()
        config = changed(config or LiftConfig(), options)
        pose_m, sigma_m, probability, seen = self._infer(
            keypoints_px, confidence, stamps_s, camera, config, action_probability, pose
        )
        placed = offline.place(pose_m.mean(0)[None], sigma_m, seen, config.person_height_m)
        joints_cam_m = placed.joints_cam_m[0]
        if config.aggregate != "mean":
            from dp3d_core.model.sampler import aggregate_placed

            several = offline.place(pose_m, sigma_m, seen, config.person_height_m).joints_cam_m
            joints_cam_m = aggregate_placed(several, seen.rays, seen.confidence, config.aggregate)
        return Lifted(
            stamps_s=seen.stamps_s,
            joints_cam_m=joints_cam_m,
            sigma_m=sigma_m,
            sigma_lateral_m=placed.sigma_lateral_m,
            sigma_depth_m=placed.sigma_depth_m,
            root_sigma_m=placed.root_sigma_m[0],
            stature_m=float(placed.stature_m[0]),
            contact=placed.contact[0],
            joints_fixed_m=_in_fixed_frame(joints_cam_m, seen.poses),
            action_probability=probability,
            metric=not camera.assumed,
        )

    def sample(
        self,
        keypoints_px,
        confidence,
        stamps_s,
        *,
        camera: Camera,
        pose: CameraPose | Sequence[CameraPose | None] | None = None,
        config: LiftConfig | None = None,
        action_probability=None,
        **options: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The hypotheses whose mean `lift` answers with the same arguments, each placed by its own estimated root.

        By default 20; several take two steps or more. Returns joints_cam_m (H, T, 17, 3) metres in the camera and
        sigma_m (T, 17), the doubt about their mean. With one sample: the point estimate alone.
        """
        offline = _offline()
        config = changed(config or LiftConfig(samples=20), options)
        if config.aggregate != "mean":
            raise ValueError(f"aggregate: expected none, got {config.aggregate!r}; `lift` makes one pose of hypotheses")
        pose_m, sigma_m, _, seen = self._infer(
            keypoints_px, confidence, stamps_s, camera, config, action_probability, pose
        )
        return offline.place(pose_m, sigma_m, seen, config.person_height_m).joints_cam_m, sigma_m

    def _infer(self, keypoints_px, confidence, stamps_s, camera, config: LiftConfig, action_probability, pose):
        """Poses (H, T, 17, 3) and sigma (T, 17) in metres, action probabilities (T, A), and what was `Observed`."""
        offline = _offline()
        self._check_actions(action_probability)
        seen = offline.see(keypoints_px, confidence, stamps_s, camera=camera, config=config, pose=pose)
        given = seen.network_input, seen.up, seen.relative_s, config, action_probability
        answer = offline.encode(self.encoder, *given)
        scale, poses, spread = self.config.pose_scale_m, answer.pose[None], 0.0
        if self.motion_denoiser is not None and (config.steps > 1 or config.samples > 1):
            poses = offline.sample_motions(self.encoder, self.motion_denoiser, *given)
        elif config.steps > 1 or config.samples > 1:
            if self.denoiser is None:
                raise ValueError(
                    f"steps, samples: expected 1 and 1, got {config.steps} and {config.samples}; these weights hold no "
                    "denoiser"
                )
            poses = offline.denoise(self.denoiser, seen.network_input, seen.relative_s, config, action_probability)
            # these hypotheses are narrow where 2D says little: their spread adds to the uncertainty
            spread = (poses * scale).var(0).mean(-1)
        variance = one_sigma(np.sqrt(answer.variance)) ** 2
        sigma_m = np.sqrt(variance * (scale * self.temperatures["offline"]) ** 2 + spread)
        sigma_m[:, 0] = 0
        return poses * scale, sigma_m.astype(np.float32), answer.action_probability, seen

    def _check_actions(self, action_probability) -> None:
        if action_probability is None:
            return
        if np.shape(action_probability) != (len(self.actions),):
            raise ValueError(
                f"action_probability: expected ({len(self.actions)},), one of each action, got "
                f"{np.shape(action_probability)}"
            )
        if not abs(np.sum(action_probability) - 1) < 1e-3:
            raise ValueError(
                f"action_probability: expected probabilities that sum to 1, got a sum of {np.sum(action_probability):g}"
            )


def _in_fixed_frame(joints_cam_m: np.ndarray, poses: list[CameraPose | None]) -> np.ndarray | None:
    """(T, 17, 3) float32 in the fixed frame; None where a frame has no transform."""
    fixed = []
    for joints, pose in zip(joints_cam_m, poses):
        if pose is None or pose.rotation is None:
            return None
        fixed.append(pose.to_fixed(joints))
    return np.stack(fixed).astype(np.float32)


def _offline() -> ModuleType:
    """`dp3d_core.offline`; ImportError names the extra that brings PyTorch."""
    try:
        from dp3d_core import offline
    except ModuleNotFoundError as error:
        raise ImportError(f"lifting a whole sequence: {checkpoint.NO_TORCH}") from error
    return offline
