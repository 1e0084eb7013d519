"""What is evaluated on and by which protocol: synthetic views of mocap, recordings, Human3.6M, MPI-INF-3DHP.

Knows file loaders and published protocols; nothing of networks, and it computes no error.
"""
# T frames, J = 17 joints

from dataclasses import dataclass, field
from pathlib import Path

from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.synthetic import synthetic_sequences
from dp3d_core.evaluation.metrics import JOINTS_14
from dp3d_core.skeleton import JOINT_NAMES

DETECTORS = {"noisy": DetectorNoise(), "exact": None}
PUBLISHED_JOINTS = {17: None, 14: JOINTS_14}
EXACT_NOTE = "exact or annotated 2D comes from the ground truth (oracle 2D): no detector gives it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Sequences with the protocol that turns their errors into the published numbers."""

    sequences: list
    """`EvalSequence`s; groups are their actions, or their names where there is no action."""
    data: dict
    """What made them, for the report."""
    detector: str
    """Where the 2D comes from."""
    detector_noise: dict | None = None
    joints: tuple | None = None
    """Joints that count (None: all 17, the root's zero among them)."""
    pck_joints: tuple | None = None
    """Joints of PCK and AUC where they differ from `joints`."""
    headline: str = "overall"
    """Which mean is the published one: "overall" (by frames) or "mean_of_groups"."""
    notes: tuple = field(default=())
    """What a reader of the numbers must know."""


def synthetic(motions, *, name="", split="dev", detector="noisy", rate_hz=30.0, seed=0, coco=False):
    """One random camera a clip of mocap `motions` (one split), seen through the detector model or exactly."""
    noise = DETECTORS[detector]
    sequences = synthetic_sequences(motions, rate_hz=rate_hz, detector=noise, seed=seed, coco=coco)
    data = {
        "motions": name,
        "split": split,
        "clips": len(sequences),
        "rate_hz": rate_hz,
        "joint_set": "coco17 joints" if coco else "h36m17",
    }
    return Benchmark(
        sequences=sequences,
        data=data,
        detector=detector,
        detector_noise=noise and noise.to_dict(),
        notes=() if noise else (EXACT_NOTE,),
    )


def recorded(path):
    """A recording by calibrated cameras with real 2D, against its triangulated reference; see `data.recorded`."""
    from dp3d_core.data.recorded import load_recorded

    sequences, joints, counted = load_recorded(path)
    missing = [JOINT_NAMES[joint] for joint in range(1, len(JOINT_NAMES)) if joint not in counted]
    notes = [
        "the reference is triangulated from 2D: it is no independent truth",
        "mean over the joints without the root, whose zero would flatter",
    ]
    if missing:
        notes.append(f"the reference lacks {', '.join(missing)}: they do not count")
    return Benchmark(
        sequences=sequences,
        data={"benchmark": Path(path).name, "cameras": len(sequences), "joint_set": joints},
        detector=f"as recorded ({joints})",
        joints=counted,
        notes=tuple(notes),
    )


def human36m(data_3d, data_2d, cameras, *, joints=17, **options):
    """Human3.6M: S9 and S11, all cameras, mean of 15 actions, 17 or 14 joints. `data_2d` "gt": the projected truth.

    Files with a part of it, or `options` of load_h36m that choose one, are scored too; the notes say what is missing.
    """
    from dp3d_core.data.h36m import ACTIONS_15, load_h36m

    if joints not in PUBLISHED_JOINTS:
        raise ValueError(f"joints: expected one of {sorted(PUBLISHED_JOINTS)}, got {joints!r}")
    exact = str(data_2d) == "gt"
    sequences = load_h36m(data_3d, None if exact else data_2d, cameras, **options)
    actions = {sequence.action for sequence in sequences}
    protocol = f"S9 and S11, 50 Hz, every frame, {joints} joints, mean of the 15 actions"
    differences = _h36m_differences(sequences)
    notes = [f"Human3.6M protocol: {protocol}"]
    if differences:
        notes = [f"not the published Human3.6M protocol ({protocol}), for here {'; '.join(differences)}"]
    if len(actions) < len(ACTIONS_15):
        notes.append(f"only {len(actions)} of the 15 actions were scored: no published mean")
    if exact:
        notes.append(EXACT_NOTE)
    data = {
        "benchmark": "Human3.6M",
        "data_3d": Path(data_3d).name,
        "data_2d": "gt" if exact else Path(data_2d).name,
        "cameras": Path(cameras).name,
        "subjects": sorted({sequence.subject for sequence in sequences}),
        "clips": len(sequences),
        "rate_hz": sequences[0].fps,
        "joint_set": "h36m17",
        "joints": joints,
    }
    return Benchmark(
        sequences=sequences,
        data=data,
        detector="exact" if exact else Path(data_2d).stem,
        joints=PUBLISHED_JOINTS[joints],
        headline="mean_of_groups",
        notes=tuple(notes),
    )


def mpi_inf_3dhp(data_test, calibrations, *, annotation="univ", names=None):
    """MPI-INF-3DHP: valid frames of TS1 to TS6; PCK and AUC over the protocol's 14 joints, MPJPE over all 17.

    calibrations: the test set's two files, of TS1 to TS4 and of TS5 and TS6. annotation: "univ" (univ_annot3, people
    scaled to one height) or "annot3" (metric).
    """
    from dp3d_core.data.mpi_inf_3dhp import PCK_JOINTS, SIZE_PX, TEST_NAMES, load_3dhp_test, read_calibration

    names = TEST_NAMES if names is None else tuple(names)
    missing = [name for name in TEST_NAMES if name not in names]
    if annotation not in ("univ", "annot3"):
        raise ValueError(f"annotation: expected 'univ' or 'annot3', got {annotation!r}")
    if not calibrations or len(calibrations) != 2:
        raise ValueError(
            "calibration: expected two files, ts1-4cameras.calib and ts5-6cameras.calib of the test set, got "
            f"{list(calibrations or ())}"
        )
    cameras = {}
    for name in TEST_NAMES:
        width, height = SIZE_PX[name]
        cameras[name] = read_calibration(calibrations[TEST_NAMES.index(name) >= 4], width_px=width, height_px=height)
    universal = annotation == "univ"
    sequences = load_3dhp_test(data_test, cameras, names=names, universal=universal)
    protocol = "valid frames of TS1 to TS6, PCK and AUC over 14 joints, MPJPE over 17"
    notes = [f"MPI-INF-3DHP protocol: {protocol}", EXACT_NOTE]
    if missing:
        notes[0] = (
            f"not the published MPI-INF-3DHP protocol ({protocol}), for only {', '.join(names)} were scored; "
            f"{', '.join(missing)} are missing"
        )
    if universal:
        notes.append(
            "truth is univ_annot3: everybody scaled to one height. A network that answers in true metres is wrong here "
            "by the person's height (compare N-MPJPE); these numbers do not mix with annot3's; there is no true root"
        )
    else:
        notes.append("truth is annot3, in true metres: these numbers do not mix with the published univ_annot3 ones")
    data = {
        "benchmark": "MPI-INF-3DHP",
        "data_test": Path(data_test).name,
        "annotation": annotation,
        "calibration": [Path(path).name for path in calibrations],
        "names": list(names),
        "clips": len(sequences),
        "rate_hz": sequences[0].fps,
        "joint_set": "h36m17",
        "frames": sum(int(s.valid.sum()) for s in sequences),
    }
    return Benchmark(sequences=sequences, data=data, detector="annotated", pck_joints=PCK_JOINTS, notes=tuple(notes))


def _h36m_differences(sequences):
    """In what the videos differ from the published test set, in words; nothing if it is that."""
    from dp3d_core.data.h36m import ACTIONS_15, CAMERAS, LEFT_OUT, TAKES, TEST_SUBJECTS

    seen = {}  # subject -> action -> take -> cameras; a sequence is named subject/take/camera
    for sequence in sequences:
        _, take, camera = sequence.name.split("/", 2)
        takes = seen.setdefault(sequence.subject, {}).setdefault(sequence.action, {})
        takes.setdefault(take, []).append(camera)
    others = [subject for subject in seen if subject not in TEST_SUBJECTS]
    differences = [f"also scored: {', '.join(others)}"] if others else []
    for subject in TEST_SUBJECTS:
        if subject not in seen:
            differences.append(f"{subject} is missing")
            continue
        absent = [action for action in ACTIONS_15 if action not in seen[subject]]
        if absent:
            differences.append(f"of {subject} these actions are missing: {', '.join(absent)}")
        expected = {action: TAKES - ((subject, action) in LEFT_OUT) for action in ACTIONS_15}
        odd = [
            f"{action} ({len(takes)} of {expected[action]})"
            for action, takes in seen[subject].items()
            if len(takes) != expected[action]
        ]
        if odd:
            differences.append(f"{subject} has takes of {', '.join(odd)}")
        cameras = next(camera for takes in seen[subject].values() for camera in takes.values())  # the same for all
        if len(cameras) != CAMERAS:
            differences.append(f"{subject} has {len(cameras)} of {CAMERAS} cameras ({', '.join(cameras)})")
    return differences
