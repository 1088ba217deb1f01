package apogee;

import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Reads a whole topic by assignment and seek, without a group's load balancing. */
public final class LitePull {
    private LitePull() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        DefaultLitePullConsumer consumer =
            run.configured(new DefaultLitePullConsumer(run.text("group")));
        consumer.setAutoCommit(false);
        consumer.start();
        Collection<MessageQueue> queues = consumer.fetchMessageQueues(run.text("topic"));
        consumer.assign(queues);
        for (MessageQueue queue : queues) {
            run.await("a seek", () -> seek(consumer, queue, run.number("seek", 0)));
        }
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
        run.result("queues", queues.size());
        consumer.shutdown();
        run.finish();
    }

    /** Asks the broker for the queue's bounds, which the client does not repeat after an error. */
    private static boolean seek(DefaultLitePullConsumer consumer, MessageQueue queue, long offset) {
        try {
            consumer.seek(queue, offset);
            return true;
        } catch (MQClientException e) {
            return false;
        }
    }
}
