#!/usr/bin/env bash
# tests/cluster/with_engine.sh COMMAND…: runs a command where a container engine answers and has the images.
#
# Where `docker info` succeeds, that is here. Elsewhere, as root, Debian's engine is installed into an overlay of / and
# runs in mount, network and process namespaces of its own: the machine stays as it is, and containers reach nothing
# outside. No image is pulled there: debootstrap makes Debian's own, and PostgreSQL and Valkey have stand-ins made of
# Debian's packages (stand_ins.yml). MILLSTREAM_ENGINE names a folder for all that, on a disk.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
ENGINE=${MILLSTREAM_ENGINE:-$checkout/.millstream/engine}
DATA=/var/lib/containers
# Where Compose looks for itself, whoever made the client.
PLUGINS=/usr/local/lib/docker/cli-plugins
export DOCKER_HOST

die() { echo "with_engine: $*" >&2; exit 1; }

# The overlay becomes the root; the checkout and the engine's data stay what they are.
inside() {
    mkdir -p "$ENGINE"/{upper,work,merged,containers}
    mount --make-rprivate /
    mount -t overlay overlay -o "lowerdir=/,upperdir=$ENGINE/upper,workdir=$ENGINE/work" "$ENGINE/merged"
    cd "$ENGINE/merged"
    mount --rbind /proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mkdir -p ".$DATA" ".$checkout" oldroot
    mount --bind "$ENGINE/containers" ".$DATA"
    mount --bind "$checkout" ".$checkout"
    mount -t tmpfs tmpfs run
    mkdir -p run/lock
    pivot_root . oldroot
    cd "$checkout"
    "$@"
}

install_engine() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        debootstrap docker.io iptables runc >/dev/null
    [ -d "$DATA/debian" ] || { debootstrap --variant=minbase bookworm "$DATA/debian.part" >/dev/null &&
        mv "$DATA/debian.part" "$DATA/debian"; }
    touch "$DATA/installed"
}

# The engine gives up when its containerd is not up after 15 s, as on a machine that is busy.
start_engine() {
    DOCKER_HOST=unix:///run/docker.sock
    for _ in 1 2 3; do
        rm -f /run/docker.pid
        dockerd --data-root "$DATA/docker" --exec-root /run/docker --host "$DOCKER_HOST" --pidfile /run/docker.pid \
            --storage-driver overlay2 "$@" >"$DATA/engine.log" 2>&1 &
        engine=$!
        # Also when a command fails.
        trap stop_engine EXIT
        while kill -0 "$engine" 2>/dev/null; do
            docker info >/dev/null 2>&1 && return
            sleep 0.2
        done
    done
    tail -n 20 "$DATA/engine.log" >&2
    die "the engine did not start"
}

stop_engine() {
    trap - EXIT
    kill "$engine" 2>/dev/null || :
    wait "$engine" || :
}

# With this machine's network, because packages are installed: without a bridge of its own.
build_images() {
    start_engine --bridge=none --iptables=false --ip-forward=false --ip-masq=false
    # Those of a run that was killed start again with the engine, and take what the build needs.
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null
    export DOCKER_BUILDKIT=0
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 ||
        tar -C "$DATA/debian" -c . | docker import - debian:bookworm-slim >/dev/null
    context=$DATA/context
    rm -rf "$context"
    mkdir -p "$context"
    git -C "$checkout" ls-files -co --exclude-standard -z |
        tar -C "$checkout" --null --ignore-failed-read -T - -c | tar -x -C "$context"
    cp /usr/local/share/ca-certificates/*.crt "$context/conf/certificates/" 2>/dev/null || :
    # By a name of its own the layer of the dependencies outlives what is pruned below.
    docker build --quiet --network host --target dependencies --tag millstream-dependencies "$context" >/dev/null
    docker build --quiet --network host --tag "millstream:$MILLSTREAM_VERSION" \
        --build-arg UID="$MILLSTREAM_UID" \
        --build-arg CODE_VERSION="$(git -C "$checkout" describe --always --dirty --abbrev=40 --exclude='*')" \
        "$context" >/dev/null
    for name in postgres valkey; do
        docker build --quiet --network host --tag "millstream-stand-in-$name" "$context/tests/cluster/stand_ins/$name" >/dev/null
    done
    docker image prune --force >/dev/null
    stop_engine
}

run_with_engine() {
    ip link set lo up
    mkdir -p "$PLUGINS"
    ln -sf "$("$checkout/.venv/bin/python" -c 'import compose; print(compose.__path__[0])')/docker-compose" "$PLUGINS/docker-compose"
    start_engine
    code=0
    "$@" || code=$?
    running=$(docker ps --quiet)
    [ -z "$running" ] || docker kill $running >/dev/null
    stop_engine
    return "$code"
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
    exit
fi
[ $# -gt 0 ] || die "which command?"
# The owner of the containers' data and secrets; root's are another user's.
user=$(id -u)
export MILLSTREAM_UID=${MILLSTREAM_UID:-${user/#0/1000}}
if docker info >/dev/null 2>&1; then
    docker compose build --quiet
    exec "$@"
fi
[ "$user" = 0 ] || die "no container engine answers, and only root can start one: start Docker, or become root"
export MILLSTREAM_ENGINE=$ENGINE MILLSTREAM_VERSION=test
export COMPOSE_FILE=docker-compose.yml:tests/cluster/stand_ins.yml
[ -f "$ENGINE/containers/installed" ] || unshare --mount "$0" --inside install_engine
unshare --mount "$0" --inside build_images
exec unshare --mount --net --pid --fork --mount-proc --kill-child "$0" --inside run_with_engine "$@"
