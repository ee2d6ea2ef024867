"""The columns of a profile: their order, what they mean, their units, and who judges by them.

One row is one process that measured one configuration. A value that was not measured is blank, never 0;
`status` is `ok`, `failed` or `skipped`, the last two with a reason. Other tools rely on the names: a change of
meaning raises `SCHEMA_VERSION`, and new columns stand at the end. `compare`, `check`, the claims, the views and
docs/columns.md take what they know of columns from here. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SCHEMA_VERSION = 1

TEXT, INT, FLOAT = "text", "int", "float"
#: What a column is to a row: `IDENTITY` must be equal for two rows to be of one configuration, `SOFT` must be
#: equal where both rows have a value, as one that failed early or is of an older report lacks some.
IDENTITY, SOFT, MEASURED, NOTE, FACT = "identity", "soft", "measured", "note", "fact"

_REPORTS = ("compare", "check")
_ALL = (*_REPORTS, "claims")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: in the CSV's header, the data frame and JSON.
        kind: type of its values: "text", "int" or "float".
        role: "identity", "soft", "measured", "note" (rendered from a row's notes and findings) or "fact".
        meaning: one phrase.
        unit: of the values; empty for text and bare numbers.
        place: among the columns of its role, where other reports list those.
        setting: whether it says how a network was run rather than which: latencies of two networks can be set
            against each other only where these columns are equal.
        blank: what a blank stands for, where it stands for a value.
        added: revision of the columns that brought it; 0 is the first, which all reports have.
        checked: who reads it back: "compare", "check", "claims".
        heading: over tables for people; the name where it is empty.
    """

    name: str
    kind: str
    role: str
    meaning: str
    unit: str = ""
    place: int = 0
    setting: bool = False
    blank: str = ""
    added: int = 0
    checked: tuple[str, ...] = ()
    heading: str = ""


# fmt: off
COLUMNS: tuple[Column, ...] = (
    Column("schema", INT, FACT, "version of these columns", checked=_REPORTS),
    Column("run_id", TEXT, FACT, "the command that made the row; the same for all of its rows", checked=_REPORTS),
    Column("timestamp", TEXT, FACT, "when the row was finished, UTC, ISO 8601"),
    Column("status", TEXT, FACT, "ok, failed or skipped", checked=_ALL),
    Column("reason", TEXT, NOTE, "why not ok, why a column is blank, what to beware of", checked=_REPORTS),
    Column("model", TEXT, IDENTITY, "catalogue name, or stem of the .onnx file", place=1, checked=_ALL),
    Column("alpha", FLOAT, IDENTITY, "width multiplier", place=2, checked=_ALL),
    Column("rho", TEXT, IDENTITY, "resolution multiplier, a fraction", place=3, checked=_ALL),
    Column("weights", TEXT, IDENTITY,
           "random (seeded), trained (shipped), torchvision, timm, file, or a checkpoint's name",
           place=4, checked=_REPORTS),
    Column("precision", TEXT, IDENTITY, "what was asked for", place=5, setting=True, checked=_ALL),
    Column("precision_actual", TEXT, FACT,
           "what convolutions and matrix products compute in, read back from the engine",
           checked=("check", "claims")),
    Column("target", TEXT, IDENTITY, "whose recipe the graph follows", place=6, setting=True, checked=_ALL),
    Column("backend", TEXT, IDENTITY, "what built the engine and runs it", place=7, setting=True, checked=_ALL),
    Column("backend_version", TEXT, FACT, "of that", setting=True, checked=("compare", "claims")),
    Column("device", TEXT, FACT, "what it ran on; blank if it did not run", setting=True, checked=("claims",)),
    Column("env_id", TEXT, IDENTITY, "the machine, described in env.json", place=13, setting=True, checked=_ALL),
    Column("batch", INT, IDENTITY, "images per run", unit="images", place=8, setting=True, checked=_ALL),
    Column("threads", INT, SOFT, "that the runtime computes with", place=1, setting=True, checked=_ALL),
    Column("streams", INT, IDENTITY, "concurrent requests", place=9, setting=True, checked=_ALL),
    Column("boundary", TEXT, SOFT,
           "end_to_end (host buffer to host buffer) or device (the compute alone)",
           place=2, setting=True, checked=_ALL),
    Column("parameters", INT, FACT, "trainable values of the FP32 network", checked=("claims",)),
    Column("macs", INT, SOFT,
           "multiply-accumulates for one image, convolutions and matrix products, without bias",
           unit="MAC", place=5, checked=_ALL),
    Column("onnx_bytes", INT, FACT, "size of the graph that the engine was built from",
           unit="bytes", checked=("claims",)),
    Column("engine_bytes", INT, FACT, "size of the engine", unit="bytes", checked=("claims",), heading="engine MB"),
    Column("build_s", FLOAT, FACT, "seconds the build took when it was done, with what loading the engine compiles",
           unit="s", heading="build s"),
    Column("warmup_iterations", INT, MEASURED, "runs before measuring", unit="runs"),
    Column("iterations", INT, MEASURED, "runs measured", unit="runs", checked=("check",), heading="runs"),
    Column("latency_mean_ms", FLOAT, MEASURED, "of one run of the whole batch", unit="ms", heading="mean ± std ms"),
    Column("latency_std_ms", FLOAT, MEASURED, "standard deviation", unit="ms"),
    Column("latency_min_ms", FLOAT, MEASURED, "the quickest run", unit="ms", checked=("check",)),
    Column("latency_p50_ms", FLOAT, MEASURED, "median", unit="ms", checked=_ALL, heading="p50 ms [95%]"),
    Column("latency_p50_low_ms", FLOAT, MEASURED, "lower end of the median's 95% bootstrap interval", unit="ms"),
    Column("latency_p50_high_ms", FLOAT, MEASURED, "upper end", unit="ms"),
    Column("latency_p90_ms", FLOAT, MEASURED,
           "90% of the runs are at most this long", unit="ms", checked=("check",)),
    Column("latency_p95_ms", FLOAT, MEASURED, "95%", unit="ms", checked=("check",), heading="p95 ms"),
    Column("latency_p99_ms", FLOAT, MEASURED, "99%", unit="ms", checked=("check",)),
    Column("stability", TEXT, NOTE, "stable, or what makes the timing doubtful", checked=_REPORTS),
    Column("throughput_ips", FLOAT, MEASURED, "images per second", unit="images/s", heading="images/s"),
    Column("host_peak_mib", FLOAT, MEASURED,
           "peak memory of the measuring process", unit="MiB", heading="peak MiB"),
    Column("host_delta_mib", FLOAT, MEASURED,
           "of that, above what it needed before the engine was loaded", unit="MiB", checked=("claims",)),
    Column("device_context_mib", FLOAT, MEASURED, "device memory of the CUDA context alone", unit="MiB"),
    Column("device_peak_mib", FLOAT, MEASURED,
           "most device memory of the process at the end of a phase, context included", unit="MiB"),
    Column("drift_reference", TEXT, FACT, "what the outputs are compared with"),
    Column("drift_max_abs", FLOAT, MEASURED, "largest absolute difference of an output value"),
    Column("drift_cosine", FLOAT, MEASURED, "cosine similarity of the outputs, those of all images as one vector"),
    Column("drift_snr_db", FLOAT, MEASURED,
           "signal-to-noise ratio", unit="dB", checked=("check",), heading="drift SNR dB"),
    Column("top1_agreement", FLOAT, MEASURED,
           "share of images with the same first class as the reference", unit="share"),
    Column("dataset", TEXT, SOFT, "that accuracy was measured on", place=3, checked=_REPORTS),
    Column("top1", FLOAT, MEASURED,
           "share of test images whose first class is right",
           unit="share", checked=_ALL, heading="top-1 [95%]"),
    Column("top1_low", FLOAT, MEASURED, "lower end of its 95% Wilson interval",
           unit="share", checked=("check", "claims")),
    Column("top1_high", FLOAT, MEASURED, "upper end", unit="share", checked=("check", "claims")),
    Column("top5", FLOAT, MEASURED, "share of test images with the right class among the first five", unit="share"),
    Column("gflops", FLOAT, MEASURED, "2 x macs x throughput, in 10^9 per second", unit="10^9 FLOP/s"),
    Column("arithmetic_intensity", FLOAT, MEASURED,
           "FLOPs per byte of weights and activations that any runtime has to move", unit="FLOP/byte"),
    Column("roofline_fraction", FLOAT, MEASURED,
           "gflops as a share of what this machine's ceilings allow", unit="share"),
    Column("calibration", TEXT, SOFT,
           "where the ranges of a quantised graph came from", place=4, added=1, checked=_REPORTS),
    Column("pass", TEXT, IDENTITY,
           "what one run does: forward, or forward_backward",
           place=12, setting=True, blank="forward", added=2, checked=_ALL),
    Column("rate_per_s", FLOAT, IDENTITY,
           "requests arriving per second; blank where each waits for the last",
           unit="1/s", place=10, setting=True, added=2, checked=_ALL, heading="rate/s"),
    Column("repeat", INT, FACT,
           "which of the processes that measured this configuration, from 1", added=2, checked=_REPORTS),
    Column("latency_bound_ms", FLOAT, MEASURED,
           "the least latency that this machine's ceilings allow", unit="ms", added=2, checked=("check",)),
    Column("host_load_mib", FLOAT, MEASURED,
           "while the engine was loaded, peak memory above what was in use before", unit="MiB", added=2),
    Column("host_warmup_mib", FLOAT, MEASURED,
           "the same while it was warmed up, buffers included", unit="MiB", added=2),
    Column("host_run_mib", FLOAT, MEASURED, "the same while it was measured", unit="MiB", added=2),
    Column("drift_kl", FLOAT, MEASURED,
           "mean Kullback-Leibler divergence of the softmax from the reference's, in nats", unit="nat", added=2),
    Column("mcnemar_p", FLOAT, MEASURED,
           "p of McNemar's test that this and the reference are equally often right", added=2),
    Column("precision_share", FLOAT, MEASURED,
           "share of the MACs computed in the precision asked for; of convolutions and products where MACs "
           "are not known",
           unit="share", added=2),
    Column("samples", TEXT, FACT,
           "file of every latency of the row, beside the report", added=2, checked=("check",)),
    Column("latency_p20_ms", FLOAT, MEASURED,
           "20% of the runs are at most this long; what `compare` judges", unit="ms", added=3, checked=_REPORTS),
    Column("test_images", INT, MEASURED,
           "how many top1 and top5 were measured on", unit="images", added=3, checked=("compare",)),
    Column("kept", TEXT, IDENTITY,
           "nodes that were left in fp32 on request", place=11, setting=True, added=4, checked=_ALL),
    Column("constraint", TEXT, FACT, "what --constraint asked, whether it holds, and of those the chosen", added=4),
    Column("inputs", TEXT, SOFT, "what each input is fed while it is timed: shape, type, values",
           place=6, added=5,
           checked=_REPORTS),
    Column("drift_worst_output", TEXT, FACT,
           "the output, or part of one, that is furthest from the reference", added=6, checked=("check",)),
    Column("drift_worst_snr_db", FLOAT, MEASURED,
           "its signal-to-noise ratio; where the reference is 0 throughout, 0.0001 to the largest error", unit="dB",
           added=6, checked=("check",)),
    Column("drift_state", TEXT, FACT, "ok; poor where an output or a part of one is below 10 dB; coarse where all "
           "are below 65 dB in fp32", added=6),
    Column("metric", TEXT, SOFT, "the function of --metric", place=7, added=6, checked=_REPORTS),
    Column("metric_value", FLOAT, MEASURED, "what it returned, its mean over the test images", added=6,
           checked=_REPORTS),
    Column("metric_low", FLOAT, MEASURED, "lower end of its 95% bootstrap interval over images", added=6,
           checked=_REPORTS),
    Column("metric_high", FLOAT, MEASURED, "upper end", added=6, checked=_REPORTS),
    Column("metric_fp32", FLOAT, MEASURED, "the same of the fp32 network on the same images", added=6,
           checked=("check",)),
    Column("gpu", TEXT, FACT,
           "the NVIDIA device: its number, UUID, compute capability, memory, driver, MIG, ECC, persistence",
           added=7),
    Column("gpu_sm_clock_mhz", FLOAT, MEASURED,
           "clock of the GPU's multiprocessors when measuring ended", unit="MHz", added=7),
    Column("gpu_memory_clock_mhz", FLOAT, MEASURED, "clock of its memory", unit="MHz", added=7),
    Column("gpu_temperature_c", FLOAT, MEASURED, "temperature of the chip", unit="°C", added=7),
    Column("gpu_power_w", FLOAT, MEASURED,
           "mean power of the GPU while measured, or that of the last moment", unit="W", added=7),
    Column("energy_per_image_mj", FLOAT, MEASURED,
           "energy that the GPU took while measured, for each image", unit="mJ", added=7),
    Column("cuda_graph", TEXT, IDENTITY,
           "yes where each run is a CUDA graph that was captured beforehand",
           place=14, setting=True, blank="no", added=8, checked=_ALL),
    Column("enqueue", TEXT, FACT, "when a run on a device is enqueued; trtexec enqueues one ahead", added=8),
    Column("h2d_ms", FLOAT, MEASURED,
           "median time of copying the inputs of a run to the device, between events", unit="ms", added=8),
    Column("compute_ms", FLOAT, MEASURED, "of its compute on the device", unit="ms", added=8),
    Column("d2h_ms", FLOAT, MEASURED, "of copying its outputs to the host", unit="ms", added=8),
    Column("enqueue_ms", FLOAT, MEASURED, "that the host takes to enqueue the compute", unit="ms", added=8),
    Column("precision_share_time", FLOAT, MEASURED,
           "the same as precision_share by the time that convolutions and products take, where they were timed one "
           "by one: here where int8 is slower than fp32 on ONNX Runtime; `layers` tells it of any engine",
           unit="share", added=8),
    Column("engine_options", TEXT, IDENTITY,
           "options of the build that are not the default and that the backend follows, such as channels-last",
           place=15, setting=True, added=9, checked=_ALL),
    Column("options", TEXT, IDENTITY,
           "what the runtime was told when it loaded the engine, by --option, where that is not its default",
           place=16, setting=True, added=10, checked=_ALL),
    Column("speedup", FLOAT, MEASURED,
           "how many times as fast as the fp32 row that differs in the precision alone: its median latency over "
           "this one's; blank without such a row, where load decides the latency, and for fp32 itself",
           unit="ratio", added=11, heading="speedup [95%]"),
    Column("speedup_low", FLOAT, MEASURED,
           "lower end of its 95% interval, of both medians and of the 1% by which processes differ",
           unit="ratio", added=11),
    Column("speedup_high", FLOAT, MEASURED, "upper end", unit="ratio", added=11),
    Column("speedup_doubt", TEXT, FACT,
           "which of the two rows is doubtful, by which findings or as emulated; blank where neither is", added=11),
    Column("percentile", FLOAT, FACT, "that --percentile asked for", unit="%", added=11),
    Column("latency_percentile_ms", FLOAT, MEASURED,
           "so many percent of the runs are at most this long", unit="ms", added=11),
    Column("first_run_ms", FLOAT, MEASURED,
           "the first run of all, after the engine was loaded; blank with several streams", unit="ms", added=12,
           checked=("claims",)),
)
# fmt: on

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
BY_NAME: Mapping[str, Column] = {column.name: column for column in COLUMNS}


def of_role(role: str) -> tuple[str, ...]:
    """Names of the columns of a role, in the order in which reports other than the profile list them."""
    columns = [column for column in COLUMNS if column.role == role]
    return tuple(column.name for column in sorted(columns, key=lambda column: column.place))


def checked_by(reader: str) -> tuple[str, ...]:
    """Names of the columns that "compare", "check" or "claims" reads."""
    return tuple(column.name for column in COLUMNS if reader in column.checked)


#: Columns that must be equal for two rows to be of one configuration.
IDENTITY_NAMES = of_role(IDENTITY)
#: Columns that must be equal where both rows have a value. `macs` stands for the resolution, which has none.
SOFT_NAMES = of_role(SOFT)
#: Columns that must be equal for latencies of two networks to be comparable.
SETTING_NAMES = tuple(column.name for column in COLUMNS if column.setting)


def differences_from_plain(cells: Mapping[str, str], *, threads: bool = False) -> list[str]:
    """What sets a setting apart from one forward pass of one image by one stream, a few words for each.

    Args:
        cells: of the identity columns, as text.
        threads: name the number of threads too.
    """
    words = []
    if cells["kept"]:
        words.append(f"keeping {cells['kept']}")
    if cells["batch"] not in ("", "1"):
        words.append(f"batch {cells['batch']}")
    if cells["streams"] not in ("", "1"):
        words.append(f"{cells['streams']} streams")
    if cells["rate_per_s"]:
        words.append(f"{cells['rate_per_s']}/s")
    if threads and cells["threads"]:
        words.append(f"{cells['threads']} thread{'s' * (cells['threads'] != '1')}")
    if cells["pass"] != BY_NAME["pass"].blank:
        words.append(cells["pass"])
    if cells.get("boundary") == "device":
        words.append("device")
    if cells["cuda_graph"] == "yes":
        words.append("CUDA graph")
    if cells["engine_options"]:
        words.append(cells["engine_options"])
    if cells["options"]:
        words.append(cells["options"])
    return words
