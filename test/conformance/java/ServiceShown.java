import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.service.auth.AuthenticationType;
import com.microsoft.azure.sdk.iot.service.configurations.Configuration;
import com.microsoft.azure.sdk.iot.service.configurations.ConfigurationMetrics;
import com.microsoft.azure.sdk.iot.service.jobs.JobStatistics;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJob;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.service.registry.Device;
import com.microsoft.azure.sdk.iot.service.registry.Module;
import com.microsoft.azure.sdk.iot.service.registry.RegistryIdentity;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinCollection;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** What the service SDK gives its application, in the hub's own JSON. */
final class ServiceShown {
    private ServiceShown() {
    }

    static <T> JsonArray all(List<T> items, Function<T, JsonElement> shown) {
        JsonArray all = new JsonArray();
        items.forEach(item -> all.add(shown.apply(item)));
        return all;
    }

    static JsonObject of(Device d) {
        JsonObject o = identity(d);
        o.addProperty("status", d.getStatus().toString().toLowerCase(Locale.ROOT));
        o.addProperty("statusReason", d.getStatusReason());
        JsonObject capabilities = new JsonObject();
        capabilities.addProperty("iotEdge", d.getCapabilities() != null && d.getCapabilities().isIotEdge());
        o.add("capabilities", capabilities);
        o.addProperty("deviceScope", d.getScope());
        o.add("parentScopes", Driver.GSON.toJsonTree(d.getParentScopes()));
        return o;
    }

    static JsonObject of(Module m) {
        JsonObject o = identity(m);
        o.addProperty("moduleId", m.getId());
        return o;
    }

    private static JsonObject identity(RegistryIdentity i) {
        JsonObject key = new JsonObject();
        key.addProperty("primaryKey", i.getPrimaryKey());
        key.addProperty("secondaryKey", i.getSecondaryKey());
        JsonObject prints = new JsonObject();
        prints.addProperty("primaryThumbprint", i.getPrimaryThumbprint());
        prints.addProperty("secondaryThumbprint", i.getSecondaryThumbprint());
        JsonObject a = new JsonObject();
        a.add("symmetricKey", key);
        a.add("x509Thumbprint", prints);
        a.addProperty("type", name(i.getAuthenticationType()));
        JsonObject o = new JsonObject();
        o.addProperty("deviceId", i.getDeviceId());
        o.addProperty("generationId", i.getGenerationId());
        o.addProperty("etag", i.getETag());
        o.addProperty("connectionState", i.getConnectionState().toString());
        o.addProperty("lastActivityTime", i.getLastActivityTime());
        o.addProperty("cloudToDeviceMessageCount", i.getCloudToDeviceMessageCount());
        o.add("authentication", a);
        return o;
    }

    private static String name(AuthenticationType type) {
        switch (type) {
            case SELF_SIGNED:
                return "selfSigned";
            case CERTIFICATE_AUTHORITY:
                return "certificateAuthority";
            default:
                return "sas";
        }
    }

    static JsonObject of(Twin t) {
        JsonObject properties = new JsonObject();
        properties.add("desired", section(t.getDesiredProperties()));
        properties.add("reported", section(t.getReportedProperties()));
        JsonObject o = new JsonObject();
        o.addProperty("deviceId", t.getDeviceId());
        o.addProperty("moduleId", t.getModuleId());
        o.addProperty("etag", t.getETag());
        o.addProperty("version", t.getVersion());
        o.addProperty("connectionState", state(t.getConnectionState()));
        o.addProperty("modelId", t.getModelId());
        o.add("tags", t.getTags().toJsonObject());
        o.add("properties", properties);
        JsonObject configurations = new JsonObject();
        if (t.getConfigurations() != null) {
            t.getConfigurations().forEach((id, info) -> {
                JsonObject one = new JsonObject();
                one.addProperty("status", String.valueOf(info.getStatus()));
                configurations.add(id, one);
            });
        }
        o.add("configurations", configurations);
        return o;
    }

    /** The SDK has CONNECTED for Connected. */
    private static String state(String shown) {
        return shown == null ? null : shown.charAt(0) + shown.substring(1).toLowerCase(Locale.ROOT);
    }

    private static JsonObject section(TwinCollection properties) {
        JsonObject o = properties.toJsonObject();
        o.addProperty("$version", properties.getVersion());
        return o;
    }

    /** Puts tags and desired properties of a patch into a twin. */
    static void write(Twin t, JsonObject patch) {
        fill(t.getTags(), patch.getAsJsonObject("tags"));
        JsonObject properties = patch.getAsJsonObject("properties");
        fill(t.getDesiredProperties(), properties == null ? null : properties.getAsJsonObject("desired"));
    }

    private static void fill(TwinCollection section, JsonObject values) {
        if (values != null) {
            for (Map.Entry<String, JsonElement> e : values.entrySet()) {
                section.put(e.getKey(), Driver.plain(e.getValue()));
            }
        }
    }

    static JsonObject of(DirectMethodResponse r) {
        JsonObject o = new JsonObject();
        o.addProperty("status", r.getStatus());
        o.add("payload", r.getPayloadAsJsonElement());
        return o;
    }

    static JsonObject of(ScheduledJob j) {
        JsonObject o = new JsonObject();
        o.addProperty("jobId", j.getJobId());
        o.addProperty("type", String.valueOf(j.getJobType()));
        o.addProperty("status", String.valueOf(j.getJobStatus()));
        o.addProperty("queryCondition", j.getQueryCondition());
        o.addProperty("deviceId", j.getDeviceId());
        if (j.getOutcomeResult() != null) {
            JsonObject outcome = new JsonObject();
            outcome.add("deviceMethodResponse", of(j.getOutcomeResult()));
            o.add("outcome", outcome);
        }
        JobStatistics s = j.getJobStatistics();
        if (s != null) {
            JsonObject counts = new JsonObject();
            counts.addProperty("deviceCount", s.getDeviceCount());
            counts.addProperty("succeededCount", s.getSucceededCount());
            counts.addProperty("failedCount", s.getFailedCount());
            o.add("deviceJobStatistics", counts);
        }
        return o;
    }

    static JsonObject of(Configuration c) {
        JsonObject content = new JsonObject();
        content.add("deviceContent", Driver.GSON.toJsonTree(c.getContent().getDeviceContent()));
        JsonObject o = new JsonObject();
        o.addProperty("id", c.getId());
        o.addProperty("etag", c.getEtag());
        o.addProperty("priority", c.getPriority());
        o.addProperty("targetCondition", c.getTargetCondition());
        o.add("labels", Driver.GSON.toJsonTree(c.getLabels()));
        o.add("content", content);
        o.add("metrics", metrics(c.getMetrics()));
        o.add("systemMetrics", metrics(c.getSystemMetrics()));
        return o;
    }

    private static JsonElement metrics(ConfigurationMetrics m) {
        if (m == null) {
            return JsonNull.INSTANCE;
        }
        JsonObject o = new JsonObject();
        o.add("results", Driver.GSON.toJsonTree(m.getResults()));
        o.add("queries", Driver.GSON.toJsonTree(m.getQueries()));
        return o;
    }
}
