package ops

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/wxnotify/wxnotify/internal/mask"
	"github.com/wxnotify/wxnotify/internal/queue"
)

const (
	monitorRoot = "/asynqmon"
	// maxPage bounds the tasks of one request: a page of a million would stop Redis.
	maxPage = 200
	// noncePlace marks where a nonce goes. asynqmon's page creates style sheets at
	// run time, so no hash can name them; its library reads a nonce from a meta
	// element and sets it on each.
	noncePlace = "wxnotify-nonce"
	// readOnly names the commands that act.
	readOnly = "These pages are read-only. Act in the console, or with the command line: `wxnotify queues pause|resume CLASS`, " +
		"`wxnotify dead retry ID`, `wxnotify cancel ID`."
)

// monitor serves asynqmon read-only, with its answers masked.
type monitor struct {
	rdb    redis.UniversalClient
	prefix string // Config.Prefix, which asynqmon's links and paths have
	mask   *masker
	inner  http.Handler
	page   []byte // asynqmon's only HTML page; noncePlace stands for the nonce
	policy string // its Content-Security-Policy, with noncePlace too
}

func newMonitor(rdb redis.UniversalClient, inspector *queue.Inspector, shown *masker, prefix string) (*monitor, error) {
	m := &monitor{rdb: rdb, mask: shown, prefix: prefix}
	m.inner = asynqmon.New(asynqmon.Options{
		RootPath: prefix + monitorRoot, ReadOnly: true,
		RedisConnOpt:     redisClient{inspector.MonitorClient()},
		PayloadFormatter: asynqmon.PayloadFormatterFunc(shown.payload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(shown.result),
	}) // not closed: the caller owns Redis
	page := httptest.NewRecorder()
	m.inner.ServeHTTP(page, httptest.NewRequest(http.MethodGet, prefix+monitorRoot+"/", http.NoBody)) //nolint:noctx // served from memory
	if page.Code != http.StatusOK {
		return nil, fmt.Errorf("asynqmon's page cannot be built: %s", page.Body)
	}
	var err error
	m.page, m.policy, err = preparePage(page.Body.Bytes())
	return m, err
}

// preparePage removes the fonts of a foreign host from asynqmon's page (where the
// host is blocked, the page would wait for them) and returns a policy that names
// the page's inline scripts by their hashes, so that no other script runs.
func preparePage(page []byte) (prepared []byte, policy string, err error) {
	page = regexp.MustCompile(`<link[^>]*href="https?://[^>]*>`).ReplaceAll(page, nil)
	head := []byte("<head>")
	if !bytes.Contains(page, head) {
		return nil, "", errors.New("asynqmon's page has no head")
	}
	page = bytes.Replace(page, head, []byte(`<head><meta property="csp-nonce" content="`+noncePlace+`"/>`), 1)
	var hashes strings.Builder
	for _, script := range regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllSubmatch(page, -1) {
		hashes.WriteString(" '" + hashSource(script[1]) + "'")
	}
	if hashes.Len() == 0 {
		return nil, "", errors.New("asynqmon's page has no inline script: review the policy for this version of asynqmon")
	}
	return page, "default-src 'none'; script-src 'self'" + hashes.String() + "; style-src 'self' 'nonce-" + noncePlace + "'; " +
		"img-src 'self' data:; connect-src 'self'; manifest-src 'self'; font-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

// hashSource is a hash as a Content-Security-Policy writes it.
func hashSource(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// ServeHTTP implements http.Handler.
func (m *monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, isAPI := strings.CutPrefix(r.URL.Path, monitorRoot+"/api")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		writeText(w, http.StatusMethodNotAllowed, readOnly)
	case !isAPI:
		m.static(w, r)
	case path == "/metrics":
		writeText(w, http.StatusNotFound, "Graphs need Prometheus, which is not configured here. The numbers are at /metrics.")
	case path == "/redis_info":
		m.redisInfo(w, r)
	default:
		m.api(w, r)
	}
}

// static serves a file of asynqmon's, or its page for any other path.
func (m *monitor) static(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	m.inner.ServeHTTP(answer, m.prefixed(r))
	contentType := answer.Header().Get("Content-Type")
	if answer.Code >= http.StatusMultipleChoices || contentType == "" || strings.HasPrefix(contentType, "text/html") {
		nonce := rand.Text()
		w.Header().Set("Content-Security-Policy", strings.Replace(m.policy, noncePlace, nonce, 1))
		writeBody(w, http.StatusOK, "text/html; charset=utf-8", bytes.Replace(m.page, []byte(noncePlace), []byte(nonce), 1))
		return
	}
	w.Header().Set("Cache-Control", "private, max-age=3600") // files of the program, no data
	writeBody(w, http.StatusOK, contentType, withWholeIDs(answer.Body.Bytes()))
}

// shortIDs is the body of the function by which asynqmon's page shows an ID up to its
// first hyphen: "order" for each ID that begins so.
var shortIDs = regexp.MustCompile(`\{var (\w)=(\w)\.indexOf\("-"\);return-1===\w\?\w:\w\.substr\(0,\w\)\}`)

// withWholeIDs has the page show whole IDs. Another version of asynqmon, whose function
// looks different, is served as it is.
func withWholeIDs(script []byte) []byte { return shortIDs.ReplaceAll(script, []byte("{return $2}")) }

// api passes a question to asynqmon and masks the answer: JSON stays JSON, an
// error stays one line.
func (m *monitor) api(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	m.inner.ServeHTTP(answer, m.prefixed(withBoundedPage(r)))
	body := bytes.TrimSpace(answer.Body.Bytes())
	// For an unknown path of its API asynqmon answers 200 with its page.
	if bytes.HasPrefix(bytes.ToLower(body), []byte("<!doctype")) {
		writeText(w, http.StatusNotFound, "Not found.")
		return
	}
	masked, err := mask.JSON(body, m.mask.answerLeaf)
	if err != nil {
		writeText(w, answer.Code, mask.Text(string(body)))
		return
	}
	writeBody(w, answer.Code, "application/json; charset=utf-8", masked)
}

// prefixed gives a request the path under which asynqmon expects it.
func (m *monitor) prefixed(r *http.Request) *http.Request {
	if m.prefix == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path = m.prefix + r.URL.Path
	if r.URL.RawPath != "" {
		r.URL.RawPath = m.prefix + r.URL.RawPath
	}
	return r
}

func withBoundedPage(r *http.Request) *http.Request {
	query := r.URL.Query()
	if n, err := strconv.Atoi(query.Get("size")); err != nil || (n >= 1 && n <= maxPage) {
		return r
	}
	query.Set("size", strconv.Itoa(maxPage))
	bounded := r.Clone(r.Context())
	bounded.URL.RawQuery = query.Encode()
	return bounded
}

// redisInfo answers in asynqmon's place, which knows two kinds of clients only.
// Redis' own words are not masked: they contain nothing personal.
func (m *monitor) redisInfo(w http.ResponseWriter, r *http.Request) {
	text, err := m.rdb.Info(r.Context()).Result()
	if err != nil {
		writeText(w, http.StatusBadGateway, mask.Text(err.Error()))
		return
	}
	info := map[string]string{}
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			info[name] = value
		}
	}
	address := "-"
	if client, ok := m.rdb.(*redis.Client); ok {
		address = client.Options().Addr
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"address": address, "info": info, "raw_info": text, "cluster": false, "raw_cluster_nodes": "", "queue_locations": nil,
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := encodeJSON(v)
	if err != nil {
		writeText(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeBody(w, status, "application/json; charset=utf-8", body)
}

// redisClient gives asynqmon our connection: it opens none of its own, and works
// with Sentinel and Cluster.
type redisClient struct{ redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt.
func (c redisClient) MakeRedisClient() any { return c.UniversalClient }
