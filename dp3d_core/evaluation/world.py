"""People in the world, measured: `dp3d world --motions FILE.npz` (or `python -m dp3d_core.world`).

Clips of a motion file before made cameras that stand, pan and nod, drive past, roll or look down on lying people, by
`Stream.push` with the camera's pose given in full, in part or not at all. Every row is a mean over clips.
"""
# T frames, J = 17 joints

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dp3d_core.data.motions import Motions, load_motions
from dp3d_core.evaluation import world_scenes as scenes
from dp3d_core.evaluation.report import write_json
from dp3d_core.evaluation.world_scenes import SETTLED, Scene
from dp3d_core.lift import Lifter

STANDS_WITHIN_M = 0.3
"""A clip whose pelvis stays within it stands."""
SLOW_M_S = 0.15
"""An ankle that truly moves slower stands."""
PANS = ((40.0, 1.2), (20.0, 0.7), (10.0, 1.2))
"""Amplitude in degrees and greatest rate in rad/s of a camera that pans; it nods by a third of that."""
HEIGHTS_M = (1.0, 1.2, 1.4, 1.6, 1.75, 1.9, 2.05)
ANKLES, HEAD, THORAX = (3, 6), 10, 8


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Measure how people stand in the world: made cameras that pan, drive, roll, with their pose given or not."""

    weights: str = "small"
    """Shipped name or path."""
    motions: str
    """Motion file (.npz)."""
    split: str = "dev"
    """Split of the motion file."""
    clips: int = 8
    """Clips of each case."""
    seconds: float = 10.0
    """Length of each clip."""
    noise_px: float = 1.0
    """Standard deviation of white noise on every keypoint."""
    seed: int = 0
    """Seed of cameras and noise."""
    json: str | None = None
    """Write the figures to this file."""


@dataclass(frozen=True)
class Case:
    """One row of the table: scenes, what the lifter gets to know of the camera, and what is measured."""

    name: str
    scenes: list[Scene]
    given: str
    measure: Callable
    reach: str


def standing(scene, joints, sigma, pixels):
    """Peak-to-peak error of the pelvis, and the 95th percentile of its speed error."""
    error = (scene.to_fixed(joints)[:, 0] - scene.world_m[:, 0])[SETTLED:]
    speed = np.linalg.norm(np.diff(error, axis=0), axis=1) * scene.rate_hz
    return {"peak_to_peak_m": np.linalg.norm(np.ptp(error, axis=0)), "speed_p95_m_s": np.percentile(speed, 95)}


def root(scene, joints, sigma, pixels):
    """Root error as a share of the distance, and in units of root_sigma."""
    truth = scene.joints_cam_m[SETTLED:, 0]
    error = np.linalg.norm(joints[SETTLED:, 0] - truth, axis=1)
    return {"share": error / np.linalg.norm(truth, axis=1), "over_sigma": error / sigma[SETTLED:]}


def pose(scene, joints, sigma, pixels):
    """MPJPE about the root."""
    truth = scene.joints_cam_m
    error = np.linalg.norm((joints - joints[:, :1]) - (truth - truth[:, :1]), axis=-1)[SETTLED:]
    return {"mpjpe_mm": 1000 * error.mean()}


def lies(scene, joints, sigma, pixels):
    """MPJPE, and how far the trunk's elevation above the floor is off."""
    elevations = []
    for points in (scene.to_fixed(joints), scene.world_m):
        trunk = (points[:, THORAX] - points[:, 0])[SETTLED:]
        elevations.append(np.degrees(np.arcsin(trunk[:, 2] / np.linalg.norm(trunk, axis=1))))
    return {"elevation_deg": np.abs(elevations[0] - elevations[1]).mean()} | pose(scene, joints, sigma, pixels)


def feet(scene, joints, sigma, pixels):
    """Mean speed of ankles that truly hardly move, and theirs."""
    speed = lambda points: np.linalg.norm(np.diff(points[:, ANKLES], axis=0), axis=-1) * scene.rate_hz  # noqa: E731
    truth, found = speed(scene.world_m)[SETTLED:], speed(scene.to_fixed(joints))[SETTLED:]
    slow = truth < SLOW_M_S
    return {"speed_m_s": found[slow].mean(), "true_m_s": truth[slow].mean()} if slow.any() else {}


def off_rays(scene, joints, sigma, pixels):
    """RMS distance in pixels between seen joints and their keypoints."""
    off = (scenes.CAMERA.project(joints) - pixels)[SETTLED:]
    seen = ~np.isin(np.arange(17), scenes.UNSEEN)
    return {"rms_px": float(np.sqrt(np.mean(off[:, seen] ** 2)))}


def clips_of(motions: Motions, frames: int, count: int) -> tuple[list, list]:
    """Up to `count` clips (T, 17, 3) of people who stand and as many of any; spread over the file."""
    stand, any_clip = [], []
    for index in range(len(motions)):
        clip = motions.clip(index)
        world_m = (clip.pose_m + clip.root_m[:, None]).astype(float)[:frames]
        if len(world_m) < min(frames, 2 * SETTLED + 30):
            continue
        still = np.ptp(world_m[:, 0], axis=0).max() < STANDS_WITHIN_M and np.ptp(world_m[:, HEAD, 2]) < 1
        (stand if still and len(world_m) == frames else any_clip).append(world_m)
    if not stand:
        raise ValueError(
            f"motions: expected a clip of {frames} frames in which somebody stands, got none; fewer seconds?"
        )
    spread = lambda clips: [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, count).astype(int))]  # noqa: E731
    return spread(stand), spread(any_clip or stand)


def cases(stand: list, walk: list, rate_hz: float, seed: int) -> list[Case]:
    """The rows of the table."""
    generator = np.random.default_rng(seed)
    places = [np.array([0, -generator.uniform(2.5, 5), generator.uniform(0.6, 1.6)]) for _ in stand]
    people = [scenes.centred(clip, generator.uniform(0, 2 * np.pi)) for clip in stand]
    time_s = np.arange(len(people[0])) / rate_hz
    still = [scenes.before(world, place, rate_hz=rate_hz) for world, place in zip(people, places)]
    table = [
        Case("stands, camera still, nothing given", still, "nothing", standing, "0.15 m, 0.15 m/s"),
        Case("stands, camera still, pose given", still, "full", standing, "0.15 m, 0.15 m/s"),
    ]
    for given, reach in (("full", "1.25 x still + 0.03 m / + 0.05 m/s"), ("nothing", "1.5 x still + 0.05 / + 0.15")):
        for amplitude, rate in PANS:
            angle = np.radians(amplitude)
            yaw = angle * np.sin(rate / angle * time_s)
            nod = angle / 3 * np.sin(1.3 * rate / angle * time_s)
            turned = [scenes.before(w, p, yaw=yaw, pitch=nod, rate_hz=rate_hz) for w, p in zip(people, places)]
            name = f"camera pans {amplitude:g} deg, {rate:g} rad/s, pose {'given' if given == 'full' else 'not given'}"
            table.append(Case(name, turned, given, standing, reach))
    drives = []
    for world, place in zip(people, places):
        along, aside = time_s - time_s.mean(), max(0.7 * -place[1], 2.0)
        path = np.stack([along, np.full_like(along, -aside), np.full_like(along, place[2])], 1)
        drives.append(scenes.before(world, path, yaw=-np.arctan2(-along, aside), rate_hz=rate_hz))
    table.append(Case("robot drives past at 1 m/s, pose given", drives, "full", standing, "as panning"))
    return table + _people(stand, walk, rate_hz, generator)


def _people(stand, walk, rate_hz, generator) -> list[Case]:
    """Rows about bodies: heights, rolls, lying, feet and rays."""
    tall = []
    for number, clip in enumerate(stand + walk):
        for height_m in (HEIGHTS_M[number % 7], HEIGHTS_M[(number + 3) % 7]):
            size = height_m / max(clip[:, HEAD, 2].mean() + 0.02, 0.5)
            world = scenes.centred(clip, generator.uniform(0, 2 * np.pi), size)
            place = (0, -generator.uniform(2, 8), generator.uniform(0.6, 1.6))
            tall.append(scenes.before(world, place, pitch=0.1, rate_hz=rate_hz))
    table = [
        Case("heights 1.0 to 2.05 m at 2 to 8 m, full pose: root", tall, "full", root, "2.5 %, 6 %"),
        Case("the same, nothing given: error over root_sigma", tall, "nothing", root, "p90 1.7"),
    ]
    walkers = [scenes.centred(clip, generator.uniform(0, 2 * np.pi)) for clip in walk]
    for given in ("up", "nothing"):
        for roll in (0, 90, 180):
            rolled = [scenes.before(w, (0, -4, 1.2), roll=np.radians(roll), rate_hz=rate_hz) for w in walkers]
            reach = "within 2 mm of roll 0" if given == "up" else "within 25 %"
            table.append(Case(f"roll {roll}, {given} given: pose", rolled, given, pose, reach))
    for where, angle in (("feet", np.pi / 2), ("side", 0.0), ("head", -np.pi / 2)):
        down = [
            scenes.before(scenes.lying(clip, angle), (0, -3.5, 1.4), pitch=np.radians(20), rate_hz=rate_hz)
            for clip in stand
        ]
        table.append(Case(f"lying, seen from the {where}, up given", down, "up", lies, "10 deg, 110 mm"))
    level = [scenes.before(world, (0, -4, 1.2), rate_hz=rate_hz) for world in walkers]
    for given in ("full", "nothing"):
        table.append(Case(f"ankles that stand, {given} given", level, given, feet, "0.15 m/s"))
        table.append(Case(f"seen joints off their rays, {given} given", level, given, off_rays, "1.5 x noise"))
    return table


def figures(lifter: Lifter, case: Case, noise_px: float, seed: int) -> dict[str, float]:
    """Means over the clips; of shares and ratios, the median and the 90th percentile over all frames."""
    found: dict[str, list] = {}
    unanswered = 0
    for number, scene in enumerate(case.scenes):
        answer = scenes.stream(lifter, scene, case.given, noise_px, seed + number)
        if not np.isfinite(answer[0][SETTLED:]).all():
            unanswered += 1
            continue
        for name, value in case.measure(scene, *answer).items():
            found.setdefault(name, []).append(value)
    row = {"unanswered_clips": float(unanswered)} if unanswered else {}
    for name, values in found.items():
        if np.ndim(values[0]):
            pooled = np.concatenate(values)
            row[f"{name}_median"], row[f"{name}_p90"] = float(np.median(pooled)), float(np.percentile(pooled, 90))
        else:
            row[name] = float(np.mean(values))
    return row


def command(options: WorldOptions) -> None:
    """Measure every case and print a row each."""
    lifter = Lifter.load(options.weights)
    motions = load_motions(options.motions).split(options.split)
    stand, walk = clips_of(motions, int(options.seconds * motions.fps), options.clips)
    table = {}
    for case in cases(stand, walk, float(motions.fps), options.seed):
        row = table[case.name] = figures(lifter, case, options.noise_px, options.seed)
        print(f"{case.name:58}{'  '.join(f'{k} {v:.3f}' for k, v in row.items()):66}({case.reach})", flush=True)
    if options.json:
        write_json(options.json, table)
