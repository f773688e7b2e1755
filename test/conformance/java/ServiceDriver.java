import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.microsoft.azure.sdk.iot.service.auth.AuthenticationType;
import com.microsoft.azure.sdk.iot.service.auth.SymmetricKey;
import com.microsoft.azure.sdk.iot.service.configurations.Configuration;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationContent;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationMetrics;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationsClient;
import com.microsoft.azure.sdk.iot.service.digitaltwin.DigitalTwinClient;
import com.microsoft.azure.sdk.iot.service.digitaltwin.models.DigitalTwinCommandResponse;
import com.microsoft.azure.sdk.iot.service.digitaltwin.models.DigitalTwinInvokeCommandRequestOptions;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubException;
import com.microsoft.azure.sdk.iot.service.jobs.DirectMethodsJobOptions;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobStatus;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobType;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobsClient;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodRequestOptions;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodsClient;
import com.microsoft.azure.sdk.iot.service.query.JobQueryResponse;
import com.microsoft.azure.sdk.iot.service.query.QueryClient;
import com.microsoft.azure.sdk.iot.service.query.QueryPageOptions;
import com.microsoft.azure.sdk.iot.service.query.RawQueryResponse;
import com.microsoft.azure.sdk.iot.service.query.TwinQueryResponse;
import com.microsoft.azure.sdk.iot.service.registry.Device;
import com.microsoft.azure.sdk.iot.service.registry.DeviceStatus;
import com.microsoft.azure.sdk.iot.service.registry.Module;
import com.microsoft.azure.sdk.iot.service.registry.RegistryClient;
import com.microsoft.azure.sdk.iot.service.registry.RegistryIdentity;
import com.microsoft.azure.sdk.iot.service.registry.RegistryStatistics;
import com.microsoft.azure.sdk.iot.service.twin.DeviceCapabilities;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinClient;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Remote control of the Azure IoT service SDK for Java. It reads one JSON command a
 * line from standard input and writes one JSON line per answer. The Go tests hold
 * the scenarios; the protocol is described in ../doc.go. The argument is the file
 * of the certificate authority that the JVM trusts.
 */
public final class ServiceDriver {
    private static final Map<String, ServiceDriver> HUBS = new ConcurrentHashMap<>();

    private final Map<String, RegistryIdentity> seen = new ConcurrentHashMap<>(); // by etag
    private final RegistryClient registry;
    private final TwinClient twins;
    private final DirectMethodsClient methods;
    private final QueryClient queries;
    private final ScheduledJobsClient jobs;
    private final ConfigurationsClient configurations;
    private final DigitalTwinClient digital;

    private ServiceDriver(String connection) {
        registry = new RegistryClient(connection);
        twins = new TwinClient(connection);
        methods = new DirectMethodsClient(connection);
        queries = new QueryClient(connection);
        jobs = new ScheduledJobsClient(connection);
        configurations = new ConfigurationsClient(connection);
        digital = new DigitalTwinClient(connection);
    }

    /** Reads commands until standard input ends, and runs many at a time. */
    public static void main(String[] args) throws Exception {
        trust(args[0]);
        ExecutorService workers = Executors.newFixedThreadPool(32);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Driver.say(Driver.event("ready", null));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonObject cmd = JsonParser.parseString(line).getAsJsonObject();
            if (text(cmd, "op").equals("open")) {
                answer(cmd);
            } else {
                workers.submit(() -> answer(cmd));
            }
        }
        Runtime.getRuntime().halt(0);
    }

    /** Makes the trust store of the JVM, before anything has asked for it. */
    private static void trust(String caFile) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(caFile)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        Path file = Files.createTempFile("trust", ".p12");
        file.toFile().deleteOnExit();
        try (FileOutputStream out = new FileOutputStream(file.toFile())) {
            store.store(out, "public".toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", file.toString());
        System.setProperty("javax.net.ssl.trustStorePassword", "public");
    }

    private static void answer(JsonObject cmd) {
        JsonObject line = new JsonObject();
        line.add("id", cmd.get("id"));
        try {
            if (text(cmd, "op").equals("open")) {
                HUBS.put(text(cmd, "client"), new ServiceDriver(text(cmd, "connectionString")));
            } else {
                line.add("result", HUBS.get(text(cmd, "client")).run(cmd));
            }
        } catch (Throwable e) {
            line.add("error", describe(e));
        }
        Driver.say(line);
    }

    private JsonElement run(JsonObject cmd) throws Exception {
        String op = text(cmd, "op");
        switch (op) {
            case "create": case "get": case "update": case "remove": case "list":
                return identity(op, cmd);
            case "statistics":
                return statistics(registry.getStatistics());
            case "twin": case "patchTwin": case "replaceTwin":
                return ServiceShown.of(twin(op, cmd));
            case "query":
                return query(cmd);
            case "method":
                return ServiceShown.of(method(cmd));
            case "schedule":
                return schedule(cmd);
            case "job":
                return ServiceShown.of(jobs.get(text(cmd, "jobId")));
            case "cancelJob":
                return ServiceShown.of(jobs.cancel(text(cmd, "jobId")));
            case "jobs":
                return pages(cmd, queries.queryJobs(ScheduledJobType.valueOf(text(cmd, "jobType")),
                    ScheduledJobStatus.valueOf(text(cmd, "jobStatus")), page(cmd)));
            case "createConfiguration": case "configuration": case "updateConfiguration":
            case "removeConfiguration": case "configurations": case "applyConfiguration":
                return configuration(op, cmd);
            case "digitalTwin":
                return JsonParser.parseString(digital.getDigitalTwin(text(cmd, "deviceId"), String.class));
            case "patchDigitalTwin":
                digital.updateDigitalTwin(text(cmd, "deviceId"), list(cmd.get("patch")));
                return JsonNull.INSTANCE;
            case "command":
                return command(cmd);
            case "exportDevices":
                return new com.google.gson.Gson().toJsonTree(registry.exportDevices(text(cmd, "container"), true).getJobId());
            default:
                throw new IllegalArgumentException("unknown operation " + op);
        }
    }

    private JsonElement identity(String op, JsonObject cmd) throws Exception {
        JsonObject given = cmd.has("identity") ? cmd.getAsJsonObject("identity") : cmd;
        String device = text(given, "deviceId");
        String module = text(given, "moduleId");
        switch (op) {
            case "create":
                return module == null
                    ? show(registry.addDevice(device(new Device(device, kind(given)), given)))
                    : show(registry.addModule(keyed(new Module(device, module, kind(given)), given)));
            case "get":
                return module == null
                    ? show(registry.getDevice(device)) : show(registry.getModule(device, module));
            case "update": // which has no condition
                return module == null
                    ? show(registry.updateDevice(device(registry.getDevice(device), given)))
                    : show(registry.updateModule(keyed(registry.getModule(device, module), given)));
            case "remove":
                remove(device, module, cmd);
                return JsonNull.INSTANCE;
            default: // all devices is none of its methods
                return ServiceShown.all(registry.getModulesOnDevice(device), this::show);
        }
    }

    /** Removes an identity. The SDK takes an etag only inside of an object that it has given. */
    private void remove(String device, String module, JsonObject cmd) throws Exception {
        RegistryIdentity given = cmd.has("etag") ? seen.get(text(cmd, "etag")) : null;
        if (given instanceof Module) {
            registry.removeModule((Module) given);
        } else if (given instanceof Device) {
            registry.removeDevice((Device) given);
        } else if (module == null) {
            registry.removeDevice(device);
        } else {
            registry.removeModule(device, module);
        }
    }

    private JsonObject show(Device d) {
        seen.put(d.getETag(), d);
        return ServiceShown.of(d);
    }

    private JsonObject show(Module m) {
        seen.put(m.getETag(), m);
        return ServiceShown.of(m);
    }

    private static AuthenticationType kind(JsonObject given) {
        JsonObject a = given.getAsJsonObject("authentication");
        String type = a == null ? "sas" : text(a, "type");
        return type.equals("selfSigned") ? AuthenticationType.SELF_SIGNED
            : type.equals("certificateAuthority") ? AuthenticationType.CERTIFICATE_AUTHORITY : AuthenticationType.SAS;
    }

    private static Device device(Device d, JsonObject given) {
        keyed(d, given);
        if (given.has("status")) {
            d.setStatus(DeviceStatus.fromString(text(given, "status")));
        }
        if (given.has("capabilities")) {
            DeviceCapabilities capabilities = new DeviceCapabilities();
            capabilities.setIotEdge(Driver.flag(given.getAsJsonObject("capabilities"), "iotEdge"));
            d.setCapabilities(capabilities);
        }
        if (given.has("deviceScope")) {
            d.setScope(text(given, "deviceScope"));
        }
        return d;
    }

    /** Gives an identity the keys or thumbprints of the command; else it keeps its own. */
    private static <T extends RegistryIdentity> T keyed(T identity, JsonObject given) {
        JsonObject a = given.getAsJsonObject("authentication");
        if (kind(given) == AuthenticationType.SAS && a != null && a.has("symmetricKey")) {
            SymmetricKey key = new SymmetricKey();
            key.setPrimaryKey(text(a.getAsJsonObject("symmetricKey"), "primaryKey"));
            key.setSecondaryKey(text(a.getAsJsonObject("symmetricKey"), "secondaryKey"));
            identity.setSymmetricKey(key);
        }
        if (kind(given) == AuthenticationType.SELF_SIGNED) {
            JsonObject prints = a.getAsJsonObject("x509Thumbprint");
            identity.setThumbprint(text(prints, "primaryThumbprint"), text(prints, "secondaryThumbprint"));
        }
        return identity;
    }

    private static JsonObject statistics(RegistryStatistics s) {
        JsonObject o = new JsonObject();
        o.addProperty("totalDeviceCount", s.getTotalDeviceCount());
        o.addProperty("enabledDeviceCount", s.getEnabledDeviceCount());
        o.addProperty("disabledDeviceCount", s.getDisabledDeviceCount());
        return o;
    }

    private Twin twin(String op, JsonObject cmd) throws Exception {
        String device = text(cmd, "deviceId");
        String module = text(cmd, "moduleId");
        if (op.equals("twin")) {
            return module == null ? twins.get(device) : twins.get(device, module);
        }
        Twin t = module == null ? new Twin(device) : new Twin(device, module);
        ServiceShown.write(t, cmd.getAsJsonObject("patch"));
        String etag = text(cmd, "etag");
        if (op.equals("patchTwin")) {
            return etag == null ? twins.patch(t) : twins.patch(t, etag);
        }
        return etag == null ? twins.replace(t) : twins.replace(t, etag);
    }

    private static QueryPageOptions page(JsonObject cmd) {
        QueryPageOptions.QueryPageOptionsBuilder options = QueryPageOptions.builder();
        if (cmd.has("pageSize")) {
            options.pageSize(cmd.get("pageSize").getAsInt());
        }
        if (cmd.has("continuation")) {
            options.continuationToken(text(cmd, "continuation"));
        }
        return options.build();
    }

    private JsonElement query(JsonObject cmd) throws Exception {
        String query = text(cmd, "query");
        switch (text(cmd, "kind")) {
            case "Twin":
                TwinQueryResponse found = queries.queryTwins(query, page(cmd));
                return pages(cmd, found::hasNext, () -> ServiceShown.of(found.next()), found::getContinuationToken);
            case "DeviceJob":
                return pages(cmd, queries.queryJobs(query, page(cmd)));
            default:
                RawQueryResponse rows = queries.queryRaw(query, page(cmd));
                return pages(cmd, rows::hasNext, () -> JsonParser.parseString(rows.next()), rows::getContinuationToken);
        }
    }

    private JsonElement pages(JsonObject cmd, JobQueryResponse found) throws Exception {
        return pages(cmd, found::hasNext, () -> ServiceShown.of(found.next()), found::getContinuationToken);
    }

    /** What may fail as the SDK does. */
    private interface Asked<T> {
        T get() throws Exception;
    }

    /**
     * Reads rows, which the SDK gives one by one. A page ends where the SDK's token
     * changes: it asks for the next one when the rows that it holds are read.
     */
    private static JsonElement pages(JsonObject cmd, Asked<Boolean> more, Asked<JsonElement> next, Asked<String> token)
            throws Exception {
        JsonArray all = new JsonArray();
        int most = cmd.has("most") ? cmd.get("most").getAsInt() : Integer.MAX_VALUE;
        int size = cmd.has("pageSize") ? cmd.get("pageSize").getAsInt() : Integer.MAX_VALUE;
        while ((all.size() < most || all.get(all.size() - 1).getAsJsonArray().size() < size) && more.get()) {
            if (all.size() == 0 || all.get(all.size() - 1).getAsJsonArray().size() == size) {
                all.add(new JsonArray());
            }
            all.get(all.size() - 1).getAsJsonArray().add(next.get());
        }
        if (all.size() == 0) {
            all.add(new JsonArray());
        }
        JsonObject o = new JsonObject();
        o.add("pages", all);
        o.addProperty("continuation", token.get());
        return o;
    }

    private DirectMethodResponse method(JsonObject cmd) throws Exception {
        DirectMethodRequestOptions.DirectMethodRequestOptionsBuilder options = DirectMethodRequestOptions.builder();
        options.payload(Driver.plain(cmd.has("payload") ? cmd.get("payload") : JsonNull.INSTANCE));
        if (cmd.has("responseTimeout")) {
            options.methodResponseTimeoutSeconds(cmd.get("responseTimeout").getAsInt());
        }
        options.methodConnectTimeoutSeconds( // for the SDK's own is longer than most response timeouts
            cmd.has("connectTimeout") ? cmd.get("connectTimeout").getAsInt() : 0);
        String device = text(cmd, "deviceId");
        return cmd.has("moduleId")
            ? methods.invoke(device, text(cmd, "moduleId"), text(cmd, "method"), options.build())
            : methods.invoke(device, text(cmd, "method"), options.build());
    }

    private JsonElement schedule(JsonObject cmd) throws Exception {
        String id = text(cmd, "jobId");
        String condition = text(cmd, "condition");
        Date start = cmd.has("start") ? Date.from(Instant.parse(text(cmd, "start"))) : new Date();
        if (cmd.has("patch")) {
            Twin patch = new Twin();
            patch.setETag("*");
            ServiceShown.write(patch, cmd.getAsJsonObject("patch"));
            return ServiceShown.of(jobs.scheduleUpdateTwin(id, condition, patch, start, 300));
        }
        DirectMethodsJobOptions options = DirectMethodsJobOptions.builder()
            .payload(Driver.plain(cmd.has("payload") ? cmd.get("payload") : JsonNull.INSTANCE))
            .methodResponseTimeoutSeconds(cmd.get("responseTimeout").getAsInt())
            .methodConnectTimeoutSeconds(0)
            .maxExecutionTimeSeconds(300).build();
        return ServiceShown.of(jobs.scheduleDirectMethod(id, condition, text(cmd, "method"), start, options));
    }

    private JsonElement configuration(String op, JsonObject cmd) throws Exception {
        switch (op) {
            case "createConfiguration":
                JsonObject given = cmd.getAsJsonObject("configuration");
                return ServiceShown.of(configurations.create(configured(new Configuration(text(given, "id")), given)));
            case "configuration":
                return ServiceShown.of(configurations.get(text(cmd, "configurationId")));
            case "updateConfiguration":
                JsonObject changed = cmd.getAsJsonObject("configuration");
                Configuration c = configured(configurations.get(text(changed, "id")), changed);
                c.setEtag(Driver.flag(cmd, "conditional") ? text(changed, "etag") : "*");
                return ServiceShown.of(configurations.replace(c));
            case "removeConfiguration":
                configurations.delete(text(cmd, "configurationId"));
                return JsonNull.INSTANCE;
            case "configurations":
                return ServiceShown.all(configurations.get(20), ServiceShown::of);
            default:
                configurations.applyConfigurationContentOnDevice(
                    text(cmd, "deviceId"), content(cmd.getAsJsonObject("content")));
                return JsonNull.INSTANCE;
        }
    }

    private static Configuration configured(Configuration c, JsonObject given) {
        c.setPriority(given.get("priority").getAsInt());
        c.setTargetCondition(text(given, "targetCondition"));
        c.setContent(content(given.getAsJsonObject("content")));
        HashMap<String, String> labels = new HashMap<>();
        given.getAsJsonObject("labels").entrySet().forEach(e -> labels.put(e.getKey(), e.getValue().getAsString()));
        c.setLabels(labels);
        ConfigurationMetrics metrics = new ConfigurationMetrics();
        HashMap<String, String> wanted = new HashMap<>();
        given.getAsJsonObject("metrics").getAsJsonObject("queries").entrySet()
            .forEach(e -> wanted.put(e.getKey(), e.getValue().getAsString()));
        metrics.setQueries(wanted);
        c.setMetrics(metrics);
        return c;
    }

    @SuppressWarnings("unchecked")
    private static ConfigurationContent content(JsonObject given) {
        ConfigurationContent content = new ConfigurationContent();
        if (given.has("deviceContent")) {
            content.setDeviceContent((Map<String, Object>) Driver.plain(given.get("deviceContent")));
        }
        if (given.has("modulesContent")) {
            content.setModulesContent((Map<String, Map<String, Object>>) Driver.plain(given.get("modulesContent")));
        }
        return content;
    }

    private JsonElement command(JsonObject cmd) throws Exception {
        DigitalTwinInvokeCommandRequestOptions options = new DigitalTwinInvokeCommandRequestOptions();
        options.setResponseTimeoutInSeconds(cmd.get("responseTimeout").getAsInt());
        String device = text(cmd, "deviceId");
        String payload = cmd.has("payload") ? Driver.GSON.toJson(cmd.get("payload")) : null;
        DigitalTwinCommandResponse response = cmd.has("component")
            ? digital.invokeComponentCommandWithResponse(
                device, text(cmd, "component"), text(cmd, "method"), payload, options).body()
            : digital.invokeCommandWithResponse(device, text(cmd, "method"), payload, options).body();
        JsonObject o = new JsonObject();
        o.addProperty("status", response.getStatus());
        o.add("payload", JsonParser.parseString(response.getPayload(String.class))); // it is JSON in a string
        return o;
    }

    private static List<Object> list(JsonElement given) {
        List<Object> all = new ArrayList<>();
        given.getAsJsonArray().forEach(e -> all.add(Driver.plain(e)));
        return all;
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
        if (err instanceof IotHubException) {
            line.addProperty("status", String.valueOf(((IotHubException) err).getErrorCode()));
        }
        return line;
    }

    private static String text(JsonObject o, String name) {
        return o.has(name) && o.get(name).isJsonNull() ? null : Driver.text(o, name);
    }
}
