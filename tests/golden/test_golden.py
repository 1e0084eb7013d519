"""Weights that were written once are read for ever, and answer what they answered; see regenerate.py."""

import numpy as np
import regenerate

from dp3d_core import checkpoint


def test_old_weights_load_and_answer_the_same():
    loaded = checkpoint.load(regenerate.WEIGHTS)
    assert loaded.temperatures == dict.fromkeys(checkpoint.USES, 1.25)
    with np.load(regenerate.ANSWERS, allow_pickle=False) as golden:
        for name, value in regenerate.answers(loaded.encoder).items():
            np.testing.assert_allclose(value, golden[name], atol=1e-4, err_msg=name)
            assert np.abs(golden[name]).max() > 0.1
