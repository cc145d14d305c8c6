package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/wxnotify/wxnotify/internal/testutil"
	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

// scraped are the labels of each metric name of a scrape.
type scraped map[string]map[string]bool

var labelName = regexp.MustCompile(`([a-zA-Z_]\w*)="`)

func scrape(tb testing.TB, addr string) scraped {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	rec, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = rec.Body.Close() }()
	var b strings.Builder
	if err := rec.Write(&b); err != nil {
		tb.Fatal(err)
	}
	all := scraped{"up": {}}
	for line := range strings.Lines(b.String()) {
		name := regexp.MustCompile(`^[a-z_:]\w*`).FindString(line)
		if name == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if all[name] == nil {
			all[name] = map[string]bool{}
		}
		for _, l := range labelName.FindAllStringSubmatch(line, -1) {
			all[name][l[1]] = true
		}
	}
	for name := range all { // Prometheus adds these to every series
		all[name]["job"], all[name]["instance"] = true, true
	}
	return all
}

func decodeYAML(tb testing.TB, text string, out any) {
	tb.Helper()
	tree, err := yaml.Parser().Unmarshal([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := json.Marshal(tree)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		tb.Fatal(err)
	}
}

// alertRule is an alert of deploy/prometheus/rules.yml.
type alertRule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func alertRules(tb testing.TB) []alertRule {
	tb.Helper()
	var file struct {
		Groups []struct {
			Rules []alertRule `json:"rules"`
		} `json:"groups"`
	}
	decodeYAML(tb, shipped(tb, "prometheus/rules.yml"), &file)
	var all []alertRule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		tb.Fatalf("%d alerts", len(all))
	}
	return all
}

// expressions are those of the alerts and of the dashboards, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range alertRules(t) {
		all[r.Alert] = r.Expr
	}
	files, err := filepath.Glob("../../deploy/grafana/dashboards/*.json")
	check(t, err)
	if len(files) < 2 {
		t.Fatalf("dashboards: %v", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(t, err)
		var board struct {
			UID    string
			Panels []struct {
				ID      int
				Title   string
				GridPos struct{ X, Y, W, H int }
				Targets []struct{ Expr string }
			}
			Templating struct {
				List []struct{ Definition string }
			}
		}
		check(t, json.Unmarshal(text, &board))
		taken := map[[2]int]string{}
		ids := map[int]bool{}
		for _, p := range board.Panels {
			if ids[p.ID] || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: %s has no expression, the id of another panel or no place", file, p.Title)
			}
			ids[p.ID] = true
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if taken[at] != "" {
						t.Fatalf("%s: %s covers %s", file, p.Title, taken[at])
					}
					taken[at] = p.Title
				}
			}
			for i, target := range p.Targets {
				all[board.UID+" "+p.Title+string(rune('A'+i))] = target.Expr
			}
		}
		for _, v := range board.Templating.List {
			if v.Definition != "" {
				all[board.UID+" variable"] = v.Definition
			}
		}
	}
	return all
}

var (
	metricName  = regexp.MustCompile(`\b(?:wxnotify|asynq|go|process)_\w+|\bup\b`)
	matchers    = regexp.MustCompile(`(\w+)\{([^{}]*)\}`)
	grouping    = regexp.MustCompile(`(?:by|on) \(([^)]*)\)`)
	grafanaVars = strings.NewReplacer("$account", "wx", "[$__rate_interval]", "[5m]")
)

// unknownIn names the metrics and labels of an expression that no scrape has.
func (s scraped) unknownIn(expr string) []string {
	var unknown []string
	for _, name := range metricName.FindAllString(expr, -1) {
		if s[name] == nil {
			unknown = append(unknown, name)
		}
	}
	labels := map[string]bool{"le": true}
	for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
		maps.Copy(labels, s[m[1]])
		for _, l := range regexp.MustCompile(`(\w+)(?:=|!)`).FindAllStringSubmatch(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(m[2], ""), -1) {
			if !s[m[1]][l[1]] {
				unknown = append(unknown, m[1]+"{"+l[1]+"}")
			}
		}
	}
	for _, name := range metricName.FindAllString(expr, -1) {
		maps.Copy(labels, s[name])
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if !labels[strings.TrimSpace(l)] {
				unknown = append(unknown, "by ("+l+")")
			}
		}
	}
	return unknown
}

// TestDeployMetricsExist: every metric and label of an alert or a dashboard is in a
// scrape of a serve that has sent, heard back, enrolled and forwarded.
func TestDeployMetricsExist(t *testing.T) {
	t.Parallel()
	w := publicWorld(t)
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("success")) }))
	t.Cleanup(own.Close)
	addr := testutil.FreeAddr(t)
	w.env = w.with("WXNOTIFY_OPS_ADDR", addr, "WXNOTIFY_FORWARD_URL", own.URL)
	start(t, w.env, "serve").says(t, "enroll started")
	w.run(t, "send", "--to", storyOpenID, "--template", wechattest.TemplateOrderPaid, "--id", "m-1", "--class", "critical",
		"--data", "thing1=化验单", "--data", "time2=2026-11-25 10:00", "--data", "amount3=¥10.00")
	w.state(t, "m-1", "delivered")
	w.control(t, "POST", "/_sim/followers", map[string]any{"openids": []string{storyOpenID}, "do": "say", "text": "hello"}, nil)
	var got scraped
	testutil.Until(t, "the push is forwarded, the receipt is counted", func() bool {
		got = scrape(t, addr)
		return got["wxnotify_forwards_total"] != nil && got["wxnotify_enroll_total"] != nil
	})
	for where, expr := range expressions(t) {
		if unknown := got.unknownIn(grafanaVars.Replace(expr)); len(unknown) > 0 {
			t.Errorf("%s: no scrape has %v: %s", where, unknown, expr)
		}
	}
	for _, wrong := range []string{"wxnotify_sent_total", `up{jobs="x"}`, "sum by (reason) (wxnotify_sends_total)", `wxnotify_sends_total{state="dead"}`} {
		if got.unknownIn(wrong) == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}

// TestDeployAlerts: promtool's own unit tests pass, each alert has one that fires, and
// names a heading of docs/operations.md.
func TestDeployAlerts(t *testing.T) {
	t.Parallel()
	path := installed(t, "promtool", "prometheus")
	for _, args := range [][]string{{"test", "rules", "rules.test.yml"}, {"check", "rules", "rules.yml"}} {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = "../../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	check(t, err)
	var anchors []string
	for _, h := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(operations), -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name     string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	decodeYAML(t, shipped(t, "prometheus/rules.test.yml"), &tests)
	fires := map[string]bool{}
	for _, g := range tests.Tests {
		for _, a := range g.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Expected) > 0
		}
	}
	for _, r := range alertRules(t) {
		anchor, ok := strings.CutPrefix(r.Annotations["playbook"], "docs/operations.md#")
		if !ok || !slices.Contains(anchors, anchor) {
			t.Errorf("%s: its playbook %q is no heading of docs/operations.md", r.Alert, r.Annotations["playbook"])
		}
		if r.Annotations["summary"] == "" || !slices.Contains([]string{"page", "ticket"}, r.Labels["severity"]) {
			t.Errorf("%s: summary %q, severity %q", r.Alert, r.Annotations["summary"], r.Labels["severity"])
		}
		if !fires[r.Alert] {
			t.Errorf("%s: no test of rules.test.yml makes it fire", r.Alert)
		}
	}
}
