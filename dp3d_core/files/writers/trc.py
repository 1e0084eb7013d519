"""TRC, OpenSim's marker file: joint positions in metres, y up, a file for each stay; frames not seen are empty."""

from pathlib import Path

from dp3d_core.files.beside import beside
from dp3d_core.files.results import Result
from dp3d_core.skeleton import JOINT_NAMES


def write(result: Result, out: Path, facts: dict) -> list[Path]:
    """A file for each stay; its times are those of the clip."""
    paths = []
    for stay in result.stays():
        path = out / f"{stay.name}.trc"
        rate_hz, joints_m, measured = stay.uniform()
        with beside(path) as unfinished:
            unfinished.write_text(text_of(path.name, rate_hz, stay.stamps_s[0], joints_m, measured), encoding="utf-8")
        paths.append(path)
    return paths


def text_of(name: str, rate_hz: float, start_s: float, joints_m, measured) -> str:
    """The content of the file: five lines of header, a blank one, a line a frame."""
    count, markers = len(joints_m), len(JOINT_NAMES)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate_hz:.4f}\t{rate_hz:.4f}\t{count}\t{markers}\tm\t{rate_hz:.4f}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(JOINT_NAMES) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{marker + 1}" for marker in range(markers) for axis in "XYZ"),
        "",
    ]
    for frame in range(count):
        cells = [f"{value:.6f}" for value in joints_m[frame].ravel()] if measured[frame] else [""] * (3 * markers)
        lines.append("\t".join([str(frame + 1), f"{start_s + frame / rate_hz:.6f}", *cells]))
    return "\n".join(lines) + "\n"
