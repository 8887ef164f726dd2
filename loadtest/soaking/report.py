"""The page of a soak: what was done, what came of it, plots; and all of it as lines of JSON."""
import json

from . import judge, plot

LISTS = ("samples", "events", "generators")
MINUTES = "minutes; a dotted line is a burst"
# What is marked below the line of memory.
ROWS = (("policies", 2, ("policy",)), ("refused", 4, ("bad policy", "bad certificate")), ("certificates", 3, ("certificate",)),
        ("SIGHUP", 1, ("sighup",)))


def write(folder, record, findings):
    folder.mkdir(parents=True, exist_ok=True)
    raw(folder / "raw.jsonl", record)
    bursts = [event["at"] / 60 for event in record["events"] if event["event"] == "burst"]
    (folder / "memory.svg").write_text(memory(record, bursts))
    (folder / "load.svg").write_text(load(record, bursts))
    (folder / "latency.svg").write_text(latency(record, bursts))
    (folder / "README.md").write_text(page(record, findings))


def raw(file, record):
    """What it was, then samples, events and generators, one a line."""
    with open(file, "w") as out:
        for line in ({name: value for name, value in record.items() if name not in LISTS}, *(line for name in LISTS for line in record[name])):
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


def read(folder):
    """The record that `write` kept."""
    first, *others = map(json.loads, (folder / "raw.jsonl").read_text().splitlines())
    of = lambda name: [line for line in others if name in line]  # noqa: E731
    return {**first, "samples": of("rss_kib"), "events": of("event"), "generators": of("kind")}


def memory(record, bursts):
    points = [(at / 60, kib / 1024) for at, kib in record["resident"]]
    rows = [(name, colour, [event["at"] / 60 for event in record["events"] if event["event"] in kinds]) for name, colour, kinds in ROWS]
    return plot.lines("Resident memory", MINUTES, "MiB", [("VmRSS", 0, points)], bursts, ticks=rows)


def load(record, bursts):
    samples = record["samples"]
    rates = lambda of: [  # noqa: E731
        (after["at"] / 60, (of(after) - of(before)) / (after["at"] - before["at"])) for before, after in zip(samples, samples[1:])]
    series = [("decisions", 0, rates(lambda sample: sample["decisions"])),
              ("calls that were shed", 1, rates(lambda sample: sample["handled"].get("RESOURCE_EXHAUSTED", 0))),
              ("other errors", 4, rates(lambda sample: sum(
                  count for code, count in sample["handled"].items() if code not in judge.ASKED_FOR | {"OK"})))]
    return plot.lines("Decisions and errors", MINUTES, "per second", series, bursts)


def latency(record, bursts):
    steady = [one for one in record["generators"] if one["kind"] == "steady" and "failed" not in one]
    series = [(one["name"].split(",")[0] + (", new" if "new" in one["name"] else ""), colour,
               [((one["began"] + part["at"]) / 60, part["p99_us"] / 1000) for part in one["intervals"] if part["calls"]])
              for colour, one in enumerate(steady)]
    return plot.lines("p99 of the steady load, counted from when a call was due", MINUTES, "milliseconds", series, bursts, decades=True)


def page(record, findings):
    right = all(good for good, _ in findings)
    lines = [
        f"# Soak of {record['date']}", "",
        "<!-- Generated: `loadtest/soak` writes this page. -->", "",
        "| | |", "|---|---|",
        f"| commit | {record['commit']} |",
        f"| machine | {record['machine']} |",
        f"| began | {record['began']}, for {record['duration'] / 60:g} minutes |",
        f"| service, on one core | `{record['command']}` |",
        f"| at most, before it began | {record['capacity']:,.0f} unary calls/s over mutual TLS, {record['idle']['rss_kib'] / 1024:.0f} MiB when it had started |",
        f"| **came of it** | **{'everything as it should be' if right else 'not everything as it should be'}** |", "",
        *([record["note"], ""] if record.get("note") else []),
        "![Resident memory](memory.svg)", "", "![Decisions and errors](load.svg)", "", "![p99 of the steady load](latency.svg)", "",
        "## What must hold", "", "| | |", "|---|---|",
        *(f"| {'yes' if good else '**no**'} | {what.replace('|', '/')} |" for good, what in findings), "",
        *generators(record), *messages(record)]
    return "\n".join(lines)


def generators(record):
    yield "## The load"
    yield ""
    yield ("Steady load and newcomers are open loops: their calls are due at fixed times, and latency counts from then. \"Quiet\" are intervals "
           "that no burst touches. Bursts are closed loops of more calls than may wait, or more streams than may be held.")
    yield ""
    yield "| | runs | answered | shed | decisions | median p99, quiet | worst p99, quiet |"
    yield "|---|---|---|---|---|---|---|"
    names = {}
    for one in record["generators"]:
        if "failed" not in one:
            names.setdefault((one["kind"], one["name"]), []).append(one)
    for (kind, name), ones in sorted(names.items(), key=lambda item: ("steady", "newcomers", "burst").index(item[0][0])):
        parts = sorted(part["p99_us"] / 1000 for one in ones for part in judge.quiet_parts(record, one) if part["calls"])
        times = (f"{parts[len(parts) // 2]:.2f} ms", f"{parts[-1]:.1f} ms") if parts and kind != "burst" else ("", "")
        shed = sum(one["errors"].get("RESOURCE_EXHAUSTED", 0) for one in ones)
        decisions = sum(sum(one["decisions"].values()) for one in ones)
        yield (f"| {'burst: ' if kind == 'burst' else ''}{name} | {len(ones)} | {sum(one['all_calls'] for one in ones):,} | {shed:,} | "
               f"{decisions:,} | {times[0]} | {times[1]} |")
    yield ""


def messages(record):
    """What the service said, other than that all is well."""
    yield "## Its log"
    yield ""
    yield "Warnings and errors on stderr; each is about a bad file or a stranger that was sent on purpose."
    yield ""
    yield "| times | |"
    yield "|---|---|"
    for message, count in sorted(record["log"]["messages"].items(), key=lambda item: -item[1]):
        yield f"| {count} | {message.replace('|', '/')} |"
    yield ""
