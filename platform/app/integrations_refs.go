package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"integration-gateway/platform/fault"
)

// maxReferenced limits the size of a referenced file.
const maxReferenced = 64 << 10

// resolve reads a reference: env:NAME or file:PATH, relative to dir. Its error contains
// nothing of the value. ok is false if text is not a reference.
func resolve(text, dir string) (value string, ok bool, err error) {
	if name, is := strings.CutPrefix(text, "env:"); is {
		value, err = fromEnvironment(name)
		return value, true, err
	}
	if path, is := strings.CutPrefix(text, "file:"); is {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		value, err = fromFile(path)
		return value, true, err
	}
	return "", false, nil
}

func fromEnvironment(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	return value, nil
}

// fromFile reads a secret from a file, without the trailing newline.
func fromFile(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s cannot be read: %w", path, errors.Unwrap(err))
	case info.Size() > maxReferenced:
		return "", fmt.Errorf("%s is larger than a secret can be", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", path, errors.Unwrap(err))
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// Secrets reads secrets from flags: values, files, and environment variables.
func Secrets(values, files, variables []string) ([]string, error) {
	all := append([]string{}, values...)
	var errs []error
	add := func(value string, err error) {
		all, errs = append(all, value), append(errs, err)
	}
	for _, path := range files {
		add(fromFile(path))
	}
	for _, name := range variables {
		add(fromEnvironment(name))
	}
	return all, errors.Join(errs...)
}

// references replaces references to secrets in a document of integrations by their values.
// A plain secret is a mistake: such files are shared.
type references struct {
	dir   string
	wrong []fault.Field
}

func (r *references) fail(path, format string, args ...any) {
	r.wrong = append(r.wrong, fault.Field{Field: path, Message: fmt.Sprintf(format, args...)})
}

// value resolves a reference. must is set if the value has to be one.
func (r *references) value(path string, value any, must bool) any {
	text, isText := value.(string)
	if !isText {
		return value // strictjson reports the mistake
	}
	found, ok, err := resolve(text, r.dir)
	switch {
	case err != nil:
		r.fail(path, "cannot be read: %s", err)
	case ok:
		return found
	case must:
		r.fail(path, "must be a reference, env:NAME or file:PATH, so that the file contains no secret")
	}
	return value
}

func (r *references) integration(path string, document any) {
	fields, _ := document.(map[string]any)
	secrets, _ := fields["secrets"].([]any)
	for i, s := range secrets {
		at := fmt.Sprintf("%s.secrets[%d]", path, i)
		if object, is := s.(map[string]any); is {
			r.field(object, at, "value", true)
			continue
		}
		secrets[i] = r.value(at, s, true)
	}
	destinations, _ := fields["destinations"].([]any)
	for i, d := range destinations {
		at := fmt.Sprintf("%s.destinations[%d]", path, i)
		destination, _ := d.(map[string]any)
		auth, _ := destination["auth"].(map[string]any)
		for _, name := range []string{"password", "token", "clientSecret"} {
			r.field(auth, at+".auth", name, true)
		}
		files, _ := destination["tls"].(map[string]any)
		r.field(files, at+".tls", "caCertificate", false)
		r.field(files, at+".tls", "clientCertificate", false)
		r.field(files, at+".tls", "clientKey", true)
		headers, _ := destination["headers"].(map[string]any)
		for name := range headers {
			r.field(headers, at+".headers", name, false)
		}
	}
}

func (r *references) field(object map[string]any, path, name string, must bool) {
	if value, given := object[name]; given {
		object[name] = r.value(path+"."+name, value, must)
	}
}
