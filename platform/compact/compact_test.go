package compact_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/compact"
)

const frame = `{"provider":"","eventType":"","externalEventId":"","occurredAt":"","subject":null,"data":`

// acme is the benchmark's webhook and its canonical event.
func acme(size int) (body, payload []byte) {
	data := `{"id":"ord_00000042","total":"19.90","currency":"EUR","note":"`
	head := `{"eventId":"bench-00000042","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z","data":`
	data += strings.Repeat("x", max(0, size-len(head)-len(data)-len(`"}}`))) + `"}`
	return []byte(head + data + "}"), []byte(`{"provider":"acme","eventType":"order.created","externalEventId":"bench-00000042","occurredAt":"2026-01-05T09:00:00.000Z","subject":"ord_00000042","data":` + data + "}")
}

// random is a text of n bytes with repetitions, of few letters or of all bytes.
func random(r *rand.Rand, n int) []byte {
	letters := 1 + r.IntN(256)
	text := make([]byte, 0, n)
	for len(text) < n {
		if from := r.IntN(len(text) + 1); from < len(text) && r.IntN(3) == 0 {
			text = append(text, text[from:min(len(text), from+r.IntN(200))]...)
			continue
		}
		text = append(text, byte(r.IntN(letters)+256-letters))
	}
	return text[:n]
}

func TestEveryTextComesBackExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // repeatable
	for i := range 3000 {
		base := random(r, r.IntN(1<<(i%16)))
		text := random(r, r.IntN(1<<(i%15)))
		for range r.IntN(4) {
			if from := r.IntN(len(base) + 1); from < len(base) {
				text = append(text, base[from:from+r.IntN(len(base)-from)]...)
			}
		}
		for what, stored := range map[string][]byte{"alone": compact.Alone(text), "against": compact.Against(text, []byte(frame), base)} {
			require.LessOrEqual(t, len(stored), len(text)+1)
			if size := compact.Size(stored); size != 255 {
				require.Equal(t, len(text), size, "%s %d", what, i)
			} else {
				require.LessOrEqual(t, len(text), size, "%s %d", what, i)
			}
			got, err := compact.Open(stored, []byte(frame), base)
			require.NoError(t, err, "%s %d", what, i)
			require.True(t, bytes.Equal(text, got), "%s %d", what, i)
			if !compact.NeedsBase(stored) {
				got, err = compact.Open(stored)
				require.NoError(t, err)
				require.True(t, bytes.Equal(text, got), "%s %d", what, i)
			}
		}
	}
}

func TestWhatIsStored(t *testing.T) {
	for _, c := range []struct{ size, least, most int }{{341, 10, 40}, {100_000, 10, 50}} {
		body, payload := acme(c.size)
		stored := compact.Against(payload, []byte(frame), body)
		require.True(t, compact.NeedsBase(stored))
		require.LessOrEqual(t, len(stored), c.most, "of %d", c.size)
		require.GreaterOrEqual(t, len(stored), c.least, "of %d", c.size)
	}
	small := []byte(`{"a":1}`)
	require.Equal(t, small, compact.Alone(small), "a small text is stored as it is")
	require.Equal(t, small, compact.Against(small, []byte("nothing in common")))
	require.Empty(t, compact.Alone(nil))
	marked := []byte{0xFA, 1, 2}
	require.Equal(t, append([]byte{0xF8}, marked...), compact.Alone(marked), "what looks like a format is marked")
	dense := random(rand.New(rand.NewPCG(1, 1)), 20) //nolint:gosec // repeatable
	require.Equal(t, dense, compact.Alone(dense))
	long := []byte(strings.Repeat("0123456789", 200))
	require.Less(t, len(compact.Alone(long)), 100)
}

func TestAnotherBaseOrADamagedValueIsAnError(t *testing.T) {
	body, payload := acme(341)
	stored := compact.Against(payload, []byte(frame), body)
	for name, base := range map[string][]byte{"none": nil, "erased": {}, "another": bytes.ReplaceAll(body, []byte("EUR"), []byte("USD"))} {
		_, err := compact.Open(stored, []byte(frame), base)
		require.ErrorIs(t, err, compact.ErrDamaged, name)
	}
	large := compact.Alone(bytes.Repeat(payload, 10))
	for _, value := range [][]byte{stored, large} {
		whole, err := compact.Open(value, []byte(frame), body)
		require.NoError(t, err)
		harmless := 0
		for at := 1; at < len(value); at++ {
			bad := bytes.Clone(value)
			bad[at] ^= 0x10
			text, err := compact.Open(bad, []byte(frame), body)
			if err == nil { // of a bit without a meaning
				require.Equal(t, whole, text, "byte %d", at)
				harmless++
			} else {
				require.ErrorIs(t, err, compact.ErrDamaged, "byte %d", at)
			}
			_, err = compact.Open(value[:at], []byte(frame), body)
			require.ErrorIs(t, err, compact.ErrDamaged, "the first %d bytes", at)
		}
		if compact.NeedsBase(value) { // every bit of a delta has a meaning; zstd's headers have spare ones
			require.Zero(t, harmless)
		}
	}
}

// FuzzOpen holds that no value makes Open panic or return more than MaxSize.
func FuzzOpen(f *testing.F) {
	body, payload := acme(341)
	f.Add(compact.Against(payload, []byte(frame), body), body)
	f.Add(compact.Alone(bytes.Repeat(payload, 10)), body)
	f.Add(binary.AppendUvarint([]byte{0xFA, 0, 0, 0, 0}, 1<<40), body)
	f.Add([]byte{0xF9, 0, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 255, 255, 255, 255, 255, 255, 255, 0}, body)
	f.Fuzz(func(t *testing.T, stored, base []byte) {
		text, err := compact.Open(stored, []byte(frame), base)
		require.LessOrEqual(t, len(text), max(len(stored), compact.MaxSize))
		require.LessOrEqual(t, compact.Size(stored), max(len(stored), compact.MaxSize))
		if err != nil {
			require.ErrorIs(t, err, compact.ErrDamaged)
		}
	})
}

// FuzzAgainst holds that every text comes back, whatever its base.
func FuzzAgainst(f *testing.F) {
	body, payload := acme(341)
	f.Add(payload, body)
	f.Fuzz(func(t *testing.T, text, base []byte) {
		got, err := compact.Open(compact.Against(text, base), base)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got))
	})
}

func BenchmarkCompact(b *testing.B) {
	for _, size := range []int{341, 1000, 10_000, 100_000} {
		body, payload := acme(size)
		stored, alone := compact.Against(payload, []byte(frame), body), compact.Alone(body)
		for _, c := range []struct {
			name string
			run  func()
		}{
			{"payload/encode", func() { compact.Against(payload, []byte(frame), body) }},
			{"payload/decode", func() { _, _ = compact.Open(stored, []byte(frame), body) }},
			{"body/encode", func() { compact.Alone(body) }},
			{"body/decode", func() { _, _ = compact.Open(alone) }},
		} {
			b.Run(fmt.Sprintf("%d/%s", size, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.run()
				}
			})
		}
	}
}
