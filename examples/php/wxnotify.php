<?php
// The HTTP API with PHP 8 without extensions. See ../README.md.
// Webhooks: php -S 127.0.0.1:8000 wxnotify.php
declare(strict_types=1);

const ENDS = ['delivered', 'rejected', 'expired', 'cancelled', 'unknown', 'dead'];

function call(string $method, string $path, ?array $body = null): array
{
    $api = getenv('API_URL') ?: 'http://127.0.0.1:8081';
    $answer = file_get_contents($api . $path, false, stream_context_create(['http' => [
        'method' => $method, 'timeout' => 30, 'ignore_errors' => true,
        'header' => ['Authorization: Bearer ' . getenv('API_KEY'), 'Content-Type: application/json'],
        'content' => $body === null ? '' : json_encode($body, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR),
    ]]));
    if ($answer === false) {
        throw new RuntimeException('no answer');
    }
    $status = (int) explode(' ', $http_response_header[0])[1];
    if ($status >= 300) {
        throw new RuntimeException("HTTP $status: $answer"); // problem+json
    }
    return json_decode($answer, true, 512, JSON_THROW_ON_ERROR);
}

/** The same id again sends nothing twice. */
function send(string $to, string $id, ?string $notBefore = null): string
{
    $body = ['id' => $id, 'message' => [
        'touser' => $to, 'template_id' => 'sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2',
        'data' => ['thing1' => ['value' => '咖啡'], 'time2' => ['value' => '2026-11-25 10:00'], 'amount3' => ['value' => '¥10.00']],
    ]];
    return call('POST', '/v1/messages', $notBefore === null ? $body : $body + ['not_before' => $notBefore])['state'];
}

/** Waits for the end of a message. Webhooks tell it without polling. */
function poll(string $id): string
{
    while (!in_array($state = call('GET', '/v1/messages/' . rawurlencode($id))['state'], ENDS, true)) {
        usleep(500_000);
    }
    return $state;
}

/** Reports whether wxnotify signed this webhook within the last five minutes. */
function verified(string $secret, string $id, string $at, string $signatures, string $body): bool
{
    if (!ctype_digit($at) || abs(time() - (int) $at) > 300) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));
    foreach (explode(' ', $signatures) as $given) { // several while the secret is rotated
        if (hash_equals($want, $given)) {
            return true;
        }
    }
    return false;
}

if (PHP_SAPI !== 'cli') { // a web server calls
    $body = file_get_contents('php://input');
    $header = fn (string $name): string => $_SERVER['HTTP_WEBHOOK_' . $name] ?? '';
    if (!verified(getenv('WEBHOOK_SECRET'), $header('ID'), $header('TIMESTAMP'), $header('SIGNATURE'), $body)) {
        http_response_code(401);
        return;
    }
    // An event may come twice: remember its webhook-id. Answer within seconds.
    error_log(json_decode($body, true, 512, JSON_THROW_ON_ERROR)['type']);
    http_response_code(204);
    return;
}

[, $command, $first] = $argv;
echo match ($command) {
    'send' => send($first, $argv[3], $argv[4] ?? null),
    'poll' => poll($first),
    'cancel' => call('DELETE', '/v1/messages/' . rawurlencode($first))['state'],
    'link' => call('POST', '/v1/enroll-links', ['user' => $first])['url'],
}, "\n";
