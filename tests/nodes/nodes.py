"""Real OpenSearch and Elasticsearch nodes from Maven artifacts: fetched once, started, stopped.

Each folder beside this file is laid out as the node's own home is: the jars that a `pom.xml` asks
for come to lie beside it, `plugin-descriptor.properties` makes a folder a module, `Launch.java`
starts it. Nothing is downloaded but by Maven, and nothing runs but Java, so no Docker is needed.

Not here: security (TLS, users). The nodes listen on 127.0.0.1 only.

>>> with running(NODES["opensearch"]) as node:  # doctest: +SKIP
...     print(node.url)
http://127.0.0.1:36817
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

HERE = Path(__file__).parent
START_SECONDS = 240  # a node takes 5 to 15 s on an idle machine; tests run on busy ones


class NodeError(RuntimeError):
    """A node cannot be had; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Recipe:
    """What a node is made of: a folder here, a version, the JDKs that it runs on."""

    name: str
    folder: str
    version: str
    java: range
    heap: str
    options: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The folder that is laid out as the node's home."""
        return HERE / self.folder

    @property
    def hash(self) -> str:
        """Changes with anything that makes a fetched home another one."""
        digest = hashlib.sha256(self.version.encode())
        for file in sorted([*self.source.rglob("*"), HERE / "Parent.java"]):
            if file.is_file():
                digest.update(file.relative_to(HERE).as_posix().encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()[:12]

    @property
    def home(self) -> Path:
        """Where the fetched node lies, shared by all clones of this repository."""
        return user_cache_path("stair-search") / "nodes" / f"{self.name}-{self.hash}"


MODERN = ("--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.incubator.vector")
NODES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "opensearch",
            "opensearch",
            "3.6.0",
            range(21, 99),
            "1g",
            (*MODERN, "-Dio.netty.noUnsafe=true"),
        ),
        Recipe("opensearch2", "opensearch", "2.19.6", range(21, 99), "512m", MODERN),
        # The security manager that 7.17 installs is gone from Java 24.
        Recipe("elasticsearch7", "elasticsearch7", "7.17.29", range(11, 24), "1g"),
        Recipe("elasticsearch8", "elasticsearch", "8.19.21", range(21, 99), "512m", MODERN),
        Recipe("elasticsearch9", "elasticsearch", "9.5.3", range(21, 99), "512m", MODERN),
    )
}


# --- JDKs ---------------------------------------------------------------------------------------


def find_jdk(majors: range) -> Path:
    """Return the first JDK (with javac) whose major version is in `majors`.

    Looks at JAVA_HOME, JAVA17_HOME, JAVA21_HOME, JAVA25_HOME, beside the `java` on the PATH, and
    in the usual folders of Linux, macOS and SDKMAN.
    """
    seen: dict[Path, int] = {}
    for home in _jdk_candidates():
        major = _jdk_major(home)
        if major is not None and home not in seen:
            seen[home] = major
            if major in majors:
                return home
    found = ", ".join(f"{major} in {home}" for home, major in seen.items()) or "none"
    raise NodeError(
        f"no JDK {majors.start} to {majors.stop - 1} found (found: {found}). Install one "
        f"(Debian: apt-get install openjdk-{17 if 17 in majors else 21}-jdk-headless) or set "
        "JAVA_HOME, JAVA17_HOME, JAVA21_HOME or JAVA25_HOME"
    )


def _jdk_candidates() -> Iterator[Path]:
    for variable in ("JAVA_HOME", "JAVA17_HOME", "JAVA21_HOME", "JAVA25_HOME"):
        if value := os.environ.get(variable):
            yield Path(value).resolve()
    if java := shutil.which("java"):
        yield Path(java).resolve().parents[1]
    for pattern in (
        "/usr/lib/jvm/*",
        "/opt/java/*",
        "/Library/Java/JavaVirtualMachines/*/Contents/Home",
        str(Path.home() / ".sdkman/candidates/java/*"),
    ):
        root = Path(pattern.split("*")[0])
        for home in sorted(root.glob(pattern[len(str(root)) + 1 :])) if root.is_dir() else ():
            yield home.resolve()


def _jdk_major(home: Path) -> int | None:
    """`JAVA_VERSION="17.0.15"` in the file `release` -> 17; None where it is no JDK."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(version[1]) if version and (home / "bin" / "javac").exists() else None


# --- fetch --------------------------------------------------------------------------------------


def fetch(recipe: Recipe) -> Path:
    """Return the node's home, put together by Maven the first time that anyone asks."""
    home = recipe.home
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not home.exists():
            half = home.with_name(f"{home.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(recipe.source, half)
            _put_together(recipe, half)
            half.rename(home)
    return home


def _put_together(recipe: Recipe, home: Path) -> None:
    maven, jdk = shutil.which("mvn"), find_jdk(recipe.java)
    if maven is None:
        raise NodeError(
            f"{recipe.name} is fetched by Maven, and there is no mvn on the PATH. "
            "Install it (Debian: apt-get install maven)"
        )
    _run(
        f"Maven could not fetch {recipe.name} {recipe.version}",
        [
            *(maven, "--batch-mode", "--quiet", "--no-transfer-progress"),
            *(f"--file={home / 'pom.xml'}", f"-Dnode.version={recipe.version}"),
            "generate-resources",
        ],
    )
    # In plugins/ a node would take them for plugins.
    for left_over in [
        *home.rglob("pom.xml"),
        *home.rglob("target"),
    ]:
        shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
    for module in home.glob("modules/*"):
        if not any(module.glob("*.jar")):  # which this version does not have
            shutil.rmtree(module)
    _drop_what_lib_has(home)
    # OpenSearch 3 calls a module's class PainlessModulePlugin, 2 PainlessPlugin
    plugin = "Plugin" if recipe.version.startswith("2.") else "ModulePlugin"
    for descriptor in home.glob("modules/*/plugin-descriptor.properties"):
        text = descriptor.read_text().replace("${node.version}", recipe.version)
        descriptor.write_text(text.replace("${node.plugin}", plugin))
    _run(
        f"the launcher of {recipe.name} does not compile",
        [
            *(str(jdk / "bin" / "javac"), "-nowarn", "-proc:none", "-d", str(home / "classes")),
            *("-cp", f"{home}/lib/*", str(home / "Launch.java"), str(HERE / "Parent.java")),
        ],
    )


def _drop_what_lib_has(home: Path) -> None:
    """A module sees the server's jars; one that it brings a second time is "jar hell"."""

    def artifact(jar: Path) -> str:  # lucene-core-10.4.0.jar -> lucene-core
        return re.sub(r"-\d[^-]*(-SNAPSHOT|\.Final)?$", "", jar.stem)

    server = {artifact(jar) for jar in home.glob("lib/*.jar")}
    for jar in home.glob("modules/*/*.jar"):
        if artifact(jar) in server:
            jar.unlink()


def _run(what_failed: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"{what_failed}:\n{(done.stdout + done.stderr)[-3000:]}")


# --- start and stop -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A node that answers at `url`."""

    name: str
    version: str
    recipe_hash: str
    pid: int
    url: str


def start(recipe: Recipe, folder: Path, *, outlive: bool = False, ports: str = "0") -> Node:
    """Start a node with its data and log in `folder`; return when it is healthy.

    It dies with this process, however that ends, unless it shall `outlive` it.
    `ports` is a port, a range ("9200-9299"), or 0 for any that is free.
    """
    home, jdk = fetch(recipe), find_jdk(recipe.java)
    for name in ("data", "logs", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    port_file, log = folder / "port", folder / "node.log"
    port_file.unlink(missing_ok=True)
    settings = {
        "cluster.name": "stair-search-tests",
        "discovery.type": "single-node",
        "http.port": ports,
        "network.host": "127.0.0.1",
        "node.name": recipe.name,
        "path.data": str(folder / "data"),
        "path.home": str(home),
        "path.logs": str(folder / "logs"),
        "transport.port": "0",
        # A developer's disk may be fuller than a cluster's: indices must not turn read-only.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    command = [
        str(jdk / "bin" / "java"),
        *("-Xms512m", f"-Xmx{recipe.heap}", *recipe.options),
        f"-D{'opensearch' if recipe.folder == 'opensearch' else 'es'}.path.home={home}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j2.configurationFile={home / 'config' / 'log4j2.properties'}",
        "-Dlog4j2.disable.jmx=true",
        f"-Dstair.port.file={port_file}",
        f"-Dstair.dies.with.parent={str(not outlive).lower()}",
        *("-cp", f"{home / 'classes'}:{home}/lib/*", "Launch"),
        *(f"{key}={value}" for key, value in settings.items()),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if outlive else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop the node
        )
    try:
        url = _wait_until_healthy(recipe, process, port_file, log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    _processes[process.pid] = process
    return Node(recipe.name, recipe.version, recipe.hash, process.pid, url)


_processes: dict[int, subprocess.Popen[bytes]] = {}  # ours: to be waited for, and their stdin kept


def _wait_until_healthy(
    recipe: Recipe, process: subprocess.Popen[bytes], port_file: Path, log: Path
) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NodeError(
                f"{recipe.name} ended with {process.returncode} while starting; {log} ends:\n"
                + log.read_text(errors="replace")[-3000:]
            )
        if port_file.exists():
            url = f"http://127.0.0.1:{port_file.read_text()}"
            if answers(url, "/_cluster/health?wait_for_status=yellow&timeout=1s"):
                return url
        time.sleep(0.1)
    raise NodeError(
        f"{recipe.name} was not healthy after {START_SECONDS} s; {log} ends:\n"
        + log.read_text(errors="replace")[-3000:]
    )


def answers(url: str, path: str = "/_cluster/health") -> bool:
    """Whether a node without security answers there."""
    try:
        with urllib.request.urlopen(url + path, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def stop(node: Node) -> None:
    """End a node: asked first, killed after 20 s."""
    _signal(node.pid, signal.SIGTERM)
    process = _processes.pop(node.pid, None)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _alive(node.pid, process):
        time.sleep(0.05)
    if _alive(node.pid, process):
        _signal(node.pid, signal.SIGKILL)
    if process is not None:
        process.wait()


def kill(node: Node) -> None:
    """End a node of ours as `kill -9` does; its data stay, for a `start` in the same folder."""
    process = _processes.pop(node.pid)
    process.kill()
    process.wait()


def _alive(pid: int, process: subprocess.Popen[bytes] | None) -> bool:
    if process is not None:
        return process.poll() is None
    return _signal(pid, 0)


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def running(recipe: Recipe) -> Iterator[Node]:
    """A node with fresh data, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"stair-{recipe.name}-") as folder:
        node = start(recipe, Path(folder))
        try:
            yield node
        finally:
            stop(node)


# --- the nodes that `make engines` leaves running -----------------------------------------------

KEPT = HERE.parents[1] / ".engines"
URL_VARIABLES = {
    "opensearch": "STAIR_TEST_OPENSEARCH_URL",
    "opensearch2": "STAIR_TEST_OPENSEARCH2_URL",
    "elasticsearch7": "STAIR_TEST_ELASTICSEARCH7_URL",
    "elasticsearch8": "STAIR_TEST_ELASTICSEARCH8_URL",
    "elasticsearch9": "STAIR_TEST_ELASTICSEARCH_URL",
}
PORTS = {
    "opensearch": "9200-9219",
    "elasticsearch7": "9220-9239",
    "elasticsearch8": "9240-9259",
    "elasticsearch9": "9260-9279",
    "opensearch2": "9280-9299",
}


def kept(recipe: Recipe) -> Node | None:
    """The node that `make engines` left running in this clone, where it still is and still fits."""
    try:
        node = Node(**json.loads((KEPT / recipe.name / "node.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return node if node.recipe_hash == recipe.hash and answers(node.url) else None


def keep(recipe: Recipe) -> Node:
    """Start a node that stays, unless it is there already; its data survive a restart."""
    folder = KEPT / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if node := kept(recipe):
            return node
        node = start(recipe, folder, outlive=True, ports=PORTS[recipe.name])
        (folder / "node.json").write_text(json.dumps(node.__dict__))
        return node


def release(name: str) -> bool:
    """Stop a node that stays; True where there was one."""
    file = KEPT / name / "node.json"
    try:
        node = Node(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return False
    was_there = answers(node.url)
    if was_there:  # else the number may be another process's by now
        stop(node)
    file.unlink()
    return was_there
