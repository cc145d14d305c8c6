// The HTTP API with the JDK (17 or later): java Wxnotify.java send … See ../README.md.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Base64;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Wxnotify {
  static final Set<String> ENDS = Set.of("delivered", "rejected", "expired", "cancelled", "unknown", "dead");
  static final String API = System.getenv().getOrDefault("API_URL", "http://127.0.0.1:8081");
  static final HttpClient CLIENT = HttpClient.newHttpClient();

  static String call(String method, String path, String body) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(API + path)).timeout(Duration.ofSeconds(30))
        .header("Authorization", "Bearer " + System.getenv("API_KEY")).header("Content-Type", "application/json")
        .method(method, body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body)).build();
    var answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() >= 300) {
      throw new IOException("HTTP " + answer.statusCode() + ": " + answer.body()); // problem+json
    }
    return answer.body();
  }

  /** A text field of an answer. The JDK has no JSON parser: a program uses its own, such as Jackson. */
  static String field(String json, String name) {
    Matcher m = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"\\\\]*)\"").matcher(json);
    if (!m.find()) {
      throw new IllegalStateException("no " + name + " in " + json);
    }
    return m.group(1);
  }

  /** A text as JSON. */
  static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  static String path(String id) {
    return "/v1/messages/" + URLEncoder.encode(id, StandardCharsets.UTF_8).replace("+", "%20");
  }

  /** The same id again sends nothing twice. */
  static String send(String to, String id, String notBefore) throws Exception {
    String at = notBefore == null ? "" : ",\"not_before\":" + quoted(notBefore);
    return field(call("POST", "/v1/messages", "{\"id\":" + quoted(id) + at + ",\"message\":{\"touser\":" + quoted(to)
        + ",\"template_id\":\"sim-order-paid-T0aXc9mB3kQvR7yLwEzH1uJdGpN2\",\"data\":{\"thing1\":{\"value\":\"咖啡\"},"
        + "\"time2\":{\"value\":\"2026-11-25 10:00\"},\"amount3\":{\"value\":\"¥10.00\"}}}}"), "state");
  }

  /** Waits for the end of a message. Webhooks tell it without polling. */
  static String poll(String id) throws Exception {
    for (;;) {
      String state = field(call("GET", path(id), null), "state");
      if (ENDS.contains(state)) {
        return state;
      }
      Thread.sleep(500);
    }
  }

  /** Reports whether wxnotify signed this webhook within the last five minutes. */
  static boolean verified(String secret, String id, String at, String signatures, byte[] body) throws Exception {
    if (id == null || at == null || signatures == null || !at.matches("\\d{1,12}")
        || Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(at)) > 300) {
      return false;
    }
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.replaceFirst("^whsec_", "")), "HmacSHA256"));
    mac.update((id + "." + at + ".").getBytes(StandardCharsets.UTF_8));
    byte[] want = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
    for (String given : signatures.split(" ")) { // several while the secret is rotated
      if (MessageDigest.isEqual(want, given.getBytes(StandardCharsets.UTF_8))) {
        return true;
      }
    }
    return false;
  }

  static void receive(HttpExchange exchange) throws IOException {
    byte[] body = exchange.getRequestBody().readAllBytes();
    var headers = exchange.getRequestHeaders();
    int status = 401;
    try {
      if (verified(System.getenv("WEBHOOK_SECRET"), headers.getFirst("webhook-id"), headers.getFirst("webhook-timestamp"),
          headers.getFirst("webhook-signature"), body)) {
        // An event may come twice: remember its webhook-id. Answer within seconds.
        System.out.println(field(new String(body, StandardCharsets.UTF_8), "type"));
        status = 204;
      }
    } catch (Exception e) {
      status = 400;
    }
    exchange.sendResponseHeaders(status, -1);
    exchange.close();
  }

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "send" -> System.out.println(send(args[1], args[2], args.length > 3 ? args[3] : null));
      case "poll" -> System.out.println(poll(args[1]));
      case "cancel" -> System.out.println(field(call("DELETE", path(args[1]), null), "state"));
      case "link" -> System.out.println(field(call("POST", "/v1/enroll-links", "{\"user\":" + quoted(args[1]) + "}"), "url"));
      case "webhook" -> {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1])), 0);
        server.createContext("/", Wxnotify::receive);
        server.start();
      }
      default -> throw new IllegalArgumentException("send OPENID ID [NOT_BEFORE] | poll ID | cancel ID | link USER | webhook PORT");
    }
  }
}
