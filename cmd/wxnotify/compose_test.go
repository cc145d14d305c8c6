package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// loadCompose reads docker-compose.yml as the engine's own library does.
func loadCompose(t *testing.T, profiles []string, environment ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithProfiles(profiles), cli.WithEnv(environment))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

// TestComposeFile: the file is valid, its commands and variables are ours, and
// redis is set up as the design asks. No engine runs it here.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	plain := loadCompose(t, nil, "WXNOTIFY_APPID=wxa", "WXNOTIFY_APPSECRET=s")
	if got := plain.ServiceNames(); !slices.Contains(got, "worker-1") || !slices.Contains(got, "worker-2") || slices.Contains(got, "simulate") {
		t.Errorf("without a profile: %v", got)
	}
	redis := strings.Join(plain.Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction", "--hash-max-listpack-value 1024"} {
		if !strings.Contains(redis, want) {
			t.Errorf("redis runs without %s: %s", want, redis)
		}
	}
	simulated := loadCompose(t, []string{"simulate"})
	for name, service := range simulated.Services {
		if name == "redis" {
			continue
		}
		cmd, _, err := (&app{}).command().Find(service.Command)
		if err != nil || cmd.Name() != service.Command[0] {
			t.Errorf("service %s runs %v, which is no command of ours", name, service.Command)
		}
		if service.User == "root" || service.Privileged {
			t.Errorf("service %s runs with rights that it does not need", name)
		}
		vars := map[string]string{}
		for k, v := range service.Environment {
			if v != nil {
				vars[k] = *v
			}
			if !slices.ContainsFunc(settings(), func(s setting) bool { return s.env() == k }) {
				t.Errorf("service %s sets %s, which is no setting", name, k)
			}
		}
		if _, err := loadConfig("", vars, nil, everyGroup); err != nil {
			t.Errorf("service %s: %v", name, err)
		}
	}
	if _, ok := simulated.Services["simulate"]; !ok {
		t.Error("the simulate profile has no simulator")
	}
}
