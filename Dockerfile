# A static binary in an empty image, run by a user without rights. .dockerignore keeps
# .env and other files with secrets out of the build.
#
#   docker build --build-arg VERSION=v0.1.0 --build-arg REVISION=$(git rev-parse HEAD) -t wxnotify:v0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v0.1.0 -t HOST/wxnotify:v0.1.0 --push .
#   docker run --rm wxnotify:v0.1.0 demo --once
#
# The compiler runs on the builder's own platform and compiles for TARGETARCH: no
# emulation. To pin the base image, name its digest, as docker buildx imagetools inspect
# golang:1.26 prints it: --build-arg GO_IMAGE=golang:1.26@sha256:…
ARG GO_IMAGE=golang:1.26
FROM --platform=${BUILDPLATFORM:-linux/amd64} ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=development
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=${VERSION}" -o /wxnotify ./cmd/wxnotify

FROM scratch
ARG VERSION=development
ARG REVISION=unknown
LABEL org.opencontainers.image.title=wxnotify \
      org.opencontainers.image.description="Sends WeChat Official Account template messages" \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /wxnotify /wxnotify
USER 65532:65532
ENTRYPOINT ["/wxnotify"]
CMD ["worker"]
