"""The facade: load weights once, lift whole sequences offline, or open live streams."""
# T frames, K keypoints of the source, J = 17 joints, H hypotheses

import math

import numpy as np
import torch

from dp3d_core import checkpoint
from dp3d_core.backends import make_backend, place
from dp3d_core.config import LOOKAHEADS, StreamConfig, from_dict
from dp3d_core.geometry.gaps import bridge_all
from dp3d_core.geometry.observation import follow_all, observe
from dp3d_core.geometry.root import HEIGHT_SIGMA, KNOWN_HEIGHT_SIGMA, Proportions, smooth, solve
from dp3d_core.live.batch import Streams
from dp3d_core.model.diffusion import band_mask, causal_mask, rows_ahead
from dp3d_core.model.sampler import aggregate_placed, check_aggregate, hypotheses
from dp3d_core.skeleton import MIRROR, adapt, mirror
from dp3d_core.skeleton import joint_set as find_joint_set
from dp3d_core.types import Lifted

CHUNK_FRAMES = 512
"""Offline sequences longer than this are lifted in overlapping pieces; the mask is quadratic in the length."""


class Lifter:
    """A loaded denoiser. Load with `Lifter.load`; one may serve many streams."""

    def __init__(self, loaded, *, weights_name="", backend="auto", **engines):
        self.weights_name = weights_name
        self.actions, self.temperature = loaded.actions, loaded.temperature
        self.provenance = loaded.provenance
        self.denoiser = loaded.denoiser
        self._backend = make_backend(backend, loaded.denoiser, **engines)

    @classmethod
    def load(cls, weights="small", *, backend="auto", device="cpu", **engines):
        """Weights by shipped name or path; ValueError says in one sentence what is wrong with them, or the device.

        backend and engines (threads, precision, cache_dir): see `dp3d_core.backends.make_backend`.
        """
        loaded = checkpoint.load(weights)
        place(loaded.denoiser, device)
        return cls(loaded, weights_name=str(weights), backend=backend, **engines)

    @property
    def backend_name(self):
        """What runs the rolling step."""
        return self._backend.name

    @property
    def backend_note(self):
        """Why that, or what went wrong with a better one."""
        return self._backend.note

    @property
    def backend_counters(self):
        """{cause: number} of what went wrong with backends and of the engine cache's hits and misses; empty if none."""
        return dict(self._backend.counters)

    @property
    def config(self):
        """The network's `ModelConfig`."""
        return self.denoiser.config

    @property
    def refines(self):
        """Whether the network was trained to take its own estimates back in; a plain regressor answers once."""
        return self.provenance.get("train", {}).get("objective") != "regression"

    @property
    def lookaheads(self):
        """The lookaheads that `stream` takes: refining is what a stream's lookahead is made of."""
        return LOOKAHEADS if self.refines else (0,)

    def stream(self, *, camera, **options):
        """A live `Stream`; options are the fields of `StreamConfig`, unknown ones raise ValueError."""
        return self.streams({"": camera}, **options)[""]

    def streams(self, cameras, **options):
        """`Streams` of several cameras {name: Camera} that share their network passes; options as for `stream`."""
        config = from_dict(StreamConfig, options)
        if config.lookahead not in self.lookaheads:
            raise ValueError(
                f"lookahead: expected 0, got {config.lookahead}; these weights are a plain regressor, which refines "
                "nothing (dp3d_core.evaluation.methods.windowed looks ahead without refining)"
            )
        return Streams(
            backend=self._backend, model=self.config, groups=self.denoiser.groups, actions=self.actions,
            temperature=self.temperature, cameras=cameras, config=config,
        )  # fmt: skip

    def warm_up(self, people=1, lookahead=0, cameras=1):
        """Build the engines for up to `people` in each of `cameras` that share their passes (seconds, once: they are
        kept on disk) and run the step a few times."""
        from dp3d_core.geometry.camera import Camera

        self._backend.prepare(people * cameras, lookahead + 1)

        camera = Camera.from_fov(width=640, height=480)
        streams = self.streams(
            dict.fromkeys(range(cameras), camera), joint_set="h36m17", lookahead=lookahead, max_people=max(people, 1)
        )
        points = np.random.default_rng(0).uniform(100, 300, (17, 2)).astype(np.float32)
        everybody = {person: (points, np.ones(17)) for person in range(people)}
        for frame in range(3):
            streams.push({name: (frame / 30, everybody) for name in streams})

    def lift(
        self, keypoints_px, confidence, stamps_s, *, camera, joint_set="coco17", person_height_m=0.0, steps=1,
        samples=1, aggregate="mean", flip=False, seed=0, causal=False, min_confidence=0.05, action_probability=None,
    ):  # fmt: skip
        """Lift one person's whole sequence, looking both ways in time (or back only, with `causal`).

        keypoints_px (T, K, 2), confidence (T, K) with 0 = missing, stamps_s (T,) ascending seconds. One step and one
        sample give the point estimate; with samples > 1 that many hypotheses are drawn (`sample` returns them all) and
        become one by `aggregate`: "mean", or joint by joint what reprojects best, "jpma" and "jpma_soft", about the
        estimated root. `flip` lifts the mirrored person too and answers with the mean of both, as the papers evaluate
        (test-time flip, VideoPose3D): twice the cost. action_probability (A,) is an oracle for evaluation. Returns
        `Lifted`.
        """
        check_aggregate(aggregate)
        pose_m, sigma_m, place, probability, seen = self._infer(
            keypoints_px, confidence, stamps_s, camera=camera, joint_set=joint_set, person_height_m=person_height_m,
            steps=steps, samples=samples, flip=flip, seed=seed, causal=causal, min_confidence=min_confidence,
            action_probability=action_probability,
        )  # fmt: skip
        joints_cam_m, root_sigma_m = place(pose_m.mean(0))
        if aggregate != "mean":
            joints_cam_m = aggregate_placed(np.stack([place(one)[0] for one in pose_m]), *seen, aggregate)
        return Lifted(
            stamps_s=np.asarray(stamps_s, np.float64), joints_cam_m=joints_cam_m, sigma_m=sigma_m,
            root_sigma_m=root_sigma_m, action_probability=probability, metric=not camera.assumed,
        )  # fmt: skip

    def sample(
        self, keypoints_px, confidence, stamps_s, *, camera, joint_set="coco17", person_height_m=0.0, steps=1,
        samples=20, flip=False, seed=0, causal=False, min_confidence=0.05, action_probability=None,
    ):  # fmt: skip
        """The hypotheses whose mean `lift` answers with the same arguments, each placed by its own estimated root.

        Returns joints_cam_m (H, T, 17, 3) metres in the camera and sigma_m (T, 17), the doubt about their mean. With
        one sample: the point estimate alone.
        """
        pose_m, sigma_m, place, *_ = self._infer(
            keypoints_px, confidence, stamps_s, camera=camera, joint_set=joint_set, person_height_m=person_height_m,
            steps=steps, samples=samples, flip=flip, seed=seed, causal=causal, min_confidence=min_confidence,
            action_probability=action_probability,
        )  # fmt: skip
        return np.stack([place(hypothesis)[0] for hypothesis in pose_m]), sigma_m

    def _infer(
        self, keypoints_px, confidence, stamps_s, *, camera, joint_set, person_height_m, steps, samples, flip, seed,
        causal, min_confidence, action_probability,
    ):  # fmt: skip
        """Poses (H, T, 17, 3), sigma (T, 17), a function from a pose to joints_cam_m and root sigma, actions, and what
        was seen: rays (T, 17, 2) in the camera with their confidence (T, 17)."""
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        if (steps > 1 or samples > 1) and not self.refines:
            raise ValueError(
                f"steps, samples: expected 1 and 1, got {steps} and {samples}; these weights are a plain regressor, "
                "which knows no noise"
            )
        if action_probability is not None and np.shape(action_probability) != (len(self.actions),):
            raise ValueError(
                f"action_probability: expected ({len(self.actions)},), one of each action, got "
                f"{np.shape(action_probability)}"
            )
        if action_probability is not None and not abs(np.sum(action_probability) - 1) < 1e-3:
            raise ValueError(
                f"action_probability: expected probabilities that sum to 1, got a sum of {np.sum(action_probability):g}"
            )
        keypoints_px, confidence, stamps_s = _check(keypoints_px, confidence, stamps_s, joint_set)
        pixels, trust = adapt(keypoints_px, confidence, find_joint_set(joint_set))
        trust[trust < min_confidence] = 0
        rays, trust = camera.see(pixels, trust)
        if not (trust > 0).any():
            raise ValueError("confidence: expected at least one visible joint in the sequence, got none")
        in_camera = rays, trust
        rays, trust = bridge_all(rays, trust, stamps_s)
        rays = rays[None]
        relative_s = (stamps_s - stamps_s[0])[None]
        state = follow_all(rays, trust[None], relative_s.astype(np.float32), np)
        seen, rotation, turned = observe(rays, trust[None], state, np)
        pose, variance, probability = self._denoise(
            seen.astype(np.float32), relative_s, steps=steps, samples=samples, flip=flip, seed=seed, causal=causal,
            action_probability=action_probability,
        )  # fmt: skip
        scale = self.config.pose_scale_m
        # several hypotheses disagree where 2D says little: their spread is part of the uncertainty
        sigma_m = np.sqrt(variance * (scale * self.temperature) ** 2 + (pose * scale).var(0).mean(-1))
        sigma_m[:, 0] = 0

        def place(pose_m):
            pose_m = Proportions.of_clip(pose_m, sigma_m).apply(slice(None), pose_m, person_height_m)
            root, variance, solved = solve(pose_m, turned[0], trust, sigma_m)
            root_cam_m = np.einsum("tij,ti->tj", rotation[0], root)
            root_cam_m, relative_sigma = smooth(root_cam_m, variance, solved, stamps_s)
            height_sigma = KNOWN_HEIGHT_SIGMA if person_height_m > 0 else HEIGHT_SIGMA
            root_sigma_m = np.linalg.norm(root_cam_m, axis=1) * np.hypot(relative_sigma, height_sigma)
            joints_cam_m = np.einsum("tij,tki->tkj", rotation[0], pose_m) + root_cam_m[:, None]
            return joints_cam_m.astype(np.float32), root_sigma_m.astype(np.float32)

        return pose * scale, sigma_m.astype(np.float32), place, probability, in_camera

    @torch.inference_mode()
    def _denoise(
        self, seen, relative_s, *, steps=1, samples=1, flip=False, seed=0, causal=False, action_probability=None
    ):
        """Clean poses (H, T, 17, 3), variance (T, 17) and action probabilities (T, A), chunk by chunk."""
        frames, overlap = seen.shape[1], self.config.window_frames
        device = next(self.denoiser.parameters()).device
        poses, variances, actions, start = [], [], [], 0
        noise = torch.zeros(samples, 1, frames, 17, 3)
        if samples > 1:
            noise.normal_(generator=torch.Generator().manual_seed(seed))
        oracle = None
        if action_probability is not None:
            oracle = torch.as_tensor(action_probability, dtype=torch.float32, device=device)[None]
        while True:
            first = max(0, start - overlap)
            # every piece looks one window beyond what it keeps, so that the seams have context on both sides
            stop = min(frames, start + CHUNK_FRAMES)
            last = frames if frames - stop <= overlap else min(frames, stop + overlap)
            stop = frames if last == frames else stop
            piece = torch.from_numpy(seen[:, first:last]).to(device)
            stamps = torch.from_numpy(relative_s[:, first:last] - relative_s[:, first : first + 1]).float().to(device)
            length = last - first
            make = causal_mask if causal else band_mask
            mask = make(length, self.config.window_frames, device)[None]
            pool = None if causal else rows_ahead(length, self.config.window_frames, device)
            from_noise = []

            def ask(noisy, piece, level, stamps=stamps, mask=mask, pool=pool):
                return self.denoiser(noisy, piece, level, stamps, mask, pool, oracle)

            def denoise(noisy, level, piece=piece, ask=ask, from_noise=from_noise):
                answer = ask(noisy, piece, level)
                if flip:
                    answer = _both(answer, ask(mirror(noisy), mirror(piece), level))
                if level[0, 0] == 1:
                    from_noise.append(answer)
                return answer.clean

            # a piece's own part of one noise: a sample goes on over the seams
            sampled = hypotheses(denoise, noise[:, :, first:last].to(device), steps)
            keep = slice(start - first, stop - first)
            poses.append(sampled[:, 0, keep].cpu().numpy())
            # later steps are only as unsure as what they were fed leaves them: the doubt about the 2D is the first's
            variance = torch.stack([answer.log_variance[0, keep].exp() for answer in from_noise]).mean(0)
            variances.append(variance.cpu().numpy())
            actions.append(torch.softmax(from_noise[0].action_logits[0, keep], -1).cpu().numpy())
            if stop == frames:
                return np.concatenate(poses, 1), np.concatenate(variances), np.concatenate(actions)
            start = stop


def _both(answer, of_mirrored):
    """The mean of an answer and of what the mirrored person's answer says in the mirror."""
    other = of_mirrored.log_variance[..., list(MIRROR)]
    return answer._replace(
        clean=(answer.clean + mirror(of_mirrored.clean)) / 2,
        log_variance=torch.logaddexp(answer.log_variance, other) - math.log(2),
        action_logits=(answer.action_logits + of_mirrored.action_logits) / 2,
    )


def _check(keypoints_px, confidence, stamps_s, name):
    size = len(find_joint_set(name).keypoints)
    keypoints_px, confidence = np.asarray(keypoints_px, np.float32), np.array(confidence, np.float32)
    stamps_s = np.asarray(stamps_s, np.float64)
    if keypoints_px.ndim != 3 or keypoints_px.shape[1:] != (size, 2):
        hint = "; pass confidence separately" if keypoints_px.shape[-1:] == (3,) else ""
        raise ValueError(f"keypoints_px: expected (T, {size}, 2) pixels, got {keypoints_px.shape}{hint}")
    frames = len(keypoints_px)
    if confidence.shape != (frames, size):
        raise ValueError(f"confidence: expected ({frames}, {size}), got {confidence.shape}")
    if stamps_s.shape != (frames,) or not np.isfinite(stamps_s).all() or (np.diff(stamps_s) <= 0).any():
        raise ValueError(f"stamps_s: expected ({frames},) finite ascending seconds, got {stamps_s.shape}")
    if frames == 0:
        raise ValueError("keypoints_px: expected at least one frame, got none")
    # as in a stream: the rays of anything beyond a million pixels would overflow single precision squares
    usable = np.isfinite(confidence) & (np.abs(keypoints_px) < 1e6).all(-1)
    confidence = np.clip(np.where(usable, confidence, 0), 0, 1)
    return np.where((confidence > 0)[..., None], keypoints_px, 0), confidence, stamps_s
