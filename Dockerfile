# A static binary in an empty image, run by a user without rights. .dockerignore keeps
# .env and other files with secrets out of the build.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /wxnotify ./cmd/wxnotify

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /wxnotify /wxnotify
USER 65532:65532
ENTRYPOINT ["/wxnotify"]
CMD ["worker"]
