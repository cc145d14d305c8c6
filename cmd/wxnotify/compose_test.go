package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/wxnotify/wxnotify/internal/settings"
)

const (
	composeFile  = "../../docker-compose.yml"
	simulateFile = "../../simulate.env"
)

// loadCompose reads docker-compose.yml as the engine's own library does.
func loadCompose(t *testing.T, options ...cli.ProjectOptionsFn) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{composeFile}, options...)
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(context.WithoutCancel(t.Context()))
}

// production is a .env as docker-compose.yml asks for.
func production() map[string]string {
	return map[string]string{
		"WXNOTIFY_APPID": "wx0123456789abcdef", "WXNOTIFY_APPSECRET": canarySecret, "WXNOTIFY_PUBLIC_URL": "https://notify.example.com",
		"WXNOTIFY_ENROLL_KEY": canarySecret, "WXNOTIFY_CALLBACK_TOKEN": "canaryTokenCanary", "WXNOTIFY_ENCODING_AES_KEY": canaryAESKey,
		"WXNOTIFY_OPS_LOGIN": "ops:" + canarySecret,
	}
}

func pairs(env map[string]string) []string {
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// TestComposeHasNoPublishedSecrets: without one of its secrets it does not start, and
// no secret stands in the file.
func TestComposeHasNoPublishedSecrets(t *testing.T) {
	t.Parallel()
	project, err := loadCompose(t, cli.WithEnv(pairs(production())))
	if err != nil {
		t.Fatal(err)
	}
	vars := variables(project.Services["enroll"])
	c, err := settings.Load("", vars, nil, settings.Everything)
	if err != nil || len(c.Warnings) > 0 {
		t.Errorf("%v, %v", err, c.Warnings)
	}
	for _, name := range []string{"WXNOTIFY_APPID", "WXNOTIFY_APPSECRET", "WXNOTIFY_ENROLL_KEY", "WXNOTIFY_CALLBACK_TOKEN", "WXNOTIFY_ENCODING_AES_KEY", "WXNOTIFY_OPS_LOGIN", "WXNOTIFY_PUBLIC_URL"} {
		env := production()
		delete(env, name)
		if _, err := loadCompose(t, cli.WithEnv(pairs(env))); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		env[name] = ""
		if _, err := loadCompose(t, cli.WithEnv(pairs(env))); err == nil {
			t.Errorf("%s is empty: accepted", name)
		}
	}
}

// TestSecretsOfTheSimulatorAreForIt: who takes simulate.env for an account is refused.
func TestSecretsOfTheSimulatorAreForIt(t *testing.T) {
	t.Parallel()
	project, err := loadCompose(t, cli.WithEnvFiles(simulateFile), cli.WithDotEnv)
	if err != nil {
		t.Fatal(err)
	}
	vars := variables(project.Services["enroll"])
	vars["WXNOTIFY_WECHAT_BASE_URL"] = "https://api.weixin.qq.com"
	_, err = settings.Load("", vars, nil, settings.Everything)
	for _, name := range []string{"WXNOTIFY_APPSECRET", "WXNOTIFY_ENROLL_KEY", "WXNOTIFY_CALLBACK_TOKEN", "WXNOTIFY_ENCODING_AES_KEY", "WXNOTIFY_OPS_LOGIN"} {
		if err == nil || !strings.Contains(err.Error(), name+": is a placeholder") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestImageHasNoEnvFile: COPY . . would carry .env into a layer of the image.
func TestImageHasNoEnvFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".env", ".env.*", "*.env", ".git"} {
		if !slices.Contains(strings.Split(string(text), "\n"), name) {
			t.Errorf(".dockerignore lacks %s", name)
		}
	}
}

func variables(service types.ServiceConfig) map[string]string {
	vars := map[string]string{}
	for k, v := range service.Environment {
		if v != nil {
			vars[k] = *v
		}
	}
	return vars
}

// TestComposeFile: the file is valid, its commands and variables are ours, and
// redis is set up as the design asks. No engine runs it here.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	plain, err := loadCompose(t, cli.WithEnv(pairs(production())))
	if err != nil {
		t.Fatal(err)
	}
	if got := plain.ServiceNames(); !slices.Contains(got, "worker-1") || !slices.Contains(got, "worker-2") || slices.Contains(got, "simulate") {
		t.Errorf("without a profile: %v", got)
	}
	redis := strings.Join(plain.Services["redis"].Command, " ")
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction", "--hash-max-listpack-value 1024"} {
		if !strings.Contains(redis, want) {
			t.Errorf("redis runs without %s: %s", want, redis)
		}
	}
	simulated, err := loadCompose(t, cli.WithProfiles([]string{"simulate"}), cli.WithEnvFiles(simulateFile), cli.WithDotEnv)
	if err != nil {
		t.Fatal(err)
	}
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
		vars := variables(service)
		for k := range vars {
			if !slices.ContainsFunc(settings.Table(), func(s settings.Setting) bool { return s.Env() == k }) {
				t.Errorf("service %s sets %s, which is no setting", name, k)
			}
		}
		if _, err := settings.Load("", vars, nil, settings.Everything); err != nil {
			t.Errorf("service %s: %v", name, err)
		}
	}
	if _, ok := simulated.Services["simulate"]; !ok {
		t.Error("the simulate profile has no simulator")
	}
}
