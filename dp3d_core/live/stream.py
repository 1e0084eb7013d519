"""One camera of `Streams`, as its user holds it: `push` each frame's keypoints, get everybody's skeleton back."""

from collections import Counter
from typing import Any

from dp3d_core.config import StreamConfig
from dp3d_core.geometry.camera import Camera
from dp3d_core.geometry.camera_pose import CameraPose
from dp3d_core.live.roster import Roster
from dp3d_core.types import Frame, Keypoints, People, Skeletons


class Stream:
    """A live stream; made by `Lifter.stream`, or several that share their passes by `Lifter.streams`.

    Holds nothing itself: two of the same camera are the same stream.
    """

    __slots__ = ("_roster", "_streams")

    def __init__(self, streams, roster: Roster):
        self._streams, self._roster = streams, roster

    def push(self, stamp_s: float, people: People, *, pose: CameraPose | None = None, tag: Any = None) -> Skeletons:
        """Take one frame in and return the skeletons of the frame `lookahead` pushes ago.

        stamp_s seconds on the source's clock; people {id: (keypoints_px (K, 2), confidence (K,))}, with confidence 0
        for a missing keypoint; leave out who was not detected. Where the source has no ids, people is a list of such
        pairs, and ids are assigned from frame to frame, counting up from 0. `pose` says where the camera hangs at
        stamp_s, as far as anybody knows: people are then upright, as large as their feet on the floor say, and stand
        still while the camera moves. `tag` comes back with the skeletons of this
        frame. With a lookahead `Skeletons` are empty until a person has been here for lookahead + 1 frames; `latest`
        is the zero-lag estimate. Arrays of another shape or not of numbers, and a stamp that is no finite number, raise
        ValueError; everything else is mended and counted, and `Skeletons.outcome` says what became of the frame. For
        several cameras at once, see `Streams.push`.
        """
        name = self._roster.name
        return self._streams.push({name: Frame(stamp_s, people, tag, pose)})[name]

    @property
    def latest(self) -> Skeletons | None:
        """The newest frame's zero-lag `Skeletons`; with lookahead 0 what `push` returned.

        None before any person and after a reset.
        """
        return self._streams.latest(self._roster)

    @property
    def keypoints(self) -> Keypoints | None:
        """The 2D keypoints of the last frame that was used, judged and with their ids; None before one."""
        return self._roster.keypoints

    @property
    def name(self) -> Any:
        """The camera's name."""
        return self._roster.name

    @property
    def camera(self) -> Camera:
        """The camera in use."""
        return self._roster.camera

    @property
    def config(self) -> StreamConfig:
        """The options, the same for all cameras that share their passes."""
        return self._streams.config

    @property
    def counters(self) -> Counter[str]:
        """What was dropped or mended, by cause: not_finite, confidence_out_of_range, few_joints, too_many_people,
        unseen_displaced, duplicate_stamp, late_stamp, stream_reset, camera_changed, unsolved_root, not_finite_answer;
        keypoints at (0, 0) or (-1, -1) (placeholder_pixel), clamped to the picture's border (border_pixel) or given as
        shares of the picture (normalised_pixel) count as missing; below_min_confidence counts people all of whose
        joints are below it. Hints of wrong options, of every eighth frame: outside_picture, within_half_picture (no
        joint was ever beyond half of the camera's picture), odd_bones (limbs unlike those of people). Of
        the camera's pose: pose_jumped, up_contradicted (people hang head down), floor_contradicted (feet that do not
        stand on it).
        """
        return self._roster.counters

    @property
    def metric(self) -> bool:
        """False where the camera is assumed."""
        return self._roster.metric

    def set_camera(self, camera: Camera) -> None:
        """Use another camera from now on.

        People who are then seen along the same rays (a zoom, an image of another size) go on; where their rays moved (a
        calibration that was mended) all start afresh and keep their ids: what was filtered stood elsewhere.
        """
        self._roster.set_camera(camera)

    def reset(self, person_id: Any = None) -> None:
        """Forget one person (by the id given to `push`), or everybody and the clock; other cameras are untouched."""
        self._roster.reset(person_id)

    def configure(self, **options: Any) -> None:
        """Change options that are `live`, for all cameras that share their passes; ValueError refuses the others."""
        self._streams.configure(**options)
