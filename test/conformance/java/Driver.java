import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.microsoft.azure.sdk.iot.device.ClientOptions;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.InternalClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.MessageProperty;
import com.microsoft.azure.sdk.iot.device.MessageSentCallback;
import com.microsoft.azure.sdk.iot.device.ModuleClient;
import com.microsoft.azure.sdk.iot.device.SasTokenProvider;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.transport.IotHubConnectionStatus;
import com.microsoft.azure.sdk.iot.device.transport.NoRetry;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodPayload;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.device.twin.Twin;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;

import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Remote control of the Azure IoT device SDK for Java. It reads one JSON command a
 * line from standard input and writes one JSON line per answer and per event. The
 * Go tests hold the scenarios; the protocol is described in ../doc.go.
 */
public final class Driver {
    static final Gson GSON = new GsonBuilder().serializeNulls().create();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final Map<String, InternalClient> CLIENTS = new ConcurrentHashMap<>();
    private static final Map<String, Pump> PUMPS = new ConcurrentHashMap<>();

    private Driver() {
    }

    /** Reads commands until standard input ends; one lane per client keeps its commands in order. */
    public static void main(String[] args) throws Exception {
        Map<String, ExecutorService> lanes = new ConcurrentHashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        say(event("ready", null));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonObject cmd = JsonParser.parseString(line).getAsJsonObject();
            String key = text(cmd, "op").equals("stop") ? "stop" : text(cmd, "client");
            lanes.computeIfAbsent(key, k -> Executors.newSingleThreadExecutor()).submit(() -> answer(cmd));
        }
        Runtime.getRuntime().halt(0);
    }

    private static void answer(JsonObject cmd) {
        try {
            run(cmd);
        } catch (Throwable e) {
            reply(cmd, e);
        }
    }

    private static void run(JsonObject cmd) throws Exception {
        String name = text(cmd, "client");
        switch (text(cmd, "op")) {
            case "open":
                open(cmd);
                reply(cmd, null);
                break;
            case "send":
                send(CLIENTS.get(name), cmd.getAsJsonObject("message"), (m, e, context) -> reply(cmd, e));
                break;
            case "subscribe":
                subscribe(name, text(cmd, "filter"));
                reply(cmd, null);
                break;
            case "twin":
                CLIENTS.get(name).getTwinAsync(TwinAnswer.toGet((twin, e) -> answer(cmd, twin, e)), null);
                break;
            case "patch":
                CLIENTS.get(name).updateReportedPropertiesAsync(
                    collection(cmd.getAsJsonObject("patch")), TwinAnswer.toPatch((twin, e) -> reply(cmd, e)), null);
                break;
            case "pump":
                PUMPS.put(name, new Pump(cmd));
                reply(cmd, null);
                break;
            case "stop":
                say(PUMPS.get(name).stop(cmd));
                break;
            case "close":
                CLIENTS.get(name).close();
                reply(cmd, null);
                break;
            default:
                throw new IllegalArgumentException("unknown operation " + text(cmd, "op"));
        }
    }

    private static void open(JsonObject cmd) throws Exception {
        String name = text(cmd, "client");
        InternalClient client = construct(cmd);
        CLIENTS.put(name, client);
        if (flag(cmd, "noRetry")) {
            client.setRetryPolicy(new NoRetry());
        }
        client.setConnectionStatusChangeCallback((context) -> {
            boolean up = context.getNewStatus() == IotHubConnectionStatus.CONNECTED;
            JsonObject line = event(up ? "connected" : "disconnected", name);
            line.addProperty("status", context.getNewStatus() + " " + context.getNewStatusReason());
            if (context.getCause() != null) {
                line.add("error", describe(context.getCause()));
            }
            say(line);
        }, null);
        if ("c2d".equals(text(cmd, "listen"))) {
            subscribe(name, "c2d"); // the SDK subscribes when it opens
        }
        client.open(flag(cmd, "retryOpen"));
    }

    private static InternalClient construct(JsonObject cmd) throws Exception {
        IotHubClientProtocol protocol =
            "ws".equals(text(cmd, "transport")) ? IotHubClientProtocol.MQTT_WS : IotHubClientProtocol.MQTT;
        ClientOptions.ClientOptionsBuilder builder = ClientOptions.builder().sslContext(context(cmd));
        if (cmd.has("tokenSeconds")) {
            builder.sasTokenExpiryTime(cmd.get("tokenSeconds").getAsLong());
        }
        builder.modelId(text(cmd, "modelId"));
        ClientOptions options = builder.build();
        String connection = text(cmd, "connectionString");
        boolean module = flag(cmd, "module");
        if (cmd.has("tokens")) {
            SasTokenProvider tokens = tokens(cmd);
            String host = field(connection, "HostName");
            String device = field(connection, "DeviceId");
            return module
                ? new ModuleClient(host, device, field(connection, "ModuleId"), tokens, protocol, options)
                : new DeviceClient(host, device, tokens, protocol, options);
        }
        return module
            ? new ModuleClient(connection, protocol, options)
            : new DeviceClient(connection, protocol, options);
    }

    /** Gives out the tokens of the command one by one; the last one again and again. */
    private static SasTokenProvider tokens(JsonObject cmd) {
        JsonArray tokens = cmd.getAsJsonArray("tokens");
        AtomicInteger asked = new AtomicInteger();
        return () -> {
            int n = asked.getAndIncrement();
            say(event("token", text(cmd, "client")));
            return tokens.get(Math.min(n, tokens.size() - 1)).getAsString().toCharArray();
        };
    }

    private static SSLContext context(JsonObject cmd) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(text(cmd, "caFile"))) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        KeyManager[] keys = cmd.has("certFile") ? keys(text(cmd, "certFile"), text(cmd, "keyFile")) : null;
        context.init(keys, factory.getTrustManagers(), null);
        return context;
    }

    /** What the client shows: a chain in PEM, and an EC key in PEM of PKCS #8. */
    private static KeyManager[] keys(String certFile, String keyFile) throws Exception {
        Certificate[] chain;
        try (FileInputStream in = new FileInputStream(certFile)) {
            chain = CertificateFactory.getInstance("X.509").generateCertificates(in).toArray(new Certificate[0]);
        }
        String pem = new String(Files.readAllBytes(Paths.get(keyFile)), StandardCharsets.US_ASCII);
        byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----.*-----", ""));
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setKeyEntry("client", key, new char[0], chain);
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, new char[0]);
        return factory.getKeyManagers();
    }

    private static void send(InternalClient client, JsonObject m, MessageSentCallback done) {
        Message message = message(m);
        if (m.has("output")) {
            ((ModuleClient) client).sendEventAsync(message, done, null, text(m, "output"));
        } else {
            client.sendEventAsync(message, done, null);
        }
    }

    private static Message message(JsonObject m) {
        String body = text(m, "body");
        Message message = new Message(Base64.getDecoder().decode(body == null ? "" : body));
        // The SDK fills both ids with random UUIDs, and needs one of them: it books messages by their id.
        if (m.has("messageId")) {
            message.setMessageId(text(m, "messageId"));
        }
        message.setCorrelationId(text(m, "correlationId"));
        message.setUserId(text(m, "userId"));
        if (m.has("contentType")) {
            message.setContentType(text(m, "contentType"));
        }
        if (flag(m, "security")) {
            message.setAsSecurityMessage();
        }
        if (m.has("contentEncoding")) {
            message.setContentEncoding(text(m, "contentEncoding"));
        }
        if (m.has("creationTime")) {
            message.setCreationTimeUTC(Date.from(Instant.parse(text(m, "creationTime"))));
        }
        if (m.has("component")) {
            message.setComponentName(text(m, "component"));
        }
        if (m.has("properties")) {
            for (JsonElement pair : m.getAsJsonArray("properties")) {
                JsonArray property = pair.getAsJsonArray();
                message.setProperty(property.get(0).getAsString(), property.get(1).getAsString());
            }
        }
        return message;
    }

    private static void subscribe(String name, String filter) throws Exception {
        InternalClient client = CLIENTS.get(name);
        switch (filter) {
            case "methods":
                client.subscribeToMethods((method, payload, context) -> called(name, method, payload), null);
                break;
            case "twin":
                client.subscribeToDesiredProperties((twin, context) -> {
                    JsonObject line = event("desired", name);
                    line.add("data", section(twin.getDesiredProperties()));
                    say(line);
                }, null);
                break;
            case "c2d":
                ((DeviceClient) client).setMessageCallback((m, context) -> take(name, m), null);
                break;
            default:
                throw new IllegalArgumentException("unknown filter " + filter);
        }
    }

    /** Reports a message from the cloud, and settles it as its property settle says. */
    private static IotHubMessageResult take(String name, Message m) {
        JsonObject line = event("message", name);
        line.add("message", shown(m));
        say(line);
        String verb = m.getProperty("settle");
        if (verb == null) {
            return IotHubMessageResult.COMPLETE;
        }
        JsonObject settled = event("settled", name);
        settled.addProperty("status", verb);
        say(settled);
        return IotHubMessageResult.valueOf(verb.toUpperCase(Locale.ROOT));
    }

    /** A message as the SDK gives it to the application. */
    private static JsonObject shown(Message m) {
        JsonObject all = new JsonObject();
        all.addProperty("body", Base64.getEncoder().encodeToString(m.getBytes()));
        all.addProperty("messageId", m.getMessageId());
        all.addProperty("correlationId", m.getCorrelationId());
        all.addProperty("userId", m.getUserId());
        all.addProperty("to", m.getTo());
        all.addProperty("contentType", m.getContentType());
        all.addProperty("contentEncoding", m.getContentEncoding());
        all.addProperty("ack", m.getDeliveryAcknowledgement());
        all.addProperty("creationTime", m.getCreationTimeUTCString());
        JsonArray properties = new JsonArray();
        for (MessageProperty p : m.getProperties()) {
            JsonArray pair = new JsonArray();
            pair.add(p.getName());
            pair.add(p.getValue());
            properties.add(pair);
        }
        all.add("properties", properties);
        return all;
    }

    /** The one handler of all methods: unknown ones are its own business. */
    private static DirectMethodResponse called(String name, String method, DirectMethodPayload payload) {
        switch (method) {
            case "echo": case "thermostat1*echo":
                return new DirectMethodResponse(207, payload.getPayloadAsJsonElement());
            case "empty":
                return new DirectMethodResponse(204, null);
            case "silent":
                say(event("called", name));
                return null;
            default:
                return new DirectMethodResponse(404, null);
        }
    }

    private static void answer(JsonObject cmd, Twin twin, Throwable e) {
        if (e != null) {
            reply(cmd, e);
            return;
        }
        JsonObject both = new JsonObject();
        both.add("desired", section(twin.getDesiredProperties()));
        both.add("reported", section(twin.getReportedProperties()));
        JsonObject line = new JsonObject();
        line.add("id", cmd.get("id"));
        line.add("twin", both);
        say(line);
    }

    /** Desired or reported properties with their version, as the other SDKs give them. */
    private static JsonObject section(TwinCollection properties) {
        JsonObject all = properties.toJsonElement().getAsJsonObject();
        all.addProperty("$version", properties.getVersion());
        return all;
    }

    private static TwinCollection collection(JsonObject patch) {
        TwinCollection properties = new TwinCollection();
        for (Map.Entry<String, JsonElement> e : patch.entrySet()) {
            properties.put(e.getKey(), plain(e.getValue()));
        }
        return properties;
    }

    /** JSON as an application has it: in maps, lists, and whole numbers that stay whole. */
    static Object plain(JsonElement e) {
        if (e.isJsonObject()) {
            Map<String, Object> all = new HashMap<>();
            e.getAsJsonObject().entrySet().forEach(m -> all.put(m.getKey(), plain(m.getValue())));
            return all;
        }
        if (e.isJsonArray()) {
            List<Object> all = new ArrayList<>();
            e.getAsJsonArray().forEach(item -> all.add(plain(item)));
            return all;
        }
        return e.isJsonNull() ? null : plain(e.getAsJsonPrimitive());
    }

    private static Object plain(JsonPrimitive p) {
        if (p.isBoolean()) {
            return p.getAsBoolean();
        }
        if (p.isString()) {
            return p.getAsString();
        }
        return p.getAsString().matches("-?[0-9]+") ? (Object) p.getAsLong() : (Object) p.getAsDouble();
    }

    /** Keeps a window of messages in flight until it is stopped, and reports the fate of each. */
    private static final class Pump {
        private final AtomicInteger next = new AtomicInteger();
        private final AtomicInteger pending = new AtomicInteger();
        private volatile boolean running = true;

        Pump(JsonObject cmd) {
            Thread thread = new Thread(() -> run(cmd), "pump");
            thread.setDaemon(true);
            thread.start();
        }

        private void run(JsonObject cmd) {
            String name = text(cmd, "client");
            Semaphore window = new Semaphore(cmd.get("window").getAsInt());
            while (running) {
                try {
                    window.acquire();
                    one(cmd, name, window);
                    Thread.sleep(cmd.get("pauseMillis").getAsLong());
                } catch (InterruptedException e) {
                    return;
                }
            }
        }

        private void one(JsonObject cmd, String name, Semaphore window) {
            int seq = next.getAndIncrement();
            pending.incrementAndGet();
            MessageSentCallback done = (m, e, context) -> {
                pending.decrementAndGet();
                report(name, seq, e);
                window.release();
            };
            byte[] body = (text(cmd, "prefix") + seq).getBytes(StandardCharsets.UTF_8);
            try {
                CLIENTS.get(name).sendEventAsync(new Message(body), done, null);
            } catch (IllegalStateException e) {
                pending.decrementAndGet();
                report(name, seq, e);
                window.release();
            }
        }

        private static void report(String name, int seq, Throwable e) {
            JsonObject line = event(e == null ? "confirmed" : "failed", name);
            line.addProperty("seq", seq);
            if (e != null) {
                line.add("error", describe(e));
            }
            say(line);
        }

        JsonObject stop(JsonObject cmd) {
            running = false;
            JsonObject line = new JsonObject();
            line.add("id", cmd.get("id"));
            line.addProperty("sent", next.get());
            line.addProperty("pending", pending.get());
            return line;
        }
    }

    private static void reply(JsonObject cmd, Throwable e) {
        JsonObject line = new JsonObject();
        line.add("id", cmd.get("id"));
        if (e != null) {
            line.add("error", describe(e));
        }
        say(line);
    }

    private static JsonObject describe(Throwable err) {
        JsonArray chain = new JsonArray();
        for (Throwable e = err; e != null && chain.size() < 8; e = e.getCause()) {
            chain.add(e.getClass().getSimpleName());
        }
        JsonObject line = new JsonObject();
        line.add("class", chain.get(0));
        line.add("chain", chain);
        line.addProperty("message", String.valueOf(err.getMessage()));
        if (err instanceof IotHubClientException) {
            line.addProperty("status", String.valueOf(((IotHubClientException) err).getStatusCode()));
        }
        return line;
    }

    static JsonObject event(String name, String client) {
        JsonObject line = new JsonObject();
        line.addProperty("event", name);
        line.addProperty("client", client);
        return line;
    }

    static void say(JsonObject line) {
        synchronized (OUT) {
            OUT.println(GSON.toJson(line));
        }
    }

    static String text(JsonObject o, String name) {
        return o.has(name) ? o.get(name).getAsString() : null;
    }

    static boolean flag(JsonObject o, String name) {
        return o.has(name) && o.get(name).getAsBoolean();
    }

    private static String field(String connectionString, String name) {
        for (String part : connectionString.split(";")) {
            if (part.startsWith(name + "=")) {
                return part.substring(name.length() + 1);
            }
        }
        return null;
    }
}
