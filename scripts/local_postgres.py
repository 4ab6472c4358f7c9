"""Real local Postgres clusters for the demo and the benchmark: started for one run, removed at its end.

    with Cluster(18, settings={"shared_buffers": "256MB"}) as target:
        target.create_owner("shop")          # an empty database with a plain owner
        run(..., target.url("shop"))

Postgres refuses root: as root, the server runs as `nobody`. The binaries come from scripts/fetch-postgres.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("NEON_MIGRATE_TEST_PG", ROOT / ".cache" / "pg")).resolve()
CLIENT_BIN = CACHE / "client" / "bin"
PASSWORD = "local-s3cret"

# The directories, and so the children, of this process belong to this user.
USER = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def reachable(server):
    """The server's directory, or a copy of it where the way to it is closed to the unprivileged user."""
    if not USER or all(parent.stat().st_mode & 0o001 for parent in [server, *server.parents]):
        return server, None
    copy = Path(tempfile.mkdtemp(prefix="neon-migrate-pg-"))
    copy.chmod(0o755)
    shutil.copytree(server, copy / server.name, symlinks=True)
    return copy / server.name, copy


class Cluster:
    """One server with its own data directory and a free port on 127.0.0.1."""

    def __init__(self, major, settings=None, tls=False):
        self.major, self.settings, self.tls, self.process, self.copy = major, settings or {}, tls, None, None

    def __enter__(self):
        server = CACHE / str(self.major)
        if not (server / "bin" / "postgres").exists():
            raise SystemExit(f"Postgres {self.major} is missing in {CACHE}: run scripts/fetch-postgres")
        self.directory = Path(tempfile.mkdtemp(prefix=f"nm{self.major}-", dir="/tmp"))
        try:
            server, self.copy = reachable(server)
            if USER:
                shutil.chown(self.directory, USER["user"], USER["group"])
            self._initdb(server / "bin" / "initdb")
            if self.tls:
                self._certify()
            self._start(server / "bin" / "postgres")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _initdb(self, initdb):
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        subprocess.run([initdb, "-D", self.directory / "data", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--pwfile", password,
                        "--auth-local=trust", "--auth-host=scram-sha-256"], cwd="/", check=True, stdout=subprocess.DEVNULL, **USER)
        password.unlink()

    def _certify(self):
        """A certificate of its own for the server, in the data directory, where Postgres looks for it."""
        data = self.directory / "data"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", data / "server.key", "-out", data / "server.crt"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **USER)
        (data / "server.key").chmod(0o600)

    def _start(self, postgres):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.directory, "wal_level": "logical", "ssl": "on" if self.tls else "off", **self.settings}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # A session of its own: Ctrl-C in the terminal is for the program that is shown, not for the server.
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen([postgres, "-D", self.directory / "data", *options], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, **USER)
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                if (self.directory / "data" / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                    return
            except (OSError, IndexError):
                pass
            time.sleep(0.05)
        raise SystemExit(f"Postgres {self.major} did not start:\n{(self.directory / 'log').read_text()[-2000:]}")

    def psql(self, sql, database="postgres"):
        """Runs statements as the superuser and returns unaligned rows."""
        environment = {**os.environ, "PGHOST": str(self.directory), "PGPORT": str(self.port), "PGUSER": "postgres", "PGDATABASE": database}
        return subprocess.run([CLIENT_BIN / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def create_owner(self, database, attributes=""):
        """An empty database with an owner of its own, who is no superuser."""
        self.psql(f"create role {database}_owner login password '{PASSWORD}' {attributes}")
        self.psql(f"create database {database} owner {database}_owner")

    def create_neon_shaped(self, database):
        """An empty database whose owner has the rights that Neon gives, and no more."""
        self.create_owner(database, "createdb createrole bypassrls replication")
        roles = "pg_read_all_data, pg_write_all_data, pg_monitor, pg_signal_backend" + (", pg_create_subscription" if self.major >= 16 else "")
        self.psql(f"grant {roles} to {database}_owner")

    def url(self, database, user=None):
        """A connection string over TCP; the owner's unless another user is named."""
        return f"postgresql://{user or database + '_owner'}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def environment(self, database, user=None):
        """The same for libpq's programs, as environment variables; without TLS, which the fetched programs do not have."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": user or database + "_owner", "PGPASSWORD": PASSWORD, "PGDATABASE": database, "PGSSLMODE": "disable"}

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(timeout=30)
        for directory in (self.directory, self.copy):
            if directory:
                shutil.rmtree(directory, ignore_errors=True)
