package redisconn_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/redisconn"
)

// password is random. Its letters stand in no text and no host of these tests.
func password(r *rand.Rand) string {
	const letters = "QXZJ0189QXZJ0189QXZJ0189" + "/?#@:%&=+[]{}^|\\\"<>`;,! $'()*~._-" + "密"
	all := []rune(letters)
	out := make([]rune, 6+r.IntN(20))
	for i := range out {
		out[i] = all[r.IntN(len(all))]
	}
	return string(out)
}

// shows returns a part of the secret, of four characters or more, that text has.
func shows(text, secret string) string {
	runes := []rune(secret)
	for i := 0; i+4 <= len(runes); i++ {
		if part := string(runes[i : i+4]); strings.Contains(text, part) && strings.ContainsAny(part, "QXZJ0189") {
			return part
		}
	}
	return ""
}

func TestNoPartOfAPasswordIsShownOrDialled(t *testing.T) {
	t.Parallel()
	forms := []string{
		"redis://u:%s@h1:1/0", "redis://:%s@h1/0", "rediss://%s@h1", "redis-sentinel://u:%s@h1,h2/0?master=m",
		"redis-sentinel://h1/0?master=m&sentinel_password=%s", "redis-cluster://u:%s@h1,h2", "redis-cluster://h1,h2/?password=%s",
		"unix://u:%s@/run/redis.sock?db=1", "redis://u:%s@h1:port/0", "redis://u:%s@h1/zero", "http://u:%s@h1", "redis//u:%s@h1",
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	parsed := 0
	for range 4000 {
		secret := password(r)
		for _, raw := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			text := fmt.Sprintf(forms[r.IntN(len(forms))], raw)
			s, err := redisconn.Parse(redisconn.Config{URL: text})
			if err != nil {
				if part := shows(err.Error(), secret); part != "" {
					t.Fatalf("%q: the error shows %q: %v", text, part, err)
				}
				continue
			}
			parsed++
			if part := shows(fmt.Sprint(s.Addrs()), secret); part != "" {
				t.Fatalf("%q: %q would be dialled, which shows %q", text, s.Addrs(), part)
			}
		}
	}
	if parsed < 3000 {
		t.Errorf("%d URLs were accepted: the test sees too little", parsed)
	}
}

func TestAPasswordThatTheServerRepeatsIsMasked(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // repeatable
	for range 20 {
		secret := password(r)
		addr := listen(t, func(conn net.Conn) {
			answer(conn, map[string]string{
				"auth": "-ERR unknown command 'auth', with args beginning with: '" + secret + "'",
				"ping": "-NOAUTH said " + secret,
			})
		})
		s, err := redisconn.Parse(redisconn.Config{URL: "redis://" + url.UserPassword("", secret).String() + "@" + addr})
		must(t, err)
		if _, err = s.Check(context.WithoutCancel(t.Context())); err == nil || shows(err.Error(), secret) != "" {
			t.Errorf("password %q: %v", secret, err)
		}
	}
}
