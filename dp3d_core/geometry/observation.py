"""What the network sees of a person: 17 joints in that person's virtual view, their confidence, and their size.

One function for training, offline and live use ("any array": NumPy or torch). Knows nothing of networks or time
beyond one step of the virtual camera.
"""
# B batch, J = 17 joints

from dp3d_core.geometry.camera import follow, person_view, turn_rays, turn_to, turn_view, upright

LOG_SIZE_CENTRE = -2.5
"""Natural log of a typical RMS spread in rays: a standing person about 5 m away."""
RAY_LIMIT = 6.0
"""Joints further than this many person sizes from the view's centre are detector failures; clip them."""
UP_SIGMA_RAD = 0.1
"""An up vector that errs by this, 6 degrees, counts as half certain."""


def observe(rays, confidence, state, xp, up=None):
    """The network's input from one frame of rays and the followed view.

    rays (B, J, 2), confidence (B, J) with 0 = missing, state (B, 4) from `camera.follow`; up (B, 3) the unit vector
    against gravity in the camera, zeros where unknown: the view is then turned upright. Returns seen (B, J, 4),
    rotation (B, 3, 3) from `cam` to the virtual camera, and rays in it (B, J, 2).
    """
    rotation = turn_to(state[..., :2], xp)
    if up is not None:
        rotation = upright(rotation, up, xp)
    turned = turn_rays(rays, rotation, xp)
    size = xp.exp(state[..., 2])[..., None, None]
    visible = (confidence > 0)[..., None] * 1.0
    # where, not times: a missing joint's pixel may hold anything
    scaled = xp.clip(xp.where(visible > 0, turned, 0 * turned) / size, -RAY_LIMIT, RAY_LIMIT)
    log_size = (state[..., 2:3] - LOG_SIZE_CENTRE)[..., None] + 0 * visible
    return xp.concatenate([scaled, confidence[..., None], log_size], -1), rotation, turned


def up_input(up, sigma_rad, rotation, xp):
    """The network's input about gravity. Any array.

    up (..., 3) the unit vector against gravity in the camera, zeros where unknown; sigma_rad (...) its standard
    deviation; rotation (..., 3, 3) from `observe`. Returns (..., 4): up in the person's view, and its certainty, 1
    where it is exact, 0.5 at UP_SIGMA_RAD, 0 where unknown.
    """
    certainty = (up * up).sum(-1) / (1 + (sigma_rad / UP_SIGMA_RAD) ** 2)
    turned = (rotation @ up[..., None])[..., 0]
    return xp.concatenate([turned, certainty[..., None]], -1)


def follow_all(rays, confidence, stamps_s, xp, turns=None):
    """The followed view at every frame of whole sequences. rays (B, T, J, 2), stamps_s (B, T); (B, T, 4).

    turns: for each of T frames how the camera turned since the last one, (B, 3, 3) from its old to its new axes, or
    None where unknown; the view then stays where it looked.
    """
    view, weight = person_view(rays, confidence, xp)
    state = xp.zeros_like(xp.concatenate([view[:, 0], view[:, 0, :1]], -1))
    states = []
    for frame in range(view.shape[1]):
        dt_s = stamps_s[:, frame] - stamps_s[:, max(frame - 1, 0)]
        if turns is not None and turns[frame] is not None:
            state = turn_view(state, turns[frame], xp)
        state = follow(view[:, frame], weight[:, frame], state, dt_s, xp)
        states.append(state)
    return xp.stack(states, 1)
