"""The ablation trains every variant on equal data and budget, resumes, and reports what it measured."""

import json

import pytest
import torch
from helpers import tiny_config, walking_motions

from dp3d_core.cli import run as dp3d
from dp3d_core.config import TrainConfig
from dp3d_core.data.motions import save_motions
from dp3d_core.evaluation import ablate
from dp3d_core.evaluation.ablation_table import TABLE_JSON, TABLE_MD, write_tables
from dp3d_core.training import run as train

TINY = ("--steps", "2", "--batch", "2", "--sequence-frames", "8", "--seeds", "0")
TWO = ("--only", "full", "MixSTE")


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    path = tmp_path_factory.mktemp("motions") / "motions.npz"
    save_motions(path, walking_motions(lengths=(30, 24, 12)))
    return path


@pytest.fixture(scope="module")
def finished(motions, tmp_path_factory):
    """Two variants trained for two steps each, and what was printed."""
    out = tmp_path_factory.mktemp("ablation")
    dp3d("ablate", ["--motions", str(motions), "--out", str(out), *TINY, *TWO])
    return out


def test_two_steps_of_two_variants_make_a_table(finished):
    rows = json.loads((finished / TABLE_JSON).read_text())
    assert list(rows) == ["full", "MixSTE"]
    assert rows["full"]["minus_full_mm"] in ([0.0], []) and rows["full"]["seeds"] == [0]
    text = (finished / TABLE_MD).read_text()
    assert "| full | 1.1" in text and "joint width 32, frame width 128" in text and "2 steps of 2 × 8 frames" in text


def test_finished_runs_are_skipped_and_refused_without_resume(finished, motions, capsys):
    with pytest.raises(SystemExit, match="holds an earlier run; pass --resume"):
        dp3d("ablate", ["--motions", str(motions), "--out", str(finished), *TINY, *TWO])
    before = (finished / "full-seed0" / "result.json").read_text()
    dp3d("ablate", ["--motions", str(motions), "--out", str(finished), *TINY, *TWO, "--resume"])
    assert "0 runs of 2 steps to go" in capsys.readouterr().out
    assert (finished / "full-seed0" / "result.json").read_text() == before


def test_an_interrupted_run_goes_on_from_its_state(motions, tmp_path, monkeypatch, capsys):
    options = ["--motions", str(motions), "--out", str(tmp_path), *TINY, "--only", "full"]
    monkeypatch.setattr(ablate, "evaluate_run", lambda *_: (_ for _ in ()).throw(OSError("the power went")))
    with pytest.raises(SystemExit, match="the power went"):
        dp3d("ablate", options)
    monkeypatch.undo()
    assert not (tmp_path / "full-seed0" / "result.json").exists()
    dp3d("ablate", [*options, "--resume"])
    assert "1 runs of 2 steps to go" in capsys.readouterr().out
    log = (tmp_path / "full-seed0" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [2, 2]  # trained once: a row of losses and one of dev


def test_other_options_in_the_same_folder_are_refused(finished, motions):
    with pytest.raises(SystemExit, match="made with other options"):
        dp3d("ablate", ["--motions", str(motions), "--out", str(finished), *TINY, *TWO, "--resume", "--steps", "3"])


def test_report_alone_needs_no_motions(finished, tmp_path):
    (finished / TABLE_MD).unlink()
    dp3d("ablate", ["--out", str(finished), "--report"])
    assert (finished / TABLE_MD).is_file()
    with pytest.raises(SystemExit, match="expected finished runs"):
        dp3d("ablate", ["--out", str(tmp_path), "--report"])


@pytest.mark.parametrize(
    ("options", "message"), [(("--only", "half"), "--only: expected some of"), ((), "--motions: expected a mocap npz")]
)
def test_bad_requests_end_in_one_sentence(motions, tmp_path, options, message):
    given = ["--motions", str(motions)] if options else []
    with pytest.raises(SystemExit, match=message):
        dp3d("ablate", [*given, "--out", str(tmp_path), *options])


def test_variants_differ_from_full_in_what_their_name_says():
    every = ablate.variants()
    full = every["full"]
    changed = {
        name: {key for key in model.__dataclass_fields__ if getattr(model, key) != getattr(full, key)}
        for name, model in every.items()
    }
    assert changed["full"] == set() and changed["no log-variance"] == {"log_variance"}
    assert changed["no action prompts"] == {"action_prompts"} and changed["no affinity"] == {"affinity"}
    assert changed["no part prompts"] == {"part_prompts"} and changed["plain"] == set(ablate.PARTS_OFF)
    for what in ("size", "cost"):
        assert changed[f"plain of equal {what}"] == set(ablate.PARTS_OFF) | {"frame_width"}


def test_baselines_cost_what_full_costs_and_mixste_alternates_joint_tokens():
    model = ablate.mixste_like(ablate.REDUCED)
    assert model.temporal_token == "joint" and model.joint_width == model.frame_width
    assert model.joint_layers == model.frame_layers
    for dear in (model, ablate.wider_plain(ablate.REDUCED, ablate.multiply_adds)):
        assert 0.85 < ablate.multiply_adds(dear) / ablate.multiply_adds(ablate.REDUCED) < 1.18
    large = ablate.wider_plain(ablate.REDUCED, ablate.parameters)
    assert 0.9 < ablate.parameters(large) / ablate.parameters(ablate.REDUCED) < 1.1


def test_multiply_adds_count_a_linear_layer_as_its_weights():
    narrow, wide = tiny_config(mlp_ratio=2), tiny_config(mlp_ratio=3)
    # one more times the width in both layers of each feed-forward: 2 d² a block and token
    joint, frame = narrow.joint_width, narrow.frame_width
    expected = (17 * 2 * joint**2 * narrow.joint_layers + 2 * frame**2 * narrow.frame_layers) / 1e6
    found = ablate.multiply_adds(wide) - ablate.multiply_adds(narrow)
    assert found == pytest.approx(expected, rel=1e-6)


def test_every_variant_sees_the_same_data_in_the_same_order(motions, tmp_path, monkeypatch):
    drawn = {}
    sample = train.sampled

    def spy(bank, batch, frames, **options):
        made = sample(bank, batch, frames, **options)
        if batch == 2:  # the fixed dev batches have another size
            drawn.setdefault(name, []).append(made.pose_m)
        return made

    monkeypatch.setattr(train, "sampled", spy)
    every = ablate.variants(tiny_config())
    compared = {"full", "no affinity", "plain"}
    for name, model in every.items():
        if name in compared:
            options = TrainConfig(steps=6, batch=2, sequence_frames=8)
            train.run(model=model, train=options, motions_path=motions, out=tmp_path / name)
    reference = drawn.pop("full")
    assert len(reference) == 6 and set(drawn) == compared - {"full"}
    for batches in drawn.values():
        assert all(torch.equal(one, other) for one, other in zip(reference, batches, strict=True))


def write_result(out, name, seed, error_mm, steps=5):
    row = {"mpjpe_mm": error_mm, "accel_error_mm_per_frame2": 1.0, "coverage_90": 0.9, "nll": -3.0}
    result = {
        "variant": name, "seed": seed, "motions": "m.npz", "multiply_adds_m": 1.0, "parameters": 10, "minutes": 2.0,
        "model": {"joint_width": 32, "frame_width": 128, "joint_layers": 2, "frame_layers": 3},
        "train": {"steps": steps, "batch": 2, "sequence_frames": 8, "precision": "bfloat16", "seed": seed},
        "rows": dict.fromkeys(("stream 0", "stream 4", "offline"), row),
    }  # fmt: skip
    (out / f"{name}-{seed}").mkdir()
    (out / f"{name}-{seed}" / "result.json").write_text(json.dumps(result))


def test_table_is_mean_half_range_and_paired_difference(tmp_path):
    for name, errors in {"full": (50.0, 54.0), "bare": (53.0, 56.0)}.items():
        for seed, error_mm in enumerate(errors):
            write_result(tmp_path, name, seed, error_mm)
    rows = write_tables(tmp_path, ["full", "bare"])
    cell = rows["bare"]["metrics"]["ℓ0 MPJPE mm"]
    assert (cell["mean"], cell["half_range"]) == (54.5, 1.5)
    assert rows["bare"]["minus_full_mm"] == [3.0, 2.0]
    assert "54.5 ± 1.5" in (tmp_path / TABLE_MD).read_text() and "+3.0, +2.0" in (tmp_path / TABLE_MD).read_text()


def test_runs_of_unequal_budget_make_no_table(tmp_path):
    write_result(tmp_path, "full", 0, 50.0)
    write_result(tmp_path, "bare", 0, 50.0, steps=6)
    with pytest.raises(ValueError, match="2 different budgets"):
        write_tables(tmp_path, ["full", "bare"])
