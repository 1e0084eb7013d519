"""Hypotheses in a stream: motions that are denoised while they age, each coherent from frame to frame.

A window holds clean past rows, then the rows in work, the newest last. A new row starts as noise that continues the
noise of its hypothesis; each arriving frame lowers the noise of all rows in work, until the oldest leaves clean (the
triangular schedule of FloodDiffusion, arXiv 2512.03520). Knows no camera and no clock.
"""
# H hypotheses, N rows of the window, J = 17 joints

import torch

from dp3d_core.model.flow import angle_ladder, turned
from dp3d_core.model.gaussian import kernel


class RollingMotions:
    """H motions of one person.

    denoiser: a `MotionDenoiser`; steps K: passes that each row gets, at least lookahead + 1 and a multiple of it;
    lookahead: frames that an answer waits; past: clean rows kept as context.
    """

    def __init__(self, denoiser, *, hypotheses, steps, lookahead=0, past=16, seed=0):
        check_rolling(denoiser, hypotheses, steps, lookahead)
        self._denoiser, self._count, self._steps, self._lookahead = denoiser, hypotheses, steps, lookahead
        self._rows = past + lookahead + 1
        self._ladder = [*angle_ladder(steps), 0.0]
        self._generator = torch.Generator().manual_seed(seed)
        self._noise = torch.zeros(hypotheses, 0, 17, 3)
        self._noisy = torch.zeros(hypotheses, 0, 17, 3)  # residuals of rows in work
        self._past = torch.zeros(hypotheses, 0, 17, 3)  # poses of clean rows, network units

    @property
    def rows(self):
        """Frames of context that `push` takes at most."""
        return self._rows

    @torch.inference_mode()
    def push(self, context):
        """Take in the newest frame; (H, 17, 3) in network units of the frame `lookahead` ago, or None if there is none.

        context: `Context` (1, N, ...) of the last N <= `rows` frames, the newest last, N one more than at the last
        push until the window is full.
        """
        frames = context.stamps_s.shape[1]
        self._extend(context.stamps_s)
        work = self._noisy.shape[1]
        clean_rows = frames - work
        self._past = self._past[:, self._past.shape[1] - clean_rows :]
        repeated = context.repeat(self._count)
        known = self._denoiser.residual(self._past, repeated.crop(slice(0, clean_rows)))
        passes = self._steps // (self._lookahead + 1)
        for taken in range(passes):
            # the newest row has taken no step, the one before it `passes`, and so on
            steps = [passes * age + taken for age in range(work - 1, -1, -1)]
            angle = torch.tensor([self._ladder[step] for step in steps])
            following = torch.tensor([self._ladder[step + 1] for step in steps])
            noisy = torch.cat([known, self._noisy], 1)
            level = torch.cat([torch.zeros(clean_rows), angle]).expand(self._count, -1)
            answer = self._denoiser(noisy, level, repeated)
            clean, std = answer.clean[:, clean_rows:], answer.std[:, clean_rows:]
            column = lambda values: values[:, None, None]  # noqa: E731
            moved = turned(self._noisy, clean, std, column(angle), column(following))
            self._noisy = torch.where(column(following) > 0, moved, clean)
        if work <= self._lookahead:
            return None
        oldest = self._denoiser.pose(self._noisy[:, :1], repeated.crop(slice(clean_rows, clean_rows + 1)))
        self._noisy = self._noisy[:, 1:]
        self._past = torch.cat([self._past, oldest], 1)
        return oldest[:, 0]

    def _extend(self, stamps_s):
        """A row of noise for the newest frame, with the covariance that the noise of the rows before it asks for."""
        frames = stamps_s.shape[1]
        self._noise = self._noise[:, self._noise.shape[1] - (frames - 1) :]
        factor = torch.linalg.cholesky(kernel(stamps_s, self._denoiser.kernel_share))[0]
        before = torch.linalg.solve_triangular(factor[:-1, :-1], self._noise.flatten(2), upper=False)
        fresh = torch.randn(self._count, 51, generator=self._generator) @ self._denoiser.joint_factor.T
        newest = torch.einsum("n,hnc->hc", factor[-1, :-1], before) + factor[-1, -1] * fresh
        newest = newest.unflatten(-1, (17, 3))[:, None]
        self._noise = torch.cat([self._noise, newest], 1)
        self._noisy = torch.cat([self._noisy, newest], 1)


def check_rolling(denoiser, hypotheses, steps, lookahead):
    """ValueError unless a denoiser can serve so many hypotheses, steps and frames of lookahead in a stream."""
    if denoiser.blind:
        raise ValueError("denoiser: expected one that reads the encoder, got a prior, which sees nothing")
    if hypotheses < 1 or lookahead < 0:
        raise ValueError(f"hypotheses, lookahead: expected at least 1 and 0, got {hypotheses} and {lookahead}")
    if lookahead + 1 >= denoiser.config.window_frames:
        raise ValueError(
            f"lookahead: expected less than the {denoiser.config.window_frames - 1} frames that this denoiser sees "
            f"around a frame, got {lookahead}"
        )
    if steps < 1 or steps % (lookahead + 1):
        raise ValueError(f"steps: expected a multiple of lookahead + 1 = {lookahead + 1}, got {steps}")
    if hypotheses > 1 and steps < 2:
        raise ValueError(
            f"steps: expected at least 2 for {hypotheses} hypotheses, got {steps}: one step has one answer"
        )
