package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// rabbitClusterScenarios break nodes of a RabbitMQ cluster of three with quorum queues. Nobody helps
// the gateway afterwards.
func rabbitClusterScenarios() []scenario {
	list := []scenario{
		{name: "rabbitmq-cluster-leader-killed", about: "the node that leads the process queue is killed, and started again", gap: within(backWithin),
			inject: leading(func(ctx context.Context, leader *rabbit, _ []*rabbit) error {
				return errors.Join(leader.kill(ctx), sustain(ctx, awayFor), leader.start(ctx))
			})},
		{name: "rabbitmq-cluster-leader-hangs", about: "the node that leads the process queue hangs for forty seconds",
			gap: within(noticedWithin), inject: leading(leaderHangs)},
		{name: "rabbitmq-cluster-partitioned", about: "the node that leads the process queue is cut from the others for twenty seconds, while clients still reach it",
			gap: within(backWithin), inject: leading(partitioned)},
		{name: "rabbitmq-cluster-rolling", about: "each node is stopped cleanly and started again, one after the other", gap: within(backWithin),
			inject: leading(func(ctx context.Context, leader *rabbit, others []*rabbit) error {
				for _, n := range append(others, leader) {
					if err := errors.Join(n.stop(ctx), n.start(ctx), sustain(ctx, settleFor)); err != nil {
						return err
					}
				}
				return nil
			})},
		{name: "rabbitmq-cluster-minority", about: "two of three nodes are killed; a minute later one and then the other is started again", silence: backWithin, inject: minorityLeft},
	}
	for i := range list {
		list[i].serves, list[i].works, list[i].rabbits = 2, 2, true
		list[i].accepts = true
		list[i].env = []string{"RABBITMQ_QUEUE_TYPE=quorum"}
	}
	return list
}

const (
	// backWithin is how soon deliveries go on by themselves once there is a quorum.
	backWithin = 10 * time.Second
	// noticedWithin is the same where a node does not say that it is gone: the gateway notices
	// after three heartbeats of three seconds, the other nodes by tickTime.
	noticedWithin = 30 * time.Second
)

// leading gives a fault the node that leads the process queue, and the others.
func leading(fault func(ctx context.Context, leader *rabbit, others []*rabbit) error) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		leader, others, err := r.rabbitNodes.leader(ctx, r.name+".process")
		if err != nil {
			return err
		}
		r.faultBegan()
		defer r.faultEnded()
		return fault(ctx, leader, others)
	}
}

func leaderHangs(ctx context.Context, leader *rabbit, _ []*rabbit) error {
	leader.signal(syscall.SIGSTOP)
	err := sustain(ctx, 40*time.Second)
	leader.signal(syscall.SIGCONT)
	return err
}

func partitioned(ctx context.Context, leader *rabbit, _ []*rabbit) error {
	if err := leader.partition(ctx); err != nil {
		return err
	}
	if err := sustain(ctx, 20*time.Second); err != nil {
		return err
	}
	if listens(leader.port) {
		return fmt.Errorf("%s still serves clients, so that it was not cut off", leader.name)
	}
	return errors.Join(leader.heal(ctx), leader.ready(ctx))
}

// minorityLeft leaves one node for a minute. With the second one there is a quorum again: the
// silence counts from there.
func minorityLeft(ctx context.Context, r *run) error {
	err := leading(func(ctx context.Context, leader *rabbit, others []*rabbit) error {
		return errors.Join(leader.kill(ctx), others[0].kill(ctx), sustain(ctx, time.Minute), leader.start(ctx))
	})(ctx, r)
	for _, n := range r.rabbitNodes.nodes {
		if n.gone() {
			err = errors.Join(err, n.start(ctx))
		}
	}
	return err
}
