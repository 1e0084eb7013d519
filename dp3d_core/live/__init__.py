"""A live stream, from keypoints to skeletons.

`stream.py` is what users hold; `streams.py` owns everything and runs one network pass for everybody; `intake.py` judges
pixels; `roster.py` has one camera's clock and knows who is there; `assignment.py` gives ids where the source has none,
by `identify.py`; `tracks.py` keeps what is known of each person; `hints.py` notices a wrong picture size or joint set.
"""
