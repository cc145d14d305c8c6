package main

import (
	"strings"
	"testing"
)

// TestConfigHidesRedisPasswords: in whatever part of the address they stand.
func TestConfigHidesRedisPasswords(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"redis://:canary-1@127.0.0.1:6379/0",
		"rediss://worker:canary-2@127.0.0.1:6379/0",
		"redis://canary-3@127.0.0.1:6379/0", // the password where the user belongs
		"redis-sentinel://:canary-4@one,two/0?master=main&sentinel_username=s&sentinel_password=canary-5",
		"redis-sentinel://:canary-6@one:26379,two:26379/0?master=main&sentinel_password=canary-7",
		"redis-cluster://:canary-8@one:6379,two:6379?password=canary-9",
		"redis://:canary-10/with-a-slash@127.0.0.1:6379",
		"redis://127.0.0.1:6379/0#canary-11",
		"redis://127.0.0.1:6379/0?canary-12",
	} {
		for _, form := range []string{"text", "json"} {
			r := inProcess(t, map[string]string{"WXNOTIFY_REDIS_URL": address, "WXNOTIFY_APPID": "wxa"}, "config", "--output", form)
			if strings.Contains(r.stdout+r.stderr, "canary") {
				t.Errorf("%s of %s shows the password:\n%s%s", form, address, r.stdout, r.stderr)
			}
		}
	}
	r := inProcess(t, map[string]string{
		"WXNOTIFY_REDIS_URL": "redis-sentinel://:pw@one:26379,two:26379/3?master=main&sentinel_password=x",
	}, "config")
	if want := "redis-sentinel://[redacted]@one:26379,two:26379/3?master=main&sentinel_password=[redacted]"; !strings.Contains(r.stdout, want) {
		t.Errorf("the rest of the address is lost, want %s:\n%s", want, r.stdout)
	}
}
