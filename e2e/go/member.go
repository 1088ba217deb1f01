package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// A member of a group that prints OWNED [queues] whenever it computes its share, and GOT key for
// each message, until it is killed or its time is up. With model=broadcasting it owns everything.
func member(r *run) error {
	topic := r.topic()
	share := func(group, id string, queues []*primitive.MessageQueue,
		members []string) []*primitive.MessageQueue {
		mine := consumer.AllocateByAveragely(group, id, queues, members)
		if len(queues) > 0 && queues[0].Topic == topic {
			owned := []int{}
			for _, queue := range mine {
				owned = append(owned, queue.QueueId)
			}
			sort.Ints(owned)
			text, _ := json.Marshal(owned)
			say("OWNED " + string(text))
		}
		return mine
	}
	options := []consumer.Option{
		consumer.WithStrategy(share),
		// A name of its own also for broadcasting, whose progress is in files by this name.
		consumer.WithInstance(fmt.Sprintf("%d", os.Getpid())),
	}
	if r.text("model", "clustering") == "broadcasting" {
		options = append(options, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	listen := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			say("GOT " + message.GetKeys())
		}
		return consumer.ConsumeSuccess, nil
	}
	if _, err := r.consumer(r.group(), topic, listen, options...); err != nil {
		return err
	}
	for !r.expired() {
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
