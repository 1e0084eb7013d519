"""What the film shows is where it should be: sizes, colours, feet on the ground, the right way round."""

import cv2
import numpy as np
import pytest

from dp3d_core.drawing.ground import Ground, estimate_ground
from dp3d_core.drawing.render import colour_of, make_scene, render_frame, write_video
from dp3d_core.skeleton import BONES
from dp3d_core.types import Skeletons

PITCH, HEIGHT_M = np.radians(15), 5.0
WORLD_FROM_CAM = np.array([[1, 0, 0], [0, -np.sin(PITCH), np.cos(PITCH)], [0, -np.cos(PITCH), -np.sin(PITCH)]])
# hip, right leg, left leg, spine, thorax, nose, head, left arm, right arm; facing away from the camera
STANDING_M = np.array([
    (0, 0, .93), (.13, 0, .93), (.13, 0, .5), (.13, 0, .09), (-.13, 0, .93), (-.13, 0, .5), (-.13, 0, .09),
    (0, 0, 1.17), (0, 0, 1.42), (0, .1, 1.55), (0, 0, 1.7), (-.18, 0, 1.4), (-.22, 0, 1.1), (-.22, 0, .85),
    (.18, 0, 1.4), (.22, 0, 1.1), (.22, 0, .85),
])  # fmt: skip
PLACES_M = ((-4.0, 14.0), (0.0, 18.0), (4.0, 22.0))


def standing(places_m=PLACES_M):
    """(P, 17, 3) people standing at places of the ground, in the camera's optical frame."""
    world = STANDING_M + np.array([(x, y, 0) for x, y in places_m])[:, None]
    return ((world - (0, 0, HEIGHT_M)) @ WORLD_FROM_CAM).astype(np.float32)


def skeletons(joints, predicted=False):
    people = len(joints)
    return Skeletons(
        stamp_s=0.0,
        ids=tuple(range(1, people + 1)),
        joints_cam_m=joints,
        sigma_m=np.full((people, 17), 0.05, np.float32),
        root_sigma_m=np.full(people, 0.3, np.float32),
        sigma_lateral_m=np.zeros((people, 17), np.float32),
        sigma_depth_m=np.zeros((people, 17), np.float32),
        stature_m=np.full(people, 1.7, np.float32),
        contact=np.zeros((people, 2), np.float32),
        predicted=np.full(people, predicted),
        actions=(None,) * people,
        metric=True,
    )


def keypoints(joints):
    points_px = joints[..., :2] / joints[..., 2:] * 1000 + (384, 288)
    return {index + 1: (person_px, np.ones(17)) for index, person_px in enumerate(points_px)}


@pytest.fixture(scope="module")
def scene():
    return make_scene(standing(), limbs=BONES, image_size_px=(768, 576))


def coloured(picture, person):
    """Where (x, y) pixels have just the colour of a person."""
    rows, columns = np.nonzero((picture == np.array(colour_of(person)[::-1])).all(-1))
    return np.stack([columns, rows], -1)


def inside(points, box_px):
    x, y, width, height = box_px
    return points[((points >= (x, y)) & (points < (x + width, y + height))).all(-1)]


def test_ground_is_found_under_noisy_people():
    generator = np.random.default_rng(0)
    places = generator.uniform((-6, 12), (6, 28), (400, 2))
    joints = standing(places) + generator.normal(size=(400, 17, 3)) * 0.02
    joints[:20] += (0, -3, 0)  # a few that fly
    ground = estimate_ground(joints)
    assert np.degrees(np.arccos(ground.normal_cam @ WORLD_FROM_CAM[2])) < 1.0
    assert abs(ground.distance_m - HEIGHT_M) < 0.2


def test_ground_survives_a_single_skeleton():
    ground = estimate_ground(standing(PLACES_M[:1]))
    assert ground.normal_cam @ WORLD_FROM_CAM[2] > np.cos(np.radians(6))


@pytest.mark.parametrize("joints", [np.zeros((0, 17, 3)), np.full((2, 17, 3), np.nan), np.zeros((5, 3))])
def test_ground_of_nothing_says_what_is_missing(joints):
    with pytest.raises(ValueError, match="joints_cam_m: expected"):
        estimate_ground(joints)


def test_ground_refuses_a_camera_that_looks_straight_down():
    with pytest.raises(ValueError, match="straight down"):
        Ground(normal_cam=np.array([0, 0, -1.0]), distance_m=3.0)


def test_world_is_upright_and_right_handed():
    ground = Ground(normal_cam=WORLD_FROM_CAM[2], distance_m=HEIGHT_M)
    assert np.allclose(ground.world_from_cam, WORLD_FROM_CAM)
    assert np.linalg.det(ground.world_from_cam) == pytest.approx(1)
    assert np.allclose(ground.to_world(standing())[1], STANDING_M + (0, 18, 0), atol=1e-5)


def test_picture_has_the_people_in_their_colours_in_all_panels(scene):
    joints = standing()
    picture = render_frame(scene, skeletons(joints), keypoints(joints), stamp_s=1.5)
    assert picture.shape == (720, 1600, 3)
    assert picture.dtype == np.uint8
    for person in (1, 2, 3):
        for view in scene.views:
            assert len(inside(coloured(picture, person), view.box_px)) > 20
    changed = render_frame(scene, skeletons(joints), {}, stamp_s=1.5) != picture
    assert changed[:, :800].any()
    assert not changed[:, 800:].any()


def test_people_stand_above_their_feet_and_their_feet_on_the_ground(scene):
    world = scene.ground.to_world(standing())
    assert np.abs(world[:, (3, 6), 2] - 0.09).max() < 0.1
    for view in scene.views:
        pixels, depth = view.project(world)
        assert (depth > 1).all()
        assert (pixels[:, 10, 1] < pixels[:, (3, 6), 1].min(-1) - 20).all()
        width, height = view.box_px[2:]
        assert (pixels > 0).all()
        assert (pixels < (width, height)).all()


def test_views_are_the_right_way_round(scene):
    world = scene.ground.to_world(standing())
    behind, left = (view.project(world)[0] for view in scene.views)
    assert behind[0, 0, 0] < behind[1, 0, 0] < behind[2, 0, 0]  # left stays left
    assert (behind[:, 6, 0] < behind[:, 3, 0]).all()  # they face away: the left foot is on the left
    assert left[0, 0, 0] > left[1, 0, 0] > left[2, 0, 0]  # seen from the left, far is on the left
    picture = render_frame(scene, skeletons(standing()), {}, stamp_s=0.0)
    middle = [inside(coloured(picture, person), scene.views[0].box_px)[:, 0].mean() for person in (1, 2, 3)]
    assert middle == sorted(middle)


def test_nearer_people_hide_those_behind(scene):
    def seen(places):
        joints = standing(places)
        return len(inside(coloured(render_frame(scene, skeletons(joints), {}, stamp_s=0.0), 1), scene.views[0].box_px))

    assert seen(((0, 18), (3, 18))) > 1.3 * seen(((0, 18), (0, 17.2)))


def test_predicted_people_look_faded(scene):
    seen, predicted = (
        render_frame(scene, skeletons(standing(), flag), {}, stamp_s=0.0)[:, 800:] for flag in (False, True)
    )
    assert predicted.max(-1).astype(int).sum() < seen.max(-1).astype(int).sum()


@pytest.mark.parametrize("people", [0, 1])
def test_odd_frames_are_drawn_too(scene, people):
    joints = standing(PLACES_M[:1])[:people].copy()
    joints[:, 4] = np.nan
    unseen = {1: (np.full((17, 2), np.nan), np.zeros(17)), 2: (np.full((17, 2), 1e9), np.ones(17))}
    image = np.full((576, 768, 3), 200, np.uint8)
    picture = render_frame(scene, skeletons(joints), unseen, stamp_s=0.0, image=image, trails={1: joints[:, 0]})
    assert picture[100:500, 100:700].mean() > 80


def test_video_opens_again_with_all_its_frames(tmp_path):
    told = []
    frames = (np.full((72, 160, 3), value, np.uint8) for value in range(0, 200, 10))
    assert write_video(tmp_path / "new" / "film.mp4", frames, 7.0, progress=told.append) == 20
    assert sum(told) == 20
    capture = cv2.VideoCapture(str(tmp_path / "new" / "film.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(7.0, abs=0.01)
    brightness = []
    while (read := capture.read())[0]:
        brightness.append(read[1].mean())
    assert len(brightness) == 20
    assert brightness[0] < brightness[10] < brightness[19]


def test_video_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one picture"):
        write_video(tmp_path / "film.mp4", iter(()), 7.0)
