package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class TimeoutQueueTest {
    private static final class Item extends TimeoutEntry {
        private final List<Item> expired;

        Item(List<Item> expired) {
            this.expired = expired;
        }

        @Override
        void expire(TimeoutQueue expiredIn, long nowNanos) {
            expired.add(this);
        }

        @Override
        void failInternally(Throwable fault) {
            throw new AssertionError(fault);
        }
    }

    /** An entry that throws when it expires. */
    private static final class ThrowingItem extends TimeoutEntry {
        private final List<Throwable> faults = new ArrayList<>();

        @Override
        void expire(TimeoutQueue expiredIn, long nowNanos) {
            throw new IllegalStateException("on purpose");
        }

        @Override
        void failInternally(Throwable fault) {
            faults.add(fault);
        }
    }

    @Test
    void anItemThatThrowsDoesNotStopTheNext() {
        List<Item> expired = new ArrayList<>();
        TimeoutQueue queue = new TimeoutQueue(TimeoutQueue.Kind.IDLE, 10);
        ThrowingItem throwing = new ThrowingItem();
        Item next = new Item(expired);
        queue.touch(throwing, 0);
        queue.touch(next, 0);
        queue.expire(10);
        assertThat(throwing.faults).singleElement().isInstanceOf(IllegalStateException.class);
        assertThat(expired).containsExactly(next);
    }

    @Test
    void expiresInOrderOfTheLastTouch() {
        List<Item> expired = new ArrayList<>();
        TimeoutQueue queue = new TimeoutQueue(TimeoutQueue.Kind.IDLE, 10);
        Item a = new Item(expired);
        Item b = new Item(expired);
        Item c = new Item(expired);
        queue.touch(a, 0);
        queue.touch(b, 1);
        queue.touch(c, 2);
        queue.touch(a, 5);
        queue.expire(10);
        assertThat(expired).isEmpty();
        queue.expire(12);
        assertThat(expired).containsExactly(b, c);
        assertThat(queue.oldest()).isSameAs(a);
        queue.expire(15);
        assertThat(expired).containsExactly(b, c, a);
        assertThat(queue.isEmpty()).isTrue();
    }

    @Test
    void movesFromOneQueueToAnother() {
        List<Item> expired = new ArrayList<>();
        TimeoutQueue shortQueue = new TimeoutQueue(TimeoutQueue.Kind.IDLE, 1);
        TimeoutQueue longQueue = new TimeoutQueue(TimeoutQueue.Kind.IDLE, 100);
        Item a = new Item(expired);
        shortQueue.touch(a, 0);
        longQueue.touch(a, 0);
        shortQueue.expire(50);
        assertThat(expired).isEmpty();
        assertThat(shortQueue.isEmpty()).isTrue();
        longQueue.expire(100);
        assertThat(expired).containsExactly(a);
    }

    @Test
    void agreesWithASortedList() {
        Random random = new Random(1);
        List<Item> expired = new ArrayList<>();
        TimeoutQueue queue = new TimeoutQueue(TimeoutQueue.Kind.IDLE, 50);
        Deque<Item> model = new ArrayDeque<>();
        List<Item> items = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            items.add(new Item(expired));
        }
        for (long now = 0; now < 5_000; now++) {
            Item item = items.get(random.nextInt(items.size()));
            if (random.nextInt(10) == 0) {
                item.leaveQueue();
                model.remove(item);
            } else {
                queue.touch(item, now);
                model.remove(item);
                model.add(item);
            }
            List<Item> due = new ArrayList<>();
            for (Item first = model.peek(); first != null && now - first.sinceNanos >= 50; first = model.peek()) {
                due.add(model.remove());
            }
            expired.clear();
            queue.expire(now);
            assertThat(expired).isEqualTo(due);
            assertThat(queue.oldest()).isSameAs(model.peek());
        }
    }
}
