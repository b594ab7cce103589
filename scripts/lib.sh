# Shared by the scripts of this folder: sourced, never run.
#
# `bootstrap` makes .venv and .meridian/jars what requirements.lock and flink-conf/jars.lock say, and does nothing, in a
# few milliseconds, when they are already.

# Works from any directory and through symbolic links to the scripts.
ROOT="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)"
VENV="$ROOT/.venv"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    [[ -z "${2:-}" ]] || say "hint:  $2"
    exit 3
}

is_python311() {
    [[ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" == "3.11" ]]
}

find_python() {
    local candidate
    for candidate in "${MERIDIAN_PYTHON:-}" python3.11 python3 python; do
        [[ -n "$candidate" ]] && command -v "$candidate" >/dev/null && is_python311 "$candidate" || continue
        command -v "$candidate"
        return
    done
    die "Python 3.11 not found (apache-flink 2.2 does not run on newer ones with this lock file)" \
        "install python3.11, or set MERIDIAN_PYTHON to it"
}

# Debian and Ubuntu keep the part of Python that makes virtual environments in a package of its own.
ensure_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    local packages="python3.11-venv"
    if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
        say "installing $packages …"
        { apt-get install -y -q "$packages" || { apt-get update -q && apt-get install -y -q "$packages"; }; } \
            >/dev/null 2>&1 || true
        "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    fi
    die "this Python cannot make virtual environments" "run: sudo apt-get install $packages"
}

fingerprint() {
    # The folder is part of it: a virtual environment that has been moved or copied does not work.
    { printf '%s\n' "$ROOT"; cat "$ROOT/requirements.lock" "$ROOT/pyproject.toml"; } | sha256sum | cut -d' ' -f1
}

# Reads into REPLY instead of printing: saves a process per file on the quick path.
read_stamp() {
    REPLY=""
    [[ -r "$1" ]] && read -r REPLY <"$1" || true
}

# pip brings its own list of certificates, which does not know the one of an inspecting proxy; the system's does.
trust_system_certificates() {
    [[ -z "${PIP_CERT:-}" ]] && ! "$VENV/bin/python" -m pip config get global.cert >/dev/null 2>&1 || return 0
    local bundle
    for bundle in "${REQUESTS_CA_BUNDLE:-}" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt \
        /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [[ -n "$bundle" && -r "$bundle" ]] && export PIP_CERT="$bundle" && return 0
    done
    return 0
}

bootstrap_venv() {
    local stamp="$VENV/.meridian-bootstrap" wanted
    wanted="$(fingerprint)"
    read_stamp "$stamp"
    [[ "$REPLY" == "$wanted" && -x "$VENV/bin/meridian" ]] && return
    if ! is_python311 "$VENV/bin/python"; then
        local python
        python="$(find_python)"
        ensure_venv_module "$python"
        say "creating .venv with $("$python" --version) …"
        "$python" -m venv --clear "$VENV" || die "cannot create $VENV"
    fi
    trust_system_certificates
    say "installing packages of requirements.lock (the first time takes a few minutes) …"
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input install --quiet)
    "${pip[@]}" --require-hashes -r "$ROOT/requirements.lock" \
        || die "pip could not install requirements.lock" "see pip's message above; run the script again to go on"
    "${pip[@]}" --no-deps --no-build-isolation -e "$ROOT" || die "pip could not install the project itself"
    (bootstrap_libpython) || say "execution_mode: thread is not available here: see the lines above"
    printf '%s\n' "$wanted" >"$stamp"
}

# Python as a shared library, for operators within a TaskManager's process (docs/execution-mode.md). Debian's python3.11 has
# it in a package of its own.
bootstrap_libpython() {
    [[ -z "$("$VENV/bin/find_libpython")" ]] || return 0
    local target="$ROOT/.meridian/libpython" library
    unpack_debian libpython3.11 "$target" alone
    library=("$target"/usr/lib/*-linux-*/libpython3.11.so.1.0)
    ln -sf "${library[0]}" "$VENV/lib/libpython3.11.so"
    [[ -n "$("$VENV/bin/find_libpython")" ]] || die "the unpacked libpython3.11 is not found"
}

bootstrap_jars() {
    local wanted
    wanted="$(sha256sum <"$ROOT/flink-conf/jars.lock")"
    read_stamp "$ROOT/.meridian/jars/.verified"
    [[ "$REPLY" == "${wanted%% *}" ]] && return
    "$VENV/bin/meridian" jars
}

bootstrap() {
    # Two terminals at once must not install into the same environment; the lock is free again when this process ends.
    mkdir -p "$ROOT/.meridian"
    exec 9>"$ROOT/.meridian/bootstrap.lock"
    if command -v flock >/dev/null; then
        flock -n 9 || { say "waiting for another bootstrap …"; flock 9; }
    fi
    # apache-beam's version of setuptools and our own tools must not see packages of the calling shell.
    unset PYTHONPATH PYTHONHOME
    bootstrap_venv
    bootstrap_jars
    exec 9>&-
}

# Unpacks Debian packages into a folder, without installing them: that needs no root, starts no service and leaves the
# system as it is. The first package names what is missing to the user; with `deps`, what it depends on comes too.
unpack_debian() {
    local package="$1" target="$2" what="$3" work
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null \
        || die "$package not found" "install it by your system's package manager"
    say "fetching the Debian package of $package …"
    work="$(mktemp -d)"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$target"
    local apt=(timeout 180 apt-get -q -o Debug::NoLocking=1 -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
        -o "APT::Sandbox::User=$(id -un)")
    local get=(install -y --no-install-recommends --download-only "$package")
    [[ "$what" == deps ]] || get=(download "$package")
    { "${apt[@]}" update && (cd "$work/cache/archives" && "${apt[@]}" "${get[@]}"); } >"$work/log" 2>&1 \
        || { tail -3 "$work/log" >&2; rm -rf "$work"; die "apt-get could not fetch $package" \
        "install it as root: apt-get install $package"; }
    local file
    for file in "$work"/cache/archives/*.deb; do dpkg-deb -x "$file" "$target"; done
    rm -rf "$work"
}

# Mosquitto for `meridian up --mqtt`.
bootstrap_mosquitto() {
    local target="$ROOT/.meridian/mosquitto"
    [[ -x "$target/mosquitto" && -x "$target/mosquitto_passwd" ]] && return
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/opt/homebrew/sbin" command -v "${MERIDIAN_MOSQUITTO:-mosquitto}" >/dev/null && return
    unpack_debian mosquitto "$target" deps
    local libraries=("$target"/usr/lib/*-linux-*/) program
    for program in sbin/mosquitto bin/mosquitto_passwd; do
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' \
            "${libraries[0]}" "$target/usr/$program" >"$target/${program#*/}"
        chmod +x "$target/${program#*/}"
    done
    "$target/mosquitto" -h >/dev/null 2>&1 || [[ $? -eq 3 || $? -eq 1 ]] || die "the unpacked Mosquitto does not run"
}

# Prometheus and promtool for `meridian up --observe`: Go programs that need nothing but libc.
bootstrap_prometheus() {
    local target="$ROOT/.meridian/prometheus"
    [[ -x "$target/usr/bin/prometheus" ]] && return
    command -v "${MERIDIAN_PROMETHEUS:-prometheus}" >/dev/null && return
    unpack_debian prometheus "$target" alone
    "$target/usr/bin/prometheus" --version >/dev/null 2>&1 || die "the unpacked Prometheus does not run"
}
