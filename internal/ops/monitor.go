package ops

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

const (
	monitorRoot = "/asynqmon"
	noticePath  = monitorRoot + "/wxnotify-notice.js"
	// maxPage bounds what one request may read: a page of a million tasks would
	// stop Redis.
	maxPage = 200
	// maxBody is asynqmon's own bound of a batch request.
	maxBody = 1_000_000
	// noncePlace is where a nonce goes. asynqmon's page makes its style sheets
	// as it runs, so no hash can name them; its library takes a nonce from a
	// meta element and puts it on each.
	noncePlace = "wxnotify-nonce"
)

// notice shows refusals: asynqmon's page ignores the answer of an action that failed.
//
//go:embed notice.js
var notice []byte

// monitor is asynqmon behind the guard and the filter.
type monitor struct {
	h      *Handler
	inner  http.Handler
	tasks  *asynq.Inspector
	filter *filter
	page   []byte // asynqmon's only HTML, tidied; noncePlace stands for each answer's nonce
	policy string
}

func newMonitor(h *Handler) (*monitor, error) {
	names, err := newAliases(h.mask)
	if err != nil {
		return nil, err
	}
	m := &monitor{h: h, filter: &filter{mask: h.mask, aliases: names}, tasks: asynq.NewInspectorFromRedisClient(h.cfg.Redis)}
	m.inner = asynqmon.New(asynqmon.Options{
		RootPath: monitorRoot, ReadOnly: h.cfg.ReadOnly,
		RedisConnOpt:     &sharedRedis{rdb: h.cfg.Redis, queues: h.queues},
		PayloadFormatter: asynqmon.PayloadFormatterFunc(h.mask.payload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(h.mask.result),
	}) // never closed: Redis is the caller's
	page := newAnswer()
	m.inner.ServeHTTP(page, httptest.NewRequest(http.MethodGet, monitorRoot+"/", http.NoBody)) //nolint:noctx // a page from memory, before anything runs
	if !page.done() {
		return nil, fmt.Errorf("asynqmon's page cannot be built: %s", page.body.String())
	}
	if m.page, m.policy, err = tidy(page.body.Bytes()); err != nil {
		return nil, err
	}
	return m, nil
}

// tidy takes the fonts of another company out of asynqmon's page (where that
// company is blocked they hold up the page for a minute), adds our notice, and
// names its inline scripts by their hashes, so that no other script runs.
func tidy(page []byte) (tidied []byte, policy string, err error) {
	foreign := regexp.MustCompile(`<link[^>]*href="https?://[^>]*>`)
	page = foreign.ReplaceAll(page, nil)
	head := []byte("<head>")
	if !bytes.Contains(page, head) {
		return nil, "", errors.New("asynqmon's page has no head")
	}
	page = bytes.Replace(page, head, []byte(`<head><meta property="csp-nonce" content="`+noncePlace+`"/><script src="`+noticePath+`"></script>`), 1)
	var scripts strings.Builder
	for _, script := range regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllSubmatch(page, -1) {
		scripts.WriteString(" '" + hash(script[1]) + "'")
	}
	hashes := scripts.String()
	if hashes == "" {
		return nil, "", errors.New("asynqmon's page has no inline script: it changed, look at its policy anew")
	}
	return page, "default-src 'none'; script-src 'self'" + hashes + "; style-src 'self' 'nonce-" + noncePlace + "'; " +
		"img-src 'self' data:; connect-src 'self'; manifest-src 'self'; font-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// ServeHTTP implements http.Handler.
func (m *monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, monitorRoot+"/api/"):
		m.api(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		say(w, http.StatusMethodNotAllowed, "Nothing to change here.")
	case path == noticePath:
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(notice) // the reader may be gone: nothing to do about it
	default:
		m.static(w, r)
	}
}

// static serves a file of asynqmon's, or its page for any path that is none.
func (m *monitor) static(w http.ResponseWriter, r *http.Request) {
	a := newAnswer()
	m.inner.ServeHTTP(a, r)
	kind := a.header.Get("Content-Type")
	if !a.done() || kind == "" || strings.HasPrefix(kind, "text/html") {
		nonce := rand.Text()
		w.Header().Set("Content-Security-Policy", strings.Replace(m.policy, noncePlace, nonce, 1))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(bytes.Replace(m.page, []byte(noncePlace), []byte(nonce), 1)) // the reader may be gone: nothing to do about it
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "private, max-age=3600") // a program's files, no data
	_, _ = w.Write(a.body.Bytes())                           // the reader may be gone: nothing to do about it
}

// api passes a request to asynqmon: changes through the guard, answers through
// the filter.
func (m *monitor) api(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, monitorRoot+"/api")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		m.change(w, r, path)
		return
	}
	switch {
	case path == "/metrics":
		say(w, http.StatusNotFound, "Graphs need Prometheus, which is not set up here. The numbers are at /metrics.")
		return
	case path == "/redis_info" && !plainClient(m.h.cfg.Redis):
		m.redisInfo(w, r)
		return
	}
	a := newAnswer()
	m.pass(a, m.rewrite(r, path))
	if path == "/redis_info" && a.done() { // Redis' own words: nothing of ours is in there
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(a.body.Bytes()) // the reader may be gone: nothing to do about it
		return
	}
	a.send(w, m.filter)
}

// pass asks asynqmon. For a path of its API that it does not know it answers
// with its page and 200, which reads as success.
func (m *monitor) pass(a *answer, r *http.Request) {
	m.inner.ServeHTTP(a, r)
	if bytes.HasPrefix(bytes.ToLower(a.body.Bytes()), []byte("<!doctype")) {
		*a = *newAnswer()
		say(a, http.StatusNotFound, "There is no such thing.")
	}
}

// rewrite returns the request as asynqmon should see it: aliases opened, pages
// of a sane size, on the path that the guard has judged.
func (m *monitor) rewrite(r *http.Request, path string) *http.Request {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = m.openSegment(parts[i])
	}
	request := r.Clone(r.Context())
	query := r.URL.Query()
	if n, err := strconv.Atoi(query.Get("size")); err == nil && (n > maxPage || n < 1) {
		query.Set("size", strconv.Itoa(maxPage))
	}
	request.URL = &url.URL{Path: monitorRoot + "/api" + strings.Join(parts, "/"), RawQuery: query.Encode()}
	request.RequestURI = ""
	return request
}

// openSegment opens the alias in "<alias>", "<alias>:verb" and "…_tasks:verb".
func (m *monitor) openSegment(segment string) string {
	if !strings.Contains(segment, sealMark) {
		return segment
	}
	name, verb, found := cutLast(segment, ":")
	if opened := m.filter.aliases.open(name); found && opened != name {
		return opened + ":" + verb
	}
	return m.filter.aliases.open(segment)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// plainClient reports whether asynqmon knows how to ask this kind for its INFO.
func plainClient(rdb redis.UniversalClient) bool {
	switch rdb.(type) {
	case *redis.Client, *redis.ClusterClient:
		return true
	default:
		return false
	}
}

// redisInfo is asynqmon's page of Redis for the clients that it does not know.
func (m *monitor) redisInfo(w http.ResponseWriter, r *http.Request) {
	text, err := m.h.cfg.Redis.Info(r.Context()).Result()
	if err != nil {
		say(w, http.StatusBadGateway, m.h.mask.text(err.Error()))
		return
	}
	info := map[string]string{}
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			info[name] = value
		}
	}
	body, err := plainJSON(map[string]any{"address": "-", "info": info, "raw_info": text, "cluster": false, "raw_cluster_nodes": "", "queue_locations": nil})
	if err != nil {
		say(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body) // the reader may be gone: nothing to do about it
}

// sharedRedis hands our client to asynqmon: it works with sentinel and cluster
// alike, and asynqmon opens no connections of its own.
type sharedRedis struct {
	rdb    redis.UniversalClient
	queues *queueReader
	asked  bool
}

// MakeRedisClient implements asynq.RedisConnOpt. asynqmon asks twice: first for
// the client that it shows the INFO of, whose type it looks at, then for its
// Inspector's, which gets the one that bears with broken queues.
func (s *sharedRedis) MakeRedisClient() any {
	if !s.asked {
		s.asked = true
		return s.rdb
	}
	return &tolerant{UniversalClient: s.rdb, queues: s.queues}
}

// tolerant answers asynq's estimate of a queue's memory itself when the script
// fails. It fails when the data of one sampled task is missing, and asynqmon
// then shows no queue at all.
type tolerant struct {
	redis.UniversalClient
	queues *queueReader
}

// EvalSha implements redis.Scripter.
func (t *tolerant) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return t.bear(ctx, t.UniversalClient.EvalSha(ctx, sha, keys, args...), keys)
}

// Eval implements redis.Scripter.
func (t *tolerant) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return t.bear(ctx, t.UniversalClient.Eval(ctx, script, keys, args...), keys)
}

// bear knows the script by its keys: the six states, then the groups.
func (t *tolerant) bear(ctx context.Context, cmd *redis.Cmd, keys []string) *redis.Cmd {
	var refused redis.Error
	if err := cmd.Err(); err == nil || !errors.As(err, &refused) || redis.HasErrorPrefix(err, "NOSCRIPT") {
		return cmd
	}
	if len(keys) != 7 {
		return cmd
	}
	queue, ok := strings.CutSuffix(strings.TrimPrefix(keys[6], "asynq:{"), "}:groups")
	if !ok {
		return cmd
	}
	stat := t.queues.read(ctx, []string{queue})[0]
	return redis.NewCmdResult(stat.Memory, nil)
}
