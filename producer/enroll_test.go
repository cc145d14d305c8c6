package producer_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/ticket"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

const enrollKey = "0123456789abcdef0123456789abcdef"

func enrollment() producer.Enrollment {
	return producer.Enrollment{
		PublicURL: "https://notify.example.com/", Account: account, Key: wechat.NewSecret(enrollKey), User: "u-1",
	}
}

// opened reads the ticket in a link as the enroll room does.
func opened(tb testing.TB, link string, now time.Time) (ticket.Ticket, error) {
	tb.Helper()
	u, err := url.Parse(link)
	must(tb, err)
	s, err := ticket.NewSealer([]byte(enrollKey), account)
	must(tb, err)
	return s.Open(u.Query().Get("ticket"), now)
}

func TestEnrollURL(t *testing.T) {
	t.Parallel()
	e := enrollment()
	e.UserInfo, e.WithoutConfirm, e.ReturnTo = true, true, "https://shop.example/hello?a=1&b=2"
	link, err := producer.EnrollURL(e)
	must(t, err)
	if !strings.HasPrefix(link, "https://notify.example.com/enroll/"+account+"?") || strings.Contains(link, "u-1") {
		t.Errorf("link %s", link)
	}
	u, _ := url.Parse(link)
	if got := u.Query().Get("return_to"); got != e.ReturnTo {
		t.Errorf("return_to %q", got)
	}
	got, err := opened(t, link, time.Now())
	must(t, err)
	if got.User != "u-1" || !got.UserInfo || !got.WithoutConfirm || got.HandOff || got.AsksFirst() {
		t.Errorf("ticket %+v", got)
	}
	if left := time.Until(got.ExpiresAt); left < 24*time.Hour-2*time.Second || left > 24*time.Hour {
		t.Errorf("good for %s, want 24 h", left)
	}
	if _, err := opened(t, link, time.Now().Add(24*time.Hour)); !errors.Is(err, ticket.ErrExpired) {
		t.Errorf("a day later: %v", err)
	}
}

// All faults are named at once, each with its field; the key is in none.
func TestEnrollURLNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := producer.EnrollURL(producer.Enrollment{
		PublicURL: "notify.example.com", User: "two words", Key: wechat.NewSecret("canary0short"),
		Life: 31 * 24 * time.Hour, ReturnTo: "javascript:alert(1)",
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"PublicURL", "Account", "User", "Life", "ReturnTo", "Key", "openssl rand"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "canary0") {
		t.Errorf("the key is in: %v", err)
	}
}

func TestHandOff(t *testing.T) {
	t.Parallel()
	_, rdb := redistest.Mini(t)
	p := around(t, rdb)
	data := map[string]string{"phone": "13800000000"}
	e := enrollment()
	e.Account = ""
	link, err := p.HandOff(t.Context(), e, producer.HandOff{Data: data, UnionID: "unionid-1"})
	must(t, err)
	got, err := opened(t, link, time.Now())
	must(t, err)
	if !got.HandOff || !got.UserInfo {
		t.Errorf("ticket %+v: it must ask for the person", got)
	}
	secret := wechat.NewSecret(enrollKey)
	handOffs := ticket.NewHandOffStore(rdb, account, []byte(enrollKey))
	must(t, handOffs.CheckClaim(t.Context(), got.ID, producer.Claim(secret, link, data)))
	must(t, handOffs.CheckUnionID(t.Context(), got.ID, "unionid-1"))
	if err := handOffs.CheckClaim(t.Context(), got.ID, producer.Claim(secret, link, map[string]string{"phone": "1"})); !errors.Is(err, ticket.ErrMismatch) {
		t.Errorf("other data: %v", err)
	}
	for name, bad := range map[string]func() (string, error){
		"data that could share a claim": func() (string, error) {
			return p.HandOff(t.Context(), e, producer.HandOff{Data: map[string]string{"phone": "1\nname=2"}})
		},
		"no data": func() (string, error) { return p.HandOff(t.Context(), e, producer.HandOff{}) },
		"another account": func() (string, error) {
			e := e
			e.Account = "wx2222222222222222"
			return p.HandOff(t.Context(), e, producer.HandOff{Data: data})
		},
	} {
		if _, err := bad(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if producer.Claim(secret, "https://notify.example.com/", data) != "" || producer.Claim(secret, "::", data) != "" {
		t.Error("a claim for a link without a ticket")
	}
}

func ExampleEnrollURL() {
	link, err := producer.EnrollURL(producer.Enrollment{
		PublicURL: "https://notify.example.com", Account: "wx1234567890abcdef",
		Key:  wechat.NewSecret("0123456789abcdef0123456789abcdef"), // WXNOTIFY_ENROLL_KEY
		User: "patient-401", Life: time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	before, _, _ := strings.Cut(link, "ticket=")
	fmt.Println(before + "ticket=…")
	// Output: https://notify.example.com/enroll/wx1234567890abcdef?ticket=…
}

func ExampleProducer_HandOff() {
	rdb, stop := connect()
	defer stop()
	p, err := producer.New(rdb, producer.Config{Account: "wx1234567890abcdef"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close() }()

	// The mini program has verified the telephone number.
	data := map[string]string{"phone": "13800000000"}
	secret := wechat.NewSecret("0123456789abcdef0123456789abcdef") // WXNOTIFY_ENROLL_KEY
	link, err := p.HandOff(context.Background(), producer.Enrollment{
		PublicURL: "https://notify.example.com", Key: secret, User: "patient-401",
	}, producer.HandOff{Data: data})
	if err != nil {
		fmt.Println(err)
		return
	}
	// It opens the link together with the claim of the same data.
	open := link + "&claim=" + producer.Claim(secret, link, data)
	fmt.Println(strings.Contains(open, "13800000000"), len(producer.Claim(secret, link, data)))
	// Output: false 64
}
