package apogee;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Reads a whole topic by assignment and seek, without a group's load balancing, and commits until the
 * file {@code stop} appears.
 *
 * <p>Queues are paused until all seeks are done: a seek of 5.4.0 interrupts whatever the pulling
 * thread does, and a pull that has already taken a sought offset then starts at the group's
 * committed one instead; the interrupt also closes the connection that others are using.
 */
public final class LitePull {
    private LitePull() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        Collection<MessageQueue> queues = queues(run);
        DefaultLitePullConsumer consumer =
            run.configured(new DefaultLitePullConsumer(run.text("group")));
        consumer.setAutoCommit(false);
        consumer.assign(queues);
        consumer.pause(queues);
        consumer.start();
        for (MessageQueue queue : queues) {
            consumer.seek(queue, run.number("seek", 0));
        }
        consumer.resume(queues);
        List<Object> got = run.results("got");
        Set<String> keys = new HashSet<>();
        int expect = run.number("expect", 0);
        run.await(expect + " distinct messages", () -> {
            for (MessageExt message : consumer.poll(200)) {
                got.add(Run.describe(message));
                keys.add(message.getKeys());
            }
            return keys.size() >= expect;
        });
        Path stop = Paths.get(run.text("stop"));
        run.await("the file stop", () -> {
            consumer.commitSync();
            return Files.exists(stop);
        });
        run.result("queues", queues.size());
        consumer.shutdown();
        run.finish();
    }

    /** The consumer itself tells them only once it runs, too late to assign them paused. */
    private static Collection<MessageQueue> queues(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        producer.start();
        Collection<MessageQueue> queues = producer.fetchPublishMessageQueues(run.text("topic"));
        producer.shutdown();
        return queues;
    }
}
