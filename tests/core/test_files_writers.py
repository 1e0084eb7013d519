"""Every output format, read back by a library that knows nothing of dp3d, holds the lifted people."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import files_samples as samples
import numpy as np
import pytest

from dp3d_core.files import writers
from dp3d_core.files.avatar import ENDS, MIXAMO, NAMES, NODES, fit
from dp3d_core.files.lifting import lift_clip
from dp3d_core.files.prepare import prepare
from dp3d_core.files.quality import quality
from dp3d_core.files.readers import read
from dp3d_core.files.results import Y_UP_FROM_WORLD
from dp3d_core.files.run import lifter
from dp3d_core.skeleton import JOINT_NAMES


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Two people, lifted; a hole of two frames in one of them."""
    path = samples.recording(tmp_path_factory.mktemp("in") / "walk.npz")
    clip = prepare(read(path)[0])
    keep = ~((clip.person == 1) & np.isin(clip.frame, (7, 8)))
    rows = {name: getattr(clip, name)[keep] for name in ("frame", "person", "keypoints_px", "confidence")}
    known = {name: getattr(clip, name) for name in clip.__slots__}
    return lift_clip(lifter("small"), type(clip)(**known | rows))


@pytest.fixture(scope="module")
def out(result, tmp_path_factory):
    """A folder with all formats, whose name is not ASCII."""
    folder = tmp_path_factory.mktemp("out") / "Läufer 走る"
    facts = quality(result)
    paths = writers.write(result, folder, tuple(writers.FORMATS), facts)
    assert all(path.exists() for path in paths) and not list(folder.glob(".unfinished*"))
    assert max(fit["mean"] for fit in facts["bvh_fit_mm"].values()) < 30
    return folder


def uniform(result, person):
    (stay,) = (stay for stay in result.stays() if stay.person == person)
    return stay, *stay.uniform()


def test_missing_frames_of_a_stay_are_known_and_filled(result):
    _, rate_hz, joints_m, measured = uniform(result, 1)
    assert len(joints_m) == samples.FRAMES and (~measured).sum() == 2 and not measured[7]
    assert rate_hz == pytest.approx(7, rel=1e-3)
    np.testing.assert_allclose(joints_m[7], (2 * joints_m[6] + joints_m[9]) / 3, atol=1e-9)
    _, _, _, measured = uniform(result, 0)
    assert measured.all()


def test_bvh_read_by_bvhsdk_is_the_constant_skeleton(result, out):
    import bvhsdk

    for person in (0, 1):
        _, rate_hz, joints_m, _ = uniform(result, person)
        animation = bvhsdk.ReadFile(str(out / f"walk.person{person}.bvh"))
        assert animation.frames == len(joints_m) and animation.frametime == pytest.approx(1 / rate_hz, rel=1e-5)
        expected = fit(joints_m).joints_m()
        for name, _, joint in NODES:
            if name not in ENDS:
                node = animation.getJoint(MIXAMO[name])
                found = np.stack([node.getPosition(frame) for frame in range(len(joints_m))])
                assert np.abs(found - expected[:, JOINT_NAMES.index(joint)]).max() < 0.001, name


def test_bvh_read_by_dp3d_own_parser_holds_the_ends_too(result, out):
    from dp3d_core.data.bvh_format import read_bvh

    file = read_bvh(out / "walk.person0.bvh")
    expected = fit(uniform(result, 0)[2]).joints_m()
    for name, joint in (("LeftForeArm_end", "LWrist"), ("RightLeg_end", "RAnkle"), ("Head_end", "Head")):
        at = file.positions()[:, file.names.index(name)]
        assert np.abs(at - expected[:, JOINT_NAMES.index(joint)]).max() < 0.001


def test_trc_has_the_documented_form(result, out):
    lines = (out / "walk.person1.trc").read_text().split("\n")
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    facts = dict(zip(lines[1].split("\t"), lines[2].split("\t")))
    assert facts["NumFrames"] == str(samples.FRAMES) and facts["NumMarkers"] == "17" and facts["Units"] == "m"
    assert [name for name in lines[3].split("\t") if name] == ["Frame#", "Time", *JOINT_NAMES]
    assert lines[4].split("\t")[2:] == [f"{axis}{marker}" for marker in range(1, 18) for axis in "XYZ"]
    table = [line.split("\t") for line in lines[6:] if line]
    stay, _, joints_m, measured = uniform(result, 1)
    assert [int(row[0]) for row in table] == list(range(1, samples.FRAMES + 1))
    np.testing.assert_allclose([float(row[1]) for row in table][:7], stay.stamps_s[:7], atol=1e-4)
    for row, joints, seen in zip(table, joints_m, measured):
        assert len(row) == 2 + 51
        if seen:
            np.testing.assert_allclose(np.array(row[2:], float).reshape(17, 3), joints, atol=1e-5)
        else:
            assert not any(row[2:])


def test_c3d_read_by_the_library_c3d_holds_the_joints(result, out):
    import c3d

    _, rate_hz, joints_m, measured = uniform(result, 1)
    with open(out / "walk.person1.c3d", "rb") as file:
        reader = c3d.Reader(file)
        assert [label.strip() for label in reader.point_labels] == list(JOINT_NAMES)
        assert reader.point_rate == pytest.approx(rate_hz, rel=1e-3)
        frames = [points for _, points, _ in reader.read_frames()]
    assert len(frames) == len(joints_m)
    for points, joints, seen in zip(frames, joints_m, measured):
        assert (points[:, 3] >= 0).all() == seen
        if seen:
            np.testing.assert_allclose(points[:, :3], joints @ Y_UP_FROM_WORLD * 1000, atol=0.1)


def test_mcap_read_by_the_library_mcap_holds_the_node_topics(result, out):
    from mcap import reader
    from mcap_ros2 import decoder

    file = next((out / "walk_bag").glob("*.mcap"))
    topics = {}
    with open(file, "rb") as stream:
        for _, channel, _, message in reader.make_reader(
            stream, decoder_factories=[decoder.DecoderFactory()]
        ).iter_decoded_messages():
            topics.setdefault(channel.topic, []).append(message)
    assert {topic: len(messages) for topic, messages in topics.items()} == dict.fromkeys(
        ("/skeletons", "/keypoints", "/camera_info"), samples.FRAMES
    )
    cloud = topics["/skeletons"][0]
    names = [field.name for field in cloud.fields]
    assert names == ["x", "y", "z", "sigma", "root_sigma", "person", "joint", "predicted"] and cloud.point_step == 28
    xyz = np.frombuffer(bytes(cloud.data), np.uint8).reshape(cloud.width, 28)[:, :12].copy().view("<f4")
    np.testing.assert_array_equal(xyz.reshape(-1, 17, 3), result.joints_cam_m[result.frame == 0])
    info = topics["/camera_info"][0]
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), result.camera.matrix)


def test_the_mcap_of_a_run_is_an_input_again(out):
    (found,) = read(out / "walk_bag")
    assert found.camera is not None and found.frames == samples.FRAMES and len(np.unique(found.person)) == 2


def test_glb_read_by_pygltflib_moves_as_the_constant_skeleton(result, out):
    import pygltflib

    gltf = pygltflib.GLTF2().load(str(out / "walk.person0.glb"))
    blob = gltf.binary_blob()

    def values(index):
        accessor = gltf.accessors[index]
        view = gltf.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
        kind = {5126: "<f4", 5123: "<u2"}[accessor.componentType]
        start = view.byteOffset or 0
        return np.frombuffer(blob, kind, accessor.count * width, start).reshape(accessor.count, width)

    from scipy.spatial.transform import Rotation

    _, rate_hz, joints_m, _ = uniform(result, 0)
    animation = gltf.animations[0]
    channels = {
        (one.target.node, one.target.path): values(animation.samplers[one.sampler].output) for one in animation.channels
    }
    times = values(animation.samplers[0].input)[:, 0]
    np.testing.assert_allclose(times, np.arange(len(joints_m)) / rate_hz, atol=1e-5)
    placed, turned = {0: channels[0, "translation"]}, {0: Rotation.from_quat(channels[0, "rotation"]).as_matrix()}
    for node, one in enumerate(gltf.nodes[: len(NAMES)]):
        for child in one.children or []:
            placed[child] = placed[node] + turned[node] @ np.array(gltf.nodes[child].translation)
            turned[child] = turned[node] @ Rotation.from_quat(channels[child, "rotation"]).as_matrix()
    expected = fit(joints_m).joints_m()
    for node, (name, _, joint) in enumerate(NODES):
        assert gltf.nodes[node].name == name
        assert np.abs(placed[node] - expected[:, JOINT_NAMES.index(joint)]).max() < 0.001
    primitive = gltf.meshes[0].primitives[0]
    corners, weights = values(primitive.attributes.JOINTS_0), values(primitive.attributes.WEIGHTS_0)
    assert corners.max() < len(gltf.skins[0].joints) and (weights.sum(1) == 1).all()
    assert values(primitive.indices).max() < gltf.accessors[primitive.attributes.POSITION].count


def test_rrd_is_verified_by_rerun_itself(out):
    cli = Path(sys.executable).with_name("rerun")
    done = subprocess.run([cli, "rrd", "stats", out / "walk.rrd"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "world/people/0/bones" in done.stdout or "num_chunks" in done.stdout.lower(), done.stdout


def test_csv_json_npz_and_coco_say_the_same(result, out):
    with open(out / "walk.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 17 * len(result.frame)
    from_csv = np.array([[float(row[f"{axis}_cam_m"]) for axis in "xyz"] for row in table]).reshape(-1, 17, 3)
    np.testing.assert_allclose(from_csv, result.joints_cam_m, atol=1e-5)
    text = json.loads((out / "walk.json").read_text(encoding="utf-8"))
    people = [person for frame in text["frames"] for person in frame["people"]]
    np.testing.assert_allclose([person["joints_cam_m"] for person in people], result.joints_cam_m, atol=1e-5)
    np.testing.assert_allclose([person["joints_world_m"] for person in people], result.joints_world_m, atol=1e-5)
    assert text["joints"] == list(JOINT_NAMES) and len(text["frames"]) == samples.FRAMES
    with np.load(out / "walk.npz", allow_pickle=False) as held:
        np.testing.assert_array_equal(held["joints_cam_m"], result.joints_cam_m)
        assert json.loads(str(held["quality"]))["people"] == 2
    coco = json.loads((out / "walk.coco3d.json").read_text(encoding="utf-8"))
    points = np.array([one["keypoints_3d"] for one in coco["annotations"]]).reshape(-1, 17, 4)
    np.testing.assert_allclose(points[..., :3], result.joints_cam_m, atol=1e-5)
    assert {one["image_id"] for one in coco["annotations"]} <= {one["id"] for one in coco["images"]}


def test_world_axes_are_upright(result):
    world_m = result.joints_world_m
    assert (world_m[:, JOINT_NAMES.index("Head"), 2] > world_m[:, JOINT_NAMES.index("Hip"), 2]).all()
    ankles = world_m[:, [JOINT_NAMES.index("LAnkle"), JOINT_NAMES.index("RAnkle")], 2].min(1)
    assert np.median(ankles) == pytest.approx(0.09, abs=0.05)


def test_quality_has_no_nan_and_says_what_is_assumed(result):
    facts = quality(result)
    json.dumps(facts, allow_nan=False)
    assert facts["people"] == 2 and 0 < facts["reprojection_px_median"] < 10 and facts["metric"] is True


def test_warnings_name_the_people(result):
    joints_m = result.joints_cam_m.copy()
    joints_m[(result.person == 1) & (result.frame == 5)] += (9, 0, 0)
    joints_m[(result.person == 0) & (result.frame % 2 == 0), JOINT_NAMES.index("LWrist")] += (0, 0.5, 0)
    text = " ".join(quality(replace(result, joints_cam_m=joints_m))["warnings"])
    assert "person 1: up to" in text and "person 0: an arm's or leg's bone changes" in text


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match=r"--to: expected some of npz, .* got 'fbx'"):
        writers.check(("npz", "fbx"))
