"""COCO's keypoint JSON: results (a list) or annotations (an object with images and annotations).

cocodataset.org/#format-results and #format-data: results have "keypoints": [x, y, score or v, ...] and "image_id",
annotations v = 0, 1, 2 (unlabelled, hidden, visible), images "id", "width", "height". Extra keys "track_id" and, of
images, "frame_id" are used.
"""

from pathlib import Path

from dp3d_core.files.detections import Detections, Rows
from dp3d_core.files.readers import ReadOptions, load_json

JOINT_SETS = {17: "coco17", 26: "halpe26", 133: "wholebody133"}


def read(path: Path, options: ReadOptions) -> list[Detections]:
    """One clip; pictures in the order of their ids are its frames."""
    if path.is_dir():
        raise ValueError(f"{path}: expected one COCO JSON file, got a folder; give the file itself")
    data = load_json(path)
    images = data.get("images", []) if isinstance(data, dict) else []
    listed = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(listed, list) or not all(isinstance(item, dict) and "image_id" in item for item in listed):
        raise ValueError(f'{path}: expected a list of {{"image_id", "keypoints"}}, got JSON of another form')
    frame_of, frames, notes = _frame_of(path, images, listed)
    rows = None
    for item in listed:
        flat = item.get("keypoints")
        if not flat:
            continue
        count = len(flat) // 3
        if (len(flat) % 3 or count not in JOINT_SETS) and not options.joint_set:
            raise ValueError(f"{path}: expected x, y, v of 17, 26 or 133 keypoints, got {len(flat)} numbers")
        if rows is None:
            rows = Rows(str(path), options.joint_set or JOINT_SETS[count])
        scores = flat[2::3]
        if isinstance(data, dict) or all(score in (0, 1, 2) for score in scores):  # v of COCO
            scores = [min(score, 1) for score in scores]
        track = item.get("track_id")
        rows.add(
            frame_of[item["image_id"]],
            track if isinstance(track, int) and track >= 0 else None,
            list(zip(flat[0::3], flat[1::3])),
            scores,
        )
    if rows is None:
        raise ValueError(f"{path}: expected people with keypoints, got none in {len(listed)} entries")
    sizes = {(image.get("width"), image.get("height")) for image in images}
    if len(sizes) > 1:
        raise ValueError(f"{path}: expected pictures of one camera, got {len(sizes)} sizes; a folder of photos is none")
    size = sizes.pop() if sizes else (None, None)
    return [
        rows.detections(
            name=path.stem, format=f"COCO JSON ({rows.joint_set})", frames=frames, notes=notes,
            image_size_px=size if all(isinstance(side, int) and side > 0 for side in size) else None,
        )
    ]  # fmt: skip


def _frame_of(path: Path, images: list, listed: list) -> tuple[dict, int, tuple[str, ...]]:
    """{image id: frame}, the number of frames, notes."""
    if images:
        if not all(isinstance(image, dict) and "id" in image for image in images):
            raise ValueError(f'{path}: expected "id" of every image, got some without')
        images = sorted(images, key=lambda image: image.get("frame_id", image["id"]))
        frame_of = {image["id"]: index for index, image in enumerate(images)}
        unknown = next((item["image_id"] for item in listed if item["image_id"] not in frame_of), None)
        if unknown is not None:
            raise ValueError(f"{path}: expected the images of all annotations, got none with id {unknown}")
        return frame_of, len(images), ()
    ids = sorted({item["image_id"] for item in listed})
    span = ids[-1] - ids[0] + 1 if ids else 0
    if span <= 2 * len(ids):
        return {one: one - ids[0] for one in ids}, span, ()
    note = f"image ids leave holes ({len(ids)} ids from {ids[0]} to {ids[-1]}): taken as successive frames"
    return {one: index for index, one in enumerate(ids)}, len(ids), (note,)
