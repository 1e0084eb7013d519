"""The prepared training on a GPU, rehearsed on the CPU by the same code; and sequences that are made on the device."""

import json
import subprocess
import sys

import pytest
import torch
from helpers import walking_motions

from dp3d_core import checkpoint, gpu_train
from dp3d_core.config import PRESETS
from dp3d_core.data.field import Field
from dp3d_core.data.motions import load_motions, save_motions
from dp3d_core.data.windows import MotionBank, sample_batch


@pytest.fixture(scope="module")
def motion_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("motions") / "motions.npz"
    save_motions(path, walking_motions())
    return path


@pytest.mark.parametrize("field", [None, Field()], ids=["plain", "field"])
def test_sequences_are_made_where_the_clips_lie_and_nothing_waits_for_them(motion_file, field):
    """On the device `meta` no value can be looked at, and what is made elsewhere does not mix."""
    bank = MotionBank(load_motions(motion_file)).to("meta")
    batch = sample_batch(bank, 4, 10, generator=None, field=field)
    for name in batch.__slots__:
        assert getattr(batch, name).device.type == "meta", name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_card_they_are_distributed_as_on_the_cpu(motion_file):
    moments = []
    for device in ("cpu", "cuda"):
        bank = MotionBank(load_motions(motion_file)).to(device)
        batch = sample_batch(bank, 4000, 12, generator=torch.Generator(device).manual_seed(1), field=Field())
        parts = [batch.seen.flatten(0, 2), batch.pose_m.flatten(0, 2), batch.up.flatten(0, 1)]
        moments.append(torch.cat([torch.cat([part.mean(0), part.std(0)]).cpu() for part in parts]))
    torch.testing.assert_close(moments[0], moments[1], atol=0.03, rtol=0.05)


def test_small_and_base_are_trained_and_written_in_pieces_that_fit(tmp_path, motion_file, monkeypatch, capsys):
    monkeypatch.setattr(gpu_train, "FILE_BYTES", 4 << 20)
    monkeypatch.setattr(gpu_train, "DEV_SEQUENCES", 2)
    steps = ["--minutes", "5", "--steps", "2", "--batch", "2"]
    gpu_train.main(["--motions", str(motion_file), "--device", "cpu", "--out", str(tmp_path / "out"), *steps])
    rows = [json.loads(line) for line in (tmp_path / "out" / "table.txt").read_text().splitlines()]
    assert [(row["network"], row["step"]) for row in rows[1:]] == [("small", 2), ("base", 2)]
    assert all(0 < row[name] < 2000 for row in rows[1:] for name in ("dev_mm", "dev_up_known_mm"))
    assert capsys.readouterr().out == (tmp_path / "out" / "table.txt").read_text()
    for name in ("small", "base"):
        parts = sorted((tmp_path / "out").glob(f"{name}.safetensors.*"), key=lambda path: int(path.suffix[1:]))
        assert len(parts) > 1 and max(part.stat().st_size for part in parts) <= 4 << 20
        whole = tmp_path / f"{name}.safetensors"
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        assert checkpoint.load(whole).config == PRESETS[name]


def test_it_needs_nothing_but_torch_numpy_scipy_and_safetensors(tmp_path):
    """As on a rented machine, which has no other package."""
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tyro', 'openvino', 'matplotlib', 'tqdm', 'cv2', 'open_clip'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from dp3d_core import gpu_check, gpu_train\n"
        "gpu_train.main(['--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and "--motions" in done.stdout, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_one_sentence_says_so(motion_file):
    with pytest.raises(SystemExit, match=r"gpu_train: no GPU part: .*; --device cpu rehearses it"):
        gpu_train.main(["--motions", str(motion_file)])
