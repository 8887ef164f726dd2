"""Certificates, and the folder in which the kubelet would show them."""
import pathlib
import socket
import ssl
import subprocess


class Certificates:
    """An authority, a client, and one pair after the other for the service."""

    def __init__(self, folder):
        self.folder = folder
        self.mounted = folder / "mounted"
        self.mounted.mkdir(parents=True)
        self.number = 0
        self.authority("ca")
        self.authority("stranger-ca")
        self.client = self.pair("client", "ca", "URI:spiffe://soak.example/client/load")
        self.unnamed = self.pair("unnamed", "ca", "URI:spiffe://soak.example/other")
        self.stranger = self.pair("stranger", "stranger-ca", "URI:spiffe://soak.example/client/load")
        self.swap(self.next())
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (self.mounted / name).symlink_to(pathlib.Path("..data") / name)

    def authority(self, name):
        openssl("req", "-x509", *KEY, "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.crt")

    def pair(self, name, authority, names):
        """A certificate and its key."""
        certificate, key, asked = (self.folder / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        openssl("req", "-new", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", asked)
        openssl("x509", "-req", "-in", asked, "-days", "1", "-extfile", extensions, "-out", certificate,
                "-CA", self.folder / f"{authority}.crt", "-CAkey", self.folder / f"{authority}.key")
        return certificate, key

    def next(self):
        self.number += 1
        return self.pair(f"service-{self.number}", "ca", "IP:127.0.0.1")

    def swap(self, pair):
        """As the kubelet does: a new folder, and the link `..data` put in the place of the old one."""
        data = self.mounted / "..data"
        old = data.resolve() if data.is_symlink() else None
        count = sum(1 for _ in self.folder.iterdir())
        new = self.mounted / f"..{self.number}_{count}_{pair[1].stem}_{pair[0].stem}"
        new.mkdir(exist_ok=True)
        for source, name in ((pair[0], "tls.crt"), (pair[1], "tls.key"), (self.folder / "ca.crt", "ca.crt")):
            (new / name).write_bytes(source.read_bytes())
        beside = self.mounted / "..data_tmp"
        beside.symlink_to(new.name)
        beside.rename(data)
        if old and old != new:
            for file in old.iterdir():
                file.unlink()
            old.rmdir()

    def served(self, port, pair=None):
        """The certificate that a new connection is shown."""
        with self.connect(port, pair or self.client) as connection:
            return connection.getpeercert(binary_form=True)

    def connect(self, port, pair):
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.load_cert_chain(*pair)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        return context.wrap_socket(plain, server_hostname="127.0.0.1")


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair[0].read_text())


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
