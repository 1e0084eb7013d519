"""`dp3d lift INPUT… --out DIR`: keypoints or videos in, people in 3D out, in the forms that other tools read."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from dp3d_core.files.many import run_all, table
from dp3d_core.files.prepare import PrepareOptions
from dp3d_core.files.readers import ReadOptions, expand
from dp3d_core.files.run import Outcome, RunOptions


@dataclass(frozen=True, kw_only=True)
class LiftCommand:
    """Lift videos or keypoint files of any tool to 3D people, and write them for other tools.

    INPUT is a video, JSON of OpenPose (a folder), mmpose, AlphaPose or COCO, MediaPipe landmarks (npz, csv),
    VideoPose3D keypoints (npz), a dp3d recording (npz) or a rosbag2, or a folder of these. The same command again goes
    on where it stopped.
    """

    inputs: Positional[tuple[Path, ...]]
    """Files or folders."""
    out: Path
    """Folder for the results."""
    to: tuple[str, ...] = ("npz",)
    """Formats: npz csv json bvh trc c3d coco3d mcap rrd glb."""
    film: bool = False
    """Film the people: the video with skeletons and floor beside a 3D view (mp4)."""
    plot: bool = False
    """Plot joint angles and heights of each person (png)."""
    report: bool = False
    """Write a page with stills, quality and warnings (html)."""
    camera: Path | None = None
    """Camera file: ROS YAML, OpenCV (YAML, XML, JSON) or Pose2Sim (TOML)."""
    camera_name: str | None = None
    """Which camera of a file with several; default: the one named as the clip."""
    hfov: float | None = None
    """Horizontal field of view in degrees, where there is no camera file."""
    image_size: tuple[int, int] | None = None
    """Width and height of the picture in pixels, where the file does not have them."""
    fps: float | None = None
    """Frames a second, where the file has no times."""
    up: tuple[float, float, float] | None = None
    """Against gravity in the camera's frame (x right, y down, z forward), where it is known; level: 0 -1 0."""
    height: float | None = None
    """Height of the camera above the floor in metres, where it is known; with --up."""
    person_height: float = 0.0
    """Standing height of the people in metres, where it is known; 0: unknown."""
    video: Path | None = None
    """The video of the keypoints, for --film."""
    format: str | None = None
    """Format of the inputs, where it is not recognised."""
    joint_set: str | None = None
    """Joint set of the inputs, where the file does not tell."""
    topic: str | None = None
    """Topic of the keypoints in a rosbag2; default: all."""
    weights: str = "small"
    """Weights by name or path."""
    workers: int = 1
    """Processes on this machine."""
    ray: str | None = None
    """Address of a Ray cluster, "auto" for the one of this machine."""


def command(options: LiftCommand) -> None:
    """Lift all inputs, print a table; SystemExit with status 1 if an input failed."""
    from tqdm import tqdm

    if options.workers < 1:
        raise ValueError(f"--workers: expected at least 1, got {options.workers}")
    run = run_options(options)
    inputs = expand(options.inputs)
    if not inputs:
        raise ValueError("expected at least one INPUT; see dp3d lift --help")
    if options.video is not None and len(inputs) > 1:
        raise ValueError(f"--video: expected one INPUT, got {len(inputs)}; a video belongs to one")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--out: expected a folder that can be written, got {options.out} ({error.strerror})") from error
    with tqdm(total=len(inputs), unit="file", disable=None) as bar:

        def tell(outcome: Outcome) -> None:
            bar.write(describe(outcome), file=sys.stdout)
            bar.update()

        outcomes = run_all(inputs, run, workers=options.workers, ray_address=options.ray, progress=tell)
    print(table(outcomes))
    print(_rate(outcomes))
    failed = sum(not outcome.ok for outcome in outcomes)
    if failed:
        print(f"{failed} of {len(outcomes)} inputs failed", file=sys.stderr)
        raise SystemExit(1)


def run_options(options: LiftCommand) -> RunOptions:
    """The options of each input's run; ValueError or FileNotFoundError for those that make no sense."""
    if options.camera is not None and not options.camera.is_file():
        raise FileNotFoundError(f"--camera: no file at {options.camera}")
    return RunOptions(
        out=options.out,
        to=options.to,
        weights=options.weights,
        person_height_m=options.person_height,
        film=options.film,
        plot=options.plot,
        report=options.report,
        video=options.video,
        read=ReadOptions(format=options.format, joint_set=options.joint_set, topic=options.topic),
        prepare=PrepareOptions(
            fps=options.fps,
            camera=options.camera,
            camera_name=options.camera_name,
            hfov_deg=options.hfov,
            image_size_px=options.image_size,
            up_cam=options.up,
            height_m=options.height,
        ),
    )


def describe(outcome: Outcome) -> str:
    """What is said of one input when it is done."""
    if not outcome.ok:
        return f"failed: {outcome.text}"
    if outcome.resumed:
        return f"{', '.join(clip['name'] for clip in outcome.clips)}: done before"
    lines = [f"{outcome.source}: {outcome.text}"]
    for clip in outcome.clips:
        lines.append(
            f"  {clip['name']}: {clip['people']} people in {clip['frames_with_people']} of {clip['frames']} frames; "
            f"camera: {clip['camera']}; ground: {clip['ground']}"
        )
        lines.append(
            f"  reprojection {clip['reprojection_px_median']:.1f} px (95 %: {clip['reprojection_px_p95']:.1f}), "
            f"{clip['seen_joints']:.0%} of joints seen, {clip['within_1_sigma']:.0%} / {clip['within_2_sigma']:.0%} of "
            "them within 1 / 2 sigma"
        )
        for file, distance in clip.get("bvh_fit_mm", {}).items():
            lines.append(
                f"  {file}: constant skeleton {distance['mean']:.1f} mm from the lifted joints "
                f"(95 %: {distance['p95']:.1f})"
            )
        lines += [f"  note: {text}" for text in clip["notes"]]
        lines += [f"  warning: {text}" for text in clip["warnings"]]
        lines.append(f"  wrote {', '.join(clip['files'])}")
    return "\n".join(lines)


def _rate(outcomes: list[Outcome]) -> str:
    person_s, core_s = (sum(getattr(one, name) for one in outcomes) for name in ("person_seconds", "core_seconds"))
    if not core_s:
        return "nothing new was lifted"
    return (
        f"{person_s / 3600:.3f} hours of people in {core_s / 3600:.4f} core-hours: {person_s / core_s:.1f} hours a "
        "core-hour"
    )
