"""The run itself: load, events, and a look at the process every few seconds."""
import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import time

from .certificates import Certificates
from .events import Events
from .load import BURSTS, STEADY, Load
from .service import Service, by_label, total

OURS = 'grpc_service="iamd.v1.AuthorizationService"'
BURST_SECONDS = 4


def soak(options, work):
    """Everything that was seen, for the judge and the report."""
    generate(options, work)
    certificates = Certificates(work / "tls")
    service = Service(options.iamd, options.server_core, work, certificates)
    load = Load(options, service, certificates, work)
    events = Events(options, service, certificates, work / "world")
    try:
        record = prepare(options, service, load)
        endure(options, service, load, events, record)
        rest(service, record)
        record["exit"] = service.stop()
        record["log"] = said(service)
        return record
    finally:
        events.stop()
        load.kill()
        if service.child.poll() is None:
            service.stop()


def generate(options, work):
    """A store, and requests for which both the old and the new decision of a changed policy are right."""
    world = work / "world"
    subprocess.run([options.client, "generate", world, "--changed", "--seed", "7"], check=True, stdout=subprocess.DEVNULL)
    shutil.copy(world / "requests.bin", world / "either.bin")
    shutil.copy(world / "changed.decisions", world / "either.decisions")


def prepare(options, service, load):
    """What is the same throughout, and what the service can do."""
    build = service.metrics()["iamd_build_info"][0][0]
    commit = options.commit or build.split('commit="')[1].split('"')[0][:7]
    idle = service.process()
    full = load.start("capacity", STEADY["unary, mTLS"][0] + ["--warm-up", "30000"], True, 5).measured(60)
    if "failed" in full:
        raise RuntimeError(f"the load client failed: {full['failed']}")
    capacity = full["calls"] / full["seconds"]
    print(f"commit {commit}; {capacity:,.0f} unary calls/s over mutual TLS at most; {options.duration:.0f} s of soak", flush=True)
    began = datetime.datetime.now(datetime.UTC)
    return {"date": f"{began:%Y-%m-%d}", "began": f"{began:%Y-%m-%dT%H:%M:%SZ}", "commit": commit, "machine": machine(),
            "command": service.command(), "duration": options.duration, "capacity": capacity, "share": options.share,
            "idle": idle, "before": look(service), "samples": [], "events": [], "generators": [],
            "resident": []}


def endure(options, service, load, events, record):
    """Load and events, for as long as was asked for."""
    events.began = time.monotonic()
    rate = options.share * record["capacity"]
    steady = [(load.start(name, arguments, tls, options.duration, part * rate), 0.0, "steady")
              for name, (arguments, tls, part, _) in STEADY.items()]
    events.begin_policies()
    events.begin_certificates()
    events.begin_strangers()
    keep = record["generators"].append

    def burst(number):
        at = events.now()
        if at + BURST_SECONDS + 8 < options.duration:
            name, arguments, tls = BURSTS[(number - 1) % len(BURSTS)]
            measured = load.start(name, arguments, tls, BURST_SECONDS).measured(60)
            events.note("burst", at, until=round(events.now(), 3), load=name)
            keep({"name": name, "kind": "burst", "began": round(at, 3), **measured})

    def newcomers(_):
        at = events.now()
        if at + 4 < options.duration:
            measured = load.start("newcomers, mTLS", ["--connections", "4", "--streams", "8"], True, 2, 0.02 * rate).measured(60)
            keep({"name": "newcomers, mTLS", "kind": "newcomers", "began": round(at, 3), **measured})

    events.every(options.burst_every, burst)
    events.every(10, newcomers)
    events.every(1, lambda _: record["resident"].append((round(events.now(), 2), service.resident())))
    number = 0
    while events.now() < options.duration:
        at = events.now()
        try:
            record["samples"].append({"at": round(at, 2), **look(service)})
        except OSError as error:
            events.note("look", at, error=f"{type(error).__name__}: {error}")
        number += 1
        if number % 12 == 0:
            tell(record["samples"][-1], events)
        if service.child.poll() is not None:
            raise RuntimeError("the service ended")
        time.sleep(max(0, number * options.sample_every - events.now()))
    events.stop()
    for generator, at, kind in steady:
        keep({"name": generator.name, "kind": kind, "began": at, **generator.measured(60)})
    record["events"] = sorted(events.found, key=lambda event: event["at"])


def tell(sample, events):
    wrong = [event for event in events.found if "error" in event]
    print(f"{sample['at']:7.0f} s  {sample['rss_kib'] / 1024:6.1f} MiB  {sample['fds']:4} fds  {sample['threads']} threads  "
          f"{sample['handled']}  wrong {wrong[:1]}", flush=True)


def rest(service, record):
    """What is left when everybody has gone. A connection that is told to go may take ten seconds."""
    def gone():
        return total(service.metrics(), "iamd_connections") == 0
    try:
        record["gone_seconds"] = round(service.wait(gone, 30, "still has connections"), 2)
    except TimeoutError as error:
        record["gone_error"] = str(error)
    # Threads for reading files end when they had nothing to do for ten seconds.
    time.sleep(12)
    record["after"] = look(service)


def look(service):
    """The process, and its own counters."""
    metrics = service.metrics()
    one = lambda name: total(metrics, name)  # noqa: E731
    return {
        **service.process(),
        "cpu": one("process_cpu_seconds_total"),
        "handled": by_label(metrics, "grpc_server_handled_total", "grpc_code", OURS),
        "methods": by_label(metrics, "grpc_server_handled_total", "grpc_method", OURS, 'grpc_code="OK"'),
        "decisions": one("iamd_decisions_total"),
        "shed": by_label(metrics, "iamd_requests_shed_total", "reason"),
        "reloads": by_label(metrics, "iamd_reloads_total", "result"),
        "tls_reloads": by_label(metrics, "iamd_tls_reloads_total", "result"),
        "handshakes": by_label(metrics, "iamd_tls_handshakes_total", "result"),
        "snapshots_live": one("iamd_snapshots_live"),
        "cache_entries": one("iamd_cache_entries"),
        "connections": one("iamd_connections"),
        "in_flight": one("iamd_requests_in_flight"),
        "panics": one("iamd_panics_total"),
        "logged": one("iamd_decision_log_written_total"),
        "dropped": by_label(metrics, "iamd_decision_log_dropped_total", "reason"),
        "log_queue": one("iamd_decision_log_queue_entries"),
    }


def said(service):
    """The log on stderr, by level and message, and whether every line of the decision log that is left can be read."""
    levels, errors = {}, {}
    for line in service.stderr.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"level": "not JSON", "message": line[:200]}
        level = entry.get("level", "none")
        levels[level] = levels.get(level, 0) + 1
        if level not in ("INFO", "DEBUG"):
            message = str(entry.get("message", entry.get("fields", {}).get("message", "")))[:120]
            errors[f"{level}: {message}"] = errors.get(f"{level}: {message}", 0) + 1
    lines, unreadable = 0, 0
    for file in sorted(service.decisions.iterdir()) if service.logs else []:
        with open(file, "rb") as log:
            for line in log:
                lines += 1
                unreadable += not readable(line)
    return {"levels": levels, "messages": errors, "decision_lines_left": lines, "unreadable": unreadable}


def readable(line):
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    return f"{cpu}, {os.cpu_count()} cores, {memory:.1f} GiB; Linux {platform.release()}"
