package main

import (
	"context"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// Reads a whole topic queue by queue from the offset seek and commits where each queue ended until the
// file stop appears: this client commits only what the group's balancing has given it, in its time.
func pull(r *run) error {
	ctx := context.Background()
	if err := r.route(r.topic()); err != nil {
		return err
	}
	asking, err := admin.NewAdmin(admin.WithResolver(r.resolver()))
	if err != nil {
		return err
	}
	queues, err := asking.FetchPublishMessageQueues(ctx, r.topic())
	if err != nil {
		return err
	}
	reading, err := r.pullConsumer()
	if err != nil {
		return err
	}
	got := r.list("got")
	ends := map[*primitive.MessageQueue]int64{}
	for _, queue := range queues {
		end, err := readAll(ctx, reading, queue, int64(r.number("seek", 0)), got)
		if err != nil {
			return err
		}
		ends[queue] = end
	}
	r.await("the file stop", func() bool {
		for queue, end := range ends {
			if err := reading.UpdateOffset(queue, end); err != nil {
				return false
			}
		}
		return reading.PersistOffset(ctx, r.topic()) == nil && exists(r.text("stop", ""))
	})
	r.result("queues", len(queues))
	return nil
}

func (r *run) pullConsumer() (rocketmq.PullConsumer, error) {
	options, err := r.consumerOptions(r.group())
	if err != nil {
		return nil, err
	}
	started, err := rocketmq.NewPullConsumer(options...)
	if err != nil {
		return nil, err
	}
	all := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	if err := started.Subscribe(r.topic(), all); err != nil {
		return nil, err
	}
	return started, started.Start()
}

func readAll(ctx context.Context, from rocketmq.PullConsumer, queue *primitive.MessageQueue,
	next int64, got *list) (int64, error) {
	for {
		result, err := from.PullFrom(ctx, queue, next, 32)
		if err != nil {
			return 0, err
		}
		for _, message := range result.GetMessageExts() {
			got.add(describe(message))
		}
		next = result.NextBeginOffset
		if result.Status != primitive.PullFound || next >= result.MaxOffset {
			return next, nil
		}
	}
}
