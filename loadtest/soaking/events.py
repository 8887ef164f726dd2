"""What happens to the service while it is under load. Each event says what it waits for, and fails after a time."""
import os
import random
import signal
import socket
import ssl
import threading
import time

from .certificates import der
from .service import total

# A change is active within a second; a busy machine may take its time.
LONGEST = 15


class Events:
    """Kinds of events, each with a thread of its own, until it is time to stop."""

    def __init__(self, options, service, certificates, world):
        self.options, self.service, self.certificates, self.world = options, service, certificates, world
        self.began = time.monotonic()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.found = []
        self.threads = []
        self.dice = random.Random(7)

    def now(self):
        return time.monotonic() - self.began

    def note(self, kind, at, error=None, **more):
        with self.lock:
            self.found.append({"event": kind, "at": round(at, 3), **({"error": error} if error else {}), **more})

    def happen(self, kind, action):
        """Notes that something happens, how long it took to have its effect, or that it had none."""
        at = self.now()
        try:
            self.note(kind, at, **(action() or {}))
        except Exception as error:  # noqa: BLE001: whatever it is, it is a finding
            self.note(kind, at, error=f"{type(error).__name__}: {error}")

    def every(self, seconds, action):
        """Calls `action` with 1, 2, 3 and so on, at fixed times."""
        def go():
            number = 1
            while not self.stopping.wait(max(0, number * seconds - self.now())):
                try:
                    action(number)
                except Exception as error:  # noqa: BLE001
                    self.note("soak itself", self.now(), error=f"{type(error).__name__}: {error}")
                number = max(number + 1, int(self.now() // seconds) + 1)
        thread = threading.Thread(target=go)
        thread.start()
        self.threads.append(thread)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    # Policies, and SIGHUP: in one thread, so that each reload has one cause.

    def begin_policies(self):
        self.file = self.world / "store/111122223333/policies/00000.json"
        self.contents = [self.file.read_bytes(), (self.world / "changed/00000.json").read_bytes()]
        self.revisions = [self.service.status()["snapshot"]["revision"], None]
        self.place = 0
        self.next_hangup = self.options.hangup_every
        self.every(self.options.change_every, self.policies)

    def policies(self, number):
        if self.now() >= self.next_hangup:
            self.next_hangup += self.options.hangup_every
            self.happen("sighup", self.hangup)
        if number % 6 == 3:
            self.happen("bad policy", self.bad_policy)
        self.happen("policy", self.change)

    def replace(self, content):
        beside = self.file.with_suffix(".new")
        beside.write_bytes(content)
        beside.rename(self.file)

    def change(self):
        """The other content, in the place of this one. Its revision is the same each time."""
        before = self.service.status()["snapshot"]["version"]
        self.place = 1 - self.place
        self.replace(self.contents[self.place])

        def active():
            status = self.service.status()
            snapshot = status["snapshot"]
            known = self.revisions[self.place] or snapshot["revision"]
            return snapshot["version"] > before and snapshot["revision"] == known and status["stale_since"] is None
        took = self.service.wait(active, LONGEST, "does not answer by the new policy")
        self.revisions[self.place] = self.service.status()["snapshot"]["revision"]
        return {"seconds": round(took, 3)}

    def bad_policy(self):
        """A file that is cut off: refused, and the old one goes on."""
        before = self.service.status()["snapshot"]["revision"]
        self.replace(self.contents[self.place][:-20])

        def refused():
            status = self.service.status()
            return status["last_reload"]["result"] == "rejected" and status["stale_since"] is not None
        took = self.service.wait(refused, LONGEST, "does not say that it refused a bad file")
        if self.service.status()["snapshot"]["revision"] != before:
            raise RuntimeError("a bad file changed what is served")
        return {"seconds": round(took, 3)}

    def hangup(self):
        def looked():
            return total(self.service.metrics(), "iamd_reloads_total")
        before = looked()
        os.kill(self.service.child.pid, signal.SIGHUP)
        took = self.service.wait(lambda: looked() > before, LONGEST, "did nothing on SIGHUP")
        return {"seconds": round(took, 3)}

    # Certificates.

    def begin_certificates(self):
        self.every(self.options.rotate_every, self.rotate)

    def rotate(self, number):
        if number % 5 == 2:
            self.happen("bad certificate", self.bad_pair)
        self.happen("certificate", self.rotation)

    def rotation(self):
        pair = self.certificates.next()
        wanted = der(pair)
        self.certificates.swap(pair)
        took = self.service.wait(
            lambda: self.certificates.served(self.service.port) == wanted, LONGEST, "does not show the new certificate")
        return {"seconds": round(took, 3)}

    def bad_pair(self):
        """A key that is not the certificate's: refused, and the old pair goes on."""
        before = self.certificates.served(self.service.port)
        new = self.certificates.next()
        self.certificates.swap((new[0], self.certificates.client[1]))

        def refused():
            return total(self.service.metrics(), "iamd_tls_last_reload_successful", 'listener="grpc"') == 0
        took = self.service.wait(refused, LONGEST, "does not say that it refused a bad pair")
        if self.certificates.served(self.service.port) != before:
            raise RuntimeError("a bad pair changed what is served")
        return {"seconds": round(took, 3)}

    # Strangers.

    def begin_strangers(self):
        self.every(15, lambda _: self.happen("strangers", self.strangers))

    def strangers(self):
        """Noise at every listener, clients that may not, one that says nothing: nobody gets an answer."""
        ports = [("127.0.0.1", self.service.port), ("127.0.0.1", self.service.admin), str(self.service.unix)]
        for address in ports * 3:
            with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as stranger:
                stranger.settimeout(5)
                stranger.connect(address)
                quietly(lambda s=stranger: s.sendall(self.dice.randbytes(self.dice.randrange(1, 4000))))
                quietly(lambda s=stranger: s.recv(4096))
        for pair in (self.certificates.stranger, self.certificates.unnamed):
            if quietly(lambda p=pair: self.speak(p, b"")):
                raise RuntimeError(f"{pair[0].name} was let in")
        quietly(lambda: self.speak(self.certificates.client, self.dice.randbytes(3000)))
        # Half a handshake, until the service has enough of it.
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=13) as silent:
            silent.sendall(b"\x16\x03\x01\x02\x00\x01")
            quietly(lambda: silent.recv(1))

    def speak(self, pair, noise):
        """Whether the service says anything that is HTTP/2: with TLS 1.3 a client learns only now that it was refused."""
        with self.certificates.connect(self.service.port, pair) as connection:
            connection.settimeout(5)
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + noise)
            return len(connection.recv(100)) > 0


def quietly(action):
    """Strangers expect to be thrown out."""
    try:
        return action()
    except (OSError, ssl.SSLError):
        return None
