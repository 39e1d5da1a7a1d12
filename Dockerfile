# remora: proxy, control server and everything else in one image.
#   docker build -t remora .
#   docker run remora proxy -c /app/config/proxy/front-proxy.yaml
#
# Every stage's commands are those that a clone runs; no stage needs git. Liveness and readiness are Kubernetes probes
# on the admin port (/ready), so there is no HEALTHCHECK.

# Any Node from 20 on: it only fetches the one that package-lock.json pins.
ARG BASE=node:24-bookworm-slim
ARG RUNTIME=debian:bookworm-slim

FROM ${BASE} AS install
# What the pinned Node links to and a slim image may lack.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libatomic1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY package.json package-lock.json ./
COPY .ci/setup.mjs .ci/setup.mjs
RUN node .ci/setup.mjs packages

FROM install AS build
COPY . .
# Generates the xDS types and bundles, then gathers what ships: bundles, examples, Node and the libraries it links to.
RUN node .ci/setup.mjs \
 && mkdir -p /out/app /out/bin /out/lib \
 && cp -r dist config deploy package.json LICENSE /out/app/ \
 && cp "$(node_modules/.bin/node -p process.execPath)" /out/bin/node \
 && ldd /out/bin/node | awk '/libatomic|libstdc|libgcc/ { print $3 }' | xargs -I{} cp -L {} /out/lib/ \
 && /out/bin/node /out/app/dist/remora.js --version

FROM ${RUNTIME} AS runtime
# `remora iptables`, in pods' init containers: both backends, as the node's kernel has them.
RUN apt-get update \
 && apt-get install -y --no-install-recommends iptables iproute2 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/lib /usr/local/lib
COPY --from=build /out/bin/node /usr/local/bin/node
COPY --from=build /out/app /app
# On the path for hooks, which run in the container and not as its entry point.
RUN ldconfig \
 && chmod +x /app/dist/remora.js \
 && ln -s /app/dist/remora.js /usr/local/bin/remora
# A number, so that Kubernetes can check runAsNonRoot; any other does as well.
USER 1337:1337
WORKDIR /app
ENV NODE_ENV=production
# The flags are those of src/cli/process.ts, which says why.
ENTRYPOINT ["node", "--no-concurrent-recompilation", "--min-semi-space-size=4", "--max-semi-space-size=4", \
  "--no-async-context-frame", "/app/dist/remora.js"]
CMD ["--help"]
