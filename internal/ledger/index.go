package ledger

import (
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/wxnotify/wxnotify/internal/job"
	"github.com/wxnotify/wxnotify/internal/seal"
)

// The index finds records by recipient, template and time without a read of every
// record. It is a list per hour, its segment, to which each script that creates
// records adds a piece, with an entry of each:
//
//	length of the ID (1 byte) · flag and milliseconds since the hour (3) ·
//	digest of the openid or user (2) · digest of the template (1) · ID
//
// A digest of 16 bits cannot name a person among many followers. Erase sets it to
// zero all the same.

const (
	indexHead    = 7 // bytes of an entry before the ID
	recipientPos = 4
	templatePos  = 6
	// hasNotAfter is a bit of the time: the message may expire while it waits, which no
	// script writes down.
	hasNotAfter = 1 << 23
)

// segmentSpan is the time that one segment of the index covers.
const segmentSpan = time.Hour

// IndexKeys are the segment for records that are created now, the list of segments, and
// the history of now.
func (l *Ledger) IndexKeys(now time.Time) []string {
	hour := hourOf(now)
	return append([]string{l.segmentKey(indexSegments, hour), l.segmentsKey()}, l.historyKeys(hour)...)
}

// segmentsKey is a sorted set of the segments that exist, of both kinds, by their hour.
func (l *Ledger) segmentsKey() string { return l.prefix + "ix" }

// Segments of the account are of two kinds.
const (
	indexSegments   = "ix:"  // entries of records, by the hour of their creation
	outcomeSegments = "ixo:" // outcomes that are no success, by the hour in which they were written
)

func (l *Ledger) segmentKey(kind string, hour int64) string {
	return l.prefix + kind + strconv.FormatInt(hour, 10)
}

func hourOf(t time.Time) int64 { return t.UnixMilli() / segmentSpan.Milliseconds() }

// indexEntry of a message that is created now.
func indexEntry(e *job.Envelope, now time.Time) []byte {
	recipient := digest('o', e.To)
	if e.To == "" {
		recipient = digest('u', e.User)
	}
	at := uint32(now.UnixMilli() % segmentSpan.Milliseconds()) //nolint:gosec // less than an hour
	if !e.NotAfter.IsZero() {
		at |= hasNotAfter
	}
	entry := make([]byte, 0, indexHead+len(e.ID))
	entry = append(entry, byte(len(e.ID)), byte(at>>16), byte(at>>8), byte(at)) //nolint:gosec // an ID has at most 128 bytes
	entry = binary.BigEndian.AppendUint16(entry, recipient)
	entry = append(entry, byte(digest('t', e.Template)))
	return append(entry, e.ID...)
}

// digest of a name, never 0: an erased one is. The kind keeps an openid and a user of
// the same text apart.
func digest(kind byte, name string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte{kind})
	_, _ = h.Write([]byte(name))
	sum := h.Sum32()
	return max(uint16(sum>>16)^uint16(sum), 1) //nolint:gosec // folded
}

// digestOf is the digest of a name as Redis has it.
func (l *Ledger) digestOf(kind seal.Kind, name string) uint16 {
	return digest(byte(kind), l.sealed.Seal(kind, name))
}

// indexed is an entry of the index.
type indexed struct {
	id        string
	at        int64 // Unix milliseconds
	offset    int   // in its piece
	recipient uint16
	template  byte
	mayExpire bool
}

// eachIndexed calls do for the entries of a piece, or of joined pieces, the oldest first.
func eachIndexed(segment string, hour int64, do func(e indexed)) {
	for at := 0; at+indexHead <= len(segment); {
		end := at + indexHead + int(segment[at])
		if end > len(segment) {
			return // cut off: nothing that we write
		}
		time := int64(segment[at+1])<<16 | int64(segment[at+2])<<8 | int64(segment[at+3])
		e := indexed{
			id: segment[at+indexHead : end], at: hour*segmentSpan.Milliseconds() + time&^hasNotAfter, offset: at,
			recipient: uint16(segment[at+recipientPos])<<8 | uint16(segment[at+recipientPos+1]),
			template:  segment[at+templatePos], mayExpire: time&hasNotAfter != 0,
		}
		do(e)
		at = end
	}
}
