package apogee;

import java.util.List;

import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Sends two messages that share a key and have one of their own, then looks them up by key, by
 * unique key and by offset id.
 */
public final class Query {
    private static final long FOREVER = Long.MAX_VALUE;

    private Query() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        String topic = run.text("topic");
        DefaultMQProducer producer = run.producer();
        producer.start();
        List<Object> sent = run.results("sent");
        SendResult[] results = new SendResult[2];
        for (int i = 0; i < results.length; i++) {
            String key = "own-" + i;
            Message message = run.message(topic, key, "TagA", 100);
            message.setKeys("shared " + key);
            results[i] = producer.send(message);
            sent.add(Run.describe(key, results[i]));
        }

        // The index follows the log: wait for the later of the two.
        run.await("both messages under the shared key", () -> found(producer, topic, "shared") == 2);
        run.result("byShared", found(producer, topic, "shared"));
        run.result("byOwn", found(producer, topic, "own-1"));
        run.result("byUnknown", found(producer, topic, "unknown"));
        List<Object> byUniqueKey = run.results("byUniqueKey");
        List<Object> byOffsetId = run.results("byOffsetId");
        for (SendResult result : results) {
            byUniqueKey.add(place(producer.viewMessage(topic, result.getMsgId())));
            byOffsetId.add(place(producer.viewMessage(topic, result.getOffsetMsgId())));
        }
        producer.shutdown();
        run.finish();
    }

    private static String place(MessageExt message) {
        return message == null ? "none" : message.getQueueId() + ":" + message.getQueueOffset();
    }

    /** How many messages have this key; a client turns "none" into an exception. */
    private static int found(DefaultMQProducer producer, String topic, String key) {
        try {
            QueryResult result = producer.queryMessage(topic, key, 32, 0, FOREVER);
            return result.getMessageList().size();
        } catch (MQClientException e) {
            return 0;
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
