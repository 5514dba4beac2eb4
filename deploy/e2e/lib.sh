# Addresses, directories and functions that all scripts here share. It is sourced, not run.
# shellcheck shell=bash disable=SC2034 # many variables are used by the scripts that source this file
set -euo pipefail

# Everything that is built or written, except for the source tree.
STATE=${SLUICE_E2E_DIR:-/tmp/sluice-e2e}
E2E=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd -P "$E2E/../.." && pwd -P)
PKI=$STATE/pki
RUN=$STATE/run
LOG=$STATE/log
IMAGES=$STATE/images
mkdir -p "$STATE/bin" "$PKI" "$RUN" "$LOG" "$IMAGES"

# The benchmark range (RFC 2544) and unique local addresses, which no network of the machine should use.
CP4=198.18.0.10 CP6=fd00:18::10
CLIENT4=198.18.0.100 CLIENT6=fd00:18::100
POD4=198.18.64.0/18 POD6=fd00:18:64::/56
SERVICE4=198.19.0.0/16 SERVICE6=fd00:19::/112
DNS4=198.19.0.53
node4() { echo "198.18.0.1$1"; }
node6() { echo "fd00:18::1$1"; }

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "needs root to create network namespaces"
}

# The path of a program: what ./build made, envtest's directory, the PATH. Prints nothing if there is none.
program() {
  local directory
  for directory in "$STATE/bin" "${KUBEBUILDER_ASSETS:-/nonexistent}"; do
    if [ -x "$directory/$1" ]; then
      echo "$directory/$1"
      return
    fi
  done
  PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$1" || true
}

# Those of these programs that are missing.
missing() {
  local name
  for name in "$@"; do
    [ -n "$(program "$name")" ] || printf ' %s' "$name"
  done
}

# The directory of the CNI plugins: Debian's, or that of the upstream archives.
cni_plugins() {
  local directory
  for directory in /usr/lib/cni /opt/cni/bin; do
    if [ -x "$directory/bridge" ]; then
      echo "$directory"
      return
    fi
  done
}

# in_namespace NAME COMMAND...: runs a command in a network namespace.
in_namespace() {
  local name=$1
  shift
  nsenter --net="/run/netns/sluice-$name" "$@"
}

k() {
  in_namespace cp "$(program kubectl)" --kubeconfig "$PKI/admin.kubeconfig" "$@"
}

# background NAME NAMESPACE COMMAND...: starts a process, with its output in $LOG/NAME.log and its id in $RUN/NAME.pid.
background() {
  local name=$1 namespace=$2
  shift 2
  setsid nsenter --net="/run/netns/sluice-$namespace" "$@" >> "$LOG/$name.log" 2>&1 < /dev/null &
  echo $! > "$RUN/$name.pid"
}

running() {
  [ -f "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2> /dev/null
}

# end NAME [SIGNAL]: ends a background process and waits for it; kills it after 10 s.
end() {
  local pid
  [ -f "$RUN/$1.pid" ] || return 0
  pid=$(cat "$RUN/$1.pid")
  kill "-${2:-TERM}" "$pid" 2> /dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2> /dev/null || true
  rm -f "$RUN/$1.pid"
}

# await SECONDS WHAT COMMAND...: repeats a command until it succeeds; fails with WHAT after SECONDS.
await() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what: not within the time; see $LOG"
    sleep 0.2
  done
}
