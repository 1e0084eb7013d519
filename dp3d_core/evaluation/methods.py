"""What is evaluated, each as a function of an `EvalSequence`: the stream, the offline lift, and the baselines.

Every method returns joints (T, 17, 3) metres in the camera, sigma (T, 17) or None, and answered (T,) bool.
"""
# T frames, J = 17 joints, A actions

import numpy as np
import torch

from dp3d_core.data import noise
from dp3d_core.data.actions import ACTIONS, NO_LABEL, label
from dp3d_core.data.windows import MotionBank, sample_batch
from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.geometry.observation import follow_all, observe
from dp3d_core.geometry.root import solve
from dp3d_core.geometry.uncertainty import one_sigma
from dp3d_core.model.encoder import UP_CHANNELS
from dp3d_core.model.sampler import aggregate_mean, aggregate_placed, check_aggregate


def hold(joints, sigma, answered):
    """Fill frames without an answer with the last answer before them: a robot would still believe it.

    Frames before the first answer stay unanswered, and so are not scored (they are counted by the evaluation).
    """
    last = np.maximum.accumulate(np.where(answered, np.arange(len(answered)), -1))
    known = last >= 0
    return joints[last], sigma[last], known


def stream(lifter, sequence, *, lookahead=0, up_known=False, **options):
    """Live: frame by frame through `Stream.push`; the answer of a frame is what came `lookahead` pushes later.

    up_known: the stream is told what is up.
    """
    frames = len(sequence.stamps_s)
    joints, sigma = np.zeros((frames, 17, 3), np.float32), np.zeros((frames, 17), np.float32)
    answered = np.zeros(frames, bool)
    live = lifter.stream(camera=sequence.camera, joint_set="h36m17", lookahead=lookahead, **options)
    pose = _up_pose(sequence) if up_known else None
    for frame, stamp_s in enumerate(sequence.stamps_s):
        seen = {0: (sequence.keypoints_px[frame], sequence.confidence[frame])}
        out = live.push(float(stamp_s), seen, pose=pose)
        if out.ids:
            when = frame - lookahead
            joints[when], sigma[when], answered[when] = out.joints_cam_m[0], out.sigma_m[0], True
    joints, sigma, known = hold(joints, sigma, answered)
    # the last frames have not aged enough when the sequence ends: no push followed that returned them
    known[frames - lookahead :] = False
    return joints, sigma, known


def offline(lifter, sequence, **options):
    """Whole sequence, both ways in time (or one way, see `Lifter.lift`)."""
    lifted = lifter.lift(**_lift_arguments(lifter, sequence, options))
    return lifted.joints_cam_m, lifted.sigma_m, np.ones(len(sequence.stamps_s), bool)


def sampled(lifter, sequence, *, aggregate="mean", **options):
    """`offline` from several hypotheses, as one of AGGREGATES; returns the hypotheses (H, T, 17, 3) as a fourth."""
    check_aggregate(aggregate)
    hypotheses, sigma = lifter.sample(**_lift_arguments(lifter, sequence, options))
    if aggregate == "mean":
        joints = aggregate_mean(hypotheses)
    else:
        rays, confidence = sequence.camera.see(sequence.keypoints_px, sequence.confidence)
        joints = aggregate_placed(hypotheses, rays, confidence, aggregate)
    return joints, sigma, np.ones(len(sequence.stamps_s), bool), hypotheses


def action_probability(lifter, sequence, *, causal):
    """(T, A) what the network believes of the action, looking back only or ahead too."""
    return lifter.lift(**_lift_arguments(lifter, sequence, {"causal": causal})).action_probability


def true_action(lifter, sequence):
    """Index of a sequence's action in the network's vocabulary, None where it has none there (an oracle's knowledge).

    A benchmark's own names ("Walking", "Phoning") are read by the rules that label free text.
    """
    name = sequence.action
    if name not in lifter.actions and (index := label(name)) != NO_LABEL:
        name = ACTIONS[index]
    return lifter.actions.index(name) if name in lifter.actions else None


def _up_pose(sequence):
    """The `CameraPose` of a sequence's camera, of which up alone is known; ValueError where it is not."""
    if sequence.up_cam is None:
        raise ValueError(f"--up-known: expected data that say what is up, got none in {sequence.name}")
    return CameraPose.from_up(sequence.up_cam)


def _lift_arguments(lifter, sequence, options):
    """Arguments of `Lifter.lift` for this sequence.

    `oracle_label` becomes the true action's probability, and `up_known` the camera's pose.
    """
    options = dict(options)
    if options.pop("up_known", False):
        options["pose"] = _up_pose(sequence)
    if options.pop("oracle_label", False) and (index := true_action(lifter, sequence)) is not None:
        options["action_probability"] = np.eye(len(lifter.actions), dtype=np.float32)[index]
    return {
        "keypoints_px": sequence.keypoints_px,
        "confidence": sequence.confidence,
        "stamps_s": sequence.stamps_s,
        "camera": sequence.camera,
        "joint_set": "h36m17",
        **options,
    }


@torch.inference_mode()
def per_frame(lifter, sequence):
    """The same network with no past: every frame lifted and placed alone, nothing smoothed, no bone lengths kept."""
    seen, rotation, turned = seen_by_network(sequence)
    batch = torch.from_numpy(seen.astype(np.float32))[:, None]
    zero = torch.zeros(len(batch), 1)
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    encoded = lifter.encoder(batch, torch.zeros(len(batch), 1, UP_CHANNELS), zero, mask)
    pose_m = encoded.pose[:, 0].numpy() * lifter.config.pose_scale_m
    scale_m = lifter.config.pose_scale_m * lifter.temperatures["lookahead 0"]
    sigma_m = one_sigma(torch.exp(0.5 * encoded.log_variance[:, 0]).numpy() * scale_m)
    return _put(pose_m, sigma_m, rotation, turned, seen[..., 2])


def mean_pose(pose_m):
    """The baseline that always answers `pose_m` (17, 3), placed by its rays."""

    def method(sequence):
        seen, rotation, turned = seen_by_network(sequence)
        frames = len(sequence.stamps_s)
        constant = np.broadcast_to(pose_m, (frames, 17, 3)).astype(np.float32)
        return _put(constant, np.full((frames, 17), 0.2, np.float32), rotation, turned, seen[..., 2])

    return method


def training_mean(motions, seed=0):
    """Mean root-relative pose (17, 3) of training sequences in their virtual cameras, seen exactly."""
    bank, generator = MotionBank(motions), torch.Generator().manual_seed(seed)
    batches = [
        sample_batch(bank, 64, 16, generator=generator, detector=noise.DetectorNoise.none(), reach=0) for _ in range(16)
    ]
    return torch.cat([batch.pose_m.flatten(0, 1) for batch in batches]).mean(0).numpy()


def seen_by_network(sequence):
    """What the network sees (T, 17, 4), the rotation (T, 3, 3) to the virtual camera and the rays (T, 17, 2) in it."""
    rays, confidence = sequence.camera.see(sequence.keypoints_px, sequence.confidence)
    rays, confidence = rays[None], confidence[None].astype(np.float32)
    relative_s = (sequence.stamps_s - sequence.stamps_s[0])[None].astype(np.float32)
    seen, rotation, turned = observe(rays, confidence, follow_all(rays, confidence, relative_s, np), np)
    return seen[0], rotation[0], turned[0]


def _put(pose_m, sigma_m, rotation, turned, confidence):
    """Per-frame placement; a frame whose root cannot be solved holds the last one that could."""
    root, _, solved = solve(pose_m, turned, confidence, sigma_m)
    root_cam_m = np.einsum("tij,ti->tj", rotation, root)
    joints = np.einsum("tij,tki->tkj", rotation, pose_m) + root_cam_m[:, None]
    sigma_m = sigma_m.copy()
    sigma_m[:, 0] = 0
    return hold(joints, sigma_m, solved)
