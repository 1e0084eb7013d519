"""A page of a run that opens without a network: stills, quality, warnings, files. Everything is inside the one file."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dp3d_core.files.beside import beside
from dp3d_core.files.pictures.film import pictures
from dp3d_core.files.results import Result

STILLS = 3
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#223}"
    "img{width:100%;border-radius:6px}table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:left;"
    "border-bottom:1px solid #dde;vertical-align:top}.warn{color:#a30}"
)


def write_report(result: Result, facts: dict, files: Sequence[Path], path: Path) -> Path:
    """The page of one clip."""
    with beside(path) as unfinished:
        unfinished.write_text(page(result, facts, files), encoding="utf-8")
    return path


def page(result: Result, facts: dict, files: Sequence[Path]) -> str:
    """The page's text."""
    escape = html.escape
    warnings = "".join(f"<li class=warn>{escape(text)}</li>" for text in facts["warnings"]) or "<li>none</li>"
    notes = "".join(f"<li>{escape(text)}</li>" for text in facts["notes"]) or "<li>none</li>"
    rows = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if name not in ("warnings", "notes") and not isinstance(value, dict)
    )
    stills = "".join(f'<p><img alt="still" src="data:image/jpeg;base64,{still}"></p>' for still in _stills(result))
    listed = "".join(f"<li>{escape(file.name)}</li>" for file in files)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(result.name)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(result.name)}</h1><p>{escape(result.source)}, {escape(result.format)}</p>"
        f"{stills}<h2>Warnings</h2><ul>{warnings}</ul><h2>Notes</h2><ul>{notes}</ul><h2>Quality</h2>"
        f"<table>{rows}</table><h2>Files</h2><ul>{listed}</ul></html>\n"
    )


def _stills(result: Result) -> list[str]:
    """Frames with most people, spread over the clip, as base64 JPEG."""
    import cv2

    count = np.bincount(result.frame, minlength=len(result.stamps_s))
    parts = np.array_split(np.arange(len(count)), min(STILLS, len(count)))
    wanted = {int(part[count[part].argmax()]) for part in parts if count[part].any()}
    return [base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode() for image in pictures(result, wanted)]
