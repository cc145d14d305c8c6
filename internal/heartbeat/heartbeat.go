// Package heartbeat is the registry of an account's workers. Each worker process
// reports every 10 s that it is alive ([Reporter.Beat]); [List] returns the workers
// that reported lately, and when the last one did.
//
// All of an account is one hash, wxn:{appid}:workers, with one field for each worker
// process. A report is one script call. Times are Redis'.
package heartbeat

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/redisx"
)

var (
	//go:embed lua/beat.lua
	beatLua string
	//go:embed lua/list.lua
	listLua string

	beatScript = redisx.NewScript(beatLua)
	listScript = redisx.NewScript(listLua)
)

const (
	// Every is the time between two reports of a worker.
	Every = 10 * time.Second
	// aliveFor is how long a worker counts after its last report.
	aliveFor = time.Minute
	// keptFor is how long the entry of a worker that was killed is kept.
	keptFor = 10 * time.Minute
	// rememberFor is how long the time of the last report outlives all workers.
	rememberFor = 90 * 24 * time.Hour
	// maxWorkers bounds the entries of one account.
	maxWorkers = 256
	// countEvery is how many reports pass between two that clean up: an hour.
	countEvery = int(time.Hour / Every)
	maxText    = 64 // bytes of a worker's texts
	maxHeld    = 10
	lastField  = "last"
)

// Worker is one worker process, as far as one account is concerned.
type Worker struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"` // on the worker's clock
	// Seen is the time of its last report, on Redis' clock.
	Seen time.Time `json:"seen,omitzero"`
	// Concurrency is how many messages of the account it sends at once.
	Concurrency int `json:"concurrency"`
	// ClockAhead is how far the worker's clock is ahead of Redis', to some
	// milliseconds: the time that the report took to arrive is not known.
	ClockAhead time.Duration `json:"clock_ahead_ns,omitempty"`
	// Suspended says why the worker fetches no messages of the account; nil: it
	// fetches them.
	Suspended *Suspension `json:"suspended,omitempty"`
	// Held says which messages this worker does not send for now; 10 reasons at most.
	Held []Held `json:"held,omitempty"`
}

// Held are messages that a worker leaves waiting: those of a template that WeChat
// refused, or those that are sealed with a key that the worker does not have.
type Held struct {
	Template string    `json:"template,omitempty"`
	Errcode  int       `json:"errcode,omitempty"` // of the template's last refusal
	Since    time.Time `json:"since,omitzero"`    // of the refusals; on the worker's clock
	Until    time.Time `json:"until,omitzero"`    // when a message of the template is tried
	SealKey  string    `json:"seal_key,omitempty"`
}

// Suspension says why a worker fetches nothing although its account may send: WeChat
// refuses the address from which the worker calls.
type Suspension struct {
	Since   time.Time `json:"since"`             // on the worker's clock
	Errcode int       `json:"errcode"`           // 40164, 61004 or 45035
	Address string    `json:"address,omitempty"` // the egress address that WeChat saw; empty: it did not say
}

// List returns the workers of the account that reported within the last minute, the
// oldest first, and when any worker of the account reported last; zero: none did
// within the last 90 days. A worker that was stopped is not listed; one that was
// killed is listed for a minute.
func List(ctx context.Context, rdb redis.UniversalClient, appid string) (workers []Worker, lastSeen time.Time, err error) {
	reply, err := listScript.Run(ctx, rdb, []string{key(appid)}).StringSlice()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("heartbeat: list the workers: %w", err)
	}
	now := millis(reply[0])
	for i := 1; i+1 < len(reply); i += 2 {
		if reply[i] == lastField {
			lastSeen = millis(reply[i+1])
			continue
		}
		if w, ok := parse(reply[i+1]); ok && now.Sub(w.Seen).Abs() <= aliveFor {
			workers = append(workers, w)
		}
	}
	slices.SortFunc(workers, func(a, b Worker) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return workers, lastSeen, nil
}

// Counts are those of an account's workers.
type Counts struct {
	Alive     int // reported within the last minute
	Suspended int // of these: fetch nothing, since WeChat refuses their address
}

// Reporter reports one worker to one account's registry. Safe for concurrent use.
type Reporter struct {
	rdb    redis.UniversalClient
	key    string
	worker Worker

	mu    sync.Mutex
	beats int // reports that arrived
}

// NewReporter makes a reporter of w, whose Seen, ClockAhead, Suspended and Held are not
// used. ID must be unique to the process. Long texts are cut.
func NewReporter(rdb redis.UniversalClient, appid string, w Worker) *Reporter {
	w.Host, w.Version = cut(w.Host), cut(w.Version)
	w.Seen, w.ClockAhead, w.Suspended, w.Held = time.Time{}, 0, nil, nil
	return &Reporter{rdb: rdb, key: key(appid), worker: w}
}

// Beat reports that the worker is alive, whether it is suspended, and which messages it
// holds back, the first 10. The counts are read with the first report, with each one of a suspended worker, and once an
// hour; otherwise they are zero.
func (r *Reporter) Beat(ctx context.Context, suspended *Suspension, held ...Held) (Counts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.worker
	if suspended != nil {
		s := *suspended
		s.Address = cut(s.Address)
		w.Suspended = &s
	}
	for _, h := range held[:min(len(held), maxHeld)] {
		h.Template, h.SealKey = cut(h.Template), cut(h.SealKey)
		w.Held = append(w.Held, h)
	}
	entry, err := json.Marshal(w)
	if err != nil {
		return Counts{}, fmt.Errorf("heartbeat: encode: %w", err)
	}
	count := 0
	if suspended != nil || r.beats%countEvery == 0 {
		count = 1
	}
	reply, err := beatScript.Run(ctx, r.rdb, []string{r.key}, w.ID, entry, time.Now().UnixMilli(), count,
		aliveFor.Milliseconds(), keptFor.Milliseconds(), rememberFor.Milliseconds(), maxWorkers).Int64Slice()
	if err != nil {
		return Counts{}, fmt.Errorf("heartbeat: report: %w", err)
	}
	r.beats++
	if len(reply) != 2 {
		return Counts{}, nil
	}
	return Counts{Alive: int(reply[0]), Suspended: int(reply[1])}, nil
}

// Leave removes the worker's entry: it has stopped.
func (r *Reporter) Leave(ctx context.Context) error {
	if err := r.rdb.HDel(ctx, r.key, r.worker.ID).Err(); err != nil {
		return fmt.Errorf("heartbeat: leave: %w", err)
	}
	return nil
}

func key(appid string) string { return redisx.Prefix(appid) + "workers" }

// parse reads an entry as beat.lua writes it. An entry of a version that writes
// another format is left out of the list.
func parse(text string) (w Worker, ok bool) {
	seen, rest, _ := strings.Cut(text, " ")
	ahead, entry, _ := strings.Cut(rest, " ")
	if json.Unmarshal([]byte(entry), &w) != nil {
		return Worker{}, false
	}
	ms, _ := strconv.ParseInt(ahead, 10, 64)
	w.Seen, w.ClockAhead = millis(seen), time.Duration(ms)*time.Millisecond
	return w, true
}

// millis converts ms since 1970; the zero time for 0 and what is no number.
func millis(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}
