package apogee;

import java.util.Set;
import java.util.TreeSet;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A member of a group that prints {@code OWNED [queues]} whenever what it owns has changed and
 * {@code GOT key} for each message, until it is killed or its time is up. With
 * {@code model=broadcasting} it owns everything.
 */
public final class Member {
    private Member() {
    }

    public static void main(String[] args) throws Exception {
        Run run = new Run(args);
        DefaultMQPushConsumer consumer = run.consumer(run.text("group"));
        // A name of its own also for broadcasting, whose progress is in files by this name.
        consumer.setInstanceName(Integer.toString(UtilAll.getPid()));
        // The type has another package in each version of the library.
        for (var model : consumer.getMessageModel().getDeclaringClass().getEnumConstants()) {
            if (model.name().equalsIgnoreCase(run.text("model", "clustering"))) {
                consumer.setMessageModel(model);
            }
        }
        consumer.subscribe(run.text("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> Run.say("GOT " + message.getKeys()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Set<Integer> before = null;
        while (!run.expired()) {
            Set<Integer> owned = new TreeSet<>();
            for (MessageQueue queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
                .getProcessQueueTable().keySet()) {
                if (queue.getTopic().equals(run.text("topic"))) {
                    owned.add(queue.getQueueId());
                }
            }
            if (!owned.equals(before)) {
                Run.say("OWNED " + Json.of(owned));
                before = owned;
            }
            Thread.sleep(10);
        }
        run.finish();
    }
}
