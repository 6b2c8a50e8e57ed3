# For a tap. The binaries are not notarized by Apple, so that macOS would quarantine them: they are
# checked by their checksums, and the mark is removed.
cask "integration-gateway" do
  arch arm: "arm64", intel: "amd64"

  version "${VERSION}"
  sha256 arm:   "${ARM}",
         intel: "${INTEL}"

  url "${RELEASES}/v#{version}/gateway_v#{version}_darwin_#{arch}.tar.gz"
  name "Integration gateway"
  desc "Webhook gateway that never loses an event and says what happened to each"
  homepage "${RELEASES}"

  binary "gateway_v#{version}_darwin_#{arch}/gateway"

  postflight do
    system_command "/usr/bin/xattr",
                   args: ["-dr", "com.apple.quarantine", "#{staged_path}/gateway_v#{version}_darwin_#{arch}/gateway"]
  end
end
