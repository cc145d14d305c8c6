package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/settings"
)

// TestDeployUnit: systemd finds no fault in the unit, rates its exposure at 3 or less,
// also with its examples uncommented, and knows when a stop has taken too long.
func TestDeployUnit(t *testing.T) {
	t.Parallel()
	path := installed(t, "systemd-analyze", "systemd")
	file := filepath.Join(t.TempDir(), "wxnotify@worker.service")
	check(t, os.WriteFile(file, []byte(shipped(t, "systemd/wxnotify@.service", "ExecStart=/usr/bin/wxnotify", "ExecStart=/bin/true",
		"#LoadCredential=", "LoadCredential=", "#LogsDirectory=", "LogsDirectory=", "#Environment=", "Environment=")), 0o600))
	if out, err := exec.CommandContext(t.Context(), path, "verify", "--man=no", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), path, "security", "--offline=true", "--no-pager", file).CombinedOutput()
	check(t, err)
	rated := regexp.MustCompile(`exposure level for .*: ([0-9.]+)`).FindSubmatch(out)
	if rated == nil {
		t.Fatalf("no rating: %s", out)
	}
	if level, err := strconv.ParseFloat(string(rated[1]), 64); err != nil || level > 3 {
		t.Errorf("exposure %v: %v\n%s", level, err, out)
	}
	unit := shipped(t, "systemd/wxnotify@.service")
	for _, want := range []string{"\nTimeoutStopSec=30\n", "\nKillSignal=SIGTERM\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
}

// TestDeployUnitStartsAgainWhenRedisIsBack: a process whose Redis does not answer at its
// start ends with the exit code of a wrong configuration, as after a power cut or during a
// fail-over. systemd starts it again all the same, however often.
func TestDeployUnitStartsAgainWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	unit := shipped(t, "systemd/wxnotify@.service")
	for _, want := range []string{"\nRestart=always\n", "\nStartLimitIntervalSec=0\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if strings.Contains(unit, "RestartPreventExitStatus") {
		t.Error("the unit gives up at an exit code; Redis that is away has the code of a wrong configuration")
	}
}

// TestDeployNamesSettings: every WXNOTIFY_ name in deploy/, the Dockerfile and the
// documents is a setting, or a setting read from a file.
func TestDeployNamesSettings(t *testing.T) {
	t.Parallel()
	known := []string{"WXNOTIFY_CONFIG", "WXNOTIFY_LANG"}
	for _, s := range settings.Table() {
		known = append(known, s.Env())
		if s.Secret() {
			known = append(known, s.Env()+"_FILE")
		}
	}
	files := []string{"../../Dockerfile", "../../docker-compose.yml"}
	for _, path := range documents(t) {
		if path != "CHANGELOG.md" { // has the names of the past, too
			files = append(files, root+path)
		}
	}
	for _, pattern := range []string{"systemd/*", "kubernetes/*.yaml", "nginx/*", "caddy/*", "prometheus/*"} {
		found, err := filepath.Glob("../../deploy/" + pattern)
		check(t, err)
		if len(found) == 0 {
			t.Errorf("deploy/%s: no file", pattern)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(t, err)
		for _, name := range regexp.MustCompile(`WXNOTIFY_[A-Z_]+[A-Z]`).FindAllString(string(text), -1) {
			if !slices.Contains(known, name) && !strings.HasPrefix(name, "WXNOTIFY_TEST_") {
				t.Errorf("%s: %s is no setting", file, name)
			}
		}
	}
}

// TestDeployKubernetesConfigures: what the ConfigMap and the Secret set is a
// configuration, once the values that only an owner knows are in.
func TestDeployKubernetesConfigures(t *testing.T) {
	t.Parallel()
	vars := map[string]string{}
	for name, field := range map[string]string{"config.yaml": "data", "secret.example.yaml": "stringData"} {
		var object map[string]json.RawMessage
		decodeYAML(t, shipped(t, "kubernetes/"+name), &object)
		var values map[string]string
		check(t, json.Unmarshal(object[field], &values))
		maps.Copy(vars, values)
	}
	if _, err := settings.Load("", vars, nil, settings.Everything); err == nil {
		t.Error("the example starts as it is")
	}
	for k, v := range production() {
		if k != "WXNOTIFY_PUBLIC_URL" {
			vars[k] = v
		}
	}
	c, err := settings.Load("", vars, nil, settings.Everything)
	if err != nil || len(c.Warnings) > 0 {
		t.Errorf("%v, %v", err, c)
	}
}
