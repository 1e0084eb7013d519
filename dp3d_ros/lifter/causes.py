"""What the diagnostics count, by cause: when it happens, and what to do. One counter for one cause; data only.

`drop.<cause>` counts whole messages that gave no frame, `odd.<cause>` messages (or points, people) that were odd but
used, `stream.<cause>` what the lifter met inside, `backend.<cause>` what became of the engines that run the network
(counted for the node, so the same for each of its cameras).
"""

DROPS = {
    "no_camera_info": ("no CameraInfo has come yet", "remap `camera_info`, or set `assumed_hfov_deg`"),
    "uncalibrated_camera": ("CameraInfo with K = 0", "calibrate the camera, or set `assumed_hfov_deg`"),
    "bad_camera_info": ("CameraInfo with NaN, negative focal length or unknown distortion", "mend the driver's file"),
    "bad_fields": ("PointCloud2 without the fields, or with wrong types", "send the fields of the table of topics"),
    "bad_size": ("PointCloud2 whose sizes and data do not hold together", "mend the detector's bridge"),
    "too_many_points": ("PointCloud2 of more than 65536 points", "send keypoints, not a depth cloud"),
    "bad_skeleton": ("Skeleton2D without 18 points", "use hri_msgs of ROS 2"),
    "repeated_stamp": ("a stamp twice", "stamp each image once; is the detector started twice?"),
    "late_stamp": ("up to 0.5 s older than the newest frame", "keep the order; one detector a topic"),
    "no_transform": ("`target_frame` cannot be reached at that stamp", "publish TF from the camera's frame"),
    "lift_failed": ("the lifter raised; people are forgotten, the node goes on", "report it with `last_error`"),
}
ODDITIES = {
    "unknown_joint": (
        "joint index outside the joint set, or absurd person index, left out",
        "set the right `joint_set`",
    ),
    "duplicate_point": ("two points of one joint and person; the last counts", "send each joint once"),
    "detection_without_keypoints": ("yolo detection without keypoints", "use a pose model (yolo…-pose)"),
    "detection_without_track_id": ("yolo detection without track id among others that have one", "check the tracker"),
    "person_without_id": ("person -1 from a source that gives ids to others, left out", "check the tracker"),
    "duplicate_person": ("one track id twice in a message; the first counts", "check the tracker"),
    "bad_body_id": ("body id that no topic name can hold, left out", "ids: letters, digits, _, no digit first"),
    "too_many_bodies": ("more than 64 bodies in one list, the rest left out", "check the tracker"),
    "zero_stamp": ("stamp 0: the time of arrival is used", "copy the image's stamp"),
    "no_frame_id": ("empty frame: that of CameraInfo is used", "copy the image's frame"),
    "assumed_camera": ("lifted with `assumed_hfov_deg`: root-relative only", "calibrate the camera"),
    "camera_changed": ("another CameraInfo came and is used", "nothing, if it is meant"),
    "uncalibrated_camera": ("CameraInfo with K = 0 came", "as above"),
    "bad_camera_info": ("CameraInfo that is no camera came", "as above"),
    "clock_jumped_back": ("stamps 0.5 s or more back: all starts afresh", "nothing: a bag loops"),
    "stamp_of_another_clock": ("stamps over 60 s from the node's clock: latency unknown", "set `use_sim_time`"),
    "no_pose": (
        "the camera's pose at the image's stamp was not to be had; that frame is lifted as without",
        "publish TF in time, or raise `fixed_frame_wait_s`; check `imu_topic`",
    ),
    "bad_pose": (
        "a transform that is no rotation, or puts the camera below the floor or 20 m above it",
        "mend the transform; set `fixed_floor_m`",
    ),
    "imu_accelerates": ("an IMU that does not read pure gravity: its last reading at rest is used", "nothing, if rare"),
    "incompatible_qos": ("a publisher whose QoS does not fit", "set `qos_overrides`, or change the publisher"),
}
STREAM = {
    "few_joints": ("a person with fewer than `min_joints` joints in a frame: unseen", "lower `min_joints`"),
    "unseen_displaced": ("a new person took the place of one unseen, at `max_people`", "raise `max_people`"),
    "too_many_people": ("people beyond `max_people`, left out", "raise `max_people`"),
    "doubled_body": (
        "a body without id that lay on another; it gets an id once that lasted 0.5 s",
        "suppress doubles in the detector if they are many",
    ),
    "not_finite": (
        "points with NaN, Inf or pixels beyond a million, left out (before 0.2: `odd.unusable_point`)",
        "mend the detector if they are many",
    ),
    "confidence_out_of_range": (
        "scores below 0 or above 1, used as 0 or 1 (before 0.2: `odd.score_out_of_range`)",
        "send scores in [0, 1]",
    ),
    "placeholder_pixel": (
        "keypoints at (0, 0) or (-1, -1): not seen, whatever their score",
        "nothing; better send a score of 0",
    ),
    "border_pixel": (
        "keypoints exactly on the picture's border, as a detector clamps them: not seen",
        "nothing; better leave them out",
    ),
    "normalised_pixel": (
        "keypoints of people within 2 pixels of the corner: shares of the picture",
        "multiply by the picture's width and height",
    ),
    "below_min_confidence": ("a person all of whose scores are below `min_confidence`", "lower `min_confidence`"),
    "outside_picture": (
        "a frame (of every eighth) mostly outside CameraInfo's picture",
        "set `image_width_px` and `image_height_px`",
    ),
    "within_half_picture": (
        "no joint was ever beyond half of CameraInfo's picture",
        "set `image_width_px` and `image_height_px`",
    ),
    "odd_bones": ("limbs unlike those of people", "set the right `joint_set`"),
    "not_finite_answer": (
        "a broken answer of the network: that person starts afresh",
        "report it with `backend_note`",
    ),
    "pose_jumped": (
        "the camera's transform moved faster than a camera can; its motion in that frame counts as unknown",
        "use a smooth fixed frame such as `odom`",
    ),
    "up_contradicted": (
        "people hang head down in a camera said to be upside down; its pose is left out",
        "check the transform's axes; `camera_up` points against gravity",
    ),
    "floor_contradicted": (
        "feet of a person of believable size do not stand on the floor: stairs, a chair, a wrong camera height",
        "check the camera's height if it stays",
    ),
    "unsolved_root": ("a seen person's distance could not be solved, the filter's was used", "show more joints"),
}
COUNTED_ELSEWHERE = {
    "duplicate_stamp": "drop.repeated_stamp",
    "late_stamp": "drop.late_stamp",
    "stream_reset": "odd.clock_jumped_back",
    "camera_changed": "odd.camera_changed",
}
"""Counters of `Stream.counters` whose cause the diagnostics count under another name."""
BACKEND = {
    "cache_hit": ("an engine came from the cache", "nothing"),
    "cache_miss": ("an engine was not in the cache and was built", "build ahead with `dp3d_core.backends.compile`"),
    "cache_unreadable": ("a cache file could not be read; built anew", "mend the rights of the cache folder"),
    "cache_corrupt": ("a cache file was damaged or foreign; built anew", "nothing, once; check the disk"),
    "cache_not_written": ("an engine could not be kept; the next start builds again", "make room or mend the rights"),
    "backend_missing": ("a backend is not installed or has no hardware here", "install its extra, or ask for another"),
    "build_failed": ("an engine could not be built; the next backend serves", "see `backend_note`"),
    "parity_refused": ("an engine was too far from eager float32; the next backend serves", "see `backend_note`"),
    "engine_failed": ("an engine raised while it served; eager took over", "report it with `backend_note`"),
    "unprepared": ("a size that `configure` did not prepare was asked for; eager served it", "report it"),
}
