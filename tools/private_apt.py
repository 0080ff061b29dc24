# SPDX-License-Identifier: GPL-2.0-only
"""The distribution's package lists and files, through an apt configuration of our own.

The mirror is taken from the machine's own apt settings; lists, state and downloads live in
the project's cache, so neither root nor a change to the machine is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernel_lock import OWN_LISTS
from progress import Progress
from tool_error import SourceError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
OWN_TREE_HINT = "or give a tree of your own: make KERNEL=/path/to/linux"
DISK_FULL = re.compile(r"No space left on device|\(28: ")
NO_NETWORK = re.compile(
    r"Temporary failure resolving|Could not resolve|Unable to connect|Could not connect|"
    r"Network is unreachable|Connection (timed out|refused|failed)|No route to host"
)


@dataclass(frozen=True)
class Package:
    """One version of a package, as the signed lists describe it."""

    name: str
    version: str
    size_bytes: int
    sha256: str
    file_name: str


@dataclass(frozen=True)
class MachineSource:
    """One suite of one mirror that the machine's own settings name."""

    uri: str
    suite: str
    component: str


def codename() -> str:
    """The code name of the running distribution, '' if it does not tell."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', text, re.MULTILINE)
    return found.group(1) if found else ""


def machine_sources(text: str, release: str) -> list[MachineSource]:
    """The distribution's own suites among the lines that `apt-get indextargets` printed."""
    own = {release, f"{release}-updates", f"{release}-security", f"{release}-backports"}
    sources: list[MachineSource] = []
    for line in text.splitlines():
        uri, _, rest = line.partition("|")
        suite, _, component = rest.partition("|")
        source = MachineSource(uri, suite, component)
        if suite in own and component == "main" and source not in sources:
            sources.append(source)
    return sources


class PrivateApt:
    """apt-get and apt-cache with lists, state and cache below one directory."""

    def __init__(self, directory: Path, release: str | None = None) -> None:
        self.directory = directory
        self._release = codename() if release is None else release

    def look_up(self, package: str, suite: str) -> list[Package]:
        """All versions of a package in a suite, newest first, from freshly fetched lists."""
        self._prepare(suite)
        self._run("apt-get", suite, "update", "-o", "APT::Update::Error-Mode=any")
        text = self._run("apt-cache", suite, "show", package, check=False)
        return parse_packages(text)

    def offered_series(self, suite: str) -> list[str]:
        """The kernel series whose source the last fetched lists of a suite offer."""
        text = self._run("apt-cache", suite, "search", "--names-only", "^linux-source-[0-9]")
        return sorted(set(re.findall(r"^linux-source-([0-9.]+) ", text, re.MULTILINE)))

    def download(self, package: Package, suite: str, folder: Path) -> Path:
        """Fetches a package file into a folder of its own and returns its path, unverified."""
        target = folder / package.file_name
        display = Progress(f"Fetching {package.file_name}", package.size_bytes)

        def show() -> None:
            done = target.stat().st_size if target.exists() else 0
            display.update(done, f"{done >> 20} of {package.size_bytes >> 20} MiB")

        try:
            wanted = f"{package.name}={package.version}"
            self._run("apt-get", suite, "download", wanted, cwd=folder, show=show)
        except SourceError:
            display.clear()
            raise
        display.finish(f"{package.size_bytes >> 20} MiB")
        if not target.exists():
            raise SourceError(
                f"apt-get ended well but left no {package.file_name}; run the command again."
            )
        return target

    def _prepare(self, suite: str) -> None:
        """Lays out the private directories and writes the sources list of one suite."""
        home = self._home(suite)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (home / name).mkdir(parents=True, exist_ok=True)
        (home / "status").touch()
        (home / "sources.list").write_text(self._sources_list(suite), encoding="utf-8")

    def _sources_list(self, suite: str) -> str:
        listing = _run_program(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"]
        )
        sources = machine_sources(listing, self._release)
        main = [source for source in sources if source.suite == self._release]
        if not main:
            raise SourceError(
                "The apt settings of this machine name no Debian mirror to fetch kernel sources "
                f"from; add one under /etc/apt, {OWN_TREE_HINT}."
            )
        if suite != OWN_LISTS:
            sources = [MachineSource(main[0].uri, suite, "main")]
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        return "".join(f"deb {signed}{s.uri} {s.suite} {s.component}\n" for s in sources)

    def _home(self, suite: str) -> Path:
        return self.directory / suite

    def _run(
        self,
        program: str,
        suite: str,
        *arguments: str,
        check: bool = True,
        cwd: Path | None = None,
        show: Callable[[], None] | None = None,
    ) -> str:
        home = self._home(suite)
        settings = {
            "Dir::Etc::sourcelist": home / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": home / "state",
            "Dir::State::Lists": home / "state/lists",
            "Dir::State::status": home / "status",
            "Dir::Cache": home / "cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
        }
        if os.geteuid() == 0:
            # apt's own unprivileged user may not write below the cache of root.
            settings["APT::Sandbox::User"] = "root"
        options = [word for item in settings.items() for word in ("-o", f"{item[0]}={item[1]}")]
        return _run_program([program, *options, *arguments], check=check, cwd=cwd, show=show)


def parse_packages(text: str) -> list[Package]:
    """The records that `apt-cache show` prints, in its order: newest version first."""
    packages: list[Package] = []
    for record in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", record, re.MULTILINE))
        if {"Package", "Version", "Size", "SHA256", "Architecture"} <= fields.keys():
            # apt-get names the file by the version; an epoch's colon is written as %3a.
            version = fields["Version"].replace(":", "%3a")
            packages.append(
                Package(
                    name=fields["Package"],
                    version=fields["Version"],
                    size_bytes=int(fields["Size"]),
                    sha256=fields["SHA256"],
                    file_name=f"{fields['Package']}_{version}_{fields['Architecture']}.deb",
                )
            )
    return packages


def explain_apt_failure(output: str) -> SourceError:
    """Turns what apt printed into one sentence that says what to do."""
    lines = [line for line in output.splitlines() if line.startswith(("E: ", "W: ", "Err:"))]
    first = lines[0] if lines else "apt printed nothing"
    if DISK_FULL.search(output):
        return SourceError(
            "The disk is full: the kernel source could not be fetched; free about 2.5 GiB for "
            "each kernel, or move the cache with PYLIBOS_CACHE=/other/folder."
        )
    if NO_NETWORK.search(output):
        return SourceError(
            f"The distribution's mirror cannot be reached ({first}); check the network and run "
            f"the command again, {OWN_TREE_HINT}."
        )
    return SourceError(
        f"apt could not fetch the kernel source ({first}); check that apt-get update works on "
        f"this machine, {OWN_TREE_HINT}."
    )


def _run_program(
    command: list[str],
    check: bool = True,
    cwd: Path | None = None,
    show: Callable[[], None] | None = None,
) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except FileNotFoundError:
        raise SourceError(
            f"{command[0]} is not on this machine, so no distribution package can be fetched; "
            "check out kernel-src (git submodule update --init --checkout kernel-src) "
            f"{OWN_TREE_HINT}."
        ) from None
    try:
        output = _collect(process, show)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if check and process.returncode != 0:
        raise explain_apt_failure(output)
    return output


def _collect(process: subprocess.Popen[str], show: Callable[[], None] | None) -> str:
    """All output of a process; calls `show` about ten times a second while it runs."""
    if show is None:
        return process.communicate()[0]
    while True:
        try:
            return process.communicate(timeout=0.1)[0]
        except subprocess.TimeoutExpired:
            show()
