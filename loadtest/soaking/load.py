"""Generators: `iamd-load run`, as many as there are ways to ask."""
import itertools
import json
import subprocess

# Of each: arguments, whether it goes over TLS, its part of the load in calls (messages of streams), what it asks per call.
STEADY = {
    "unary, mTLS": (["--connections", "8", "--streams", "32"], True, 0.36, 1),
    "unary, new, Unix": (["--connections", "4", "--streams", "32", "--each-new"], False, 0.22, 1),
    "batches of 20, Unix": (["--connections", "2", "--streams", "4", "--method", "batch", "--batch", "20"], False, 0.012, 20),
    "streams, mTLS": (
        ["--connections", "4", "--streams", "2", "--method", "stream", "--pack", "8", "--window", "256"], True, 0.40, 1),
}

# Each keeps more calls waiting than the service lets wait, or holds more streams than it lets be held. Batches are so few that the
# generator has sent them long before their time is up, over so many connections that all of them arrive.
BURSTS = [
    ("unary, Unix", ["--connections", "192", "--streams", "128", "--each-new"], False),
    ("batches of 300, Unix", ["--connections", "64", "--streams", "16", "--method", "batch", "--batch", "300", "--each-new"], False),
    ("4,800 streams, Unix", ["--connections", "48", "--streams", "100", "--method", "stream", "--pack", "8", "--window", "8"], False),
]


class Load:
    """Starts generators, and reads what they measured."""

    def __init__(self, options, service, certificates, work):
        self.options, self.service, self.certificates, self.work = options, service, certificates, work
        self.results = work / "results"
        self.results.mkdir()
        self.running = []
        self.numbers = itertools.count()

    def start(self, name, arguments, tls, seconds, rate=None):
        output = self.results / f"{next(self.numbers)}.json"
        certificate, key = self.certificates.client
        address = f"127.0.0.1:{self.service.port}" if tls else f"unix:{self.service.unix}"
        command = [self.options.client, "run", self.work / "world/either.bin", "--address", address, "--name", name,
                   "--duration", seconds, "--interval", self.options.sample_every, "--core", self.options.load_core,
                   "--output", output, *arguments]
        if tls:
            command += ["--tls-ca", self.certificates.folder / "ca.crt", "--tls-cert", certificate, "--tls-key", key]
        if rate:
            command += ["--rate", round(rate, 3)]
        child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
        self.running.append(child)
        return Generator(name, child, output)

    def kill(self):
        """Those that still run; only ever those that were started here."""
        for child in self.running:
            if child.poll() is None:
                child.kill()
                child.wait()


class Generator:
    def __init__(self, name, child, output):
        self.name, self.child, self.output = name, child, output

    def measured(self, seconds):
        """What it measured; if it failed, why."""
        try:
            _, said = self.child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return {"failed": "did not end"}
        if self.child.returncode or not self.output.exists():
            return {"failed": said.strip()[-300:]}
        measured = json.loads(self.output.read_text())["measured"]
        measured["latency"].pop("histogram")
        return measured
