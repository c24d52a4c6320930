# The node agent, and what it writes redirection rules with. Build from the root of the repository:
#   docker build -f manifests/docker/node-agent.Dockerfile -t ambit-node-agent .
ARG RUST=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p ambit-node-agent --bin ambit-node-agent

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends nftables iptables iproute2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/ambit-node-agent /usr/local/bin/ambit-node-agent
# Root, for the host role: it gives its other roles users of their own.
ENTRYPOINT ["/usr/local/bin/ambit-node-agent"]
