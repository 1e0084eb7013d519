"""Keypoint and skeleton clouds: what is written is read back, and nothing malformed gets through."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from dp3d_core.live.intake import take_in
from dp3d_core.skeleton import joint_set
from dp3d_core.types import Skeletons
from dp3d_ros.messages.keypoints import BadMessage
from dp3d_ros.messages.pointcloud2 import (
    KEYPOINT_DTYPE,
    SKELETON_DTYPE,
    cloud_from_people,
    cloud_from_skeletons,
    people_from_cloud,
    read_points,
    skeletons_from_cloud,
)

HEADER = Header(frame_id="camera_optical_frame")
CODES = {"f4": 7, "f8": 8, "i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6}


def make_cloud(points, *, rows=1, padding=0):
    """A cloud from any structured array, in `rows` rows with `padding` bytes after each."""
    names = points.dtype.names
    order = points.dtype["x"].byteorder
    fields = [
        PointField(name=name, offset=points.dtype.fields[name][1], datatype=CODES[points.dtype[name].str[1:]], count=1)
        for name in names
    ]
    width = len(points) // rows
    row_bytes = width * points.dtype.itemsize
    data = b"".join(points[row * width : (row + 1) * width].tobytes() + b"\xff" * padding for row in range(rows))
    cloud = PointCloud2(
        header=HEADER,
        height=rows,
        width=width,
        fields=fields,
        is_bigendian=order == ">",
        point_step=points.dtype.itemsize,
        row_step=row_bytes + padding,
    )
    cloud.data.frombytes(data)
    return cloud


def some_points(count=6, dtype=KEYPOINT_DTYPE):
    points = np.zeros(count, dtype)
    points["x"], points["y"] = np.arange(count) * 10 + 1, np.arange(count) * 20 + 2
    points["score"], points["joint"], points["person"] = 0.5, np.arange(count) % 3, np.arange(count) // 3
    return points


def judged(cloud, joints="h36m17"):
    """{person: (keypoints_px, confidence)} as the stream has them, and what it mended."""
    counted = Counter()
    converted = people_from_cloud(cloud, len(joint_set(joints).keypoints))
    found = take_in(
        converted.keypoints, joint_set(joints), (640, 480), lambda cause, number: counted.update({cause: number})
    )
    return dict(zip(found.ids, zip(found.xy_px, found.confidence))), +counted


people = st.dictionaries(
    st.integers(-(2**31), 2**31 - 1).filter(lambda person: person != -1),
    st.lists(
        st.tuples(st.floats(-1e5, 1e5, width=32), st.floats(-1e5, 1e5, width=32), st.floats(0, 1, width=32)),
        min_size=17,
        max_size=17,
    ),
    max_size=5,
)


@given(people)
def test_keypoints_survive_the_message(rows):
    sent = {}
    for person, points in rows.items():
        table = np.array(points, np.float32)
        table[table[:, 2] == 0] = 0  # a missing keypoint has no place
        sent[person] = table[:, :2], table[:, 2]
    got = people_from_cloud(cloud_from_people(sent, HEADER), 17)
    assert not got.oddities
    assert set(got.keypoints.ids) == {person for person, (_, confidence) in sent.items() if confidence.any()}
    for person, xy_px, confidence in zip(got.keypoints.ids, got.keypoints.xy_px, got.keypoints.confidence):
        np.testing.assert_array_equal(xy_px, sent[person][0])
        np.testing.assert_array_equal(confidence, sent[person][1])


@pytest.mark.parametrize("float_code", ["<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("integer_code", ["u1", "i2", "u2", "i4", "u4"])
def test_any_layout_of_the_fields_reads_alike(float_code, integer_code):
    integer_code = float_code[0] + integer_code
    dtype = np.dtype(
        {"names": ["person", "score", "extra", "y", "joint", "x"],
         "formats": [integer_code, float_code, float_code, float_code, integer_code, float_code],
         "offsets": [0, 4, 12, 20, 28, 32], "itemsize": 45}
    )  # fmt: skip
    want = people_from_cloud(make_cloud(some_points()), 3).keypoints
    for cloud in (make_cloud(some_points(dtype=dtype)), make_cloud(some_points(dtype=dtype), rows=2, padding=7)):
        got = people_from_cloud(cloud, 3).keypoints
        assert got.ids == want.ids == (0, 1)
        np.testing.assert_array_equal(got.xy_px, want.xy_px)
        np.testing.assert_array_equal(got.confidence, want.confidence)


def test_a_cloud_without_points_is_a_frame_with_nobody():
    cloud = cloud_from_people({}, HEADER)
    assert judged(cloud) == ({}, {})
    cloud.point_step = 2**32 - 1
    assert judged(cloud) == ({}, {})


@pytest.mark.parametrize("cloud", [
    PointCloud2(), PointCloud2(header=HEADER), PointCloud2(header=HEADER, height=1), PointCloud2(width=17),
    PointCloud2(header=HEADER, height=1, is_dense=True, point_step=20, fields=cloud_from_people({}, HEADER).fields),
    PointCloud2(header=HEADER, height=1, fields=cloud_from_people({}, HEADER).fields),
])  # fmt: skip
def test_an_empty_cloud_in_any_form_is_nobody(cloud):
    assert judged(cloud) == ({}, {}) and not people_from_cloud(cloud, 17).oddities


NAMELESS_DTYPE = np.dtype([(name, KEYPOINT_DTYPE[name]) for name in ("x", "y", "score", "joint")])


def without_ids(points):
    """The same points without the field `person`."""
    kept = np.zeros(len(points), NAMELESS_DTYPE)
    for name in NAMELESS_DTYPE.names:
        kept[name] = points[name]
    return kept


def test_people_without_ids_are_told_apart_by_their_joints_or_rows():
    """Two people of three joints, of whom the second lacks the last one in a single row."""
    points = some_points(6)
    want = people_from_cloud(make_cloud(points), 3).keypoints
    minus = points.copy()
    minus["person"] = -1
    unsigned = np.zeros(
        6, np.dtype([(name, "<u4" if name == "person" else KEYPOINT_DTYPE[name]) for name in KEYPOINT_DTYPE.names])
    )
    for name in unsigned.dtype.names:
        unsigned[name] = points[name]
    unsigned["person"] = 2**32 - 1
    rows = make_cloud(without_ids(points[[0, 2, 1, 4, 3, 5]]), rows=2)
    for cloud in (make_cloud(without_ids(points)), make_cloud(minus), make_cloud(unsigned), rows):
        got, oddities = people_from_cloud(cloud, 3)
        assert got.ids is None and not oddities
        np.testing.assert_array_equal(got.xy_px, want.xy_px)
        np.testing.assert_array_equal(got.confidence, want.confidence)
    got = people_from_cloud(make_cloud(without_ids(points[[0, 1, 3, 4]])), 3).keypoints
    assert (got.confidence > 0).tolist() == [[True, True, False]] * 2


@pytest.mark.parametrize("tracked", [False, True])
def test_somebody_without_id_among_people_with_ids_is_left_out_and_counted(tracked):
    points = some_points(6)
    points["person"][:3] = -1
    got, oddities = people_from_cloud(make_cloud(points), 3, tracked)
    assert got.ids == (1,) and oddities == {"person_without_id": 1}
    points["person"] = -1
    got, oddities = people_from_cloud(make_cloud(points), 3, tracked)
    assert got.ids == (() if tracked else None) and len(got) == (0 if tracked else 2)
    assert oddities == ({"person_without_id": 1} if tracked else {})
    assert people_from_cloud(make_cloud(without_ids(points)), 3, tracked)[0].ids is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("field", ["x", "y", "score"])
def test_impossible_numbers_become_missing_keypoints(field, value):
    points = some_points(3)
    points[field][1] = value
    got, counted = judged(make_cloud(points))
    keypoints_px, confidence = got[0]
    assert np.isfinite(keypoints_px).all() and ((confidence >= 0) & (confidence <= 1)).all()
    assert sum(counted.values()) == 1


def test_unknown_joints_and_doubles_are_counted():
    points = some_points(6)
    points["person"] = 0
    points["joint"] = [0, 1, 1, 2, 3, 65535]
    got = people_from_cloud(make_cloud(points), 3)
    assert got.oddities == {"unknown_joint": 2, "duplicate_point": 1}
    np.testing.assert_array_equal(got.keypoints.xy_px[0, 1], [21, 42])


def change(**values):
    return lambda cloud: [setattr(cloud, name, value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (change(fields=[]), "bad_fields"),
        (change(point_step=0), "bad_size"),
        (change(point_step=17), "bad_size"),
        (change(width=1000), "bad_size"),
        (change(width=2**32 - 1, height=2**32 - 1), "too_many_points"),
        (change(height=3, row_step=1), "bad_size"),
        (change(point_step=2**32 - 1), "bad_size"),
        (change(point_step=2**32 - 1, width=3, height=3, row_step=2**32 - 1), "bad_size"),
        (lambda cloud: cloud.data.pop(), "bad_size"),
        (lambda cloud: setattr(cloud.fields[0], "datatype", 99), "bad_fields"),
        (lambda cloud: setattr(cloud.fields[0], "count", 4), "bad_fields"),
        (lambda cloud: setattr(cloud.fields[0], "name", "u"), "bad_fields"),
        (lambda cloud: setattr(cloud.fields[1], "offset", 2**31), "bad_size"),
        (lambda cloud: setattr(cloud.fields[3], "datatype", 7), "bad_fields"),
    ],
)
def test_a_malformed_cloud_is_refused_by_cause(spoil, cause):
    cloud = make_cloud(some_points())
    spoil(cloud)
    with pytest.raises(BadMessage) as refusal:
        people_from_cloud(cloud, 17)
    assert refusal.value.cause == cause
    assert "expected" in str(refusal.value) or "got" in str(refusal.value)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "y", "score", "joint", "person", ""]), st.integers(0, 64), st.integers(0, 9)),
        max_size=7,
    ),
    st.integers(0, 40) | st.integers(0, 2**32 - 1),
    st.integers(0, 12),
    st.integers(0, 3),
    st.integers(0, 500) | st.integers(0, 2**32 - 1),
    st.binary(max_size=600),
    st.booleans(),
)
def test_random_clouds_give_finite_people_or_a_refusal(fields, step, width, height, row_step, data, big):
    cloud = PointCloud2(
        header=HEADER,
        width=width,
        height=height,
        point_step=step,
        row_step=row_step,
        is_bigendian=big,
        fields=[PointField(name=name, offset=offset, datatype=code, count=1) for name, offset, code in fields],
    )
    cloud.data.frombytes(data)
    try:
        got, _ = judged(cloud)
    except BadMessage:
        return
    for keypoints_px, confidence in got.values():
        assert keypoints_px.shape == (17, 2) and confidence.shape == (17,)
        assert np.isfinite(keypoints_px).all() and ((confidence >= 0) & (confidence <= 1)).all()


def some_skeletons(people=3):
    generator = np.random.default_rng(people)
    return Skeletons(
        stamp_s=1.0,
        ids=tuple(range(10, 10 + people)),
        joints_cam_m=generator.normal(size=(people, 17, 3)).astype(np.float32),
        sigma_m=generator.random((people, 17)).astype(np.float32),
        root_sigma_m=generator.random(people).astype(np.float32),
        predicted=np.arange(people) % 2 == 1,
        sigma_lateral_m=np.zeros((people, 17), np.float32),
        sigma_depth_m=np.zeros((people, 17), np.float32),
        stature_m=np.full(people, 1.7, np.float32),
        contact=np.zeros((people, 2), np.float32),
        actions=(None,) * people,
        metric=True,
    )


@pytest.mark.parametrize("people", [0, 1, 16])
def test_skeletons_survive_the_message(people):
    sent = some_skeletons(people)
    cloud = cloud_from_skeletons(sent, HEADER)
    assert cloud.header == HEADER and cloud.width == 17 * people
    got = skeletons_from_cloud(cloud)
    assert tuple(got) == sent.ids
    for index, (joints_m, sigma_m, root_sigma_m) in enumerate(got.values()):
        np.testing.assert_array_equal(joints_m, sent.joints_cam_m[index])
        np.testing.assert_array_equal(sigma_m, sent.sigma_m[index])
        assert root_sigma_m == sent.root_sigma_m[index]
    points = read_points(cloud, SKELETON_DTYPE.names)
    np.testing.assert_array_equal(points["root_sigma"], np.repeat(sent.root_sigma_m, 17))
    np.testing.assert_array_equal(points["predicted"], np.repeat(sent.predicted, 17))
