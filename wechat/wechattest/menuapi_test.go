package wechattest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/wxnotify/wxnotify/wechat/wechattest"
)

func TestAMenuIsKeptUntilItIsDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	if r := b.get("/cgi-bin/menu/get"); r.code() != 46003 {
		t.Errorf("without a menu: %v, want 46003", r)
	}
	for body, want := range map[string]int{
		`{"button":[]}`:                  40016,
		`{"button":[{"type":"click"}]}`:  40018,
		`{"button":[{"name":"orders"}]}`: 40017,
		`{"button":[{"name":"a","type":"c"},{"name":"b","type":"c"},{"name":"c","type":"c"},{"name":"d","type":"c"}]}`: 40016,
		`{"button":[{"name":"a","sub_button":[1,2,3,4,5,6]}]}`:                                                         40023,
		`{"button":[{"name":"订单","type":"click","key":"orders"}]}`:                                                     0,
	} {
		if r := b.post("/cgi-bin/menu/create", body); int(r.code()) != want {
			t.Errorf("%s: %v, want %d", body, r, want)
		}
	}
	menu := b.get("/cgi-bin/menu/get")
	if text, _ := json.Marshal(menu["menu"]); !strings.Contains(string(text), "订单") {
		t.Errorf("the menu is %s", text)
	}
	if r := b.get("/cgi-bin/menu/delete"); r.code() != 0 {
		t.Errorf("delete: %v", r)
	}
	if r := b.get("/cgi-bin/menu/get"); r.code() != 46003 {
		t.Errorf("after delete: %v, want 46003", r)
	}
}

func TestAnUploadedFileGetsAMediaID(t *testing.T) {
	t.Parallel()
	b := setup(t, wechattest.Config{})
	upload := func(kind, field, content string) map[string]any {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile(field, "a.png")
		must(t, err)
		_, _ = io.WriteString(part, content)
		_ = form.Close()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.p.BaseURL()+"/cgi-bin/media/upload?access_token="+b.token+"&type="+kind, &body)
		must(t, err)
		req.Header.Set("Content-Type", form.FormDataContentType())
		resp, err := b.p.Client().Do(req)
		must(t, err)
		defer func() { _ = resp.Body.Close() }()
		var out map[string]any
		must(t, json.NewDecoder(resp.Body).Decode(&out))
		return out
	}
	if a := upload("image", "media", "PNG"); a["type"] != "image" || a["media_id"] == "" || a["created_at"] == 0.0 {
		t.Errorf("%v", a)
	}
	for _, c := range []struct {
		kind, field, content string
		want                 float64
	}{{"picture", "media", "PNG", 40004}, {"image", "file", "PNG", 41005}, {"image", "media", "", 44001}} {
		if a := upload(c.kind, c.field, c.content); a["errcode"] != c.want {
			t.Errorf("%+v: %v", c, a)
		}
	}
}
