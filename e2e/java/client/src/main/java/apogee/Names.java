package apogee;

import java.util.List;

import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** Sends one message to each of the topics {@code names} and prints how it went. */
public final class Names {
    private Names() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        DefaultMQProducer producer = run.producer();
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        List<Object> sent = run.results("sent");
        List<Object> failed = run.results("failed");
        for (String name : run.list("names", "")) {
            Message message = run.message(name, "key", "TagA", 10);
            try {
                producer.send(message);
                sent.add(name);
            } catch (Exception e) {
                failed.add(Run.describe(name, e));
            }
        }
        producer.shutdown();
        run.finish();
    }
}
