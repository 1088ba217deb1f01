package apogee;

import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends {@code count} messages, one queue after the other, and consumes them. Then prints
 * {@code READY} and what was sent, and stays connected, so that tools have something to look at.
 */
public final class Inspected {
    private Inspected() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        int count = run.number("count", 8);
        DefaultMQProducer producer = run.producer();
        producer.start();
        List<Object> sent = run.results("sent");
        for (int i = 0; i < count; i++) {
            Message message = run.message(run.text("topic"), "key-" + i, "TagA", 100);
            SendResult result = producer.send(message,
                (queues, m, shard) -> queues.get((Integer) shard % queues.size()), i);
            sent.add(Run.describe(message.getKeys(), result));
        }
        Set<String> keys = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = run.consumer(run.text("group"));
        consumer.subscribe(run.text("topic"), "TagA || TagB");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> keys.add(message.getKeys()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        run.await(count + " messages", () -> keys.size() == count);
        // The group's retry topic comes with its first heartbeat, and its queue a little later.
        String retry = "%RETRY%" + run.text("group");
        run.await("an offset of the retry queue", () -> consumer.getDefaultMQPushConsumerImpl()
            .getOffsetStore().cloneOffsetTable(retry).size() == 1);
        consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
        Run.say("READY " + Json.of(sent));
        while (!run.expired()) {
            Thread.sleep(100);
        }
        run.finish();
    }
}
