package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"sync"
	"time"
)

// walLook is how often the meter looks. Frames between the last look at a WAL and its next
// start are missed, so the figure is a little low.
const walLook = 2 * time.Millisecond

// walMeter counts the bytes that SQLite writes to a database's WAL. SQLite does not count
// them and writes over its own file, so the meter reads the header of the WAL index.
// https://www.sqlite.org/walformat.html#the_wal_index_header
type walMeter struct {
	end  chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	known   bool
	salt    uint32 // 1 more for each time that the WAL starts again
	frames  uint32 // in the present WAL
	page    uint64 // bytes
	total   uint64 // frames of the WALs before
	cycles  uint64 // of these that were seen
	skipped uint64 // of these that began and ended between two looks
}

// meterWAL counts from now on until it is stopped.
func meterWAL(file string) *walMeter {
	m := &walMeter{end: make(chan struct{})}
	m.done.Go(func() {
		tick := time.NewTicker(walLook)
		defer tick.Stop()
		for {
			m.look(file + "-shm")
			select {
			case <-tick.C:
			case <-m.end:
				return
			}
		}
	})
	return m
}

func (m *walMeter) stop() {
	close(m.end)
	m.done.Wait()
}

func (m *walMeter) look(file string) {
	index, err := os.Open(file) //nolint:gosec // of the turn
	if err != nil {
		return // the database is closed
	}
	defer func() { _ = index.Close() }()
	var header [2 * walIndexHeader]byte
	if _, err := io.ReadFull(index, header[:]); err == nil {
		m.note(header[:])
	}
}

// walIndexHeader is the size of the header, which stands there twice so that a reader
// notices a write under way.
const walIndexHeader = 48

// note counts what a header says.
func (m *walMeter) note(header []byte) {
	if !bytes.Equal(header[:walIndexHeader], header[walIndexHeader:]) || header[12] == 0 {
		return
	}
	page := uint64(binary.NativeEndian.Uint16(header[14:]))
	page = page&0xfe00 | page&1<<16
	frames, salt := binary.NativeEndian.Uint32(header[16:]), binary.BigEndian.Uint32(header[32:])
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && salt != m.salt {
		m.total += uint64(m.frames)
		m.cycles++
		if between := uint64(salt - m.salt - 1); between < 1000 { // otherwise the WAL was deleted, and the number is a new one
			m.skipped += between
		}
	}
	m.known, m.salt, m.frames = true, salt, frames
	if page > 0 { // an empty WAL names no size
		m.page = page
	}
}

// bytes returns what was written so far. A WAL that no look saw counts as an average one.
func (m *walMeter) bytes() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	frames := float64(m.total)
	if m.cycles > 0 {
		frames += float64(m.skipped) * float64(m.total) / float64(m.cycles)
	}
	return (frames + float64(m.frames)) * float64(m.page+24)
}
