package apogee;

import java.util.ArrayList;
import java.util.List;

import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Sends some messages to one queue, lets time pass, sends some more, and asks for the queue's
 * smallest and largest offset and for the offsets of moments before, between and after.
 */
public final class Offsets {
    private static final int EACH = 10;

    private Offsets() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        DefaultMQProducer producer = run.producer();
        producer.start();
        List<Object> sent = run.results("sent");
        List<Long> moments = new ArrayList<>();
        moments.add(System.currentTimeMillis() - 1000);
        MessageQueue queue = null;
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < EACH; i++) {
                Message message = run.message(run.text("topic"), round + "-" + i, "TagA", 100);
                SendResult result = producer.send(message, (queues, m, arg) -> queues.get(0), null);
                sent.add(Run.describe(message.getKeys(), result));
                queue = result.getMessageQueue();
            }
            // Store times have whole milliseconds: keep the moment apart from both rounds.
            long moment = System.currentTimeMillis() + 20;
            run.await("time to pass", () -> System.currentTimeMillis() > moment + 20);
            moments.add(moment);
        }
        List<Object> found = run.results("found");
        for (long moment : moments) {
            found.add(producer.searchOffset(queue, moment));
        }
        run.result("min", producer.minOffset(queue));
        run.result("max", producer.maxOffset(queue));
        run.result("earliestAge",
            System.currentTimeMillis() - producer.earliestMsgStoreTime(queue));
        producer.shutdown();
        run.finish();
    }
}
