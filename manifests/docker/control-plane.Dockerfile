# The control plane and the command line. Build from the root of the repository:
#   docker build -f manifests/docker/control-plane.Dockerfile -t ambit .
ARG RUST=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p ambit --bin ambit

FROM ${BASE}
COPY --from=build /src/target/release/ambit /usr/local/bin/ambit
# For keys of issuers that are fetched over HTTPS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/ambit"]
