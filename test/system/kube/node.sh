#!/usr/bin/env bash
# A real Kubernetes of one node: in a network namespace of its own, with containerd and images from this machine's files.
#   node.sh up                from nothing to a Ready node with DNS in 10 to 30 s; what runs already is kept
#   node.sh down              ends it by its pid files and takes its state away; the build and the images stay
#   node.sh is-up             by its exit code
#   node.sh kubectl …         kubectl as administrator
#   node.sh inside COMMAND…   runs something in the node's network
# It leaves the host's network as it was, but for one veth pair with its routes while it is up: pods are 10.244.0.0/24,
# services 10.96.0.0/16, the node 10.244.0.1 and 10.243.0.2 (NodePorts), the host 10.243.0.1. Nothing gets out.
# One at a time on a machine. As root.
set -euo pipefail

HERE="$(cd "$(dirname "$0")" && pwd)"
REPOSITORY="$(cd "$HERE/../../.." && pwd)"
HOME_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/remora-system"
STATE="$HOME_CACHE/node"
IMAGES="$HOME_CACHE/images"
NETWORK=remora-kube
NODE=node1
BRIDGE=10.244.0.1
HOST=10.243.0.1
OUTSIDE=10.243.0.2
DNS=10.96.0.10
SOCKET="$STATE/containerd.sock"
SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
export PATH="$PATH:/usr/sbin:/sbin"
export CONTAINERD_ADDRESS="$SOCKET" CONTAINERD_NAMESPACE=k8s.io KUBECONFIG="$STATE/admin.conf"

fail() {
  echo "test/system/kube: $*" >&2
  exit 1
}

# `ip netns exec` would hide /sys/fs/cgroup.
inside() { nsenter --net="/run/netns/$NETWORK" "$@"; }

programs() { BIN="$("$HERE/build.sh" "$@")/bin" || fail 'Kubernetes cannot be built'; }

# The number of a process that is gone may be somebody else's by now; ours have the folder in their arguments.
alive() { [ -s "$STATE/$1.pid" ] && grep -qsF "$STATE/" "/proc/$(cat "$STATE/$1.pid")/cmdline"; }

start() { # name, command …
  local name=$1
  shift
  alive "$name" && return
  (
    # A lock that the caller holds (flock) would be theirs for as long as they run.
    for fd in /proc/self/fd/*; do
      fd="${fd##*/}"
      [ "$fd" -le 2 ] || eval "exec $fd>&-"
    done
    exec setsid nsenter --net="/run/netns/$NETWORK" "$@" >>"$STATE/$name.log" 2>&1 </dev/null
  ) &
  echo $! >"$STATE/$name.pid"
}

stop() { # name, signal
  alive "$1" || return 0
  local pid
  pid="$(cat "$STATE/$1.pid")"
  kill "${2:--TERM}" "$pid" 2>/dev/null || true
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$STATE/$1.pid"
}

# What is waited for, the log that says why it does not come, the test.
await() {
  local what=$1 log=$2 end=$((SECONDS + 120))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -gt "$end" ]; then
      tail -n 30 "$STATE/$log.log" >&2 || true
      fail "waited 120 s for $what"
    fi
    sleep 0.2
  done
}

network() {
  [ -e "/run/netns/$NETWORK" ] && return
  ip netns add "$NETWORK"
  ip link add remora-kube0 type veth peer name outside netns "$NETWORK"
  ip addr add "$HOST/30" dev remora-kube0
  ip link set remora-kube0 up
  ip route add 10.244.0.0/24 via "$OUTSIDE"
  ip route add 10.96.0.0/16 via "$OUTSIDE"
  ip -n "$NETWORK" link set lo up
  ip -n "$NETWORK" addr add "$OUTSIDE/30" dev outside
  ip -n "$NETWORK" link set outside up
  ip -n "$NETWORK" link add pods type bridge
  ip -n "$NETWORK" addr add "$BRIDGE/24" dev pods
  ip -n "$NETWORK" link set pods up
  # kubelet and kube-proxy look for the address of the default route; the host forwards nothing.
  ip -n "$NETWORK" route add default via "$HOST"
  inside sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1 net.bridge.bridge-nf-call-iptables=1 \
    net.bridge.bridge-nf-call-ip6tables=1
}

# All pods are below one cgroup, so that `down` knows what is ours. It weighs as much as twenty of the host's processes:
# on a machine that does other things the pods would starve.
cgroups() {
  local hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$NETWORK"
    [ ! -e "/sys/fs/cgroup/$NETWORK/cpu.weight" ] || echo 1000 >"/sys/fs/cgroup/$NETWORK/cpu.weight"
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [ ! -e "$hierarchy/cgroup.procs" ] || mkdir -p "$hierarchy/$NETWORK"
  done
  echo 20480 >"/sys/fs/cgroup/cpu/$NETWORK/cpu.shares"
}

kubeconfig() { # file, token
  printf '%s' "{apiVersion: v1, kind: Config, clusters: [{name: k, cluster: {server: 'https://$BRIDGE:16443', certificate-authority: $STATE/pki/ca.crt}}], users: [{name: u, user: {token: $2}}], contexts: [{name: k, context: {cluster: k, user: u}}], current-context: k}" >"$STATE/$1.conf"
}

identities() {
  [ -s "$STATE/pki/apiserver.crt" ] && return
  mkdir -p "$STATE/pki"
  (
    cd "$STATE/pki"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=kubernetes -days 30
    openssl genrsa -traditional -out sa.key 2048
    openssl rsa -in sa.key -pubout -out sa.pub
    openssl req -newkey rsa:2048 -nodes -keyout apiserver.key -out apiserver.csr -subj /CN=kube-apiserver
    openssl x509 -req -in apiserver.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out apiserver.new -extfile <(
      echo "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$BRIDGE,IP:10.96.0.1"
    )
    # By tokens the programs know each other: no certificate runs out, and each is who RBAC expects.
    printf '%s\n' 'admin-token,admin,admin,"system:masters"' "node-token,system:node:$NODE,node,\"system:nodes\"" \
      manager-token,system:kube-controller-manager,manager scheduler-token,system:kube-scheduler,scheduler \
      proxy-token,system:kube-proxy,proxy >tokens.csv
    mv apiserver.new apiserver.crt
  ) >"$STATE/openssl.log" 2>&1 || fail "openssl failed: $(cat "$STATE/openssl.log")"
  for who in admin node manager scheduler proxy; do kubeconfig "$who" "$who-token"; done
}

write_configs() {
  cat >"$STATE/containerd.toml" <<EOF
version = 2
root = "$STATE/containerd"
state = "$STATE/containerd-run"
[grpc]
  address = "$SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/remora-test/pause:1"
  # Without CAP_SYS_RESOURCE runc cannot lower a score, and says "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
EOF
  mkdir -p "$STATE/cni"
  cat >"$STATE/cni/10-pods.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "$STATE/addresses", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
EOF
  : >"$STATE/resolv.conf"
  cat >"$STATE/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$NETWORK
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$SOCKET
clusterDNS: [$DNS]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
podLogsDir: $STATE/logs
volumePluginDir: $STATE/plugins
serializeImagePulls: false
# ConfigMaps and Secrets are seen at once, not a minute later.
configMapAndSecretChangeDetectionStrategy: Watch
syncFrequency: 10s
# An image that was deleted could not be pulled again.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
enforceNodeAllocatable: []
EOF
  # kube-proxy ends when this is written under it.
  alive kube-proxy || cat >"$STATE/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $STATE/proxy.conf}
mode: iptables
clusterCIDR: 10.244.0.0/24
hostnameOverride: $NODE
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 0s}
EOF
}

import_images() {
  python3 "$HERE/images.py" "$IMAGES" "$BIN" "$REPOSITORY" >&2
  local archive mark
  for archive in "$IMAGES"/*.tar; do
    mark="$STATE/$(basename "$archive").id"
    cmp -s "$archive.id" "$mark" && continue
    ctr images import "$archive" >/dev/null || fail "containerd takes no $archive"
    cp "$archive.id" "$mark"
  done
}

up() {
  [ "$(id -u)" -eq 0 ] || fail 'a node needs root'
  [ -f "$REPOSITORY/dist/remora.js" ] || fail 'dist/remora.js is missing: run `npm run setup`'
  programs node
  mkdir -p "$STATE"
  exec 8>"$STATE/lock"
  flock 8
  # Programs that stay must not keep the lock.
  up_locked 8>&-
}

up_locked() {
  network
  cgroups
  identities
  write_configs
  local pki="$STATE/pki"
  start containerd containerd -c "$STATE/containerd.toml"
  start etcd etcd --data-dir "$STATE/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls \
    http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --logger zap --log-level warn
  start kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --secure-port=16443 \
    --bind-address=0.0.0.0 --advertise-address="$BRIDGE" --allow-privileged --service-cluster-ip-range=10.96.0.0/16 \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --token-auth-file="$pki/tokens.csv" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$pki/sa.pub" \
    --service-account-signing-key-file="$pki/sa.key" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --kubelet-preferred-address-types=InternalIP
  await containerd containerd ctr version
  import_images
  await 'the API server' kube-apiserver inside curl -sf --cacert "$pki/ca.crt" https://127.0.0.1:16443/readyz
  start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$STATE/manager.conf" --leader-elect=false \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --bind-address=127.0.0.1 \
    --use-service-account-credentials --flex-volume-plugin-dir="$STATE/plugins" --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
  start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$STATE/scheduler.conf" --leader-elect=false --bind-address=127.0.0.1
  # kubelet sets these for the whole kernel.
  [ -s "$STATE/sysctls" ] || sysctl "${SYSCTLS[@]}" 2>/dev/null | tr -d ' ' >"$STATE/sysctls"
  start kubelet "$BIN/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$STATE/node.conf" \
    --root-dir="$STATE/kubelet" --cert-dir="$STATE/kubelet-pki" --hostname-override="$NODE" --node-ip="$BRIDGE"
  start kube-proxy "$BIN/kube-proxy" --config="$STATE/kube-proxy.yaml"
  await 'the node' kubelet inside "$BIN/kubectl" wait --for=condition=Ready "node/$NODE" --timeout=1s
  sysctl -qp "$STATE/sysctls" || true
  await 'service accounts' kube-controller-manager inside "$BIN/kubectl" get serviceaccount default
  inside "$BIN/kubectl" apply --server-side -f "$HERE/coredns.yaml" >/dev/null
  await 'cluster DNS' kubelet inside "$BIN/kubectl" -n kube-system wait --for=condition=Available deployment/coredns --timeout=1s
}

down() {
  local name task container process mount
  # Those that would start anew what is ended.
  for name in kubelet kube-controller-manager kube-scheduler kube-proxy; do
    alive "$name" && kill "$(cat "$STATE/$name.pid")"
  done
  for name in kubelet kube-controller-manager kube-scheduler kube-proxy; do stop "$name"; done
  if alive containerd; then
    for _ in 1 2 3 4 5; do
      [ -n "$(ctr tasks ls -q)" ] || break
      for task in $(ctr tasks ls -q); do ctr tasks kill -s SIGKILL -a "$task"; done >/dev/null 2>&1
      sleep 0.5
      for task in $(ctr tasks ls -q); do ctr tasks rm -f "$task"; done >/dev/null 2>&1
    done
    for container in $(ctr containers ls -q); do ctr containers rm "$container"; done >/dev/null 2>&1
  fi
  stop kube-apiserver -KILL
  stop etcd -KILL
  # Shims have no pid file, but name our socket.
  for process in /proc/[0-9]*; do
    { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -q "containerd-shim-runc-v2 .*-address $SOCKET " &&
      kill "${process#/proc/}"
  done
  stop containerd
  # What containers a dead containerd left behind.
  find /sys/fs/cgroup -path "*/$NETWORK/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | while read -r process; do
    kill -KILL "$process"
  done
  awk -v state="$STATE/" 'index($2, state) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
  ip netns del "$NETWORK" 2>/dev/null
  ip link del remora-kube0 2>/dev/null
  find /var/log/containers /var/log/pods -lname "$STATE/*" -delete 2>/dev/null
  for _ in 1 2 3; do find /sys/fs/cgroup -depth -type d \( -path "*/$NETWORK/*" -o -name "$NETWORK" \) -exec rmdir {} + 2>/dev/null; done
  [ ! -s "$STATE/sysctls" ] || sysctl -qp "$STATE/sysctls"
  rm -rf "$STATE"
}

verb=${1:-}
shift || true
case "$verb" in
  up) up ;;
  down)
    # Everything is tried, whatever is gone already.
    set +e
    down
    [ ! -e "$STATE" ] || fail "cannot take $STATE away"
    ;;
  kubectl)
    programs kubectl
    inside "$BIN/kubectl" "$@"
    ;;
  inside) inside "$@" ;;
  is-up) alive kubelet ;;
  *) fail "node.sh up|down|is-up|kubectl|inside, got '$verb'" ;;
esac
