#!/usr/bin/env bash
# Builds the image from the Dockerfile with buildah, without an image registry: the two base images are a minimal
# Debian of this machine's own package sources, one of them with this machine's Node and npm. Usage: image.sh SOURCE
# prints a line each: user, entry point and command; megabytes; version; a validation; whether it can be written to.
# Kept in the cache: the base system. Exit 75: no
# base system can be made here, because containers or the package sources are out of reach. Certificates, npm's settings and npm's cache are mounted, so that
# what the machine must know to reach its package sources is no part of any image.
set -euo pipefail

source="$1"
# The machine's own Node and npm, with the settings that it reaches its registry by.
PATH="$(tr ':' '\n' <<<"$PATH" | grep -v node_modules | paste -sd:):/usr/sbin"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/remora-system/image"
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
storage=(--root "$cache/storage" --runroot "$cache/run")
mkdir -p "$cache"

buildah() { command buildah "${storage[@]}" "$@"; }

if ! buildah inspect --type image localhost/remora-node >/dev/null 2>&1; then
  root="$cache/root"
  rm -rf "$root"
  mapfile -t lists < <(find /etc/apt -name '*.list' -o -name '*.sources')
  sources="$(awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }' "${lists[@]}")"
  release="$(. /etc/os-release && echo "$VERSION_CODENAME")"
  debootstrap --variant=minbase --include=ca-certificates "$release" "$root" "$sources" >"$cache/debootstrap.log" 2>&1 ||
    { tail -n 5 "$cache/debootstrap.log" >&2; exit 75; }
  rm -rf "$root/etc/apt" && cp -r /etc/apt "$root/etc/apt"
  base="$(buildah from scratch)" || exit 75
  buildah copy -q "$base" "$root" / >&2
  buildah commit -q "$base" localhost/remora-debian >&2
  buildah copy -q "$base" "$(readlink -f "$(command -v node)")" /usr/local/bin/node >&2
  npm="$(readlink -f "$(command -v npm)")"
  buildah copy -q "$base" "${npm%/bin/npm-cli.js}" /usr/local/lib/node_modules/npm >&2
  buildah run "$base" ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm || exit 75
  buildah commit -q "$base" localhost/remora-node >&2
  buildah rm "$base" >/dev/null
  rm -rf "$root"
fi

mounts=(-v /etc/resolv.conf:/etc/resolv.conf:ro -v /etc/ssl/certs:/etc/ssl/certs:ro)
[ -f "$HOME/.npmrc" ] && mounts+=(-v "$HOME/.npmrc:/root/.npmrc:ro")
settings="$(npm config get globalconfig)"
[ -f "$settings" ] && mounts+=(-v "$settings:/usr/local/etc/npmrc:ro")
# The packages that this machine has already, by their hashes in the lock: each fetched again is one more that may fail.
packages="$(npm config get cache)"
[ -d "$packages" ] && mounts+=(-v "$packages:/root/.npm")
buildah bud -q --build-arg BASE=localhost/remora-node --build-arg RUNTIME=localhost/remora-debian "${mounts[@]}" \
  -t localhost/remora "$source" >&2
container="$(buildah from localhost/remora)"
trap 'buildah rm "$container" >/dev/null; buildah rmi localhost/remora >/dev/null; buildah rmi --prune >/dev/null 2>&1 || true' EXIT
mount="$(buildah mount "$container")"
# What the image says of itself, then what runs in it, as its own user.
buildah inspect --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}' "$container"
echo
du -sm "$mount" | cut -f1
in_it() { buildah run --user 1337:1337 "$container" -- node --no-concurrent-recompilation --min-semi-space-size=4 --max-semi-space-size=4 --no-async-context-frame /app/dist/remora.js "$@"; }
in_it --version
in_it proxy -c /app/config/proxy/front-proxy.yaml --validate
buildah run --user 1337:1337 "$container" -- sh -c 'touch /app/written 2>/dev/null && echo writable || echo read-only'
