package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

type apiKey struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Prefix     string      `json:"prefix"`
	Role       string      `json:"role"`
	Sources    []string    `json:"sources"`
	CreatedAt  clock.Time  `json:"createdAt"`
	CreatedBy  string      `json:"createdBy"`
	ExpiresAt  *clock.Time `json:"expiresAt"`
	RevokedAt  *clock.Time `json:"revokedAt"`
	LastUsedAt *clock.Time `json:"lastUsedAt"`
}

type keysPage struct {
	Keys    []keyRow
	Sources []string
	Form    keyForm
	Made    string // the new key, which is shown this once
}

type keyRow struct {
	apiKey
	State string // active, expired or revoked
}

// keyForm is what was typed.
type keyForm struct {
	Name, Role, Expires string
	Sources             map[string]bool
}

func (m *Module) keys(v *visit) error { return v.listKeys(keyForm{Role: "viewer"}, "", nil) }

func (v *visit) listKeys(form keyForm, made string, wrong error) error {
	var all []apiKey
	var d directory
	if err := v.together(v.into("/api-keys", nil, &all), v.directoryInto(&d)); err != nil {
		return err
	}
	p := keysPage{Form: form, Made: made, Sources: d.sources()}
	now := v.m.d.Now()
	for i := range all {
		k := keyRow{all[len(all)-1-i], "active"} // the newest first
		switch {
		case k.RevokedAt != nil:
			k.State = "revoked"
		case k.ExpiresAt != nil && !k.ExpiresAt.After(now):
			k.State = "expired"
		}
		p.Keys = append(p.Keys, k)
	}
	return v.showWith(http.StatusOK, "keys", "Keys", p, wrong)
}

// makeKey makes a key, which the answer shows and no other page ever does.
func (m *Module) makeKey(v *visit) error {
	form := keyForm{Name: strings.TrimSpace(v.form.Get("name")), Role: v.form.Get("role"), Expires: v.form.Get("expires"), Sources: map[string]bool{}}
	body := map[string]any{"name": form.Name, "role": form.Role}
	if chosen := v.form["source"]; len(chosen) > 0 {
		body["sources"] = chosen
		for _, s := range chosen {
			form.Sources[s] = true
		}
	}
	if length, ok := parseSince(form.Expires); ok {
		body["expiresAt"] = m.d.Now().Add(length).UTC().Format(time.RFC3339)
	}
	var made struct {
		Key string `json:"key"`
	}
	if err := v.api.Post(v.ctx, "/api-keys", body, &made); err != nil {
		return v.listKeys(form, "", err)
	}
	return v.listKeys(keyForm{Role: "viewer"}, made.Key, nil)
}

// revokeKey ends a key, and the sessions that it began.
func (m *Module) revokeKey(v *visit) error {
	var k apiKey
	if err := v.api.Delete(v.ctx, "/api-keys/"+url.PathEscape(v.c.Param("id")), nil, &k); err != nil {
		return v.listKeys(keyForm{Role: "viewer"}, "", err)
	}
	return v.done(Root+"/keys", "The key "+k.Name+" is revoked, and its sessions have ended.")
}
