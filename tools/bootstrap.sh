#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Sets up what building and running need: packages of the distribution, and .venv.
#
# usage: tools/bootstrap.sh [SECTION...]     sections of tools/apt-packages.txt; 'build' always
#
# Shell, since python3 itself may be missing. Nothing to do takes a few hundredths of a second.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
list=$root/tools/apt-packages.txt
venv=$root/.venv
stamp=$venv/pylibos-requirements
# The Makefile puts .venv first, but .venv must be made by the Python outside it.
PATH=$(printf '%s' "$PATH" | sed "s|$venv/bin:||")

say() { printf '%s\n' "$*" >&2; }

# The packages of the sections given as arguments.
packages_of() {
	awk -v wanted=" $* " '
		/^\[/ { section = substr($0, 2, index($0, "]") - 2); next }
		/^[^#]/ && index(wanted, " " section " ") { print $1 }' "$list"
}

# Those of the packages given as arguments that are not installed.
missing_of() {
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
		awk '$1 == "installed" { print $2 }') || true
	for package in "$@"; do
		printf '%s\n' "$installed" | grep -qxF "$package" || printf '%s ' "$package"
	done
}

install_packages() {
	command -v dpkg-query >/dev/null || {
		say "warning: This is no Debian; see tools/apt-packages.txt for what must be there."
		return
	}
	missing=$(missing_of $(packages_of build "$@"))
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		say "error: These packages are missing: $missing"
		say "Install them as root (apt-get install $missing) and run the command again."
		exit 2
	fi
	say "Installing packages: $missing"
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	# Servers are for tests to start: where no init runs, as in a container, this keeps them down.
	export RUNLEVEL=1
	if ! { apt-get update && apt-get install --yes --no-install-recommends $missing; } \
		>"$log" 2>&1 </dev/null; then
		grep -E '^(E|W|Err)' "$log" | head -n 5 >&2 || true
		say "error: apt could not install $missing; the whole log is in $log."
		exit 2
	fi
	rm -f "$log"
}

# The Python requirements, read from pyproject.toml: it is their only list.
requirements() {
	"$1" - "$root/pyproject.toml" <<-'PYTHON'
		import sys, tomllib
		project = tomllib.load(open(sys.argv[1], "rb"))["project"]
		extra = project["optional-dependencies"]["dev"]
		print("\n".join(project["dependencies"] + extra))
	PYTHON
}

make_venv() {
	wanted=$(cat "$root/pyproject.toml" "$root/tools/bootstrap.sh" | sha256sum)
	if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$venv/bin/python" ]; then
		return 0
	fi
	python=${PYTHON:-python3}
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
		say "error: $python is older than 3.11; give a newer one: make PYTHON=/path/to/python3."
		exit 2
	}
	if ! [ -x "$venv/bin/pip" ]; then
		say "Making .venv with $("$python" --version)."
		rm -rf "$venv"
		"$python" -m venv "$venv" || {
			say "error: $python could not make .venv; install python3-venv and run again."
			exit 2
		}
	fi
	say "Installing the Python packages that pyproject.toml names."
	requirements "$venv/bin/python" >"$venv/requirements.txt"
	"$venv/bin/pip" install -qq --disable-pip-version-check --requirement \
		"$venv/requirements.txt" </dev/null || {
		say "error: pip could not install the packages; check the network and run again."
		exit 2
	}
	printf '%s\n' "$wanted" >"$stamp"
}

install_packages "$@"
make_venv
