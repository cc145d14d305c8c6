package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/internal/doctor"
	"github.com/wxnotify/wxnotify/internal/names"
	"github.com/wxnotify/wxnotify/internal/redisconn"
	"github.com/wxnotify/wxnotify/internal/redistest"
	"github.com/wxnotify/wxnotify/internal/seal"
	"github.com/wxnotify/wxnotify/producer"
	"github.com/wxnotify/wxnotify/wechat"
)

// A key that waiting messages need and the settings lack, and messages in clear where
// they should not be.
func TestSealedMessagesAreComparedWithTheKeys(t *testing.T) {
	t.Parallel()
	const (
		appid = "wx1234567890abcdef"
		older = "5f1d0c9a7be34428d1a6f0937c25be81402f6e9ad8137b5cc4e0918d2a6f7b33"
		newer = "c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0739be81d24a65f"
	)
	server := redistest.Start(t)
	rdb := server.Client(t)
	for id, keys := range map[string]string{"clear-1": "", "clear-2": "", "older-1": older, "newer-1": newer} {
		p, err := producer.New(rdb, producer.Config{Account: appid, SealKeys: wechat.NewSecret(keys)})
		must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		_, err = p.Enqueue(t.Context(), id, &wechat.TemplateMessage{
			ToUser: "oABCdefGHIjklMNOpqrSTUvwxYZ0", TemplateID: "T1", Data: map[string]wechat.Field{"thing1": {Value: "x"}},
		})
		must(t, err)
	}
	address, err := redisconn.Parse(redisconn.Config{URL: server.URL()})
	must(t, err)
	for keys, want := range map[string][]doctor.Code{
		"":                  {"seal-key-missing", "seal-key-missing"},
		newer:               {"seal-key-missing", "seal-clear"},
		newer + "," + older: {"seal-clear"},
	} {
		ring, err := seal.New(keys)
		must(t, err)
		checks, client := doctor.Checks(doctor.Installation{Redis: address, ErrorText: error.Error, Accounts: []doctor.Account{{AppID: appid, SealKeys: ring}}})
		t.Cleanup(func() { _ = client.Close() })
		report := doctor.Run(t.Context(), checks, wechat.English)
		var got []doctor.Code
		for _, f := range report.Findings {
			if f.Check == "seal" {
				got = append(got, f.Code)
			}
			if strings.Contains(f.What+f.Remedy, newer[:8]) {
				t.Errorf("a finding shows the key: %+v", f)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("keys %.8s: %v, want %v: %+v", keys, got, want, report.Findings)
		}
	}
}

// Settings that seal names in another way than they lie, and a conversion that was stopped.
func TestNamesAreComparedWithTheKeys(t *testing.T) {
	t.Parallel()
	const appid = "wx1234567890abcdef"
	server := redistest.Start(t)
	rdb := server.Client(t)
	sealed, err := seal.NewNames("c84e2b7f90a1d36e5528fb47091cde6a3b7f80e2941d5ac6f0736e8d1b24a65f", appid)
	must(t, err)
	address, err := redisconn.Parse(redisconn.Config{URL: server.URL()})
	must(t, err)
	finds := func(what string, n *seal.Names, want ...doctor.Code) {
		t.Helper()
		checks, client := doctor.Checks(doctor.Installation{Redis: address, ErrorText: error.Error, Accounts: []doctor.Account{{AppID: appid, Names: n}}})
		t.Cleanup(func() { _ = client.Close() })
		var got []doctor.Code
		for _, f := range doctor.Run(t.Context(), checks, wechat.English).Findings {
			if f.Check == "names" {
				got = append(got, f.Code)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	finds("a new account", sealed)
	must(t, rdb.HSet(t.Context(), "wxn:{"+appid+"}:sup", "oX", "0 x").Err())
	finds("in clear", nil)
	finds("in clear, with a key", sealed, "names-mixed")
	_, err = names.Begin(t.Context(), rdb, appid, nil, sealed)
	must(t, err)
	finds("stopped", sealed, "names-converting")
	must(t, rdb.Set(t.Context(), "wxn:{"+appid+"}:names", sealed.KeyID(), 0).Err())
	finds("sealed", sealed)
	finds("sealed, without a key", nil, "names-mixed")
}
