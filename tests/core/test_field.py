"""The field's parts: each does what it says to its share of the sequences, and nothing to the others."""
# B sequences, T frames, J = 17 joints

from dataclasses import replace

import pytest
import torch
from helpers import walking_motions

from dp3d_core.data import cameras
from dp3d_core.data.contacts import clip_contact, contact_labels
from dp3d_core.data.field import LEGS, Field, as_detected, definitions, lie_down, sizes, told_up
from dp3d_core.data.noise import DetectorNoise
from dp3d_core.data.windows import MotionBank, sample_batch
from dp3d_core.model.diffusion import bone_lengths

BANK = MotionBank(walking_motions())
NOTHING = Field.none()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def bodies(batch=40, frames=12):
    stamps_s = torch.arange(frames).expand(batch, -1) / 30
    pose, root = BANK.sample(torch.zeros(batch, dtype=torch.long), stamps_s + torch.arange(batch)[:, None] / 10)
    return pose, root, stamps_s


def draw(field, batch=200, frames=4, seed=0):
    return sample_batch(BANK, batch, frames, generator=generator(seed), field=field, detector=DetectorNoise.none())


def test_nothing_is_nothing():
    pose, root, stamps_s = bodies()
    torch.testing.assert_close(definitions(pose, NOTHING, generator()), pose)
    factor, bones = sizes(40, NOTHING, generator())
    assert (factor == 1).all() and (bones == 1).all()
    flat, moved, lying = lie_down(pose, root, stamps_s, NOTHING, generator())
    assert torch.equal(flat, pose) and torch.equal(moved, root) and not lying.any()
    assert not draw(NOTHING).up.any()


def test_definitions_are_constant_in_the_bodys_axes_and_a_few_centimetres():
    pose, *_ = bodies(400, 6)
    moved = definitions(pose, Field(definition_share=1.0), generator())
    offset = (moved - pose).norm(dim=-1)
    assert (offset.std(1) < 0.01).all()  # the walker's trunk turns a little
    assert 0.01 < float(offset[:, :, [1, 4]].mean()) < 0.06 and offset.max() < 0.3
    assert not offset[:, :, 0].any()
    none = definitions(pose, Field(definition_share=0.3), generator())
    share = float(((none - pose).abs().amax((1, 2, 3)) > 0).float().mean())
    assert share == pytest.approx(0.3, abs=0.08)


def test_sizes_are_children_to_tall_athletes():
    factor, bones = sizes(2000, Field(size_share=1.0), generator())
    assert 1.0 / 1.7 - 0.01 < factor.min() < 0.62 and 1.2 < factor.max() < 2.11 / 1.7
    child, adult = factor < 0.65, factor > 1
    assert (bones[adult] == 1).all()
    assert (bones[child][:, list(LEGS)] < 0.95).all() and (bones[child][:, [9, 10]] > 1.2).all()


def test_who_lies_is_near_the_floor_and_keeps_the_bones():
    pose, root, stamps_s = bodies(60, 12)
    flat, moved, lying = lie_down(pose, root, stamps_s, Field(lying_share=1.0), generator())
    assert lying.all()
    torch.testing.assert_close(bone_lengths(flat), bone_lengths(pose), atol=1e-4, rtol=1e-4)
    lowest = (flat[..., 2] + moved[..., None, 2]).flatten(1).amin(1)
    torch.testing.assert_close(lowest, torch.full_like(lowest, 0.08), atol=1e-3, rtol=0)
    trunk = flat[:, -1, 8] - flat[:, -1, 0]
    elevation = torch.asin(trunk[:, 2].abs() / trunk.norm(dim=-1)).rad2deg()
    assert float(elevation.median()) < 20
    some = lie_down(pose, root, stamps_s, Field(lying_share=0.5), generator())
    assert torch.equal(some[0][~some[2]], pose[~some[2]]) and 10 < int(some[2].sum()) < 50


def test_what_is_told_of_up_is_as_wrong_as_it_says():
    up = torch.nn.functional.normalize(torch.tensor([0.1, -1.0, 0.2]), dim=0).expand(4000, 3, 3)
    for field, low, high in (
        (Field(up_known_share=1.0), 0.5, 2.0),
        (Field(up_known_share=0.0, up_estimated_share=1.0, up_estimated_sigma_deg=(10.0, 10.001)), 8.0, 16.0),
    ):
        said, sigma_rad = told_up(up, field, generator())
        torch.testing.assert_close(said.norm(dim=-1), torch.ones(4000, 3))
        angle = torch.acos((said * up).sum(-1).clamp(-1, 1)).rad2deg()
        # two of three components of the error turn it
        assert low < float(angle.square().mean().sqrt()) < high
        assert float(angle.square().mean().sqrt()) == pytest.approx(2**0.5 * float(sigma_rad[0].rad2deg()), rel=0.1)
        torch.testing.assert_close(said[:, 0], said[:, 2])
    said, _ = told_up(up, replace(NOTHING, up_known_share=0.5), generator())
    assert float((said.abs().sum((1, 2)) > 0).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_no_camera_far_from_level_goes_without_a_word():
    rolled = torch.tensor([1.0, 0.0, 0.0]).expand(100, 2, 3)
    said, _ = told_up(rolled, Field(), generator())
    assert (said.norm(dim=-1) > 0.9).all()


def test_every_roll_gives_the_same_upright_pose():
    field = replace(NOTHING, up_known_share=1.0, up_known_sigma_deg=0.0, rolled_share=1.0)
    trunk = draw(field).pose_m[:, :, 8]
    # the thorax is above the hip in every view, also in those from far above: y points down
    assert (trunk[..., 1] < -0.1).float().mean() > 0.99


def test_outside_joints_lie_on_the_border_and_legs_may_be_out_of_sight():
    exact = torch.rand(50, 4, 17, 2, generator=generator()) * torch.tensor([1000.0, 750.0])
    exact[:, :, 3, 1] = 900.0
    inside = exact[..., 1] < 750
    trust = inside.float() * 0.9
    stamps_s = torch.arange(4).expand(50, -1) / 30
    ask = lambda field: as_detected(exact, trust, exact, inside, (1000.0, 750.0), stamps_s, field, generator())  # noqa: E731
    all_joints = {"families": (1.0, 0.0, 0.0, 0.0)}
    pixels, confidence = ask(replace(NOTHING, clamped_share=1.0, **all_joints))
    assert (pixels[:, :, 3, 1] == 749).all() and (confidence[:, :, 3] > 0).all()
    pixels, confidence = ask(replace(NOTHING, upper_body_share=1.0, **all_joints))
    assert not confidence[:, :, list(LEGS)].any() and not pixels[:, :, list(LEGS)].any()
    pixels, confidence = ask(replace(NOTHING, **all_joints))
    torch.testing.assert_close(confidence, trust)
    pixels, confidence = ask(replace(NOTHING, families=(0.0, 0.0, 1.0, 0.0)))
    assert not confidence[:, :, [7, 10]].any() and confidence[:, :, [0, 8, 9]].all()


def test_the_whole_field_is_finite_and_of_its_seed():
    one, two = draw(Field(), seed=3), draw(Field(), seed=3)
    for name in ("seen", "pose_m", "up", "stamps_s", "label", "contact"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=0, equal_nan=True)
    for name in ("seen", "pose_m", "up"):
        assert torch.isfinite(getattr(one, name)).all()
    assert one.up.shape == (200, 4, 4) and one.contact.shape == (200, 4, 2)


def test_cameras_say_what_is_up():
    joints = torch.zeros(300, 5, 17, 3) + torch.tensor([0.0, 0.0, 1.0])
    joints[:, :, 1:, 2] += 0.5
    stamps_s = torch.arange(5).expand(300, -1) / 30
    view = cameras.look(joints, stamps_s, cameras=Field().cameras, generator=generator())
    risen = view.joints_cam_m[:, :, 1] - view.joints_cam_m[:, :, 0]
    torch.testing.assert_close(view.up_cam, risen / 0.5, atol=1e-4, rtol=1e-4)


def test_standing_feet_stand_and_swinging_feet_do_not():
    stamps_s = torch.arange(90).numpy() / 30
    ankles = torch.zeros(90, 2, 3).numpy()
    ankles[..., 2] = 0.09
    ankles[30:60, 0, 0] = (stamps_s[30:60] - 1.0) * 1.5  # the right foot steps forward
    ankles[60:, 0, 0] = 1.5
    ankles[30:60, 0, 2] = 0.2
    ankles[:, 1, 2] += 0.001
    found = clip_contact(ankles, 30.0)
    assert (found[:, 1] == 1).all()
    assert (found[:25, 0] == 1).all() and (found[65:, 0] == 1).all() and (found[34:56, 0] == 0).all()
    labels = contact_labels(walking_motions())
    assert labels.shape == (190, 2) and set(labels[labels == labels].tolist()) <= {0.0, 1.0}
