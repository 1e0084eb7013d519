"""The bench as one picture: milliseconds a frame over people, with the limit below and the frame's time above."""

FRAME_MS = 1000 / 30


def plot(report, path):
    """Draw `report` (see `dp3d_core.bench`) to a PNG; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in report["rows"] if row["mode"] == "rolling"]
    kinds = sorted({(row["preset"], row["lookahead"]) for row in rows})
    figure, axes = pyplot.subplots(1, max(len(kinds), 1), figsize=(4.2 * max(len(kinds), 1), 4), squeeze=False)
    for axis, (preset, lookahead) in zip(axes[0], kinds, strict=False):
        chosen = [row for row in rows if (row["preset"], row["lookahead"]) == (preset, lookahead)]
        for backend in dict.fromkeys(row["backend"] for row in chosen):
            line = sorted((row["people"], row["ms_p50"], row["ms_p99"]) for row in chosen if row["backend"] == backend)
            people, middle, high = zip(*line, strict=True)
            (drawn,) = axis.plot(people, middle, "o-", label=backend)
            axis.fill_between(people, middle, high, color=drawn.get_color(), alpha=0.15)
        bound = sorted({(row["people"], row["limit_ms"]) for row in chosen if row.get("limit_ms")})
        if bound:
            axis.plot(*zip(*bound, strict=True), "k:", label="limit of its own work")
        for row in report["rows"]:
            if (
                row["mode"] in ("recompute", "mixste243")
                and row["people"] == 1
                and row["preset"] in (preset, row["mode"])
            ):
                axis.axhline(row["ms_p50"], color="0.6", lw=1)
                axis.text(1, row["ms_p50"] * 1.08, f"{row['mode']}, 1 person", fontsize=7, color="0.4")
        axis.axhline(FRAME_MS, color="tab:red", lw=1, ls="--")
        axis.text(1, FRAME_MS * 1.08, "30 frames a second", fontsize=7, color="tab:red")
        axis.set(xscale="log", yscale="log", xlabel="people", title=f"{preset}, lookahead {lookahead}")
        ticks = sorted({row["people"] for row in chosen})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    axes[0][0].set_ylabel("ms a frame, one thread (line p50, band to p99)")
    axes[0][0].legend(fontsize=7)
    figure.suptitle(
        f"{report['machine']['processor']}; {report['contention']:.0%} of the time taken by others", fontsize=8
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
