"""BVH: kinematics by hand and against SciPy, the naming schemes, and one clear error for every damaged file."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dp3d_core.cli import run as dp3d
from dp3d_core.data.bvh import Source, joints_17, load_bvh, plain_name
from dp3d_core.data.bvh_format import read_bvh
from dp3d_core.data.motions import load_motions
from dp3d_core.skeleton import JOINT_NAMES

TRAIN = Source(split="train")
ARM = """HIERARCHY
ROOT Base
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Upper arm
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.01
0 0 0 0 0 0 0 0 0
7 8 9 90 0 0 0 0 0
7 8 9 90 0 0 0 90 0
"""
# A standing person, centimetres, Y up, facing Z: our name -> (parent, offset).
PERSON = {
    "Hips": (None, (0, 95, 0)),
    "LUp": ("Hips", (10, -5, 0)), "LLow": ("LUp", (0, -42, 0)), "LFoot": ("LLow", (0, -42, 0)),
    "RUp": ("Hips", (-10, -5, 0)), "RLow": ("RUp", (0, -42, 0)), "RFoot": ("RLow", (0, -42, 0)),
    "Low": ("Hips", (0, 10, 0)), "Mid": ("Low", (0, 12, 0)), "Neck": ("Mid", (0, 28, 0)), "Head": ("Neck", (0, 10, 0)),
    "LCol": ("Mid", (4, 20, 0)), "LArm": ("LCol", (14, 0, 0)), "LFore": ("LArm", (28, 0, 0)),
    "LHand": ("LFore", (26, 0, 0)),
    "RCol": ("Mid", (-4, 20, 0)), "RArm": ("RCol", (-14, 0, 0)), "RFore": ("RArm", (-28, 0, 0)),
    "RHand": ("RFore", (-26, 0, 0)),
}  # fmt: skip
PARTS = ("Hips", "Up", "Low", "Foot", "Col", "Arm", "Fore", "Hand", "Neck", "Head")
LONG, SHORT = ("Left", "Right"), ("l", "r")
# How each scheme writes PARTS, with {} for the side, and the sides.
NAMINGS = {
    "cmu": ("Hips {}UpLeg {}Leg {}Foot {}Shoulder {}Arm {}ForeArm {}Hand Neck Head", LONG),
    "lowleg": ("Hips {}UpLeg {}LowLeg {}Foot {}Collar {}UpArm {}LowArm {}Hand Neck Head", LONG),
    "vrm": ("hips {}UpperLeg {}LowerLeg {}Foot {}Shoulder {}UpperArm {}LowerArm {}Hand neck head", ("left", "right")),
    "biovision": ("Hips {}Hip {}Knee {}Ankle {}Collar {}Shoulder {}Elbow {}Wrist Neck Head", LONG),
    "daz": ("hip {}Thigh {}Shin {}Foot {}Collar {}Shldr {}ForeArm {}Hand neck head", SHORT),
    "merged": ("hip {}Hip {}Knee {}Foot {}Collar {}Shoulder {}Elbow {}Hand neck head", SHORT),
    "separators": ("Hips {}_Up_Leg {}_Leg {}.Foot {}-Shoulder {}Arm {}Fore_Arm {}Hand Neck HEAD", LONG),
}
NAMINGS["mixamo"] = (" ".join(f"mixamorig:{part}" for part in NAMINGS["cmu"][0].split()), LONG)


def named(part, naming):
    parts, (left, right) = NAMINGS[naming][0].split(), NAMINGS[naming][1]
    if part in ("Low", "Mid"):
        return f"Spine {part}"
    if part[0] in "LR" and part[1:] in PARTS:
        return parts[PARTS.index(part[1:])].format(left if part[0] == "L" else right)
    return parts[PARTS.index(part)]


def person_text(
    naming="cmu", *, rows=None, frames=1, scale=1.0, order="ZXY", up="y", head_cm=20, frame_time_s=1 / 30, newline="\n"
):
    """The person as a BVH file; rows (frames, 3 + 3 * joints) of channel values, all zero by default."""

    def block(part, depth):
        x, y, z = np.multiply(PERSON[part][1], scale)
        if up == "z":
            y, z = -z, y
        pad = "\t" * depth
        yield f"{pad}{'ROOT' if depth == 0 else 'JOINT'} {named(part, naming)}"
        yield f"{pad}{{"
        yield f"{pad}\tOFFSET {x:.9f} {y:.9f} {z:.9f}"
        turns = " ".join(f"{axis}rotation" for axis in order)
        places = "6 Xposition Yposition Zposition " if depth == 0 else "3 "
        yield f"{pad}\tCHANNELS {places}{turns}"
        children = [name for name, (parent, _) in PERSON.items() if parent == part]
        for child in children:
            yield from block(child, depth + 1)
        if not children:
            top = np.array([0, head_cm if part == "Head" else 3, 0]) * scale
            yield from (f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {top[0]} {top[1]} {top[2]}", f"{pad}\t}}")
        yield f"{pad}}}"

    if rows is None:
        rows = np.zeros((frames, 6 + 3 * (len(PERSON) - 1)))
        rows[:, :3] = np.multiply(PERSON["Hips"][1], scale) if up == "y" else (0, 0, 95 * scale)
    lines = ["HIERARCHY", *block("Hips", 0), "MOTION", f"Frames: {len(rows)}", f"Frame Time: {frame_time_s:.9f}"]
    lines += [" ".join(f"{value:.9f}" for value in row) for row in rows]
    return newline.join(lines) + newline


def write(path, text):
    path.write_bytes(text.encode())
    return path


def depth_first():
    def walk(part):
        yield part
        for name, (parent, _) in PERSON.items():
            if parent == part:
                yield from walk(name)

    return list(walk("Hips"))


def test_positions_by_hand(tmp_path):
    bvh = read_bvh(write(tmp_path / "arm.bvh", ARM))
    assert bvh.names == ("Base", "Upper arm", "Upper arm_end") and bvh.parents == (-1, 0, 1)
    np.testing.assert_allclose(bvh.positions(), [
        [[0, 0, 0], [0, 10, 0], [0, 15, 0]],  # the position channels take the place of the offset
        [[7, 8, 9], [-3, 8, 9], [-8, 8, 9]],  # a quarter turn about z
        [[7, 8, 9], [-3, 8, 9], [-3, 8, 14]],  # and the upper joint's own about x, which the first turn carries along
    ], atol=1e-9)  # fmt: skip


@given(order=st.sampled_from(["".join(axes) for axes in itertools.permutations("XYZ")]), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_positions_agree_with_scipy_for_every_channel_order(tmp_path_factory, order, seed):
    generator = np.random.default_rng(seed)
    parts, frames = depth_first(), 3
    rows = generator.uniform(-170, 170, (frames, 6 + 3 * (len(parts) - 1)))
    path = tmp_path_factory.mktemp("bvh") / "person.bvh"
    bvh = read_bvh(write(path, person_text(rows=rows, order=order)))
    got = bvh.positions()
    for frame, row in enumerate(rows):
        turns, places = {}, {}
        for index, part in enumerate(parts):
            local = Rotation.from_euler(order, row[3 + 3 * index : 6 + 3 * index], degrees=True)
            parent, offset = PERSON[part]
            turns[part] = local if parent is None else turns[parent] * local
            places[part] = row[:3] if parent is None else places[parent] + turns[parent].apply(offset)
            np.testing.assert_allclose(got[frame, bvh.names.index(named(part, "cmu"))], places[part], atol=1e-6)


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_scheme_gives_the_same_seventeen_joints(tmp_path, naming):
    clip = load_bvh(write(tmp_path / "a.bvh", person_text(naming)), source=TRAIN).clip(0)
    joints_m = dict(zip(JOINT_NAMES, clip.joints_m[0]))
    expected = {
        "Hip": (0, 0, 0.90), "LHip": (0.10, 0, 0.90), "LKnee": (0.10, 0, 0.48), "RAnkle": (-0.10, 0, 0.06),
        "Spine": (0, 0, 1.17), "Thorax": (0, 0, 1.45), "Head": (0, 0, 1.75), "LShoulder": (0.18, 0, 1.37),
        "LElbow": (0.46, 0, 1.37), "RWrist": (-0.72, 0, 1.37), "Nose": (0, -0.11, 1.45 + 0.62 * 0.30),
    }  # fmt: skip
    for name, place_m in expected.items():
        np.testing.assert_allclose(joints_m[name], place_m, atol=1e-6, err_msg=name)  # facing Z becomes facing -Y


def test_line_ends_case_and_blank_lines_do_not_matter(tmp_path):
    plain = read_bvh(write(tmp_path / "a.bvh", person_text()))
    text = person_text(newline="\r\n\r\n").replace("ROOT", "root").replace("End Site", "End site").replace("\t", "  ")
    other = read_bvh(write(tmp_path / "b.bvh", "\ufeff" + text.replace("Frames: 1", "Frames:    1")))
    joined = read_bvh(write(tmp_path / "c.bvh", ARM.replace("ROOT Base\n{", "ROOT Base {")))
    np.testing.assert_array_equal(plain.positions(), other.positions())
    assert plain.names == other.names and joined.names[0] == "Base"


def test_z_up_files_stand_as_y_up_files_do(tmp_path):
    a = load_bvh(write(tmp_path / "a.bvh", person_text(head_cm=0)), source=TRAIN)
    b = load_bvh(write(tmp_path / "b.bvh", person_text(up="z", head_cm=0)), source=TRAIN, up="z")
    np.testing.assert_allclose(a.pose_m, b.pose_m, atol=1e-6)
    with pytest.raises(ValueError, match=r"a\.bvh: expected the hips above the ankles.*other up axis"):
        load_bvh(tmp_path / "a.bvh", source=TRAIN, up="z")
    assert len(load_bvh(tmp_path / "a.bvh", source=TRAIN, up="z", lying=True)) == 1


def test_a_head_without_end_gets_a_top_beyond_it(tmp_path):
    clip = load_bvh(write(tmp_path / "a.bvh", person_text(head_cm=0)), source=TRAIN).clip(0)
    np.testing.assert_allclose(clip.joints_m[0, JOINT_NAMES.index("Head")], (0, 0, 1.55 + 0.18), atol=1e-6)


@pytest.mark.parametrize(("scale", "unit_m", "hint"), [
    (1.0, 1.0, r"0\.01 \(centimetres\)"), (0.01, 0.01, r"1 \(metres\)"), (10.0, 0.01, r"0\.001 \(millimetres\)"),
    (0.01 / 0.056444, 0.01, r"0\.05644 \(CMU units\)"), (50.0, 0.01, "none of the usual units"),
])  # fmt: skip
def test_wrong_units_are_refused_with_the_unit_that_fits(tmp_path, scale, unit_m, hint):
    path = write(tmp_path / "a.bvh", person_text(scale=scale))
    with pytest.raises(ValueError, match=r"a\.bvh: expected a body .* it would fit with .*" + hint):
        load_bvh(path, source=TRAIN, unit_m=unit_m)
    assert len(load_bvh(path, source=TRAIN, unit_m=0.01 / scale)) == 1


def walking_rows(frames):
    rows = np.zeros((frames, 6 + 3 * (len(PERSON) - 1)))
    rows[:, 1] = 95
    rows[:, 2] = np.arange(frames)  # one centimetre a frame forward
    return rows


@pytest.mark.parametrize("fps", [30.0, 25.0, 120.0, 240.0, 17.0])
def test_resampling_keeps_speed_and_length(tmp_path, fps):
    text = person_text(rows=walking_rows(121), frame_time_s=1 / 120)
    motions = load_bvh(write(tmp_path / "a.bvh", text), source=TRAIN, fps=fps)
    clip = motions.clip(0)
    assert motions.fps == fps and len(clip.root_m) == int(fps) + 1
    np.testing.assert_allclose(clip.root_m[:, 1], -1.2 * clip.stamps_s, atol=1e-5)
    assert np.ptp(clip.pose_m, axis=0).max() < 1e-5


def test_unknown_names_are_listed(tmp_path):
    path = write(tmp_path / "arm.bvh", ARM)
    with pytest.raises(
        ValueError, match=r"arm\.bvh: expected joints named by one of the schemes .*got Base, Upper arm"
    ):
        load_bvh(path, source=TRAIN)
    with pytest.raises(ValueError, match="schemes"):
        joints_17(read_bvh(path), np.zeros((1, 3, 3)))
    assert plain_name("Armature|mixamorig1:Left_Up Leg") == "leftupleg" and plain_name("mixamorigHips") == "hips"


DAMAGE = {
    "empty": (lambda text: "", "line 1: expected HIERARCHY, got the end of the file"),
    "no hierarchy": (lambda text: text.replace("HIERARCHY\n", ""), "line 1: expected HIERARCHY, got 'ROOT Base'"),
    "no root": (lambda text: text.replace("ROOT", "JOINT"), "line 2: expected ROOT and a name"),
    "no name": (lambda text: text.replace("ROOT Base", "ROOT"), "line 2: expected a name"),
    "same name": (lambda text: text.replace("Upper arm", "Base"), "line 6: expected a name that no other"),
    "no brace": (lambda text: text.replace("ROOT Base\n{", "ROOT Base\n"), "line 4: expected {"),
    "offset": (lambda text: text.replace("OFFSET 0 10 0", "OFFSET 0 10"), "line 8: expected OFFSET and three numbers"),
    "offset text": (lambda text: text.replace("OFFSET 0 10 0", "OFFSET 0 1O 0"), "line 8: expected OFFSET and three"),
    "offset nan": (lambda text: text.replace("OFFSET 0 10 0", "OFFSET 0 nan 0"), "line 8: expected OFFSET and three"),
    "channel": (lambda text: text.replace("3 Zrotation", "3 Wrotation"), "line 9: expected channels Xposition"),
    "channel twice": (lambda text: text.replace("3 Zrotation X", "3 Yrotation X"), "line 9: expected channels"),
    "channel count": (lambda text: text.replace("CHANNELS 3", "CHANNELS 4"), "line 9: expected CHANNELS, their number"),
    "end site": (lambda text: text.replace("End Site", "End"), "line 10: expected End Site"),
    "open": (lambda text: text.replace("}\nMOTION", "MOTION"), "line 15: expected JOINT, End Site or }"),
    "no motion": (lambda text: text[: text.index("MOTION")], "after line 15: expected ROOT or MOTION, got the end"),
    "frames": (lambda text: text.replace("Frames: 3", "Frames: three"), "line 17: expected Frames: and a positive"),
    "no frames": (lambda text: text.replace("Frames: 3", "Frames: 0"), "line 17: expected Frames: and a positive"),
    "many frames": (lambda text: text.replace("Frames: 3", "Frames: 999999999"), "line 17: expected no more frames"),
    "time": (lambda text: text.replace("0.01", "0"), "line 18: expected Frame Time: and seconds"),
    "row short": (lambda text: text.replace("7 8 9 90 0 0 0 0 0", "7 8 9 90"), "line 20: expected 9 numbers"),
    "row text": (lambda text: text.replace("90 0 0 0 90", "90 0 x 0 90"), "line 21: expected 9 finite numbers"),
    "row nan": (lambda text: text.replace("90 0 0 0 90", "90 0 nan 0 90"), "line 21: expected 9 finite numbers"),
    "row missing": (lambda text: text.replace("7 8 9 90 0 0 0 90 0\n", ""), "after line 20: expected frame 3 of 3"),
    "row extra": (lambda text: text + "1 2 3\n", "line 22: expected the end of the file after the 3 frames"),
    "deep": (lambda text: "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n" + "".join(
        f"JOINT j{n}\n{{\nOFFSET 0 0 0\nCHANNELS 0\n" for n in range(300)), "expected joints nested at most"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_files_give_one_error_with_file_and_line(tmp_path, case):
    damage, message = DAMAGE[case]
    text = damage(ARM)
    assert text != ARM
    with pytest.raises(ValueError, match=rf"arm\.bvh: .*{message}"):
        read_bvh(write(tmp_path / "arm.bvh", text))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_random_damage_never_escapes_as_another_error(tmp_path_factory, data):
    content = bytearray(ARM.encode())
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bvh") / "arm.bvh"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        positions = read_bvh(path).positions()
    except ValueError as error:
        assert "arm.bvh" in str(error)
    else:
        assert np.isfinite(positions).all()


def test_the_command_writes_a_motion_file(tmp_path, capsys):
    write(tmp_path / "slow_walk.bvh", person_text(rows=walking_rows(61), frame_time_s=1 / 60))
    write(tmp_path / "stand.bvh", person_text("daz", frames=31))
    files = [str(tmp_path / "slow_walk.bvh"), str(tmp_path / "stand.bvh")]
    dp3d("bvh", [*files, "--out", str(tmp_path / "out.npz"), "--split", "train", "--licence", "mine"])
    motions = load_motions(tmp_path / "out.npz")
    assert motions.actions == ("slow walk", "stand") and motions.offsets.tolist() == [0, 31, 62]
    assert motions.splits == ("train", "train") and motions.licences == ("mine", "mine")
    assert "2 clips" in capsys.readouterr().out


def test_the_command_reports_one_line_and_writes_nothing(tmp_path, capsys):
    write(tmp_path / "a.bvh", person_text(scale=0.01))
    for name in ("a.bvh", "none.bvh"):
        with pytest.raises(SystemExit, match=name):
            dp3d("bvh", [str(tmp_path / name), "--out", str(tmp_path / "out.npz"), "--split", "train"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "a.bvh" in lines[0] and "none.bvh" in lines[1] and not (tmp_path / "out.npz").exists()
