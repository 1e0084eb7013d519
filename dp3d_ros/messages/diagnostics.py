"""diagnostic_msgs/DiagnosticStatus from the node's statistics. Knows nothing of rclpy."""

OK, WARN, ERROR, STALE = 0, 1, 2, 3


def facts(statistics, now_s, **more):
    """What the statistics of one camera say, as {key: value} in the order in which people read it."""
    output_hz = statistics.output_rate.hz(now_s)
    values = {
        "messages_in": statistics.messages_in,
        "people_in": statistics.people_in,
        "frames_out": statistics.frames_out,
        "skeletons_out": statistics.skeletons_out,
        "people": statistics.people if output_hz else 0,  # those of the last frame are gone with the frames
        "shared_passes": statistics.shared_passes,
        "missed": statistics.missed,
        "missed_unknown": statistics.missed_unknown,
        "dropped": sum(statistics.drops.values()),
        "input_hz": statistics.input_rate.hz(now_s),
        "output_hz": output_hz,
    }
    for name in ("stamp_to_publish", "callback_to_publish", "compute"):
        for percentile, latency_ms in getattr(statistics, name).percentiles().items():
            values[f"{name}_{percentile}_ms"] = latency_ms
    values |= {f"drop.{cause}": count for cause, count in sorted(statistics.drops.items())}
    values |= {f"odd.{cause}": count for cause, count in sorted(statistics.oddities.items())}
    return values | more | {"last_error": statistics.last_error}


def people(count: int) -> str:
    """A number of people, as the texts say it."""
    return f"{count} {'person' if count == 1 else 'people'}"


def status(name, hardware_id, level, message, values):
    """One DiagnosticStatus; values are written as text."""
    from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )


def values_of(diagnostic):
    """A DiagnosticStatus back as {key: number or text}."""
    return {item.key: _number(item.value) for item in diagnostic.values}


def _number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
