package wechat_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat"
)

// samples is the part of testdata/wechat-samples.json that this package uses.
type samples struct {
	HTTP []struct {
		ID       string          `json:"id"`
		Method   string          `json:"method"`
		Path     string          `json:"path"`
		Query    [][2]string     `json:"query"`
		Request  json.RawMessage `json:"request"`
		Response json.RawMessage `json:"response"`
	} `json:"http"`
	Crypto []vector `json:"crypto"`
	Events []struct {
		ID     string         `json:"id"`
		XML    string         `json:"xml"`
		Fields map[string]any `json:"fields"`
	} `json:"xml_events"`
	FieldLimits []struct {
		ID    string `json:"id"`
		Key   string `json:"key"`
		Value string `json:"value"`
		Limit *int   `json:"limit"`
	} `json:"field_limit_cases"`
	Errcodes []struct {
		Errcode wechat.Code `json:"errcode"`
		Errmsg  string      `json:"errmsg"`
		Class   string      `json:"class"`
		Scope   string      `json:"scope"`
	} `json:"errcode_classes"`
}

func readSamples(t *testing.T) samples {
	t.Helper()
	data, err := os.ReadFile("testdata/wechat-samples.json")
	must(t, err)
	var s samples
	must(t, json.Unmarshal(data, &s))
	return s
}

// The test maps the classes of the samples to kinds.
func TestEveryPublishedErrcodeIsInTheTable(t *testing.T) {
	t.Parallel()
	kinds := map[string][]wechat.Kind{
		"accepted":             {wechat.KindOK},
		"retry_backoff":        {wechat.KindBusy, wechat.KindRate},
		"retry_with_new_token": {wechat.KindToken},
		"permanent_recipient":  {wechat.KindRecipient, wechat.KindRefused},
		"defer_recipient":      {wechat.KindFrequency},
		"permanent_message":    {wechat.KindMessage, wechat.KindManagement},
		"permanent_template":   {wechat.KindTemplate},
		"duplicate":            {wechat.KindDuplicate},
		"wait_quota_reset":     {wechat.KindQuota},
		"permanent_account":    {wechat.KindAccount},
	}
	rows := readSamples(t).Errcodes
	if len(rows) != 67 {
		t.Fatalf("%d rows, want 67", len(rows))
	}
	for _, row := range rows {
		kind := row.Errcode.Kind()
		if !slices.Contains(wechat.Codes(), row.Errcode) || row.Errcode.Name() == "unknown" || row.Errcode.Remedy() == "" {
			t.Errorf("%d %s is not in the table", row.Errcode, row.Errmsg)
		}
		if row.Errcode == wechat.CodeUserLimited {
			// By its action the account is concerned only after three recipients in
			// a row, so one answer concerns the recipient.
			if kind != wechat.KindRecipient {
				t.Errorf("50002 is %v", kind)
			}
			continue
		}
		if !slices.Contains(kinds[row.Class], kind) {
			t.Errorf("%d is %v, its class is %s", row.Errcode, kind, row.Class)
		}
		if management := strings.Contains(row.Scope, "management"); management != (kind == wechat.KindManagement) {
			t.Errorf("%d is %v, its scope is %q", row.Errcode, kind, row.Scope)
		}
	}
}

// The codes are those of docs/wechat.md 2.6, OAuth, QR codes, rid and quota.
func TestTableHasTheCodesOutsideTheSamples(t *testing.T) {
	t.Parallel()
	want := map[wechat.Kind][]wechat.Code{
		wechat.KindToken:      {40001, 40014, 42001, 41001},
		wechat.KindBusy:       {-1},
		wechat.KindRate:       {45011},
		wechat.KindQuota:      {45009},
		wechat.KindRecipient:  {40003, 43004, 43019, 48002, 46004, 50005, 50002},
		wechat.KindRefused:    {43101},
		wechat.KindFrequency:  {43117},
		wechat.KindMessage:    {40008, 40013, 40033, 40035, 40036, 40039, 40165, 40166, 40249, 45168, 44002, 45002, 47001, 47002, 47003, 1119003, 1119004, 9001001},
		wechat.KindTemplate:   {40037, 43116},
		wechat.KindDuplicate:  {40241},
		wechat.KindAccount:    {43104, 45035, 45109, 48001, 48003, 48004, 48008, 50001, 50004, 50007, 40125, 40243, 41002, 41004, 40002, 40164, 89501, 89503, 89506, 89507, 61003, 61004, 61007, 61023},
		wechat.KindManagement: {43100, 43106, 43107, 43108, 45103, 63178, 45026, 45027, 40246, 40247, 42007, 40029, 40163, 41008, 41009, 40030, 42002, 42003, 40062, 45029, 48006, 76001, 76002, 76003, 76004, 76021, 76022, 9410010, 9410011, 9410012, 43001, 43003},
	}
	for kind, codes := range want {
		for _, code := range codes {
			if code.Kind() != kind {
				t.Errorf("%d is %v, want %v", code, code.Kind(), kind)
			}
		}
	}
	if wechat.Code(77777).Kind() != wechat.KindUnknown || wechat.Code(77777).Name() != "unknown" || wechat.Code(77777).Remedy() == "" {
		t.Error("a code outside the table must be unknown and still have a remedy")
	}
}

func TestTableIsWellFormed(t *testing.T) {
	t.Parallel()
	codes := wechat.Codes()
	names := make(map[string]wechat.Code)
	for i, code := range codes {
		if i > 0 && code == codes[i-1] {
			t.Errorf("%d is in the table twice", code)
		}
		if other, taken := names[code.Name()]; taken {
			t.Errorf("%d and %d are both named %s", code, other, code.Name())
		}
		names[code.Name()] = code
		if strings.Trim(code.Name(), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%d: %q is no stable name", code, code.Name())
		}
		if !strings.HasSuffix(code.Remedy(), ".") || code.Says() == "" {
			t.Errorf("%d: want a remedy of one sentence, and WeChat's errmsg", code)
		}
	}
	for _, kind := range wechat.Kinds() {
		if kind.String() == "" || kind.Meaning() == "" {
			t.Errorf("kind %d has no name or meaning", kind)
		}
	}
	if got := wechat.Kind(99).String(); got != "kind(99)" || wechat.Kind(99).Meaning() != "" {
		t.Errorf("kind 99 is %q", got)
	}
	faults := make(map[wechat.FaultCode]bool)
	for _, code := range wechat.FaultCodes() {
		if faults[code] || code.Meaning(wechat.English) == "" || code.Remedy(wechat.English) == "" {
			t.Errorf("%s is there twice, or without words", code)
		}
		faults[code] = true
	}
}

func TestErrorsOfTokenCallsConcernTheAccount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code wechat.Code
		kind wechat.Kind
	}{
		{40001, wechat.KindAccount},
		{40013, wechat.KindAccount},
		{40164, wechat.KindAccount},
		{45009, wechat.KindAccount},
		{77777, wechat.KindAccount},
		{-1, wechat.KindBusy},
		{45011, wechat.KindRate},
	}
	for _, tt := range tests {
		for _, op := range []string{"/cgi-bin/token", "/cgi-bin/stable_token"} {
			e := &wechat.Error{Op: op, Code: tt.code}
			if got := wechat.KindOf(&wechat.TokenError{Err: e}); got != tt.kind {
				t.Errorf("%d from %s is %v, want %v", tt.code, op, got, tt.kind)
			}
		}
	}
	wrongSecret := (&wechat.Error{Op: "/cgi-bin/token", Code: 40001}).Remedy()
	if wrongSecret != wechat.CodeInvalidSecret.Remedy() {
		t.Errorf("40001 of the token call: %q, want the remedy of a wrong secret", wrongSecret)
	}
	for _, code := range []wechat.Code{40013, 45009} {
		if remedy := (&wechat.Error{Op: "/cgi-bin/token", Code: code}).Remedy(); remedy == code.Remedy() {
			t.Errorf("%d of the token call has the remedy of a send: %q", code, remedy)
		}
	}
}

func TestKindOfErrorsWithoutAnErrcode(t *testing.T) {
	t.Parallel()
	if wechat.KindOf(nil) != wechat.KindUnknown || wechat.KindOf(os.ErrClosed) != wechat.KindUnknown {
		t.Error("an error without errcode has no kind")
	}
	if _, ok := wechat.CodeOf(os.ErrClosed); ok || wechat.Ambiguous(os.ErrClosed) || wechat.Ambiguous(nil) {
		t.Error("want no errcode and no ambiguity for another error")
	}
}
