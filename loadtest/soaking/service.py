"""A service that is measured: how it is started, asked and stopped."""
import http.client
import json
import os
import re
import resource
import socket
import subprocess
import time

LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Running:
    """iamd on a core of its own, with these flags, until it is stopped."""

    def __init__(self, program, core, flags, admin, stderr):
        self.flags, self.admin, self.stderr = flags, admin, stderr
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), program, "serve", *map(str, flags)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(stderr, "w"))
        self.wait(lambda: self.get("/readyz")[0] == 200, 30, "is not ready")

    def wait(self, true, seconds, otherwise, every=0.05):
        """How long it took until something was true, which is asked so often."""
        began = time.monotonic()
        while True:
            if self.child.poll() is not None:
                raise RuntimeError(f"the service ended: {self.stderr.read_text()[-2000:]}")
            try:
                if true():
                    return time.monotonic() - began
            except OSError:
                pass
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"after {seconds} s the service {otherwise}")
            time.sleep(every)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def text(self, path):
        status, text = self.get(path)
        if status != 200:
            raise OSError(f"{path}: {status}, {text[:200]}")
        return text

    def status(self):
        return json.loads(self.text("/status"))

    def metrics(self):
        """By name: a list of labels and value."""
        found = {}
        for line in self.text("/metrics").splitlines():
            if match := LINE.match(line):
                name, labels, value = match.groups()
                found.setdefault(name, []).append((labels or "", float(value)))
        return found

    def process(self):
        """What the kernel says of it: KiB, threads, files."""
        path = f"/proc/{self.child.pid}"
        fields = dict(line.split(":", 1) for line in open(f"{path}/status") if ":" in line)
        return {"rss_kib": self.resident(), "threads": int(fields["Threads"]),
                "fds": len(os.listdir(f"{path}/fd"))}

    def resident(self):
        """KiB of memory that it holds now."""
        with open(f"/proc/{self.child.pid}/statm") as pages:
            return int(pages.read().split()[1]) * resource.getpagesize() // 1024

    def stop(self):
        """Its exit code after SIGTERM."""
        self.child.terminate()
        try:
            return self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return "killed, since it did not end"


class Plain(Running):
    """iamd on a core of its own with its default flags, and these, on free ports."""

    def __init__(self, program, core, store, stderr, flags=()):
        self.port, admin = free_port(), free_port()
        where = ["--policies", store, "--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{admin}"]
        super().__init__(program, core, [*where, *flags], admin, stderr)


class Service(Running):
    """iamd on a core of its own, with every listener and limit that it has flags for."""

    def __init__(self, program, core, work, certificates):
        self.work = work
        self.port, admin = free_port(), free_port()
        self.unix = work / "iamd.sock"
        self.decisions = work / "decisions"
        flags = [
            "--policies", work / "world/store",
            "--listen", f"127.0.0.1:{self.port}", "--listen", f"unix:{self.unix}",
            "--admin-listen", f"127.0.0.1:{admin}",
            "--tls-cert", certificates.mounted / "tls.crt", "--tls-key", certificates.mounted / "tls.key",
            "--tls-client-ca", certificates.mounted / "ca.crt",
            "--tls-allowed-san", "spiffe://soak.example/client/*",
            "--drain-delay", "1s",
        ]
        known = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, check=True).stdout
        self.logs = "--decision-log " in known
        if self.logs:
            self.decisions.mkdir()
            flags += ["--decision-log", self.decisions / "decisions.jsonl",
                      "--decision-log-max-bytes", "64MiB", "--decision-log-max-files", "2"]
        if "--memory-limit " in known:
            flags += ["--memory-limit", "1GiB"]
        super().__init__(program, core, flags, admin, work / "stderr")

    def command(self):
        """Without the places and ports of this run."""
        text = " ".join(map(str, self.flags)).replace(f"{self.work}/", "")
        return "iamd serve " + text.replace(str(self.port), "PORT").replace(str(self.admin), "PORT")


def total(metrics, name, *wanted):
    """The sum of the series whose labels hold all of that."""
    return sum(value for labels, value in metrics.get(name, []) if all(text in labels for text in wanted))


def by_label(metrics, name, label, *wanted):
    """Sums by the value of a label."""
    sums = {}
    for labels, value in metrics.get(name, []):
        if value and all(text in labels for text in wanted):
            key = re.search(rf'{label}="([^"]*)"', labels).group(1)
            sums[key] = sums.get(key, 0) + value
    return sums
