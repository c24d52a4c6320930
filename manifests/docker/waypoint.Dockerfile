# The waypoint. Build from the root of the repository:
#   docker build -f manifests/docker/waypoint.Dockerfile -t ambit-waypoint .
ARG RUST=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p ambit-waypoint --bin ambit-waypoint

FROM ${BASE}
COPY --from=build /src/target/release/ambit-waypoint /usr/local/bin/ambit-waypoint
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/ambit-waypoint"]
