"""Remote control of the Azure IoT service SDK for Python.

Reads one JSON command a line from standard input and writes one JSON line per
answer. The Go tests hold the scenarios; the protocol is described in
../doc.go. What the SDK gives its application is answered in the hub's own JSON.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from azure.iot.hub import (
    DigitalTwinClient,
    IoTHubConfigurationManager,
    IoTHubHttpRuntimeManager,
    IoTHubJobManager,
    IoTHubRegistryManager,
    models,
)
from msrest.serialization import Model

_out = threading.Lock()


def say(line):
    with _out:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def describe(err):
    chain, e = [], err
    while e is not None and len(chain) < 8:
        chain.append(type(e).__name__)
        e = e.__cause__
    response = getattr(err, "response", None)
    return {
        "class": chain[0],
        "chain": chain,
        "message": str(err),
        "status": str(response.status_code) if response is not None else "",
        "body": response.text if response is not None else "",
    }


def shown(value):
    """A result of the SDK as JSON: its models, and what they have no member for."""
    if isinstance(value, list):
        return [shown(v) for v in value]
    if isinstance(value, Model):
        return {**(value.additional_properties or {}), **value.serialize(keep_readonly=True)}
    return value


class Hub:
    """The managers of one connection string; each other method is an operation."""

    def __init__(self, cmd):
        connection = cmd["connectionString"]
        self._registry = IoTHubRegistryManager.from_connection_string(connection)
        self._configurations = IoTHubConfigurationManager.from_connection_string(connection)
        self._jobs = IoTHubJobManager.from_connection_string(connection)
        self._digital = DigitalTwinClient.from_connection_string(connection)
        self._runtime = IoTHubHttpRuntimeManager.from_connection_string(connection)

    def create(self, cmd):
        i = cmd["identity"]
        kind, secrets = self._authentication(i)
        if "moduleId" in i:
            create = getattr(self._registry, "create_module_with_" + kind)
            return create(i["deviceId"], i["moduleId"], None, *secrets)
        create = getattr(self._registry, "create_device_with_" + kind)
        return create(i["deviceId"], *secrets, i.get("status", "enabled"), **self._options(i))

    def update(self, cmd):
        i = cmd["identity"]
        etag = i["etag"] if cmd.get("conditional") else None
        kind, secrets = self._authentication(i)
        if "moduleId" in i:
            update = getattr(self._registry, "update_module_with_" + kind)
            return update(i["deviceId"], i["moduleId"], None, etag, *secrets)
        update = getattr(self._registry, "update_device_with_" + kind)
        return update(i["deviceId"], etag, *secrets, i.get("status", "enabled"), **self._options(i))

    @staticmethod
    def _authentication(identity):
        """What the SDK calls a kind of authentication, and its arguments."""
        a = identity.get("authentication") or {}
        kind = a.get("type", "sas")
        if kind == "certificateAuthority":
            return "certificate_authority", []
        if kind == "selfSigned":
            prints = a["x509Thumbprint"]
            return "x509", [prints["primaryThumbprint"], prints["secondaryThumbprint"]]
        keys = a.get("symmetricKey") or {}
        return "sas", [keys.get("primaryKey"), keys.get("secondaryKey")]

    @staticmethod
    def _options(identity):
        return {
            "iot_edge": (identity.get("capabilities") or {}).get("iotEdge", False),
            "status_reason": identity.get("statusReason"),
            "device_scope": identity.get("deviceScope"),
            "parent_scopes": identity.get("parentScopes"),
        }

    def get(self, cmd):
        if "moduleId" in cmd:
            return self._registry.get_module(cmd["deviceId"], cmd["moduleId"])
        return self._registry.get_device(cmd["deviceId"])

    def remove(self, cmd):
        if "moduleId" in cmd:
            return self._registry.delete_module(cmd["deviceId"], cmd["moduleId"], cmd.get("etag"))
        return self._registry.delete_device(cmd["deviceId"], cmd.get("etag"))

    def list(self, cmd):
        if "deviceId" in cmd:
            return self._registry.get_modules(cmd["deviceId"])
        return self._registry.get_devices(cmd.get("top"))

    def bulk(self, cmd):
        mode = cmd["mode"] + ("IfMatchETag" if cmd.get("conditional") else "")
        return self._registry.bulk_create_or_update_devices(
            [self._imported(identity, mode) for identity in cmd["identities"]]
        )

    @staticmethod
    def _imported(identity, mode):
        return models.ExportImportDevice(
            id=identity["deviceId"],
            module_id=identity.get("moduleId"),
            e_tag=identity.get("etag"),
            import_mode=mode,
            status=identity.get("status", "enabled"),
            tags=identity.get("tags"),
            authentication=models.AuthenticationMechanism(type="sas"),
        )

    def statistics(self, _):
        both = shown(self._registry.get_device_registry_statistics())
        return {**both, **shown(self._registry.get_service_statistics())}

    def twin(self, cmd):
        if "moduleId" in cmd:
            return self._registry.get_module_twin(cmd["deviceId"], cmd["moduleId"])
        return self._registry.get_twin(cmd["deviceId"])

    def patchTwin(self, cmd):  # noqa: N802: operations have the names of the protocol
        twin = self._written(cmd["patch"])
        if "moduleId" in cmd:
            return self._registry.update_module_twin(cmd["deviceId"], cmd["moduleId"], twin, cmd.get("etag"))
        return self._registry.update_twin(cmd["deviceId"], twin, cmd.get("etag"))

    def replaceTwin(self, cmd):  # noqa: N802
        twin = self._written(cmd["patch"])
        if "moduleId" in cmd:
            return self._registry.replace_module_twin(cmd["deviceId"], cmd["moduleId"], twin, cmd.get("etag"))
        return self._registry.replace_twin(cmd["deviceId"], twin, cmd.get("etag"))

    @staticmethod
    def _written(patch):
        desired = (patch.get("properties") or {}).get("desired")
        return models.Twin(tags=patch.get("tags"), properties=models.TwinProperties(desired=desired))

    def query(self, cmd):
        pages, token = [], cmd.get("continuation")
        while True:
            result = self._registry.query_iot_hub(
                models.QuerySpecification(query=cmd["query"]), token, cmd.get("pageSize")
            )
            pages.append(shown(result.items))
            token = result.continuation_token
            if not token or len(pages) >= cmd.get("most", len(pages) + 1):
                return {"pages": pages, "continuation": token or "", "kind": result.type}

    def method(self, cmd):
        request = models.CloudToDeviceMethod(
            method_name=cmd["method"],
            payload=cmd.get("payload"),
            response_timeout_in_seconds=cmd.get("responseTimeout"),
            connect_timeout_in_seconds=cmd.get("connectTimeout"),
        )
        if "moduleId" in cmd:
            return self._registry.invoke_device_module_method(cmd["deviceId"], cmd["moduleId"], request)
        return self._registry.invoke_device_method(cmd["deviceId"], request)

    def schedule(self, cmd):
        request = models.JobRequest(
            job_id=cmd["jobId"],
            query_condition=cmd["condition"],
            start_time=cmd.get("start"),
            max_execution_time_in_seconds=300,
        )
        if "patch" in cmd:
            request.type = "scheduleUpdateTwin"
            request.update_twin = self._written(cmd["patch"])
            request.update_twin.etag = "*"
        else:
            request.type = "scheduleDeviceMethod"
            request.cloud_to_device_method = models.CloudToDeviceMethod(
                method_name=cmd["method"],
                payload=cmd.get("payload"),
                response_timeout_in_seconds=cmd["responseTimeout"],
                connect_timeout_in_seconds=0,
            )
        return self._jobs.create_scheduled_job(cmd["jobId"], request)

    def job(self, cmd):
        return self._jobs.get_scheduled_job(cmd["jobId"])

    def cancelJob(self, cmd):  # noqa: N802
        return self._jobs.cancel_scheduled_job(cmd["jobId"])

    def jobs(self, cmd):
        return self._jobs.query_scheduled_jobs(cmd.get("jobType"), cmd.get("jobStatus"))

    def createConfiguration(self, cmd):  # noqa: N802
        return self._configurations.create_configuration(models.Configuration.deserialize(cmd["configuration"]))

    def configuration(self, cmd):
        return self._configurations.get_configuration(cmd["configurationId"])

    def updateConfiguration(self, cmd):  # noqa: N802
        configuration = models.Configuration.deserialize(cmd["configuration"])
        return self._configurations.update_configuration(
            configuration, configuration.etag if cmd.get("conditional") else "*"
        )

    def removeConfiguration(self, cmd):  # noqa: N802
        return self._configurations.delete_configuration(cmd["configurationId"], cmd.get("etag"))

    def configurations(self, cmd):
        return self._configurations.get_configurations(cmd.get("top"))

    def testQueries(self, cmd):  # noqa: N802
        return self._configurations.test_configuration_queries(
            models.ConfigurationQueriesTestInput.deserialize(cmd["queries"])
        )

    def applyConfiguration(self, cmd):  # noqa: N802
        content = models.ConfigurationContent.deserialize(cmd["content"])
        return self._configurations.apply_configuration_on_edge_device(cmd["deviceId"], content)

    def digitalTwin(self, cmd):  # noqa: N802
        return self._digital.get_digital_twin(cmd["deviceId"])

    def patchDigitalTwin(self, cmd):  # noqa: N802
        return self._digital.update_digital_twin(cmd["deviceId"], cmd["patch"])

    def command(self, cmd):
        timeouts = [0, cmd["responseTimeout"]]
        if "component" in cmd:
            payload = self._digital.invoke_component_command(
                cmd["deviceId"], cmd["component"], cmd["method"], cmd.get("payload"), *timeouts
            )
        else:
            payload = self._digital.invoke_command(cmd["deviceId"], cmd["method"], cmd.get("payload"), *timeouts)
        return {"payload": payload}

    def feedback(self, _):
        """What receive_feedback_notification asks for: it returns nothing of the answer."""
        messages = self._runtime.protocol.cloud_to_device_messages
        response = messages.receive_feedback_notification(raw=True).response
        if response.status_code == 204:
            return {"records": []}
        return {"records": response.json(), "lockToken": response.headers["ETag"].strip('"')}

    def completeFeedback(self, cmd):  # noqa: N802
        return self._runtime.complete_feedback_notification(cmd["lockToken"])

    def abandonFeedback(self, cmd):  # noqa: N802
        return self._runtime.abandon_feedback_notification(cmd["lockToken"])

    def exportDevices(self, cmd):  # noqa: N802
        return self._jobs.create_import_export_job(
            models.JobProperties(
                type="export", output_blob_container_uri=cmd["container"], exclude_keys_in_export=True
            )
        )


def answer(hubs, cmd):
    try:
        if cmd["op"] == "open":
            hubs[cmd["client"]] = Hub(cmd)
            say({"id": cmd["id"]})
        else:
            say({"id": cmd["id"], "result": shown(getattr(hubs[cmd["client"]], cmd["op"])(cmd))})
    except Exception as err:
        say({"id": cmd["id"], "error": describe(err)})


def main():
    hubs, workers = {}, ThreadPoolExecutor(max_workers=32)
    say({"event": "ready"})
    for line in sys.stdin:
        cmd = json.loads(line)
        if cmd["op"] == "open":
            answer(hubs, cmd)
        else:
            workers.submit(answer, hubs, cmd)


if __name__ == "__main__":
    main()
