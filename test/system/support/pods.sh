#!/usr/bin/env bash
# Two pods and a node, as network namespaces on one bridge; the pods' connections are redirected to 15001 and 15006.
#   pods.sh up NAME REDIRECT|TPROXY    makes NAME-node (10.1.0.1, fd00:1::1), NAME-a (10.1.0.7, fd00:1::7), NAME-b (…8)
#   pods.sh down NAME
# The node also has 203.0.113.9 and 2001:db8::9, which nobody knows. Proxies run as group 1337, which no rule catches.
set -euo pipefail
verb=$1 name=$2 mode=${3:-REDIRECT}
node=$name-node
within() { ip netns exec "$@"; }

down() {
  for one in node a b; do ip netns del "$name-$one" 2>/dev/null || true; done
}

pod() { # namespace, last part of its addresses
  local ns=$1 n=$2
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  ip -n "$node" link add "veth$n" type veth peer name eth0 netns "$ns"
  ip -n "$node" link set "veth$n" master br0 up
  ip -n "$ns" link set eth0 up
  ip -n "$ns" addr add "10.1.0.$n/24" dev eth0
  ip -n "$ns" addr add "fd00:1::$n/64" dev eth0 nodad
  ip -n "$ns" route add default via 10.1.0.1
  ip -n "$ns" -6 route add default via fd00:1::1
  # What the proxy calls the app from.
  ip -n "$ns" addr add ::6/128 dev lo nodad
  redirect "$ns" iptables 127.0.0.6 127.0.0.1
  redirect "$ns" ip6tables ::6 ::1
}

redirect() { # namespace, program, the proxy's address for the app, loopback
  local ns=$1 tables=$2 proxy=$3 loopback=$4
  local nat=(within "$ns" "$tables" -w -t nat)
  "${nat[@]}" -A OUTPUT -o lo -s "$proxy" -j RETURN
  "${nat[@]}" -A OUTPUT -o lo ! -d "$loopback" -p tcp -m owner --gid-owner 1337 -j REDIRECT --to-ports 15006
  "${nat[@]}" -A OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
  "${nat[@]}" -A OUTPUT -m owner --gid-owner 1337 -j RETURN
  "${nat[@]}" -A OUTPUT -d "$loopback" -j RETURN
  "${nat[@]}" -A OUTPUT -p tcp -j REDIRECT --to-ports 15001
  if [ "$mode" = REDIRECT ]; then
    "${nat[@]}" -A PREROUTING -p tcp -j REDIRECT --to-ports 15006
    return
  fi
  local mangle=(within "$ns" "$tables" -w -t mangle) family=-4
  [ "$tables" = iptables ] || family=-6
  "${mangle[@]}" -A PREROUTING -i lo -j RETURN
  "${mangle[@]}" -N DIVERT
  "${mangle[@]}" -A DIVERT -j MARK --set-mark 1337
  "${mangle[@]}" -A DIVERT -j ACCEPT
  "${mangle[@]}" -A PREROUTING -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -m socket -j DIVERT
  # Answers to what the pod called itself are not for the proxy's port.
  "${mangle[@]}" -A PREROUTING -p tcp -m conntrack --ctstate NEW -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006
  ip -n "$ns" "$family" rule add fwmark 1337 lookup 133
  ip -n "$ns" "$family" route add local default dev lo table 133
}

up() {
  ip netns add "$node"
  ip -n "$node" link set lo up
  ip -n "$node" link add br0 type bridge
  ip -n "$node" link set br0 up
  ip -n "$node" addr add 10.1.0.1/24 dev br0
  ip -n "$node" addr add fd00:1::1/64 dev br0 nodad
  ip -n "$node" addr add 203.0.113.9/32 dev lo
  ip -n "$node" addr add 2001:db8::9/128 dev lo nodad
  pod "$name-a" 7
  pod "$name-b" 8
}

case $verb in
  up) down; trap 'down' ERR; up ;;
  down) down ;;
esac
