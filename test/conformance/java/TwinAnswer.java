import com.microsoft.azure.sdk.iot.device.IotHubStatusCode;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.transport.IotHubTransportMessage;
import com.microsoft.azure.sdk.iot.device.twin.GetTwinCorrelatingMessageCallback;
import com.microsoft.azure.sdk.iot.device.twin.ReportedPropertiesUpdateCorrelatingMessageCallback;
import com.microsoft.azure.sdk.iot.device.twin.ReportedPropertiesUpdateResponse;
import com.microsoft.azure.sdk.iot.device.twin.Twin;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Waits for the hub's answer to one twin request, and passes it on once.
 *
 * <p>The short callbacks of getTwinAsync and updateReportedPropertiesAsync are not dependable: the SDK's class
 * IotHubTransport loses some answers that it has received. Its onMessageReceived hands an answer to IotHubReceiveTask
 * first and looks for the callback then; the task calls onResponseAcknowledged and forgets the callback. When the task
 * is faster, onResponseReceived is never called, however the hub sends the answer. onResponseAcknowledged always is.
 */
final class TwinAnswer implements GetTwinCorrelatingMessageCallback, ReportedPropertiesUpdateCorrelatingMessageCallback {
    /** Gets the twin, null after a patch, or the error. */
    interface Receiver {
        void take(Twin twin, Throwable error);
    }

    private final boolean get;
    private final Receiver receiver;
    private final AtomicBoolean taken = new AtomicBoolean();

    private TwinAnswer(boolean get, Receiver receiver) {
        this.get = get;
        this.receiver = receiver;
    }

    static TwinAnswer toGet(Receiver receiver) {
        return new TwinAnswer(true, receiver);
    }

    static TwinAnswer toPatch(Receiver receiver) {
        return new TwinAnswer(false, receiver);
    }

    @Override
    public void onResponseReceived(
        Twin twin, Message message, Object context, IotHubStatusCode status, IotHubClientException e) {
        take(twin, e);
    }

    @Override
    public void onResponseReceived(
        Message message, Object context, IotHubStatusCode status, ReportedPropertiesUpdateResponse response,
        IotHubClientException e) {
        take(null, e);
    }

    @Override
    public void onResponseAcknowledged(Message message, Object context) {
        try {
            int number = Integer.parseInt(((IotHubTransportMessage) message).getStatus());
            IotHubStatusCode status = IotHubStatusCode.getIotHubStatusCode(number);
            if (!IotHubStatusCode.isSuccessful(status)) {
                take(null, new IotHubClientException(status, "answered with status " + number));
                return;
            }
            String body = new String(message.getBytes(), StandardCharsets.UTF_8);
            take(get ? Twin.createFromPropertiesJson(body) : null, null);
        } catch (RuntimeException e) { // which the SDK would only log
            take(null, e);
        }
    }

    private void take(Twin twin, Throwable error) {
        if (taken.compareAndSet(false, true)) {
            receiver.take(twin, error);
        }
    }

    @Override
    public void onRequestQueued(Message message, Object context) {
    }

    @Override
    public void onRequestSent(Message message, Object context) {
    }

    @Override
    public void onRequestAcknowledged(Message message, Object context, IotHubClientException e) {
    }
}
