package config

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// providersKey is the one section of the file: providers of one's own, by name. It is
// not to be had from the environment.
const providersKey = "providers"

// Provider is a provider of one's own as the file has it; whoever knows providers reads
// the definition.
type Provider struct {
	Name       string
	Definition []byte // JSON; the names of its members may have lost their capitals
}

// readProviders takes the section as it is.
func readProviders(v *viper.Viper, m *Mistakes) []Provider {
	section, ok := v.Get(providersKey).(map[string]any)
	if !ok {
		if v.IsSet(providersKey) && v.Get(providersKey) != nil {
			m.add(providersKey, "it is not a section", "write a name, and below it the provider's definition")
		}
		return nil
	}
	var all []Provider
	for name, definition := range section {
		text, err := json.Marshal(definition)
		if err != nil || len(text) == 0 || text[0] != '{' {
			m.add(providersKey+"."+name, "it is not a section", "write the provider's definition below its name")
			continue
		}
		all = append(all, Provider{name, text})
	}
	slices.SortFunc(all, func(a, b Provider) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func ofProviders(key string) bool {
	return key == providersKey || strings.HasPrefix(key, providersKey+".")
}
