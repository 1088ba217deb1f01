package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Sends messages to the queues in turn, starting with the first.
type inTurn struct{ next int }

func (s *inTurn) Select(_ *primitive.Message, queues []*primitive.MessageQueue,
	_ string) *primitive.MessageQueue {
	chosen := queues[s.next%len(queues)]
	s.next++
	return chosen
}

// Sends count messages (send=sync|async|oneway|batch|ordered), then receives as many distinct ones
// as expect says with a push consumer (consume=concurrently|orderly).
//
// The producer stays until they are there: this library asks for an answer also where it sends one
// way, and the system drops what it has not transmitted yet of a closed connection on which an answer
// comes.
func roundtrip(r *run) error {
	if r.number("count", 0) == 0 {
		return consume(r)
	}
	sender, err := send(r)
	if err != nil {
		return err
	}
	if err := consume(r); err != nil {
		return err
	}
	return sender.Shutdown()
}

func send(r *run) (rocketmq.Producer, error) {
	count := r.number("count", 0)
	tags := strings.Split(r.text("tags", "TagA"), ",")
	var messages []*primitive.Message
	for i := 0; i < count; i++ {
		key := fmt.Sprintf("%s-%d", r.text("prefix", "key"), i)
		message := r.message(r.topic(), key, tags[i%len(tags)], r.number("size", 100))
		if level := r.number("delay", 0); level > 0 {
			message.WithDelayTimeLevel(level)
		}
		messages = append(messages, message)
	}
	var options []producer.Option
	if r.text("send", "sync") == "ordered" {
		options = append(options, producer.WithQueueSelector(&inTurn{}))
	}
	started, err := r.producer(options...)
	if err != nil {
		return nil, err
	}
	return started, sendAll(r, started, messages)
}

func sendAll(r *run, started rocketmq.Producer, messages []*primitive.Message) error {
	ctx := context.Background()
	sent, failed := r.list("sent"), r.list("failed")
	record := func(key string, result *primitive.SendResult, err error) {
		if err != nil {
			failed.add(describeError(key, err))
		} else {
			sent.add(describeSent(key, result))
		}
	}
	switch how := r.text("send", "sync"); how {
	case "sync", "ordered":
		for _, message := range messages {
			result, err := started.SendSync(ctx, message)
			record(message.GetKeys(), result, err)
		}
	case "async":
		for _, message := range messages {
			key := message.GetKeys()
			done := func(_ context.Context, result *primitive.SendResult, err error) {
				record(key, result, err)
			}
			if err := started.SendAsync(ctx, done, message); err != nil {
				record(key, nil, err)
			}
		}
		r.await("answers", func() bool { return sent.len()+failed.len() >= len(messages) })
	case "oneway":
		for _, message := range messages {
			if err := started.SendOneWay(ctx, message); err != nil {
				return err
			}
		}
	case "batch":
		result, err := started.SendSync(ctx, messages...)
		record("batch", result, err)
	default:
		return fmt.Errorf("send=%s", how)
	}
	return nil
}

func consume(r *run) error {
	expect := r.number("expect", 0)
	if expect == 0 {
		return nil
	}
	got := r.list("got")
	var keys, busy sync.Map
	var distinct, overlaps int32
	orderly := r.text("consume", "concurrently") == "orderly"
	listen := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			// Ordered consumption rules out two callbacks at once for one queue.
			if _, taken := busy.LoadOrStore(message.Queue.QueueId, true); taken && orderly {
				atomic.AddInt32(&overlaps, 1)
			}
			got.add(describe(message))
			if _, known := keys.LoadOrStore(message.GetKeys(), true); !known {
				atomic.AddInt32(&distinct, 1)
			}
			busy.Delete(message.Queue.QueueId)
		}
		return consumer.ConsumeSuccess, nil
	}
	started, err := r.consumer(r.group(), r.topic(), listen, consumer.WithConsumerOrder(orderly))
	if err != nil {
		return err
	}
	r.await(fmt.Sprintf("%d distinct messages", expect),
		func() bool { return int(atomic.LoadInt32(&distinct)) >= expect })
	// What a listener has taken is committed only when it has returned; shutting down does not wait.
	r.await("commits", func() bool {
		return r.text("filter", "*") != "*" || started.GetOffsetDiffMap()[r.topic()] == 0
	})
	r.result("overlaps", atomic.LoadInt32(&overlaps))
	return started.Shutdown()
}
