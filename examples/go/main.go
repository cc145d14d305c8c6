// The HTTP API with Go's standard library, for programs that do not use package producer.
// See ../README.md.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

var ends = []string{"delivered", "rejected", "expired", "cancelled", "unknown", "dead"}

type message struct {
	ID        string         `json:"id"`
	NotBefore string         `json:"not_before,omitempty"`
	Message   map[string]any `json:"message"`
}

type answer struct{ State, URL string }

func call(ctx context.Context, method, path string, body any) (out answer, err error) {
	api := os.Getenv("API_URL")
	if api == "" {
		api = "http://127.0.0.1:8081"
	}
	in := new(bytes.Buffer)
	if body != nil {
		if err := json.NewEncoder(in).Encode(body); err != nil {
			return out, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, api+path, in)
	if err != nil {
		return out, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return out, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("HTTP %d: %s", response.StatusCode, text) // problem+json
	}
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}

// send enqueues a message. The same id again sends nothing twice.
func send(ctx context.Context, to, id, notBefore string) (answer, error) {
	value := func(text string) map[string]string { return map[string]string{"value": text} }
	return call(ctx, http.MethodPost, "/v1/messages", message{ID: id, NotBefore: notBefore, Message: map[string]any{
		"touser": to, "template_id": "sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2",
		"data": map[string]any{"thing1": value("咖啡"), "time2": value("2026-11-25 10:00"), "amount3": value("¥10.00")},
	}})
}

// poll waits for the end of a message. Webhooks tell it without polling.
func poll(ctx context.Context, id string) (answer, error) {
	for {
		a, err := call(ctx, http.MethodGet, "/v1/messages/"+url.PathEscape(id), nil)
		if err != nil || slices.Contains(ends, a.State) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// verified reports whether wxnotify signed this webhook within the last five minutes.
func verified(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	at, atErr := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || atErr != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return slices.ContainsFunc(strings.Fields(h.Get("webhook-signature")), func(given string) bool { // several while the secret is rotated
		return hmac.Equal([]byte(want), []byte(given))
	})
}

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil || !verified(os.Getenv("WEBHOOK_SECRET"), r.Header, body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	// An event may come twice: remember its webhook-id. Answer within seconds.
	var event struct{ Type string }
	if err := json.Unmarshal(body, &event); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Println(event.Type)
	w.WriteHeader(http.StatusNoContent)
}

func run(ctx context.Context, args []string) (err error) {
	var a answer
	switch args = append(args, "", "", "", ""); args[0] {
	case "send":
		a, err = send(ctx, args[1], args[2], args[3])
	case "poll":
		a, err = poll(ctx, args[1])
	case "cancel":
		a, err = call(ctx, http.MethodDelete, "/v1/messages/"+url.PathEscape(args[1]), nil)
	case "link":
		a, err = call(ctx, http.MethodPost, "/v1/enroll-links", map[string]string{"user": args[1]})
	case "webhook":
		server := http.Server{Addr: "127.0.0.1:" + args[1], Handler: http.HandlerFunc(receive), ReadHeaderTimeout: 5 * time.Second}
		return server.ListenAndServe()
	default:
		return errors.New("usage: send OPENID ID [NOT_BEFORE] | poll ID | cancel ID | link USER | webhook PORT")
	}
	if err == nil {
		fmt.Println(a.State + a.URL)
	}
	return err
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}
