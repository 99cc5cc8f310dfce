"""docs/benchmarks.json, and what is drawn and written from it."""

import json
from datetime import date

from . import chart, machine, tools

DOCS = tools.REPOSITORY / "docs"
_NAME = "benchmarks"

_WHAT = """\
# Benchmarks

What streamgate costs beside a server that does nothing, beside what else one could build, and
with millions of streams. [bench/README.md](../bench/README.md) says how to run it and how each
figure is taken.

- *Requests/s* move with whatever else the machine does; **CPU time per request** (user and system
  time of the server and its store) is the steady figure. Ratios come from one interleaved run.
- A figure is the median over the rounds; in brackets the least and the most.
- *core* is how busy the server's core was: below 95 % something else was the limit (the disk, or
  the generator).
"""


def section(command, **content):
    """What one command found, with all that is needed to judge it."""
    return {
        "date": date.today().isoformat(),
        "commit": tools.commit(),
        "command": command,
        "machine": machine.facts(),
        "versions": machine.versions(),
        **content,
    }


def write(name, found, directory=DOCS):
    """Puts a section into the JSON and writes the page and the chart anew."""
    path = directory / f"{_NAME}.json"
    everything = json.loads(path.read_text()) if path.exists() else {}
    everything[name] = found
    path.write_text(json.dumps(everything, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    (directory / f"{_NAME}.md").write_text(page(everything))
    drawing = _chart(everything)
    if drawing:
        (directory / f"{_NAME}.svg").write_text(drawing)


def page(everything):
    """The Markdown page of all sections."""
    parts = [_WHAT]
    if _chart(everything):
        parts.append(f"![CPU time per request]({_NAME}.svg)\n")
    if "compare" in everything:
        parts.append(_section("Beside others", everything["compare"]))
    if "scale" in everything:
        parts.append(_section("With many streams", everything["scale"]))
    return "\n".join(parts)


def table(results):
    """The targets, as a Markdown table that also reads well on a terminal."""
    lines = ["| | measured | target | |", "|---|---|---|---|"]
    for one in results:
        lines.append(
            f"| {one['what']} | {_spread(one, one['unit'])} | {_target(one)} "
            f"| {_verdict(one)} |"
        )
    return "\n".join(lines) + "\n"


def _section(heading, found):
    facts = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    parts = [
        f"## {heading}\n",
        f"`{found['command']}` at {found['commit']}, {found['date']}, on {facts['cpu']}, "
        f"{facts['cores']} cores, {facts['memoryGiB']} GiB, Linux {facts['kernel']}, "
        f"{found.get('fileSystem', 'disk')}; {versions}.\n",
        table(found["results"]),
    ]
    for name, subjects in found["measurements"].items():
        parts += [f"### {name}\n", found["about"][name] + "\n", _figures(subjects)]
    for name, lines in found.get("logs", {}).items():
        parts += [f"### {name}\n", "```", *lines, "```\n"]
    return "\n".join(parts)


#: Heading, figure, decimals.
_COLUMNS = [
    ("CPU µs/request", "cpuMicrosPerRequest", 2),
    ("of them the store's", "storeMicrosPerRequest", 2),
    ("CPU µs/admission", "cpuMicrosPerAdmission", 1),
    ("requests/s", "requestsPerSecond", 0),
    ("heartbeats per CPU-second", "heartbeatsPerCpuSecond", 0),
    ("p50 µs", "p50", 0),
    ("p99 µs", "p99", 0),
    ("p99.9 µs", "p999", 0),
    ("p99 of starts µs", "startP99", 0),
    ("core", "serverShare", 2),
    ("generator's core", "generatorShare", 2),
    ("memory MiB", "residentMiB", 0),
    ("streams", "streams", 0),
    ("bytes per stream", "bytesPerStream", 0),
    ("bytes per stream, empty server taken off", "bytesPerStreamNet", 0),
    ("seconds until ready", "readySeconds", 2),
    ("leases swept", "swept", 0),
    ("starts and stops", "changes", 0),
    ("of each stream's place", "changesPerStream", 0),
    ("directory MiB before", "directoryBeforeMiB", 1),
    ("at most", "directoryMostMiB", 1),
    ("directory MiB", "directoryMiB", 1),
    ("admitted of 50, at most", "admittedMost", 0),
    ("at least", "admittedLeast", 0),
]


def _figures(subjects):
    shown = [column for column in _COLUMNS if any(column[1] in one for one in subjects.values())]
    lines = ["| | " + " | ".join(heading for heading, _, _ in shown) + " |"]
    lines.append("|---" * (len(shown) + 1) + "|")
    for subject, figures in subjects.items():
        cells = [
            _spread(figures[name], decimals=decimals) if name in figures else ""
            for _, name, decimals in shown
        ]
        lines.append(f"| {subject} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _spread(value, unit="", decimals=None):
    median, low, high = value["median"], value["low"], value["high"]
    if decimals is None:
        decimals = 2 if abs(median) < 100 else 0
    text = f"{median:,.{decimals}f}"
    if low != high:
        text += f" ({low:,.{decimals}f}–{high:,.{decimals}f})"
    return f"{text} {unit}".rstrip()


def _verdict(one):
    if one["doubt"]:
        return f"**no verdict**: {one['doubt']}"
    return "met" if one["met"] else "**missed**"


def _target(one):
    bound, word = (one["atMost"], "≤") if one["atLeast"] is None else (one["atLeast"], "≥")
    return f"{word} {bound:,} {one['unit']}".rstrip()


def _chart(everything):
    measured = everything.get("compare", {}).get("measurements", {})
    groups = []
    for name, heading, figure, unit in (
        ("heartbeat", "Heartbeats", "cpuMicrosPerRequest", "CPU µs per request"),
        ("mix", "1 start : 20 heartbeats : 1 stop", "cpuMicrosPerRequest", "CPU µs per request"),
        ("admission", "Starts and stops", "cpuMicrosPerAdmission", "CPU µs per admission"),
    ):
        rows = [
            (subject, figures[figure]["median"])
            for subject, figures in measured.get(name, {}).items()
            if figure in figures
        ]
        if rows:
            groups.append((heading, unit, rows))
    title = "CPU time of server and store; shorter is better"
    return chart.bars(title, groups) if groups else None
