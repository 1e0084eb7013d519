"""The state of everybody in a stream, as arrays with one row a person; rows 0 .. people - 1 are in use.

Contiguous rows let the network take its batch as a view: nobody's cache is copied when a frame arrives.
"""
# M most people, W working window, C cached frames, L blocks, G groups, D width, S pooling times, H pooled features

import numpy as np

from dp3d_core.model.prompts import POOL_TIMES_S, POOL_WIDTH
from dp3d_core.root import Proportions, RootFilter


class Tracks:
    """Arrays of all people. `config` is a `ModelConfig`; `groups` the denoiser's temporal token groups."""

    def __init__(self, config, groups, most_people, window):
        f32 = np.float32
        cache = (most_people, config.frame_layers, groups, config.window_frames - 1, config.frame_width)
        self.window = window
        self.ids = []
        # the network's memory
        self.keys, self.values = np.zeros(cache, f32), np.zeros(cache, f32)
        self.filled = np.zeros((most_people, config.window_frames - 1 + window), f32)
        self.pooled = np.zeros((most_people, len(POOL_TIMES_S), POOL_WIDTH + 1), f32)
        # the working window, oldest first
        self.clean = np.zeros((most_people, window, 17, 3), f32)
        self.seen = np.zeros((most_people, window, 17, 4), f32)
        self.rotation = np.zeros((most_people, window, 3, 3), f32)
        self.rays = np.zeros((most_people, window, 17, 2), f32)
        self.stamp_s = np.zeros((most_people, window))
        self.unseen_s = np.zeros((most_people, window))
        # the person
        self.view = np.zeros((most_people, 4), f32)
        self.frames = np.zeros(most_people, np.int64)
        self.last_seen_s = np.zeros(most_people)
        self._arrays = (
            self.keys, self.values, self.filled, self.pooled, self.clean, self.seen, self.rotation, self.rays,
            self.stamp_s, self.unseen_s, self.view, self.frames, self.last_seen_s,
        )  # fmt: skip
        self.root = RootFilter(most_people)
        self.bones = Proportions(most_people)

    def __len__(self):
        return len(self.ids)

    def add(self, person, stamp_s):
        """Start a person in the next free row; returns the row."""
        row = len(self.ids)
        for array in (self.filled, self.pooled, self.view, self.frames, self.clean, self.seen):
            array[row] = 0
        self.stamp_s[row], self.unseen_s[row], self.last_seen_s[row] = stamp_s, 0.0, stamp_s
        self.root.clear(row)
        self.bones.clear(row)
        self.ids.append(person)
        return row

    def remove(self, row):
        """Forget the person in `row`; the last row moves there, so that rows stay contiguous."""
        last = len(self.ids) - 1
        if row != last:
            for array in self._arrays:
                array[row] = array[last]
            self.root.move(last, row)
            self.bones.move(last, row)
            self.ids[row] = self.ids[last]
        self.ids.pop()

    def shift(self, people):
        """Make room for a new frame at the end of the working windows of the first `people` rows."""
        if self.window > 1:
            for array in (self.clean, self.seen, self.rotation, self.rays, self.stamp_s, self.unseen_s):
                array[:people, :-1] = array[:people, 1:]

    def remember(self, people, keys, values, pooled):
        """Put the newest frame's keys and values (P, L, G, D) into the rings; the pooled state replaces the old."""
        cached = self.keys.shape[3]
        rows = np.arange(people)
        slot = self.frames[:people] % cached
        self.keys[rows, :, :, slot] = keys
        self.values[rows, :, :, slot] = values
        self.filled[rows, slot] = 1
        self.pooled[:people] = pooled
        self.frames[:people] += 1
