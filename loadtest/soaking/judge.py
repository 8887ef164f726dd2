"""What must be true after a soak."""

ASKED_FOR = {"RESOURCE_EXHAUSTED"}
# What the service may say above INFO: about bad files, strangers and bursts that were sent on purpose.
MESSAGES = (
    "ERROR: policy store rejected", "ERROR: the file ends inside", "WARN: 10000 unresolved references",
    "ERROR: certificate refused", "WARN: a client was refused", "WARN: decisions are missing in the decision log")
# From the second quarter to the last: growth of resident memory, in per cent.
MOST_GROWTH = 5
# Threads for scrapes and reading files: as many as were needed at once, kept for as long as there is something to do now and then.
POOL = 4
# Around a burst, in seconds: connections begin before it, and what it left is answered after it.
AROUND = 2


def findings(record):
    """Each with whether it is right."""
    return [*callers(record), *counters(record), *changes(record), *resources(record), *log(record), *end(record)]


def callers(record):
    """No error but those that were asked for, and those only while there was a burst."""
    generators = record["generators"]
    failed = [f"{one['name']}: {one['failed']}" for one in generators if "failed" in one]
    yield not failed, f"generators that could not do their work: {'; '.join(failed) or 'none'}"
    worked = [one for one in generators if "failed" not in one]
    bursts = [one for one in worked if one["kind"] == "burst"]
    for who, ones in (("steady callers and newcomers", [one for one in worked if one["kind"] != "burst"]), ("bursts", bursts)):
        errors = summed(ones)
        yield set(errors) <= ASKED_FOR, f"errors that {who} saw: {listed(errors)}"
    wild = sum(one["errors"].get("RESOURCE_EXHAUSTED", 0) > 0 for one in bursts)
    yield wild >= 0.75 * len(bursts), f"bursts of which something was shed: {wild} of {len(bursts)}"
    outside = sum(part["errors"] for one in worked if one["kind"] != "burst" for part in quiet_parts(record, one))
    yield outside == 0, f"errors that steady callers and newcomers saw while there was no burst: {outside}"
    wrong = sum(one["unexpected"] for one in worked)
    right = sum(sum(one["decisions"].values()) for one in worked)
    yield wrong == 0 and right > 0, f"wrong decisions: {wrong} of {right:,}"


def summed(generators):
    """Their errors, by name."""
    errors = {}
    for one in generators:
        for name, count in one["errors"].items():
            errors[name] = errors.get(name, 0) + count
    return errors


def burst_times(record):
    """From when to when steady callers may notice each burst."""
    return [(event["at"] - AROUND, event["until"] + AROUND) for event in record["events"] if event["event"] == "burst"]


def quiet_parts(record, generator):
    """The intervals of a generator that no burst touches."""
    bursts = burst_times(record)
    since = generator["began"]
    for part in generator["intervals"]:
        until = generator["began"] + part["at"]
        if all(until < first or since > last for first, last in bursts):
            yield part
        since = until


def counters(record):
    """What the service says it did is what its callers saw."""
    before, after = record["before"], record["after"]
    codes = {code: count - before["handled"].get(code, 0) for code, count in after["handled"].items()}
    seen = {"OK", *summed([one for one in record["generators"] if "failed" not in one])}
    yield set(codes) <= seen, f"calls by code, as the service counts: {listed(codes)}; none that its callers did not see"
    calls = after["methods"].get("IsAuthorized", 0) - before["methods"].get("IsAuthorized", 0)
    seen = sum(one.get("all_calls", 0) for one in record["generators"] if "unary" in one["name"] or "newcomers" in one["name"])
    yield calls == seen, f"unary calls that were answered: {calls:,.0f} for the service, {seen:,} for its callers"
    yield after["panics"] == 0, f"panics: {after['panics']:.0f}"


def changes(record):
    """Every change of a file had its effect, and nothing else did."""
    kinds = {}
    for event in record["events"]:
        kinds.setdefault(event["event"], []).append(event)
    for kind, events in kinds.items():
        wrong = [event["error"] for event in events if "error" in event]
        times = sorted(event["seconds"] for event in events if "seconds" in event)
        took = f", {times[len(times) // 2]:.2f} s in the median, {times[-1]:.2f} s at most" if times else ""
        yield not wrong, f"{kind}: {len(events)} times{took}; {'first fault: ' + wrong[0] if wrong else 'no fault'}"
    after, before = record["after"], record["before"]
    grown = lambda what, result: int(after[what].get(result, 0) - before[what].get(result, 0))  # noqa: E731
    for what, kind, bad in (("reloads", "policy", "bad policy"), ("tls_reloads", "certificate", "bad certificate")):
        wanted, refused = len(kinds.get(kind, [])), len(kinds.get(bad, []))
        activated, rejected = grown(what, "activated"), grown(what, "rejected")
        yield activated == wanted and rejected >= refused and (refused or not rejected), (
            f"{what.replace('tls_', 'TLS ')}: {activated} activated for {wanted} good changes, {rejected} rejected for {refused} bad ones")


def resources(record):
    """Memory, files and threads do not grow."""
    yield from memory(record["resident"], record["duration"])
    samples = record["samples"]
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter:2 * quarter], samples[-quarter:]
    for what, name in (("fds", "open files"), ("threads", "threads")):
        early, late = (sorted(sample[what] for sample in some)[len(some) // 2] for some in (second, last))
        yield late <= early + 2, f"{name}: {early} in the median of the second quarter, {late} of the last"
        idle, after = record["before"][what], record["after"][what]
        yield after <= idle + (POOL if what == "threads" else 0), f"{name} at rest: {idle} before, {after} after"
    live = max(sample["snapshots_live"] for sample in samples)
    yield record["after"]["snapshots_live"] <= 2, f"snapshots in memory: {live:.0f} at most, {record['after']['snapshots_live']:.0f} after"
    left = {name: record["after"][name] for name in ("connections", "in_flight")}
    yield not any(left.values()), f"left when everybody had gone: {left['connections']:.0f} connections, {left['in_flight']:.0f} calls"


def memory(resident, duration):
    """Of one look a second. Bursts and changes fall alike into the second quarter and the last, if the run has the usual length."""
    part = lambda number: [kib / 1024 for at, kib in resident if number <= 4 * at / duration < number + 1]  # noqa: E731
    second, last = mean(part(1)), mean(part(3))
    growth = 100 * (last / second - 1)
    yield growth < MOST_GROWTH, (
        f"resident memory: {second:.1f} MiB in the second quarter, {last:.1f} in the last ({growth:+.1f} %); "
        f"{max(kib for _, kib in resident) / 1024:.1f} at most")
    medians = [middle(part(number)) for number in range(4)]
    yield medians[3] < medians[1] * (1 + MOST_GROWTH / 100), (
        f"medians of the four quarters: {', '.join(f'{median:.1f}' for median in medians)} MiB; the last against the second")
    slope = fit([(at, kib / 1024) for at, kib in resident if at >= duration / 2])
    drift = 100 * slope * duration / 2 / second
    yield drift < MOST_GROWTH, f"a line through the second half climbs {slope * 3600:+.1f} MiB an hour ({drift:+.1f} % in that half)"


def log(record):
    """Each decision is in the decision log, or counted as missing; missing ones are those of bursts."""
    after = record["after"]
    if not after["logged"]:
        yield True, "decision log: not in this program"
        return
    dropped = sum(after["dropped"].values())
    yield after["logged"] + dropped == after["decisions"], (
        f"decisions: {after['decisions']:,.0f} given; {after['logged']:,.0f} logged, {dropped:,.0f} counted as missing ({listed(after['dropped'])})")
    quiet = sum(
        sum(b["dropped"].values()) - sum(a["dropped"].values()) for a, b in zip(record["samples"], record["samples"][1:])
        if all(b["at"] < first or a["at"] > last for first, last in burst_times(record)))
    yield quiet == 0, f"decisions that are missing in the log, while there was no burst: {quiet:,.0f}"
    yield record["log"]["unreadable"] == 0, f"lines of the decision log's last files: {record['log']['decision_lines_left']:,}, all of them JSON"


def end(record):
    yield record["exit"] == 0, f"exit code after SIGTERM: {record['exit']}"
    strange = [message for message in record["log"]["messages"] if not message.startswith(MESSAGES)]
    yield not strange, f"log on stderr: {listed(record['log']['levels'])}; not asked for: {', '.join(strange) or 'nothing'}"


def listed(counts):
    return ", ".join(f"{count:,.0f} {name}" for name, count in sorted(counts.items())) or "none"


def mean(values):
    return sum(values) / len(values)


def middle(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0


def fit(points):
    """The slope of the line with the least squares."""
    x, y = mean([x for x, _ in points]), mean([y for _, y in points])
    over = sum((point[0] - x) * (point[1] - y) for point in points)
    return over / max(sum((point[0] - x) ** 2 for point in points), 1e-9)
