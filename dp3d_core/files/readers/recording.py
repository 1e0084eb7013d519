"""A dp3d recording: see `dp3d_core.capture.recording`."""

from pathlib import Path

from dp3d_core.capture import recording as recordings
from dp3d_core.files.detections import Detections
from dp3d_core.files.readers import ReadOptions
from dp3d_core.geometry.camera import Camera


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """One clip, with its camera unless that was only assumed."""
    return [from_recording(recordings.load(path), path)]


def from_recording(recording: recordings.Recording, path: Path) -> Detections:
    """The recording as `Detections`."""
    width, height = (int(value) for value in recording.image_size_px)
    K, camera, camera_from = recording.K, None, ""
    if recording.intrinsics != "assumed":
        camera = Camera(
            fx=K[0, 0],
            fy=K[1, 1],
            cx=K[0, 2],
            cy=K[1, 2],
            width=width,
            height=height,
            distortion=tuple(recording.distortion.tolist()),
            model="rational_polynomial" if len(recording.distortion) > 5 else "plumb_bob",
        )
        camera_from = f"the recording ({recording.intrinsics})"
    ground = None
    if recording.ground_normal_cam is not None and recording.ground_distance_m is not None:
        ground = recording.ground_normal_cam, recording.ground_distance_m
    return Detections(
        name=path.stem,
        source=str(path),
        format="a dp3d recording",
        frames=len(recording.stamps_s),
        frame=recording.frame,
        person=recording.person,
        keypoints_px=recording.keypoints_px.astype(float),
        confidence=recording.confidence.astype(float),
        joint_set=recording.joint_set,
        stamps_s=recording.stamps_s,
        image_size_px=(width, height),
        camera=camera,
        camera_from=camera_from,
        ground=ground,
    )
