"""The keypoint names of common detectors, in the order in which they are published.

Names are lower case with the side first ("left_wrist"), whatever the source writes. Knows nothing of our 17 joints.
"""

_LIMBS_LEFT_FIRST = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
    "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_COCO = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_LIMBS_LEFT_FIRST)
_HALPE26 = (
    *_COCO, "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel",
    "right_heel",
)  # fmt: skip


def _hand(side: str) -> tuple[str, ...]:
    fingers = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
    return (f"{side}_hand_root", *(f"{side}_{finger}_{part}" for finger in fingers for part in range(1, 5)))


_WHOLEBODY133 = (
    *_COCO, "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
    *(f"face_{point}" for point in range(68)), *_hand("left"), *_hand("right"),
)  # fmt: skip
_ARMS_RIGHT_FIRST = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_LEGS_RIGHT_FIRST = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_OPENPOSE18 = (*_ARMS_RIGHT_FIRST, *_LEGS_RIGHT_FIRST, "right_eye", "left_eye", "right_ear", "left_ear")
_OPENPOSE25 = (
    *_ARMS_RIGHT_FIRST, "mid_hip", *_LEGS_RIGHT_FIRST, "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip
_HRI18 = (*_ARMS_RIGHT_FIRST, *_LEGS_RIGHT_FIRST, "left_eye", "right_eye", "left_ear", "right_ear")
_MEDIAPIPE33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip


def _arm(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in ("clavicle", "shoulder", "elbow", "wrist", "hand", "handtip", "thumb"))


def _leg(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot"))


_KINECT32 = (
    "pelvis", "spine_navel", "spine_chest", "neck", *_arm("left"), *_arm("right"), *_leg("left"), *_leg("right"),
    "head", "nose", "left_eye", "left_ear", "right_eye", "right_ear",
)  # fmt: skip
_ZED38 = (
    "pelvis", "spine_1", "spine_2", "spine_3", "neck", "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_clavicle", "right_clavicle", *_LIMBS_LEFT_FIRST, "left_big_toe", "right_big_toe", "left_small_toe",
    "right_small_toe", "left_heel", "right_heel", "left_thumb_tip", "right_thumb_tip", "left_index_knuckle",
    "right_index_knuckle", "left_middle_tip", "right_middle_tip", "left_pinky_knuckle", "right_pinky_knuckle",
)  # fmt: skip

KEYPOINTS = {
    "coco17": _COCO,
    "rtmpose17": _COCO,
    "halpe26": _HALPE26,
    "rtmpose26": _HALPE26,
    "wholebody133": _WHOLEBODY133,
    "openpose18": _OPENPOSE18,
    "openpose25": _OPENPOSE25,
    "mediapipe33": _MEDIAPIPE33,
    "hri18": _HRI18,
    "kinect32": _KINECT32,
    "zed18": _OPENPOSE18,
    "zed34": (*_KINECT32, "left_heel", "right_heel"),
    "zed38": _ZED38,
}
"""Keypoint names by joint set: COCO, Halpe and COCO-WholeBody as in mmpose (RTMPose speaks the first two), OpenPose
BODY_18 and BODY_25, MediaPipe Pose, ROS4HRI's Skeleton2D (OpenPose-18 with the left eye and ear first), Azure Kinect
Body Tracking, and BODY_18, BODY_34 and BODY_38 of the ZED SDK. ZED's navel and chest are named as the Kinect's."""

MIDPOINTS = frozenset({"openpose18", "openpose25", "hri18", "zed18"})
"""Sets whose `neck` and `mid_hip` are by definition halfway between the shoulders and between the hips."""
