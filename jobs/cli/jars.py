"""Jars: what `flink-conf/jars.lock` names, fetched into `.meridian/jars` and checked against its SHA-256.

Resolving a dependency tree needs the network and may answer differently tomorrow; so it happens once, in
`meridian jars lock`, and everyone else fetches exactly the files listed. Fetching goes through jgo, with the
repositories, mirrors and cache that the user has configured for jgo or Maven.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_USAGE, CliError, info, success
from jobs.cli.project import FLINK_CONF, STATE_DIR

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK_FILE: Final = FLINK_CONF / "jars.lock"
JARS_DIR: Final = STATE_DIR / "jars"
STAMP_NAME: Final = ".verified"
"""Holds the lock file's SHA-256 once all jars are verified; scripts/lib.sh compares it without starting Python."""

WANTED: Final[tuple[tuple[str, str, bool], ...]] = (
    # set, coordinate, with its dependencies
    ("flink", "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2", False),  # shaded: needs nothing else
    ("sql-client", "org.apache.flink:flink-sql-gateway:2.2.1", False),  # the distribution holds its dependencies
    ("kafka", "org.apache.kafka:kafka_2.13:4.1.0", True),
    ("schemas", "org.apache.flink:flink-kubernetes-operator-api:1.10.0", False),  # the newest that is published
)

_SYSTEM_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)

LOCK_HEADER: Final = """\
# Jars that do not come with the apache-flink package: set, Maven coordinate, SHA-256.
# Written by `meridian jars lock`; do not edit. Sets:
#   flink       on the classpath of the cluster and of clients
#   sql-client  on the classpath of the SQL client only
#   kafka       the local stack's broker with everything it needs
#   schemas     on no classpath: what tests check the manifests of flink-conf/kubernetes against
"""


@dataclass(frozen=True, order=True)
class LockedJar:
    """One line of the lock file: a file that has to be there, byte for byte."""

    set_name: str
    coordinate: str
    sha256: str

    @property
    def filename(self) -> str:
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"

    def path(self, jars_dir: Path = JARS_DIR) -> Path:
        return jars_dir / self.set_name / self.filename


def parse_lock(text: str, name: str = "jars.lock") -> list[LockedJar]:
    """The jars of a lock file, in its order.

    Raises
    ------
    CliError: a line is not `set coordinate sha256`; the message names the line.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("#", 1)[0].split()
        if not fields:
            continue
        if len(fields) != 3 or fields[1].count(":") not in (2, 3) or len(fields[2]) != 64:
            raise CliError(f"{name}:{number}: expected `set group:artifact:version sha256`", EXIT_USAGE)
        found.append(LockedJar(*fields))
    return found


def format_lock(jars: Iterable[LockedJar]) -> str:
    return LOCK_HEADER + "".join(f"{jar.set_name:<10} {jar.coordinate} {jar.sha256}\n" for jar in jars)


def read_lock(lock_file: Path = LOCK_FILE) -> list[LockedJar]:
    try:
        return parse_lock(lock_file.read_text(encoding="utf-8"), lock_file.name)
    except FileNotFoundError:
        raise CliError(f"{lock_file} is missing", EXIT_USAGE, "run `meridian jars lock`") from None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def jar_paths(set_name: str, lock_file: Path = LOCK_FILE, jars_dir: Path = JARS_DIR) -> list[Path]:
    """Paths of one set's jars; `ensure_jars` has to have run."""
    return [jar.path(jars_dir) for jar in read_lock(lock_file) if jar.set_name == set_name]


def ensure_jars(
    lock_file: Path = LOCK_FILE,
    jars_dir: Path = JARS_DIR,
    fetch: Callable[[LockedJar], Path] | None = None,
) -> int:
    """Bring every locked jar into `jars_dir`, verified.

    Parameters
    ----------
    fetch: gives a local copy of a jar; jgo unless a test says otherwise.

    Returns
    -------
    How many jars had to be fetched; 0 when the stamp says that all is there.

    Raises
    ------
    CliError: a jar cannot be fetched, or is not the file that was locked.
    """
    jars = read_lock(lock_file)
    stamp, lock_hash = jars_dir / STAMP_NAME, sha256_of(lock_file)
    if _read_text(stamp) == lock_hash and all(jar.path(jars_dir).is_file() for jar in jars):
        return 0
    stamp.unlink(missing_ok=True)
    missing = [jar for jar in jars if not _is_valid(jar, jars_dir)]
    if missing:
        info(f"fetching {len(missing)} of {len(jars)} jars …")
        fetch = fetch or _jgo_fetcher()
        with ThreadPoolExecutor(max_workers=8) as pool:
            for jar, source in zip(missing, pool.map(fetch, missing), strict=True):
                _install(jar, source, jars_dir)
    _write_atomically(stamp, lock_hash)
    return len(missing)


def _is_valid(jar: LockedJar, jars_dir: Path) -> bool:
    path = jar.path(jars_dir)
    return path.is_file() and sha256_of(path) == jar.sha256


def _install(jar: LockedJar, source: Path, jars_dir: Path) -> None:
    actual = sha256_of(source)
    if actual != jar.sha256:
        raise CliError(
            f"{jar.coordinate} is not the locked file: SHA-256 {actual[:16]}…, expected {jar.sha256[:16]}…",
            EXIT_ENVIRONMENT,
            f"delete {source} if that copy is damaged; otherwise do not trust the repository it came from",
        )
    target = jar.path(jars_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def central_mirror(settings_xml: Path) -> str | None:
    """URL of the mirror that a Maven settings file names for the central repository.

    jgo reads its own configuration only, while shops with a mirror usually have it in Maven's. Only plain mirrors are
    read: one that needs a login has to be set up in jgo's configuration.
    """
    try:
        root = ElementTree.parse(settings_xml).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    for mirror in (element for element in root.iter() if element.tag.rpartition("}")[2] == "mirror"):
        fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in mirror}
        patterns = {pattern.strip() for pattern in fields.get("mirrorOf", "").split(",")}
        if patterns & {"*", "central", "external:*"} and "!central" not in patterns and fields.get("url"):
            return fields["url"].rstrip("/")
    return None


def _trust_system_certificates() -> None:
    """Let requests trust what the machine trusts: behind an inspecting proxy its own certificate list is not enough."""
    if os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        return
    candidates = [os.environ.get("SSL_CERT_FILE"), os.environ.get("PIP_CERT"), *_SYSTEM_CERTIFICATES]
    if bundle := next((path for path in candidates if path and os.access(path, os.R_OK)), None):
        os.environ["REQUESTS_CA_BUNDLE"] = bundle


def maven_context() -> MavenContext:
    """jgo's view of Maven: the user's repositories and cache, or our own cache where there is no usable home."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    _trust_system_certificates()
    settings = GlobalSettings.load()
    home = Path.home()
    mirror = central_mirror(home / ".m2" / "settings.xml")
    cache = Path(settings.repo_cache)
    if home in cache.parents and not os.access(home, os.W_OK):
        cache = STATE_DIR / "maven"
    return MavenContext(
        resolver=PythonResolver(),
        repo_cache=cache,
        remote_repos={"central": mirror or MAVEN_CENTRAL_URL, **settings.repositories},
        timeout=60,
    )


def _jgo_fetcher() -> Callable[[LockedJar], Path]:
    from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    context = maven_context()
    retrying = Retrying(
        stop=stop_after_attempt(4), wait=wait_exponential(max=8), retry=retry_if_exception_type((OSError, RuntimeError))
    )

    def fetch(jar: LockedJar) -> Path:
        group, artifact, version, *classifier = jar.coordinate.split(":")
        wanted = context.project(group, artifact).at_version(version).artifact(classifier[0] if classifier else "")
        try:
            return Path(retrying.copy()(wanted.resolve))
        except RetryError as error:
            cause = error.last_attempt.exception()
            reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
            raise CliError(
                f"cannot fetch {jar.coordinate}: {reason}",
                EXIT_ENVIRONMENT,
                "check the network, or configure a mirror in ~/.config/jgo.conf or ~/.m2/settings.xml",
            ) from error

    return fetch


def lock_jars() -> list[LockedJar]:
    """Resolve `WANTED` with all runtime dependencies and hash every file."""
    from jgo.parse import Coordinate

    context = maven_context()
    locked: list[LockedJar] = []
    for set_name, coordinate, with_dependencies in WANTED:
        wanted = context.create_dependency(replace(Coordinate.parse(coordinate), scope="compile"))
        inputs, transitive = context.resolver.resolve([wanted])
        dependencies = [dep for dep in transitive if dep.scope in ("compile", "runtime")] if with_dependencies else []
        artifacts = {dep.artifact for dep in [*inputs, *dependencies]}
        for artifact in artifacts:
            parts = [artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier]
            name = ":".join(part for part in parts if part)
            locked.append(LockedJar(set_name, name, sha256_of(Path(artifact.resolve()))))
    return sorted(locked)


@click.group(invoke_without_command=True)
@click.pass_context
def jars(ctx: click.Context) -> None:
    """Fetch the jars of flink-conf/jars.lock and verify them (nothing to do when they are there)."""
    if ctx.invoked_subcommand is None:
        fetched = ensure_jars()
        success(f"jars ready: {len(read_lock())} verified, {fetched} fetched")


@jars.command()
def lock() -> None:
    """Resolve the wanted jars anew and rewrite flink-conf/jars.lock."""
    locked = lock_jars()
    LOCK_FILE.write_text(format_lock(locked), encoding="utf-8")
    success(f"{LOCK_FILE.name}: {len(locked)} jars")
