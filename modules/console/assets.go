package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

//go:embed assets
var assetFiles embed.FS

// assets are the styles and scripts by the name under which they are served, which contains a
// hash of their text, so that browsers may keep them for ever.
type assets struct {
	named  map[string]string // by the file's name
	served map[string]asset
}

type asset struct {
	media        string
	text, packed []byte
}

func readAssets() assets {
	a := assets{named: map[string]string{}, served: map[string]asset{}}
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic("console: " + err.Error())
	}
	for _, file := range files {
		text, err := assetFiles.ReadFile("assets/" + file.Name())
		if err != nil {
			panic("console: " + err.Error())
		}
		sum := sha256.Sum256(text)
		ext := path.Ext(file.Name())
		served := strings.TrimSuffix(file.Name(), ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		media := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}[ext]
		if media == "" {
			media = mime.TypeByExtension(ext)
		}
		a.named[file.Name()] = served
		a.served[served] = asset{media, text, packed(text, gzip.BestCompression)}
	}
	return a
}

func packed(text []byte, level int) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, level) // the level is valid
	_, _ = w.Write(text)                     // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// asset answers with a style sheet or script.
func (m *Module) asset(c echo.Context) error {
	a, known := m.assets.served[c.Param("name")]
	if !known {
		return fault.NotFound.New("no_asset", "There is no such file.")
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		return c.Blob(http.StatusOK, a.media, a.packed)
	}
	return c.Blob(http.StatusOK, a.media, a.text)
}
