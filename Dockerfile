# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X integration-gateway/platform/cli.Version=${VERSION}" -o /out/gateway .

# It contains certificates, time zones and an unprivileged user, but no shell.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/gateway /usr/local/bin/gateway
USER 65532:65532
# The default environment is the one with the strictest rules.
ENV APP_ENV=production
EXPOSE 3000
ENTRYPOINT ["/usr/local/bin/gateway"]
CMD ["serve"]
