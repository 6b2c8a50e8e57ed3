package figures

import (
	"math/bits"
	"time"
)

// A histogram counts durations in fixed logarithmic buckets: subBuckets for each doubling
// from the unit on. A quantile is therefore at most a sixteenth off.
const (
	unit       = 64 * time.Microsecond
	subBits    = 3
	subBuckets = 1 << subBits
	doublings  = 34 // up to twelve days; what is longer counts in the last bucket
	buckets    = (doublings + 1) * subBuckets
)

type histogram [buckets]uint32

// bucketOf returns the bucket of a duration. The first subBuckets ones are a unit wide.
func bucketOf(d time.Duration) int {
	n := uint64(max(0, d) / unit)
	if n < subBuckets {
		return int(n) //nolint:gosec // below 8
	}
	shift := bits.Len64(n) - 1 - subBits
	return min(buckets-1, (shift+1)<<subBits+int(n>>shift&(subBuckets-1))) //nolint:gosec // below 8
}

// bucketStart returns the shortest duration of a bucket.
func bucketStart(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i) * unit
	}
	return time.Duration(subBuckets+i%subBuckets) << (i/subBuckets - 1) * unit
}

// distribution sums histograms.
type distribution [buckets]int64

func (d *distribution) count() (n int64) {
	for _, c := range d {
		n += c
	}
	return n
}

// quantile returns the middle of the bucket that holds the q-th part of total counts.
func (d *distribution) quantile(q float64, total int64) time.Duration {
	rank := int64(q*float64(total) + 0.5)
	rank = min(max(rank, 1), total)
	for i, c := range d {
		if rank -= c; rank <= 0 {
			return (bucketStart(i) + bucketStart(i+1)) / 2
		}
	}
	return 0
}

// Quantiles describe durations, in milliseconds; null if there were none.
type Quantiles struct {
	Count int64    `json:"count"`
	P50   *float64 `json:"p50Ms"`
	P95   *float64 `json:"p95Ms"`
	P99   *float64 `json:"p99Ms"`
}

func (d *distribution) quantiles() Quantiles {
	q := Quantiles{Count: d.count()}
	if q.Count == 0 {
		return q
	}
	at := func(share float64) *float64 {
		ms := float64(d.quantile(share, q.Count).Microseconds()) / 1000
		return &ms
	}
	q.P50, q.P95, q.P99 = at(.5), at(.95), at(.99)
	return q
}
