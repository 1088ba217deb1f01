package apogee;

import java.util.List;

import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** Sends one incompressible message of each of {@code sizes} bytes and prints what was answered. */
public final class Sizes {
    private Sizes() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        DefaultMQProducer producer = run.producer();
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        List<Object> sent = run.results("sent");
        List<Object> failed = run.results("failed");
        for (String size : run.list("sizes", "")) {
            Message message =
                run.message(run.text("topic"), "size-" + size, "TagA", Integer.parseInt(size));
            try {
                sent.add(Run.describe(message.getKeys(), producer.send(message)));
            } catch (Exception e) {
                failed.add(Run.describe(message.getKeys(), e));
            }
        }
        producer.shutdown();
        run.finish();
    }
}
