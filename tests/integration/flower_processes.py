"""Flower's own runtimes for tests: a real SuperLink, real SuperNodes, on loopback.

Every process is started here and stopped by its id. Nothing of the user's is touched: Flower's home
is a folder of the test.
"""

import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

PROGRAMS = Path(sys.executable).parent
CONNECTION = "test"
HOST = "127.0.0.1"
UP_WITHIN = 60.0
DOWN_WITHIN = 15.0


@dataclass
class Runtime:
    """A SuperLink with whatever was started beside it."""

    home: Path
    port: int
    certificate: Path | None = None
    processes: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What every Flower process here runs with."""
        return {
            **os.environ,
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_HOME": str(self.home),
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",
            "FLWR_TELEMETRY_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "RAY_ADDRESS": "local",  # a cluster of its own, whatever runs on this machine
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def start(self, name: str, *command: object) -> "subprocess.Popen[bytes]":
        """Start a process that runs until the test ends; its output goes into Flower's home."""
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.home,
            )
        self.processes.append((name, process))
        return process

    def call(self, *command: object, timeout: float = 500.0) -> str:
        """Run a program to its end, and return what it printed."""
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            cwd=self.home,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def run(self, app: Path, *options: str) -> str:
        """Run an app to its end, and return its log."""
        return self.call("flwr", "run", app, CONNECTION, "--stream", *options)

    def statuses(self) -> list[str]:
        """Return how each run has ended, the last one first."""
        listed = json.loads(self.call("flwr", "ls", CONNECTION, "--format", "json"))
        return [run["status"] for run in listed["runs"]]

    def register(self, private_key: Path) -> Path:
        """Tell the SuperLink the public half of a node's key, and return the private one."""
        self.call("flwr", "supernode", "register", private_key.with_suffix(".pub"), CONNECTION)
        return private_key

    def start_node(self, private_key: Path, **config: object) -> "subprocess.Popen[bytes]":
        """Start a SuperNode with a key and a configuration."""
        settings = " ".join(f"{k.replace('_', '-')}={json.dumps(v)}" for k, v in config.items())
        return self.start(
            f"{private_key.name}-process",
            "flower-supernode",
            *("--superlink", f"{HOST}:{self.port}"),
            *("--root-certificates", self.certificate),
            *("--auth-supernode-private-key", private_key),
            *("--host", HOST, "--port", free_port()),
            *("--node-config", settings),
        )

    def logs(self) -> str:
        """Return what all processes wrote."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted(self.home.glob("*.log"))
        )

    def stop(self) -> None:
        """Stop every process by its id, the last started first, and wait for its end."""
        for _, process in reversed(self.processes):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for _, process in reversed(self.processes):
            try:
                process.wait(DOWN_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def superlink(home: Path, *options: str, tls: bool) -> Iterator[Runtime]:
    """Give a SuperLink that is ready, and stop it and all that was started beside it."""
    home.mkdir(parents=True)
    runtime = Runtime(home, free_port())
    connection = {"address": f"{HOST}:{runtime.port}"}
    security: tuple[str, ...] = ("--insecure",)
    if tls:
        authority, certificate, key = certificates(home)
        runtime.certificate = authority
        connection["root-certificates"] = str(authority)
        security = ("--ssl-ca-certfile", str(authority))
        security += ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    write_connection(home, connection, insecure=not tls)
    port = str(runtime.port)
    try:
        process = runtime.start(
            "superlink", "flower-superlink", *security, "--host", HOST, "--port", port, *options
        )
        await_health(runtime, process)
        yield runtime
    except BaseException as error:
        error.add_note(runtime.logs())
        raise
    finally:
        runtime.stop()


def write_connection(home: Path, settings: Mapping[str, str], *, insecure: bool) -> None:
    """Write Flower's configuration with one connection in it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines.append(f"insecure = {json.dumps(insecure)}")
    head = f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
    (home / "config.toml").write_text(head + "\n".join(lines) + "\n")


def await_health(runtime: Runtime, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the SuperLink answers."""
    trusted = None
    if runtime.certificate is not None:
        trusted = ssl.create_default_context(cafile=str(runtime.certificate))
    until = time.monotonic() + UP_WITHIN
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError, HTTPException):
            link = (
                HTTPConnection(HOST, runtime.port, timeout=2.0)
                if trusted is None
                else HTTPSConnection(HOST, runtime.port, timeout=2.0, context=trusted)
            )
            with closing(link):
                link.request("GET", "/health")
                if link.getresponse().status == HTTPStatus.OK:
                    return
        time.sleep(0.1)
    raise AssertionError("the SuperLink does not answer")


def free_port() -> int:
    """Return a port that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def new_key(folder: Path, name: str) -> Path:
    """Make a node's key pair as OpenSSH writes them, and return the private one's file."""
    key, path = ec.generate_private_key(ec.SECP384R1()), folder / name
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public)
    return path


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority and a certificate by it for loopback; return both, and the key."""
    root, ours = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority for a test")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    authority = (
        certificate_of(issuer, issuer, root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root, hashes.SHA384())
    )
    certificate = (
        certificate_of(subject, issuer, ours)
        .add_extension(x509.SubjectAlternativeName(here), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
        )
        .sign(root, hashes.SHA384())
    )
    paths = folder / "ca.crt", folder / "server.crt", folder / "server.key"
    paths[0].write_bytes(authority.public_bytes(Encoding.PEM))
    paths[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[2].write_bytes(ours.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def certificate_of(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """Return a certificate of an hour, to be extended and signed."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
