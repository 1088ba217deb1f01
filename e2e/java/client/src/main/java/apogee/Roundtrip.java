package apogee;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Sends {@code count} messages ({@code send=sync|async|oneway|batch|ordered}), then receives
 * {@code expect} distinct ones with a push consumer ({@code consume=concurrently|orderly}).
 */
public final class Roundtrip {
    private final Run run;

    private Roundtrip(String[] args) {
        run = new Run(args);
    }

    public static void main(String[] args) throws Exception {
        Roundtrip program = new Roundtrip(args);
        program.send();
        program.consume();
        program.run.finish();
    }

    private void send() throws Exception {
        int count = run.number("count", 0);
        if (count == 0) {
            return;
        }
        String prefix = run.text("prefix", "key");
        List<String> tags = run.list("tags", "TagA");
        int size = run.number("size", 100);
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String tag = tags.get(i % tags.size());
            Message message = run.message(run.text("topic"), prefix + "-" + i, tag, size);
            if (run.number("delay", 0) > 0) {
                message.setDelayTimeLevel(run.number("delay", 0));
            }
            messages.add(message);
        }
        DefaultMQProducer producer = run.producer();
        producer.start();
        send(producer, messages);
        producer.shutdown();
    }

    private void send(DefaultMQProducer producer, List<Message> messages) throws Exception {
        List<Object> sent = run.results("sent");
        List<Object> failed = run.results("failed");
        switch (run.text("send", "sync")) {
            case "sync":
                for (Message message : messages) {
                    try {
                        sent.add(Run.describe(message.getKeys(), producer.send(message)));
                    } catch (Exception e) {
                        failed.add(Run.describe(message.getKeys(), e));
                    }
                }
                break;
            case "ordered":
                for (int i = 0; i < messages.size(); i++) {
                    Message message = messages.get(i);
                    SendResult result = producer.send(message,
                        (queues, m, shard) -> queues.get((Integer) shard % queues.size()), i);
                    sent.add(Run.describe(message.getKeys(), result));
                }
                break;
            case "async":
                for (Message message : messages) {
                    sendAsync(producer, message, sent, failed);
                }
                run.await("answers", () -> sent.size() + failed.size() == messages.size());
                break;
            case "oneway":
                for (Message message : messages) {
                    producer.sendOneway(message);
                }
                break;
            case "batch":
                SendResult result = producer.send(messages);
                sent.add(Run.describe("batch", result));
                break;
            default:
                throw new IllegalArgumentException(run.text("send"));
        }
    }

    private static void sendAsync(DefaultMQProducer producer, Message message, List<Object> sent,
        List<Object> failed) throws Exception {
        producer.send(message, new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                sent.add(Run.describe(message.getKeys(), result));
            }

            @Override
            public void onException(Throwable error) {
                failed.add(Run.describe(message.getKeys(), error));
            }
        });
    }

    private void consume() throws Exception {
        int expect = run.number("expect", 0);
        if (expect == 0) {
            return;
        }
        DefaultMQPushConsumer consumer = run.consumer(run.text("group"));
        consumer.subscribe(run.text("topic"), run.text("filter", "*"));
        List<Object> got = run.results("got");
        Set<String> keys = ConcurrentHashMap.newKeySet();
        AtomicInteger overlaps = new AtomicInteger();
        if (run.text("consume", "concurrently").equals("orderly")) {
            listenOrderly(consumer, got, keys, overlaps);
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                record(messages, got, keys);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        consumer.start();
        run.await(expect + " distinct messages", () -> keys.size() >= expect);
        consumer.shutdown();
        run.result("overlaps", overlaps.get());
    }

    /** Counts callbacks that ran at once for one queue, which ordered consumption rules out. */
    private static void listenOrderly(DefaultMQPushConsumer consumer, List<Object> got,
        Set<String> keys, AtomicInteger overlaps) {
        Map<MessageQueue, AtomicBoolean> busy = new ConcurrentHashMap<>();
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            AtomicBoolean flag =
                busy.computeIfAbsent(context.getMessageQueue(), queue -> new AtomicBoolean());
            if (!flag.compareAndSet(false, true)) {
                overlaps.incrementAndGet();
            }
            record(messages, got, keys);
            flag.set(false);
            return ConsumeOrderlyStatus.SUCCESS;
        });
    }

    private static void record(List<MessageExt> messages, List<Object> got, Set<String> keys) {
        for (MessageExt message : messages) {
            got.add(Run.describe(message));
            keys.add(message.getKeys());
        }
    }
}
