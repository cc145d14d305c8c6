package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/wxnotify/wxnotify/internal/events"
	"github.com/wxnotify/wxnotify/internal/mask"
)

const (
	// sendTimeout bounds one POST with its answer.
	sendTimeout = 15 * time.Second
	maxAnswer   = 64 << 10
)

// errPrivate says that an address is not a public one.
var errPrivate = errors.New("the address is not public; WXNOTIFY_WEBHOOK_PRIVATE=true allows it")

// newDialer connects to public addresses alone, unless private. The address is checked
// when the connection is made, so that a name cannot resolve to another one in between.
func newDialer(private bool) *net.Dialer {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	if !private {
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return checkAddress(address) }
	}
	return dialer
}

// newClient follows no redirect and uses no proxy.
func newClient(dialer *net.Dialer) *http.Client {
	return &http.Client{
		Timeout: sendTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, MaxIdleConns: 100, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: maxAnswer, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checkAddress refuses an address of a private, local or reserved network.
func checkAddress(address string) error {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || !publicAddr(parsed.Addr()) {
		return errPrivate
	}
	return nil
}

func publicAddr(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	within := func(network netip.Prefix) bool { return network.Contains(ip) }
	return !slices.ContainsFunc(reserved, within) && ip.IsGlobalUnicast() && !ip.IsPrivate() && (ip.Is4() || allocated.Contains(ip))
}

// allocated is all of IPv6 that is given out as global unicast (RFC 4291). Outside of it
// are, among others, the networks in which an IPv6 address carries an IPv4 one, but for
// 6to4 and Teredo.
//
//nolint:gochecknoglobals // never changed
var allocated = netip.MustParsePrefix("2000::/3")

// reserved are networks of IPv4, and of allocated, that netip takes for public (RFC 6890),
// and those in which an IPv6 address carries an IPv4 one.
//
//nolint:gochecknoglobals // never changed
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"),
}

// payload is the body that is sent.
type payload struct {
	Type      events.Type     `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // of the event
	Account   string          `json:"account"`
	MessageID string          `json:"message_id,omitempty"`
	Sequence  int64           `json:"sequence,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
}

// identifier of an event in the header webhook-id: the same in each attempt, without a
// full stop, which separates it from the timestamp where it is signed.
func identifier(e *events.Event) string {
	return "evt_" + strings.NewReplacer("-", "_", ".", "_").Replace(e.ID)
}

// post sends one event and returns how that went. The error says that it has to be sent
// again.
func post(ctx context.Context, client *http.Client, w Webhook, e *events.Event) (Attempt, error) {
	now := time.Now()
	a := Attempt{Event: e.ID, Type: e.Type, At: now.UTC().Truncate(time.Millisecond)}
	status, err := send(ctx, client, w, e, now)
	a.Status, a.Millis = status, time.Since(now).Milliseconds()
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("the address answered %d", status)
		if status >= 300 && status < 400 {
			err = fmt.Errorf("the address answered %d: redirects are not followed", status)
		}
	}
	if err != nil {
		a.Error = short(err)
	}
	return a, err
}

func send(ctx context.Context, client *http.Client, w Webhook, e *events.Event, now time.Time) (status int, err error) {
	body, err := json.Marshal(payload{e.Type, e.At, e.Account, e.MessageID, e.Sequence, e.Data})
	if err != nil {
		return 0, fmt.Errorf("webhook: encode: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	var signatures []string
	for _, s := range w.Secrets {
		if !s.Until.IsZero() && now.After(s.Until) {
			continue
		}
		signer, err := standardwebhooks.NewWebhook(s.Value)
		if err != nil {
			return 0, errors.New("webhook: a stored secret cannot be read; rotate it")
		}
		signature, err := signer.Sign(identifier(e), now, body)
		if err != nil {
			return 0, fmt.Errorf("webhook: sign: %w", err)
		}
		signatures = append(signatures, signature)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "wxnotify")
	req.Header.Set(standardwebhooks.HeaderWebhookID, identifier(e))
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection is used again
	return resp.StatusCode, nil
}

// short is what an operator needs of an error, without the URL, which may hold a secret.
func short(err error) string {
	err = mask.WithoutURL(err)
	if errors.Is(err, errPrivate) {
		err = errPrivate
	}
	text := err.Error()
	if lookup := (*net.DNSError)(nil); errors.As(err, &lookup) {
		text = "lookup " + lookup.Name + ": " + lookup.Err // without the address of our name server
	}
	return text[:min(len(text), 200)]
}
