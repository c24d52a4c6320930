# The CNI plugin: one static program that copies itself to the node, where nothing can be assumed.
# Build from the root of the repository:
#   docker build -f manifests/docker/cni.Dockerfile -t ambit-cni .
ARG RUST=rust:1.95-bookworm

FROM ${RUST} AS build
WORKDIR /src
COPY . .
RUN cargo rustc --release --locked -p ambit-cni --bin ambit-cni -- -C target-feature=+crt-static

FROM scratch
COPY --from=build /src/target/release/ambit-cni /ambit-cni
ENTRYPOINT ["/ambit-cni"]
