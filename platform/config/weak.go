package config

import "math"

// leastBits is what the estimate of a key must come to. It tells rows and repetitions from
// what was made at random, and rates a short random key far below what it has: of 16 random
// hexadecimal digits one in a thousand is refused.
const leastBits = 24

// weak reports whether a key is easily guessed, whatever its length: few characters, one
// part again and again, or a row such as 0123456789abcdef. It is an estimate from the key's
// own characters, which knows no words.
func weak(key string) bool {
	key = unit(key)
	counts := map[byte]int{}
	fresh := 0 // characters that do not follow from the one before
	for i := range len(key) {
		counts[key[i]]++
		if i == 0 || key[i]-key[i-1] > 1 && key[i-1]-key[i] > 1 { // the differences wrap
			fresh++
		}
	}
	bits := 0.0
	for _, n := range counts {
		p := float64(n) / float64(len(key))
		bits -= p * math.Log2(p)
	}
	return bits*float64(fresh) < leastBits
}

// unit is the part that the text repeats; the text where it repeats none.
func unit(text string) string {
	for n := 1; n <= len(text)/2; n++ {
		if len(text)%n == 0 && text[n:] == text[:len(text)-n] {
			return text[:n]
		}
	}
	return text
}
