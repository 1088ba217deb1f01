package apogee;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * One consumer fails every delivery of a message whose tag is {@code Poison} and takes the others;
 * {@code retries} later the poisoned one must be in the dead letter queue, where a second consumer
 * reads it.
 */
public final class Retry {
    private Retry() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        String group = run.text("group");
        DefaultMQProducer producer = run.producer();
        producer.start();
        List<Object> sent = run.results("sent");
        for (String tag : new String[] {"Poison", "Sound"}) {
            Message message = run.message(run.text("topic"), "key-" + tag, tag, 100);
            sent.add(Run.describe(message.getKeys(), producer.send(message)));
        }

        List<Object> attempts = run.results("attempts");
        List<Object> got = run.results("got");
        DefaultMQPushConsumer failing = run.consumer(group);
        failing.setMaxReconsumeTimes(run.number("retries", 2));
        failing.subscribe(run.text("topic"), "*");
        failing.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            MessageExt message = messages.get(0);
            boolean poison = "Poison".equals(message.getTags());
            (poison ? attempts : got).add(describe(message));
            return poison ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        failing.start();
        run.await("the last attempt", () -> attempts.size() > run.number("retries", 2));

        List<Object> dead = run.results("dead");
        DefaultMQPushConsumer undertaker = run.consumer(group + "_dead");
        undertaker.subscribe("%DLQ%" + group, "*");
        undertaker.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> dead.add(describe(message)));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        undertaker.start();
        run.await("the dead letter", () -> !dead.isEmpty());
        undertaker.shutdown();
        failing.shutdown();
        producer.shutdown();
        run.finish();
    }

    private static Map<String, Object> describe(MessageExt message) {
        Map<String, Object> fields = new TreeMap<>(Run.describe(message));
        fields.put("at", System.currentTimeMillis());
        fields.put("properties", new TreeMap<>(message.getProperties()));
        return fields;
    }
}
