package apogee;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends and receives without pause while the server comes and goes. Prints {@code ACKED n} lines;
 * when the file {@code stop} appears, stops sending, waits until everything acknowledged has
 * arrived, and prints what is missing or arrived elsewhere than acknowledged.
 */
public final class Load {
    /** How far sending may be ahead of what has arrived: the consumer must catch up in the time there is. */
    private static final int MAX_AHEAD = 10_000;

    private final Run run;
    private final Path stop;
    private final Map<String, String> acked = new ConcurrentHashMap<>();
    private final Map<String, Set<String>> places = new ConcurrentHashMap<>();
    private final AtomicInteger deliveries = new AtomicInteger();
    private final AtomicInteger failures = new AtomicInteger();
    private final ConcurrentLinkedQueue<String> damaged = new ConcurrentLinkedQueue<>();

    private Load(String[] args) {
        run = new Run(args);
        stop = Paths.get(run.text("stop"));
    }

    public static void main(String[] args) throws Exception {
        new Load(args).drive();
    }

    private void drive() throws Exception {
        DefaultMQProducer producer = run.producer();
        producer.setRetryTimesWhenSendFailed(5);
        producer.start();
        send(producer, "first");
        DefaultMQPushConsumer consumer = run.consumer(run.text("group"));
        consumer.setPullTimeDelayMillsWhenException(200);
        consumer.subscribe(run.text("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> {
                deliveries.incrementAndGet();
                places.computeIfAbsent(message.getKeys(), key -> ConcurrentHashMap.newKeySet())
                    .add(message.getQueueId() + ":" + message.getQueueOffset());
                if (!Boolean.TRUE.equals(Run.describe(message).get("intact"))) {
                    damaged.add(message.getKeys());
                }
            });
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Thread[] senders = new Thread[run.number("senders", 4)];
        for (int i = 0; i < senders.length; i++) {
            String name = "s" + i;
            senders[i] = new Thread(() -> {
                for (int n = 0; !Files.exists(stop) && !run.expired(); n++) {
                    if (acked.size() - places.size() > MAX_AHEAD) {
                        pause(5);
                        continue;
                    }
                    send(producer, name + "-" + n);
                }
            });
            senders[i].start();
        }
        for (Thread sender : senders) {
            while (sender.isAlive()) {
                Run.say("ACKED " + acked.size() + " RECEIVED " + places.size());
                sender.join(100);
            }
        }
        try {
            run.await("all acknowledged messages", () -> places.keySet().containsAll(acked.keySet()));
        } finally {
            report();
        }
    }

    private void send(DefaultMQProducer producer, String key) {
        Message message = run.message(run.text("topic"), key, "TagA", run.number("size", 200));
        try {
            SendResult result = producer.send(message);
            if (result.getSendStatus() == SendStatus.SEND_OK) {
                acked.put(key, result.getMessageQueue().getQueueId() + ":" + result.getQueueOffset());
            }
        } catch (Exception e) {
            // Unknown outcome: the message may or may not arrive.
            failures.incrementAndGet();
            pause(20);
        }
    }

    private static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void report() {
        List<Object> missing = run.results("missing");
        List<Object> moved = run.results("moved");
        new TreeMap<>(acked).forEach((key, place) -> {
            Set<String> seen = places.get(key);
            if (seen == null) {
                missing.add(key + "@" + place);
            } else if (!seen.contains(place)) {
                moved.add(key + "@" + place + " seen at " + new TreeSet<>(seen));
            }
        });
        run.result("acked", acked.size());
        run.result("failures", failures.get());
        run.result("deliveries", deliveries.get());
        run.result("distinct", places.size());
        run.result("damaged", new TreeSet<>(damaged));
        run.finish();
    }
}
