package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"integration-gateway/platform/secret"
)

// keys reads several, apart by blanks or commas.
func keys(into *[]secret.Value) reader {
	return reader{fmt.Sprintf("list of keys of at least %d characters", secretsKeyLength), func(text string) error {
		for _, part := range list(text) {
			var one secret.Value
			if err := key(&one, secretsKeyLength).set(part); err != nil {
				return err
			}
			*into = append(*into, one)
		}
		return nil
	}}
}

// maxKeysFile bounds a file of keys.
const maxKeysFile = 64 << 10

// keysFile reads the keys in a file, one a line: the current one, and those that only open.
// No error names the path: it may be a key that was given in place of one.
func keysFile(current *secret.Value, others *[]secret.Value) reader {
	return reader{"path of a file", func(path string) error {
		if !current.Empty() {
			return wrong("SECRETS_KEY is set too", "give the keys in one of the two")
		}
		text, err := readAtMost(path, maxKeysFile)
		if err != nil {
			return wrong(fmt.Sprintf("the file cannot be read: %s", err), "name a file with the current key in its first line")
		}
		lines := strings.Fields(text)
		if len(lines) == 0 {
			return wrong("the file holds no key", "write the current key into its first line, and those that only open secrets below it")
		}
		for i, line := range lines {
			var one secret.Value
			if err := key(&one, secretsKeyLength).set(line); err != nil {
				p := problem{}
				_ = errors.As(err, &p) // it is one
				return wrong(fmt.Sprintf("key %d of the file: %s", i+1, p.what), "%s", p.fix)
			}
			if i == 0 {
				*current = one
				continue
			}
			*others = append(*others, one)
		}
		return nil
	}}
}

// readAtMost reads a small file. Its error names no path.
func readAtMost(path string, size int64) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, size+1))
	switch {
	case err != nil:
		return "", errors.Unwrap(err)
	case int64(len(text)) > size:
		return "", fmt.Errorf("it has more than %d bytes", size)
	}
	return string(text), nil
}
