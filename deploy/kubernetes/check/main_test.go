package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManifestsAreValid(t *testing.T) {
	if n, err := check(".."); err != nil || n < 8 {
		t.Errorf("%d objects: %v", n, err)
	}
}

// TestCheckRefuses: each change of a valid manifest is found.
func TestCheckRefuses(t *testing.T) {
	for name, c := range map[string]struct{ file, old, changed, want string }{
		"unknown field":   {"worker.yaml", "replicas: 2", "replica: 2", "unknown field"},
		"wrong type":      {"worker.yaml", "replicas: 2", "replicas: two", "cannot unmarshal"},
		"wrong place":     {"worker.yaml", "  strategy:", "  readinessProbe: {}\n  strategy:", "unknown field"},
		"three replicas":  {"worker.yaml", "replicas: 2", "replicas: 3", "replicas is not 2"},
		"other path":      {"enroll.yaml", "path: /readyz", "path: /ready", "probe of /readyz"},
		"other port":      {"enroll.yaml", "name: ops, containerPort", "name: op, containerPort", "probe of"},
		"autoscaler":      {"config.yaml", "kind: ConfigMap", "kind: HorizontalPodAutoscaler", "not one of the kinds"},
		"lost secret":     {"secret.example.yaml", "name: wxnotify\n", "name: other\n", "not in the folder"},
		"budget of none":  {"worker.yaml", "  selector:\n    matchLabels: {app.kubernetes.io/name: wxnotify, app.kubernetes.io/component: worker}\n", "  selector:\n    matchLabels: {app.kubernetes.io/name: other}\n", "selects its pods"},
		"writable root":   {"worker.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "rights"},
		"service of none": {"enroll.yaml", "targetPort: public", "targetPort: web", "selects no pod"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files, err := filepath.Glob("../*.yaml")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				text := string(b)
				if filepath.Base(file) == c.file {
					if !strings.Contains(text, c.old) {
						t.Fatalf("%s has no %q", c.file, c.old)
					}
					text = strings.ReplaceAll(text, c.old, c.changed)
				}
				if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := check(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
