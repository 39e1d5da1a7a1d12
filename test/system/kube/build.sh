#!/usr/bin/env bash
# Kubernetes' own commands from their Go module, into a cache; prints the folder. A second run takes a second.
#   test/system/kube/build.sh [kube-apiserver kubectl …]    default: what tests of the API alone need
#   test/system/kube/build.sh node                          all that a node takes, with CoreDNS
# The first run takes 8 minutes for all on two idle cores, 15 on busy ones. What lies in $KUBE_HOME from elsewhere is
# taken over.
set -euo pipefail
cd "$(dirname "$0")"

VERSION="$(sed -n 's/.*k8s.io\/kubernetes v\([0-9.]*\).*/\1/p' go.mod | head -n 1)"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/remora-system/kube-$VERSION"
OTHER="${KUBE_HOME:-$HOME/.cache/kube-node}/build/bin"
LOCK="$CACHE/lock"
[ -n "$VERSION" ] || { echo 'test/system/kube: go.mod names no version of k8s.io/kubernetes' >&2; exit 1; }
mkdir -p "$CACHE/bin"

fail() {
  echo "test/system/kube: $*" >&2
  exit 1
}

# Without these the version is v0.0.0-master+$Format:%H$, which clients that parse it complain about.
package=k8s.io/component-base/version
flags="-s -w -X $package.gitMajor=${VERSION%%.*} -X $package.gitMinor=$(echo "$VERSION" | cut -d. -f2)"
flags="$flags -X $package.gitVersion=v$VERSION -X $package.gitTreeState=clean"

build() { # name, version, linker's flags, [-C folder,] package
  command -v go >/dev/null || fail 'go is missing: install Go 1.26 or later'
  echo "test/system/kube: building $1 $2 …" >&2
  local folder=.
  [ "$4" != -C ] || folder=$5
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS='-buildvcs=false -mod=readonly' nice -n 5 \
    go build -ldflags="$3" -o "$CACHE/bin/$1.new" "${@: -1}") || fail "$1 cannot be built"
  mv "$CACHE/bin/$1.new" "$CACHE/bin/$1"
}

[ "$#" -gt 0 ] || set -- kube-apiserver kubectl
[ "$*" != node ] || set -- kube-apiserver kubectl kube-controller-manager kube-scheduler kube-proxy kubelet coredns
exec 9>"$LOCK"
flock 9
for command in "$@"; do
  [ -x "$CACHE/bin/$command" ] && continue
  if [ "$command" = coredns ]; then
    build coredns "$(sed -n 's/.*coredns v\(.*\)/\1/p' coredns/go.mod | head -n 1)" '-s -w' -C coredns .
    continue
  fi
  if [ -x "$OTHER/$command" ] && [ "$("$OTHER/$command" --version 2>/dev/null)" = "Kubernetes v$VERSION" ]; then
    cp "$OTHER/$command" "$CACHE/bin/$command"
    continue
  fi
  build "$command" "$VERSION" "$flags" "k8s.io/kubernetes/cmd/$command"
done

# Istio's CRDs are a file of its module; nothing of it is built. Only the latest version is served by the proxy.
if [ ! -s "$CACHE/istio-crds.yaml" ]; then
  command -v go >/dev/null || fail 'go is missing: install Go 1.26 or later'
  folder="$(cd "$CACHE" && go mod download -json istio.io/istio@latest | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')"
  [ -n "$folder" ] || fail 'the module istio.io/istio cannot be downloaded'
  cp "$folder/manifests/charts/base/files/crd-all.gen.yaml" "$CACHE/istio-crds.yaml"
  chmod u+w "$CACHE/istio-crds.yaml"
fi
echo "$CACHE"
